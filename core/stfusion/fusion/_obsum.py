"""OBSUM computed: unmixing by objects in three passes over the coarse grid, then a mean over similar pixels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar

import numpy as np
import numpy.typing as npt

from stfusion.fusion._blocks import MARGIN, CoarseScene
from stfusion.fusion._classes import Classes, count_classes
from stfusion.fusion._fuse import Tally, fuse
from stfusion.fusion._objects import Cell, Labels, Objects, neighbours_inside, object_means
from stfusion.fusion._scene import Patch, Scene, check_window
from stfusion.fusion._similar import Similarity, distance_weights, similar_means
from stfusion.fusion._unmixing import LEAST_PRIOR, unmix_windows
from stfusion.raster.grids import Box
from stfusion.raster.source import Array
from stfusion.raster.tiles import Tile, run_tiles
from stfusion.run import Context

Floats = npt.NDArray[np.float64]
Result = TypeVar("Result")

#: Progress, in per cent, at the ends of the three passes.
_PROGRESS = (0.0, 1.5, 3.5, 5.0)


def run(context: Context) -> dict[str, Any]:
    """Run an OBSUM job."""
    return fuse(context, Obsum)


class Obsum:
    """OBSUM prepared for a scene: what its objects change by, and what that leaves of the coarse change.

    Raises
    ------
    UserError
        The window is larger than the image, the ratio is below 2, or there are no such classes.
    """

    notes: ClassVar[Mapping[str, str]] = {}

    def __init__(self, scene: Scene, context: Context) -> None:
        options = context.options
        window = int(options["window"])
        check_window(window, scene)
        self._similarity = Similarity(
            int(options["neighbours"]), None, 1, distance_weights(window), context.device.cuda
        )
        self.halo = self._similarity.halo
        # Fine image, residuals on the fine grid and what these are made from; offsets, their means and the result.
        self.pixel_bytes = 4 * (5 * scene.bands + 4)
        self._reach = int(options["coarse_window"]) // 2
        self._share = float(options["selected"]) / 100
        self._scene, self._context = scene, context
        self._coarse = CoarseScene(scene, context)
        self._blocks = self._coarse.blocks
        classes = Classes(scene, context)
        self._objects = Objects(scene, context, self._blocks, classes)
        shape = self._blocks.shape
        self._change = np.empty((scene.bands, *shape), np.float32)
        self._fractions, self._known = np.empty((classes.count, *shape), np.float32), np.empty(shape, np.float32)
        #: What the objects of every cell, by its first block, change by: (bands, objects and NaN for no object).
        self._offsets: dict[tuple[int, int], Array] = {}
        self._prepare()

    def _prepare(self) -> None:
        """The passes: coarse change and fractions, then unmixing, then compensation of the objects' residuals."""

        def describe(cell: Box, found: tuple[Array, Floats, Floats]) -> None:
            self._change[_at(cell)], self._fractions[_at(cell)], self._known[_at(cell)[1:]] = found

        self._pass(0, self._describe, describe)
        self._low, self._high = (
            f(self._change, axis=(1, 2), initial=start, where=~np.isnan(self._change)).astype(np.float64)
            for f, start in ((np.min, np.inf), (np.max, -np.inf))
        )
        for number, step in ((1, self._unmix), (2, self._compensate)):
            residual = np.empty_like(self._change)

            def keep(cell: Box, found: tuple[Array, Array], residual: Array = residual) -> None:
                self._offsets[cell.top, cell.left], residual[_at(cell)] = found

            self._pass(number, step, keep)
            self._residual = residual

    def _pass(self, number: int, compute: Callable[[Box], Result], keep: Callable[[Box, Result], None]) -> None:
        """Compute something of every cell, several at a time, and keep it."""

        def work(tile: Tile) -> Result:
            result = compute(tile.inner)
            tile.advance(1.0)
            return result

        side = (self._objects.side, self._objects.side)
        run_tiles(self._context, self._blocks.shape, side, 0, work, keep, (_PROGRESS[number], _PROGRESS[number + 1]))

    def _describe(self, cell: Box) -> tuple[Array, Floats, Floats]:
        """The coarse change of a cell's blocks, the fractions of their classes, and the known share of each."""
        change = self._coarse.target(cell) - self._coarse.pair(0, cell)
        objects, pixels = self._objects.of(cell), self._blocks.pixels(cell)
        counts = count_classes(objects.classes[objects.labels], len(self._fractions), self._blocks, pixels)
        known = counts.sum(axis=0)
        with np.errstate(invalid="ignore"):
            return change, counts / known, known / self._blocks.ratio**2

    def _unmix(self, cell: Box) -> tuple[Array, Array]:
        """Object-level unmixing: the mean, over every object, of its class's change in the blocks it lies in."""
        objects, pixels = self._objects.of(cell), self._blocks.pixels(cell)
        unmixed = np.empty((self._scene.bands, len(self._fractions), *cell.shape), np.float32)
        unmix_windows(
            self._fractions, self._known, self._change, self._reach, LEAST_PRIOR, self._low, self._high, cell.top,
            cell.left, unmixed,
        )  # fmt: skip
        unmixed[:, :, np.isnan(self._change[0][_at(cell)[1:]])] = np.nan
        rows, columns = (self._blocks.spread(index, cell, pixels) for index in np.indices(cell.shape))
        classes = objects.classes[objects.labels]
        changes = unmixed[:, classes, rows, columns]
        offsets = object_means(objects.labels, objects.count, changes, np.ones(classes.shape, np.float32))
        return self._with_residual(cell, objects, offsets)

    def _compensate(self, cell: Box) -> tuple[Array, Array]:
        """Object-level residual compensation: every object takes the mean residual of the pixels that show it best."""
        objects, pixels = self._objects.of(cell), self._blocks.pixels(cell)
        residual = self._upsampled(pixels)
        index = self._residual_index(objects.labels, pixels)
        index[np.isnan(residual[0])] = 0
        weights = _best(objects.labels, objects.count, index, self._share)
        offsets = self._offsets[cell.top, cell.left][:, :-1] + object_means(
            objects.labels, objects.count, residual, weights
        )
        return self._with_residual(cell, objects, offsets)

    def _with_residual(self, cell: Box, objects: Cell, offsets: Floats) -> tuple[Array, Array]:
        """The offsets, followed by NaN for what is no object, and what they leave of the coarse change."""
        full = np.pad(offsets, ((0, 0), (0, 1)), constant_values=np.nan).astype(np.float32)
        means, _ = self._blocks.means(full[:, objects.labels], self._blocks.pixels(cell))
        return full, self._change[_at(cell)] - means.astype(np.float32)

    def _residual_index(self, labels: Labels, pixels: Box) -> Array:
        """How well pixels show their object: more of it around them, and nearer to the centre of the coarse pixel."""
        s = self._blocks.ratio
        down, across = (
            np.abs((np.arange(first, last) - origin) % s - (s - 1) / 2)
            for first, last, origin in (
                (pixels.top, pixels.bottom, self._blocks.top),
                (pixels.left, pixels.right, self._blocks.left),
            )
        )
        distance = 1 + np.hypot(down[:, None], across) / (s / 2)
        index: Array = (neighbours_inside(labels, s // 2) / distance).astype(np.float32)
        return index

    def _upsampled(self, pixels: Box) -> Array:
        """What the objects' changes leave of the coarse change, between the coarse pixels' centres."""
        around = self._blocks.covering(pixels).grown(MARGIN, self._blocks.shape)
        return self._blocks.upsample(self._residual[_at(around)], around, pixels)

    def predict(self, patch: Patch, tile: Tile, tally: Tally) -> Array:
        """Pixel-level residual compensation: the fine image, the objects' changes, and the residuals between them."""
        (fine,) = patch.fine
        residual = self._upsampled(patch.box)
        values = self._changed(tile.inner)
        (top, left), (rows, columns) = tile.offset, tile.inner.shape
        values += fine[:, top : top + rows, left : left + columns]
        fine[:, np.isnan(residual[0])] = np.nan
        means, _ = similar_means(self._similarity, fine, None, residual, tile)
        values += means
        return values

    def _changed(self, pixels: Box) -> Array:
        """What the objects change by, on a window of fine pixels; NaN where there is no object."""
        values = np.empty((self._scene.bands, *pixels.shape), np.float32)
        for cell in self._objects.cells(pixels):
            covered = self._blocks.pixels(cell)
            part = Box(
                max(covered.top, pixels.top),
                min(covered.bottom, pixels.bottom),
                max(covered.left, pixels.left),
                min(covered.right, pixels.right),
            )
            labels = self._objects.of(cell).labels[_within(part, covered)]
            values[(slice(None), *_within(part, pixels))] = self._offsets[cell.top, cell.left][:, labels]
        return values


def _at(box: Box) -> tuple[slice, slice, slice]:
    """The place of a window of blocks in an image (n, rows, columns)."""
    return slice(None), slice(box.top, box.bottom), slice(box.left, box.right)


def _within(part: Box, whole: Box) -> tuple[slice, slice]:
    """The place of a window in an image of a larger one."""
    rows = slice(part.top - whole.top, part.bottom - whole.top)
    return rows, slice(part.left - whole.left, part.right - whole.left)


def _best(labels: Labels, count: int, index: Array, share: float) -> Array:
    """The index of the pixels of every object that are in the top ``share`` of it, with ties; 0 elsewhere."""
    inside = (labels >= 0) & (index > 0)
    members, found = labels[inside], index[inside]
    order = np.lexsort((found, members))
    sizes = np.bincount(members, minlength=count)
    firsts = np.cumsum(sizes) - sizes
    places = firsts + np.ceil((sizes - 1) * (1 - share) - 1e-9).astype(np.int64)
    bounds = np.full(count, np.inf, np.float32)
    bounds[sizes > 0] = found[order][places[sizes > 0]]
    best = np.zeros(index.shape, np.float32)
    best[inside] = np.where(found >= bounds[members], found, 0)
    return best
