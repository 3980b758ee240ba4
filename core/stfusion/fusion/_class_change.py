"""The change of every class between two dates, from the purest coarse pixels of the whole scene."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stfusion.errors import UserError
from stfusion.fusion._blocks import CoarseScene
from stfusion.fusion._classes import Classes, count_classes
from stfusion.fusion._least_squares import bounded_least_squares
from stfusion.fusion._scene import Scene
from stfusion.raster.source import Array
from stfusion.raster.statistics import moments
from stfusion.run import Context

Floats = npt.NDArray[np.float64]

#: Share of the fine pixels of a coarse pixel that have to be valid for its class shares to be known.
_COMPLETE = 0.999
#: A coarse pixel with no more of a class than this says nothing about it.
_LEAST_SHARE = 0.01
#: Classes that are mixed alike everywhere make the equations this singular (ratio of the extreme eigenvalues).
_SINGULAR = 1e-8


@dataclass(frozen=True)
class Learned:
    """What a pass over the whole scene has found about a pair.

    ``changes`` (bands, classes) is the change of every class, ``std`` (bands) the standard deviation of the fine image,
    ``low`` and ``high`` (bands) the extremes of the temporal prediction and of the coarse image of the target date.
    """

    classes: Classes
    changes: Array
    std: Array
    low: Array
    high: Array


def learn(scene: Scene, context: Context, coarse: CoarseScene, number: int) -> Learned:
    """Classify the fine image of a pair and find the change of every class.

    Raises
    ------
    UserError
        No coarse pixel is complete, or the classes cannot be made.
    """
    pair, grid = scene.pairs[number], coarse.blocks
    classes = Classes(scene, context, number)
    purest = _Purest(classes.count, scene.bands, int(context.options["pure"]))
    spectra = _Extremes(scene.bands, classes.count)
    coarse_range = _Extremes(scene.bands, 1)
    for blocks, pixels in grid.parts():
        context.stop.check()
        fine = pair.fine.read(pixels)
        found = classes.read(pixels, fine)
        target = coarse.target(blocks)
        change = target - coarse.pair(number, blocks)
        counts = count_classes(found, classes.count, grid, pixels)
        total = counts.sum(axis=0)
        complete = (total >= _COMPLETE * grid.ratio**2) & ~np.isnan(change[0])
        rows, columns = np.nonzero(complete)
        shares = counts[:, complete] / total[complete]
        purest.add(shares, change[:, complete].astype(np.float64), rows + blocks.top, columns + blocks.left)
        spectra.add(fine, found)
        coarse_range.add(target, np.where(np.isnan(target[0]), -1, 0))
    if purest.count == 0:
        raise UserError(
            f"No coarse pixel is wholly covered by valid pixels of {pair.fine.source} and valid on both dates; check "
            "masks and nodata values, or choose other dates."
        )
    changes = purest.unmix(float(context.options["trim"]), context)
    low = np.fmin(coarse_range.low[:, 0], np.fmin.reduce(spectra.low + changes, axis=1))
    high = np.fmax(coarse_range.high[:, 0], np.fmax.reduce(spectra.high + changes, axis=1))
    return Learned(classes, changes, moments(pair.fine, context.stop).std.astype(np.float32), low, high)


class _Extremes:
    """Smallest and largest values (bands, classes) of every class; infinite where it has none."""

    def __init__(self, bands: int, classes: int) -> None:
        self.low = np.full((bands, classes), np.inf, np.float32)
        self.high = np.full((bands, classes), -np.inf, np.float32)

    def add(self, values: Array, found: npt.NDArray[np.integer]) -> None:
        """Take in values (bands, rows, columns) whose classes (rows, columns) are known."""
        for index in range(self.low.shape[1]):
            own = values[:, found == index]
            if own.size:
                self.low[:, index] = np.minimum(self.low[:, index], own.min(axis=1))
                self.high[:, index] = np.maximum(self.high[:, index], own.max(axis=1))


class _Purest:
    """The purest coarse pixels of every class among all that were seen, as many as are wanted of each.

    Among equally pure ones a fixed mixture of their places decides, so that they come from all over the scene.
    """

    def __init__(self, classes: int, bands: int, wanted: int) -> None:
        self._wanted = wanted
        self._classes = classes
        # Of each class: the shares of all classes, the changes of all bands and the mixture, (numbers, coarse pixels).
        self._kept = [np.empty((classes + bands + 1, 0)) for _ in range(classes)]
        self.count = 0
        self._sum, self._squares = np.zeros(bands), np.zeros(bands)
        self._low, self._high = np.full(bands, np.inf), np.full(bands, -np.inf)

    def add(self, shares: Floats, changes: Floats, rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp]) -> None:
        """Take in coarse pixels: shares (classes, n), changes (bands, n), and where on the coarse grid they lie."""
        if rows.size == 0:
            return
        self.count += rows.size
        self._sum += changes.sum(axis=1)
        self._squares += (changes**2).sum(axis=1)
        self._low = np.minimum(self._low, changes.min(axis=1))
        self._high = np.maximum(self._high, changes.max(axis=1))
        table = np.vstack([shares, changes, (rows * 73_856_093 ^ columns * 19_349_663) % 65_521])
        for index, kept in enumerate(self._kept):
            both = np.hstack([kept, table])
            self._kept[index] = both[:, np.lexsort((both[-1], -both[index]))[: self._wanted]]

    def unmix(self, trim: float, context: Context) -> Array:
        """The change (bands, classes) that explains the coarse changes best, by bounded least squares (eq. 4).

        Of the coarse pixels of a class, the share ``trim`` with the smallest changes and that with the largest are left
        out. A class that no equation holds, or that they do not tell from others, stays near the mean coarse change.
        """
        most = min(self._wanted, -(-self.count // 2))
        purest = [kept[:, :most][:, kept[index, :most] > _LEAST_SHARE] for index, kept in enumerate(self._kept)]
        mean = self._sum / self.count
        std = np.sqrt(np.maximum(self._squares / self.count - mean**2, 0))
        changes = np.repeat(mean[:, None], self._classes, axis=1)
        held = np.array([own.shape[1] > 0 for own in purest])
        singular = False
        for band, solution in enumerate(changes):
            kept = np.hstack([_trimmed(own, self._classes + band, trim) for own in purest])
            shares, values = kept[: self._classes], kept[self._classes + band]
            normal = shares @ shares.T
            bounds = self._low[band] - std[band], self._high[band] + std[band]
            bounded_least_squares(normal, shares @ values, *bounds, solution)
            spread = np.linalg.eigvalsh(normal[np.ix_(held, held)])
            singular |= bool(spread[0] < _SINGULAR * spread[-1])
        if not held.all():
            context.reporter.warning(
                f"{np.count_nonzero(~held)} of {self._classes} classes have no coarse pixel of which they cover more "
                f"than {_LEAST_SHARE:.0%}, and take the mean coarse change; take fewer classes."
            )
        if singular:
            context.reporter.warning(
                f"The {self.count} complete coarse pixels do not tell the changes of the {self._classes} classes "
                "apart; those in doubt stay near the mean coarse change. Take fewer classes or a larger scene."
            )
        return changes.astype(np.float32)


def _trimmed(table: Floats, row: int, trim: float) -> Floats:
    """The columns of a table whose value in a row lies within the quantiles ``trim`` and 1 - ``trim``."""
    if table.shape[1] == 0:
        return table
    low, high = np.quantile(table[row], (trim, 1 - trim))
    return table[:, (table[row] >= low) & (table[row] <= high)]
