"""Fuzzy classes by fuzzy c-means (Bezdek 1981), exponent 2: every pixel belongs to every class to some degree.

With this exponent the memberships of a pixel are in proportion to 1 / d², d being the distances to the centres.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stfusion.fusion._compile import compiled
from stfusion.raster.source import Array

Floats = npt.NDArray[np.float64]
Models = npt.NDArray[np.int32]

#: Centres are at rest when none moves by more than this share of the spread of the pixels.
_REST = 1e-5
#: Least square of a distance: a pixel at a centre belongs to that class alone.
_AT_CENTRE = 1e-30


@compiled
def fuzzy_centres(pixels: Floats, count: int, steps: int) -> Floats:
    """Centres (count, bands) of fuzzy classes of pixels (pixels, bands), after ``steps`` steps at most.

    They start at the means of equally many pixels each, from the darkest to the brightest, and of all that are as
    bright as the first or the last of these: where the pixels stand does not matter.
    """
    number, bands = pixels.shape
    brightness = pixels.sum(axis=1)
    ordered = np.sort(brightness)
    centres, spread = np.zeros((count, bands)), 0.0
    for k in range(count):
        first = min(k * number // count, number - 1)
        last = max(first, (k + 1) * number // count - 1)
        alike = (brightness >= ordered[first]) & (brightness <= ordered[last])
        for b in range(bands):
            centres[k, b] = np.mean(pixels[alike, b])
    for b in range(bands):
        spread += float(np.var(pixels[:, b]))
    sums, totals, shares = np.empty((count, bands)), np.empty(count), np.empty(count)
    for _ in range(steps):
        sums[:] = 0
        totals[:] = 0
        for n in range(number):
            _memberships(pixels[n], centres, shares)
            for k in range(count):
                weight = shares[k] ** 2
                totals[k] += weight
                for b in range(bands):
                    sums[k, b] += weight * pixels[n, b]
        farthest = 0.0
        for k in range(count):
            moved = 0.0
            for b in range(bands):
                moved += (sums[k, b] / totals[k] - centres[k, b]) ** 2
                centres[k, b] = sums[k, b] / totals[k]
            farthest = max(farthest, moved)
        if farthest <= _REST**2 * spread:
            break
    return centres


@compiled
def _memberships(pixel: Floats, centres: Floats, shares: Floats) -> None:
    total = 0.0
    for k in range(centres.shape[0]):
        square = _AT_CENTRE
        for b in range(centres.shape[1]):
            square += (pixel[b] - centres[k, b]) ** 2
        shares[k] = 1 / square
        total += shares[k]
    for k in range(centres.shape[0]):
        shares[k] /= total


def memberships(pixels: Floats, centres: Floats) -> Floats:
    """Memberships (pixels, classes) of pixels (pixels, bands) in classes of which the centres are given."""
    closeness = 1 / (_AT_CENTRE + ((pixels[:, None] - centres) ** 2).sum(axis=2))
    shares: Floats = closeness / closeness.sum(axis=1, keepdims=True)
    return shares


@compiled
def membership_sums(fine: Array, centres: Floats, ratio: int, top: int, left: int, sums: Floats) -> None:
    """Add the memberships of the valid pixels of every block to ``sums`` (classes, block rows, block columns).

    ``fine`` is (bands, rows, columns); ``top`` and ``left``, not positive, are the place in it of the first block.
    """
    pixel, shares = np.empty(fine.shape[0]), np.empty(centres.shape[0])
    for y in range(fine.shape[1]):
        for x in range(fine.shape[2]):
            if np.isnan(fine[0, y, x]):
                continue
            for b in range(pixel.size):
                pixel[b] = fine[b, y, x]
            _memberships(pixel, centres, shares)
            sums[:, (y - top) // ratio, (x - left) // ratio] += shares


@compiled
def fuzzy_changes(
    fine: Array, which: Models, sizes: Models, centres: Floats, changes: Floats, ratio: int, top: int, left: int,
    changed: Array,
) -> None:  # fmt: skip
    """The change of every pixel: that of its classes, by its memberships in them.

    Parameters
    ----------
    fine
        (bands, rows, columns), NaN where invalid.
    which
        (block rows, block columns): the model of each block; negative where there is none.
    sizes, centres, changes
        Classes of every model (models,), their centres and their changes (models, classes, bands).
    ratio, top, left
        Fine pixels along a block; the place of the first block in the image.
    changed
        (bands, rows, columns), filled; NaN where the pixel or its block is invalid.

    """
    pixel, shares = np.empty(fine.shape[0]), np.empty(centres.shape[1])
    for y in range(fine.shape[1]):
        for x in range(fine.shape[2]):
            model = which[(y - top) // ratio, (x - left) // ratio]
            if model < 0 or np.isnan(fine[0, y, x]):
                changed[:, y, x] = np.nan
                continue
            for b in range(pixel.size):
                pixel[b] = fine[b, y, x]
            size = sizes[model]
            _memberships(pixel, centres[model, :size], shares)
            for b in range(pixel.size):
                change = 0.0
                for k in range(size):
                    change += shares[k] * changes[model, k, b]
                changed[b, y, x] = change
