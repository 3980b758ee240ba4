"""Means and covariances of a whole scene in one streamed pass, the same whatever the threads and tiles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stfusion.errors import UserError
from stfusion.pansharpening._scene import CoarsePatch, Patch, Scene
from stfusion.raster.grids import Box
from stfusion.raster.source import Array
from stfusion.raster.tiles import Tile, run_tiles
from stfusion.run import Context

Floats = npt.NDArray[np.float64]

#: Pixels of the fixed parts, and bytes of one: with many bands they are smaller.
_PART, _PART_BYTES = (512, 1024), 2**25
#: Rows of a part that are summed at a time, so that their float64 copies stay in the processor's cache.
_ROWS = 32


@dataclass(frozen=True)
class Moments:
    """Number of valid pixels; their mean and least value (variables,) and covariance (variables, variables).

    The covariance is that of the population.
    """

    count: int
    mean: Floats
    least: Floats
    covariance: Floats

    @property
    def products(self) -> Floats:
        """Means of the products of all pairs of variables."""
        return self.covariance + np.outer(self.mean, self.mean)

    @property
    def std(self) -> Floats:
        """Standard deviations."""
        return np.sqrt(np.diagonal(self.covariance))


#: Number of pixels, mean, least value, and sum of the products of the deviations.
_Sums = tuple[int, Floats, Floats, Floats]


def fine_moments(
    context: Context,
    scene: Scene,
    variables: Callable[[Patch], list[Array]],
    span: tuple[float, float],
    margin: int = 0,
    layers: int = 0,
) -> Moments:
    """Moments over the valid pixels of the result of what a function makes of a patch: arrays ([bands], rows, columns).

    The arrays have no margin, though the patch may have one. ``span`` is the progress at the begin and the end,
    ``layers`` how many arrays (rows, columns) there are, where it is more than the bands and two.
    """

    def read(box: Box) -> tuple[Array, npt.NDArray[np.bool_] | None]:
        patch = scene.read(box, margin)
        return _stacked(variables(patch)), patch.valid

    return _moments(context, scene, scene.shape, max(layers, scene.bands + 2), read, span)


def coarse_moments(
    context: Context, scene: Scene, variables: Callable[[CoarsePatch], list[Array]], span: tuple[float, float]
) -> Moments:
    """Moments over the valid multispectral pixels in the result of what a function makes of a patch of these."""
    common = scene.common

    def read(box: Box) -> tuple[Array, npt.NDArray[np.bool_] | None]:
        patch = scene.read_coarse(
            Box(box.top + common.top, box.bottom + common.top, box.left + common.left, box.right + common.left)
        )
        return _stacked(variables(patch)), patch.valid

    return _moments(context, scene, common.shape, (scene.bands + 2) * scene.ratio**2, read, span)


def _stacked(parts: list[Array]) -> Array:
    return np.concatenate([part if part.ndim == 3 else part[None] for part in parts])


def _moments(
    context: Context,
    scene: Scene,
    shape: tuple[int, int],
    layers: int,
    read: Callable[[Box], tuple[Array, npt.NDArray[np.bool_] | None]],
    span: tuple[float, float],
) -> Moments:
    """Moments of what is read of parts of an image; ``layers`` are the float32 values that are held for a pixel.

    Raises
    ------
    UserError
        No pixel is valid.
    """
    merged: list[_Sums] = []

    def compute(tile: Tile) -> _Sums:
        values, valid = read(tile.inner)
        sums = _of_rows(values, valid)
        tile.advance(1.0)
        return sums

    def merge(_: Box, sums: _Sums) -> None:
        merged[:] = [_merged(merged[0], sums)] if merged else [sums]

    shrink = max(1.0, (_PART[0] * _PART[1] * layers * 4 / _PART_BYTES) ** 0.5)
    part = max(1, int(_PART[0] / shrink)), max(1, int(_PART[1] / shrink))
    run_tiles(context, shape, part, 0, compute, merge, span)
    count, mean, least, squares = merged[0]
    if count == 0:
        raise UserError(
            f"{scene.multispectral} and {scene.pan} have no valid pixel in common; check their nodata values and masks."
        )
    return Moments(count, mean, least, squares / count)


def _of_rows(values: Array, valid: npt.NDArray[np.bool_] | None) -> _Sums:
    """Sums of a part (variables, rows, columns), a few rows at a time."""
    size = len(values)
    sums: _Sums = 0, np.zeros(size), np.full(size, np.inf), np.zeros((size, size))
    for top in range(0, values.shape[1], _ROWS):
        rows = values[:, top : top + _ROWS]
        chosen = rows.reshape(len(values), -1) if valid is None else rows[:, valid[top : top + _ROWS]]
        pixels = chosen.astype(np.float64)
        if pixels.shape[1]:
            mean = pixels.mean(axis=1)
            least = pixels.min(axis=1)
            pixels -= mean[:, None]
            sums = _merged(sums, (pixels.shape[1], mean, least, pixels @ pixels.T))
    return sums


def _merged(one: _Sums, other: _Sums) -> _Sums:
    """Sums of two parts together (Chan, Golub and LeVeque 1983), which loses no digits to large means."""
    count = one[0] + other[0]
    if count == 0:
        return one
    delta = other[1] - one[1]
    return (
        count,
        one[1] + delta * (other[0] / count),
        np.minimum(one[2], other[2]),
        one[3] + other[3] + np.outer(delta, delta) * (one[0] * other[0] / count),
    )
