"""Fuse with a trained network: whatever network a checkpoint holds."""

from __future__ import annotations

from dataclasses import replace

from stfusion.declaration import Method
from stfusion.fusion._shared import PREDICTION
from stfusion.networks._shared import BATCH, DIFFUSION, GROUP, ONE_OR_TWO_PAIRS, TAGS, UNCERTAINTY, WEIGHTS

METHOD = Method(
    id="fuse_trained",
    operation="fuse",
    title="Fuse with a trained network",
    group=GROUP,
    summary="Predicts a fine image with the network of a checkpoint, whichever network that is.",
    description=(
        "The model card in the checkpoint says which network it is, which bands and pairs it takes, and on what scale "
        "its images were: the images are brought to that scale, and an image that cannot fit is refused. A network "
        "that was trained band by band takes images of any sensor."
    ),
    paper="",
    doi="",
    roles=(
        replace(
            WEIGHTS,
            required=True,
            help="Checkpoint (*.safetensors) that 'Train a fusion network', 'Fine-tune on this scene' or 'Import a "
            "network' wrote.",
        ),
        *ONE_OR_TWO_PAIRS,
    ),
    options=(*DIFFUSION, BATCH),
    outputs=(PREDICTION, UNCERTAINTY),
    run="stfusion.networks._run:run",
    tags=TAGS,
    needs="networks",
)
