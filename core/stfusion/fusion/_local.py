"""Unmixing again where the classes of the whole scene do not explain the coarse change: RASDF's local step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stfusion.fusion._blocks import Blocks
from stfusion.fusion._fuzzy import fuzzy_centres, memberships
from stfusion.fusion._reliable import SIDE, Surveyed, outliers, unmix
from stfusion.raster.grids import Box
from stfusion.raster.source import AlignedSource, Array
from stfusion.raster.tiles import Tile, run_tiles
from stfusion.run import Context

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

#: Coarse pixels from the centre to the edge of the window of changed coarse pixels, and of the window of all.
_CHANGED_REACH, _REACH = 2, 1
#: Similarly changed coarse pixels that are enough to leave the others out.
_ENOUGH = 9
#: Fuzzy classes that are tried, steps of each at most, and pixels that they are fitted to.
_CLASSES, _STEPS, _SAMPLE = (2, 3, 4), 50, 1024
#: Reliability of a coarse pixel that is unmixed again, and share of its change that has then to be explained.
_RELIABLE, _EXPLAINED = 0.8, 0.7
#: Least coarse change that others are compared with, as a share of the largest around.
_LEAST_CHANGE = 1e-6


@dataclass(frozen=True)
class Place:
    """A coarse pixel with fuzzy classes of its own: centres and changes (classes, bands), and mean change (bands)."""

    row: int
    column: int
    centres: Floats
    changes: Floats
    mean: Floats


def unmix_locally(
    source: AlignedSource, context: Context, grid: Blocks, surveyed: Surveyed, span: tuple[float, float]
) -> list[Place]:
    """Unmix coarse pixels whose change the classes of the scene do not explain, with their neighbours.

    Only reliable ones are unmixed, and only changes that explain most of the coarse change are kept.
    """
    reliable = surveyed.reliability.mean(axis=0)
    unexplained = surveyed.complete & outliers(surveyed.residual(), surveyed.complete)
    changed = _Changed(surveyed, unexplained & (reliable >= _RELIABLE), reliable)
    places: list[Place] = []

    def compute(tile: Tile) -> list[Place]:
        found = []
        around = tile.inner.grown(_CHANGED_REACH, grid.shape)
        rows, columns = np.nonzero(unexplained[_at(tile.inner)] & (reliable[_at(tile.inner)] > _RELIABLE))
        fine = source.read(grid.pixels(around)) if rows.size else np.empty(0, np.float32)
        for row, column in zip(rows + tile.inner.top, columns + tile.inner.left, strict=True):
            tile.advance(1.0 / rows.size)
            place = changed.unmix(int(row), int(column), _Pixels(fine, grid, around))
            if place is not None:
                found.append(place)
        tile.advance(0.0 if rows.size else 1.0)
        return found

    side = max(1, SIDE // grid.ratio)
    run_tiles(context, grid.shape, (side, side), 0, compute, lambda _, found: places.extend(found), span)
    return places


@dataclass(frozen=True)
class _Pixels:
    """The fine pixels of a window of blocks."""

    fine: Array
    grid: Blocks
    around: Box

    def of(self, row: int, column: int) -> Floats:
        """The valid pixels (pixels, bands) of a block."""
        whole = self.grid.pixels(self.around)
        box = self.grid.pixels(Box(row, row + 1, column, column + 1))
        top, left = box.top - whole.top, box.left - whole.left
        part = self.fine[:, top : top + box.shape[0], left : left + box.shape[1]]
        return part[:, ~np.isnan(part[0])].T.astype(np.float64)


@dataclass(frozen=True)
class _Changed:
    """What is known of the coarse pixels, those ``changed`` in a way that is not explained yet, and how reliable."""

    surveyed: Surveyed
    changed: Flags
    reliable: Floats

    def unmix(self, row: int, column: int, pixels: _Pixels) -> Place | None:
        """Classes and changes that explain the change of a coarse pixel and its neighbours best; none if too little."""
        own = self.surveyed
        near = self._neighbours(row, column)
        owners = [pixels.of(*place) for place in near]
        starts = np.cumsum([0] + [len(each) for each in owners[:-1]])
        joined = np.concatenate(owners)
        step = -(-len(joined) // _SAMPLE)
        sets = [fuzzy_centres(np.ascontiguousarray(joined[::step]), count, _STEPS) for count in _CLASSES]
        rows, columns = np.array(near).T
        change, weights = own.change[:, rows, columns], own.reliability[:, rows, columns]
        spread = change.std(axis=1)
        low, high = change.min(axis=1) - spread, change.max(axis=1) + spread
        best, least = None, np.inf
        # As many classes as coarse pixels would explain anything.
        for centres in (tried for tried in (*sets, own.centres) if len(tried) < len(near)):
            shares = np.add.reduceat(memberships(joined, centres), starts).T / [len(each) for each in owners]
            found = np.stack([unmix(shares, *given) for given in zip(change, low, high, strict=True)], axis=1)
            error = float((np.abs(change - found.T @ shares) * weights).sum())
            if error < least:
                best, least = (centres, found, found.T @ shares[:, near.index((row, column))]), error
        return None if best is None else self._accepted(row, column, *best)

    def _accepted(self, row: int, column: int, centres: Floats, changes: Floats, mean: Floats) -> Place | None:
        """The changes, in proportion to how much of the coarse change they explain, if that is enough."""
        change = self.surveyed.change[:, row, column]
        whole, left = np.abs(change).sum(), np.abs(change - mean).sum()
        if left > (1 - min(_EXPLAINED, self.reliable[row, column])) * whole:
            return None
        explained = 1 - left / whole if whole > 0 else 1.0
        return Place(row, column, centres, explained * changes, explained * mean)

    def _neighbours(self, row: int, column: int) -> list[tuple[int, int]]:
        """Coarse pixels that changed alike, if there are enough, else all around that are complete."""
        own = self.surveyed
        window = list(self._window(row, column, _CHANGED_REACH))
        change = own.change[:, row, column, None]
        rows, columns = np.array(window).T
        around = own.change[:, rows, columns]
        scale = np.maximum(np.abs(change), _LEAST_CHANGE * np.abs(around).max())
        # Where nothing changed at all there is nothing to compare.
        unlike = np.divide(np.abs(around - change), scale, out=np.zeros_like(around), where=scale > 0)
        differences = unlike.sum(axis=0)
        similar = (differences < differences.std() / 2) & self.changed[rows, columns]
        if np.count_nonzero(similar) >= _ENOUGH:
            return [place for place, chosen in zip(window, similar, strict=True) if chosen]
        return list(self._window(row, column, _REACH))

    def _window(self, row: int, column: int, reach: int) -> Iterator[tuple[int, int]]:
        rows, columns = self.surveyed.complete.shape
        for i in range(max(0, row - reach), min(rows, row + reach + 1)):
            for j in range(max(0, column - reach), min(columns, column + reach + 1)):
                if self.surveyed.complete[i, j]:
                    yield i, j


def _at(box: Box) -> tuple[slice, slice]:
    return slice(box.top, box.bottom), slice(box.left, box.right)
