"""ESTARFM: enhanced spatial and temporal adaptive reflectance fusion model (Zhu, Chen, Gao, Chen and Masek 2010)."""

from __future__ import annotations

from dataclasses import replace

from stfusion.declaration import Method, Option
from stfusion.fusion._shared import (
    FIRST_PAIR,
    GROUP,
    MOVING_WINDOW,
    PREDICTION,
    RESAMPLING,
    SECOND_PAIR,
    TARGET,
    UNIT,
)

METHOD = Method(
    id="estarfm",
    operation="fuse",
    title="ESTARFM",
    group=GROUP,
    summary="Predicts a fine image from two pairs, with the rate at which fine values change with coarse ones.",
    description=(
        "ESTARFM searches a moving window for pixels that are similar on both dates of the pairs, finds by regression "
        "how strongly their fine values change when the coarse value does (the conversion coefficient), and adds the "
        "weighted coarse change times this coefficient to the fine image of each pair. The two results are weighted "
        "by how near the coarse images of their dates come to the target. It keeps small objects and contrasts in "
        "heterogeneous landscapes, where STARFM blurs; it expects reflectance to change steadily between the dates "
        "of the pairs, and blurs boundaries that move. With the bias correction it is ubESTARFM for temperatures."
    ),
    paper=(
        "Zhu, X., Chen, J., Gao, F., Chen, X., Masek, J. G. (2010). An enhanced spatial and temporal adaptive "
        "reflectance fusion model for complex heterogeneous regions. Remote Sensing of Environment 114(11), 2610-2623."
    ),
    doi="10.1016/j.rse.2010.05.032",
    roles=(*FIRST_PAIR, TARGET, *SECOND_PAIR),
    options=(
        MOVING_WINDOW,
        Option(
            "classes",
            "integer",
            "Number of classes",
            4,
            "Number of land-cover classes m. A neighbour is similar when it differs from the central pixel by at most "
            "twice the image's standard deviation over m, in every band and at both dates. With few bands, more "
            "classes are needed to select as strictly.",
            minimum=1,
            maximum=1000,
            advanced=False,
        ),
        Option(
            "conversion",
            "choice",
            "Conversion coefficient",
            "weighted",
            "regression: slope of the fine on the coarse values of the similar pixels, all alike, as in the paper. "
            "weighted: the same, each pixel with its weight in the prediction, which is nearer to the truth on most "
            "scenes. one: always 1, the fine value changes as the coarse one does.",
            choices=("regression", "weighted", "one"),
            advanced=False,
        ),
        Option(
            "least_change",
            "number",
            "Least coarse change for a regression (reflectance)",
            0.02,
            "Mean coarse change of the similar pixels between the two pairs below which the coefficient is 1.",
            minimum=0.0,
        ),
        Option(
            "bias_correction",
            "boolean",
            "Correct the local bias",
            False,
            "Subtract the mean difference between the fine and the coarse values of the similar pixels from the fine "
            "values, date by date (ubESTARFM): the result then has the coarse sensor's level. For temperatures.",
            advanced=False,
        ),
        Option(
            "block",
            "integer",
            "Blocks of the standard deviation (fine pixels)",
            0,
            "Side of the blocks, from the upper left corner, in which the standard deviation is taken; neighbouring "
            "blocks can meet in a seam. 0 takes the whole image.",
            minimum=0,
            maximum=1000,
        ),
        Option(
            "lowest",
            "number",
            "Lowest valid value (reflectance)",
            0.0,
            "Predictions at or below it are replaced by the mean fine value of the similar pixels. Not used where the "
            "fine images have lower values themselves, as temperatures in degrees or indices.",
        ),
        Option(
            "highest",
            "number",
            "Highest valid value (reflectance)",
            1.0,
            "Predictions at or above it are replaced by the mean fine value of the similar pixels. Not used where the "
            "fine images have higher values themselves, as temperatures in kelvin.",
        ),
        replace(RESAMPLING, default="nearest"),
        UNIT,
    ),
    outputs=(PREDICTION,),
    run="stfusion.fusion._estarfm:run",
    tags=("fusion", "landsat", "modis", "sentinel", "downscaling", "reflectance", "temperature", "time series"),
)
