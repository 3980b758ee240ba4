"""Filters that take an image to a coarser resolution, as a sensor with larger pixels would see it.

A filter is a row of weights and the pixel, counted from the first pixel of a coarse one, that the first weight is for:
it works along rows and columns alike. Invalid pixels (NaN) take no part, and the valid ones share their weight.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stfusion.fusion._compile import compiled
from stfusion.raster.grids import Box

Floats = npt.NDArray[np.float64]
Image = npt.NDArray[np.float32]

#: The Gaussian of a sensor is cut at this many coarse pixels from its centre.
REACH = 5
#: Share of the fine pixels of a coarse pixel that have to be valid.
ENOUGH = 0.5
#: Reach of the Gaussian that blurs a box, in standard deviations.
GAUSSIAN_REACH = 3.0


class Filter(NamedTuple):
    """Weights along a row, and the place of the first one from the first fine pixel of a coarse pixel.

    ``own`` is the place of the first fine pixel that the coarse pixel covers, which is 0 if it sees its own place.
    """

    weights: Floats
    start: int
    own: int = 0

    @property
    def stop(self) -> int:
        """The place after the last weight."""
        return self.start + len(self.weights)


def mtf_sigma(gain: float, ratio: float) -> float:
    """Standard deviation, in fine pixels, of the Gaussian that has this gain at the coarse Nyquist frequency.

    ``gain`` lies between 0 and 1. As research toolboxes construct it: (41 / 40) (ratio / pi) sqrt(-2 ln gain).
    """
    return 41 / 40 * ratio / np.pi * float(np.sqrt(-2 * np.log(gain)))


def gaussian(gain: float, ratio: float) -> Floats:
    """The weights of :func:`mtf_sigma`'s Gaussian, cut at :data:`REACH` coarse pixels from its centre."""
    reach = int(np.ceil(REACH * ratio))
    weights: Floats = np.exp(-0.5 * (np.arange(-reach, reach + 1) / mtf_sigma(gain, ratio)) ** 2)
    weights /= weights.sum()
    return weights


def mtf_filter(gain: float, ratio: int) -> Filter:
    """The filter of a sensor whose modulation transfer function has this gain at the Nyquist frequency, coarse pixels.

    It is centred on the coarse pixel; research toolboxes sample a fine pixel beside the centre of an even ratio.
    """
    weights = gaussian(gain, ratio)
    if ratio % 2 == 0:  # the centre lies between two pixels: the mean of both
        weights = np.convolve(weights, [0.5, 0.5])
        return Filter(weights, ratio // 2 - 1 - REACH * ratio)
    return Filter(weights, ratio // 2 - REACH * ratio)


def bicubic_filter(ratio: int) -> Filter:
    """Keys's cubic convolution (a = -0.5) stretched by the ratio, which lets no frequencies fold over."""
    centre = (ratio - 1) / 2
    places = np.arange(int(np.ceil(centre - 2 * ratio)), int(np.floor(centre + 2 * ratio)) + 1)
    x = np.abs(places - centre) / ratio
    near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    weights = np.where(x <= 1, near, np.where(x < 2, far, 0.0))
    return Filter(weights / weights.sum(), int(places[0]))


def box_filter(ratio: int) -> Filter:
    """The mean of the fine pixels of a coarse pixel."""
    return Filter(np.full(ratio, 1 / ratio), 0)


def spread_filter(ratio: int, sigma: float, shift: float) -> Filter:
    """The mean of the fine pixels of a coarse pixel after a Gaussian blur (standard deviation in fine pixels).

    The coarse pixel sees a place that lies ``shift`` fine pixels further on than its own.
    """
    centre = ratio / 2 + shift
    reach = ratio / 2 + GAUSSIAN_REACH * sigma
    places = np.arange(math.floor(centre - reach), math.ceil(centre + reach), dtype=np.float64)
    weights = point_spread(places + 0.5 - centre, ratio, sigma)
    return Filter(weights / weights.sum(), int(places[0]), round(shift))


def gaussian_filter(ratio: int, sigma: float, shift: float, widest: float = 0.0) -> Filter:
    """A Gaussian (standard deviation in fine pixels) around a place ``shift`` fine pixels further on than a pixel's.

    It is cut at four standard deviations: of itself, or of the ``widest`` of the Gaussians that are to reach alike.
    """
    centre = (ratio - 1) / 2 + shift
    reach = max(4 * max(sigma, widest), ratio / 2 + 1)
    places = np.arange(math.floor(centre - reach), math.ceil(centre + reach) + 1)
    weights = np.exp(-0.5 * ((places - centre) / sigma) ** 2)
    return Filter(weights / weights.sum(), int(places[0]), round(shift))


def point_spread(away: Floats, width: float, sigma: float) -> Floats:
    """What a coarse pixel sees of fine pixels whose centres lie so far away (fine pixels): a box blurred by a Gaussian.

    ``width`` is that of the box and ``sigma`` the Gaussian's standard deviation (0: none), in fine pixels; the box is
    integrated over every fine pixel.
    """
    half = width / 2
    ends: Sequence[tuple[float, int]] = ((0.5 + half, 1), (0.5 - half, -1), (half - 0.5, -1), (-0.5 - half, 1))
    total = sum((sign * _ramp(away + end, sigma) for end, sign in ends), np.zeros_like(away))
    reached: Floats = np.where(np.abs(away) <= half + 0.5 + GAUSSIAN_REACH * sigma, np.maximum(total, 0.0), 0.0)
    return reached


def _ramp(x: Floats, sigma: float) -> Floats:
    """max(x, 0) blurred by a Gaussian: the second integral of its density."""
    if sigma == 0:
        return np.maximum(x, 0.0)
    from scipy.special import ndtr

    smooth: Floats = x * ndtr(x / sigma) + sigma / math.sqrt(2 * math.pi) * np.exp(-0.5 * (x / sigma) ** 2)
    return smooth


def reduce(part: Image, which: Filter, ratio: int, across: Filter | None = None) -> Floats:
    """The coarse pixels (rows, columns) whose filter lies in a part of a band.

    The part begins ``-which.start`` rows and columns before the first fine pixel of the first of them. Where the filter
    along the rows is another one, it is given as ``across``. NaN where less than :data:`ENOUGH` of the fine pixels of a
    coarse pixel are valid.
    """
    across = across or which
    found = _filtered(part, which.weights, ratio, across.weights)
    valid = ~np.isnan(part)
    if not valid.all():
        begins = (each.own - each.start for each in (which, across))
        rows, columns = (slice(at, at + ratio * count) for at, count in zip(begins, found.shape, strict=True))
        own = valid[rows, columns].reshape(found.shape[0], ratio, found.shape[1], ratio)
        found[np.count_nonzero(own, axis=(1, 3)) < ENOUGH * ratio * ratio] = np.nan
    return found


def smooth(part: Image, weights: Floats) -> Floats:
    """A part of a band filtered by weights, less the margin of half of them on every side."""
    return _filtered(part, weights, 1, weights)


def read_beyond(read: Callable[[Box], Image], box: Box, shape: tuple[int, int]) -> Image:
    """A window that may reach beyond an image of this shape, where its outermost pixels are repeated."""
    inside = Box(max(box.top, 0), min(box.bottom, shape[0]), max(box.left, 0), min(box.right, shape[1]))
    beyond = (inside.top - box.top, box.bottom - inside.bottom), (inside.left - box.left, box.right - inside.right)
    return np.pad(read(inside), ((0, 0), *beyond), "edge") if np.any(beyond) else read(inside)


def _filtered(part: Image, weights: Floats, step: int, across: Floats) -> Floats:
    """Means by the weights of the valid pixels, ``step`` apart; NaN where there are none with a positive weight."""
    valid = ~np.isnan(part)
    sums, shares = (
        _along(_along(values, weights, step).T.copy(), across, step).T
        for values in (np.where(valid, part, 0.0).astype(np.float64), valid.astype(np.float64))
    )
    return np.where(shares > 0, sums / np.where(shares > 0, shares, 1.0), np.nan)


@compiled
def _along(values: Floats, weights: Floats, step: int) -> Floats:
    """Weighted sums of all rows in the windows that begin ``step`` rows apart."""
    sums = np.zeros(((len(values) - weights.size) // step + 1, values.shape[1]))
    for i in range(len(sums)):
        line = sums[i]
        for k in range(weights.size):
            row, weight = values[i * step + k], weights[k]
            for j in range(line.size):
                line[j] += weight * row[j]
    return sums
