"""What observed images differ by from fused ones, carried into gaps: a regression, and means over cells of all sizes.

A linear regression says how the difference depends on the values of the fused bands, since a fusion errs by land cover
first of all. What it leaves is carried from around a gap into it. Gortler et al. (1996) fill gaps by a pyramid: values
are pulled up into ever larger cells, and pushed down again where the smaller cells have none. Here a cell has the mean
of what is in it, and the fewer pixels these are the more it leans on the larger cells around it. Close to the border of
a gap the nearest pixels count, within it all around it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Sums = npt.NDArray[np.float64]

#: Levels below the cells that are kept for the whole image, and the side of these in pixels.
LEVELS = 5
CELL = 2**LEVELS


#: Pixels for each number that a regression has to find, at least.
_PIXELS = 30
#: Share of the largest eigenvalue below which a direction of the fused bands is none.
_FLAT = 1e-8


class Moments(NamedTuple):
    """Number of pixels, and sums over them of (1, fused bands) by (fused bands, differences): (1 + bands, 2 bands)."""

    number: int
    sums: Sums

    def with_more(self, other: Moments) -> Moments:
        """The moments of the pixels of both."""
        return Moments(self.number + other.number, self.sums + other.sums)


def moments(fused: npt.NDArray[np.float32], differences: npt.NDArray[np.float32]) -> Moments:
    """The moments of a window (bands, rows, columns each); differences that are NaN do not count."""
    known = ~np.isnan(differences[0])
    bands = fused[:, known].astype(np.float64)
    ones = np.ones((1, bands.shape[1]))
    both = np.concatenate([bands, differences[:, known]])
    return Moments(bands.shape[1], np.concatenate([ones, bands]) @ both.T)


class Line(NamedTuple):
    """How the difference depends on the fused bands: ``constant`` (bands) and ``slopes`` (differences, fused bands)."""

    constant: Sums
    slopes: Sums

    def at(self, fused: npt.NDArray[Any]) -> Sums:
        """The difference for values of the fused bands (bands, ...)."""
        flat = fused.reshape(len(fused), -1).astype(np.float64)
        found = np.repeat(self.constant[:, None], flat.shape[1], axis=1)
        # Band by band, so that a pixel's value does not hang on how many pixels there are.
        for band, values in enumerate(flat):
            found += self.slopes[:, band, None] * values
        return found.reshape(fused.shape)


def regression(found: Moments) -> Line:
    """The linear regression of the differences on the fused bands; nothing where there are too few pixels for it."""
    bands = found.sums.shape[1] // 2
    if found.number < _PIXELS * (bands + 1):
        return Line(np.zeros(bands), np.zeros((bands, bands)))
    means = found.sums[0] / found.number
    spread = found.sums[1:] / found.number - np.outer(means[:bands], means)
    slopes = (np.linalg.pinv(spread[:, :bands], rcond=_FLAT, hermitian=True) @ spread[:, bands:]).T
    return Line(means[bands:] - slopes @ means[:bands], slopes)


class Cells(NamedTuple):
    """Sums of values in cells (bands, rows, columns), and the numbers of pixels in them (rows, columns)."""

    sums: Sums
    counts: Sums


def pixels(values: npt.NDArray[Any]) -> Cells:
    """Pixels as the smallest cells; values (bands, rows, columns) whose last band is NaN do not count."""
    known = ~np.isnan(values[-1])
    return Cells(np.where(known, values, 0.0).astype(np.float64), known.astype(np.float64))


def larger(cells: Cells) -> Cells:
    """Cells twice as large in each direction."""
    return Cells(*(_fourfold(values) for values in cells))


def _fourfold(values: Sums) -> Sums:
    """Sums of 2 x 2 values; beyond the end there is nothing."""
    rows, columns = values.shape[-2:]
    none = [(0, 0)] * (values.ndim - 2)
    even = np.pad(values, [*none, (0, rows % 2), (0, columns % 2)]) if rows % 2 or columns % 2 else values
    found: Sums = (even[..., ::2, ::2] + even[..., ::2, 1::2]) + (even[..., 1::2, ::2] + even[..., 1::2, 1::2])
    return found


def over_the_image(cells: Cells, support: float) -> Sums:
    """The difference in the cells of the whole image (bands, rows, columns), every one in the light of larger ones.

    Without any difference it is 0. ``support`` is the number of pixels that count as much as the larger cells.
    """
    above = np.zeros((len(cells.sums), 1, 1))
    if cells.counts.size > 1:
        above = over_the_image(larger(cells), support)
        above = _twice(above)[:, : cells.counts.shape[0], : cells.counts.shape[1]]
    return _leaning(cells, above, support)


def into_pixels(cells: Cells, largest: Sums, support: float) -> Sums:
    """The difference for the pixels of a window (bands, rows, columns) that have none.

    ``cells`` are the pixels, ``largest`` the difference in the cells of side :data:`CELL`, which the window consists
    of. At its edges that are none of the image, a strip as wide as such a cell is not to be used.
    """
    levels = [cells]
    for _ in range(LEVELS - 1):
        levels.append(larger(levels[-1]))
    found = largest
    for level in reversed(levels[1:]):
        found = _leaning(level, _twice(found), support)
    return _twice(found)


def _leaning(cells: Cells, above: Sums, support: float) -> Sums:
    """The difference in cells: their mean, which leans on what the larger cells have there."""
    found: Sums = (cells.sums + support * above) / (cells.counts + support)
    return found


def _twice(values: Sums) -> Sums:
    """Values (bands, rows, columns) at cells half as large, bilinearly; those at the edges go on beyond them."""
    for axis in (1, 2):
        edges = [(0, 0), (0, 0), (0, 0)]
        edges[axis] = (1, 1)
        wide = np.moveaxis(np.pad(values, edges, "edge"), axis, 0)
        found = np.empty((2 * values.shape[axis], *wide.shape[1:]))
        found[::2] = 0.75 * wide[1:-1] + 0.25 * wide[:-2]
        found[1::2] = 0.75 * wide[1:-1] + 0.25 * wide[2:]
        values = np.moveaxis(found, 0, axis)
    return values
