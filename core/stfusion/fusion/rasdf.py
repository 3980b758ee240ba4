"""RASDF: reliable and adaptive spatiotemporal data fusion (Shi, Guo and Zhang 2022)."""

from __future__ import annotations

from stfusion.declaration import Method, Option
from stfusion.fusion._shared import FIRST_PAIR, GROUP, PREDICTION, RATIO, SECOND_PAIR_OPTIONAL, TARGET, UNIT

METHOD = Method(
    id="rasdf",
    operation="fuse",
    title="RASDF",
    group=GROUP,
    summary="Unmixes the coarse change into fuzzy classes, and trusts the coarse image where it proves reliable.",
    description=(
        "RASDF measures how well the coarse image agrees with the fine one, coarse pixel by coarse pixel. It divides "
        "the fine image into fuzzy classes, finds their changes from the reliable coarse pixels of the whole scene, "
        "and again from the neighbourhood where these do not explain what happened. The changes are averaged over "
        "similar pixels, and so is what they leave of the coarse change. The less reliable the coarse image is, the "
        "wider the window. It suits mixed landscapes with change of land cover, also where the sensors disagree."
    ),
    paper=(
        "Shi, W., Guo, D., Zhang, H. (2022). A reliable and adaptive spatiotemporal data fusion method for blending "
        "multi-spatiotemporal-resolution satellite images. Remote Sensing of Environment 268, 112770."
    ),
    doi="10.1016/j.rse.2021.112770",
    roles=(*FIRST_PAIR, TARGET, *SECOND_PAIR_OPTIONAL),
    options=(
        Option(
            "fewest",
            "integer",
            "Fewest classes",
            4,
            "Smallest number of fuzzy classes that is tried.",
            minimum=1,
            maximum=50,
        ),
        Option(
            "most",
            "integer",
            "Most classes",
            7,
            "Largest number of fuzzy classes that is tried; the number that explains the coarse change best is taken.",
            minimum=1,
            maximum=50,
            advanced=False,
        ),
        Option(
            "local",
            "boolean",
            "Unmix changed places again",
            True,
            "Where the classes of the whole scene do not explain the coarse change, unmix it with the neighbouring "
            "coarse pixels alone.",
            advanced=False,
        ),
        Option(
            "coarse_change",
            "boolean",
            "Keep to the coarse change",
            True,
            "What the mean over similar pixels leaves of the coarse change is added in the end, between the centres of "
            "the coarse pixels. Without, it is left as it is, as in the paper.",
            advanced=False,
        ),
        Option(
            "near",
            "number",
            "Reach where reliable (coarse pixels)",
            1.0,
            "Half of the window in which similar pixels are searched, if the coarse image agrees with the fine one.",
            minimum=0.1,
            maximum=10.0,
        ),
        Option(
            "far",
            "number",
            "Reach where unreliable (coarse pixels)",
            4.0,
            "The same if it does not agree at all; between the two in proportion to the mean reliability.",
            minimum=0.1,
            maximum=10.0,
        ),
        Option(
            "neighbours",
            "integer",
            "Number of similar pixels",
            20,
            "Number of most similar pixels over which changes and residuals are averaged, for a reach of one coarse "
            "pixel; more in proportion.",
            minimum=1,
            maximum=1000,
        ),
        Option(
            "lowest",
            "number",
            "Lowest valid value (reflectance)",
            0.0,
            "Predictions below it become the fine value plus the coarse change. Not used where the fine images have "
            "lower values themselves, as temperatures in degrees or indices.",
        ),
        Option(
            "highest",
            "number",
            "Highest valid value (reflectance)",
            1.0,
            "Predictions above it become the fine value plus the coarse change. Not used where the fine images have "
            "higher values themselves, as temperatures in kelvin.",
        ),
        RATIO,
        UNIT,
    ),
    outputs=(PREDICTION,),
    run="stfusion.fusion._rasdf:run",
    tags=("fusion", "unmixing", "fuzzy", "change", "landsat", "modis", "sentinel", "reflectance"),
)
