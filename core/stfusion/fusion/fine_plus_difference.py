"""Baseline: the fine image plus the change that the coarse sensor saw."""

from __future__ import annotations

from stfusion.declaration import Method
from stfusion.fusion._shared import FIRST_PAIR, GROUP, PREDICTION, RESAMPLING, TARGET

METHOD = Method(
    id="fine_plus_difference",
    operation="fuse",
    title="Baseline: fine + coarse difference",
    group=GROUP,
    summary="Adds the coarse change between the dates, resampled to the fine grid, to the fine image.",
    description=(
        "The simplest fusion: every fine pixel changes as much as its resampled coarse pixels. It keeps the detail of "
        "the fine image and the total change of the coarse ones, and is hard to beat where the change is large and "
        "abrupt. It is exact where a coarse pixel changes uniformly, and wrong where classes change differently within "
        "it."
    ),
    paper="",
    doi="",
    roles=(*FIRST_PAIR, TARGET),
    options=(RESAMPLING,),
    outputs=(PREDICTION,),
    run="stfusion.fusion._baselines:fine_plus_difference",
    tags=("fusion", "baseline", "change", "difference"),
)
