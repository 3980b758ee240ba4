"""One driver for every pansharpening method: open, gather statistics, sharpen tile by tile, write."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from stfusion.fusion._fuse import Tally
from stfusion.pansharpening._opening import open_scene
from stfusion.pansharpening._scene import Patch, Scene
from stfusion.raster.encoding import encode_into
from stfusion.raster.grids import Box
from stfusion.raster.output import Content, Output, provenance
from stfusion.raster.source import Array
from stfusion.raster.tiles import Tile, bounded_gdal, run_tiles, tile_shape, window_of
from stfusion.run import Context

#: Shares of the working memory: for warped images, where there are any, for GDAL's own cache, and for the tiles.
_CACHE_SHARE, _GDAL_SHARE, _TILE_SHARE = 0.15, 0.2, 0.4
#: Progress, in per cent, at the end of the statistics and at that of the sharpening.
STATISTICS, _SHARPENED = 35.0, 85.0
#: Rows that are sharpened at a time, so that what is between the steps stays in the processor's cache.
_ROWS = 128
#: Bytes of a value while it is sharpened, and while it waits to be written.
_SCRATCH, _STORED = 16, 8


class Sharpener(Protocol):
    """A method that has seen the whole scene and now sharpens patches.

    ``margin`` is how many pixels around a pixel its value depends on, as far as it reads them of the patch.
    ``notes`` says in words what the counts of its tally mean.
    """

    margin: int
    notes: ClassVar[Mapping[str, str]]

    def sharpen(self, patch: Patch, tally: Tally) -> Array:
        """The bands (bands, rows, columns) of the patch without its margin, of any value where it is not valid."""


def sharpen(
    context: Context, prepare: Callable[[Scene, Context], Sharpener], several: bool = False
) -> dict[str, Any]:
    """Run a pansharpening method on the job's images and return the outputs by name.

    The panchromatic image may have ``several`` bands.
    """
    with bounded_gdal(context, _GDAL_SHARE) as working:
        context.reporter.stage("Opening and checking the images", 1, 4)
        scene = open_scene(context, int(_CACHE_SHARE * working), several=several)
        context.reporter.stage("Statistics of the whole scene", 2, 4)
        method = prepare(scene, context)
        day = scene.multispectral.date or scene.pan.date
        content = Content.like(scene.multispectral)
        if str(context.options["output_type"]) == "float32":
            content = Content.of_numbers(scene.multispectral.names)
        like, tags, window = scene.multispectral, provenance(context, day), window_of(context, scene.shape)
        with Output(context.job.outputs["output"], like, tags, context.stop, content, scene.grid, window) as output:
            _sharpen(context, scene, method, window, output, int(_TILE_SHARE * working))
            context.reporter.stage("Writing the GeoTIFF", 4, 4)
            output.finish(context.threads, optimized=context.options["layout"] == "cog")
    return {"output": str(output.path), **({"date": day.isoformat()} if day is not None else {})}


def _sharpen(context: Context, scene: Scene, method: Sharpener, window: Box, output: Output, budget: int) -> None:
    context.reporter.stage("Sharpening", 3, 4)
    context.reporter.progress(STATISTICS)
    tally = Tally()
    rows = max(_ROWS, 2 * method.margin)

    def compute(part: Tile) -> npt.NDArray[Any]:
        stored = np.empty((scene.bands, *part.inner.shape), output.encoding.dtype)
        for strip in part.strips(0, scene.shape, rows):
            patch = scene.read(strip.inner, method.margin)
            values = method.sharpen(patch, tally)
            if patch.valid is not None:
                values[:, ~patch.valid] = np.nan
                tally.add("nodata", scene.bands * int(np.count_nonzero(~patch.valid)))
            own = stored[(slice(None), *strip.inner.within(part.inner))]
            tally.add("clipped", encode_into(own, output.encoding, values))
            strip.advance(1.0)
        return stored

    def write(box: Box, stored: npt.NDArray[Any]) -> None:
        output.write_stored(box, stored)

    # A tile holds what it has computed, and what is being computed of it for a strip.
    pixel_bytes = scene.bands * (_STORED + _SCRATCH) + _SCRATCH
    tile = tile_shape(window.shape, method.margin, pixel_bytes, budget, context.threads)
    run_tiles(context, scene.shape, tile, 0, compute, write, (STATISTICS, _SHARPENED), window)
    tally.report(context.reporter, method.notes, scene.shape[0] * scene.shape[1] * scene.bands)
