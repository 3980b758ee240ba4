"""A time series in parts: its dates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stfusion.job import Job
from stfusion.parts import Part
from stfusion.raster.tiles import bounded_gdal
from stfusion.run import Context
from stfusion.series import _check
from stfusion.series._fuse_series import conclude, prepare
from stfusion.series._plan import make_plan


def base_of(job: Job) -> Path:
    """The folder of the series."""
    return Path(job.outputs["output"]).absolute()


def split(context: Context, base: Path, side: int) -> list[Part]:
    """A part for each date that is fused or kept; the plan is written into the folder of the series and shown."""
    with bounded_gdal(context):
        return prepare(context, base)[1]


def merge(context: Context, base: Path, parts: Sequence[Part]) -> dict[str, Any]:
    """Check the series, where that is asked for, and describe it; its results."""
    with bounded_gdal(context):
        plan = make_plan(context)
        found = _check.check(context, plan, base, (0.0, 90.0))
        return conclude(context, base, plan, parts, found)
