"""RASDF computed: unmixing of the whole scene and of changed places, a mean over similar pixels, and the residual."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from stfusion.errors import UserError
from stfusion.fusion._blocks import MARGIN, Blocks, CoarseScene
from stfusion.fusion._fuse import Tally, fuse
from stfusion.fusion._fuzzy import Models, fuzzy_changes
from stfusion.fusion._local import Place, unmix_locally
from stfusion.fusion._pairs import combine, mean_square_change
from stfusion.fusion._reliable import LEAST_RELIABLE, LEAST_VALUE, Surveyed, block_means, survey
from stfusion.fusion._scene import Patch, Scene, reflectance_unit, valid_range
from stfusion.fusion._similar import Similarity, distance_weights, similar_means
from stfusion.raster.grids import Box
from stfusion.raster.source import Array
from stfusion.raster.tiles import Tile
from stfusion.run import Context

Floats = npt.NDArray[np.float64]

#: Progress, in per cent, at the end of the preparation, and the shares in it of survey, local unmixing and smoothing.
_PREPARED, _STEPS = 5.0, (0.3, 0.2, 0.5)


def run(context: Context) -> dict[str, Any]:
    """Run a RASDF job."""
    return fuse(context, Rasdf)


class Rasdf:
    """RASDF prepared for a scene: of every pair the changes of its classes, and what these leave of the coarse change.

    Raises
    ------
    UserError
        There are too few coarse pixels, none is fully known, or the fewest classes are more than the most.
    """

    notes: ClassVar[Mapping[str, str]] = {
        "outside": "left the valid range and took the fine value plus the coarse change, cut at that range",
    }

    def __init__(self, scene: Scene, context: Context) -> None:
        options = context.options
        if int(options["fewest"]) > int(options["most"]):
            raise UserError(
                f"'Fewest classes' is {options['fewest']} and 'Most classes' is {options['most']}; exchange them."
            )
        self._scene, self._unit = scene, reflectance_unit(context, scene.reference)
        self._low, self._high = valid_range(scene, context, self._unit)
        self._coarse = CoarseScene(scene, context)
        self._kept = bool(options["coarse_change"])
        self._learned = [self._learn(context, number) for number in range(len(scene.pairs))]
        self.halo = max(learned.similarity.halo for learned in self._learned)
        # The fine images; for one pair at a time what differences are divided by, change and residual, their means.
        self.pixel_bytes = 4 * (scene.bands * (len(scene.pairs) + 5) + 4)

    def _learn(self, context: Context, number: int) -> _Learned:
        """All that takes passes over the whole scene."""
        share = _PREPARED / len(self._scene.pairs)
        ends = share * (number + np.cumsum((0.0, *_STEPS)))
        grid, source = self._coarse.blocks, self._scene.pairs[number].fine
        surveyed = survey(self._scene, context, self._coarse, number, self._unit, (ends[0], ends[1]))
        local = bool(context.options["local"])
        places = unmix_locally(source, context, grid, surveyed, (ends[1], ends[2])) if local else []
        learned = _Learned(surveyed, places, self._similarity(surveyed, context), grid)

        def compute(tile: Tile) -> Array:
            return self._smoothed(source.read(tile.outer), tile, learned, with_residual=self._kept)

        span = ends[2], ends[3]
        means = block_means(context, grid, self._scene.bands, learned.similarity.halo, compute, span)
        left = (surveyed.change - means).astype(np.float32)
        if self._kept:
            learned.left = left
        else:
            learned.residual = left
        return learned

    def _similarity(self, surveyed: Surveyed, context: Context) -> Similarity:
        """Fewer similar pixels, and nearer ones, where the coarse image is more reliable."""
        near, far = float(context.options["near"]), float(context.options["far"])
        reach = far - (far - near) * float(surveyed.reliability[:, surveyed.complete].mean())
        half = min(max(1, round(reach * self._coarse.blocks.ratio)), (min(self._scene.shape) - 1) // 2)
        count = max(1, round(reach * float(context.options["neighbours"])))
        most = 2 * surveyed.contrast / (len(surveyed.centres) + 1)
        context.reporter.log(f"Window of {2 * half + 1} fine pixels with {count} similar ones.")
        return Similarity(count, None, 1, distance_weights(2 * half + 1), context.device.cuda, most)

    def predict(self, patch: Patch, tile: Tile, tally: Tally) -> Array:
        """Predict from every pair, and weight the predictions by how little changed since the pair."""
        predictions = [self._predict_pair(patch, tile, number, tally) for number in range(len(self._learned))]
        if len(predictions) == 1:
            return predictions[0]
        changes = [mean_square_change(self._coarse, number, tile.inner) for number in range(len(predictions))]
        return combine(predictions, changes, self._unit)

    def _predict_pair(self, patch: Patch, tile: Tile, number: int, tally: Tally) -> Array:
        learned, fine = self._learned[number], patch.fine[number]
        values = self._smoothed(fine, tile, learned, with_residual=True)
        if learned.left is not None:
            values += learned.upsampled(learned.left, tile.inner)
        (top, left), (rows, columns) = tile.offset, tile.inner.shape
        inner = fine[:, top : top + rows, left : left + columns]
        values += inner
        outside = (values < self._low) | (values > self._high)
        if outside.any():
            plain = inner + learned.upsampled(learned.change, tile.inner)
            values[outside] = np.clip(plain, self._low, self._high)[outside]
            tally.add("outside", int(np.count_nonzero(outside)))
        return values

    def _smoothed(self, fine: Array, tile: Tile, learned: _Learned, with_residual: bool) -> Array:
        """Mean change of the similar pixels and, weighted by reliability, of their residual: (bands, rows, columns).

        Pixels of ``fine`` (bands, H, W) whose coarse pixel is invalid become so too.
        """
        bands = len(fine)
        images = np.empty((2 * bands + 1 if with_residual else bands, *fine.shape[1:]), np.float32)
        learned.fill_changes(fine, images[:bands], tile.outer)
        fine[:, np.isnan(images[0])] = np.nan
        if with_residual:
            weight = np.clip(learned.upsampled(learned.weight, tile.outer)[0], LEAST_RELIABLE, 1)
            for band in range(bands):
                images[bands + band] = weight * learned.upsampled(learned.residual[band : band + 1], tile.outer)[0]
            images[2 * bands] = weight
            images[bands:, np.isnan(fine[0])] = np.nan
        scales = np.abs(fine)
        np.maximum(scales, np.float32(LEAST_VALUE * self._unit), out=scales)
        np.reciprocal(scales, out=scales)
        means, _ = similar_means(learned.similarity, fine, scales, images, tile)
        values: Array = means[:bands]
        if with_residual:
            values += means[bands : 2 * bands] / means[2 * bands]
        return values


class _Learned:
    """What is known of a pair before the prediction.

    Models say what the fuzzy classes of a coarse pixel are and change by: 0 those of the whole scene, others those of
    a single coarse pixel. ``residual`` is averaged over similar pixels; ``left``, if there is any, is added after that.
    """

    def __init__(self, surveyed: Surveyed, places: list[Place], similarity: Similarity, grid: Blocks) -> None:
        self.similarity, self._grid = similarity, grid
        self.change: Array = surveyed.change.astype(np.float32)
        self.weight: Array = surveyed.reliability.mean(axis=0, keepdims=True).astype(np.float32)
        self.residual: Array = surveyed.residual().astype(np.float32)
        self.left: Array | None = None
        self._which: Models = np.where(np.isnan(self.change[0]), -1, 0).astype(np.int32)
        self._sizes: Models = np.array([len(surveyed.centres), *(len(place.centres) for place in places)], np.int32)
        self._centres, self._changes = np.zeros((2, len(self._sizes), self._sizes.max(), len(self.change)))
        self._centres[0, : self._sizes[0]], self._changes[0, : self._sizes[0]] = surveyed.centres, surveyed.changes
        for model, place in enumerate(places, 1):
            self._which[place.row, place.column] = model
            self._centres[model, : self._sizes[model]] = place.centres
            self._changes[model, : self._sizes[model]] = place.changes
            at = slice(None), place.row, place.column
            self.residual[at] = self.change[at] - place.mean

    def fill_changes(self, fine: Array, changed: Array, pixels: Box) -> None:
        """Fill in the change of the classes (bands, rows, columns) of a window; NaN where it is not known."""
        blocks = self._grid.covering(pixels)
        which = self._which[blocks.top : blocks.bottom, blocks.left : blocks.right]
        fuzzy_changes(
            fine, which, self._sizes, self._centres, self._changes, self._grid.ratio,
            *self._grid.offset(blocks, pixels), changed,
        )  # fmt: skip

    def upsampled(self, values: Array, pixels: Box) -> Array:
        """Values of all blocks, interpolated between their centres on a window of pixels."""
        blocks = self._grid.covering(pixels).grown(MARGIN, self._grid.shape)
        return self._grid.upsample(values[:, blocks.top : blocks.bottom, blocks.left : blocks.right], blocks, pixels)
