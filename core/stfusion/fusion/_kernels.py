"""Moving-window kernels, compiled by numba.

The inner loop runs along a row of contiguous memory at a fixed offset of the window, so that the compiler turns it
into vector instructions. No fast-math: the same pixel gives the same bits whatever the tile it is computed in.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from stfusion.raster.source import Array

Flags = npt.NDArray[np.bool_]


#: Pixels of a row for which it is kept which neighbours all guides agree on: few enough that often none agrees.
_CHUNK = 64


@njit(nogil=True, cache=True, error_model="numpy")
def _keep_agreeing(there: Array, here: Array, threshold: float, agreeing: Array) -> bool:
    """Make NaN of what differs from its centre by more than the threshold; whether anything is left."""
    left = np.int32(0)
    for x in range(agreeing.size):
        agreeing[x] = agreeing[x] if abs(there[x] - here[x]) <= threshold else np.float32(np.nan)
        left = np.int32(left + (np.int32(1) if agreeing[x] == 0 else np.int32(0)))
    return bool(left > 0)


@njit(nogil=True, cache=True, error_model="numpy")
def _agree(
    guides: Array, thresholds: Array, half: int, y: int, begin: int, end: int, agreeing: Array, any_agrees: Flags
) -> None:
    """0 for the neighbours (window x window, pixels) that agree with their centre in all guides, NaN for the others."""
    _, height, width = guides.shape
    agreeing[:] = 0
    any_agrees[:] = False
    for dy in range(max(-half, -y), min(half + 1, height - y)):
        for dx in range(-half, half + 1):
            first, last = max(begin, -dx), min(end, width - dx)
            if last <= first:
                continue
            offset = (dy + half) * (2 * half + 1) + dx + half
            place = agreeing[offset, first - begin : last - begin]
            for g in range(guides.shape[0]):
                there, here = guides[g, y + dy, first + dx : last + dx], guides[g, y, first:last]
                any_agrees[offset] = _keep_agreeing(there, here, thresholds[g], place)
                if not any_agrees[offset]:
                    break


@njit(nogil=True, cache=True, error_model="numpy")
def is_within(
    spectral: float, temporal: float, spectral_bound: float, temporal_bound: float, either: bool | None
) -> bool:
    """Whether a neighbour's differences pass the filter: both, or one of them where ``either`` is not None."""
    if either is None:
        return (spectral < spectral_bound) & (temporal < temporal_bound)
    return (spectral < spectral_bound) | (temporal < temporal_bound)


@njit(nogil=True, cache=True, error_model="numpy")
def _add(
    there: Array,
    here: Array,
    limit: float,
    value: Array,
    spectral: Array,
    temporal: Array,
    weight: Array,
    near: float,
    spectral_bound: Array,
    temporal_bound: Array,
    either: bool | None,
    total: Array,
    weights: Array,
) -> None:
    """Add one neighbour of every pixel of a row to ``total`` and ``weights`` where it is similar and within bounds."""
    for x in range(total.size):
        chosen = abs(there[x] - here[x]) <= limit
        chosen &= is_within(spectral[x], temporal[x], spectral_bound[x], temporal_bound[x], either)
        part = weight[x] * near if chosen else np.float32(0)
        total[x] += part * value[x]
        weights[x] += part


@njit(nogil=True, cache=True, error_model="numpy")
def accumulate(
    guides: Array,
    thresholds: Array,
    joint: bool,
    value: Array,
    spectral: Array,
    temporal: Array,
    weight: Array,
    spectral_bound: Array,
    temporal_bound: Array,
    either: bool | None,
    spatial: Array,
    top: int,
    left: int,
    begin: int,
    end: int,
    sums: Array,
) -> None:
    """Add the weighted predictions of one pair, and the weights, of every pixel's similar neighbours to ``sums``.

    Parameters
    ----------
    guides, thresholds
        What decides similarity: (guides, H, W) and the largest difference allowed for each guide; NaN is never similar.
    joint
        Whether all guides decide for every band together; otherwise guide n decides for band n.
    value, spectral, temporal, weight
        (bands, H, W): F + C2 - C, |F - C|, |C2 - C| and the weight without its spatial part. Where a pixel is invalid
        the differences are NaN, so that it is never within bounds, and value and weight are 0.
    spectral_bound, temporal_bound
        (bands, rows, columns): the bounds that ``spectral`` and ``temporal`` of a neighbour have to stay below.
    either
        True: one of the two is enough. None: both. (A None is known when the kernel is compiled; a False is not.)
    spatial
        (window, window): spatial part of the weights.
    top, left
        Position of the first pixel to compute in the (H, W) images.
    begin, end
        Rows to compute, of ``rows``.
    sums
        (2, bands, rows, columns), changed in place: sum of weight x (F + C2 - C), and sum of weights.

    """
    bands, height, width = value.shape
    columns = sums.shape[3]
    half = spatial.shape[0] // 2
    chunk = _CHUNK if joint else columns
    row_sum, row_weight = np.empty(chunk, np.float32), np.empty(chunk, np.float32)
    agreeing = np.empty((spatial.size if joint else 0, chunk), np.float32)
    any_agrees = np.empty(spatial.size, np.bool_)
    centre = np.zeros(chunk, np.float32)
    for row in range(begin, end):
        y = top + row
        for start in range(0, columns, chunk):
            stop = min(start + chunk, columns)
            if joint:
                _agree(guides, thresholds, half, y, left + start, left + stop, agreeing, any_agrees)
            for band in range(bands):
                for dy in range(max(-half, -y), min(half + 1, height - y)):
                    row_sum[:] = 0
                    row_weight[:] = 0
                    for dx in range(-half, half + 1):
                        first, last = max(start, -dx - left), min(stop, width - dx - left)
                        if last <= first:
                            continue
                        a, b = first + left, last + left
                        i, j, k = y + dy, a + dx, b + dx
                        offset = (dy + half) * (2 * half + 1) + dx + half
                        if joint:
                            if not any_agrees[offset]:
                                continue
                            there, here = agreeing[offset, first - start : last - start], centre[: last - first]
                            limit = np.float32(0)
                        else:
                            there, here, limit = guides[band, i, j:k], guides[band, y, a:b], thresholds[band]
                        _add(
                            there,
                            here,
                            limit,
                            value[band, i, j:k],
                            spectral[band, i, j:k],
                            temporal[band, i, j:k],
                            weight[band, i, j:k],
                            spatial[dy + half, dx + half],
                            spectral_bound[band, row, first:last],
                            temporal_bound[band, row, first:last],
                            either,
                            row_sum[first - start : last - start],
                            row_weight[first - start : last - start],
                        )
                    for x in range(stop - start):
                        sums[0, band, row, start + x] += row_sum[x]
                        sums[1, band, row, start + x] += row_weight[x]


@njit(nogil=True, cache=True, error_model="numpy")
def classify(values: Array, centres: Array) -> Array:
    """Index (H, W) of the nearest of the centres (classes, bands) for values (bands, H, W); NaN where invalid."""
    bands, height, width = values.shape
    classes = np.empty((height, width), np.float32)
    for y in range(height):
        for x in range(width):
            best, nearest = np.float32(np.nan), np.float32(np.inf)
            for k in range(centres.shape[0]):
                distance = np.float32(0)
                for b in range(bands):
                    distance += (values[b, y, x] - centres[k, b]) ** 2
                if distance < nearest:
                    best, nearest = np.float32(k), distance
            classes[y, x] = best
    return classes
