"""VIPSTF: virtual image pair-based spatio-temporal fusion (Wang et al. 2020)."""

from __future__ import annotations

from stfusion.declaration import Method, Option
from stfusion.fusion._shared import (
    CLASS_MAP,
    CLASSES,
    FIRST_PAIR,
    GROUP,
    PREDICTION,
    RATIO,
    SECOND_PAIR_OPTIONAL,
    SIMILAR_PIXELS,
    TARGET,
)

METHOD = Method(
    id="vipstf",
    operation="fuse",
    title="VIPSTF",
    group=GROUP,
    summary="Makes a virtual pair for the target date by regression and downscales what it leaves of the coarse image.",
    description=(
        "VIPSTF finds, band by band, which sum of the known coarse images comes nearest to the coarse image of the "
        "target date, and makes the same sum of the fine images: a virtual pair, nearer to the target date than any "
        "known one. Only the small rest of the coarse image is left to be downscaled: by a mean over similar pixels "
        "(VIPSTF-SW) or by unmixing into classes (VIPSTF-SU). It is at its best with two pairs, where much of the "
        "change is common to the whole scene. Change that differs from place to place is left to the downscaling."
    ),
    paper=(
        "Wang, Q., Tang, Y., Tong, X., Atkinson, P. M. (2020). Virtual image pair-based spatio-temporal fusion. Remote "
        "Sensing of Environment 249, 112009."
    ),
    doi="10.1016/j.rse.2020.112009",
    roles=(*FIRST_PAIR, TARGET, *SECOND_PAIR_OPTIONAL, CLASS_MAP),
    options=(
        Option(
            "version",
            "choice",
            "How the rest is downscaled",
            "weighting",
            "weighting: a mean over similar pixels (VIPSTF-SW). unmixing: every class takes what least squares finds "
            "for it around its coarse pixel (VIPSTF-SU); window and number of similar pixels are not used.",
            choices=("weighting", "unmixing"),
            advanced=False,
        ),
        *SIMILAR_PIXELS,
        CLASSES,
        Option(
            "coarse_window",
            "integer",
            "Window of the unmixing (coarse pixels)",
            5,
            "Side of the moving window of coarse pixels that are unmixed together, odd; it needs two coarse pixels for "
            "every class.",
            minimum=3,
            maximum=101,
            odd=True,
        ),
        Option(
            "regularisation",
            "number",
            "Weight of the mean in the unmixing (coarse pixels)",
            1.0,
            "Draws what a class takes to the mean of the window, as if that many pure coarse pixels said so; 1 is "
            "better than 0 in most scenes.",
            minimum=0.0,
            maximum=1e6,
        ),
        RATIO,
    ),
    outputs=(PREDICTION,),
    run="stfusion.fusion._vipstf:run",
    tags=("fusion", "regression", "unmixing", "time series", "landsat", "sentinel", "modis", "reflectance"),
)
