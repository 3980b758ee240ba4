"""Apply K-means model: the classes of one image for another one."""

from __future__ import annotations

from stfusion.classification._shared import ALIGNMENT, CERTAINTY, CLASSES, GROUP, IMAGE, REPORT
from stfusion.declaration import Method, Result, Role

METHOD = Method(
    id="apply_kmeans",
    operation="classify",
    title="Apply K-means model",
    group=GROUP,
    summary="Gives an image the classes that K-means classification found in another one.",
    description=(
        "Gives every pixel the class whose centre in the model file is the nearest, with the standardisation of the "
        "image that the model was fitted to. A fused image and the real one, or images of several dates, so get the "
        "same classes, and their maps can be compared without matching. Pixels, areas and mean spectra are those of "
        "this image. The bands have to be those of the model, in its order and unit."
    ),
    paper="",
    doi="",
    roles=(
        IMAGE,
        Role("model", "Model file", "file", "", "JSON file that 'K-means classification' wrote.", extension="json"),
    ),
    options=(ALIGNMENT,),
    outputs=(CLASSES, REPORT, CERTAINTY),
    results=(
        Result("number_of_classes", "number", "Number of classes"),
        Result("inertia", "number", "Within-class sum of squares (standardised bands)"),
    ),
    run="stfusion.classification._kmeans:apply",
    tags=("k-means", "kmeans", "clustering", "classification", "model", "frozen centroids", "time series"),
)
