"""A fusion in parts: windows of its result, and the result put together from them."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import rasterio

from stfusion.job import Input, Job
from stfusion.parts import Part
from stfusion.raster.grids import Box, blocks
from stfusion.raster.output import Content, Output
from stfusion.raster.source import Source
from stfusion.raster.tiles import bounded_gdal
from stfusion.run import Context

#: Rows and columns of the blocks in which parts are copied.
_SIDE = 1024


def base_of(job: Job) -> Path:
    """The folder that receives the parts."""
    return Path(f"{job.outputs['output']}.parts").absolute()


def split(context: Context, base: Path, side: int) -> list[Part]:
    """A part for each window of at most ``side`` rows and columns."""
    job = context.job
    fine = Source("Fine image", job.inputs["fine"])
    found = []
    for box in blocks(fine.shape, side):
        name = f"rows{box.top}_columns{box.left}"
        outputs = {output: str(base / f"{output}_{name}.tif") for output in job.outputs}
        order = replace(job, outputs=outputs, window=(box.top, box.bottom, box.left, box.right))
        found.append(Part(name, f"Rows {box.top} to {box.bottom}, columns {box.left} to {box.right}", order))
    return found


def merge(context: Context, base: Path, parts: Sequence[Part]) -> dict[str, Any]:
    """Put the result together, and remove the parts; the outputs by name."""
    job = context.job
    fine = Source("Fine image", job.inputs["fine"])
    with bounded_gdal(context), ExitStack() as stack:
        for name, path in job.outputs.items():
            some = parts[0].order.outputs[name]
            with rasterio.open(some) as dataset:
                tags = {key: value for key, value in dataset.tags().items() if key != "AREA_OR_POINT"}
            content = Content.like(Source("Part", Input(some)))
            output = stack.enter_context(Output(path, fine, tags, context.stop, content))
            for number, part in enumerate(parts):
                _copy(context, part, name, output)
                context.reporter.progress(90.0 * (number + 1) / len(parts))
            output.finish(context.threads)
    shutil.rmtree(base)
    return dict(job.outputs)


def _copy(context: Context, part: Part, name: str, output: Output) -> None:
    source = Source(part.title, Input(part.order.outputs[name]))
    top, _, left, _ = part.order.window or (0, 0, 0, 0)
    for box in blocks(source.shape, _SIDE):
        context.stop.check()
        stored, _ = source.read_stored(box)
        output.write_stored(Box(box.top + top, box.bottom + top, box.left + left, box.right + left), stored)
