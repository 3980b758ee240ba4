"""Compare methods: the fusion methods side by side on a scene whose fine image of the target date is known."""

from __future__ import annotations

from dataclasses import replace

from stfusion.declaration import Method, Option, Output, Result, Role
from stfusion.fusion._shared import CLASS_MAP, FIRST_PAIR, RATIO, RESAMPLING, SECOND_PAIR_OPTIONAL, TARGET, UNIT

REFERENCE = Role(
    "reference",
    "True fine image of the target date",
    "fine",
    "target",
    "Fine image of the date to predict, which no method gets to see: the results are judged against it.",
)

METHOD = Method(
    id="compare",
    operation="compare",
    title="Compare methods",
    group="Assessment",
    summary="Runs fusion methods on a scene whose answer is known, and ranks them by their errors in one report.",
    description=(
        "Give it a date whose fine image you have: every method predicts that image without seeing it, each in a "
        "process of its own, and the predictions are judged against it on the same pixels. The report holds a ranked "
        "table of errors, time and memory, with the baselines that a method has to beat, maps of the predictions and "
        "of their errors on one colour scale, scatter plots, and the numbers of every band. It is a single HTML file "
        "that needs no network; results.json and results.csv beside it hold the same numbers. Choose the method that "
        "does best on dates like the one that you want to predict."
    ),
    paper="",
    doi="",
    roles=(*FIRST_PAIR, TARGET, REFERENCE, *SECOND_PAIR_OPTIONAL, CLASS_MAP),
    options=(
        Option(
            "methods",
            "text",
            "Methods",
            "",
            "Ids of the methods to compare, separated by commas, such as starfm,fine_plus_difference. All methods that "
            "need no training, baselines included, when empty; those that need two pairs are left out when one is "
            "given. A method for one pair gets the pair that is nearer to the target date.",
            advanced=False,
        ),
        Option(
            "options",
            "text",
            "Options of the methods",
            "",
            "Options that differ from the methods' defaults, separated by commas: method.option=value for one method, "
            "option=value for every method that has the option, such as window=31,starfm.logarithmic=true.",
        ),
        Option(
            "keep",
            "boolean",
            "Keep the fused images",
            False,
            "Keep the result of every method in the folder 'fused', as a GeoTIFF named after the method.",
            advanced=False,
        ),
        replace(RESAMPLING, help=f"{RESAMPLING.help} At its default, every method keeps its own."),
        replace(RATIO, help=f"{RATIO.help} ERGAS needs it too."),
        replace(
            UNIT,
            help=f"{UNIT.help} Errors are given in reflectance when a value is given, else in the unit of the images.",
        ),
    ),
    outputs=(
        Output(
            "output",
            "folder_out",
            "Folder of the report",
            "Folder that receives report.html, results.json and results.csv; it has to be new or empty.",
        ),
    ),
    results=(Result("report", "html", "Report"),),
    run="stfusion.assessment._compare:run",
    tags=("comparison", "accuracy", "assessment", "validation", "metrics", "rmse", "ssim", "benchmark"),
)
