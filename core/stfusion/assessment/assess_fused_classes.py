"""Assess classes of fused images: what fused images are worth for mapping, by the K-means classes of the true image."""

from __future__ import annotations

from dataclasses import replace

from stfusion.classification._shared import RESTARTS, SAMPLE, STANDARDISATION
from stfusion.declaration import Method, Option, Output, Result, Role

METHOD = Method(
    id="assess_fused_classes",
    operation="assess",
    title="Assess classes of fused images",
    group="Assessment",
    summary="Classifies fused images with the K-means classes of the true image, and tells how well the maps agree.",
    description=(
        "A fused image is often made to be classified. This study clusters the true image by K-means, gives every "
        "fused image the classes of the same, frozen centres, and compares the maps with that of the true image: mean "
        "IoU, overall accuracy, kappa and the adjusted Rand index. Beside them stands the control: the true image "
        "clustered again with other random starts, its clusters matched to the classes. Where the control is far from "
        "1, clusters are not stable, and differences between maps that were clustered one by one say little of the "
        "images. The report is one HTML file with the maps side by side; results.json and results.csv hold the "
        "numbers, and model.json the classes: 'Apply K-means model' makes the maps with it."
    ),
    paper="",
    doi="",
    roles=(
        Role(
            "reference", "True image", "image", "",
            "Fine image of the day that was predicted. Its classes are the reference, its grid is that of the maps.",
        ),
        Role(
            "fused", "Fused images", "image", "",
            "Images to judge, each with the same bands as the true image. One that lies on another grid is resampled "
            "by nearest neighbour.",
            several=True,
        ),
    ),
    options=(
        Option(
            "classes", "integer", "Number of classes", 5, "Classes that the true image is divided into.",
            minimum=2, maximum=50, advanced=False,
        ),
        Option(
            "names", "text", "Names of the fused images", "",
            "Names for the report, separated by commas, in the order of the images. The names of the files when empty.",
            advanced=False,
        ),
        Option(
            "refit", "boolean", "Cluster every fused image as well", False,
            "Beside the frozen classes, cluster every fused image by itself as often as the true one, and match its "
            "clusters to the classes: what a map without the true image would be worth.",
            advanced=False,
        ),
        Option(
            "repeats", "integer", "Repetitions", 10,
            "How often an image is clustered again with other random starts, for the control and for fused images.",
            minimum=2, maximum=100,
        ),
        replace(STANDARDISATION, advanced=True),
        replace(RESTARTS, default=10),
        SAMPLE,
    ),
    outputs=(
        Output(
            "output", "folder_out", "Folder of the report",
            "Folder that receives report.html, results.json, results.csv and model.json; it has to be new or empty.",
        ),
    ),
    results=(
        Result("report", "html", "Report"),
        Result("best", "text", "Fused image with the best agreement"),
        Result("best_iou", "number", "Mean IoU of the best fused image"),
        Result("control_iou", "number", "Mean IoU of the true image clustered again"),
    ),
    run="stfusion.assessment._fused_classes:run",
    tags=("k-means", "clustering", "classification", "accuracy", "assessment", "mIoU", "STFDiff", "fusion"),
)
