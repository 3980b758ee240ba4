"""Windows of two images, read so that they can be compared at the resolution of the coarser one.

The windows are bounded in number and in size, whatever the images, and lie evenly over the image.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox

from stfusion.preparation._shift import STEPS, Displacement, Floats, Part, displacement, seen
from stfusion.raster.grids import Box, pixel_ratio
from stfusion.raster.source import AlignedSource, Array, Source

#: Windows along an axis, and the fewest pixels along an image that has as many of them; smaller ones have two.
WINDOWS, _ENOUGH = 3, 48
#: Memory for resampled blocks of either image: those of a window.
_CACHE = 2**24
#: The most pixels along a window.
_SIDE = 48
#: Pixels along the part in the middle of an image by which its detail is judged.
_MIDDLE = 512
#: The fewest pixels as wide as the detail along an image.
_BLOCKS = 16
#: Factor within which pixels are alike in size.
_ALIKE = 1.5
#: Widths that detail is looked for below, and the share of the variance that no detail makes up.
_WIDTHS, _NO_DETAIL = (2, 4, 8, 16, 32), 0.05


def detail(source: Source) -> int:
    """The width, in pixels, below which an image has no detail: 1, or more where it was resampled to smaller pixels.

    It is the largest power of 2, up to 32, whose means of blocks have 95 % of the variance of the pixels.
    """
    sides = [min(size, _MIDDLE) for size in source.shape]
    top, left = ((size - side) // 2 for size, side in zip(source.shape, sides, strict=True))
    values = source.read(Box(top, top + sides[0], left, left + sides[1])).astype(np.float64)
    found = 1
    for width in _WIDTHS:
        rows, columns = (side // width * width for side in sides)
        if min(rows, columns) < _BLOCKS * width or _lost(values[:, :rows, :columns], width) > _NO_DETAIL:
            break
        found = width
    return found


def _lost(values: Floats, width: int) -> float:
    """The share of the variance within blocks that are wholly valid, the mean of the bands."""
    bands, rows, columns = values.shape
    blocks = values.reshape(bands, rows // width, width, columns // width, width).swapaxes(2, 3)
    blocks = blocks.reshape(bands, -1, width * width)
    blocks = blocks[:, ~np.isnan(blocks[0]).any(axis=1)]
    total = blocks.reshape(bands, -1).var(axis=1) if blocks.size else np.zeros(bands)
    if not (total > 0).any():
        return 1.0
    return float((blocks.var(axis=2).mean(axis=1)[total > 0] / total[total > 0]).mean())


@dataclass(frozen=True)
class Windows:
    """The windows of an image on its reference, at the pixels of ``grid``: those of the coarser of the two.

    ``reach`` is the largest displacement in steps.
    """

    image: AlignedSource
    reference: AlignedSource
    grid: GeoBox
    reach: int

    @classmethod
    def of(cls, image: Source, reference: Source, grid: GeoBox, largest: float) -> Windows:
        """The windows on a grid (:func:`comparable`), for displacements up to ``largest`` of its pixels."""
        reach = max(STEPS, round(largest * STEPS))
        own = AlignedSource(image, grid, "average", cache_bytes=_CACHE)
        return cls(own, _on_lattice(reference, grid, reach), grid, reach)

    def boxes(self) -> Iterator[Box]:
        """The windows, square, row by row."""
        rows, columns = (int(size) for size in self.grid.shape)
        count = WINDOWS if min(rows, columns) >= _ENOUGH else 2
        side = min(rows // count, columns // count, _SIDE)
        for i in range(count):
            for j in range(count):
                top, left = (int((k + 0.5) * size / count - side / 2) for k, size in ((i, rows), (j, columns)))
                yield Box(top, top + side, left, left + side)

    def parts(self) -> Iterator[Part]:
        """The windows of every band."""
        for number, box in enumerate(self.boxes()):
            image, lattice = self.image.read(box), self.reference.read(self._around(box))
            for own, other in zip(image, lattice, strict=True):
                yield Part(number, own, seen(other))

    def pixels(self, which: str) -> Array:
        """The pixels of all windows (bands, pixels): of the "coarse" image, or of the "fine" one as it would see it."""
        found = []
        for box in self.boxes():
            if which == "coarse":
                found.append(self.image.read(box))
                continue
            lattice = self.reference.read(self._around(box))[:, self.reach :, self.reach :]
            size = STEPS * box.shape[0]
            found.append(np.stack([seen(band[:size, :size])[::STEPS, ::STEPS] for band in lattice]))
        return np.concatenate([values.reshape(len(values), -1) for values in found], axis=1)

    def _around(self, box: Box) -> Box:
        """A window on the lattice of the reference, which begins ``reach`` steps before the image."""
        size = STEPS * box.shape[0] + 2 * self.reach
        top, left = STEPS * box.top, STEPS * box.left
        return Box(top, top + size, left, left + size)


def comparable(images: Sequence[Source], reference: Source) -> GeoBox:
    """The grid on which images are compared with a reference: that of the first one, as coarse as need be.

    Pixels are those of the coarser of the two. Where both are alike in size, one may have been resampled to the pixels
    of the other: then they are as large as the detail, of several images by the median.
    """
    first = images[0].grid
    across = max(pixel_ratio(reference.grid, first))
    width = max(1, round(across))
    if 1 / _ALIKE < across < _ALIKE:
        width = max(int(np.median([detail(image) for image in images])), detail(reference))
    shape = int(first.shape[0]) // width, int(first.shape[1]) // width
    return GeoBox(shape, first.affine * Affine.scale(width), first.crs) if width > 1 else first


def _on_lattice(reference: Source, grid: GeoBox, reach: int) -> AlignedSource:
    """The reference on steps of the pixels of a grid, beginning and ending ``reach`` steps beyond it."""
    rows, columns = (STEPS * int(size) + 2 * reach for size in grid.shape)
    affine = grid.affine * Affine.scale(1 / STEPS) * Affine.translation(-reach, -reach)
    lattice = GeoBox((rows, columns), affine, grid.crs)
    coarser = min(pixel_ratio(lattice, reference.grid)) >= 1
    return AlignedSource(reference, lattice, "average" if coarser else "cubic", cache_bytes=_CACHE)


@dataclass(frozen=True)
class Measured:
    """A displacement of an image against a reference, and how large the pixels are that it is counted in.

    ``pixel`` is in pixels of the image, ``ratio`` in those of the reference.
    """

    found: Displacement
    pixel: float
    ratio: float

    def in_reference(self) -> tuple[float, float]:
        """Rows and columns of the reference by which the image has to be moved, down and to the right."""
        return self.found.rows * self.ratio, self.found.columns * self.ratio


def measure(image: Source, reference: Source, largest: float) -> Measured:
    """How far an image has to be moved to lie on a reference, at most ``largest`` pixels of the coarser of the two."""
    windows = Windows.of(image, reference, comparable([image], reference), largest)
    found = displacement(list(windows.parts()), windows.reach)
    ratio = float(np.mean(pixel_ratio(windows.grid, reference.grid)))
    return Measured(found, abs(windows.grid.affine.a / image.grid.affine.a), ratio)
