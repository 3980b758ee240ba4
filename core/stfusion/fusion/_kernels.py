"""Moving-window kernels, compiled by numba.

The inner loop runs along a row of contiguous memory at a fixed offset of the window, so that the compiler turns it
into vector instructions. No fast-math: the same pixel gives the same bits whatever the tile it is computed in.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from stfusion.raster.source import Array


@njit(nogil=True, cache=True, error_model="numpy")
def _agreeing(there: Array, here: Array, thresholds: Array, agreeing: Array) -> None:
    """The first guide (pixels), NaN where one of the others (guides, pixels) differs by more than its threshold."""
    for x in range(agreeing.size):
        agreeing[x] = there[0, x]
    for g in range(1, there.shape[0]):
        for x in range(agreeing.size):
            agreeing[x] = agreeing[x] if abs(there[g, x] - here[g, x]) <= thresholds[g] else np.float32(np.nan)


@njit(nogil=True, cache=True, error_model="numpy")
def _add(
    there: Array,
    here: Array,
    limit: float,
    fine: Array,
    spectral: Array,
    change: Array,
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
        if either is None:
            chosen &= (spectral[x] < spectral_bound[x]) & (abs(change[x]) < temporal_bound[x])
        else:
            chosen &= (spectral[x] < spectral_bound[x]) | (abs(change[x]) < temporal_bound[x])
        part = weight[x] * near if chosen else np.float32(0)
        value = fine[x] + change[x] if chosen else np.float32(0)
        total[x] += part * value
        weights[x] += part


@njit(nogil=True, cache=True, error_model="numpy")
def accumulate(
    guides: Array,
    thresholds: Array,
    fine: Array,
    spectral: Array,
    change: Array,
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
    fine, spectral, change, weight
        (H, W): fine image F, |F - C|, C2 - C (NaN where invalid) and the weight without its spatial part (0 there).
    spectral_bound, temporal_bound
        (rows, columns): the bounds that ``spectral`` and |change| of a neighbour have to stay below.
    either
        True: one of the two is enough. None: both. (A None is known when the kernel is compiled; a False is not.)
    spatial
        (window, window): spatial part of the weights.
    top, left
        Position of the first pixel to compute in the (H, W) images.
    begin, end
        Rows to compute, of ``rows``.
    sums
        (2, rows, columns), changed in place: sum of weight x (F + C2 - C), and sum of weights.

    """
    height, width = fine.shape
    columns = sums.shape[2]
    half = spatial.shape[0] // 2
    row_sum, row_weight = np.empty(columns, np.float32), np.empty(columns, np.float32)
    agreeing = np.empty(columns, np.float32)
    for row in range(begin, end):
        y = top + row
        for dy in range(max(-half, -y), min(half + 1, height - y)):
            row_sum[:] = 0
            row_weight[:] = 0
            for dx in range(-half, half + 1):
                first, last = max(0, -dx - left), min(columns, width - dx - left)
                if last <= first:
                    continue
                a, b = first + left, last + left
                i, j, k = y + dy, a + dx, b + dx
                there = guides[0, i, j:k]
                if guides.shape[0] > 1:
                    _agreeing(guides[:, i, j:k], guides[:, y, a:b], thresholds, agreeing[first:last])
                    there = agreeing[first:last]
                _add(
                    there,
                    guides[0, y, a:b],
                    thresholds[0],
                    fine[i, j:k],
                    spectral[i, j:k],
                    change[i, j:k],
                    weight[i, j:k],
                    spatial[dy + half, dx + half],
                    spectral_bound[row, first:last],
                    temporal_bound[row, first:last],
                    either,
                    row_sum[first:last],
                    row_weight[first:last],
                )
            for x in range(columns):
                sums[0, row, x] += row_sum[x]
                sums[1, row, x] += row_weight[x]


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
