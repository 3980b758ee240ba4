"""BDSD: F_k = E_k + sum of c_kj E_j + c_k P, learnt block by block from the detail that bands lose to their sensors."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from stfusion.pansharpening._detail import Mixture, detail_of, pan_gain
from stfusion.pansharpening._multiresolution import band_gains
from stfusion.pansharpening._scene import Scene
from stfusion.pansharpening._sharpen import STATISTICS, sharpen
from stfusion.raster.grids import Box
from stfusion.raster.tiles import Tile, run_tiles
from stfusion.run import Context

Floats = npt.NDArray[np.float64]

#: Valid multispectral pixels for every coefficient that a block needs for a mixture of its own.
_ENOUGH = 4
#: Blocks that are learnt at a time.
_AT_ONCE = 8
#: Directions whose share of the sum of squares is below this say nothing.
_SMALL = 1e-12


def run(context: Context) -> dict[str, Any]:
    """Sharpen by BDSD."""
    return sharpen(context, _prepare)


def _prepare(scene: Scene, context: Context) -> Mixture:
    gains, own = band_gains(scene, context), pan_gain(context)
    common = scene.common
    side = int(context.options["block"])
    rows, columns = (
        _edges(begin, end, max(1, round(side / axis.ratio)) if side else end - begin)
        for axis, begin, end in (
            (scene.rows, common.top, common.bottom), (scene.columns, common.left, common.right)
        )
    )
    shape = len(rows) - 1, len(columns) - 1
    coefficients = np.full((*shape, scene.bands, scene.bands + 1), np.nan)
    whole = [np.zeros((2 * scene.bands + 1, scene.bands + 1))]

    def learn(tile: Tile) -> list[list[tuple[Floats | None, Floats]]]:
        found = []
        for down in range(tile.inner.top, tile.inner.bottom):
            boxes = [
                Box(rows[down], rows[down + 1], columns[across], columns[across + 1])
                for across in range(tile.inner.left, tile.inner.right)
            ]
            found.append([_learnt(scene, box, gains, own) for box in boxes])
            tile.advance(1 / tile.inner.shape[0])
        return found

    def keep(box: Box, found: list[list[tuple[Floats | None, Floats]]]) -> None:
        for down, line in enumerate(found, box.top):
            for across, (own_mixture, products) in enumerate(line, box.left):
                whole[0] += products
                if own_mixture is not None:
                    coefficients[down, across] = own_mixture

    run_tiles(context, shape, (1, _AT_ONCE), 0, learn, keep, (0.0, STATISTICS))
    lacking = np.isnan(coefficients[..., 0, 0])
    coefficients[lacking] = _solved(whole[0], scene.bands)
    if lacking.any():
        context.reporter.log(
            f"{np.count_nonzero(lacking)} of {lacking.size} blocks have too few valid pixels and take the mixture of "
            "the whole scene."
        )
    ends = partial(map, scene.rows.begin), partial(map, scene.columns.begin)
    return Mixture(coefficients, (list(ends[0](rows[1:-1])), list(ends[1](columns[1:-1]))))


def _edges(begin: int, end: int, side: int) -> list[int]:
    """Where blocks of that side begin, and the end of the last one, which takes what is left."""
    count = max(1, (end - begin) // side)
    return [*(begin + side * block for block in range(count)), end]


def _learnt(scene: Scene, box: Box, gains: tuple[float, ...], own: float) -> tuple[Floats | None, Floats]:
    """The mixture of a block, or None where too few pixels are valid; and the sums of products it is made of."""
    patch = scene.read_coarse(box)
    lost, low, pan = detail_of(patch, gains, own)
    values = np.concatenate([lost, low, pan[None]])
    valid = patch.valid
    pixels = (values.reshape(len(values), -1) if valid is None else values[:, valid]).astype(np.float64)
    products: Floats = pixels @ pixels[scene.bands :].T
    enough = pixels.shape[1] >= _ENOUGH * (scene.bands + 1)
    return (_solved(products, scene.bands) if enough else None), products


def _solved(products: Floats, bands: int) -> Floats:
    """Least squares of the lost details (bands, bands and the panchromatic image), the shortest one."""
    found: Floats = products[:bands] @ np.linalg.pinv(products[bands:], rcond=_SMALL, hermitian=True)
    return found
