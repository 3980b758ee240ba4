"""OBSUM: object-based spatial unmixing (Guo, Ye, Xu, Chen 2024)."""

from __future__ import annotations

from stfusion.declaration import Method, Option, Role
from stfusion.fusion._shared import CLASS_MAP, CLASSES, FIRST_PAIR, GROUP, PREDICTION, RATIO, TARGET

OBJECT_MAP = Role(
    "object_map",
    "Object map",
    "classes",
    "object_map",
    "Objects such as parcels or a segmentation, one whole number (up to 16 million) an object, for pixels of the fine "
    "image; resampled to its grid by nearest neighbour. Pixels without a number, all of them when there is no map, are "
    "segmented by the method.",
    required=False,
)

METHOD = Method(
    id="obsum",
    operation="fuse",
    title="OBSUM",
    group=GROUP,
    summary="Unmixes the coarse change for the objects of the fine image and compensates what is left of it.",
    description=(
        "OBSUM divides the fine image into objects, such as fields, and unmixes the coarse change into changes of land "
        "cover classes around every coarse pixel. Every object takes the mean change of its class; then the residual "
        "of the coarse pixels that show it best, so that single fields may change unlike their class; and last, what "
        "is still left is spread over similar pixels. It keeps fields whole and sees single ones change, as by harvest "
        "or flood, where they fill a good part of a coarse pixel. It cannot see an object split between the dates."
    ),
    paper=(
        "Guo, H., Ye, D., Xu, H., Bruzzone, L. (2024). OBSUM: An object-based spatial unmixing model for "
        "spatiotemporal fusion of remote sensing images. Remote Sensing of Environment 304, 114046."
    ),
    doi="10.1016/j.rse.2024.114046",
    roles=(*FIRST_PAIR, TARGET, CLASS_MAP, OBJECT_MAP),
    options=(
        CLASSES,
        Option(
            "object_scale",
            "number",
            "Scale of the objects",
            0.5,
            "Neighbouring regions become one object where they differ by less than inside plus this value over their "
            "number of pixels, in standard deviations of the bands. Larger values give larger objects.",
            minimum=0.0,
            maximum=1000.0,
            advanced=False,
        ),
        Option(
            "smallest_object",
            "integer",
            "Smallest object (fine pixels)",
            30,
            "Smaller objects join the neighbour most like them.",
            minimum=1,
            maximum=100000,
            advanced=False,
        ),
        Option(
            "largest_object",
            "integer",
            "Largest extent of an object (fine pixels)",
            128,
            "The scene is divided into squares of this side, rounded up to whole coarse pixels, which bound the "
            "objects; so do they those of an object map.",
            minimum=16,
            maximum=2048,
        ),
        Option(
            "coarse_window",
            "integer",
            "Window of the unmixing (coarse pixels)",
            15,
            "Side of the window of coarse pixels that are unmixed together, odd. It has to hold more of them than "
            "there are classes.",
            minimum=3,
            maximum=101,
            odd=True,
        ),
        Option(
            "selected",
            "number",
            "Pixels that show an object best (%)",
            5.0,
            "Share of an object's pixels whose residual it takes: those with most of the object around them, and "
            "nearest to the centre of their coarse pixel.",
            minimum=0.0,
            maximum=100.0,
        ),
        Option(
            "window",
            "integer",
            "Window (fine pixels)",
            31,
            "Side of the window in which similar pixels are searched, in fine pixels, odd.",
            minimum=3,
            maximum=501,
            odd=True,
        ),
        Option(
            "neighbours",
            "integer",
            "Number of similar pixels",
            30,
            "Number of most similar pixels over which the last residual is averaged.",
            minimum=1,
            maximum=1000,
        ),
        RATIO,
    ),
    outputs=(PREDICTION,),
    run="stfusion.fusion._obsum:run",
    tags=("fusion", "unmixing", "object", "segmentation", "parcels", "landsat", "sentinel", "modis", "reflectance"),
)
