"""Thin-plate splines through the centres of coarse pixels, as a fixed linear operator.

The centres are a regular grid: the spline through one arrangement of neighbours has the same weights everywhere, so
that one solution serves all coarse pixels away from the edges and from gaps.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from stfusion.fusion._blocks import Blocks
from stfusion.raster.grids import Box
from stfusion.raster.source import Array

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Places = npt.NDArray[np.intp]

#: Coarse pixels along the square of neighbours that a spline goes through.
_SIDE = 9
#: Memory for the weights of arrangements of neighbours, and arrangements whose equations are kept solved.
_KEPT_BYTES, _SOLVED = 2**25, 64
#: Memory for the coarse pixels that are computed at once, in float64.
_AT_ONCE = 2**20


class Spline:
    """Thin-plate splines (Duchon 1977) through the 9 x 9 coarse pixels nearest to every coarse pixel.

    At the edge of the scene the square of neighbours is moved inwards; neighbours without a value are left out.
    """

    def __init__(self, blocks: Blocks) -> None:
        self._blocks = blocks
        self._square = min(_SIDE, blocks.shape[0]), min(_SIDE, blocks.shape[1])
        self._kept: OrderedDict[tuple[int, int, bytes], Floats] = OrderedDict()
        self._most = max(1, _KEPT_BYTES // (8 * _SIDE**2 * blocks.ratio**2))

    @property
    def pixel_bytes(self) -> int:
        """Memory for every fine pixel, whatever the bands: which neighbours of its block have a value."""
        return self._square[0] * self._square[1] // self._blocks.ratio**2

    def around(self, blocks: Box) -> Box:
        """The blocks that the splines of a window of blocks go through."""
        rows, columns = self._first(blocks)
        return Box(int(rows[0]), int(rows[-1]) + self._square[0], int(columns[0]), int(columns[-1]) + self._square[1])

    def _first(self, blocks: Box) -> tuple[Places, Places]:
        """The first row of the neighbours of every row of blocks, and the first column of those of every column."""
        rows, columns = (
            np.clip(np.arange(low, high) - _SIDE // 2, 0, whole - side)
            for low, high, whole, side in zip(
                (blocks.top, blocks.left), (blocks.bottom, blocks.right), self._blocks.shape, self._square, strict=True
            )
        )
        return rows, columns

    def interpolate(self, values: Array, blocks: Box) -> Array:
        """The fine pixels (n, rows, columns) of a window of blocks, cut at the scene; NaN in blocks without a value.

        ``values`` (n, block rows, block columns) are those of the blocks that :meth:`around` names.
        """
        s, count = self._blocks.ratio, values.shape[0]
        rows, columns = blocks.shape
        fine = np.full((rows, columns, count, s, s), np.nan, np.float32)
        around = np.lib.stride_tricks.sliding_window_view(values, self._square, axis=(1, 2))
        first, together = self._first(blocks), max(1, _AT_ONCE // (8 * count * s**2))
        below, beside = (start - start[0] for start in first)
        valid = ~np.isnan(around[0, below[:, None], beside].reshape(rows, columns, -1))
        for place, (y, x), mask in self._arrangements(valid, blocks):
            weights = self._weights(place, mask)
            for begin in range(0, len(y), together):
                some = y[begin : begin + together], x[begin : begin + together]
                near = around[:, below[some[0]], beside[some[1]]].reshape(count, len(some[0]), -1)[..., mask]
                # A product for each block: its bits do not depend on how many blocks there are.
                found = np.matmul(near.transpose(1, 0, 2).astype(np.float64), weights)
                fine[some] = found.reshape(-1, count, s, s)
        image = fine.transpose(2, 0, 3, 1, 4).reshape(count, rows * s, columns * s)
        pixels = self._blocks.pixels(blocks)
        top = pixels.top - self._blocks.top - blocks.top * s
        left = pixels.left - self._blocks.left - blocks.left * s
        return image[:, top : top + pixels.shape[0], left : left + pixels.shape[1]]

    def _arrangements(
        self, valid: Bools, blocks: Box
    ) -> Iterator[tuple[tuple[int, int], tuple[Places, Places], Bools]]:
        """Blocks that lie alike among alike neighbours: where among them, which rows and columns, who has a value.

        ``valid`` (rows, columns, neighbours) says which neighbours have a value; a block without one is left out.
        """
        first = self._first(blocks)
        below, beside = np.arange(blocks.top, blocks.bottom) - first[0], np.arange(blocks.left, blocks.right) - first[1]
        for down in np.unique(below):
            for right in np.unique(beside):
                places = np.meshgrid(np.flatnonzero(below == down), np.flatnonzero(beside == right), indexing="ij")
                own = valid[places[0], places[1], down * self._square[1] + right]
                y, x = places[0][own], places[1][own]
                masks = valid[y, x]
                if masks.all():
                    patterns, which = masks[:1], np.zeros(len(y), np.intp)
                else:
                    patterns, which = np.unique(masks, axis=0, return_inverse=True)
                for number, mask in enumerate(patterns):
                    alike = which == number
                    yield (int(down), int(right)), (y[alike], x[alike]), mask

    def _weights(self, place: tuple[int, int], mask: Bools) -> Floats:
        """Weights (neighbours, fine pixels of a block) of the neighbours that have a value."""
        key = (*place, mask.tobytes())
        weights = self._kept.pop(key, None)
        if weights is None:
            weights = self._find_weights(place, mask)
        self._kept[key] = weights
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return weights

    def _find_weights(self, place: tuple[int, int], mask: Bools) -> Floats:
        centres = _centres(self._square, mask.tobytes())
        sub = (np.arange(self._blocks.ratio) + 0.5) / self._blocks.ratio - 0.5
        pixels = np.stack(np.meshgrid(place[0] + sub, place[1] + sub, indexing="ij"), -1).reshape(-1, 2)
        solved = _solve(self._square, mask.tobytes())
        if solved is None:
            # No plane goes through fewer than three points or points on a line: the block keeps its own value.
            own = (centres == place).all(axis=1)
            return np.repeat(own[:, None].astype(np.float64), len(pixels), axis=1)
        return solved @ np.vstack([_basis(centres, pixels), np.ones(len(pixels)), pixels.T])


def _centres(square: tuple[int, int], mask: bytes) -> Floats:
    """Rows and columns (n, 2) of the members of a square that a mask has."""
    return np.argwhere(np.frombuffer(mask, np.bool_).reshape(square)).astype(np.float64)


@lru_cache(_SOLVED)
def _solve(square: tuple[int, int], mask: bytes) -> Floats | None:
    """What makes weights (n) of basis and plane (n + 3) at a point; none if the centres lie on a line."""
    centres = _centres(square, mask)
    count = len(centres)
    plane = np.column_stack([np.ones(count), centres])
    if np.linalg.matrix_rank(plane) < 3:
        return None
    system = np.zeros((count + 3, count + 3))
    system[:count, :count] = _basis(centres, centres)
    system[:count, count:], system[count:, :count] = plane, plane.T
    return np.asarray(np.linalg.inv(system)[:count], np.float64)


def _basis(centres: Floats, points: Floats) -> Floats:
    """The spline's basis r^2 log r^2 between centres (n, 2) and points (m, 2), in coarse pixels: (n, m)."""
    squares = ((centres[:, None] - points[None]) ** 2).sum(axis=2)
    basis: Floats = squares * np.log(np.where(squares > 0, squares, 1.0))
    return basis
