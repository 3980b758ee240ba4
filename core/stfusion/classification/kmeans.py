"""K-means classification: classes of pixels that look alike, without training data."""

from __future__ import annotations

from stfusion.classification._shared import (
    ALIGNMENT,
    CERTAINTY,
    CLASSES,
    GROUP,
    IMAGE,
    REPORT,
    RESTARTS,
    SAMPLE,
    STANDARDISATION,
)
from stfusion.declaration import Method, Option, Output, Result

METHOD = Method(
    id="kmeans",
    operation="classify",
    title="K-means classification",
    group=GROUP,
    summary="Divides the pixels of one or several layers into classes that look alike, without training data.",
    description=(
        "Divides the pixels of a scene into classes of similar values (clusters). The centres of the classes are "
        "fitted to a random sample of the whole scene, started by k-means++ several times, and every pixel gets the "
        "class of the nearest centre. The number of classes is given, or the best of a range, by silhouette or elbow. "
        "Classes are numbered from dark to bright, so that runs and dates can be compared, and the model file lets "
        "'Apply K-means model' give other images the same classes. The same seed gives the same map, whatever the "
        "threads and the memory. What the classes are on the ground is for you to say: 'Match classes' and 'Assess "
        "classification' compare them with a reference."
    ),
    paper=(
        "Arthur, D., & Vassilvitskii, S. (2007). k-means++: The advantages of careful seeding. Proceedings of the "
        "Eighteenth Annual ACM-SIAM Symposium on Discrete Algorithms, 1027-1035."
    ),
    doi="",
    roles=(IMAGE,),
    options=(
        Option(
            "classes",
            "integer",
            "Number of classes",
            8,
            "Classes to make; the least number that is tried where 'Most classes to try' is given.",
            minimum=1,
            maximum=254,
            advanced=False,
        ),
        Option(
            "most_classes",
            "integer",
            "Most classes to try",
            0,
            "The largest number of classes that is tried; the best is taken. 0 tries no other number.",
            minimum=0,
            maximum=254,
            advanced=False,
        ),
        Option(
            "choice",
            "choice",
            "Choice of the number of classes",
            "silhouette",
            "'silhouette' takes the number whose classes are most compact and farthest apart; 'elbow' the one from "
            "which on more classes bring little. The report shows both for every number tried.",
            choices=("silhouette", "elbow"),
            advanced=False,
        ),
        STANDARDISATION,
        Option(
            "natural_bands",
            "text",
            "Bands for natural colours",
            "",
            "Numbers of the red, green and blue band, such as 3,2,1: every class then gets the colour that the eye "
            "would see. Colours that are easy to tell apart when empty.",
            advanced=False,
        ),
        Option(
            "algorithm",
            "choice",
            "Algorithm",
            "full",
            "'full' moves the centres by all sampled pixels at each step (Lloyd); 'mini-batch' by a few at a time, "
            "which is quicker for very large samples and a little worse.",
            choices=("full", "mini-batch"),
        ),
        SAMPLE,
        RESTARTS,
        Option(
            "iterations",
            "integer",
            "Iterations",
            300,
            "Steps of a fit at most.",
            minimum=1,
            maximum=100_000,
        ),
        Option(
            "tolerance",
            "number",
            "Tolerance",
            1e-4,
            "A fit ends when the centres move by less than this, as a share of the bands' mean variance (squared "
            "distances).",
            minimum=0.0,
            maximum=1.0,
        ),
        ALIGNMENT,
    ),
    outputs=(
        CLASSES,
        Output(
            "model",
            "file_out",
            "Model file",
            "JSON file with the centres, standardisation, names and colours of the classes, which 'Apply K-means "
            "model' reads. Names and colours may be edited in it.",
            required=False,
            extension="json",
        ),
        REPORT,
        CERTAINTY,
    ),
    results=(
        Result("number_of_classes", "number", "Number of classes"),
        Result("inertia", "number", "Within-class sum of squares (standardised bands)"),
        Result("silhouette", "number", "Silhouette"),
    ),
    run="stfusion.classification._kmeans:run",
    tags=(
        "k-means", "kmeans", "clustering", "cluster", "unsupervised classification", "land cover", "isodata",
        "silhouette", "elbow",
    ),
)
