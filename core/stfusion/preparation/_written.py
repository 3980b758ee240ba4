"""Writing an image of a stack tile by tile, from what is read of a window."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from odc.geo.geobox import GeoBox

from stfusion.raster.grids import LATTICE, Box
from stfusion.raster.output import Content, Output, provenance
from stfusion.raster.source import Array, Source
from stfusion.raster.tiles import Tile, run_tiles, tile_shape, working_bytes
from stfusion.run import Context

#: Share of the working memory for the tiles, and bytes that a pixel of a band takes while it is made and written.
_TILE_SHARE, _PIXEL_BYTES = 0.4, 24


def write_image(
    context: Context,
    like: Source,
    grid: GeoBox,
    read: Callable[[Box], Array],
    path: Path,
    span: tuple[float, float],
    content: Content | None = None,
) -> None:
    """Write what is read of every window of a grid (bands, rows, columns), as an image like another one.

    ``content`` says how values are stored where not like that one; ``span`` is the progress at the begin and the end.
    """
    shape = int(grid.shape[0]), int(grid.shape[1])
    budget = int(_TILE_SHARE * working_bytes(context))
    sides = tile_shape(shape, 0, _PIXEL_BYTES * len(like.bands), budget, context.threads)
    # What is resampled is made in blocks of the lattice, which tiles across them would make again.
    tile = sides[0] - sides[0] % LATTICE or sides[0], sides[1] - sides[1] % LATTICE or sides[1]
    valid = 0

    def compute(part: Tile) -> Array:
        values = read(part.inner)
        part.advance(1.0)
        return values

    with Output(str(path), like, provenance(context, like.date), context.stop, content, grid) as output:

        def write(box: Box, values: Array) -> None:
            nonlocal valid
            valid += int(np.count_nonzero(~np.isnan(values[0])))
            output.write(box, values)

        run_tiles(context, shape, tile, 0, compute, write, span)
        output.finish(context.threads)
    if not valid:
        context.reporter.warning(f"{like} has no valid pixel in what is written; check its nodata value and its mask.")
    if output.clipped:
        context.reporter.warning(
            f"{output.clipped} values of {like} were outside the range of the data type and were clipped."
        )
