"""Simulated scene: a plausible landscape on three dates, fine and coarse, for trials without data."""

from __future__ import annotations

from stfusion.declaration import Method, Option, Output

METHOD = Method(
    id="simulate",
    operation="simulate",
    title="Simulate a scene",
    group="Data preparation",
    summary="Makes a landscape on three dates as a fine and a coarse sensor would see it.",
    description=(
        "Makes fields whose classes follow their own phenology, roads, water, texture, one land-cover change between "
        "the dates and a cloud hole, and images them with a fine sensor (30 m) and a coarse one with its own point "
        "spread, gain, offset and noise. The files are fine_1.tif, fine_2.tif, fine_3.tif, coarse_1.tif, "
        "coarse_2.tif, coarse_3.tif; the second date is the one to predict, and fine_2.tif is its truth. The same "
        "seed makes the same scene."
    ),
    paper="",
    doi="",
    roles=(),
    options=(
        Option(
            "size", "integer", "Size (fine pixels)", 480, "Rows and columns of the fine images.", 64, 20000,
            advanced=False,
        ),
        Option("ratio", "integer", "Ratio", 16, "Fine pixels along the side of a coarse pixel.", 2, 64),
        Option("bands", "integer", "Bands", 6, "Bands in the order blue, green, red, NIR, SWIR 1, SWIR 2.", 1, 6),
        Option("clouds", "boolean", "Cloud hole", True, "Leave a hole without data in the first fine image."),
    ),
    outputs=(Output("output", "folder_out", "Folder of the scene", "Folder that receives the images."),),
    run="stfusion.preparation._simulation:run",
    tags=("simulation", "test data", "synthetic"),
)
