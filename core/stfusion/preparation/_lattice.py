"""Where patches lie, and to which split their ground belongs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from odc.geo.geobox import GeoBox
from odc.geo.overlap import compute_reproject_roi

from stfusion.preparation._settings import SPLITS
from stfusion.raster.grids import Box

#: Pixels more on every side, where pixels do not nest and are resampled.
_PADDING = 2
#: Parts of a pixel that do not count.
_EXACT = 0.01


@dataclass(frozen=True)
class Patch:
    """A window of the fine grid and the split of its ground."""

    box: Box
    split: str

    @property
    def name(self) -> str:
        """Its name, by its first row and column."""
        return f"r{self.box.top:05d}_c{self.box.left:05d}"


def patches(part: Box, size: int, stride: int, shares: Sequence[float]) -> tuple[list[Patch], int]:
    """The patches of a part of the fine grid, and how many are left out since they lie on the ground of two splits.

    ``shares`` (0..1) for validation and test are strips across the longer side, after that for training. They begin
    where patches do, and have room for one at least.
    """
    rows, columns = part.shape
    begin, length = (part.left, columns) if columns >= rows else (part.top, rows)
    ends = [begin + end for end in _ends(length, size, stride, shares)]
    found, left_out = [], 0
    for top in range(part.top, part.bottom - size + 1, stride):
        for left in range(part.left, part.right - size + 1, stride):
            first = left if columns >= rows else top
            number = next(index for index, end in enumerate(ends) if first < end)
            if first + size > ends[number]:
                left_out += 1
                continue
            found.append(Patch(Box(top, top + size, left, left + size), SPLITS[number]))
    return found, left_out


def _ends(length: int, size: int, stride: int, shares: Sequence[float]) -> list[int]:
    """Where the strips for training, validation and test end."""
    ends = [length]
    for share in reversed(shares):
        wanted, latest = round((ends[0] - share * length) / stride), (ends[0] - size) // stride
        ends.insert(0, max(0, min(wanted, latest)) * stride if share else ends[0])
    return ends


def covering(coarse: GeoBox, patch: GeoBox) -> Box:
    """The window of a coarse grid that covers a patch: exactly its pixels where they nest, else some more around it."""
    if coarse.crs == patch.crs:
        rows, columns = patch.shape
        across = ~coarse.affine @ patch.affine
        corners = [across * corner for corner in ((0, 0), (columns, 0), (0, rows), (columns, rows))]
        ends = [(min(values), max(values)) for values in zip(*corners, strict=True)]
        if all(abs(end - round(end)) <= _EXACT for pair in ends for end in pair):
            (left, right), (top, bottom) = ((round(low), round(high)) for low, high in ends)
        else:
            (left, right), (top, bottom) = (
                (math.floor(low) - _PADDING, math.ceil(high) + _PADDING) for low, high in ends
            )
        height, width = coarse.shape
        return Box(max(0, top), min(height, bottom), max(0, left), min(width, right))
    down, right_hand = compute_reproject_roi(coarse, patch, padding=_PADDING).roi_src
    return Box(down.start, down.stop, right_hand.start, right_hand.stop)
