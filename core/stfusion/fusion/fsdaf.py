"""FSDAF: flexible spatiotemporal data fusion (Zhu, Helmer, Gao, Liu, Chen and Lefsky 2016)."""

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
    TARGET,
    UNIT,
)

METHOD = Method(
    id="fsdaf",
    operation="fuse",
    title="FSDAF",
    group=GROUP,
    summary="Predicts the change of every class by unmixing, and shares out what the classes do not explain.",
    description=(
        "FSDAF classifies the fine image, finds the change of every class from the coarse pixels that are purest in "
        "it, and adds it to the fine image. What a coarse pixel changed beyond that is shared out among its fine "
        "pixels: more to those where a smooth surface through the coarse image of the target date disagrees, so that "
        "new land cover appears where it is as large as a coarse pixel. A mean over similar pixels removes the "
        "blocks of the coarse grid. It suits mixed landscapes, and dates between which land cover changed."
    ),
    paper=(
        "Zhu, X., Helmer, E. H., Gao, F., Liu, D., Chen, J., Lefsky, M. A. (2016). A flexible spatiotemporal method "
        "for fusing satellite images with different resolutions. Remote Sensing of Environment 172, 165-177."
    ),
    doi="10.1016/j.rse.2015.11.016",
    roles=(*FIRST_PAIR, TARGET, *SECOND_PAIR_OPTIONAL, CLASS_MAP),
    options=(
        CLASSES,
        Option(
            "window",
            "integer",
            "Window (fine pixels)",
            0,
            "Side of the window in which similar pixels are searched, in fine pixels; an even number is made odd "
            "by one more. 0 takes one and a half coarse pixels; the authors' program takes two and a half.",
            minimum=0,
            maximum=501,
            advanced=False,
        ),
        Option(
            "neighbours",
            "integer",
            "Number of similar pixels",
            20,
            "Number of most similar pixels whose changes are averaged. More smooth more; 1 does not smooth at all.",
            minimum=1,
            maximum=1000,
        ),
        Option(
            "pure",
            "integer",
            "Pure coarse pixels of a class",
            100,
            "Number of the purest coarse pixels of every class that its change is found from; at most half of all.",
            minimum=1,
            maximum=10_000,
        ),
        Option(
            "trim",
            "number",
            "Share of outliers among pure coarse pixels",
            0.1,
            "Share of the pure coarse pixels of a class that is left out at either end of the range of change; the "
            "paper takes 0.1, and 0.25 where much land cover changed.",
            minimum=0.0,
            maximum=0.45,
        ),
        Option(
            "residual",
            "choice",
            "Residuals are shared out by",
            "size",
            "What the classes do not explain is shared out in proportion to two errors of every pixel. size: by the "
            "sizes of the errors, leaving out those of the other sign, as the authors' program does. signed: by the "
            "errors with their signs, as the paper prints it.",
            choices=("size", "signed"),
        ),
        RATIO,
        UNIT,
    ),
    outputs=(PREDICTION,),
    run="stfusion.fusion._fsdaf:run",
    tags=("fusion", "unmixing", "classes", "landsat", "modis", "sentinel", "reflectance", "land cover change"),
)
