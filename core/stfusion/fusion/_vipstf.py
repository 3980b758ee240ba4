"""VIPSTF computed: regressions over the whole scene make virtual pairs, and their rest is downscaled tile by tile."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Protocol

import numpy as np

from stfusion.errors import UserError
from stfusion.fusion._blocks import MARGIN, CoarseScene
from stfusion.fusion._classes import Classes, count_classes
from stfusion.fusion._fuse import Tally, fuse
from stfusion.fusion._scene import Patch, Scene
from stfusion.fusion._similar import coarse_pixel_wide, similar_means
from stfusion.fusion._unmixing import LEAST_PRIOR, unmix_windows
from stfusion.fusion._virtual import VirtualPair, rest_range, virtual_pairs
from stfusion.raster.source import Array
from stfusion.raster.tiles import Tile
from stfusion.run import Context


def run(context: Context) -> dict[str, Any]:
    """Run a VIPSTF job."""
    return fuse(context, Vipstf)


class Downscaling(Protocol):
    """A way from the rest of the coarse image to fine pixels.

    ``halo`` is how many pixels around one it depends on, and ``pixel_bytes`` what it takes beside whole images.
    """

    halo: int
    pixel_bytes: int

    def predict(self, pair: VirtualPair, fine: Sequence[Array], tile: Tile, share: float) -> Array:
        """The fine image (bands, rows, columns) of a tile from the fine images of all pairs on its outer box."""


class Vipstf:
    """VIPSTF prepared for a scene: its virtual pairs, and how their rest is downscaled.

    Raises
    ------
    UserError
        No coarse pixel is known, the ratio is below 2, or the windows or classes do not fit the scene.
    """

    notes: ClassVar[Mapping[str, str]] = {
        "singular": "come from a regression that the coarse images do not determine, as where a band is constant or "
        "two images are alike; it stayed near the mean of the pairs",
        "alone": "lie in a gap of one pair and come from the virtual pair of the other alone",
    }

    def __init__(self, scene: Scene, context: Context) -> None:
        self._coarse = CoarseScene(scene, context)
        self._pairs = virtual_pairs(scene, context, self._coarse)
        weighting = context.options["version"] == "weighting"
        make: Callable[..., Downscaling] = _Weighting if weighting else _Unmixing
        self._downscaling = make(scene, context, self._coarse, self._pairs)
        self.halo = self._downscaling.halo
        # The fine images, the virtual one and its rest; the result and what fills its gaps.
        self.pixel_bytes = 4 * scene.bands * (len(scene.pairs) + 4) + self._downscaling.pixel_bytes

    def predict(self, patch: Patch, tile: Tile, tally: Tally) -> Array:
        """Predict from the virtual pair of all pairs; where one of these has a gap, from that of the other alone."""
        inner, share = tile.inner.within(patch.box), 1 / len(self._pairs)
        result, missing = None, np.ones(tile.inner.shape, np.bool_)
        for pair in self._pairs:
            if not (missing & ~np.isnan(patch.fine[pair.numbers[0]][0][inner])).any():
                tile.advance(share)
                continue
            values = self._downscaling.predict(pair, patch.fine, tile, share)
            filled = missing & ~np.isnan(values[0])
            missing &= ~filled
            count = int(np.count_nonzero(filled))
            tally.add("singular", count * int(np.count_nonzero(pair.singular)))
            tally.add("alone", count * len(values) if len(pair.numbers) < len(patch.fine) else 0)
            if result is None:
                result = values
            else:
                np.copyto(result, values, where=filled)
        return np.full((len(patch.fine[0]), *missing.shape), np.nan, np.float32) if result is None else result


class _Weighting:
    """VIPSTF-SW: the rest between the centres of the coarse pixels, averaged over similar pixels."""

    def __init__(self, scene: Scene, context: Context, coarse: CoarseScene, pairs: Sequence[VirtualPair]) -> None:
        self._coarse = coarse
        self._similarity = coarse_pixel_wide(scene, context, coarse.blocks.ratio)
        self.halo = self._similarity.halo
        # One band while it is interpolated.
        self.pixel_bytes = 24

    def predict(self, pair: VirtualPair, fine: Sequence[Array], tile: Tile, share: float) -> Array:
        grid = self._coarse.blocks
        blocks = grid.covering(tile.outer).grown(MARGIN, grid.shape)
        virtual = pair.fine(fine)
        rest = grid.upsample(pair.rest(self._coarse, blocks), blocks, tile.outer)
        virtual[:, np.isnan(rest[0])] = np.nan
        rest[:, np.isnan(virtual[0])] = np.nan
        means, _ = similar_means(self._similarity, virtual, None, rest, tile, share)
        rows, columns = tile.inner.within(tile.outer)
        means += virtual[:, rows, columns]
        return means


class _Unmixing:
    """VIPSTF-SU: the rest of the coarse pixels, unmixed into what every class of the virtual fine image takes."""

    def __init__(self, scene: Scene, context: Context, coarse: CoarseScene, pairs: Sequence[VirtualPair]) -> None:
        self._coarse, self._pairs = coarse, pairs
        self._classes = Classes(scene, context, read=lambda box: self._virtual(scene.read(box).fine))
        window, count = int(context.options["coarse_window"]), self._classes.count
        if window**2 < 2 * count:
            raise UserError(
                f"A window of {window} x {window} coarse pixels has {window**2} equations for {count} classes, and at "
                f"least {2 * count} are needed; take a larger window or fewer classes."
            )
        self._ranges = {pair.numbers: rest_range(pair, coarse, context) for pair in pairs}
        self._reach, self._prior = window // 2, max(LEAST_PRIOR, float(context.options["regularisation"]))
        self.halo = (self._reach + 1) * coarse.blocks.ratio - 1
        # Classes, and where to look up what they take; of a coarse pixel how often they are there, and their fractions.
        self.pixel_bytes = 32 + 24 * count // coarse.blocks.ratio**2

    def _virtual(self, fine: Sequence[Array]) -> Array:
        """The virtual fine image, in gaps of one pair that of the other."""
        image = self._pairs[0].fine(fine)
        for pair in self._pairs[1:]:
            np.copyto(image, pair.fine(fine), where=np.isnan(image))
        return image

    def predict(self, pair: VirtualPair, fine: Sequence[Array], tile: Tile, share: float) -> Array:
        grid, count = self._coarse.blocks, self._classes.count
        inner = grid.covering(tile.inner)
        around = inner.grown(self._reach, grid.shape)
        pixels = grid.pixels(around)
        rows, columns = pixels.within(tile.outer)
        virtual = pair.fine([image[:, rows, columns] for image in fine])
        found = self._classes.read(pixels, virtual)
        counts = count_classes(found, count, grid, pixels)
        known = counts.sum(axis=0)
        rest = pair.rest(self._coarse, around)
        unmixed = np.empty((len(rest), count, *inner.shape), np.float32)
        unmix_windows(
            (counts / np.maximum(known, 1)).astype(np.float32), (known / grid.ratio**2).astype(np.float32), rest,
            self._reach, self._prior, *self._ranges[pair.numbers],
            inner.top - around.top, inner.left - around.left, unmixed,
        )  # fmt: skip
        unmixed[:, :, np.isnan(rest[0][inner.within(around)])] = np.nan
        tile.advance(share)
        rows, columns = tile.inner.within(pixels)
        block_rows, block_columns = (grid.spread(index, inner, tile.inner) for index in np.indices(inner.shape))
        values: Array = unmixed[:, found[rows, columns], block_rows, block_columns]
        values += virtual[:, rows, columns]
        return values
