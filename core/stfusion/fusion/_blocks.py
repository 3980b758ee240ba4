"""The scene on its coarse grid: blocks of fine pixels, one for each coarse pixel, for methods that compute there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from affine import Affine
from odc.geo.geobox import GeoBox

from stfusion.errors import UserError
from stfusion.fusion._scene import Scene
from stfusion.raster.grids import Box, pixel_ratio
from stfusion.raster.source import AlignedSource, Array
from stfusion.run import Context

Floats = npt.NDArray[np.floating]
Value = TypeVar("Value", bound=np.generic)
Number = TypeVar("Number", np.float32, np.float64)

#: Fine pixels along a part of the scene that is read at once in a pass over the whole of it.
_PART = 512
#: Memory for the averaged blocks of an image.
_CACHE = 2**24
#: A ratio this near to a whole number, in fine pixels over the whole image, is that number.
_DRIFT = 0.5
#: Blocks beyond a window that interpolation reaches.
MARGIN = 2


@dataclass(frozen=True)
class Blocks:
    """Blocks of ``ratio`` x ``ratio`` fine pixels that cover a scene; the outermost may reach beyond it.

    ``top`` and ``left`` are the fine row and column of the first block's first pixel (0 or negative), ``shape`` the
    number of blocks, ``fine_shape`` the number of fine pixels.
    """

    ratio: int
    top: int
    left: int
    shape: tuple[int, int]
    fine_shape: tuple[int, int]

    def covering(self, pixels: Box) -> Box:
        """The blocks that touch a window of fine pixels."""
        s = self.ratio
        return Box(
            (pixels.top - self.top) // s,
            -(-(pixels.bottom - self.top) // s),
            (pixels.left - self.left) // s,
            -(-(pixels.right - self.left) // s),
        )

    def pixels(self, blocks: Box) -> Box:
        """The fine pixels of a window of blocks, cut at the scene."""
        s = self.ratio
        return Box(
            max(0, self.top + blocks.top * s),
            min(self.fine_shape[0], self.top + blocks.bottom * s),
            max(0, self.left + blocks.left * s),
            min(self.fine_shape[1], self.left + blocks.right * s),
        )

    def offset(self, blocks: Box, pixels: Box) -> tuple[int, int]:
        """Row and column of the first block's first pixel in a window of pixels, negative where it lies outside."""
        s = self.ratio
        return self.top + blocks.top * s - pixels.top, self.left + blocks.left * s - pixels.left

    def parts(self) -> Iterator[tuple[Box, Box]]:
        """The whole scene in windows of whole blocks, the same whatever the tiles: blocks, and their fine pixels."""
        side = max(1, _PART // self.ratio)
        for top in range(0, self.shape[0], side):
            for left in range(0, self.shape[1], side):
                blocks = Box(top, min(top + side, self.shape[0]), left, min(left + side, self.shape[1]))
                yield blocks, self.pixels(blocks)

    def sums(self, values: Floats, pixels: Box) -> Floats:
        """Sums (n, block rows, block columns) of values (n, rows, columns) over the blocks that touch a window.

        A block that is cut by the window gets the sum of what is inside.
        """
        blocks = self.covering(pixels)
        rows = self.top + self.ratio * np.arange(blocks.top, blocks.bottom) - pixels.top
        columns = self.left + self.ratio * np.arange(blocks.left, blocks.right) - pixels.left
        along = np.add.reduceat(values, np.maximum(rows, 0), axis=1)
        summed: Floats = np.add.reduceat(along, np.maximum(columns, 0), axis=2)
        return summed

    def means(self, values: Floats, pixels: Box) -> tuple[Floats, Floats]:
        """Means over the valid (not NaN) pixels of every block, NaN where there are none, and their number.

        Both are float64: (n, block rows, block columns), and (block rows, block columns) for the first image, whose
        valid pixels are those of all.
        """
        valid = ~np.isnan(values[:1])
        counts = self.sums(valid.astype(np.float64), pixels)[0]
        # Image by image, which spares a float64 copy of them all.
        total = np.concatenate([self.sums(np.where(valid, image, 0.0).astype(np.float64), pixels) for image in values])
        with np.errstate(invalid="ignore", divide="ignore"):
            return total / counts, counts

    def spread(self, values: npt.NDArray[Value], blocks: Box, pixels: Box) -> npt.NDArray[Value]:
        """Block values (..., block rows, block columns) repeated on the fine pixels of a window inside the blocks."""
        rows = (np.arange(pixels.top, pixels.bottom) - self.top) // self.ratio - blocks.top
        columns = (np.arange(pixels.left, pixels.right) - self.left) // self.ratio - blocks.left
        return values[..., rows[:, None], columns]

    def upsample(self, values: Array, blocks: Box, pixels: Box) -> Array:
        """Block values (n, block rows, block columns) interpolated between the blocks' centres on a window of pixels.

        Cubic convolution (Keys 1981, a = -1/2) with the outermost blocks repeated beyond the scene; bilinear between
        the blocks that have a value where one of the 4 x 4 has none; NaN in a block that has none itself. ``blocks``
        reach :data:`MARGIN` blocks beyond the window, or to the scene's edge.
        """
        down = _Taps.of(self.ratio, pixels.top - self.top, pixels.bottom - pixels.top, blocks.top, values.shape[1])
        across = _Taps.of(self.ratio, pixels.left - self.left, pixels.right - pixels.left, blocks.left, values.shape[2])
        fine = np.empty((len(values), *pixels.shape), np.float32)
        # Band by band, since each needs several copies.
        for band, coarse in zip(fine, values, strict=True):
            band[:] = across.cubic(down.cubic(coarse, 0), 1)
            gaps = np.isnan(coarse)
            if gaps.any():
                known = across.linear(down.linear((~gaps).astype(np.float32), 0), 1)
                near = across.linear(down.linear(np.where(gaps, np.float32(0), coarse), 0), 1)
                unknown = self.spread(gaps, blocks, pixels)
                beside = np.isnan(band) & ~unknown
                band[beside] = near[beside] / known[beside]
                band[unknown] = np.nan
        return fine


def window_sums(
    values: npt.NDArray[Number], reach: int, add: np.ufunc = np.add, nothing: float = 0.0
) -> npt.NDArray[Number]:
    """Sums over the window of 2 ``reach`` + 1 rows and columns (the last two axes) around each, cut at the edges.

    With another operation for ``add``, and what it starts from, such as the maximum and minus infinity, that.
    """
    for axis in (-2, -1):
        size = values.shape[axis]
        ends = [(0, 0)] * values.ndim
        ends[axis] = (reach, reach)
        padded = np.pad(values, ends, constant_values=nothing)
        values = padded.take(range(size), axis)
        for k in range(1, 2 * reach + 1):
            add(values, padded.take(range(k, k + size), axis), out=values)
    return values


@dataclass(frozen=True)
class _Taps:
    """The four blocks around every pixel along an axis, (4, pixels), and how far it is from the second to the third."""

    blocks: npt.NDArray[np.intp]
    share: npt.NDArray[np.float64]

    @classmethod
    def of(cls, ratio: int, first: int, count: int, first_block: int, block_count: int) -> _Taps:
        """For ``count`` pixels from a first one on, both counted from the first block of the scene."""
        place = (np.arange(first, first + count) + 0.5) / ratio - 0.5
        second = np.floor(place).astype(np.intp)
        around = second - first_block + np.arange(-1, 3)[:, None]
        return cls(np.clip(around, 0, block_count - 1), place - second)

    def cubic(self, values: Array, axis: int) -> Array:
        t = self.share
        cubic = (-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2)
        return self._sum(values, axis, 0, [(weight / 2).astype(np.float32) for weight in cubic])

    def linear(self, values: Array, axis: int) -> Array:
        return self._sum(values, axis, 1, [(1 - self.share).astype(np.float32), self.share.astype(np.float32)])

    def _sum(self, values: Array, axis: int, first: int, weights: list[Array]) -> Array:
        shape = (-1, 1) if axis == 0 else (1, -1)
        total = np.zeros((), np.float32)
        for tap, weight in enumerate(weights, first):
            total = total + weight.reshape(shape) * values.take(self.blocks[tap], axis)
        return total


class CoarseScene:
    """A scene's coarse images on the grid of its blocks.

    A native coarse grid that nests with the fine one is used as it is; any other is averaged by area into blocks of
    the nearest whole ratio. Coarse images that were already resampled to the fine grid are averaged back.

    Raises
    ------
    UserError
        The coarse pixels are as large as the fine ones and no ratio is given, or there are too few blocks.
    """

    def __init__(self, scene: Scene, context: Context) -> None:
        self._scene = scene
        self.blocks = _lay(scene, int(context.options["ratio"]))
        fine = scene.reference.grid
        place = Affine.translation(self.blocks.left, self.blocks.top) @ Affine.scale(self.blocks.ratio)
        grid = GeoBox(self.blocks.shape, fine.affine @ place, fine.crs)
        self._pairs = [_averaged(pair.coarse, grid) for pair in scene.pairs]
        self._target = _averaged(scene.target, grid)

    def pair(self, number: int, blocks: Box) -> Array:
        """Coarse values (bands, block rows, block columns) of a pair's date; NaN is invalid."""
        return self._read(self._pairs[number], self._scene.pairs[number].coarse, blocks)

    def target(self, blocks: Box) -> Array:
        """Coarse values (bands, block rows, block columns) of the target date; NaN is invalid."""
        return self._read(self._target, self._scene.target, blocks)

    def _read(self, averaged: AlignedSource | None, on_fine_grid: AlignedSource, blocks: Box) -> Array:
        if averaged is not None:
            return averaged.read(blocks)
        pixels = self.blocks.pixels(blocks)
        means, _ = self.blocks.means(on_fine_grid.read(pixels), pixels)
        return means.astype(np.float32)


def _averaged(image: AlignedSource, grid: GeoBox) -> AlignedSource | None:
    """The image on the grid of the blocks; none where it lies on the fine grid and its pixels are averaged instead."""
    return None if image.same_grid else AlignedSource(image.source, grid, "average", cache_bytes=_CACHE)


def _lay(scene: Scene, given: int) -> Blocks:
    """The blocks of a scene: on the native grid of the target's coarse image where that nests with the fine grid."""
    fine, coarse = scene.reference.grid, scene.target.source.grid
    rows, columns = scene.shape
    wide = 1.0 if scene.target.same_grid else float(np.mean(pixel_ratio(coarse, fine)))
    ratio = given or round(wide)
    if ratio < 2:
        raise UserError(
            f"{scene.target.source} and {scene.reference} have a ratio of {wide:.3g}, and at least 2 is needed; give "
            "'Ratio of coarse to fine pixel size' if the coarse images were resampled to the fine grid before."
        )
    top = left = 0
    if not scene.target.same_grid and coarse.crs == fine.crs:
        place = ~fine.affine @ coarse.affine
        nests = np.abs([place.a - ratio, place.e - ratio]).max() * max(rows, columns) / ratio < _DRIFT
        if nests and place.b == place.d == 0:
            top, left = -(-round(place.f) % ratio), -(-round(place.c) % ratio)
    shape = (-(-(rows - top) // ratio), -(-(columns - left) // ratio))
    if min(shape) < 3:
        raise UserError(
            f"{scene.reference} ({columns} x {rows} pixels) covers {shape[1]} x {shape[0]} coarse pixels of "
            f"{scene.target.source}, and at least 3 x 3 are needed; take a larger fine image or a smaller ratio."
        )
    return Blocks(ratio, top, left, shape, scene.shape)
