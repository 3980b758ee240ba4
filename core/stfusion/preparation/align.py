"""Bring images onto the grid of a reference, and mend how they are displaced against it."""

from __future__ import annotations

from stfusion.declaration import Method, Option, Output, Result, Role
from stfusion.preparation._shared import GROUP, MASKS, NAME_OPTION, RESAMPLING

#: What the pixels of the result can be.
GRIDS = ("nested", "reference", "common", "union", "own")
#: What is done about a displacement.
CHECKS = ("correct", "report", "no")

METHOD = Method(
    id="align",
    operation="prepare",
    title="Align images",
    group=GROUP,
    summary="Brings images onto the grid of a reference, and finds and mends how far they are displaced against it.",
    description=(
        "Every image is brought onto a grid that fits that of the reference: coarse pixels that the fine ones divide "
        "exactly, or the pixels of the reference themselves. Before that, its displacement is measured to a part of a "
        "pixel by comparing windows of its bands with what the reference looks like at its resolution. An image is "
        "moved only where the match stands out from what chance gives, the windows and bands agree, and the "
        "displacement is larger than its error; otherwise it is left where it is, and that is said. Nothing needs the "
        "whole image in memory."
    ),
    paper=(
        "Padfield, D. (2012). Masked object registration in the Fourier domain. IEEE Transactions on Image "
        "Processing, 21(5), 2706-2718."
    ),
    doi="10.1109/TIP.2011.2181402",
    roles=(
        Role(
            "images", "Images", "image", "",
            "Images to align, each layer being an image of its own; a folder stands for the raster files in it.",
            several=True,
        ),
        Role(
            "reference", "Reference images", "reference", "",
            "Images that lie where they should, such as the fine ones, all of one grid; an image is compared with the "
            "one that is nearest to it in time.",
            several=True,
        ),
        *MASKS,
    ),
    options=(
        Option(
            "grid", "choice", "Grid", "nested",
            "'nested': pixels of about the size of the image's that those of the reference divide exactly, from its "
            "upper left corner on; 'reference': the pixels of the reference; 'common' and 'union': the pixels of the "
            "reference, continued, on the extent that all images share or cover together, where images of the same "
            "pixels are not resampled; 'own': the image's pixels as they are stored, of which only the place is "
            "mended.",
            choices=GRIDS, advanced=False,
        ),
        Option(
            "shift", "choice", "Displacement", "correct",
            "'correct': measured, and mended where it is sure; 'report': measured and told; 'no': not measured.",
            choices=CHECKS, advanced=False,
        ),
        Option(
            "same_extent", "boolean", "Same extent", False,
            "The images cover the same extent as the reference, whatever their coordinate systems say: for images "
            "that have none.",
            advanced=False,
        ),
        RESAMPLING,
        Option(
            "common", "boolean", "One displacement for all", True,
            "Move all images alike, by the median of what is sure, as gridded products are displaced; otherwise "
            "each by its own displacement.",
        ),
        Option(
            "largest_shift", "number", "Largest displacement", 3.0,
            "How far a displacement is searched, in pixels of the coarser of the two images; where it was resampled "
            "to smaller pixels, in pixels as large as its detail.",
            1.0, 16.0,
        ),
        Option(
            "ratio", "integer", "Ratio", 0,
            "Reference pixels along a nested pixel. 0 takes it from the sizes of the pixels.", 0, 256,
        ),
        NAME_OPTION,
    ),
    outputs=(
        Output(
            "output", "folder_out", "Folder of the aligned images",
            "Folder that receives an image for each one given, with its date in its name, and the table alignment.csv "
            "of displacements.",
            images=True,
        ),
    ),
    results=(
        Result("moved", "number", "Images that were moved"),
        Result("rows", "number", "Displacement mended, reference pixels down (median)"),
        Result("columns", "number", "Displacement mended, reference pixels to the right (median)"),
    ),
    run="stfusion.preparation._align:run",
    tags=("co-registration", "registration", "shift", "misregistration", "phase correlation", "resample", "grid"),
)
