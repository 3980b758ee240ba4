"""Planning a time series without fusing it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stfusion.folder import whole_folder
from stfusion.raster.tiles import bounded_gdal
from stfusion.run import Context
from stfusion.series._plan import announce, make_plan, write_plan


def run(context: Context) -> dict[str, Any]:
    """Plan the series of the job; the result has the folder, the page and the numbers of dates."""
    output = context.job.outputs["output"]
    with bounded_gdal(context), whole_folder(output, context.stop) as part:
        context.reporter.stage("Looking at the images", 1, 1)
        plan = make_plan(context)
        write_plan(plan, part)
    announce(context, plan)
    return {"output": output, "report": str(Path(output) / "plan.html"), **plan.counts}
