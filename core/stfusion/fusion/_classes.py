"""Classes of the fine image: the user's map, or k-means on a sample of the whole scene.

k-means is our own: it takes a few lines of numpy, and importing scikit-learn alone costs more time than a whole run of
the methods that need it. The tests compare it with scikit-learn's.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from stfusion.errors import UserError
from stfusion.fusion._blocks import Blocks
from stfusion.fusion._scene import Scene
from stfusion.raster.grids import Box, blocks
from stfusion.raster.source import AlignedSource, Array
from stfusion.raster.statistics import sample_pixels
from stfusion.run import Context

Classified = npt.NDArray[np.int16]
Floats = npt.NDArray[np.float64]

#: Pixels that k-means is fitted to, and starts of which the best is kept.
SAMPLE, _STARTS = 10_000, 3
#: Steps of each start at most, and the share of the squared distances that a step has to save.
_STEPS, _SAVED = 100, 1e-4
#: More classes than these are values of something else, such as heights.
_MOST = 1000
_PART = 512


class Classes:
    """Classes 0 to ``count`` - 1 of every pixel of a pair's fine image, or of what ``read`` makes of the fine images.

    Pixels that the user's map leaves out are a class of their own, the last one.

    Raises
    ------
    UserError
        More classes are asked for than there are different pixels, or the class map has no or too many classes.
    """

    def __init__(
        self, scene: Scene, context: Context, pair: int = 0, read: Callable[[Box], Array] | None = None
    ) -> None:
        self._map = scene.classes
        if self._map is None:
            fine = scene.pairs[pair].fine
            pixels = sample_pixels(fine, SAMPLE, context.stop, read)
            self.count = int(context.options["classes"])
            self._centres = cluster(pixels, self.count, context.job.seed, str(fine.source))
        else:
            self._codes = _find_codes(self._map, context)
            self.count = len(self._codes)

    def read(self, box: Box, fine: Array) -> Classified:
        """The class (rows, columns) of the pixels of a window whose fine image is given; -1 where that is invalid."""
        if self._map is None:
            return nearest(fine, self._centres)
        values = self._map.read(box)[0]
        found: Classified = np.searchsorted(self._codes, values).astype(np.int16)
        found[np.isnan(fine[0])] = -1
        return found


def _find_codes(image: AlignedSource, context: Context) -> Array:
    """The different values of a class map, in order; NaN is the last where there are gaps."""
    codes = np.empty(0, np.float32)
    for box in blocks(image.shape, _PART):
        context.stop.check()
        codes = np.union1d(codes, image.read(box))
        if len(codes) > _MOST:
            break
    if len(codes) > _MOST or np.isnan(codes).all():
        found = f"more than {_MOST} different values" if len(codes) > _MOST else "no class"
        raise UserError(f"{image.source} has {found} where the fine image lies; choose a map of classes.")
    return codes.astype(np.float32)


def count_classes(found: Classified, classes: int, grid: Blocks, pixels: Box) -> npt.NDArray[np.int64]:
    """Pixels of every class (classes, block rows, block columns) in the blocks that touch a window of pixels."""
    blocks = grid.covering(pixels)
    size = blocks.shape[0] * blocks.shape[1]
    places = (classes + 1) * np.arange(size).reshape(blocks.shape) + 1
    place = np.add(grid.spread(places, blocks, pixels), found, dtype=np.int64)
    counts = np.bincount(place.ravel(), minlength=(classes + 1) * size).reshape(*blocks.shape, classes + 1)
    return np.moveaxis(counts, -1, 0)[1:]


def nearest(values: Array, centres: Array) -> Classified:
    """Index of the nearest of the centres (classes, bands) to values (bands, ...); -1 where these are invalid."""
    best = np.full(values.shape[1:], np.inf, np.float32)
    found = np.full(values.shape[1:], -1, np.int16)
    for index, centre in enumerate(centres):
        distance = np.zeros(values.shape[1:], np.float32)
        for band, value in zip(values, centre, strict=True):
            distance += (band - value) ** 2
        nearer = distance < best
        best[nearer] = distance[nearer]
        found[nearer] = index
    return found


def cluster(pixels: Array, classes: int, seed: int, name: str) -> Array:
    """Centres (classes, bands), dark to bright, of k-means (Lloyd 1982, k-means++ starts) on pixels (bands, pixels).

    Raises
    ------
    UserError
        There are fewer different pixels than classes.
    """
    distinct = len(np.unique(pixels, axis=1).T) if pixels.size else 0
    if distinct < classes:
        raise UserError(
            f"{name} has {distinct} different pixels (of {pixels.shape[1]} sampled) and {classes} classes are asked "
            "for; take fewer classes."
        )
    rng = np.random.default_rng(seed)
    points = pixels.T.astype(np.float64)
    tries = [_lloyd(points, _plus_plus(points, classes, rng)) for _ in range(_STARTS)]
    centres, _ = min(tries, key=lambda tried: tried[1])
    return centres[np.argsort(centres.sum(axis=1))].astype(np.float32)


def _plus_plus(points: Floats, classes: int, rng: np.random.Generator) -> Floats:
    """Starting centres far from one another (Arthur and Vassilvitskii 2007)."""
    centres = [points[rng.integers(len(points))]]
    distance = np.full(len(points), np.inf)
    for _ in range(1, classes):
        distance = np.minimum(distance, ((points - centres[-1]) ** 2).sum(axis=1))
        centres.append(points[rng.choice(len(points), p=distance / distance.sum())])
    return np.array(centres)


def _lloyd(points: Floats, centres: Floats) -> tuple[Floats, float]:
    """Centres nearly at rest, and the sum of squared distances to them; a cluster that loses its points stays put."""
    squares = (points**2).sum(axis=1)
    before = error = np.inf
    for _ in range(_STEPS):
        distance = (centres**2).sum(axis=1) - 2 * points @ centres.T
        labels = distance.argmin(axis=1)
        error = float((squares + distance.min(axis=1)).sum())
        if before - error <= _SAVED * error:
            break
        before = error
        counts = np.bincount(labels, minlength=len(centres))
        for band in range(points.shape[1]):
            sums = np.bincount(labels, weights=points[:, band], minlength=len(centres))
            centres[:, band] = np.where(counts > 0, sums / np.maximum(counts, 1), centres[:, band])
    return centres, error
