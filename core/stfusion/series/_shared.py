"""What the declarations of time series have in common: the stacks, the options of the plan, and the methods."""

from __future__ import annotations

from stfusion.declaration import Option, Result, Role
from stfusion.registry import declared

GROUP = "Time series"

#: The ids of all fusion methods.
METHODS = tuple(
    method.id
    for package in ("stfusion.fusion", "stfusion.networks")
    for method in declared(package)
    if method.operation == "fuse"
)

_DATED = (
    "Files, or a folder of them, one for each date. Dates are read from the tags or the names, unless a pattern or a "
    "table says otherwise."
)

STACKS = (
    Role(
        "fine", "Fine images", "fine", "",
        f"The few fine images (such as Landsat or Sentinel-2), all on one grid, which is that of the results. {_DATED}",
        several=True,
    ),
    Role(
        "coarse", "Coarse images", "coarse", "",
        "The many coarse images (such as MODIS or VIIRS), on any grid, of the dates of the fine images and of those to "
        f"predict. {_DATED}",
        several=True,
    ),
    Role(
        "fine_masks", "Masks of the fine images", "mask", "",
        "Masks of clouds and shadows: pixels that are not clear are left out of the fine image of the same date. "
        f"{_DATED}",
        required=False, several=True,
    ),
    Role(
        "coarse_masks", "Masks of the coarse images", "mask", "",
        f"Pixels that are not clear are left out of the coarse image of the same date. {_DATED}",
        required=False, several=True,
    ),
    Role(
        "date_table", "Table of dates", "file", "",
        "Text file whose lines have the name of a file, a comma and its date, for files whose names and tags do not "
        "tell it.",
        required=False, extension="csv", advanced=True,
    ),
)

CHECKED = Role(
    "checked", "Folder of the check of pairs", "folder", "",
    "What 'Check pairs' wrote of these images: those that it marks as bad are left out, and named.", required=False,
)

WEIGHTS = Role(
    "weights", "Weights", "file", "",
    "Checkpoint (*.safetensors) for a network; when empty, the weights that come with STF, for the networks "
    "that have some.",
    required=False, extension="safetensors", advanced=True,
)

WHICH_METHOD = Option(
    "method", "choice", "Method", "vipstf",
    "Fusion method; it decides how many pairs a date needs. Each has a page of its own.",
    choices=METHODS, advanced=False, positional=True,
)

PLANNING = (
    Option(
        "start", "text", "First date", "",
        "First date to predict (YYYY-MM-DD). When empty, that of the first coarse image.", advanced=False,
    ),
    Option(
        "end", "text", "Last date", "",
        "Last date to predict (YYYY-MM-DD). When empty, that of the last coarse image.", advanced=False,
    ),
    Option(
        "step", "integer", "Step (days)", 0,
        "Days from one date to the next, counted from the first date. 0 takes the date of every coarse image, and "
        "of every good fine image that is kept and has no valid coarse one.",
        minimum=0, maximum=366, advanced=False,
    ),
    Option(
        "dates", "text", "Dates", "",
        "The dates to predict, separated by commas, instead of a first and a last date and a step.",
    ),
    Option(
        "existing", "choice", "Dates with a good fine image", "keep",
        "keep: the fine image is taken as it is where enough of it is valid. fuse: it is predicted as if it were not "
        "there.",
        choices=("keep", "fuse"), advanced=False,
    ),
    Option(
        "pairs", "integer", "Pairs", 0,
        "Pairs that a date is predicted from: 1 the better one, 2 one from either side. 0 takes as many as the method "
        "can use.",
        minimum=0, maximum=2,
    ),
    Option(
        "least_valid", "number", "Least valid share", 0.5,
        "Share (0 to 1) of the fine grid that a fine or coarse image has to cover with valid pixels to be used.",
        minimum=0.0, maximum=1.0,
    ),
    Option(
        "keep_valid", "number", "Least valid share to keep", 0.95,
        "Share (0 to 1) of a fine image that has to be valid for it to be taken as it is.",
        minimum=0.0, maximum=1.0,
    ),
    Option(
        "reach", "integer", "Most days to a pair", 0,
        "A date with no fine image within so many days is skipped. 0: however far.", minimum=0, maximum=10_000,
    ),
    Option(
        "apart", "integer", "Most days within a pair", 0,
        "Days that the fine and the coarse image of a pair may lie apart; 0 takes those of one day. Composites of 8 or "
        "16 days need half of that.",
        minimum=0, maximum=366,
    ),
    Option(
        "pattern", "text", "Pattern of dates in names", "",
        "How names are written, such as lai_*_%Y%j: %Y and %y year, %m month, %d day, %j day of the year, * any text, "
        "? any character. When empty, tags and the names of usual products are understood.",
    ),
)

#: How the dates are fused, beside the method.
FUSING = (
    Option(
        "options", "text", "Options of the method", "",
        "Options that differ from the method's defaults, such as window=31; classes=5.", advanced=False,
    ),
    Option(
        "check", "boolean", "Check by leaving fine images out", False,
        "Predict every fine image from the others too, by the method and by the baselines, and report the errors.",
        advanced=False,
    ),
    Option(
        "uncertainty", "boolean", "Uncertainty", False,
        "Write the uncertainty of every date as well, into the folder 'uncertainty', where the method gives one.",
    ),
    Option("name", "text", "Name of the files", "fused", "The files are called name_YYYYMMDD.tif."),
    Option(
        "processes", "integer", "Processes", 0,
        "Dates that are fused at the same time at most; they share the threads and the memory limit. 0: one for "
        "each thread, as far as the memory goes.",
        minimum=0, maximum=1024,
    ),
)

#: What a fused series gives besides its folder and its report.
DATES = (
    Result("fused", "number", "Dates fused"),
    Result("kept", "number", "Dates kept"),
    Result("skipped", "number", "Dates skipped"),
    Result("failed", "number", "Dates failed"),
)
