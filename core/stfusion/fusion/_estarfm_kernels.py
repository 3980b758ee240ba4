"""ESTARFM's moving window, compiled by numba.

In every window, a row of neighbours is tested at once (one bit each), the few that are similar are listed, and all sums
over them are taken from the tables of the strip. Lists and sums follow the window's rows, so that a pixel has the same
bits whatever the tile.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stfusion.fusion._compile import compiled
from stfusion.fusion._estarfm_pixel import Candidates, Counts, Pixel, Rules, pixel_sizes, predict_centre, weight_of
from stfusion.fusion._estarfm_tables import NO_CODE, NO_VALUE, Codes, Floats, Guides, Mask, Tables
from stfusion.fusion._lanes import LANES, lowest_bit, within
from stfusion.raster.source import Array

Bits = npt.NDArray[np.uint64]

#: Centres whose windows are searched together, while their rows are in the fastest memory.
_CENTRES = 32


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
def _list(bits: Bits, start: int, stride: int, rules: Rules, unlikeness: Array, found: Candidates) -> int:
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
                weights[count] = distance if rules.unbiased else weight_of(unlikeness[cell], distance)
                count += 1
                left &= left - np.uint64(1)
    return count


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
    found = Candidates(np.empty(area, np.intp), np.empty(area, np.float32), np.ones(area, np.float32))
    s = pixel_sizes(tables)
    pixel = Pixel(np.empty(s[0]), np.empty(s[1]), np.empty(s[2]), np.empty(s[3]), np.empty(s[4]), np.empty(s[5]))
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
                    pixel.means[:] = means[row - begin, x]
                    count = _list(bits[x - left], row * stride + x, stride, rules, tables.unlikeness, found)
                    predict_centre(tables, codes, rules, row, x, count, found, pixel, values[row, x], counts)
