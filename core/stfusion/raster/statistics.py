"""Statistics of a whole image in one streamed pass, the same whatever the tiles of the work that follows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from stfusion.raster.grids import Box
from stfusion.raster.source import AlignedSource, Array
from stfusion.raster.tiles import tiles
from stfusion.run import Stop

#: Side of a part of an image, whatever its tiles; small enough that its float64 copies are no burden.
_SIDE = 512
#: Share of the pixels from which on a value that fills them is spoken of.
_MUCH = 0.001


@dataclass(frozen=True)
class Moments:
    """Number of valid pixels, and mean and standard deviation (population) of every band."""

    count: int
    mean: npt.NDArray[np.float64]
    std: npt.NDArray[np.float64]


def moments(image: AlignedSource, stop: Stop) -> Moments:
    """Mean and standard deviation of every band over the valid pixels, in float64.

    Blocks are merged pairwise (Chan, Golub and LeVeque 1983), which loses no digits to large means.
    """
    count = 0
    mean = np.zeros(len(image.source.bands))
    squares = np.zeros(len(image.source.bands))
    for box in _parts(image):
        stop.check()
        values = image.read(box)
        values = values[:, ~np.isnan(values[0])].astype(np.float64)
        n = values.shape[1]
        if n:
            block_mean = values.mean(axis=1)
            delta = block_mean - mean
            squares += ((values - block_mean[:, None]) ** 2).sum(axis=1) + delta**2 * count * n / (count + n)
            mean += delta * n / (count + n)
            count += n
    return Moments(count, mean, np.sqrt(squares / max(count, 1)))


def part_shape(image: AlignedSource) -> tuple[int, int]:
    """Rows and columns of the fixed parts of an image: whole rows where the file is stored in rows.

    The file is then read once, and sums over the parts, in order, are the same in every run.
    """
    columns = image.shape[1]
    if image.same_grid and image.source.stored_in_rows:
        return max(1, _SIDE * _SIDE // columns), columns
    return _SIDE, _SIDE


def _parts(image: AlignedSource) -> Iterator[Box]:
    return (inner for inner, _ in tiles(image.shape, part_shape(image), 0))


def sample_pixels(image: AlignedSource, limit: int, stop: Stop, read: Callable[[Box], Array] | None = None) -> Array:
    """About ``limit`` valid pixels (bands, pixels), on a regular lattice of absolute positions.

    With ``read``, of what it gives for a window (bands, rows, columns) instead: something made from images on the grid.
    """
    read = read or image.read
    rows, columns = image.shape
    step = max(1, int(np.ceil(np.sqrt(rows * columns / limit))))
    found = []
    for box in _parts(image):
        stop.check()
        values = read(box)[:, -box.top % step :: step, -box.left % step :: step]
        found.append(values[:, ~np.isnan(values[0])])
    return np.concatenate(found, axis=1)


def fillers(pixels: npt.NDArray[Any]) -> Iterator[tuple[float, float]]:
    """Values that pixels (bands, pixels) seem to be filled with for want of data, and the share that has them.

    Such a value stands in all bands of more than a thousandth of the pixels, and lies far from all others, or is zero
    where these are positive.
    """
    for fill in dict.fromkeys((float(pixels.min()), float(pixels.max()), 0.0)):
        filled = (pixels == fill).all(axis=0)
        if filled.mean() > _MUCH and _is_apart(fill, pixels[:, ~filled]):
            yield fill, float(filled.mean())


def _is_apart(fill: float, others: npt.NDArray[Any]) -> bool:
    """Whether a value is zero below all others, or farther from all others than they are from one another."""
    if others.size == 0:
        return False
    low, high = float(others.min()), float(others.max())
    return (fill == 0 and low > 0) or fill < low - (high - low) or fill > high + (high - low)
