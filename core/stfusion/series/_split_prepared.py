"""'Prepare and fuse' in parts: the images are prepared when the parts are listed, which are the dates of the series."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stfusion.job import Job
from stfusion.parts import Part
from stfusion.run import Context
from stfusion.series import _split
from stfusion.series._prepare_and_fuse import SERIES, conclude, folder_of, prepare, steps_of


def base_of(job: Job) -> Path:
    """The folder of the series."""
    return folder_of(job.outputs["output"]) / SERIES


def split(context: Context, base: Path, side: int) -> list[Part]:
    """Do all that comes before the fusion; a part for each date that is fused or kept."""
    steps = steps_of(context)
    return _split.split(steps.begin(SERIES, prepare(context, steps)), base, side)


def merge(context: Context, base: Path, parts: Sequence[Part]) -> dict[str, Any]:
    """Describe the series, and do what comes after it; the results of all."""
    steps = steps_of(context)

    def fuse() -> dict[str, Any]:
        found = _split.merge(steps.begun(SERIES), base, parts)
        steps.end(SERIES, found)
        return found

    return conclude(context, steps, fuse)
