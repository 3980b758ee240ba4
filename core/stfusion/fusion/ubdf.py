"""UBDF: unmixing-based data fusion (Zhukov et al. 1999, Zurita-Milla et al. 2008)."""

from __future__ import annotations

from stfusion.declaration import Method, Option
from stfusion.fusion._shared import CLASS_MAP, CLASSES, FIRST_PAIR, GROUP, PREDICTION, RATIO, TARGET

METHOD = Method(
    id="ubdf",
    operation="fuse",
    title="UBDF",
    group=GROUP,
    summary="Unmixes the coarse image by the classes of the fine image in a moving window.",
    description=(
        "UBDF divides the fine image into classes and counts their fractions in every coarse pixel. In a moving window "
        "of coarse pixels it then finds, by least squares within bounds, what each class must have for the coarse "
        "pixels to be what they are, and gives it to the fine pixels of the class. It is quick and needs nothing but "
        "classes. It unmixes the values of the target date themselves, as in the paper, where every class is uniform "
        "within a coarse pixel, or their change, which is added to the fine image and keeps its texture."
    ),
    paper=(
        "Zurita-Milla, R., Clevers, J. G. P. W., Schaepman, M. E. (2008). Unmixing-based Landsat TM and MERIS FR data "
        "fusion. IEEE Geoscience and Remote Sensing Letters 5(3), 453-457."
    ),
    doi="10.1109/LGRS.2008.919685",
    roles=(*FIRST_PAIR, TARGET, CLASS_MAP),
    options=(
        CLASSES,
        Option(
            "window",
            "integer",
            "Window (coarse pixels)",
            5,
            "Side of the moving window of coarse pixels, odd; it needs two coarse pixels for every class. A larger one "
            "is more stable, a smaller one follows local differences within a class.",
            minimum=3,
            maximum=101,
            odd=True,
            advanced=False,
        ),
        Option(
            "unmix",
            "choice",
            "What is unmixed",
            "absolute",
            "absolute: the coarse image of the target date, as in the paper. change: the difference of the coarse "
            "images, which is added to the fine image (STDFA, STRUM); the texture within classes stays, and errors "
            "are smaller.",
            choices=("absolute", "change"),
            advanced=False,
        ),
        Option(
            "regularisation",
            "number",
            "Weight of the class means over the scene (coarse pixels)",
            0.0,
            "Draws what a class has in a window to what it has over the whole scene, as if that many pure coarse "
            "pixels said so; 1 is better than 0 in most scenes.",
            minimum=0.0,
            maximum=1e6,
        ),
        RATIO,
    ),
    outputs=(PREDICTION,),
    run="stfusion.fusion._ubdf:run",
    tags=("fusion", "unmixing", "classes", "landsat", "meris", "modis", "reflectance"),
)
