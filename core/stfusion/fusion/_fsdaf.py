"""FSDAF computed: class changes, thin-plate splines, the distribution of residuals and a mean over similar pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from stfusion.fusion._blocks import CoarseScene
from stfusion.fusion._class_change import Learned, learn
from stfusion.fusion._classes import Classified
from stfusion.fusion._compile import compiled
from stfusion.fusion._fuse import Tally, fuse
from stfusion.fusion._pairs import combine, mean_square_change
from stfusion.fusion._scene import Patch, Scene, check_window, reflectance_unit
from stfusion.fusion._similar import Similarity, distance_weights, similar_means
from stfusion.fusion._spline import Spline
from stfusion.raster.grids import Box
from stfusion.raster.source import Array
from stfusion.raster.tiles import Tile
from stfusion.run import Context

Floats = npt.NDArray[np.float64]

#: Least weight of a pixel in the distribution of a residual, and least value that differences are divided by, in
#: reflectance.
_LEAST_WEIGHT, _LEAST_VALUE = 1e-10, 1e-3
#: Weights in the distribution of a residual larger than this become 1, the mean; sums of weights of both signs smaller
#: than this share of the sum of their sizes mean nothing.
_LARGEST_WEIGHT, _CANCELLED = 10.0, 0.1
#: What rounding may take a value beyond the range of the scene, as a share of it.
_ROUNDING = 1e-5


def run(context: Context) -> dict[str, Any]:
    """Run an FSDAF job."""
    return fuse(context, Fsdaf)


class Fsdaf:
    """FSDAF prepared for a scene: the classes of its fine images and their changes, and the splines.

    Raises
    ------
    UserError
        The window is larger than the image, there are too few coarse pixels, or the classes cannot be made.
    """

    notes: ClassVar[Mapping[str, str]] = {
        "outside": "left the range of the scene and took the fine value plus the coarse change, cut at that range",
    }

    def __init__(self, scene: Scene, context: Context) -> None:
        options = context.options
        self._unit = reflectance_unit(context, scene.reference)
        self._coarse = CoarseScene(scene, context)
        self._spline = Spline(self._coarse.blocks)
        self._signed = options["residual"] == "signed"
        ratio = self._coarse.blocks.ratio
        window = (int(options["window"]) or 3 * ratio // 2) // 2 * 2 + 1
        check_window(window, scene)
        self._reach = window // 2
        self._spatial = distance_weights(window)
        self._count = int(options["neighbours"])
        self._cuda = context.device.cuda
        self._learned: list[Learned] = []
        for number in range(len(scene.pairs)):
            self._learned.append(learn(scene, context, self._coarse, number))
            context.reporter.progress(5.0 * (number + 1) / len(scene.pairs))
        # A similar pixel needs its whole block, and each pixel of that the window of its homogeneity.
        self.halo = self._reach + ratio - 1 + ratio // 2
        # The fine images and their predictions; of one pair at a time the image, its change, and the spline or a scale.
        self.pixel_bytes = 4 * scene.bands * (2 * len(scene.pairs) + 3) + 16 + self._spline.pixel_bytes

    def predict(self, patch: Patch, tile: Tile, tally: Tally) -> Array:
        """Predict from every pair, and weight the predictions by how little changed since the pair."""
        grid = self._coarse.blocks
        blocks = grid.covering(tile.inner.grown(self._reach, grid.fine_shape))
        predictions = [self._predict_pair(patch, tile, number, blocks, tally) for number in range(len(self._learned))]
        if len(predictions) == 1:
            return predictions[0]
        changes = [mean_square_change(self._coarse, number, tile.inner) for number in range(len(predictions))]
        return combine(predictions, changes, self._unit)

    def _predict_pair(self, patch: Patch, tile: Tile, number: int, blocks: Box, tally: Tally) -> Array:
        grid, learned = self._coarse.blocks, self._learned[number]
        pixels = grid.pixels(blocks)
        coarse = self._coarse.target(blocks) - self._coarse.pair(number, blocks)
        fine = _cut(patch.fine[number], patch.box, pixels).copy()
        fine[:, np.isnan(grid.spread(coarse[0], blocks, pixels))] = np.nan
        change = self._changes(patch, number, blocks, fine, coarse)
        scales = 1 / np.maximum(np.abs(fine), np.float32(_LEAST_VALUE * self._unit))
        limits = 2 * learned.std / np.float32(learned.classes.count)
        similarity = Similarity(self._count, limits, 1, self._spatial, self._cuda)
        area, share = replace(tile, outer=pixels), 1 / len(self._learned)
        means, _ = similar_means(similarity, fine, scales, change, area, share)
        inner = _cut(fine, pixels, tile.inner)
        values: Array = np.add(inner, means, out=means)
        for band, value, low, high in zip(range(len(values)), values, learned.low, learned.high, strict=True):
            margin = _ROUNDING * (high - low)
            outside = (value < low - margin) | (value > high + margin)
            tally.add("outside", int(np.count_nonzero(outside)))
            value[outside] = (inner[band] + grid.spread(coarse[band], blocks, tile.inner))[outside]
            np.clip(value, low, high, out=value)
        return values

    def _changes(self, patch: Patch, number: int, blocks: Box, fine: Array, coarse: Array) -> Array:
        """The change of every pixel of blocks, before it is smoothed: that of its class and its share of the residual.

        ``fine`` is the fine image there, NaN where it cannot be predicted, and ``coarse`` the coarse change.
        """
        grid, learned = self._coarse.blocks, self._learned[number]
        pixels = grid.pixels(blocks)
        classes = learned.classes.read(patch.box, patch.fine[number])
        homogeneity = np.empty(classes.shape, np.float32)
        _same_class_shares(classes, learned.classes.count, grid.ratio // 2, homogeneity)
        change = learned.changes[:, _cut(classes, patch.box, pixels)]
        change[np.isnan(fine)] = np.nan
        residuals = coarse - grid.means(change, pixels)[0]
        spline = self._spline.interpolate(self._coarse.target(self._spline.around(blocks)), blocks)
        _distribute(
            fine, change, spline, _cut(homogeneity, patch.box, pixels), residuals, grid.ratio,
            *grid.offset(blocks, pixels), self._signed or None, _LEAST_WEIGHT * self._unit, learned.low, learned.high,
        )  # fmt: skip
        return change


def _cut(values: Any, box: Box, wanted: Box) -> Any:
    """The part (..., rows, columns) of the values of a window that belongs to a window inside it."""
    top, left = wanted.top - box.top, wanted.left - box.left
    return values[..., top : top + wanted.shape[0], left : left + wanted.shape[1]]


@compiled
def _same_class_shares(classes: Classified, count: int, reach: int, shares: Array) -> None:
    """The homogeneity index: the share of pixels around every pixel that are of its class (eq. 16).

    The window has 2 ``reach`` + 1 rows and columns; invalid pixels (-1) do not count and get NaN. Counts slide along
    the columns and then along the row, so that the cost does not grow with the window.
    """
    rows, columns = classes.shape
    in_columns = np.zeros((columns, count), np.int32)
    counts = np.zeros(count, np.int32)
    for y in range(-reach, rows):
        for x in range(columns):
            if y + reach < rows and classes[y + reach, x] >= 0:
                in_columns[x, classes[y + reach, x]] += 1
            if y - reach > 0 and classes[y - reach - 1, x] >= 0:
                in_columns[x, classes[y - reach - 1, x]] -= 1
        if y < 0:
            continue
        counts[:] = 0
        for x in range(min(reach, columns)):
            counts += in_columns[x]
        for x in range(columns):
            if x + reach < columns:
                counts += in_columns[x + reach]
            if x - reach > 0:
                counts -= in_columns[x - reach - 1]
            own = classes[y, x]
            shares[y, x] = counts[own] / counts.sum() if own >= 0 else np.float32(np.nan)


@compiled
def _distribute(
    fine: Array,
    change: Array,
    spline: Array,
    homogeneity: Array,
    residuals: Floats,
    ratio: int,
    top: int,
    left: int,
    signed: bool | None,
    least: float,
    low: Array,
    high: Array,
) -> None:
    """Add its share of the block's residual to the change of every pixel, so that the block's mean is right.

    Equations 17 to 20, and the limit of the result to the range of the scene.

    Parameters
    ----------
    fine, spline
        (bands, H, W): fine image, and thin-plate spline through the coarse image of the target date.
    change
        (bands, H, W), changed in place: change of the pixel's class, then of the pixel.
    homogeneity
        (H, W).
    residuals
        (bands, block rows, block columns).
    ratio, top, left
        Fine pixels along a block; row and column of the first block's first pixel in the images, not positive.
    signed
        True: the errors with their signs are the weights. None: their sizes, without the errors of the other sign.
    least
        Least weight.
    low, high
        (bands): range of the scene.

    """
    bands, height, width = fine.shape
    weights = np.empty((ratio, ratio))
    for i in range(residuals.shape[1]):
        y0, y1 = max(0, top + i * ratio), min(height, top + (i + 1) * ratio)
        for j in range(residuals.shape[2]):
            x0, x1 = max(0, left + j * ratio), min(width, left + (j + 1) * ratio)
            for b in range(bands):
                residual = residuals[b, i, j]
                for y in range(y0, y1):
                    for x in range(x0, x1):
                        error = spline[b, y, x] - fine[b, y, x] - change[b, y, x]
                        share = homogeneity[y, x]
                        if signed is None:
                            error = abs(error) if error * residual > 0 else 0.0
                            weights[y - y0, x - x0] = error * share + abs(residual) * (1 - share) + least
                        else:
                            weights[y - y0, x - x0] = error * share + residual * (1 - share)
                mine = change[b, y0:y1, x0:x1]
                _normalise(weights, mine)
                for y in range(y1 - y0):
                    for x in range(x1 - x0):
                        here = fine[b, y0 + y, x0 + x]
                        value = here + np.float32(mine[y, x] + residual * weights[y, x])
                        mine[y, x] = min(max(value, low[b]), high[b]) - here


@compiled
def _normalise(weights: Floats, like: Array) -> None:
    """Make the mean of weights 1 over the pixels that are valid in ``like``, after large ones have become 1.

    Where weights of both signs all but cancel one another, all become 1.
    """
    number, total = 0, 0.0
    for y in range(like.shape[0]):
        for x in range(like.shape[1]):
            if not np.isnan(like[y, x]):
                number += 1
                total += weights[y, x]
    limited, size = 0.0, 0.0
    for y in range(like.shape[0]):
        for x in range(like.shape[1]):
            if not np.isnan(like[y, x]):
                weight = weights[y, x] * number / total
                weights[y, x] = weight if abs(weight) <= _LARGEST_WEIGHT else 1.0
                limited += weights[y, x]
                size += abs(weights[y, x])
    even = limited <= _CANCELLED * size
    for y in range(like.shape[0]):
        for x in range(like.shape[1]):
            weights[y, x] = 1.0 if even else weights[y, x] * number / limited
