"""Writing an image at a coarser resolution, tile by tile."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from stfusion.errors import UserError
from stfusion.raster.grids import Box
from stfusion.raster.output import Output
from stfusion.raster.resolution import REACH, Filter, reduce
from stfusion.raster.source import AlignedSource, Array
from stfusion.raster.tiles import Tile, run_tiles, tile_shape, working_bytes
from stfusion.run import Context

#: Share of the working memory for the tiles.
_TILE_SHARE = 0.5
#: Bytes that filtering holds for a pixel of one band: values and their validity in float64, before and between.
_SCRATCH = 40


def write_reduced(
    context: Context,
    image: AlignedSource,
    read: Callable[[Box], Array],
    filters: Sequence[tuple[Filter, Filter]],
    ratio: int,
    output: Output,
    span: tuple[float, float] = (0.0, 100.0),
    change: Callable[[Box, Array], Array] = lambda box, values: values,
) -> None:
    """Write an image reduced by the filters of its bands along columns and rows, which reach equally far.

    ``read`` gives windows (bands, rows, columns) that may reach beyond the image; ``change`` gets every window of the
    result and what is to stand there.

    Raises
    ------
    UserError
        No pixel of the result is valid.
    """
    shape = image.shape[0] // ratio, image.shape[1] // ratio
    down, right = filters[0]
    valid = 0

    def compute(tile: Tile) -> Array:
        own = tile.inner
        part = Box(
            own.top * ratio + down.start, (own.bottom - 1) * ratio + down.stop,
            own.left * ratio + right.start, (own.right - 1) * ratio + right.stop,
        )
        bands = zip(read(part), filters, strict=True)
        reduced = np.stack([reduce(band, along, ratio, across) for band, (along, across) in bands]).astype(np.float32)
        tile.advance(1.0)
        return change(own, reduced)

    def write(box: Box, values: Array) -> None:
        nonlocal valid
        valid += int(np.count_nonzero(~np.isnan(values[0])))
        output.write(box, values)

    budget = int(_TILE_SHARE * working_bytes(context))
    pixel_bytes = ratio * ratio * (4 * len(filters) + _SCRATCH)
    tile = tile_shape(shape, REACH, pixel_bytes, budget, context.threads)
    run_tiles(context, shape, tile, 0, compute, write, span)
    if not valid:
        raise UserError(f"{image.source} has no valid pixel to reduce; check its nodata value and mask.")
    if output.clipped:
        context.reporter.warning(
            f"{output.clipped} values of {image.source} were outside the range of its data type and were clipped."
        )
