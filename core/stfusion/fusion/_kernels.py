"""Moving-window kernels, compiled by numba.

The inner loop runs along a row of contiguous memory at a fixed offset of the window, so that the compiler turns it
into vector instructions. No fast-math: the same pixel gives the same bits whatever the tile it is computed in.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from stfusion.fusion._lanes import LANES, lowest_bit, within
from stfusion.raster.source import Array

Floats = npt.NDArray[np.float64]

#: What stands for a missing value among guides that must not hold NaN: similar to none.
FAR_AWAY = np.float32(1e30)


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
    guide: Array,
    threshold: float,
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
    guide, threshold
        (H, W): what decides similarity, NaN is never similar; and the largest difference allowed.
    value, spectral, temporal, weight
        (H, W): F + C2 - C, |F - C|, |C2 - C| and the weight without its spatial part. Where a pixel is invalid the
        differences are NaN, so that it is never within bounds, and value and weight are 0.
    spectral_bound, temporal_bound
        (rows, columns): the bounds that ``spectral`` and ``temporal`` of a neighbour have to stay below.
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
    height, width = value.shape
    columns = sums.shape[2]
    half = spatial.shape[0] // 2
    row_sum, row_weight = np.empty(columns, np.float32), np.empty(columns, np.float32)
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
                _add(
                    guide[i, j:k],
                    guide[y, a:b],
                    threshold,
                    value[i, j:k],
                    spectral[i, j:k],
                    temporal[i, j:k],
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
def accumulate_jointly(
    guides: Array,
    thresholds: Array,
    table: Array,
    bounds: Array,
    either: bool | None,
    spatial: Array,
    top: int,
    left: int,
    begin: int,
    end: int,
    sums: Array,
) -> None:
    """The same for all bands at once, where guides decide together; few neighbours then pass, and these are listed.

    Parameters
    ----------
    guides, thresholds
        (guides, H, W + 2 margins), :data:`FAR_AWAY` where invalid and in the margins of :func:`margin`; and the largest
        difference allowed for each.
    table
        (H, W, bands, 4): value, spectral, temporal and weight, as above.
    bounds
        (rows, columns, bands, 2): spectral and temporal bound.
    either, spatial, top, left, begin, end
        As in :func:`accumulate`.
    sums
        (2, bands, rows, columns), changed in place.

    """
    height, bands = table.shape[0], table.shape[2]
    size, half = spatial.shape[0], spatial.shape[0] // 2
    low, high = np.empty(thresholds.size, np.float32), np.empty(thresholds.size, np.float32)
    totals = np.empty((2, bands))
    for row in range(begin, end):
        y = top + row
        for column in range(sums.shape[3]):
            x = left + column
            if guides[0, y, x + margin(half)] == FAR_AWAY:
                continue
            for g in range(low.size):
                here = guides[g, y, x + margin(half)]
                low[g], high[g] = here - thresholds[g], here + thresholds[g]
            totals[:] = 0
            for i in range(max(0, y - half), min(height, y + half + 1)):
                for start in range(0, size, LANES):
                    similar = within(guides, i, x - half + start + margin(half), low, high)
                    similar &= ~np.uint64(0) >> np.uint64(max(0, start + LANES - size))
                    while similar != 0:
                        place = start + lowest_bit(similar)
                        similar &= similar - np.uint64(1)
                        near = spatial[i - y + half, place]
                        _add_bands(table[i, x - half + place], bounds[row, column], near, either, totals)
            for band in range(bands):
                sums[0, band, row, column] += totals[0, band]
                sums[1, band, row, column] += totals[1, band]


@njit(nogil=True, cache=True, error_model="numpy")
def _add_bands(there: Array, bounds: Array, near: float, either: bool | None, totals: Floats) -> None:
    """Add one neighbour (bands, 4) to the sums (2, bands) where its differences are within bounds (bands, 2)."""
    for band in range(there.shape[0]):
        if is_within(there[band, 1], there[band, 2], bounds[band, 0], bounds[band, 1], either):
            part = there[band, 3] * near
            totals[0, band] += part * there[band, 0]
            totals[1, band] += part


@njit(nogil=True, cache=True, error_model="numpy")
def margin(half: int) -> int:
    """Columns before and after an image whose neighbours are tested many at a time."""
    return half + LANES
