"""Classes of the fine image: the user's map, or k-means on a sample of the whole scene.

k-means is our own: it takes a few lines of numpy, and importing scikit-learn alone costs more time than a whole run of
the methods that need it. The tests compare it with scikit-learn's.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stfusion.errors import UserError
from stfusion.fusion._scene import Scene
from stfusion.raster.source import AlignedSource, Array, Box, blocks
from stfusion.raster.statistics import sample_pixels
from stfusion.run import Context

Classified = npt.NDArray[np.int16]
Floats = npt.NDArray[np.float64]

#: Pixels that k-means is fitted to, starts of which the best is kept, and steps of each at most.
_SAMPLE, _STARTS, _STEPS = 20_000, 3, 100
#: More classes than these are values of something else, such as heights.
_MOST = 1000
_PART = 512


class Classes:
    """Classes 0 to ``count`` - 1 of every fine pixel.

    Raises
    ------
    UserError
        More classes are asked for than there are different pixels, or the class map has no or too many classes.
    """

    def __init__(self, scene: Scene, context: Context) -> None:
        self._map = scene.classes
        if self._map is None:
            pixels = sample_pixels(scene.pairs[0].fine, _SAMPLE, context.stop)
            wanted = int(context.options["classes"])
            self._centres = cluster(pixels, wanted, context.job.seed, str(scene.reference))
            self.count = wanted
        else:
            self._codes = _find_codes(self._map, context)
            self.count = len(self._codes)

    def read(self, box: Box, fine: Array) -> Classified:
        """The class (rows, columns) of the pixels of a window whose fine image is given; -1 where there is none."""
        if self._map is None:
            return nearest(fine, self._centres)
        values = self._map.read(box)[0]
        found: Classified = np.searchsorted(self._codes, values).astype(np.int16)
        found[np.isnan(values) | np.isnan(fine[0])] = -1
        return found


def _find_codes(image: AlignedSource, context: Context) -> Array:
    """The different values of a class map, in order."""
    codes = np.empty(0, np.float32)
    for box in blocks(image.shape, _PART):
        context.stop.check()
        values = image.read(box)
        codes = np.union1d(codes, values[~np.isnan(values)])
        if len(codes) > _MOST:
            break
    if not 0 < len(codes) <= _MOST:
        found = "no class" if len(codes) == 0 else f"more than {_MOST} different values"
        raise UserError(f"{image.source} has {found} where the fine image lies; choose a map of classes.")
    return codes.astype(np.float32)


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
    random = np.random.default_rng(seed)
    points = pixels.T.astype(np.float64)
    tries = [_lloyd(points, _plus_plus(points, classes, random)) for _ in range(_STARTS)]
    centres, _ = min(tries, key=lambda tried: tried[1])
    return centres[np.argsort(centres.sum(axis=1))].astype(np.float32)


def _plus_plus(points: Floats, classes: int, random: np.random.Generator) -> Floats:
    """Starting centres far from one another (Arthur and Vassilvitskii 2007)."""
    centres = [points[random.integers(len(points))]]
    distance = np.full(len(points), np.inf)
    for _ in range(1, classes):
        distance = np.minimum(distance, ((points - centres[-1]) ** 2).sum(axis=1))
        centres.append(points[random.choice(len(points), p=distance / distance.sum())])
    return np.array(centres)


def _lloyd(points: Floats, centres: Floats) -> tuple[Floats, float]:
    """Centres at rest, and the sum of squared distances to them; a cluster that loses all its points stays put."""
    squares = (points**2).sum(axis=1)
    previous = np.empty(0, np.int64)
    error = 0.0
    for _ in range(_STEPS):
        distance = (centres**2).sum(axis=1) - 2 * points @ centres.T
        labels = distance.argmin(axis=1)
        error = float((squares + distance.min(axis=1)).sum())
        if np.array_equal(labels, previous):
            break
        previous = labels
        counts = np.bincount(labels, minlength=len(centres))
        for band in range(points.shape[1]):
            sums = np.bincount(labels, weights=points[:, band], minlength=len(centres))
            centres[:, band] = np.where(counts > 0, sums / np.maximum(counts, 1), centres[:, band])
    return centres, error
