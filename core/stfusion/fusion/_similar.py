"""Means over the most similar pixels of a moving window: the last step of the hybrid and regression methods.

The rows of the window are kept in a ring, in which a column of the window is contiguous and so is the whole window:
the innermost loops then run over all of its pixels at once, which the compiler turns into vector instructions. Which
place a row has in the ring depends on its position in the scene, so that sums have the same order in every tile.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from stfusion.fusion._compile import compiled
from stfusion.fusion._scene import Scene, check_window
from stfusion.raster.source import Array
from stfusion.raster.tiles import Tile
from stfusion.run import Context

Bits = npt.NDArray[np.int32]

#: Candidates visited between two looks at the cancel flag: about a tenth of a second.
_VISITS = 50_000_000
#: First step of a search for a bound from a guess, in units of a float's last digit: about 3 per cent.
_STEP, _FAR = 1 << 18, 1 << 31
#: What a pixel that is never similar has for a value and for a key, and the bits of that.
_NEVER, _NEVER_BITS = np.float32(np.inf), 0x7F800000
#: Keys in a group. The nearest pixels are sought first among the smallest keys of groups, which are fewer; a bound
#: that a few more groups stay below than are needed is soon found.
_GROUP, _MORE = 8, 8


@dataclass(frozen=True)
class Similarity:
    """How similar pixels are found and weighted.

    ``count`` is the number of most similar pixels (those that tie with the last are taken too), ``limits`` the largest
    difference to the centre in each band (none: any), ``power`` 1 for absolute and 2 for squared differences, and
    ``spatial`` (window, window) the weights. ``cuda`` says that a card computes. ``most`` is the largest sum of the
    (scaled) differences over the bands.
    """

    count: int
    limits: Array | None
    power: int
    spatial: Array
    cuda: bool = False
    most: float = np.inf

    @property
    def halo(self) -> int:
        """Pixels from the centre to the window's edge."""
        return int(self.spatial.shape[0]) // 2


def distance_weights(window: int) -> Array:
    """Weights 1/D with D = 1 + d / (window / 2) for the distance d from the centre of a window, in pixels."""
    half = window // 2
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    weights: Array = (1.0 / (1.0 + np.hypot(y, x) / (window / 2))).astype(np.float32)
    return weights


def coarse_pixel_wide(scene: Scene, context: Context, ratio: int) -> Similarity:
    """By squared differences, in the window and number that the options ask for: by default those of a coarse pixel.

    Raises
    ------
    UserError
        The window is larger than the image.
    """
    window = (int(context.options["window"]) or ratio) // 2 * 2 + 1
    check_window(window, scene)
    count = int(context.options["neighbours"]) or ratio
    return Similarity(count, None, 2, distance_weights(window), context.device.cuda)


def similar_means(
    similarity: Similarity, guides: Array, scales: Array | None, images: Array, tile: Tile, share: float = 1.0
) -> tuple[Array, npt.NDArray[np.int32]]:
    """Weighted means of images over the most similar pixels of the window around every pixel of the tile.

    Parameters
    ----------
    similarity
        What a similar pixel is, and its weight.
    guides
        (bands, H, W): the image that decides similarity, NaN where a pixel must not be used.
    scales
        (bands, H, W) or none: what the differences to a centre are multiplied by, such as 1/F for relative ones;
        finite and not negative where the guides are valid.
    images
        (images, H, W): what is averaged; NaN where a guide is, and nowhere else.
    tile
        The tile that the arrays cover with its halo.
    share
        Share of the tile's progress that this is.

    Returns
    -------
    means, numbers
        (images, rows, columns), NaN where there is no similar pixel, and (rows, columns): how many there were.
    """
    rows, columns = tile.inner.shape
    means = np.full((images.shape[0], rows, columns), np.nan, np.float32)
    numbers = np.zeros((rows, columns), np.int32)
    if similarity.cuda:
        from stfusion.fusion import _cuda

        _cuda.means(
            guides, scales, images, similarity.limits, similarity.power == 2 or None, similarity.count,
            similarity.most, similarity.spatial, *tile.offset, means, numbers,
        )  # fmt: skip
        tile.advance(share)
        return means, numbers
    strip = max(1, _VISITS // (similarity.spatial.size * columns))
    for begin in range(0, rows, strip):
        end = min(begin + strip, rows)
        _means(
            guides, scales, images, similarity.limits, similarity.power == 2 or None, similarity.count,
            similarity.most, similarity.spatial, tile.outer.top, *tile.offset, begin, end, means, numbers,
        )  # fmt: skip
        tile.advance(share * (end - begin) / rows)
    return means, numbers


@compiled
def _means(
    guides: Array,
    scales: Array | None,
    images: Array,
    limits: Array | None,
    squared: bool | None,
    count: int,
    most: float,
    spatial: Array,
    first: int,
    top: int,
    left: int,
    begin: int,
    end: int,
    means: Array,
    numbers: npt.NDArray[np.int32],
) -> None:
    """Fill rows ``begin`` to ``end`` of ``means`` and ``numbers``; ``first`` is the scene's row of the first guide."""
    size, width = spatial.shape[0], guides.shape[2]
    half, groups = size // 2, -(-size * size // _GROUP)
    ring = np.empty((guides.shape[0], width * size), np.float32)
    values = np.empty((width * size, images.shape[0]), np.float32)
    weights = np.empty((size, size), np.float32)
    keys, sums = np.empty(groups * _GROUP, np.float32), np.empty(images.shape[0])
    smallest, hits = np.empty(groups, np.int32), np.empty(groups + 1, np.int32)
    near, places = np.empty(keys.size + 1, np.int32), np.empty(keys.size + 1, np.int32)
    last = np.full(1, most, np.float32).view(np.int32)[0]
    for i in range(top + begin - half, top + begin + half):
        _enter(guides, images, i, (first + i) % size, size, ring, values)
    for row in range(begin, end):
        y = top + row
        _enter(guides, images, y + half, (first + y + half) % size, size, ring, values)
        for i in range(size):
            weights[:, (first + y - half + i) % size] = spatial[i]
        group_limit = limit = np.int32(0)
        for column in range(numbers.shape[1]):
            x = left + column
            if np.isnan(guides[0, y, x]):
                continue
            x0, x1 = max(0, x - half), min(width, x + half + 1)
            _fill_keys(ring, guides, scales, limits, squared, y, x, x0 * size, (x1 - x0) * size, keys)
            _least(keys.view(np.int32), smallest)
            group_limit = _bound(smallest, count, count + _MORE, group_limit)
            found = _gather(keys.view(np.int32), smallest, group_limit, hits, near, places)
            if found < count:
                # The bound is the largest of few groups' smallest: other members of these may lie beyond it.
                found = _gather(keys.view(np.int32), smallest, _NEVER_BITS - 1, hits, near, places)
            limit = _bound(near[:found], count, count, limit)
            numbers[row, column] = _average(
                near[:found], places, min(limit, last), weights.reshape(-1)[(x0 - x + half) * size :],
                values[x0 * size :], sums, means[:, row, column],
            )  # fmt: skip


@compiled
def _enter(guides: Array, images: Array, i: int, slot: int, size: int, ring: Array, values: Array) -> None:
    """Put a row in its place of the ring; pixels that must not be used, or lie outside, are infinitely different."""
    if i < 0 or i >= guides.shape[1]:
        ring[:, slot::size] = _NEVER
        return
    for b in range(guides.shape[0]):
        for x in range(guides.shape[2]):
            value = guides[b, i, x]
            ring[b, x * size + slot] = _NEVER if np.isnan(value) else value
    for n in range(images.shape[0]):
        for x in range(guides.shape[2]):
            values[x * size + slot, n] = images[n, i, x]


@compiled
def _fill_keys(
    ring: Array,
    guides: Array,
    scales: Array | None,
    limits: Array | None,
    squared: bool | None,
    y: int,
    x: int,
    begin: int,
    number: int,
    keys: Array,
) -> None:
    """How much every pixel of a window differs from the centre; infinite where it must not be used.

    Two bands at a time, which spares half of the visits to the keys.
    """
    odd = ring.shape[0] % 2
    keys[:number] = 0
    keys[number:] = _NEVER
    for b in range(odd):
        there = ring[b, begin : begin + number]
        for k in range(number):
            keys[k] = _difference(there[k], b, guides, scales, limits, squared, y, x)
    for b in range(odd, ring.shape[0], 2):
        there, other = ring[b, begin : begin + number], ring[b + 1, begin : begin + number]
        for k in range(number):
            keys[k] += _difference(there[k], b, guides, scales, limits, squared, y, x) + _difference(
                other[k], b + 1, guides, scales, limits, squared, y, x
            )


@compiled
def _difference(
    there: float,
    b: int,
    guides: Array,
    scales: Array | None,
    limits: Array | None,
    squared: bool | None,
    y: int,
    x: int,
) -> Any:
    """How much a value differs from the centre in one band."""
    difference = there - guides[b, y, x]
    key = abs(difference) if squared is None else difference * difference
    if scales is not None:
        key *= scales[b, y, x]
    if limits is not None:
        key = key if abs(difference) <= limits[b] else _NEVER
    return key


@compiled
def _least(bits: Bits, smallest: Bits) -> None:
    """The smallest key of every group, whose members stand the number of groups apart."""
    groups = smallest.size
    for k in range(groups):
        smallest[k] = bits[k]
    for g in range(1, _GROUP):
        member = bits[g * groups : (g + 1) * groups]
        for k in range(groups):
            smallest[k] = min(smallest[k], member[k])


@compiled
def _bound(bits: Bits, count: int, most: int, guess: int) -> Any:
    """A bound that ``count`` to ``most`` keys do not exceed, more only where they tie; all finite keys if fewer.

    The bits of floats that are not negative are ordered as the floats are, and whole numbers need no fast-math to be
    counted by vector instructions. Bisection begins near a guess and ends as soon as the number is right: where
    ``most`` is ``count``, the keys below the bound do not depend on the guess.
    """
    low, high = _range(bits)
    if _up_to(bits, high) <= most:
        return high
    low -= 1
    step = _STEP
    middle = min(max(guess, low + 1), high - 1)
    while high - low > 1:
        number = _up_to(bits, middle)
        if count <= number <= most:
            return middle
        if number < count:
            low = middle
            middle = low + min(step, (high - low) // 2)
        else:
            high = middle
            middle = high - min(step, (high - low) // 2)
        step = min(4 * step, _FAR)
    return high


@compiled
def _range(bits: Bits) -> tuple[Any, Any]:
    """The smallest and the largest finite key."""
    low, high = np.int32(_NEVER_BITS), np.int32(0)
    for k in range(bits.size):
        low = min(low, bits[k])
        high = max(high, bits[k] if bits[k] < np.int32(_NEVER_BITS) else np.int32(0))
    return low, high


@compiled
def _up_to(bits: Bits, limit: int) -> Any:
    """How many keys do not exceed the limit; 32-bit whole numbers throughout fill the vector registers."""
    number, last = np.int32(0), np.int32(limit)
    for k in range(bits.size):
        number = np.int32(number + (np.int32(1) if bits[k] <= last else np.int32(0)))
    return number


@compiled
def _gather(bits: Bits, smallest: Bits, limit: int, hits: Bits, near: Bits, places: Bits) -> Any:
    """The keys up to the limit, and where they stand in the window; returns their number.

    What may not be wanted is written all the same, and written over by the next: this has no branch to mispredict.
    Unsigned numbers spare the look whether an index counts from the end.
    """
    last, groups = np.int32(limit), np.uintp(smallest.size)
    number = found = np.uintp(0)
    for g in range(smallest.size):
        hits[number] = g
        number += np.uintp(smallest[g] <= last)
    for hit in range(number):
        k = np.uintp(hits[hit])
        for _ in range(_GROUP):
            near[found] = bits[k]
            places[found] = k
            found += np.uintp(bits[k] <= last)
            k += groups
    return np.intp(found)


@compiled
def _average(
    bits: Bits, places: Bits, limit: int, weights: Array, values: Array, sums: npt.NDArray[np.float64], mean: Array
) -> int:
    """The weighted mean of every image over the keys up to the limit, and their number."""
    number, total = 0, 0.0
    sums[:] = 0
    for k in range(bits.size):
        if bits[k] <= limit:
            place = np.uintp(places[k])
            weight = weights[place]
            number += 1
            total += weight
            for n in range(sums.size):
                sums[n] += weight * values[place, n]
    for n in range(sums.size):
        mean[n] = sums[n] / total
    return number
