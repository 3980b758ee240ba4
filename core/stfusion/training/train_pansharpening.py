"""Train a network of pansharpening on a scene, on data sets of patches, or on simulated landscapes."""

from __future__ import annotations

from dataclasses import replace

from stfusion.declaration import Method, Option, Role
from stfusion.networks._shared import SHARPENING, SHARPENING_GROUP
from stfusion.pansharpening._shared import ROLES
from stfusion.raster.mtf import GAINS_OPTION, SENSOR_OPTION
from stfusion.training._shared import (
    AVERAGE,
    BATCH,
    CHECKPOINT,
    CLIP,
    EPOCHS,
    HELD_OUT,
    LEARNING_RATE,
    MINUTES,
    PATCH,
    PATIENCE,
    PER_BAND,
    PRECISION,
    RESTART,
    SAMPLES,
    SHARPENING_RESULTS,
    SIZE,
    TAGS,
    VALIDATION_SHARE,
)

METHOD = Method(
    id="train_pansharpening",
    operation="train_pansharpening",
    title="Train a pansharpening network",
    group=SHARPENING_GROUP,
    summary="Trains a network of pansharpening on your own scene, on data sets of patches, or on simulated images.",
    description=(
        "The network learns to make the multispectral image of a scene, reduced to larger pixels, as it was (Wald's "
        "protocol): both images are reduced by their own ratio with the filters of their sensor while it learns. Data "
        "sets of patches (HDF5, as PanCollection has them) and simulated landscapes do as well, or beside. What is "
        "held out for validation is never learnt from. After every epoch the network is validated, the best one is "
        "written, and the report is written anew, with curves, pictures and the figures of the interpolated image, of "
        "MTF-GLP-FS and, unless it learns band by band, of GSA on the same images. A training that was stopped or cut "
        "off goes on when it is started again."
    ),
    paper="",
    doi="",
    roles=(
        *(replace(role, required=False) for role in ROLES),
        Role(
            "dataset",
            "Data sets of patches",
            "file",
            "",
            "Files (*.h5) with true, multispectral, interpolated and panchromatic patches, under the names gt, ms, lms "
            "and pan, or I_GT, I_MS_LR, I_MS and I_PAN. The last of them are held out.",
            required=False,
            several=True,
            extension="h5",
        ),
    ),
    options=(
        Option(
            "network",
            "choice",
            "Network",
            "fusionnet",
            "The network to train; each has a page of its own among the methods.",
            choices=SHARPENING,
            advanced=False,
            positional=True,
        ),
        SIZE,
        replace(EPOCHS, default=30),
        replace(SAMPLES, default=1600),
        MINUTES,
        PER_BAND,
        Option(
            "target",
            "choice",
            "What the network gives",
            "residual",
            "residual: the details that the interpolated image lacks, which is easier to learn. image: the sharpened "
            "image, as published.",
            choices=("residual", "image"),
        ),
        SENSOR_OPTION,
        GAINS_OPTION,
        Option(
            "patches_grid",
            "choice",
            "Place of interpolated patches",
            "toolbox",
            "Of data sets of patches: toolbox, half a panchromatic pixel further down and to the right, as "
            "PanCollection has them; gis, where they lie. Scenes are then brought to the same place for the network.",
            choices=("toolbox", "gis"),
        ),
        Option(
            "landscapes",
            "boolean",
            "Simulated landscapes",
            False,
            "Learn from simulated landscapes too, or from these alone: fields, woods and water, whose panchromatic "
            "image is a weighted sum of the bands.",
        ),
        Option(
            "ratio",
            "integer",
            "Ratio of simulated landscapes",
            4,
            "Panchromatic pixels along a multispectral one where there are simulated landscapes alone.",
            minimum=2,
            maximum=16,
        ),
        PATCH,
        replace(BATCH, default=16),
        LEARNING_RATE,
        VALIDATION_SHARE,
        HELD_OUT,
        Option(
            "augmentation",
            "boolean",
            "Vary the samples",
            True,
            "Vary the brightness of the samples that are learnt from, and flip and turn them unless their interpolated "
            "images are displaced.",
        ),
        PATIENCE,
        PRECISION,
        AVERAGE,
        CLIP,
        RESTART,
    ),
    outputs=(CHECKPOINT,),
    results=SHARPENING_RESULTS,
    run="stfusion.training._train_sharpening:train",
    tags=(*TAGS, "pansharpening", "wald"),
    needs="networks",
    example=("multispectral", "pan"),
)
