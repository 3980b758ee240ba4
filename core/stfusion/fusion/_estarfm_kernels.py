"""ESTARFM's moving window, compiled by numba.

In every window, a row of neighbours is tested at once (one bit each), the few that are similar are listed, and all sums
over them are taken from the tables of the strip. The arithmetic of one neighbour, one regression and one pixel stands
in functions of its own. Lists and sums follow the window's rows, so that a pixel has the same bits whatever the tile.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stfusion.fusion._compile import compiled
from stfusion.fusion._estarfm_tables import NO_CODE, NO_VALUE, Codes, Floats, Guides, Mask, Tables, unlikeness_of
from stfusion.fusion._lanes import ADDED, LANES, add_rows, lowest_bit, within
from stfusion.raster.source import Array

Bits = npt.NDArray[np.uint64]
Cells = npt.NDArray[np.intp]
Counts = npt.NDArray[np.int64]

#: Where the conversion coefficient comes from.
CONVERSIONS = ("regression", "weighted", "one")
_REGRESSION, _WEIGHTED, _ONE = 0, 1, 2
#: What is counted: see the notes of the model.
KINDS = ("few", "unchanged", "insignificant", "steep", "outside")
_FEW, _UNCHANGED, _INSIGNIFICANT, _STEEP, _OUTSIDE = 0, 1, 2, 3, 4
#: Candidates up to which the window's mean change is taken instead (of the authors' code).
_TOO_FEW = 5
#: Largest conversion coefficient (of the authors' code).
_STEEPEST = 5.0
#: Added to (1 - R) d, so that it is never 0: pixels with R = 1 then share the weight, and the others get almost none.
_LEAST_DISTANCE = np.float32(1e-7)
#: Centres whose windows are searched together, while their rows are in the fastest memory.
_CENTRES = 32
#: Candidates summed up in float32 before they join the float64 sums.
_BATCH = 64
#: Share of a sum of squares below which a variance is what rounding left of zero.
_ROUNDING = 1e-6


class Rules(NamedTuple):
    """What the options and the statistics of the scene say.

    limits, side
        Largest differences (rows of blocks, columns of blocks, 2 bands) of similar pixels; the side of a block.
    distance
        (window, window): 1 + d / (half a window).
    conversion, unbiased
        Position in CONVERSIONS, and whether fine values are freed from their local bias.
    least_change, least_r2
        What a coefficient needs: coarse change of the candidates, and r² for every number of candidates.
    least_mean
        What is added to the mean changes of the window, which weigh the dates.
    lowest, highest
        The valid range.
    """

    limits: Floats
    side: int
    distance: Array
    conversion: int
    unbiased: bool
    least_change: float
    least_r2: Floats
    least_mean: float
    lowest: float
    highest: float


class _Candidates(NamedTuple):
    """The similar pixels of a window: their cells in the tables, weights, and ones."""

    cells: Cells
    weights: Array
    ones: Array


class _Pixel(NamedTuple):
    """Memory for one pixel: its fine values at both dates, their bias, and the sums of moments and changes."""

    fine: Floats
    bias: Floats
    moments: Floats
    changes: Floats


@compiled
def _weight(unlikeness: float, distance: float) -> np.float32:
    """Weight of a similar pixel before the weights are divided by their sum: 1 / D with D = (1 - R) d."""
    return np.float32(1) / np.float32(np.float32(unlikeness) * distance + _LEAST_DISTANCE)


@compiled
def _coefficient(
    share: float, sums: Floats, band: int, bands: int, least_change: float, least_r2: float
) -> tuple[float, int]:
    """Conversion coefficient V, the slope of fine on coarse values, and why it is 1 (of KINDS; -1 where it is not).

    ``share`` is the sum of the weights that the sums of the moments were taken with, for each date.
    """
    c1, c2, f = sums[band], sums[bands + band], sums[2 * bands + band]
    fc, cc, ff = sums[3 * bands + band], sums[4 * bands + band], sums[5 * bands + band]
    if abs(c1 - c2) < least_change * share:
        return 1.0, _UNCHANGED
    c = c1 + c2
    xx, xy, yy = cc - c * c / (2 * share), fc - c * f / (2 * share), ff - f * f / (2 * share)
    if xx <= _ROUNDING * cc or yy <= _ROUNDING * ff or xy * xy < least_r2 * xx * yy:
        return 1.0, _INSIGNIFICANT
    slope = xy / xx
    return (slope, -1) if 0.0 < slope <= _STEEPEST else (1.0, _STEEP)


@compiled
def _first_share(change1: float, change2: float, least: float) -> float:
    """Weight of the first date: the dates weigh inversely to the mean coarse change of the window since them."""
    change1, change2 = abs(change1) + least, abs(change2) + least
    return change2 / (change1 + change2)


@compiled
def _window_sums(table: Array, row: int, columns: int, window: int, sums: Floats) -> None:
    """Sums (columns, numbers) of a table (rows, columns, numbers) over the windows that begin at a row."""
    numbers = table.shape[2]
    across = np.zeros(table.shape[1] * numbers)
    for dy in range(window):
        there = table[row + dy].reshape(-1)
        for i in range(across.size):
            across[i] += there[i]
    flat = sums.reshape(-1)
    flat[:] = 0
    for dx in range(window):
        for i in range(columns * numbers):
            flat[i] += across[i + dx * numbers]


@compiled
def _bounds(here: Guides, limits: Floats, codes: Codes, low: Guides, high: Guides) -> None:
    """The least and the largest guide that a similar pixel may have."""
    for guide in range(limits.size):
        limit = limits[guide] / codes.scale[guide]
        least, most = np.float64(here[guide]) - limit, np.float64(here[guide]) + limit
        if here.itemsize == 2:
            low[guide], high[guide] = max(0.0, np.ceil(least)), min(np.floor(most), NO_CODE - 1)
        else:
            low[guide], high[guide] = np.float32(least), np.float32(most)
            if low[guide] < least:
                low[guide] = np.nextafter(low[guide], np.float32(NO_VALUE))
            if high[guide] > most:
                high[guide] = np.nextafter(high[guide], np.float32(-NO_VALUE))


@compiled
def _search(guides: Guides, row: int, column: int, low: Guides, high: Guides, bits: Bits) -> None:
    """Bits (centres, window, words) of the similar pixels in the windows of neighbouring centres.

    The first window begins at the row and column; ``low`` and ``high`` (centres, guides) are the bounds.
    """
    centres, window, words = bits.shape
    rest = window - (words - 1) * LANES
    last = ~np.uint64(0) >> np.uint64(LANES - rest)
    for dy in range(window):
        for word in range(words):
            for centre in range(centres):
                found = within(guides, row + dy, column + centre + word * LANES, low[centre], high[centre])
                bits[centre, dy, word] = found & last if word == words - 1 else found


@compiled
def _list(bits: Bits, start: int, stride: int, rules: Rules, unlikeness: Array, found: _Candidates) -> int:
    """List the similar pixels with their weights (if unbiased, their distances alone); returns how many there are."""
    cells, weights, _ = found
    count = 0
    for dy in range(bits.shape[0]):
        for word in range(bits.shape[1]):
            left = bits[dy, word]
            while left != 0:
                dx = word * LANES + lowest_bit(left)
                cell, distance = start + dy * stride + dx, rules.distance[dy, dx]
                cells[count] = cell
                weights[count] = distance if rules.unbiased else _weight(unlikeness[cell], distance)
                count += 1
                left &= left - np.uint64(1)
    return count


@compiled
def _list_window(changes: Array, bands: int, start: int, stride: int, window: int, cells: Cells) -> int:
    """List all valid pixels of a window; returns how many there are."""
    count = 0
    for dy in range(window):
        for cell in range(start + dy * stride, start + dy * stride + window):
            if changes[cell, 2 * bands] > 0:
                cells[count] = cell
                count += 1
    return count


@compiled
def _add(table: Array, cells: Cells, weights: Array, count: int, sums: Floats) -> None:
    """Weighted sums of the listed rows of a table."""
    sums[:] = 0
    for first in range(0, count, _BATCH):
        for column in range(0, table.shape[1], ADDED):
            add_rows(table, cells, weights, first, min(first + _BATCH, count), column, sums)


@compiled
def _fine_and_coarse(tables: Tables, codes: Codes, cell: int, guide: int) -> tuple[float, float]:
    """Fine and coarse value of a pixel in one band at one date."""
    bands2 = tables.guides.shape[0]
    code = tables.guides.reshape(bands2, -1)[guide, cell]
    return code * codes.scale[guide] + codes.offset[guide], np.float64(tables.changes[cell, bands2 + 1 + guide])


@compiled
def _find_bias(tables: Tables, codes: Codes, count: int, found: _Candidates, bias: Floats) -> None:
    """Mean fine less mean coarse value (2 bands) of the candidates at both dates."""
    bias[:] = 0
    for i in range(count):
        for guide in range(bias.size):
            fine, coarse = _fine_and_coarse(tables, codes, found.cells[i], guide)
            bias[guide] += fine - coarse
    bias /= count


@compiled
def _weigh_unbiased(tables: Tables, codes: Codes, bias: Floats, count: int, found: _Candidates) -> None:
    """Turn distances into the weights of the candidates, whose fine values are freed from the bias."""
    fine, coarse = np.empty(bias.size), np.empty(bias.size)
    for i in range(count):
        for guide in range(bias.size):
            fine[guide], coarse[guide] = _fine_and_coarse(tables, codes, found.cells[i], guide)
        fine -= bias
        found.weights[i] = _weight(unlikeness_of(fine, coarse), found.weights[i])


@compiled
def _mean_fine(tables: Tables, codes: Codes, guide: int, count: int, found: _Candidates) -> float:
    """Weighted mean of the candidates' fine values of one band and date."""
    flat = tables.guides[guide].reshape(-1)
    total = weight = 0.0
    for i in range(count):
        total += np.float64(found.weights[i]) * flat[found.cells[i]]
        weight += found.weights[i]
    return float(total / weight * codes.scale[guide] + codes.offset[guide])


@compiled
def _changed(sums: Floats, bands: int, least_change: float) -> bool:
    """Whether the coarse images of the pairs differ enough for a coefficient in any band, from the weighted sums."""
    changed = False
    for b in range(bands):
        changed |= abs(sums[b] - sums[bands + b]) >= least_change * sums[2 * bands]
    return changed


@compiled
def _regress(tables: Tables, rules: Rules, bands: int, count: int, found: _Candidates, pixel: _Pixel) -> float:
    """Take the sums that the coefficients are found from; returns the sum of the weights they were taken with."""
    if rules.conversion == _WEIGHTED:
        if _changed(pixel.changes, bands, rules.least_change):
            _add(tables.moments, found.cells, found.weights, count, pixel.moments)
        else:
            pixel.moments[:] = 0
        return float(pixel.changes[2 * bands])
    if rules.conversion == _REGRESSION:
        _add(tables.moments, found.cells, found.ones, count, pixel.moments)
    return np.float64(count)


@compiled
def _predict_pixel(
    tables: Tables,
    codes: Codes,
    rules: Rules,
    means: Floats,
    count: int,
    found: _Candidates,
    pixel: _Pixel,
    values: Array,
    counts: Counts,
) -> None:
    """Predict the bands of a pixel from its candidates, and from the mean changes of its window."""
    bands = values.size
    _add(tables.changes, found.cells, found.weights, count, pixel.changes)
    share = _regress(tables, rules, bands, count, found, pixel)
    for b in range(bands):
        first = _first_share(means[b], means[bands + b], rules.least_mean)
        slope = 1.0
        if rules.conversion != _ONE:
            slope, why = _coefficient(share, pixel.moments, b, bands, rules.least_change, rules.least_r2[count])
            if why >= 0:
                counts[why] += 1
        change = slope * (first * pixel.changes[b] + (1 - first) * pixel.changes[bands + b]) / pixel.changes[2 * bands]
        value = first * pixel.fine[b] + (1 - first) * pixel.fine[bands + b] + change
        if not rules.lowest < value < rules.highest:
            counts[_OUTSIDE] += 1
            fine1 = _mean_fine(tables, codes, b, count, found) - pixel.bias[b]
            fine2 = _mean_fine(tables, codes, bands + b, count, found) - pixel.bias[bands + b]
            value = first * fine1 + (1 - first) * fine2
        values[b] = value


@compiled
def _predict_centre(
    tables: Tables,
    codes: Codes,
    rules: Rules,
    row: int,
    column: int,
    bits: Bits,
    means: Floats,
    found: _Candidates,
    pixel: _Pixel,
    values: Array,
    counts: Counts,
) -> None:
    """Predict the bands of the pixel whose window begins at a row and column of the tables."""
    bands, window, stride = values.size, rules.distance.shape[0], tables.guides.shape[2]
    start, half = row * stride + column, window // 2
    count = _list(bits, start, stride, rules, tables.unlikeness, found)
    few = count <= _TOO_FEW
    if rules.unbiased:
        if few:
            count = _list_window(tables.changes, bands, start, stride, window, found.cells)
        _find_bias(tables, codes, count, found, pixel.bias)
    for guide in range(2 * bands):
        fine = tables.guides[guide, row + half, column + half] * codes.scale[guide] + codes.offset[guide]
        pixel.fine[guide] = fine - pixel.bias[guide]
    if few:
        counts[_FEW] += bands
        for b in range(bands):
            first = _first_share(means[b], means[bands + b], rules.least_mean)
            values[b] = first * (pixel.fine[b] + means[b]) + (1 - first) * (pixel.fine[bands + b] + means[bands + b])
        return
    if rules.unbiased:
        _weigh_unbiased(tables, codes, pixel.bias, count, found)
    _predict_pixel(tables, codes, rules, means, count, found, pixel, values, counts)


@compiled
def predict_rows(
    tables: Tables,
    codes: Codes,
    rules: Rules,
    wanted: Mask,
    origin: tuple[int, int],
    begin: int,
    end: int,
    values: Array,
    counts: Counts,
) -> None:
    """Predict the wanted pixels of some rows of a strip.

    Parameters
    ----------
    tables, codes, rules
        See there.
    wanted
        (rows, columns): the pixels to predict.
    origin
        Row and column of the strip's first pixel in the scene.
    begin, end
        Rows to predict.
    values, counts
        (rows, columns, bands) and (KINDS), changed in place.

    """
    columns, bands = values.shape[1:]
    window, stride = rules.distance.shape[0], tables.guides.shape[2]
    half, area, numbers = window // 2, window * window, tables.changes.shape[1]
    low, high = np.empty((2, _CENTRES, 2 * bands), tables.guides.dtype)
    bits = np.empty((_CENTRES, window, -(-window // LANES)), np.uint64)
    found = _Candidates(np.empty(area, np.intp), np.empty(area, np.float32), np.ones(area, np.float32))
    pixel = _Pixel(np.empty(2 * bands), np.zeros(2 * bands), np.empty(tables.moments.shape[1]), np.empty(numbers))
    means = np.empty((end - begin, columns, numbers))
    for row in range(begin, end):
        changes = tables.changes.reshape(tables.guides.shape[1], stride, numbers)
        _window_sums(changes, row, columns, window, means[row - begin])
    # Column by column, so that what the windows of one row have read is still near for the next row.
    for left in range(0, columns, _CENTRES):
        right = min(left + _CENTRES, columns)
        for row in range(begin, end):
            if not wanted[row, left:right].any():
                continue
            for x in range(left, right):
                limits = rules.limits[(origin[0] + row) // rules.side, (origin[1] + x) // rules.side]
                _bounds(tables.guides[:, row + half, x + half], limits, codes, low[x - left], high[x - left])
            _search(tables.guides, row, left, low[: right - left], high[: right - left], bits[: right - left])
            for x in range(left, right):
                if wanted[row, x]:
                    mean = means[row - begin, x]
                    mean /= mean[2 * bands]
                    _predict_centre(
                        tables, codes, rules, row, x, bits[x - left], mean, found, pixel, values[row, x], counts
                    )
