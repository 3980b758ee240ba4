"""Fit-FC computed: regressions on the coarse grid, then one mean over similar pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from stfusion.fusion._blocks import MARGIN, Blocks, CoarseScene, window_sums
from stfusion.fusion._fuse import Tally, fuse
from stfusion.fusion._pairs import combine, mean_square_change
from stfusion.fusion._scene import Patch, Scene, reflectance_unit
from stfusion.fusion._similar import coarse_pixel_wide, similar_means
from stfusion.raster.grids import Box
from stfusion.raster.source import Array
from stfusion.raster.tiles import Tile
from stfusion.run import Context

#: A coarse window is constant below this variance of reflectance; a line through fewer coarse pixels fits anything.
_CONSTANT, _FEWEST = 1e-8, 3


def run(context: Context) -> dict[str, Any]:
    """Run a Fit-FC job."""
    return fuse(context, FitFc)


class FitFc:
    """Fit-FC prepared for a scene: its coarse grid, and what a similar pixel is.

    Raises
    ------
    UserError
        The window is larger than the image, or the ratio is below 2.
    """

    notes: ClassVar[Mapping[str, str]] = {
        "constant": "lie where the coarse window is constant or has fewer than three coarse pixels, and took the mean "
        "coarse change instead of a regression",
    }

    def __init__(self, scene: Scene, context: Context) -> None:
        options = context.options
        self._coarse = CoarseScene(scene, context)
        self._similarity = coarse_pixel_wide(scene, context, self._coarse.blocks.ratio)
        self.halo = self._similarity.halo
        self._reach = int(options["coarse_window"]) // 2
        self._unit = reflectance_unit(context, scene.reference)
        # Of every pair the fine image and its prediction; what is averaged, and its ring; one band while it is made.
        self.pixel_bytes = 4 * (scene.bands * (2 * len(scene.pairs) + 3) + 6)

    def predict(self, patch: Patch, tile: Tile, tally: Tally) -> Array:
        """Predict from every pair, and weight the predictions by how little changed since the pair."""
        pairs = range(len(patch.fine))
        predictions = [self._from_pair(number, patch, tile, tally) for number in pairs]
        if len(predictions) == 1:
            return predictions[0]
        changes = (mean_square_change(self._coarse, number, tile.inner) for number in pairs)
        return combine(predictions, changes, self._unit)

    def _from_pair(self, number: int, patch: Patch, tile: Tile, tally: Tally) -> Array:
        grid, fine = self._coarse.blocks, patch.fine[number]
        blocks = grid.covering(patch.box).grown(MARGIN, grid.shape)
        around = blocks.grown(self._reach, grid.shape)
        coarse, target = self._coarse.pair(number, around), self._coarse.target(around)
        lines = fit_lines(coarse, target, self._reach, self._unit).cut(around, blocks)
        tally.add("constant", int(np.count_nonzero(grid.spread(lines.constant, blocks, tile.inner))))
        images = np.empty_like(fine)
        for band, image in enumerate(images):
            image[:] = _apply(lines, band, fine[band], grid, blocks, patch.box)
        fine[:, np.isnan(images[0])] = np.nan
        means, _ = similar_means(self._similarity, fine, None, images, tile, 1 / len(patch.fine))
        return means


@dataclass(frozen=True)
class Lines:
    """Regressions c2 = slope c1 + intercept + residual around every coarse pixel, (bands, block rows, block columns).

    NaN where a coarse pixel is invalid. ``constant`` says where the mean of c2 - c1 stands in for a regression.
    """

    slope: Array
    intercept: Array
    residual: Array
    constant: npt.NDArray[np.bool_]

    def cut(self, blocks: Box, wanted: Box) -> Lines:
        """The part of a window of blocks."""
        part = (slice(None), *wanted.within(blocks))
        return Lines(self.slope[part], self.intercept[part], self.residual[part], self.constant[part])


def fit_lines(first: Array, second: Array, reach: int, unit: float) -> Lines:
    """Regress coarse images (bands, block rows, block columns) on one another in windows of 2 ``reach`` + 1 blocks.

    The first step of Wang and Atkinson (2018). Windows are cut at the images; invalid coarse pixels do not count.
    """
    valid = ~(np.isnan(first[0]) | np.isnan(second[0]))
    x, y = (np.where(valid, image, 0.0) for image in (first, second))
    count = window_sums(valid[None].astype(np.float64), reach)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean_x, mean_y, mean_xx, mean_xy = (window_sums(values, reach) / count for values in (x, y, x * x, x * y))
        variance = mean_xx - mean_x**2
        constant = valid & ((count < _FEWEST) | (variance < _CONSTANT * unit**2))
        slope = np.where(constant, 1.0, (mean_xy - mean_x * mean_y) / variance)
    intercept = mean_y - slope * mean_x
    residual = y - (slope * x + intercept)
    a, b, rest = (np.where(valid, part, np.nan).astype(np.float32) for part in (slope, intercept, residual))
    return Lines(a, b, rest, constant)


def _apply(lines: Lines, band: int, fine: Array, grid: Blocks, blocks: Box, pixels: Box) -> Array:
    """The regressions applied to a band (rows, columns) of the fine image, and their residuals between the blocks."""
    one = slice(band, band + 1)
    slope, intercept = (grid.spread(part[band], blocks, pixels) for part in (lines.slope, lines.intercept))
    predicted: Array = slope * fine + intercept + grid.upsample(lines.residual[one], blocks, pixels)[0]
    return predicted
