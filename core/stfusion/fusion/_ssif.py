"""SSIF computed: coarse images sharpened by a dictionary, and the fine image changed by their difference and ratio."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numba import njit

from stfusion.errors import UserError
from stfusion.fusion._dictionary import PART, SURVEYED, Dictionary, PatchSample, Training, lattice, learn_bands
from stfusion.fusion._fuse import Tally, fuse
from stfusion.fusion._pursuit import Doubles, Indices, patch_detail
from stfusion.fusion._scene import Patch, Scene, reflectance_unit
from stfusion.raster.grids import Box
from stfusion.raster.source import Array
from stfusion.raster.tiles import Tile, run_tiles, strip_share
from stfusion.run import Context

#: Sharpened reflectance at the first date below which a ratio says nothing, and the contrast stays.
_DARK = 0.01


def run(context: Context) -> dict[str, Any]:
    """Run an SSIF job."""
    return fuse(context, Ssif)


class Ssif:
    """SSIF prepared for a scene: a dictionary for every layer and band.

    Raises
    ------
    UserError
        The patch is larger than the image, the stride larger than the patch, the intermediate resolution even, or there
        are fewer patches than atoms.
    """

    notes: ClassVar[Mapping[str, str]] = {
        "dark": "are so dark in the coarse image of the pair that their contrast was kept",
    }

    def __init__(self, scene: Scene, context: Context) -> None:
        options = context.options
        self._training = Training.of(scene, context, planes=2)
        self._scene = scene
        intermediate = int(options["intermediate"])
        if intermediate and intermediate % 2 == 0:
            raise UserError(f"The intermediate resolution is {intermediate} fine pixels; take an odd number, or 0.")
        #: Resolution that each layer predicts, in fine pixels.
        self._widths = [intermediate, 1] if intermediate > 1 else [1]
        limit = float(options["contrast_limit"])
        self._limit = (limit or np.inf) if options["modulation"] == "high_pass" else None
        self._dark = _DARK * reflectance_unit(context, scene.reference)
        # Each layer reaches as far as a patch and the derivative at its edge do.
        self.halo = self._training.side * len(self._widths) + self._widths[0] // 2
        # The result, and two that wait; of a strip the images, and for one band at a time both dates, in float64
        # sharpened and as they are combined, and derivatives, sums and counts.
        share = strip_share(self.halo, self._training.strip)
        self.pixel_bytes = int(12 * scene.bands + share * (4 * (3 * scene.bands + 4) + 8 * 8))
        self._layers = [
            learn_bands(sample, scene.bands, self._training, context, joint=False, refit=True)
            for sample in self._survey(scene, context)
        ]

    def _survey(self, scene: Scene, context: Context) -> list[PatchSample]:
        """Gather the patches for training, for every layer."""
        samples = [PatchSample(scene.shape, self._training) for _ in self._widths]

        def look(part: Tile) -> None:
            patch = scene.read(part.outer)
            low = patch.coarse[0]
            for sample, width in zip(samples, self._widths, strict=True):
                high = np.stack([box_mean(band, width) for band in patch.fine[0]])
                sample.add(part.inner, part.outer, np.stack([derivatives(band) for band in low]), high - low)
                low = high
            part.advance(1.0)

        run_tiles(context, scene.shape, (PART, PART), self.halo, look, lambda *_: None, SURVEYED)
        return samples

    def predict(self, patch: Patch, tile: Tile, tally: Tally) -> Array:
        """Predict the tile's inner box strip by strip, of which the images are read one after the other."""
        values = np.empty((self._scene.bands, *tile.inner.shape), np.float32)
        for strip in tile.strips(self.halo, self._scene.shape, self._training.strip):
            rows, columns = strip.inner.within(tile.inner)
            self._predict_strip(self._scene.read(strip.outer), strip, values[:, rows, columns], tally)
        return values

    def _predict_strip(self, patch: Patch, strip: Tile, values: Array, tally: Tally) -> None:
        """Predict a strip into values (bands, rows, columns), band by band."""
        inner = strip.inner.within(strip.outer)
        for band in range(len(values)):
            first, second = patch.coarse[0][band], patch.target[band]
            for number, resolution in enumerate(self._widths):
                # What the layers after this one need around the strip.
                needed = strip.inner.grown((len(self._widths) - 1 - number) * self._training.side, self._scene.shape)
                dictionary = self._layers[number][band]
                share = 1 / len(values) / len(self._widths) / 2
                sharp = [self._sharpen(image, dictionary, needed, strip, share) for image in (first, second)]
                first = box_mean(patch.fine[0][band], resolution)
                second = self._modulate(first, *sharp)
            values[band] = second[inner]
            tally.add("dark", int(np.count_nonzero(sharp[0][inner] < self._dark)) if self._limit else 0)

    def _sharpen(self, image: Array, dictionary: Dictionary, needed: Box, tile: Tile, share: float) -> Doubles:
        """An image (rows, columns) of the tile's outer box with the detail of a dictionary, where it is needed."""
        planes = derivatives(image)
        sums = np.zeros((2, *image.shape))
        side, stride = self._training.side, self._training.stride
        rows = lattice(self._scene.shape[0], side, stride, needed.top, needed.bottom) - tile.outer.top
        columns = lattice(self._scene.shape[1], side, stride, needed.left, needed.right) - tile.outer.left
        for row in rows:
            add_details(planes, dictionary, row, columns, side, sums)
            tile.advance(share / len(rows))
        sharp: Doubles = image + np.divide(sums[0], sums[1], out=np.zeros_like(sums[0]), where=sums[1] > 0)
        return sharp

    def _modulate(self, fine: Array, first: Doubles, second: Doubles) -> Array:
        """The fine image (rows, columns) changed as the sharpened images of both dates do.

        F + (T2 - T1) + (T2 / T1 - 1) (F - T1), which is T2 + (T2 / T1) (F - T1) and gives F exactly where T2 = T1.
        """
        changed = fine + (second - first)
        if self._limit is not None:
            ratio = np.divide(second, first, out=np.ones_like(first), where=first >= self._dark)
            changed += (np.clip(ratio, 0.0, self._limit) - 1.0) * (fine - first)
        return changed.astype(np.float32)


def derivatives(image: Array) -> Array:
    """Vertical and horizontal derivative (2, rows, columns) of an image, NaN beside invalid pixels."""
    vertical, horizontal = np.gradient(image)
    return np.stack([vertical, horizontal])


def box_mean(image: Array, width: int) -> Array:
    """Mean of the valid pixels in the square of ``width`` (odd) around each pixel; NaN where the pixel is invalid.

    Terms are added in a fixed order, so that a tile does not change them.
    """
    if width == 1:
        return image
    half = width // 2
    invalid = np.isnan(image)
    parts = np.stack([np.where(invalid, 0, image), ~invalid]).astype(np.float64)
    for axis in (1, 2):
        padded = np.pad(parts, [(half, half) if number == axis else (0, 0) for number in range(3)])
        windows = np.lib.stride_tricks.sliding_window_view(padded, width, axis)
        parts = sum((windows[..., place] for place in range(width)), np.zeros_like(parts))
    with np.errstate(invalid="ignore"):
        means = np.where(invalid, np.nan, parts[0] / parts[1])
    return means.astype(np.float32)


@njit(nogil=True, cache=True, error_model="numpy")
def add_details(planes: Array, dictionary: Dictionary, y: int, columns: Indices, side: int, sums: Doubles) -> None:
    """Add the details of the patches that begin at (y, columns), and their number, to sums (2, rows, columns)."""
    detail = np.empty(side * side)
    for x in columns:
        patch_detail(planes, y, x, side, dictionary, detail)
        for i in range(side):
            for j in range(side):
                sums[0, y + i, x + j] += detail[i * side + j]
                sums[1, y + i, x + j] += 1
