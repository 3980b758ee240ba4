"""Assess classification: a class map against a reference, with estimates where the reference is a sample."""

from __future__ import annotations

from stfusion.assessment._class_roles import CLASS_MAP, CLASS_NAMES, REFERENCE, RULES, SAMPLES
from stfusion.declaration import Method, Option, Output, Result, Role

METHOD = Method(
    id="assess_classification",
    operation="assess",
    title="Assess classification",
    group="Assessment",
    summary="Compares a class map with a reference: confusion matrix, accuracies, and estimates with their errors.",
    description=(
        "Compares a class map with a reference raster, pixel by pixel, or with reference points or polygons. The "
        "report has the confusion matrix, overall accuracy, kappa, user's and producer's accuracy, F1, IoU and mean "
        "IoU, and the quantity and allocation disagreement. Where the reference is a sample, it also estimates the "
        "accuracies and the area of every class with standard errors and intervals of confidence, from the sizes of "
        "the map's classes or of the strata that the sample was drawn from. The classes of a cluster map are matched "
        "to those of the reference first when asked. The report is a single HTML file that needs no network; "
        "results.json, results.csv and matrix.csv beside it hold the same numbers."
    ),
    paper=(
        "Olofsson, P., Foody, G. M., Herold, M., Stehman, S. V., Woodcock, C. E., & Wulder, M. A. (2014). Good "
        "practices for estimating area and assessing accuracy of land change. Remote Sensing of Environment, 148, "
        "42-57."
    ),
    doi="10.1016/j.rse.2014.02.015",
    roles=(
        CLASS_MAP,
        REFERENCE,
        SAMPLES,
        Role(
            "strata",
            "Strata",
            "classes",
            "",
            "Raster of the strata that the points or polygons were drawn from, where these are not the classes of the "
            "map: another map, or an older one. It is brought onto the grid of the class map by nearest neighbour.",
            required=False,
        ),
    ),
    options=(
        Option(
            "matching",
            "choice",
            "Matching of clusters",
            "none",
            "For a map of clusters, whose numbers say nothing: 'hungarian' finds the class of every cluster one to "
            "one, 'majority' takes the most frequent class of each. Matching and assessing on the same reference "
            "flatters the map; 'Match classes' matches on another one.",
            choices=("none", *RULES),
            advanced=False,
        ),
        Option(
            "rows",
            "choice",
            "Rows of the matrix",
            "map",
            "Whether the rows of the confusion matrix are the classes of the map or of the reference; it is always "
            "written beside it.",
            choices=("map", "reference"),
            advanced=False,
        ),
        CLASS_NAMES,
        Option(
            "polygon_unit",
            "choice",
            "Polygons count by",
            "pixels",
            "'pixels' counts every pixel of a polygon; 'polygons' counts a polygon once, with the class that most of "
            "its pixels have, which is right where whole polygons were sampled.",
            choices=("pixels", "polygons"),
        ),
        Option(
            "level",
            "number",
            "Level of confidence",
            0.95,
            "Probability with which the intervals hold the true value.",
            minimum=0.1,
            maximum=0.9999,
        ),
    ),
    outputs=(
        Output(
            "output",
            "folder_out",
            "Folder of the report",
            "Folder that receives report.html, results.json, results.csv and matrix.csv; it has to be new or empty.",
        ),
        Output(
            "agreement",
            "raster_out",
            "Agreement",
            "Raster with 1 where the map, matched if so asked, agrees with the reference, 2 where it does not, and no "
            "data where one of them has no class.",
            required=False,
        ),
    ),
    results=(
        Result("report", "html", "Report"),
        Result("overall_accuracy", "number", "Overall accuracy"),
        Result("kappa", "number", "Kappa"),
        Result("mean_iou", "number", "Mean IoU"),
        Result("estimated_accuracy", "number", "Estimated overall accuracy"),
    ),
    run="stfusion.assessment._classified:run",
    tags=(
        "accuracy", "confusion matrix", "error matrix", "kappa", "classification", "validation", "assessment", "iou",
        "area estimation", "stratified sampling",
    ),
    example=("reference",),
)
