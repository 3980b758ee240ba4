"""Windows of pixels, the blocks that cover an image, and what two grids have in common."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from odc.geo.geobox import GeoBox
from odc.geo.overlap import compute_reproject_roi
from rasterio.windows import Window

#: Side of the fixed blocks, counted from the grid's origin, in which an image is resampled: the values then do not
#: depend on which windows are asked for, and GDAL's linear approximation of a projection within a block stays exact to
#: a few hundredths of a pixel.
LATTICE = 256
#: Grids whose pixels lie this share of a pixel apart have the same pixels.
_APART = 0.01


@dataclass(frozen=True)
class Box:
    """A window of pixels: rows ``top`` to ``bottom`` and columns ``left`` to ``right``, the ends left out."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.bottom - self.top, self.right - self.left

    @property
    def window(self) -> Window:
        """The same window for rasterio."""
        return Window(self.left, self.top, self.right - self.left, self.bottom - self.top)

    def within(self, outer: Box) -> tuple[slice, slice]:
        """The rows and columns of an array of the outer window that this one has."""
        return (
            slice(self.top - outer.top, self.bottom - outer.top),
            slice(self.left - outer.left, self.right - outer.left),
        )

    def moved(self, rows: int, columns: int) -> Box:
        """The window so many pixels further down and to the right."""
        return Box(self.top + rows, self.bottom + rows, self.left + columns, self.right + columns)

    def common(self, other: Box) -> Box:
        """What two windows share; where they share nothing, a side of it is not positive."""
        return Box(
            max(self.top, other.top),
            min(self.bottom, other.bottom),
            max(self.left, other.left),
            min(self.right, other.right),
        )

    def around(self, other: Box) -> Box:
        """The smallest window that has both."""
        return Box(
            min(self.top, other.top),
            max(self.bottom, other.bottom),
            min(self.left, other.left),
            max(self.right, other.right),
        )

    def grown(self, halo: int, shape: tuple[int, int]) -> Box:
        """The window with ``halo`` more pixels on every side, cut at an image of this shape."""
        return Box(
            max(0, self.top - halo),
            min(shape[0], self.bottom + halo),
            max(0, self.left - halo),
            min(shape[1], self.right + halo),
        )


def blocks(shape: tuple[int, int], side: int = LATTICE) -> Iterator[Box]:
    """The fixed blocks that cover an image of this shape, row by row."""
    for top in range(0, shape[0], side):
        for left in range(0, shape[1], side):
            yield Box(top, min(top + side, shape[0]), left, min(left + side, shape[1]))


def pixel_ratio(large: GeoBox, small: GeoBox) -> tuple[float, float]:
    """How many pixels of ``small`` lie along a pixel of ``large``, in y and x, where the grids meet."""
    scale = compute_reproject_roi(small, large).scale2
    return float(scale.y), float(scale.x)


def same_pixels(one: GeoBox, other: GeoBox) -> bool:
    """Whether the pixels of two grids are the same where they meet, to a hundredth of a pixel."""
    return place_in(one, other) is not None


def place_in(one: GeoBox, other: GeoBox) -> Box | None:
    """The window of ``other`` that a grid of the same pixels is, reaching beyond it or not; None for other pixels."""
    across = ~other.affine @ one.affine
    alike = np.allclose((across.a, across.b, across.d, across.e), (1, 0, 0, 1), atol=1e-6)
    top, left = round(across.f), round(across.c)
    if one.crs != other.crs or not alike or max(abs(across.c - left), abs(across.f - top)) > _APART:
        return None
    rows, columns = one.shape
    return Box(top, top + int(rows), left, left + int(columns))


def covered(one: GeoBox, other: GeoBox) -> Box:
    """The window of ``other`` that a grid covers; where their pixels are the same, it may reach beyond ``other``."""
    place = place_in(one, other)
    if place is not None:
        return place
    rows, columns = compute_reproject_roi(one, other).roi_dst
    return Box(rows.start, rows.stop, columns.start, columns.stop)


def same_extent(one: GeoBox, other: GeoBox) -> bool:
    """Whether two grids of one coordinate system, or of none, cover the same, to half a pixel of the smaller ones."""
    corners = [np.array([grid.affine * corner for corner in _corners(grid)]) for grid in (one, other)]
    pixel = min(abs(size) for grid in (one, other) for size in (grid.affine.a, grid.affine.e))
    return bool(one.crs == other.crs and np.abs(corners[0] - corners[1]).max() <= pixel / 2)


def _corners(grid: GeoBox) -> tuple[tuple[int, int], ...]:
    rows, columns = grid.shape
    return (0, 0), (columns, 0), (0, rows), (columns, rows)


def thinned(grid: GeoBox, side: int, box: Box | None) -> tuple[Box, GeoBox]:
    """A window of a grid, or all of it, and the grid that is left when it is thinned to at most ``side`` pixels."""
    box = box or Box(0, int(grid.shape[0]), 0, int(grid.shape[1]))
    part = grid[box.top : box.bottom, box.left : box.right]
    return box, part.zoom_to((min(box.shape[0], side), min(box.shape[1], side)))
