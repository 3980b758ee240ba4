"""STARFM: spatial and temporal adaptive reflectance fusion model (Gao, Masek, Schwaller and Hall 2006)."""

from __future__ import annotations

from stfusion.declaration import Method, Option
from stfusion.fusion._shared import (
    FIRST_PAIR,
    GROUP,
    MOVING_WINDOW,
    PREDICTION,
    RESAMPLING,
    SECOND_PAIR_OPTIONAL,
    TARGET,
    UNIT,
)

METHOD = Method(
    id="starfm",
    operation="fuse",
    title="STARFM",
    group=GROUP,
    summary="Predicts a fine image from one or two pairs and the coarse image of the target date.",
    description=(
        "STARFM adds the change seen by the coarse sensor to the fine image. Around every pixel it searches a moving "
        "window for similar pixels, and weights them by their spectral difference (fine against coarse), their "
        "temporal difference (coarse against coarse) and their distance. It assumes that a pure coarse pixel and the "
        "fine pixels in it differ by the same amount on all dates. It follows seasonal change well; it blurs "
        "objects smaller than a coarse pixel that change differently from their surroundings, and cannot see a "
        "change that the coarse image does not show."
    ),
    paper=(
        "Gao, F., Masek, J., Schwaller, M., Hall, F. (2006). On the blending of the Landsat and MODIS surface "
        "reflectance: predicting daily Landsat surface reflectance. IEEE Transactions on Geoscience and Remote "
        "Sensing 44(8), 2207-2218."
    ),
    doi="10.1109/TGRS.2006.872081",
    roles=(*FIRST_PAIR, TARGET, *SECOND_PAIR_OPTIONAL),
    options=(
        MOVING_WINDOW,
        Option(
            "classes",
            "integer",
            "Number of classes",
            40,
            "Number of spectral classes m. A neighbour is similar when it differs from the central pixel by at most "
            "twice the image's standard deviation over m; with sampling by class, the number of clusters. More "
            "classes select more strictly.",
            minimum=1,
            maximum=1000,
            advanced=False,
        ),
        Option(
            "sampling",
            "choice",
            "Similar pixels by",
            "threshold",
            "threshold: neighbours whose value is near the central pixel's. class: neighbours in the same class of an "
            "unsupervised classification (k-means) of each fine image.",
            choices=("threshold", "class"),
        ),
        Option(
            "joint",
            "boolean",
            "Same similar pixels for all bands",
            True,
            "Decide similarity once for all bands (they all have to agree), as the paper does, instead of band by "
            "band; keeps spectra consistent.",
        ),
        Option(
            "joint_bands",
            "text",
            "Bands that decide similarity",
            "",
            "With the same similar pixels for all bands: which of the chosen bands decide, counted from 1 and "
            "separated by commas, such as the red and near-infrared bands of the paper. All when empty.",
        ),
        Option(
            "logarithmic",
            "boolean",
            "Logarithmic weights",
            True,
            "Weight by ln(10000 S + 1) ln(10000 T + 1) D, the paper's choice for heterogeneous scenes, instead of S T "
            "D: less sensitive to single differences.",
        ),
        Option(
            "fine_uncertainty",
            "number",
            "Uncertainty of the fine sensor (reflectance)",
            0.005,
            "Standard error of fine reflectance; the paper takes 0.002 for visible and 0.005 for near-infrared bands.",
            minimum=0.0,
            maximum=1.0,
        ),
        Option(
            "coarse_uncertainty",
            "number",
            "Uncertainty of the coarse sensor (reflectance)",
            0.005,
            "Standard error of coarse reflectance. Larger uncertainties let more neighbours in.",
            minimum=0.0,
            maximum=1.0,
        ),
        Option(
            "smallest_difference",
            "number",
            "Smallest difference (reflectance)",
            0.0001,
            "Added to the spectral and temporal differences, so that a difference of zero does not make a weight "
            "infinite. The smaller it is, the more pure coarse pixels outweigh mixed ones.",
            minimum=1e-9,
            maximum=1.0,
        ),
        Option(
            "filter",
            "choice",
            "Neighbours have to pass",
            "both",
            "both: a neighbour's spectral and temporal difference have to stay below the bounds of the central pixel, "
            "as in the paper. either: one of them is enough, which lets more neighbours in.",
            choices=("both", "either"),
        ),
        Option(
            "distance_constant",
            "number",
            "Distance constant A (fine pixels)",
            0.0,
            "Distance at which the spatial weight has halved: D = 1 + d / A. 0 takes half of the window.",
            minimum=0.0,
        ),
        RESAMPLING,
        UNIT,
    ),
    outputs=(PREDICTION,),
    run="stfusion.fusion._starfm:run",
    tags=("fusion", "landsat", "modis", "sentinel", "downscaling", "reflectance", "time series"),
)
