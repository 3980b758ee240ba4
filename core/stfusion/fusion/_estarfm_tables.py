"""ESTARFM's tables: a row of numbers for every pixel of a strip, which hold all that it can add to a window's sums."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stfusion.fusion._compile import compiled, shared
from stfusion.fusion._lanes import ADDED, LANES
from stfusion.raster.source import Array

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Guides = npt.NDArray[np.float32] | npt.NDArray[np.uint16]

#: What stands for a missing fine value, similar to none: in guides of real and in those of whole numbers.
NO_VALUE, NO_CODE = 1e30, 65535
#: Numbers per band from which the coefficient is found.
_MOMENTS = 6


class Images(NamedTuple):
    """The fine and the coarse images of both dates (2 bands, H, W), and the coarse one of the target date."""

    fine: Array
    coarse: Array
    target: Array


class Codes(NamedTuple):
    """How guides tell fine values: a fine value is a guide x scale + offset, each (2 bands).

    Guides are float32, or uint16 where the values are whole numbers in their files: these are compared faster.
    """

    scale: Floats
    offset: Floats


def plain_codes(bands: int) -> Codes:
    """Those of guides that are the fine values."""
    return Codes(np.ones(2 * bands), np.zeros(2 * bands))


class Tables(NamedTuple):
    """The tables of a strip with half a window around it; those of a processor have more columns. C is of the target.

    guides
        (2 bands, rows, columns): fine values of both dates, as the codes say.
    unlikeness
        (rows x columns): 1 - R.
    moments
        (rows x columns, numbers): C1, C2, F1 + F2, F1 C1 + F2 C2, C1² + C2² and F1² + F2² of every band, less the
        middle; or (rows x columns, 0) where no coefficient is asked for.
    changes
        (rows x columns, numbers): C - C1 and C - C2 of every band, 1, and, where there is room, C1 and C2.
    """

    guides: Guides
    unlikeness: Array
    moments: Array
    changes: Array


class Sizes(NamedTuple):
    """Sizes of the tables: their rows and columns, the bands, and the numbers of a cell in the last two of them."""

    rows: int
    columns: int
    bands: int
    moments: int
    changes: int


def sizes(rows: int, columns: int, half: int, bands: int, with_moments: bool, with_coarse: bool) -> Sizes:
    """Those for a strip with these rows and columns, and half a window around it."""
    moments, changes = _MOMENTS * bands if with_moments else 0, 4 * bands + 1 if with_coarse else 2 * bands + 1
    whole = [-(-numbers // ADDED) * ADDED for numbers in (moments, changes)]
    return Sizes(rows + 2 * half, columns + 2 * half, bands, *whole)


def empty_tables(size: Sizes, whole: bool) -> Tables:
    """Memory for tables, with more columns."""
    shape = (size.rows, size.columns + LANES)
    cells = shape[0] * shape[1]
    return Tables(
        np.empty((2 * size.bands, *shape), np.uint16) if whole else np.empty((2 * size.bands, *shape), np.float32),
        np.empty(cells, np.float32),
        _aligned(cells, size.moments),
        _aligned(cells, size.changes),
    )


def _aligned(rows: int, columns: int) -> Array:
    """Memory so aligned that no vector of columns lies in two lines of the cache."""
    spare = np.empty(rows * columns + ADDED, np.float32)
    first = -spare.ctypes.data % (4 * ADDED) // 4
    return spare[first : first + rows * columns].reshape(rows, columns)


@shared
def unlikeness_of(fine: Floats, coarse: Floats) -> float:
    """1 - R of a pixel with these fine and coarse values (2 bands, those of the first date first).

    R is Pearson's correlation of the two; for one band R = 1 - (|F1 - C1| / (F1 + C1) + |F2 - C2| / (F2 + C2)) / 2. It
    is 0.5 where it is not defined or not between -1 and 1.
    """
    if fine.size == 2:
        first, second = (fine[0] - coarse[0]) / (fine[0] + coarse[0]), (fine[1] - coarse[1]) / (fine[1] + coarse[1])
        unlikeness = 0.5 * (abs(first) + abs(second))
        return unlikeness if unlikeness <= 2.0 else 0.5
    f = c = 0.0
    for i in range(fine.size):
        f += fine[i]
        c += coarse[i]
    f, c = f / fine.size, c / fine.size
    fc = ff = cc = 0.0
    for i in range(fine.size):
        fc += (fine[i] - f) * (coarse[i] - c)
        ff += (fine[i] - f) ** 2
        cc += (coarse[i] - c) ** 2
    if ff <= 0.0 or cc <= 0.0:
        return 0.5
    unlikeness = 1.0 - fc / math.sqrt(ff * cc)
    return unlikeness if unlikeness > 0.0 else 0.0


@shared
def _moments(f: float, g: float, c: float, d: float, bands: int, at: Array) -> None:
    """A pixel's part in the sums of a band, F1, F2, C1 and C2 given: every ``bands``-th of the numbers."""
    at[0], at[bands], at[2 * bands] = c, d, f + g
    at[3 * bands], at[4 * bands], at[5 * bands] = f * c + g * d, c * c + d * d, f * f + g * g


@shared
def fill_cell(
    images: Images, y: int, x: int, middle: Floats, cell: int, tables: Tables, fine: Floats, coarse: Floats
) -> None:
    """Fill a cell from the pixel (y, x) of the images, but for its guides, which are its fine values.

    ``fine`` and ``coarse`` (2 bands) are filled with the values of both dates.
    """
    bands = images.target.shape[0]
    tables.changes[cell, 2 * bands] = 1
    for i in range(2 * bands):
        fine[i], coarse[i] = images.fine[i, y, x], images.coarse[i, y, x]
        tables.changes[cell, i] = images.target[i % bands, y, x] - coarse[i]
        if tables.changes.shape[1] > 4 * bands:
            tables.changes[cell, 2 * bands + 1 + i] = coarse[i]
    tables.unlikeness[cell] = unlikeness_of(fine, coarse)
    if tables.moments.shape[1] > 0:
        for b in range(bands):
            m, n = middle[0, b], middle[1, b]
            _moments(
                fine[b] - m, fine[bands + b] - m, coarse[b] - n, coarse[bands + b] - n, bands, tables.moments[cell, b:]
            )


@compiled
def tabulate(
    images: Images,
    valid: Mask,
    top: int,
    left: int,
    middle: Floats,
    codes: Codes,
    tables: Tables,
) -> bool:
    """Fill the tables of a strip from the images of a tile, and say whether the codes can tell all fine values.

    Outside the images and where they are not valid, guides are similar to none and all other numbers are 0.

    Parameters
    ----------
    images
        See there.
    valid
        (H, W): pixels that may be used.
    top, left
        Where the tables begin in the images; may be negative.
    middle
        (2, bands): values near the means of the fine and of the coarse images, subtracted before products are taken.
    codes, tables
        See there; the tables are changed in place.
    """
    guides, unlikeness, moments, changes = tables
    bands, height, width = images.target.shape
    rows, columns = guides.shape[1:]
    whole = guides.itemsize == 2
    guides[:] = NO_CODE if whole else NO_VALUE
    unlikeness[:] = 0
    moments[:] = 0
    changes[:] = 0
    f, c = np.empty(2 * bands), np.empty(2 * bands)
    for row in range(max(0, -top), min(rows, height - top)):
        y = top + row
        for column in range(max(0, -left), min(columns, width - left)):
            x = left + column
            if not valid[y, x]:
                continue
            fill_cell(images, y, x, middle, row * columns + column, tables, f, c)
            for i in range(2 * bands):
                guide = (f[i] - codes.offset[i]) / codes.scale[i]
                guides[i, row, column] = np.rint(guide) if whole else guide
                if whole and guides[i, row, column] == NO_CODE:
                    return False
    return True
