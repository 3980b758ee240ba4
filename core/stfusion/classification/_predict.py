"""The prediction: every pixel gets the class of the nearest centre, and the classes are summed up on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from stfusion.classification._image import Floats, Image
from stfusion.fusion._compile import compiled
from stfusion.raster.grids import Box
from stfusion.raster.source import Array
from stfusion.raster.tiles import Tile, run_tiles
from stfusion.run import Context

Labels = npt.NDArray[np.uint8]
Counts = npt.NDArray[np.int64]

#: Pixels that are compared with a centre at a time; all that is kept of them fits into the innermost cache.
_LANES = 256


class Classified(NamedTuple):
    """A part of the map: classes 1, 2 ... (rows, columns), 0 where the image is invalid, and how sure they are.

    ``certainty`` (2, rows, columns) has the distance to the nearest centre, in the scaled unit, and (d2 - d1) / d2 of
    the distances to the nearest and the second nearest (0: on the border of two classes, 1: at a centre, or there is
    one class only); NaN where the image is invalid. None where it was not asked for.
    """

    labels: Labels
    certainty: Array | None


@dataclass(frozen=True)
class Spectra:
    """Pixels of every class (classes), and mean and standard deviation (classes, bands) in the image's unit.

    ``inertia`` is the within-class sum of squares about the centres in the scaled unit; a class without pixels has
    NaN as its mean.
    """

    counts: Counts
    mean: Floats
    std: Floats
    inertia: float


@compiled
def _compare(point: Array, targets: Array, best: Array, second: Array, nearest: npt.NDArray[np.int32]) -> None:
    """Squared distances of points (bands, points) to the nearest and second nearest target, and which is the nearest.

    Every loop over the points is of one kind of arithmetic, without branches: that is how many are done at a time.
    """
    distance = np.empty_like(best)
    best[:], second[:], nearest[:] = np.inf, np.inf, 0
    for k in range(targets.shape[0]):
        distance[:] = 0
        for b in range(targets.shape[1]):
            target = targets[k, b]
            for i in range(len(best)):
                off = point[b, i] - target
                distance[i] += off * off
        for i in range(len(best)):
            nearer = distance[i] < best[i]
            second[i] = best[i] if nearer else min(second[i], distance[i])
            best[i] = distance[i] if nearer else best[i]
            nearest[i] = k if nearer else nearest[i]


@compiled
def _assign(
    values: npt.NDArray[Any],
    valid: npt.NDArray[np.bool_],
    factors: Array,
    targets: Array,
    centres: Floats,
    labels: Labels,
    certainty: Array,
    counts: Counts,
    sums: Floats,
    squares: Floats,
) -> None:
    """Label values (bands, rows, columns) by the nearest of the targets (classes, bands), to factors times values.

    Adds up, by class, the pixels, and the deviations from the centres (classes, bands; in the unit of the values) and
    their squares. ``certainty`` is filled where it has rows.
    """
    bands, rows, columns = values.shape
    point, nearest = np.zeros((bands, _LANES), np.float32), np.empty(_LANES, np.int32)
    best, second = np.empty(_LANES, np.float32), np.empty(_LANES, np.float32)
    for row in range(rows):
        for left in range(0, columns, _LANES):
            size = min(_LANES, columns - left)
            for b in range(bands):
                for i in range(size):
                    point[b, i] = np.float32(values[b, row, left + i]) * factors[b]
            _compare(point, targets, best, second, nearest)
            for i in range(size):
                if not valid[row, left + i]:
                    labels[row, left + i] = 0
                    continue
                k = nearest[i]
                labels[row, left + i] = k + 1
                counts[k] += 1
                for b in range(bands):
                    deviation = np.float64(values[b, row, left + i]) - centres[k, b]
                    sums[k, b] += deviation
                    squares[k, b] += deviation * deviation
            if certainty.shape[1]:
                inside = valid[row, left : left + size]
                certainty[0, row, left : left + size] = np.where(inside, np.sqrt(best[:size]), np.nan)
                certainty[1, row, left : left + size] = np.where(inside, 1 - np.sqrt(best / second)[:size], np.nan)


class Prediction:
    """The centres, ready for what the image's file holds, and the sums by class so far.

    ``centres`` and ``scale`` are those of :func:`classify`.
    """

    def __init__(self, image: Image, centres: Floats, scale: Floats, certainty: bool) -> None:
        self._image = image
        self._certainty = certainty
        self._centres = (centres - image.offsets) / image.scales
        self._factors = image.scales / scale
        self._targets = (self._centres * self._factors).astype(np.float32)
        self._counts = np.zeros(len(centres), np.int64)
        self._sums, self._squares = np.zeros(centres.shape), np.zeros(centres.shape)

    def look(self, tile: Tile) -> tuple[Classified, Counts, Floats, Floats]:
        """The classes of a part, and its sums by class."""
        seen = self.of(*self._image.read(tile.inner))
        tile.advance(1.0)
        return seen

    def of(
        self, values: npt.NDArray[Any], valid: npt.NDArray[np.bool_]
    ) -> tuple[Classified, Counts, Floats, Floats]:
        """The classes of what was read of the image, and its sums by class."""
        labels = np.empty(valid.shape, np.uint8)
        certainty = np.empty((2, *(valid.shape if self._certainty else (0, 0))), np.float32)
        sums = np.zeros_like(self._counts), np.zeros_like(self._sums), np.zeros_like(self._squares)
        _assign(
            values, valid, self._factors.astype(np.float32), self._targets, self._centres, labels, certainty, *sums
        )
        return Classified(labels, certainty if self._certainty else None), *sums

    def add(self, seen: tuple[Classified, Counts, Floats, Floats]) -> None:
        """Add the sums of a part."""
        self._counts += seen[1]
        self._sums += seen[2]
        self._squares += seen[3]

    def spectra(self) -> Spectra:
        """What the sums say."""
        with np.errstate(invalid="ignore"):
            off = self._sums / self._counts[:, None]
            variance = self._squares / self._counts[:, None] - off**2
        scales = self._image.scales
        return Spectra(
            self._counts,
            (self._centres + off) * scales + self._image.offsets,
            np.sqrt(np.maximum(variance, 0)) * np.abs(scales),
            float((self._squares * self._factors**2).sum()),
        )


def classify(
    context: Context,
    image: Image,
    centres: Floats,
    scale: Floats,
    write: Callable[[Box, Classified], None],
    span: tuple[float, float],
    certainty: bool = False,
) -> Spectra:
    """Give every valid pixel the class of the nearest centre, the first of equally near ones, and write the parts.

    ``centres`` (classes, bands) are in the image's unit, dark to bright; distances are Euclidean in bands divided by
    ``scale`` (bands). ``span`` is the progress, in per cent, at the begin and the end. The result hangs neither on the
    threads nor on the memory: parts are fixed, and their sums are added in order.
    """
    prediction = Prediction(image, centres, scale, certainty)

    def take(box: Box, seen: tuple[Classified, Counts, Floats, Floats]) -> None:
        prediction.add(seen)
        write(box, seen[0])

    run_tiles(context, image.shape, image.part, 0, prediction.look, take, span)
    return prediction.spectra()
