"""Judge fine and coarse images by what they have in common, and mark the dates that are no good."""

from __future__ import annotations

from stfusion.declaration import Method, Option, Output, Result, Role
from stfusion.preparation._shared import GROUP, masks_of

METHOD = Method(
    id="check_pairs",
    operation="prepare",
    title="Check pairs",
    group=GROUP,
    summary="Judges every date of a fine and a coarse stack by how the images agree, and marks the bad ones.",
    description=(
        "Every fine image is compared with the coarse image nearest in time, at the coarse resolution and band by "
        "band: correlation, displacement with its confidence, bias, scale, and the share of valid pixels. Every coarse "
        "image is compared with those before and after it, so that a broken one is found where no fine image tells. "
        "Dates whose images have too little in common are marked, with the reason and with which of the two images is "
        "to blame. A displacement alone makes no date bad: it is reported, and 'Align images' mends it. One HTML page, "
        "and the numbers as CSV and JSON. Nothing needs a whole image in memory."
    ),
    paper=(
        "McColl, K. A., Vogelzang, J., Konings, A. G., Entekhabi, D., Piles, M., & Stoffelen, A. (2014). Extended "
        "triple collocation: Estimating errors and correlation coefficients with respect to an unknown target. "
        "Geophysical Research Letters, 41(17), 6229-6236."
    ),
    doi="10.1002/2014GL061322",
    roles=(
        Role(
            "fine", "Fine images", "fine", "",
            "Fine images of one place, each layer being an image of one date, which is read from its tags or its "
            "name; a folder stands for the raster files in it.",
            several=True,
        ),
        Role(
            "coarse", "Coarse images", "coarse", "",
            "Coarse images of the same place, each layer being an image of one date; a folder stands for the raster "
            "files in it.",
            several=True,
        ),
        masks_of("fine images", "fine_masks"),
        masks_of("coarse images", "coarse_masks"),
    ),
    options=(
        Option(
            "days", "integer", "Days between the dates of a pair", 16,
            "A fine image is compared with the coarse image nearest in time, at most so many days apart.", 0, 366,
            advanced=False,
        ),
        Option(
            "same_extent", "boolean", "Same extent", False,
            "The coarse images cover the same extent as the fine ones, whatever their coordinate systems say.",
            advanced=False,
        ),
        Option(
            "least_correlation", "number", "Least correlation", 0.5,
            "Images that correlate less have too little in common. With 0.5 one image explains a quarter of the "
            "variance of the other.",
            0.0, 0.99,
        ),
        Option(
            "least_valid", "number", "Least valid share", 0.1,
            "Share of the pixels that have to be valid in both images of a pair.", 0.0, 1.0,
        ),
        Option(
            "largest_shift", "number", "Largest displacement", 3.0,
            "How far a displacement is searched, in coarse pixels (in pixels as large as their detail where the coarse "
            "images were resampled to smaller ones).",
            1.0, 16.0,
        ),
    ),
    outputs=(
        Output("output", "folder_out", "Folder of the report", "Folder for report.html, pairs.csv and results.json."),
    ),
    results=(
        Result("report", "html", "Report"),
        Result("bad_fine", "number", "Bad fine dates"),
        Result("bad_coarse", "number", "Bad coarse dates"),
    ),
    run="stfusion.preparation._check_pairs:run",
    tags=("quality", "outlier", "cloud", "correlation", "bias", "misregistration", "time series", "report"),
)
