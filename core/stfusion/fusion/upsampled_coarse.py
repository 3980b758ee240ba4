"""Baseline: the coarse image of the target date on the fine grid."""

from __future__ import annotations

from stfusion.declaration import Method
from stfusion.fusion._shared import FIRST_PAIR, GROUP, PREDICTION, RESAMPLING, TARGET

METHOD = Method(
    id="upsampled_coarse",
    operation="fuse",
    title="Baseline: upsampled coarse image",
    group=GROUP,
    summary="Takes the coarse image of the target date, resampled to the fine grid.",
    description=(
        "What one has from the coarse sensor alone: the right date without the detail. It is strong where the "
        "landscape is homogeneous or has changed everywhere. The result has a value wherever the coarse image of the "
        "target date has one; the pair is only checked."
    ),
    paper="",
    doi="",
    roles=(*FIRST_PAIR, TARGET),
    options=(RESAMPLING,),
    outputs=(PREDICTION,),
    run="stfusion.fusion._baselines:upsampled_coarse",
    tags=("fusion", "baseline", "resampling", "interpolation"),
)
