"""UBDF computed: class fractions of the coarse pixels, and constrained unmixing in a moving window of them.

Neither numba nor scipy is needed: loading one of them takes longer than a small scene.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from stfusion.errors import UserError
from stfusion.fusion._blocks import CoarseScene, window_sums
from stfusion.fusion._bounded import solve_bounded
from stfusion.fusion._classes import Classes, Classified, count_classes
from stfusion.fusion._fuse import Tally, fuse
from stfusion.fusion._scene import Patch, Scene
from stfusion.raster.grids import Box
from stfusion.raster.source import Array
from stfusion.raster.tiles import Tile
from stfusion.run import Context

Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]
Bounds = npt.NDArray[np.floating]

#: A class with a smaller fraction of the window, and a coarse pixel of which less is known, are left out.
_SMALLEST_FRACTION, _SMALLEST_SHARE = 0.01, 0.5
#: Weight, in coarse pixels, with which the means over the scene take part at least: they decide what a window leaves
#: open. Classes that the coarse pixels of a window tell apart by less than the second are not told apart.
_FLOOR, _APART = 1e-6, 1e-3
#: Numbers in the matrices that are solved at once.
_AT_ONCE = 500_000


def run(context: Context) -> dict[str, Any]:
    """Run a UBDF job."""
    return fuse(context, Ubdf)


class Ubdf:
    """UBDF prepared for a scene: its classes, and what they have over the whole of it.

    Raises
    ------
    UserError
        The window has too few coarse pixels for the classes, the ratio is below 2, or no coarse pixel is known.
    """

    notes: ClassVar[Mapping[str, str]] = {
        "absent": "are of a class that covers less than 1 % of the window, and took its mean over the scene",
        "singular": "lie in windows that do not tell all their classes apart; the means over the scene decided there",
    }

    def __init__(self, scene: Scene, context: Context) -> None:
        options = context.options
        window = int(options["window"])
        self._change = options["unmix"] == "change"
        self._regularisation = max(_FLOOR, float(options["regularisation"]))
        self._reach = window // 2
        self._coarse = CoarseScene(scene, context)
        self._classes = Classes(scene, context)
        count, ratio = self._classes.count, self._coarse.blocks.ratio
        if window**2 < 2 * count:
            raise UserError(
                f"A window of {window} x {window} coarse pixels has {window**2} equations for {count} classes, and at "
                f"least {2 * count} are needed; take a larger window or fewer classes."
            )
        self.halo = (self._reach + 1) * ratio - 1
        # Fine image, result and a copy, classes and where they look up; of a coarse pixel its equations, several times.
        self.pixel_bytes = 4 * (3 * scene.bands + 10) + 24 * count * (2 * count + scene.bands) // ratio**2
        self._prior = self._unmix_scene(scene, context)

    def predict(self, patch: Patch, tile: Tile, tally: Tally) -> Array:
        """Unmix around every coarse pixel, and give its fine pixels what their class has there."""
        grid = self._coarse.blocks
        inner = grid.covering(tile.inner)
        around = inner.grown(self._reach, grid.shape)
        pixels = grid.pixels(around)
        rows, columns = pixels.within(patch.box)
        found = self._classes.read(pixels, patch.fine[0][:, rows, columns])
        weights, mixed, values = self._equations(found, around, pixels)
        rows, columns = inner.within(around)
        sums = window_sums(weights[:, None] * mixed, self._reach)[:, :, rows, columns]
        low = window_sums(values, self._reach, np.fmin, np.inf)[:, rows, columns]
        high = window_sums(values, self._reach, np.fmax, -np.inf)[:, rows, columns]
        unmixed, present, singular = self._solve(sums, low, high, self._prior, _SMALLEST_FRACTION)
        tile.advance(0.5)
        found = found[tile.inner.within(pixels)]
        place = grid.spread(np.arange(singular.size).reshape(singular.shape), inner, tile.inner)
        known = (found >= 0) & ~np.isnan(values[0, rows, columns].ravel()[place])
        entry = np.where(known, found, 0) * singular.size + place
        result = np.empty((len(unmixed), *entry.shape), np.float32)
        for band, classes in enumerate(unmixed):
            result[band] = classes.ravel()[entry]
        if self._change:
            rows, columns = tile.inner.within(patch.box)
            result += patch.fine[0][:, rows, columns]
        result[:, ~known] = np.nan
        tally.add("absent", len(result) * int(np.count_nonzero(known & ~present.ravel()[entry])))
        tally.add("singular", len(result) * int(np.count_nonzero(known & singular.ravel()[place])))
        tile.advance(0.5)
        return result

    def _unmix_scene(self, scene: Scene, context: Context) -> Floats:
        """What every class has over the whole scene, (bands, classes, 1, 1)."""
        grid, classes = self._coarse.blocks, self._classes.count
        total = np.zeros((classes, classes + scene.bands, 1, 1))
        low, high = np.full((scene.bands, 1, 1), np.inf), np.full((scene.bands, 1, 1), -np.inf)
        for blocks, pixels in grid.parts():
            context.stop.check()
            found = self._classes.read(pixels, scene.pairs[0].fine.read(pixels))
            weights, mixed, values = self._equations(found, blocks, pixels)
            total[:, :, 0, 0] += weights.reshape(classes, -1) @ mixed.reshape(len(mixed), -1).T
            low = np.fmin(low, np.fmin.reduce(values, axis=(1, 2), keepdims=True))
            high = np.fmax(high, np.fmax.reduce(values, axis=(1, 2), keepdims=True))
        weight = total[:, :classes].sum()
        if weight == 0:
            raise UserError(
                f"No coarse pixel has a value in {scene.target.source} and at least half of its pixels in "
                f"{scene.reference}; choose images with fewer gaps."
            )
        mean = total[:, classes:].sum(axis=0)[:, None] / weight
        return self._solve(total, low, high, np.repeat(mean, classes, axis=1), 0.0)[0]

    def _equations(self, found: Classified, blocks: Box, pixels: Box) -> tuple[Floats, Floats, Array]:
        """What coarse pixels add to the sums of a regression, and their values (bands, rows, columns).

        That is w f (classes, rows, columns) for the fractions f of the classes and the known share w of a coarse pixel,
        0 where it is left out, which is to be multiplied by all of the second: fractions and values (classes + bands).
        """
        ratio = self._coarse.blocks.ratio
        values = self._coarse.target(blocks)
        if self._change:
            values = values - self._coarse.pair(0, blocks)
        counts = count_classes(found, self._classes.count, self._coarse.blocks, pixels)
        number = counts.sum(axis=0)
        used = (number >= _SMALLEST_SHARE * ratio**2) & ~np.isnan(values[0])
        mixed = np.concatenate([counts / np.maximum(number, 1), np.where(used, values, 0)])
        return np.where(used, counts / ratio**2, 0.0), mixed, values

    def _solve(
        self, sums: Floats, low: Bounds, high: Bounds, prior: Floats, smallest: float
    ) -> tuple[Floats, Booleans, Booleans]:
        """What every class has in every window (bands, classes, rows, columns), given its sums and range of values.

        Also which classes are there (classes, rows, columns), with more than the smallest fraction; the others have
        the prior. And which windows (rows, columns) do not tell these apart.
        """
        classes, diagonal = sums.shape[0], np.arange(sums.shape[0])
        normal, moments = np.split(np.moveaxis(sums, (0, 1), (-1, -2)), [classes], axis=-2)
        present = normal.sum(axis=-2) > smallest * normal.sum(axis=(-1, -2))[..., None]
        normal = np.where(present[..., None] & present[..., None, :], normal, 0.0)
        normal[..., diagonal, diagonal] += np.where(present, self._regularisation, 1.0)
        pivots = np.linalg.cholesky(normal)[..., diagonal, diagonal] ** 2
        singular = np.where(present, pivots, np.inf).min(axis=-1) < _APART + self._regularisation
        lowest = low if self._change else np.minimum(low, 0)
        step = max(1, _AT_ONCE // classes**2)
        unmixed = np.empty((len(prior), singular.size, classes))
        for band, near in enumerate(np.moveaxis(prior, 1, -1)):
            right = np.where(present, moments[..., band, :] + self._regularisation * near, near)
            bounds = [np.where(np.isfinite(bound[band]), bound[band], 0).ravel() for bound in (lowest, high)]
            for begin in range(0, singular.size, step):
                part = slice(begin, begin + step)
                unmixed[band, part] = solve_bounded(
                    normal.reshape(-1, classes, classes)[part],
                    right.reshape(-1, classes)[part],
                    *(bound[part] for bound in bounds),
                )
        shaped = np.moveaxis(unmixed, -1, 1).reshape(len(prior), classes, *singular.shape)
        return shaped, np.moveaxis(present, -1, 0), singular
