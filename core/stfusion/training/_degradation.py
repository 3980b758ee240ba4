"""Simulated coarse images: what a coarse sensor makes of a fine image, and what is then known of it on the fine grid.

The fine image is blurred, averaged over coarse pixels that lie on a lattice of their own, biased and made noisy, and
brought back to the fine grid by cubic convolution, as a coarse image is when it is fused. All of it works along rows
and columns alike, so that an image is degraded by two products with matrices.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from stfusion.networks._normalisation import Floats
from stfusion.raster.resolution import GAUSSIAN_REACH, point_spread
from stfusion.raster.source import Array

#: Share of the weight of a coarse pixel that has to lie on valid fine pixels.
_ENOUGH = 0.5


@dataclass(frozen=True)
class Ranges:
    """From which the properties of a coarse sensor are drawn: (least, largest), or the largest amount either way.

    ``ratio``: fine pixels along a coarse one, evenly by its logarithm. ``boxes``: share of sensors that are plain
    means; the others have a Gaussian of ``blur`` coarse pixels (standard deviation) before the mean. ``shift``: coarse
    pixels by which the images of a sample are displaced together, small ones more often; ``drift``: each of them
    further. ``gain`` and ``offset``: bias of all images, ``gain_change`` and ``offset_change``: of each of them
    further, per band. ``noise``: standard deviation. Offsets and noise are shares of the range of the values.
    """

    ratio: tuple[float, float] = (4.0, 32.0)
    boxes: float = 0.3
    blur: tuple[float, float] = (0.15, 0.6)
    shift: float = 1.0
    drift: float = 0.1
    gain: float = 0.08
    gain_change: float = 0.02
    offset: float = 0.03
    offset_change: float = 0.01
    noise: tuple[float, float] = (0.0, 0.02)


#: The sensors that training imagines.
RANGES = Ranges()


@dataclass(frozen=True)
class Sensor:
    """An imagined coarse sensor over a patch.

    ``blur`` is in coarse pixels (0: none), ``phase`` the rows and columns (fine pixels) from the corner of what is read
    to that of a coarse pixel, ``shift`` in coarse pixels; ``gain`` and ``offset`` have a value for each band, or for
    all.
    """

    ratio: float
    blur: float = 0.0
    phase: tuple[float, float] = (0.0, 0.0)
    shift: tuple[float, float] = (0.0, 0.0)
    gain: tuple[float, ...] = (1.0,)
    offset: tuple[float, ...] = (0.0,)
    noise: float = 0.0

    @property
    def margin(self) -> int:
        """Fine pixels around a patch that its coarse pixels see, with whatever drift."""
        shift = max(map(abs, self.shift)) + RANGES.drift
        return math.ceil(self.ratio * (2.5 + GAUSSIAN_REACH * self.blur + shift)) + 1

    def see(self, image: Array, margin: int, drift: tuple[float, float] = (0.0, 0.0)) -> Floats:
        """An image (bands, rows, columns) as seen on the coarse lattice around its part without the margin.

        Coarse pixels that mostly lie on invalid pixels are NaN.
        """
        rows, columns = (
            self._averages(size, margin, axis, self.shift[axis] + drift[axis])
            for axis, size in enumerate(image.shape[1:])
        )
        return _means(rows, image, columns, _ENOUGH)

    def expose(self, image: Array, margin: int, rng: np.random.Generator, unit: float = 1.0) -> Array:
        """A coarse image on the fine grid, without the margin, with a drift, a bias and noise of its own.

        ``unit`` is the range of the values.
        """
        drift = (rng.uniform(-RANGES.drift, RANGES.drift), rng.uniform(-RANGES.drift, RANGES.drift))
        seen = self.see(image, margin, drift)
        bands = len(seen)
        gain = np.array(self.gain) + rng.uniform(-RANGES.gain_change, RANGES.gain_change, bands)
        offset = np.array(self.offset) + rng.uniform(-RANGES.offset_change, RANGES.offset_change, bands)
        seen = seen * gain[:, None, None] + unit * offset[:, None, None]
        seen += unit * self.noise * rng.standard_normal(seen.shape)
        return self.refine(seen, image.shape[1:], margin)

    def refine(self, seen: Floats, shape: tuple[int, ...], margin: int) -> Array:
        """What is seen on the coarse lattice, on the fine grid of the part without the margin, by cubic convolution.

        ``shape`` has the rows and columns of the image that was seen, with the margin.
        """
        rows, columns = (self._cubic(size, margin, axis) for axis, size in enumerate(shape))
        fine = _means(rows, seen, columns, 0.0)
        if np.isnan(seen).any():
            # A fine pixel is invalid where the coarse pixel that it lies in is.
            nearest = np.ix_(rows.argmax(axis=1), columns.argmax(axis=1))
            fine[:, np.isnan(seen.sum(axis=0))[nearest]] = np.nan
        return fine.astype(np.float32)

    def _span(self, size: int, margin: int, axis: int) -> tuple[int, int]:
        """The first coarse pixel along an axis that the part without the margin needs, and how many."""
        first = math.floor((margin + 0.5 - self.phase[axis]) / self.ratio - 0.5) - 1
        last = math.floor((size - margin - 0.5 - self.phase[axis]) / self.ratio - 0.5) + 2
        return first, last - first + 1

    def _averages(self, size: int, margin: int, axis: int, shift: float) -> Floats:
        """The weights (coarse, fine) of fine pixels in coarse ones along an axis."""
        first, count = self._span(size, margin, axis)
        centres = self.phase[axis] + (first + np.arange(count) + 0.5 + shift) * self.ratio
        sigma = self.blur * self.ratio
        reach = self.ratio / 2 + GAUSSIAN_REACH * sigma + 0.5
        near = np.floor(centres - reach).astype(int)[:, None] + np.arange(math.ceil(2 * reach) + 1)
        shares = point_spread(near + 0.5 - centres[:, None], self.ratio, sigma)
        weights = np.zeros((count, size))
        inside = (near >= 0) & (near < size)
        weights[np.nonzero(inside)[0], near[inside]] = shares[inside]
        totals = weights.sum(axis=1, keepdims=True)
        # A coarse pixel beyond the image has no weights; it is NaN.
        return weights / np.where(totals > 0, totals, 1.0)

    def _cubic(self, size: int, margin: int, axis: int) -> Floats:
        """The weights (fine, coarse) of coarse pixels in fine ones along an axis: Keys's kernel with a = -1/2."""
        first, count = self._span(size, margin, axis)
        places = (np.arange(margin, size - margin) + 0.5 - self.phase[axis]) / self.ratio - 0.5 - first
        x = np.abs(places[:, None] - np.arange(count))
        near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
        return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


def draw_sensor(rng: np.random.Generator, ratios: tuple[float, float], bands: int) -> Sensor:
    """A coarse sensor with a ratio between two and everything else from :data:`RANGES`."""
    ratio = math.exp(rng.uniform(math.log(ratios[0]), math.log(ratios[1])))
    blur = 0.0 if rng.random() < RANGES.boxes else rng.uniform(*RANGES.blur)

    return Sensor(
        ratio=ratio,
        blur=blur,
        phase=(rng.uniform(0, ratio), rng.uniform(0, ratio)),
        shift=(RANGES.shift * rng.triangular(-1, 0, 1), RANGES.shift * rng.triangular(-1, 0, 1)),
        gain=tuple(1 + rng.uniform(-RANGES.gain, RANGES.gain, bands)),
        offset=tuple(rng.uniform(-RANGES.offset, RANGES.offset, bands)),
        noise=rng.uniform(*RANGES.noise),
    )


def _means(rows: Floats, image: Array | Floats, columns: Floats, enough: float) -> Floats:
    """Sums of an image (bands, ...) weighted along rows and columns; the valid pixels share the weight of the others.

    NaN where the valid ones have no more than a share of ``enough`` of it.
    """
    valid = ~np.isnan(image)
    if valid.all():
        sums: Floats = rows @ image @ columns.T
        shares = rows.sum(axis=1)[:, None] * columns.sum(axis=1)
    else:
        sums = rows @ np.where(valid, image, 0.0) @ columns.T
        shares = rows @ valid.astype(np.float64) @ columns.T
    kept = shares > max(enough, 1e-6)
    return np.where(kept, sums / np.where(kept, shares, 1.0), np.nan)
