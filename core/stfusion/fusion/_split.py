"""An image in parts: windows of the result of a fusion or a pansharpening, and the result put together from them."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import rasterio
from odc.geo.geobox import GeoBox

from stfusion.job import Input, Job
from stfusion.parts import Part
from stfusion.raster.grids import Box, blocks
from stfusion.raster.output import Output
from stfusion.raster.source import Source
from stfusion.raster.tiles import bounded_gdal
from stfusion.run import Context

#: Rows and columns of the blocks in which parts are copied.
_SIDE = 1024


def base_of(job: Job) -> Path:
    """The folder that receives the parts."""
    return Path(f"{job.outputs['output']}.parts").absolute()


def split(context: Context, base: Path, side: int) -> list[Part]:
    """A part for each window of at most ``side`` rows and columns of the fine image."""
    return windows(context.job, base, Source("Fine image", context.job.inputs["fine"]).shape, side)


def windows(job: Job, base: Path, shape: tuple[int, int], side: int) -> list[Part]:
    """A part for each window of at most ``side`` rows and columns of a result of this shape."""
    found = []
    for box in blocks(shape, side):
        name = f"rows{box.top}_columns{box.left}"
        outputs = {output: str(base / f"{output}_{name}.tif") for output in job.outputs}
        order = replace(job, outputs=outputs, window=(box.top, box.bottom, box.left, box.right))
        found.append(Part(name, f"Rows {box.top} to {box.bottom}, columns {box.left} to {box.right}", order))
    return found


def merge(context: Context, base: Path, parts: Sequence[Part]) -> dict[str, Any]:
    """Put the result together, and remove the parts; the outputs by name."""
    job = context.job
    shape = max(_window(part).bottom for part in parts), max(_window(part).right for part in parts)
    with bounded_gdal(context), ExitStack() as stack:
        for name, path in job.outputs.items():
            some = Source("Part", Input(parts[0].order.outputs[name]))  # the one at the upper left
            with rasterio.open(some.path) as dataset:
                tags = {key: value for key, value in dataset.tags().items() if key != "AREA_OR_POINT"}
            grid = GeoBox(shape, some.grid.affine, some.grid.crs)
            output = stack.enter_context(Output(path, some, tags, context.stop, grid=grid))
            for number, part in enumerate(parts):
                _copy(context, part, name, output)
                context.reporter.progress(90.0 * (number + 1) / len(parts))
            output.finish(context.threads, optimized=job.options.get("layout", "cog") == "cog")
    shutil.rmtree(base)
    return dict(job.outputs)


def _copy(context: Context, part: Part, name: str, output: Output) -> None:
    source = Source(part.title, Input(part.order.outputs[name]))
    place = _window(part)
    for box in blocks(source.shape, _SIDE):
        context.stop.check()
        stored, _ = source.read_stored(box)
        output.write_stored(box.moved(place.top, place.left), stored)


def _window(part: Part) -> Box:
    return Box(*(part.order.window or (0, 0, 0, 0)))
