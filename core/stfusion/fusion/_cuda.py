"""The moving-window kernels on a CUDA card: a thread for each pixel, the arithmetic that of the processor's kernels.

The results are the same but for rounding: a card may keep more digits of a product that is added.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import cuda

from stfusion.fusion._kernels import is_within
from stfusion.fusion._starfm import Place
from stfusion.raster.source import Array

#: Threads of a block: columns and rows.
BLOCK = (32, 4)
#: Part of the card's free memory that one thread takes for windows that are searched at the same time.
_PART = 1 / 16
_LARGEST = float(np.finfo(np.float32).max)
#: First steps down from the largest number.
_DOWN = 2.0**-16


def starfm(
    guides: Array, thresholds: Array, parts: Array, bounds: Array, place: Place, sums: Array
) -> Callable[[int, int], None]:
    """Ready to compute STARFM's sums, some rows at a time; all guides decide for all bands."""
    either, spatial, top, left = place
    images = [send(image) for image in (guides, thresholds, parts, bounds, spatial)]
    results = cuda.to_device(sums)

    def compute(begin: int, end: int) -> None:
        for band in range(sums.shape[1]):
            _starfm[blocks(sums.shape[3], end - begin), BLOCK](*images, either, band, top, left, begin, end, results)
        results.copy_to_host(sums)

    return compute


@cuda.jit
def _starfm(
    guides: Array,
    thresholds: Array,
    parts: Array,
    bounds: Array,
    spatial: Array,
    either: bool | None,
    band: int,
    top: int,
    left: int,
    begin: int,
    end: int,
    sums: Array,
) -> None:
    column, row = cuda.grid(2)
    row += begin
    if row >= end or column >= sums.shape[3]:
        return
    half, y, x = spatial.shape[0] // 2, top + row, left + column
    for i in range(y - half, y + half + 1):
        total = weights = np.float32(0)
        for j in range(x - half, x + half + 1):
            if not (0 <= i < guides.shape[1] and 0 <= j < guides.shape[2]):
                continue
            similar = is_within(
                parts[1, band, i, j],
                parts[2, band, i, j],
                bounds[0, band, row, column],
                bounds[1, band, row, column],
                either,
            )
            for g in range(guides.shape[0]):
                similar = similar and abs(guides[g, i, j] - guides[g, y, x]) <= thresholds[g]
            if similar:
                part = parts[3, band, i, j] * spatial[i - y + half, j - x + half]
                total += part * parts[0, band, i, j]
                weights += part
        sums[0, band, row, column] += total
        sums[1, band, row, column] += weights


def send(given: Any) -> Any:
    """An array, or those of a named tuple, in the memory of the card, which takes whole arrays only."""
    if isinstance(given, np.ndarray):
        return cuda.to_device(np.ascontiguousarray(given))
    return type(given)(*map(send, given)) if isinstance(given, tuple) else given


def blocks(columns: int, rows: int) -> tuple[int, int]:
    """How many blocks cover these columns and rows."""
    return -(-columns // BLOCK[0]), -(-rows // BLOCK[1])


def room(row_bytes: int, rows: int) -> int:
    """How many of the rows, each of which needs this memory, are computed at the same time."""
    free = cuda.current_context().get_memory_info()[0]
    return max(1, int(min(rows, _PART * free / row_bytes)))


def means(
    guides: Array,
    scales: Array | None,
    images: Array,
    limits: Array | None,
    squared: bool | None,
    count: int,
    most: float,
    spatial: Array,
    top: int,
    left: int,
    means: Array,
    numbers: npt.NDArray[np.int32],
) -> None:
    """Means over the most similar pixels of a window; see :func:`stfusion.fusion._similar.similar_means`."""
    rows, columns = numbers.shape
    given = [send(image) for image in (guides, scales, images, limits, spatial)]
    results = cuda.to_device(means), cuda.to_device(numbers)
    strip = room(4 * spatial.size * columns, rows)
    keys = cuda.device_array((spatial.size, strip, columns), np.float32)
    for begin in range(0, rows, strip):
        end = min(begin + strip, rows)
        grid = blocks(columns, end - begin), BLOCK
        _means[grid](*given, squared, count, min(most, _LARGEST), top, left, begin, end, keys, *results)
    results[0].copy_to_host(means)
    results[1].copy_to_host(numbers)


@cuda.jit
def _means(
    guides: Array,
    scales: Array | None,
    images: Array,
    limits: Array | None,
    spatial: Array,
    squared: bool | None,
    count: int,
    most: float,
    top: int,
    left: int,
    begin: int,
    end: int,
    scratch: Array,
    means: Array,
    numbers: npt.NDArray[np.int32],
) -> None:
    column, row = cuda.grid(2)
    row += begin
    if row >= end or column >= numbers.shape[1]:
        return
    size, y, x = spatial.shape[0], top + row, left + column
    keys = scratch[:, row - begin, column]
    if math.isnan(guides[0, y, x]):
        return
    for place in range(size * size):
        i, j = y - size // 2 + place // size, x - size // 2 + place % size
        keys[place] = math.inf
        if 0 <= i < guides.shape[1] and 0 <= j < guides.shape[2]:
            keys[place] = _key(guides, scales, limits, squared, y, x, i, j)
    limit = _bound(keys, count, np.float32(most))
    total, number = 0.0, 0
    for place in range(size * size):
        if keys[place] <= limit:
            total += spatial[place // size, place % size]
            number += 1
    numbers[row, column] = number
    for n in range(images.shape[0]):
        mean = 0.0
        for place in range(size * size):
            if keys[place] <= limit:
                i, j = y - size // 2 + place // size, x - size // 2 + place % size
                mean += spatial[place // size, place % size] * images[n, i, j]
        means[n, row, column] = mean / total


@cuda.jit(device=True)
def _key(
    guides: Array,
    scales: Array | None,
    limits: Array | None,
    squared: bool | None,
    y: int,
    x: int,
    i: int,
    j: int,
) -> np.float32:
    """How much a pixel (i, j) differs from the centre (y, x); infinite where it must not be used."""
    key = np.float32(0)
    for b in range(guides.shape[0]):
        difference = abs(guides[b, i, j] - guides[b, y, x])
        within = difference <= math.inf if limits is None else difference <= limits[b]
        if not within:
            return np.float32(math.inf)
        if squared is not None:
            difference *= difference
        key += difference if scales is None else difference * scales[b, y, x]
    return key


@cuda.jit(device=True)
def _bound(keys: Array, count: int, high: np.float32) -> np.float32:
    """The smallest bound that ``count`` keys do not exceed; ``high`` if there are fewer below it."""
    if _up_to(keys, high) <= count:
        return high
    if _up_to(keys, np.float32(0)) >= count:
        return np.float32(0)
    low = np.float32(0)
    while True:
        # The geometric mean halves the exponent: a key of any size is found in about as many steps.
        middle = np.float32(math.sqrt(np.float64(low) * np.float64(high)) if low > 0 else high * _DOWN)
        if not low < middle < high:
            return high
        number = _up_to(keys, middle)
        if number == count:
            return middle
        if number < count:
            low = middle
        else:
            high = middle


@cuda.jit(device=True)
def _up_to(keys: Array, limit: float) -> int:
    number = 0
    for place in range(keys.size):
        number += keys[place] <= limit
    return number
