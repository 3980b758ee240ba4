"""Objects of the fine image: a map of the user's, or regions that grow together, in cells of the coarse grid.

A cell is a square of whole coarse pixels at a fixed place, and no object reaches beyond its own: the objects then do
not depend on the tiles, and a scene of any size is segmented in bounded memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from stfusion.fusion._blocks import Blocks
from stfusion.fusion._classes import Classes, Classified
from stfusion.fusion._compile import compiled
from stfusion.fusion._scene import Scene
from stfusion.raster.grids import Box
from stfusion.raster.source import Array
from stfusion.raster.statistics import moments
from stfusion.run import Context

Labels = npt.NDArray[np.int32]
Keys = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

#: Memory for the objects of the cells that were looked at last.
_CACHE = 2**26
#: Bits of the number of an edge in its key.
_NUMBER = 32


@dataclass(frozen=True)
class Cell:
    """The objects of a cell's fine pixels, from 0, -1 where there is none (rows, columns), and the class of each.

    The class -1 follows after that of the last object, so that ``classes[labels]`` is the class of every pixel.
    """

    labels: Labels
    classes: Classified

    @property
    def count(self) -> int:
        """How many objects there are."""
        return len(self.classes) - 1


class Objects:
    """The cells of a scene, ``side`` blocks wide, and their objects; a pixel without a class has no object."""

    def __init__(self, scene: Scene, context: Context, blocks: Blocks, classes: Classes) -> None:
        self._fine, self._map, self._blocks, self._classes = scene.pairs[0].fine, scene.objects, blocks, classes
        self._scale = float(context.options["object_scale"])
        self._smallest = int(context.options["smallest_object"])
        self.side = -(-int(context.options["largest_object"]) // blocks.ratio)
        std = moments(self._fine, context.stop).std
        self._weights = np.divide(1.0, std, out=np.zeros_like(std), where=std > 0).astype(np.float32)
        pixels = (self.side * blocks.ratio) ** 2
        self.of = lru_cache(maxsize=max(1, _CACHE // (4 * pixels)))(self._of)

    def cells(self, pixels: Box) -> Iterator[Box]:
        """The blocks of every cell that touches a window of fine pixels."""
        touched = self._blocks.covering(pixels)
        rows, columns = self._blocks.shape
        for top in range(touched.top // self.side * self.side, touched.bottom, self.side):
            for left in range(touched.left // self.side * self.side, touched.right, self.side):
                yield Box(top, min(top + self.side, rows), left, min(left + self.side, columns))

    def _of(self, cell: Box) -> Cell:
        pixels = self._blocks.pixels(cell)
        fine = self._fine.read(pixels)
        classes = self._classes.read(pixels, fine)
        guide = np.where(classes < 0, np.float32(np.nan), fine * self._weights[:, None, None])
        if self._map is None:
            labels, count = segment(guide, self._scale, self._smallest)
        else:
            numbers = self._map.read(pixels)[0]
            mapped = ~np.isnan(numbers) & (classes >= 0)
            guide[:, mapped] = np.nan
            labels, count = segment(guide, self._scale, self._smallest)
            found, places = np.unique(numbers[mapped], return_inverse=True)
            labels[mapped] = count + places
            count += len(found)
        return Cell(labels, _majority(labels, count, classes, self._classes.count))


def segment(guide: Array, scale: float, smallest: int) -> tuple[Labels, int]:
    """Regions of an image, grown together along the smallest differences (Felzenszwalb and Huttenlocher 2004).

    Two regions become one where their difference, the smallest between neighbours of the two, is at most what both
    have inside plus ``scale`` over their number of pixels; then those of fewer than ``smallest`` pixels join the most
    similar neighbour.

    Parameters
    ----------
    guide
        (bands, rows, columns): what neighbours (4 of each pixel) differ in, NaN where invalid.
    scale
        In units of the guide; larger ones give larger regions.
    smallest
        Pixels of a region at least, where it has a neighbour.

    Returns
    -------
    labels, count
        (rows, columns) from 0 in the order of the first pixels, -1 where invalid; how many regions there are.
    """
    keys, ends = _edges(guide)
    keys.sort()
    labels, count = _grow(keys, ends, np.isnan(guide[0]), np.float32(scale), smallest)
    return labels, count


@compiled
def _edges(guide: Array) -> tuple[Keys, Labels]:
    """Keys that sort edges by the difference of their pixels, then by number, and the pixels at both ends."""
    bands, rows, columns = guide.shape
    keys, ends = np.empty(2 * rows * columns, np.int64), np.empty((2 * rows * columns, 2), np.int32)
    difference = np.empty(1, np.float32)
    count = 0
    for y in range(rows):
        for x in range(columns):
            for down, right in ((0, 1), (1, 0)):
                if y + down == rows or x + right == columns:
                    continue
                square = np.float32(0)
                for b in range(bands):
                    square += (guide[b, y, x] - guide[b, y + down, x + right]) ** 2
                if np.isnan(square):
                    continue
                # The bits of floats that are not negative are ordered as the floats are.
                difference[0] = np.sqrt(square)
                keys[count] = (np.int64(difference.view(np.int32)[0]) << _NUMBER) | count
                ends[count] = y * columns + x, (y + down) * columns + x + right
                count += 1
    return keys[:count], ends


@compiled
def _root(parents: Labels, pixel: int) -> int:
    """The pixel that stands for a pixel's region."""
    while parents[pixel] != pixel:
        parents[pixel] = parents[parents[pixel]]
        pixel = parents[pixel]
    return pixel


@compiled
def _grow(keys: Keys, ends: Labels, invalid: npt.NDArray[np.bool_], scale: float, smallest: int) -> tuple[Labels, int]:
    """Join regions along the edges in order, by their differences first and by their sizes then."""
    parents = np.arange(invalid.size).astype(np.int32)
    sizes = np.ones(invalid.size, np.int32)
    inside = np.full(invalid.size, scale, np.float32)  # what may lie between a region and another, at most
    bits = np.empty(1, np.int32)
    for by_size in (False, True):
        for key in keys:
            edge = key & ((1 << _NUMBER) - 1)
            one, other = _root(parents, ends[edge, 0]), _root(parents, ends[edge, 1])
            bits[0] = key >> _NUMBER
            difference = bits.view(np.float32)[0]
            joined = (
                min(sizes[one], sizes[other]) < smallest if by_size else difference <= min(inside[one], inside[other])
            )
            if one != other and joined:
                parents[other] = one
                sizes[one] += sizes[other]
                inside[one] = difference + scale / np.float32(sizes[one])
    labels = np.full(invalid.shape, -1, np.int32)
    numbers = np.full(invalid.size, -1, np.int32)
    count = 0
    for pixel in range(invalid.size):
        row, column = pixel // invalid.shape[1], pixel % invalid.shape[1]
        if not invalid[row, column]:
            root = _root(parents, pixel)
            if numbers[root] < 0:
                numbers[root] = count
                count += 1
            labels[row, column] = numbers[root]
    return labels, count


@compiled
def object_means(labels: Labels, count: int, images: Array, weights: Array) -> Floats:
    """Weighted means (images, objects) of images (images, rows, columns); NaN where an object has no weight.

    Pixels that have no object, no weight or, in the first image, no value are left out.
    """
    sums, totals = np.zeros((images.shape[0], count)), np.zeros(count)
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            label, weight = labels[y, x], weights[y, x]
            if label >= 0 and weight > 0 and not np.isnan(images[0, y, x]):
                totals[label] += weight
                for n in range(images.shape[0]):
                    sums[n, label] += weight * images[n, y, x]
    return sums / totals


@compiled
def neighbours_inside(labels: Labels, reach: int) -> Labels:
    """How many pixels of the window of 2 ``reach`` + 1 rows and columns around a pixel are of its object."""
    rows, columns = labels.shape
    counts = np.zeros(labels.shape, np.int32)
    for y in range(rows):
        for i in range(max(0, y - reach), min(rows, y + reach + 1)):
            for right in range(-reach, reach + 1):
                for x in range(max(0, -right), min(columns, columns - right)):
                    counts[y, x] += np.int32(1) if labels[i, x + right] == labels[y, x] else np.int32(0)
    return counts


def _majority(labels: Labels, count: int, classes: Classified, class_count: int) -> Classified:
    """The class that most pixels of every object have, the first of those that tie; -1 at the end."""
    inside = labels >= 0
    pairs = labels[inside].astype(np.int64) * class_count + classes[inside]
    most = np.bincount(pairs, minlength=count * class_count).reshape(count, class_count).argmax(axis=1)
    return np.append(most, -1).astype(np.int16)
