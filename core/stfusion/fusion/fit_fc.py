"""Fit-FC: regression model fitting, spatial filtering and residual compensation (Wang and Atkinson 2018)."""

from __future__ import annotations

from stfusion.declaration import Method, Option
from stfusion.fusion._shared import (
    FIRST_PAIR,
    GROUP,
    PREDICTION,
    RATIO,
    SECOND_PAIR_OPTIONAL,
    SIMILAR_PIXELS,
    TARGET,
    UNIT,
)

METHOD = Method(
    id="fit_fc",
    operation="fuse",
    title="Fit-FC",
    group=GROUP,
    summary="Fits the change of the coarse images by local regressions and applies them to the fine image.",
    description=(
        "Fit-FC fits a line between the coarse images of the two dates around every coarse pixel and applies it to the "
        "fine image. A mean over similar pixels removes the blocks of the coarse grid, and what the lines left "
        "unexplained is added, smoothed in the same way. It follows strong change of any sign, such as from bare soil "
        "to crops, and needs neither classes nor training. It assumes that boundaries stay where they are: it blurs "
        "land cover that changed inside a coarse pixel."
    ),
    paper=(
        "Wang, Q., Atkinson, P. M. (2018). Spatio-temporal fusion for daily Sentinel-2 images. Remote Sensing of "
        "Environment 204, 31-42."
    ),
    doi="10.1016/j.rse.2017.10.046",
    roles=(*FIRST_PAIR, TARGET, *SECOND_PAIR_OPTIONAL),
    options=(
        *SIMILAR_PIXELS,
        Option(
            "coarse_window",
            "integer",
            "Window of the regressions (coarse pixels)",
            9,
            "Side of the window of coarse pixels that a line is fitted to, odd. A larger one gives more stable lines, "
            "a smaller one follows local change.",
            minimum=3,
            maximum=101,
            odd=True,
            advanced=False,
        ),
        RATIO,
        UNIT,
    ),
    outputs=(PREDICTION,),
    run="stfusion.fusion._fit_fc:run",
    tags=("fusion", "regression", "sentinel", "landsat", "modis", "reflectance", "time series"),
)
