"""What ESTARFM computes for one pixel once its similar pixels are listed: the same on the processor and on a card."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stfusion.fusion._compile import shared
from stfusion.fusion._estarfm_tables import Codes, Floats, Tables, unlikeness_of
from stfusion.fusion._lanes import ADDED, add_rows
from stfusion.raster.source import Array

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


class Candidates(NamedTuple):
    """The similar pixels of a window: their cells in the tables, weights, and ones."""

    cells: Cells
    weights: Array
    ones: Array


class Pixel(NamedTuple):
    """Memory for one pixel.

    Its fine values at both dates, their bias and coarse values (2 bands each), and the sums of moments and changes over
    similar pixels and of changes over the window.
    """

    fine: Floats
    bias: Floats
    coarse: Floats
    moments: Floats
    changes: Floats
    means: Floats


@shared
def pixel_sizes(tables: Tables) -> tuple[int, int, int, int, int, int]:
    """How many numbers each memory of a pixel holds."""
    bands2, numbers = tables.guides.shape[0], tables.changes.shape[1]
    return bands2, bands2, bands2, tables.moments.shape[1], numbers, numbers


@shared
def weight_of(unlikeness: float, distance: float) -> np.float32:
    """Weight of a similar pixel before the weights are divided by their sum: 1 / D with D = (1 - R) d."""
    return np.float32(1) / np.float32(np.float32(unlikeness) * distance + _LEAST_DISTANCE)


@shared
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


@shared
def _first_share(change1: float, change2: float, least: float) -> float:
    """Weight of the first date: the dates weigh inversely to the mean coarse change of the window since them."""
    change1, change2 = abs(change1) + least, abs(change2) + least
    return change2 / (change1 + change2)


@shared
def _list_window(changes: Array, bands: int, start: int, stride: int, window: int, cells: Cells) -> int:
    """List all valid pixels of a window; returns how many there are."""
    count = 0
    for dy in range(window):
        for cell in range(start + dy * stride, start + dy * stride + window):
            if changes[cell, 2 * bands] > 0:
                cells[count] = cell
                count += 1
    return count


@shared
def _add(table: Array, cells: Cells, weights: Array, count: int, sums: Floats) -> None:
    """Weighted sums of the listed rows of a table."""
    sums[:] = 0
    for first in range(0, count, _BATCH):
        for column in range(0, table.shape[1], ADDED):
            last = first + _BATCH if first + _BATCH < count else count
            add_rows(table, cells, weights, first, last, column, sums)


@shared
def _fine(tables: Tables, codes: Codes, row: int, column: int, guide: int) -> float:
    """Fine value of a pixel in one band at one date."""
    return float(tables.guides[guide, row, column] * codes.scale[guide] + codes.offset[guide])


@shared
def _coarse(tables: Tables, cell: int, guide: int) -> np.float64:
    """Coarse value of a pixel in one band at one date."""
    return np.float64(tables.changes[cell, tables.guides.shape[0] + 1 + guide])


@shared
def _find_bias(tables: Tables, codes: Codes, count: int, found: Candidates, bias: Floats) -> None:
    """Mean fine less mean coarse value (2 bands) of the candidates at both dates."""
    columns = tables.guides.shape[2]
    for i in range(count):
        cell = found.cells[i]
        row, column = cell // columns, cell % columns
        for guide in range(bias.size):
            bias[guide] += _fine(tables, codes, row, column, guide) - _coarse(tables, cell, guide)
    for guide in range(bias.size):
        bias[guide] /= count


@shared
def _weigh_unbiased(tables: Tables, codes: Codes, count: int, found: Candidates, pixel: Pixel) -> None:
    """Turn distances into the weights of the candidates, whose fine values are freed from the bias."""
    columns = tables.guides.shape[2]
    for i in range(count):
        cell = found.cells[i]
        row, column = cell // columns, cell % columns
        for guide in range(pixel.fine.size):
            pixel.fine[guide] = _fine(tables, codes, row, column, guide) - pixel.bias[guide]
            pixel.coarse[guide] = _coarse(tables, cell, guide)
        found.weights[i] = weight_of(unlikeness_of(pixel.fine, pixel.coarse), found.weights[i])


@shared
def _mean_fine(tables: Tables, codes: Codes, guide: int, count: int, found: Candidates) -> float:
    """Weighted mean of the candidates' fine values of one band and date."""
    columns = tables.guides.shape[2]
    total = weight = 0.0
    for i in range(count):
        cell = found.cells[i]
        total += found.weights[i] * _fine(tables, codes, cell // columns, cell % columns, guide)
        weight += found.weights[i]
    return total / weight


@shared
def _changed(sums: Floats, bands: int, least_change: float) -> bool:
    """Whether the coarse images of the pairs differ enough for a coefficient in any band, from the weighted sums."""
    changed = False
    for b in range(bands):
        changed |= abs(sums[b] - sums[bands + b]) >= least_change * sums[2 * bands]
    return changed


@shared
def _regress(tables: Tables, rules: Rules, bands: int, count: int, found: Candidates, pixel: Pixel) -> float:
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


@shared
def _predict_pixel(
    tables: Tables,
    codes: Codes,
    rules: Rules,
    count: int,
    found: Candidates,
    pixel: Pixel,
    values: Array,
    counts: Counts,
) -> None:
    """Predict the bands of a pixel from its candidates, and from the mean changes of its window."""
    bands, means = values.size, pixel.means
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


@shared
def predict_centre(
    tables: Tables,
    codes: Codes,
    rules: Rules,
    row: int,
    column: int,
    count: int,
    found: Candidates,
    pixel: Pixel,
    values: Array,
    counts: Counts,
) -> None:
    """Predict the bands of the pixel whose window begins at a row and column of the tables.

    ``found`` holds its ``count`` similar pixels with their weights or, if unbiased, with their distances alone; the
    memory of the pixel has the sums of the changes over its window.
    """
    bands, window, stride, means = values.size, rules.distance.shape[0], tables.guides.shape[2], pixel.means
    start, half = row * stride + column, window // 2
    few, valid = count <= _TOO_FEW, means[2 * bands]
    for number in range(2 * bands):
        means[number] /= valid
    pixel.bias[:] = 0
    if rules.unbiased:
        if few:
            count = _list_window(tables.changes, bands, start, stride, window, found.cells)
        _find_bias(tables, codes, count, found, pixel.bias)
        if not few:
            _weigh_unbiased(tables, codes, count, found, pixel)
    for guide in range(2 * bands):
        pixel.fine[guide] = _fine(tables, codes, row + half, column + half, guide) - pixel.bias[guide]
    if few:
        counts[_FEW] += bands
        for b in range(bands):
            first = _first_share(means[b], means[bands + b], rules.least_mean)
            values[b] = first * (pixel.fine[b] + means[b]) + (1 - first) * (pixel.fine[bands + b] + means[bands + b])
        return
    _predict_pixel(tables, codes, rules, count, found, pixel, values, counts)
