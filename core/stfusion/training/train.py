"""Train a fusion network on dated layers, on a data set, or on simulated landscapes."""

from __future__ import annotations

from stfusion.declaration import Method, Option, Role
from stfusion.networks._shared import GROUP, NETWORKS
from stfusion.training._shared import (
    AVERAGE,
    BATCH,
    CHANGED,
    CHECKPOINT,
    CLIP,
    COARSE,
    EPOCHS,
    FINE,
    HELD_OUT,
    LEARNING_RATE,
    MINUTES,
    PATCH,
    PATIENCE,
    PER_BAND,
    PRECISION,
    RESTART,
    RESULTS,
    SAMPLES,
    SIZE,
    TAGS,
    VALIDATION_SHARE,
)

METHOD = Method(
    id="train",
    operation="train",
    title="Train a fusion network",
    group=GROUP,
    summary="Trains a fusion network on your own dated layers, on a data set, or on simulated images.",
    description=(
        "The network learns to predict the fine image of a date from images of other dates and the coarse image of "
        "that date. Patches are read from the layers while it learns; what is held out for validation is never learnt "
        "from. After every epoch the network is validated, the best one is written, and the report is written anew, "
        "with curves, pictures and the figures of three baselines and STARFM on the same images. A training that was "
        "stopped or cut off goes on when it is started again, with the same result. Without a graphics card, take the "
        "small size."
    ),
    paper="",
    doi="",
    roles=(
        FINE,
        COARSE,
        Role(
            "dataset",
            "Data set",
            "file",
            "",
            "File (*.json) that names the places, their fine and coarse images by date, and what is held out.",
            required=False,
            extension="json",
        ),
    ),
    options=(
        Option(
            "network",
            "choice",
            "Network",
            "edcstfn",
            "The network to train; each has a page of its own among the methods.",
            choices=NETWORKS,
            advanced=False,
            positional=True,
        ),
        SIZE,
        EPOCHS,
        SAMPLES,
        MINUTES,
        PER_BAND,
        Option(
            "pairs",
            "integer",
            "Pairs",
            0,
            "Number of pairs, 1 or 2, for a network that can be built for both. 0 takes the network's usual number.",
            minimum=0,
            maximum=2,
        ),
        Option(
            "target",
            "choice",
            "What the network gives",
            "image",
            "image: the fine image, as published. residual: what is missing in the fine image of the pair plus the "
            "change of the coarse image, which is easier to learn.",
            choices=("image", "residual"),
        ),
        PATCH,
        BATCH,
        LEARNING_RATE,
        VALIDATION_SHARE,
        HELD_OUT,
        Option(
            "ratio",
            "number",
            "Ratio of simulated coarse images",
            0.0,
            "Fine pixels along a coarse one of simulated coarse images. 0 varies it, from 4 to 32.",
            minimum=0.0,
            maximum=200.0,
        ),
        Option(
            "simulated",
            "number",
            "Share of simulated coarse images",
            0.0,
            "Share of the samples of places with real coarse images that get simulated ones nevertheless.",
            minimum=0.0,
            maximum=1.0,
        ),
        CHANGED,
        Option(
            "landscapes",
            "number",
            "Share of simulated landscapes",
            0.0,
            "Share of the samples that are simulated altogether: fields, woods and water that change with the season. "
            "Above 0, a network can be trained without any data.",
            minimum=0.0,
            maximum=1.0,
        ),
        Option(
            "days",
            "integer",
            "Most days between the dates",
            0,
            "Pairs farther from the date to predict are not learnt from. 0: any.",
            minimum=0,
        ),
        Option(
            "augmentation",
            "boolean",
            "Vary the samples",
            True,
            "Flip and turn the samples that are learnt from, and vary their gain and offset.",
        ),
        Option(
            "mirrored",
            "boolean",
            "Negatives too",
            False,
            "Turn half of the samples into their negatives, so that bright and dark are the same to the network.",
        ),
        PATIENCE,
        PRECISION,
        AVERAGE,
        CLIP,
        RESTART,
    ),
    outputs=(CHECKPOINT,),
    results=RESULTS,
    run="stfusion.training._train:train",
    tags=(*TAGS, "fusion"),
    needs="networks",
    example=("fine", "coarse"),
)
