"""Fill gaps: clouds in the fine images of a stack, from fused images of the same dates, without seams."""

from __future__ import annotations

from stfusion.declaration import Method, Option, Output, Result, Role
from stfusion.preparation._shared import NAME_OPTION
from stfusion.series._shared import GROUP

METHOD = Method(
    id="fill_gaps",
    operation="series",
    title="Fill gaps",
    group=GROUP,
    summary="Fills clouds and other gaps of fine images from fused images of the same dates, with seam correction.",
    description=(
        "Every fine image gets values in its gaps (no data, or masked): those of the fused image of the same date, "
        "moved by what the fine image differs from it: by a regression on the bands over the whole image, and by what "
        "that leaves around the gap, where close to the border the nearest pixels decide and in its midst all around "
        "it. So no seam shows. Observed pixels are never changed. Where the "
        "fused image has a gap too, there is no data, and such pixels are counted."
    ),
    paper=(
        "Gortler, S. J., Grzeszczuk, R., Szeliski, R., & Cohen, M. F. (1996). The Lumigraph. Proceedings of SIGGRAPH "
        "96, 43-54."
    ),
    doi="10.1145/237170.237200",
    roles=(
        Role(
            "fine", "Fine images", "fine", "",
            "Fine images with gaps, each layer being an image of one date, which is read from its tags or its name; a "
            "folder stands for the raster files in it.",
            several=True,
        ),
        Role(
            "fused", "Fused images", "fused", "",
            "Fused images of the same dates, such as 'Fuse a time series' writes them; dates that no fine image has "
            "are passed over.",
            several=True,
        ),
        Role(
            "fine_masks", "Masks of the fine images", "mask", "",
            "Masks of the same dates as the fine images; pixels that are not clear are gaps.",
            required=False, several=True,
        ),
    ),
    options=(
        Option(
            "seam", "boolean", "Seam correction", True,
            "Carry the difference between observed and fused pixels into the gaps; otherwise the fused values stay.",
            advanced=False,
        ),
        Option(
            "mask", "boolean", "Masks of what is filled", False,
            "Write a mask for every date too, into the folder 'filled': 0 observed, 1 filled, 2 no data.",
            advanced=False,
        ),
        Option(
            "support", "number", "Pixels of support", 8.0,
            "Number of pixels beside a gap that count as much as those further away. More makes the correction "
            "smoother and less sensitive to noise, fewer follow the border more closely.",
            0.1, 10_000,
        ),
        Option(
            "margin", "integer", "Margin (pixels)", 0,
            "Observed pixels so close to a gap do not count for the correction, since clouds often have hazy edges.",
            0, 64,
        ),
        NAME_OPTION,
    ),
    outputs=(
        Output(
            "output", "folder_out", "Folder of the filled images", "Folder that receives an image for each date.",
            images=True,
        ),
    ),
    results=(
        Result("images", "number", "Images"),
        Result("filled", "number", "Filled pixels"),
        Result("missing", "number", "Pixels without data"),
    ),
    run="stfusion.series._fill_gaps:run",
    tags=("cloud", "gap filling", "seam", "blend", "reconstruction", "cloud-free", "time series"),
)
