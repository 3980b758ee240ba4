"""Match classes: the clusters of a map renamed to the classes of a reference."""

from __future__ import annotations

from stfusion.assessment._class_roles import CLASS_MAP, CLASS_NAMES, REFERENCE, RULES, SAMPLES
from stfusion.declaration import Method, Option, Output, Result

METHOD = Method(
    id="match_classes",
    operation="classify",
    title="Match classes",
    group="Classification",
    summary="Finds the class of a reference that every cluster of a map stands for, and renames the clusters.",
    description=(
        "The numbers of a map of clusters, such as one of k-means, say nothing. Match classes compares the map with a "
        "reference raster, points or polygons, finds the class that every cluster stands for, and writes the map with "
        "the numbers, names and colours of these classes. The table of the match can be applied to other maps of the "
        "same clusters with 'Reclassify'. Match on one reference and assess on another: an accuracy on the places that "
        "the match was made with is too high."
    ),
    paper=(
        "Kuhn, H. W. (1955). The Hungarian method for the assignment problem. Naval Research Logistics Quarterly, 2, "
        "83-97."
    ),
    doi="10.1002/nav.3800020109",
    roles=(CLASS_MAP, REFERENCE, SAMPLES),
    options=(
        Option(
            "rule",
            "choice",
            "Rule",
            "hungarian",
            "'hungarian' matches one to one, so that as many places as possible agree; 'majority' gives every cluster "
            "the class that most of its places have, many to one.",
            choices=RULES,
            advanced=False,
        ),
        Option(
            "many_to_one",
            "boolean",
            "Many to one",
            False,
            "Clusters that the rule 'hungarian' leaves over, where there are more of them than classes, become the "
            "class that most of their places have. Otherwise they keep a number of their own.",
            advanced=False,
        ),
        CLASS_NAMES,
    ),
    outputs=(
        Output(
            "output",
            "raster_out",
            "Matched map",
            "The class map with the numbers, names and colours of the reference's classes.",
        ),
        Output(
            "table",
            "file_out",
            "Table of the match",
            "JSON file with the class of every cluster, how pure the cluster is, and how well both agree; 'Reclassify' "
            "applies it to other maps.",
            required=False,
            extension="json",
        ),
    ),
    results=(
        Result("agreement", "number", "Share of places that agree after matching"),
        Result("mean_iou", "number", "Mean IoU after matching"),
        Result("adjusted_rand", "number", "Adjusted Rand index"),
        Result("v_measure", "number", "V-measure"),
        Result("unmatched", "number", "Clusters without a class"),
    ),
    run="stfusion.classification._match:run",
    tags=("matching", "hungarian", "majority", "clusters", "classes", "k-means", "relabel", "classification"),
    example=("reference",),
)
