"""Fuse a time series: every date of a stack of coarse images, from the few fine ones."""

from __future__ import annotations

from dataclasses import replace

from stfusion.declaration import Method, Output, Result
from stfusion.fusion._shared import CLASS_MAP
from stfusion.series._shared import CHECKED, DATES, FUSING, GROUP, PLANNING, STACKS, WEIGHTS, WHICH_METHOD

METHOD = Method(
    id="fuse_series",
    operation="series",
    title="Fuse a time series",
    group=GROUP,
    summary="Predicts the fine image of every date that has a coarse one, from the pairs that suit it best.",
    description=(
        "Give it a few fine images and many coarse ones. The plan (see 'Plan a time series') is made and shown first; "
        "then every date is fused, with any fusion method, several dates at a time as far as the memory limit goes. "
        "The folder has a Cloud Optimized GeoTIFF for each date, a virtual stack of all, a STAC item collection, a "
        "manifest and a report. A run that was stopped goes on where it was when it is started again with the same "
        "settings; a date that fails does not stop the others and is named at the end. With the check, every fine "
        "image is also predicted from the others and compared with the truth, beside the baselines."
    ),
    paper="",
    doi="",
    roles=(
        *STACKS,
        CHECKED,
        replace(CLASS_MAP, advanced=True),
        WEIGHTS,
    ),
    options=(
        WHICH_METHOD,
        *PLANNING,
        *FUSING,
    ),
    outputs=(
        Output(
            "output", "folder_out", "Folder of the series",
            "Folder that receives the images and what describes them. It has to be new or empty, or hold the same "
            "series, which is then continued.",
            images=True,
        ),
    ),
    results=(
        Result("report", "html", "Report"),
        Result("stack", "text", "Virtual stack"),
        *DATES,
    ),
    run="stfusion.series._fuse_series:run",
    tags=("time series", "fusion", "daily", "gap", "landsat", "modis", "sentinel", "viirs", "stac", "starfm"),
)
