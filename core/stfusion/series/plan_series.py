"""Plan a time series: which pairs would predict which date."""

from __future__ import annotations

from stfusion.declaration import Method, Output, Result
from stfusion.series._shared import CHECKED, GROUP, PLANNING, STACKS, WHICH_METHOD

METHOD = Method(
    id="plan_series",
    operation="series",
    title="Plan a time series",
    group=GROUP,
    summary="Chooses for every date the pairs that predict it, and shows the plan as a table; nothing is fused.",
    description=(
        "For every coarse image, or the dates that you ask for, the plan says whether it is fused, kept from the fine "
        "images or skipped, and why, and which pairs of fine and coarse images predict it: the nearest ones, those "
        "with gaps or a bad match counting as further away. Methods for two pairs get one from either side; at the "
        "ends of the series, those of one side. Images are looked at in overviews, so a plan takes seconds. 'Fuse a "
        "time series' makes the same plan with the same options."
    ),
    paper="",
    doi="",
    roles=(*STACKS, CHECKED),
    options=(WHICH_METHOD, *PLANNING),
    outputs=(
        Output(
            "output", "folder_out", "Folder of the plan",
            "Folder that receives plan.html, plan.csv and plan.json; it has to be new or empty.",
        ),
    ),
    results=(
        Result("report", "html", "Plan"),
        Result("fused", "number", "Dates to fuse"),
        Result("kept", "number", "Dates to keep"),
        Result("skipped", "number", "Dates to skip"),
    ),
    run="stfusion.series._plan_series:run",
    tags=("time series", "plan", "pairs", "dates", "gap", "landsat", "modis", "sentinel", "viirs"),
)
