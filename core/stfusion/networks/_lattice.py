"""Patches of an image for a network, and the image put together again from what it gives for them.

Where the patches lie follows from the image and the network alone, never from the memory or the device, so that the
result does not depend on these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from stfusion.networks._network import Layout
from stfusion.raster.grids import Box
from stfusion.raster.source import Array


def starts(length: int, layout: Layout) -> list[int]:
    """First pixels of the patches along a side of the image; they may lie before it, by the margin.

    Every pixel lies in the inner part of a patch. The last patch ends a margin after the image, to the next step, so
    that only an image smaller than a patch has to be continued farther.
    """
    last = -(-(length + layout.margin - layout.patch) // layout.step) * layout.step
    step = layout.patch - 2 * layout.margin - layout.ramp
    if last <= -layout.margin:
        return [-layout.margin]
    return [*range(-layout.margin, last, step), last]


def rows_of_patches(shape: tuple[int, int], layout: Layout) -> Iterator[list[Box]]:
    """The patches of an image (rows, columns), a row of them at a time; they may reach beyond the image."""
    for top in starts(shape[0], layout):
        yield [Box(top, top + layout.patch, left, left + layout.patch) for left in starts(shape[1], layout)]


def read_mirrored(read: Callable[[Box], Array], box: Box, shape: tuple[int, int]) -> Array:
    """A window (bands, rows, columns) that may reach beyond an image (rows, columns), which is mirrored there."""
    inside = box.grown(0, shape)
    values = read(inside)
    before = (inside.top - box.top, inside.left - box.left)
    after = (box.bottom - inside.bottom, box.right - inside.right)
    if not any((*before, *after)):
        return values
    return np.pad(values, [(0, 0), *zip(before, after, strict=True)], mode="symmetric")


def taper(layout: Layout) -> Array:
    """The weight (patch, patch) of every pixel of a patch: none in the margin, rising over the ramp, 1 inside."""
    ramp = np.sin(np.pi / 2 * (np.arange(layout.ramp) + 0.5) / max(layout.ramp, 1)) ** 2
    middle = np.ones(layout.patch - 2 * (layout.margin + layout.ramp))
    side = np.concatenate([np.zeros(layout.margin), ramp, middle, ramp[::-1], np.zeros(layout.margin)])
    weight: Array = np.outer(side, side).astype(np.float32)
    return weight


class Strip:
    """The part of the image whose patches are being added up: as wide as the image, as high as a patch.

    ``add`` takes what a network gives for a patch, ``flush`` gives the rows that no later patch reaches.
    """

    def __init__(self, bands: int, shape: tuple[int, int], layout: Layout) -> None:
        self._shape, self._layout = shape, layout
        self._taper = taper(layout)
        self._top = 0
        self._sums = np.zeros((bands, layout.patch, shape[1]), np.float32)
        self._weights = np.zeros((layout.patch, shape[1]), np.float32)

    def add(self, patch: Box, values: Array) -> None:
        """Add the values (bands, patch, patch) of a patch."""
        box = patch.grown(0, self._shape)
        rows, columns = box.within(patch)
        weight = self._taper[rows, columns]
        place = (slice(box.top - self._top, box.bottom - self._top), slice(box.left, box.right))
        # The first rows of a patch are margin, which may lie above the strip.
        hidden = max(0, -place[0].start)
        place = (slice(place[0].start + hidden, place[0].stop), place[1])
        self._sums[(slice(None), *place)] += values[:, rows, columns][:, hidden:] * weight[hidden:]
        self._weights[place] += weight[hidden:]

    def flush(self, bottom: int) -> tuple[Box, Array]:
        """The image (bands, rows, columns) down to a row, and where it lies; the strip moves on to that row."""
        count = bottom - self._top
        box = Box(self._top, bottom, 0, self._shape[1])
        # No patch lies where nothing was asked for.
        with np.errstate(invalid="ignore"):
            image: Array = self._sums[:, :count] / self._weights[:count]
        for buffer in (self._sums, self._weights):
            rest = buffer.shape[-2] - count
            buffer[..., :rest, :] = buffer[..., count:, :].copy()
            buffer[..., rest:, :] = 0
        self._top = bottom
        return box, image
