"""Virtual pairs: sums of the known images that come nearest to the target date, by regressions over a whole scene."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stfusion.errors import UserError
from stfusion.fusion._blocks import CoarseScene
from stfusion.fusion._scene import Scene
from stfusion.raster.grids import Box
from stfusion.raster.source import Array
from stfusion.run import Context

Floats = npt.NDArray[np.float64]

#: Directions in which the coarse images vary by less, as a share of the variance in the first direction and of the mean
#: square, determine nothing.
_ALIKE, _CONSTANT = 1e-6, 1e-10


@dataclass(frozen=True)
class VirtualPair:
    """The sum of some pairs that is nearest to the target date: ``slopes`` (pairs, bands) and ``intercept`` (bands).

    ``numbers`` are the pairs' numbers; ``singular`` (bands) says where the coarse images do not determine the slopes.
    """

    numbers: tuple[int, ...]
    slopes: Floats
    intercept: Floats
    singular: npt.NDArray[np.bool_]

    def fine(self, images: Sequence[Array]) -> Array:
        """The virtual fine image (bands, rows, columns), given the fine images of all pairs."""
        return self._sum([images[number] for number in self.numbers])

    def rest(self, coarse: CoarseScene, blocks: Box) -> Array:
        """What the virtual coarse image leaves of that of the target date, (bands, block rows, block columns)."""
        return coarse.target(blocks) - self._sum([coarse.pair(number, blocks) for number in self.numbers])

    def _sum(self, images: Sequence[Array]) -> Array:
        total = np.empty_like(images[0])
        for band, intercept in enumerate(self.intercept):
            total[band] = intercept
            for slope, image in zip(self.slopes[:, band], images, strict=True):
                total[band] += np.float32(slope) * image[band]
        return total


def virtual_pairs(scene: Scene, context: Context, coarse: CoarseScene) -> list[VirtualPair]:
    """The virtual pair of all pairs and then, for their gaps, those of single ones; without coarse pixels none is made.

    One pass over the coarse images of the whole scene, in parts that do not depend on tiles.

    Raises
    ------
    UserError
        No coarse pixel is valid on the dates of any pair and on the target date.
    """
    every = tuple(range(len(scene.pairs)))
    choices = [every, *((number,) for number in every)] if len(every) > 1 else [every]
    sums = [_Sums(scene.bands, len(numbers) + 1) for numbers in choices]
    for blocks, _ in coarse.blocks.parts():
        context.stop.check()
        images = [*(coarse.pair(number, blocks) for number in every), coarse.target(blocks)]
        for numbers, own in zip(choices, sums, strict=True):
            own.add([images[number] for number in (*numbers, -1)])
    found = [(numbers, own) for numbers, own in zip(choices, sums, strict=True) if own.count]
    if not found:
        raise UserError(
            f"No coarse pixel is valid in {' or '.join(str(pair.coarse.source) for pair in scene.pairs)} and in "
            f"{scene.target.source}; choose images with fewer gaps."
        )
    pairs = [VirtualPair(numbers, *own.fit()) for numbers, own in found]
    shares = found[0][1].explained(pairs[0].slopes)
    context.reporter.log(
        f"The virtual pair explains {shares.min():.0%} to {shares.max():.0%} of the variance of the bands of "
        f"{scene.target.source}."
    )
    return pairs


def rest_range(pair: VirtualPair, coarse: CoarseScene, context: Context) -> tuple[Floats, Floats]:
    """The smallest and largest rest (bands) of a virtual pair over the whole scene."""
    low = high = np.empty(0)
    for number, (blocks, _) in enumerate(coarse.blocks.parts()):
        context.stop.check()
        rest = pair.rest(coarse, blocks).reshape(len(pair.intercept), -1).astype(np.float64)
        ends = np.fmin.reduce(rest, axis=1), np.fmax.reduce(rest, axis=1)
        low, high = (np.fmin(low, ends[0]), np.fmax(high, ends[1])) if number else ends
    return low, high


class _Sums:
    """Means and products of deviations of several images, of which the last is to be explained by the others."""

    def __init__(self, bands: int, images: int) -> None:
        self.count = 0
        self._mean = np.zeros((bands, images))
        self._products = np.zeros((bands, images, images))

    def add(self, images: Sequence[Array]) -> None:
        """Take in a part of the images (bands, rows, columns) where all are valid.

        Parts are merged pairwise (Chan, Golub and LeVeque 1983), which loses no digits to large means.
        """
        valid = ~np.isnan([image[0] for image in images]).any(axis=0)
        values = np.stack([image[:, valid] for image in images], axis=1).astype(np.float64)
        n = values.shape[2]
        if n == 0:
            return
        mean = values.mean(axis=2)
        values -= mean[:, :, None]
        step = mean - self._mean
        both = step[:, :, None] * step[:, None, :]
        self._products += values @ values.swapaxes(1, 2) + both * (self.count * n / (self.count + n))
        self._mean += step * (n / (self.count + n))
        self.count += n

    def fit(self) -> tuple[Floats, Floats, npt.NDArray[np.bool_]]:
        """Slopes (images, bands), intercept and singularity (bands) of the regression of the last on the other images.

        Of all slopes that fit equally well, those nearest to the mean of the images.
        """
        bands, images = len(self._mean), self._mean.shape[1] - 1
        slopes, singular = np.full((images, bands), 1.0 / images), np.ones(bands, np.bool_)
        for band, products in enumerate(self._products):
            spread, directions = np.linalg.eigh(products[:-1, :-1])
            squares = self.count * (self._mean[band, :-1] ** 2).sum()
            seen = spread > max(_ALIKE * spread[-1], _CONSTANT * squares)
            # As many coarse pixels as unknowns, slopes and intercept, would fit anything.
            seen &= self.count > images + 1
            left = products[:-1, -1] - products[:-1, :-1] @ slopes[:, band]
            axes = directions[:, seen]
            slopes[:, band] += axes @ ((axes.T @ left) / spread[seen])
            singular[band] = not seen.all()
        return slopes, self._mean[:, -1] - (slopes.T * self._mean[:, :-1]).sum(axis=1), singular

    def explained(self, slopes: Floats) -> Floats:
        """The share of the variance of every band that slopes (images, bands) explain; 1 where there is none."""
        weights = np.vstack([-slopes, np.ones(slopes.shape[1])]).T
        left = np.einsum("bi,bij,bj->b", weights, self._products, weights)
        whole = self._products[:, -1, -1]
        shares: Floats = 1 - np.divide(left, whole, out=np.zeros_like(whole), where=whole > 0)
        return shares
