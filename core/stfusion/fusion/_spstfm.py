"""SPSTFM computed: a dictionary of the change between two pairs, and patches weighted by the change since each pair."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numba import njit

from stfusion.fusion._dictionary import (
    PART,
    SURVEYED,
    Dictionary,
    Indices,
    PatchSample,
    Training,
    lattice,
    learn_bands,
)
from stfusion.fusion._fuse import Tally, fuse
from stfusion.fusion._pursuit import Doubles, patch_detail
from stfusion.fusion._scene import Patch, Scene
from stfusion.raster.grids import Box
from stfusion.raster.source import Array
from stfusion.raster.tiles import Tile, run_tiles, strip_share
from stfusion.run import Context


def run(context: Context) -> dict[str, Any]:
    """Run an SPSTFM job."""
    return fuse(context, Spstfm)


class Spstfm:
    """SPSTFM prepared for a scene: the dictionary of every band, and the largest change of a patch.

    Raises
    ------
    UserError
        The patch is larger than the image, the stride larger than the patch, or there are fewer patches than atoms.
    """

    notes: ClassVar[Mapping[str, str]] = {
        "one pair": "have a gap in one of the pairs and were predicted from the other alone",
    }

    def __init__(self, scene: Scene, context: Context) -> None:
        training = Training.of(scene, context, planes=1)
        self._scene = scene
        self._side, self._stride = training.side, training.stride
        self._threshold = float(context.options["change_threshold"])
        self.halo = self._side - 1
        # The result, and two that wait; of a strip the images, and for one band at a time two changes, two bases, the
        # sums and counts, and their quotients.
        strip = 4 * (5 * scene.bands + 4) + 16 + 12
        self.pixel_bytes = int(12 * scene.bands + strip_share(self.halo, training.strip) * strip)
        self._rows = training.strip
        self._largest = np.zeros(scene.bands)
        sample = self._survey(scene, context, training)
        refit = context.options["detail"] == "refitted"
        self._dictionaries = learn_bands(sample, scene.bands, training, context, joint=True, refit=refit)

    def _survey(self, scene: Scene, context: Context, training: Training) -> PatchSample:
        """Gather the patches for training, and find the largest change of a patch in every band."""
        sample = PatchSample(scene.shape, training)

        def look(part: Tile) -> list[float]:
            patch = scene.read(part.outer)
            rows, columns = self._lattice(part.inner, part.outer)
            changes = [largest_change(_changes(patch, band), rows, columns, self._side) for band in range(scene.bands)]
            between = patch.coarse[1] - patch.coarse[0]
            sample.add(part.inner, part.outer, between[:, None], patch.fine[1] - patch.fine[0] - between)
            part.advance(1.0)
            return changes

        def keep(_: Box, changes: list[float]) -> None:
            self._largest = np.maximum(self._largest, changes)

        run_tiles(context, scene.shape, (PART, PART), self.halo, look, keep, SURVEYED)
        return sample

    def predict(self, patch: Patch, tile: Tile, tally: Tally) -> Array:
        """Predict the tile's inner box strip by strip, of which the images are read one after the other."""
        values = np.empty((self._scene.bands, *tile.inner.shape), np.float32)
        for strip in tile.strips(self.halo, self._scene.shape, self._rows):
            rows, columns = strip.inner.within(tile.inner)
            self._predict_strip(self._scene.read(strip.outer), strip, values[:, rows, columns], tally)
        return values

    def _predict_strip(self, patch: Patch, strip: Tile, values: Array, tally: Tally) -> None:
        """Predict a strip into values (bands, rows, columns), band by band."""
        inner = strip.inner.within(strip.outer)
        rows, columns = self._lattice(strip.inner, strip.outer)
        for band, dictionary in enumerate(self._dictionaries):
            changes = _changes(patch, band)
            bases = np.stack([fine[band] for fine in patch.fine]) + changes
            sums = np.zeros((2, *bases.shape[1:]))
            for row in rows:
                combine_patches(
                    changes, bases, dictionary, self._largest[band], self._threshold, row, columns, self._side, sums
                )
                strip.advance(1 / len(rows) / len(values))
            total, count = sums[0][inner], sums[1][inner]
            values[band] = np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)
            tally.add("one pair", int(np.count_nonzero(np.isnan(bases).sum(axis=0)[inner] == 1)))

    def _lattice(self, inner: Box, outer: Box) -> tuple[Indices, Indices]:
        """First rows and columns, in ``outer``, of the patches that touch ``inner``."""
        rows, columns = self._scene.shape
        return (
            lattice(rows, self._side, self._stride, inner.top, inner.bottom) - outer.top,
            lattice(columns, self._side, self._stride, inner.left, inner.right) - outer.left,
        )


def _changes(patch: Patch, band: int) -> Array:
    """What the coarse sensor saw change from each pair to the target date, (pairs, rows, columns)."""
    return np.stack([patch.target[band] - coarse[band] for coarse in patch.coarse])


@njit(nogil=True, cache=True, error_model="numpy")
def _mean_change(change: Array, y: int, x: int, side: int) -> float:
    """Mean absolute change of the valid pixels of a patch; NaN where there are none."""
    total, count = 0.0, 0
    for i in range(y, y + side):
        for j in range(x, x + side):
            if not np.isnan(change[i, j]):
                total += abs(change[i, j])
                count += 1
    return total / count


@njit(nogil=True, cache=True, error_model="numpy")
def largest_change(changes: Array, rows: Indices, columns: Indices, side: int) -> float:
    """The largest mean absolute change (pairs, rows, columns) of the patches that begin at the rows and columns."""
    largest = 0.0
    for pair in range(changes.shape[0]):
        for y in rows:
            for x in columns:
                # A patch without valid pixels has the change NaN, which max leaves where it is.
                largest = max(largest, _mean_change(changes[pair], y, x, side))
    return largest


@njit(nogil=True, cache=True, error_model="numpy")
def _first_weight(first: float, second: float, threshold: float) -> float:
    """Weight of the first of two pairs from the changes since each, 0..1: the one that changed less counts more."""
    if first - second > threshold:
        return 0.0
    if second - first > threshold:
        return 1.0
    return second / (first + second) if first + second > 0 else 0.5


@njit(nogil=True, cache=True, error_model="numpy")
def combine_patches(
    changes: Array,
    bases: Array,
    dictionary: Dictionary,
    largest: float,
    threshold: float,
    y: int,
    columns: Indices,
    side: int,
    sums: Doubles,
) -> None:
    """Add the predictions of a row of patches, each made of those from two pairs.

    Parameters
    ----------
    changes, bases
        (2, rows, columns): coarse change since each pair, and its fine image plus that change; NaN where invalid.
    dictionary
        The detail that goes with a coarse change.
    largest, threshold
        The largest mean change of a patch of the scene, and the difference of the changes, relative to it, from which
        one pair alone counts.
    y, columns, side
        First row and first columns of the patches, and their side.
    sums
        (2, rows, columns), changed: sum of the predictions, and their number.

    """
    details = np.empty((2, side * side))
    for x in columns:
        for pair in range(2):
            patch_detail(changes[pair : pair + 1], y, x, side, dictionary, details[pair])
        scale = largest if largest > 0 else 1.0
        first, second = _mean_change(changes[0], y, x, side), _mean_change(changes[1], y, x, side)
        weight = _first_weight(first / scale, second / scale, threshold)
        for i in range(side):
            for j in range(side):
                one = bases[0, y + i, x + j] + details[0, i * side + j]
                two = bases[1, y + i, x + j] + details[1, i * side + j]
                if np.isnan(one) and np.isnan(two):
                    continue
                if np.isnan(two):
                    mixed = one
                elif np.isnan(one):
                    mixed = two
                else:
                    mixed = weight * one + (1 - weight) * two
                sums[0, y + i, x + j] += mixed
                sums[1, y + i, x + j] += 1
