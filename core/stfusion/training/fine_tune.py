"""Fine-tune a trained fusion network on the images of a scene."""

from __future__ import annotations

from dataclasses import replace

from stfusion.declaration import Method, Option
from stfusion.networks._shared import GROUP, NETWORKS, WEIGHTS
from stfusion.training._shared import (
    AVERAGE,
    BATCH,
    CHANGED,
    CHECKPOINT,
    CLIP,
    COARSE,
    FINE,
    HELD_OUT,
    LEARNING_RATE,
    PATCH,
    PRECISION,
    RESTART,
    RESULTS,
    TAGS,
    VALIDATION_SHARE,
)

METHOD = Method(
    id="fine_tune",
    operation="fine_tune",
    title="Fine-tune on this scene",
    group=GROUP,
    summary="Adapts a trained fusion network to the images of a scene, in minutes on a processor.",
    description=(
        "Goes on training a network with the images of the scene that it is to be used for: its sensors, its land "
        "cover, its scale. Two or more dates with a fine and a coarse image show real changes; with a single pair, "
        "changes are made up. A part of the scene is held out, and the network is kept as it was if it gets no better "
        "there; the report says how much was gained."
    ),
    paper="",
    doi="",
    roles=(
        replace(
            WEIGHTS,
            help="Checkpoint (*.safetensors) to start from. When empty, the weights that come with STF for the network "
            "that is chosen.",
        ),
        replace(FINE, required=True, help=f"{FINE.help} One is enough; two or more dates are better."),
        COARSE,
    ),
    options=(
        Option(
            "network",
            "choice",
            "Network",
            "stfdiff",
            "The network whose weights are taken when no checkpoint is given.",
            choices=NETWORKS,
            advanced=False,
        ),
        Option(
            "minutes",
            "number",
            "Time (minutes)",
            5.0,
            "Time that the training is planned for, after its first epoch.",
            minimum=0.1,
            maximum=10_000.0,
            advanced=False,
        ),
        replace(
            LEARNING_RATE,
            help="Highest learning rate of the network; it rises in the first steps and falls to a fiftieth. 0 takes a "
            "tenth of the one that the network is published with.",
            advanced=False,
        ),
        PATCH,
        BATCH,
        Option(
            "samples",
            "integer",
            "Samples of an epoch",
            96,
            "Patches that are drawn at random for an epoch, which a validation follows.",
            minimum=1,
            maximum=1_000_000,
        ),
        VALIDATION_SHARE,
        replace(HELD_OUT, default=24),
        replace(CHANGED, default=0.3),
        PRECISION,
        replace(AVERAGE, default=0.99),
        CLIP,
        RESTART,
    ),
    outputs=(CHECKPOINT,),
    results=RESULTS,
    run="stfusion.training._train:fine_tune",
    tags=(*TAGS, "fusion", "fine-tuning", "transfer learning", "adaptation"),
    needs="networks",
)
