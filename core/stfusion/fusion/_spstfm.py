"""SPSTFM computed: a dictionary of the change between two pairs, and patches weighted by the change since each pair."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numba import njit

from stfusion.fusion._dictionary import (
    PART,
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
from stfusion.raster.source import Array, Box, blocks
from stfusion.raster.tiles import Tile
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
        training = Training.of(scene, context)
        self._side, self._stride = training.side, training.stride
        self._shape = scene.shape
        self._threshold = float(context.options["change_threshold"])
        self.halo = self._side - 1
        # Inputs and outputs, and for one band at a time two changes, two bases, and sums and counts in float64.
        self.pixel_bytes = 4 * (scene.bands * 6 + 4) + 16
        sample = PatchSample(scene.shape, training)
        self._largest = np.zeros(scene.bands)
        for part in blocks(scene.shape, PART):
            context.stop.check()
            outer = part.grown(self.halo, scene.shape)
            patch = scene.read(outer)
            between = patch.coarse[1] - patch.coarse[0]
            sample.add(part, outer, between[:, None], patch.fine[1] - patch.fine[0] - between)
            for band in range(scene.bands):
                changes = _changes(patch, band)
                rows, columns = self._lattice(part, outer)
                self._largest[band] = max(self._largest[band], largest_change(changes, rows, columns, self._side))
        refit = context.options["detail"] == "refitted"
        self._dictionaries = learn_bands(sample, scene.bands, training, context, joint=True, refit=refit)

    def predict(self, patch: Patch, tile: Tile, tally: Tally) -> Array:
        """Predict the tile's inner box, band by band."""
        values = np.empty((len(self._dictionaries), *tile.inner.shape), np.float32)
        (top, left), (height, width) = tile.offset, tile.inner.shape
        inner = np.s_[top : top + height, left : left + width]
        rows, columns = self._lattice(tile.inner, tile.outer)
        for band, dictionary in enumerate(self._dictionaries):
            changes = _changes(patch, band)
            bases = np.stack([fine[band] for fine in patch.fine]) + changes
            sums = np.zeros((2, *bases.shape[1:]))
            for row in rows:
                combine_patches(
                    changes, bases, dictionary, self._largest[band], self._threshold, row, columns, self._side, sums
                )
                tile.advance(1 / len(rows) / len(values))
            total, count = sums[0][inner], sums[1][inner]
            values[band] = np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)
            tally.add("one pair", int(np.count_nonzero(np.isnan(bases).sum(axis=0)[inner] == 1)))
        return values

    def _lattice(self, inner: Box, outer: Box) -> tuple[Indices, Indices]:
        """First rows and columns, in ``outer``, of the patches that touch ``inner``."""
        rows, columns = self._shape
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
