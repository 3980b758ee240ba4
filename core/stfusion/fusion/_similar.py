"""Means over the most similar pixels of a moving window: the last step of the hybrid and regression methods.

Written pixel by pixel, and a window row as the innermost loop over contiguous memory, so that one source serves the
CPU (vector instructions) and, a thread for each pixel, a GPU.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from stfusion.raster.source import Array
from stfusion.raster.tiles import Tile

Floats = npt.NDArray[np.float64]
Bits = npt.NDArray[np.int32]

#: Candidates visited between two looks at the cancel flag: about a tenth of a second.
_VISITS = 50_000_000
#: First step of a search for a bound from a guess, in units of a float's last digit: about 3 per cent.
_STEP, _FAR = 1 << 18, 1 << 31
#: The key of a pixel that is never similar.
_NEVER = np.float32(np.inf)
#: The bits of an infinite key.
_INFINITE = 0x7F800000


@dataclass(frozen=True)
class Similarity:
    """How similar pixels are found and weighted.

    ``count`` is the number of most similar pixels (those that tie with the last are taken too), ``limits`` the largest
    difference to the centre in each band (infinite where there is none), ``power`` 1 for absolute and 2 for squared
    differences, and ``spatial`` (window, window) the weights.
    """

    count: int
    limits: Array
    power: int
    spatial: Array

    @property
    def halo(self) -> int:
        """Pixels from the centre to the window's edge."""
        return int(self.spatial.shape[0]) // 2


def distance_weights(window: int) -> Array:
    """Weights 1/D with D = 1 + d / (window / 2) for the distance d from the centre of a window, in pixels."""
    half = window // 2
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    weights: Array = (1.0 / (1.0 + np.hypot(y, x) / (window / 2))).astype(np.float32)
    return weights


def similar_means(
    similarity: Similarity, guides: Array, scales: Array | None, images: Array, tile: Tile, share: float = 1.0
) -> tuple[Array, npt.NDArray[np.int32]]:
    """Weighted means of images over the most similar pixels of the window around every pixel of the tile.

    Parameters
    ----------
    similarity
        What a similar pixel is, and its weight.
    guides
        (bands, H, W): the image that decides similarity, NaN where a pixel must not be used.
    scales
        (bands, H, W) or none: what the differences to a centre are multiplied by, such as 1/F for relative ones.
    images
        (images, H, W): what is averaged; NaN where a guide is, and nowhere else.
    tile
        The tile that the arrays cover with its halo.
    share
        Share of the tile's progress that this is.

    Returns
    -------
    means, numbers
        (images, rows, columns), NaN where there is no similar pixel, and (rows, columns): how many there were.
    """
    rows, columns = tile.inner.shape
    means = np.empty((images.shape[0], rows, columns), np.float32)
    numbers = np.zeros((rows, columns), np.int32)
    size = similarity.spatial.shape[0]
    strip = max(1, _VISITS // (size * size * columns))
    keys, sums = np.empty(size * size, np.float32), np.empty(images.shape[0])
    for begin in range(0, rows, strip):
        end = min(begin + strip, rows)
        _means(
            guides, scales, images, similarity.limits, similarity.power == 2 or None, similarity.count,
            similarity.spatial, *tile.offset, begin, end, keys, sums, means, numbers,
        )  # fmt: skip
        tile.advance(share * (end - begin) / rows)
    return means, numbers


@njit(nogil=True, cache=True, error_model="numpy")
def _means(
    guides: Array,
    scales: Array | None,
    images: Array,
    limits: Array,
    squared: bool | None,
    count: int,
    spatial: Array,
    top: int,
    left: int,
    begin: int,
    end: int,
    keys: Array,
    sums: Floats,
    means: Array,
    numbers: npt.NDArray[np.int32],
) -> None:
    """Fill rows ``begin`` to ``end`` of ``means`` and ``numbers``."""
    half = spatial.shape[0] // 2
    for row in range(begin, end):
        y = top + row
        y0, y1 = max(0, y - half), min(guides.shape[1], y + half + 1)
        limit = np.int32(0)
        for column in range(numbers.shape[1]):
            x = left + column
            x0, x1 = max(0, x - half), min(guides.shape[2], x + half + 1)
            near = keys[: (y1 - y0) * (x1 - x0)]
            if not np.isnan(guides[0, y, x]):
                _fill_keys(guides, scales, limits, squared, y, x, y0, y1, x0, x1, near)
                limit = _smallest(near.view(np.int32), count, limit)
                place = spatial[y0 - y + half : y1 - y + half, x0 - x + half : x1 - x + half]
                around = images[:, y0:y1, x0:x1]
                numbers[row, column] = _average(near.view(np.int32), limit, place, around, sums, means[:, row, column])
            else:
                means[:, row, column] = np.nan


@njit(nogil=True, cache=True, error_model="numpy")
def _fill_keys(
    guides: Array,
    scales: Array | None,
    limits: Array,
    squared: bool | None,
    y: int,
    x: int,
    y0: int,
    y1: int,
    x0: int,
    x1: int,
    keys: Array,
) -> None:
    """How much every pixel of a window differs from the centre; infinite where it must not be used."""
    width = x1 - x0
    keys[:] = 0
    for b in range(guides.shape[0]):
        here, most = guides[b, y, x], limits[b]
        scale = np.float32(1) if scales is None else scales[b, y, x]
        for i in range(y0, y1):
            there = guides[b, i, x0:x1]
            row = keys[(i - y0) * width : (i - y0 + 1) * width]
            for k in range(width):
                difference = abs(there[k] - here)
                key = difference * scale if squared is None else difference * difference * scale
                # A NaN is not within any limit either.
                row[k] += key if difference <= most else _NEVER


@njit(nogil=True, cache=True, error_model="numpy")
def _smallest(bits: Bits, count: int, guess: int) -> Any:
    """A bound that ``count`` keys do not exceed, and more only where they tie; all that are finite if there are fewer.

    The bits of floats that are not negative are ordered as the floats are, and whole numbers need no fast-math to be
    counted by vector instructions. Bisection begins near a guess and ends as soon as the number is right: where it
    begins does not change which keys are below the bound.
    """
    low, high = _range(bits)
    if _up_to(bits, high) <= count:
        return high
    low -= 1
    step = _STEP
    middle = min(max(guess, low + 1), high - 1)
    while high - low > 1:
        number = _up_to(bits, middle)
        if number == count:
            return middle
        if number < count:
            low = middle
            middle = low + min(step, (high - low) // 2)
        else:
            high = middle
            middle = high - min(step, (high - low) // 2)
        step = min(4 * step, _FAR)
    return high


@njit(nogil=True, cache=True, error_model="numpy")
def _range(bits: Bits) -> tuple[Any, Any]:
    """The smallest and the largest finite key."""
    low, high = np.int32(_INFINITE), np.int32(0)
    for k in range(bits.size):
        low = min(low, bits[k])
        high = max(high, bits[k] if bits[k] < np.int32(_INFINITE) else np.int32(0))
    return low, high


@njit(nogil=True, cache=True, error_model="numpy")
def _up_to(bits: Bits, limit: int) -> Any:
    """How many keys do not exceed the limit; 32-bit whole numbers throughout fill the vector registers."""
    number, last = np.int32(0), np.int32(limit)
    for k in range(bits.size):
        number = np.int32(number + (np.int32(1) if bits[k] <= last else np.int32(0)))
    return number


@njit(nogil=True, cache=True, error_model="numpy")
def _average(bits: Bits, limit: int, spatial: Array, images: Array, sums: Floats, mean: Array) -> int:
    """The weighted mean of every image over the keys up to the limit, and their number."""
    number, total = 0, 0.0
    sums[:] = 0
    rows, columns = spatial.shape
    for i in range(rows):
        row = bits[i * columns : (i + 1) * columns]
        left = _up_to(row, limit)
        for j in range(columns):
            if left == 0:
                break
            if row[j] <= limit:
                weight = spatial[i, j]
                left -= 1
                number += 1
                total += weight
                for n in range(sums.size):
                    sums[n] += weight * images[n, i, j]
    for n in range(sums.size):
        mean[n] = sums[n] / total
    return number
