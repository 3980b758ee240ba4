"""Baseline: the fine image of the pair, unchanged."""

from __future__ import annotations

from stfusion.declaration import Method
from stfusion.fusion._shared import FIRST_PAIR, GROUP, PREDICTION, RESAMPLING, TARGET

METHOD = Method(
    id="copy_fine",
    operation="fuse",
    title="Baseline: copy of the fine image",
    group=GROUP,
    summary="Takes the fine image of the pair for the target date, as if nothing had changed.",
    description=(
        "What one has without any fusion: the fine image of another date. A method that does not beat it is of no use "
        "for the scene. The result has a value wherever the fine image has one; the coarse images are only checked."
    ),
    paper="",
    doi="",
    roles=(*FIRST_PAIR, TARGET),
    options=(RESAMPLING,),
    outputs=(PREDICTION,),
    run="stfusion.fusion._baselines:copy_fine",
    tags=("fusion", "baseline", "no change", "persistence"),
)
