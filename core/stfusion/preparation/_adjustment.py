"""Adjustments of values: linear ones and those of histograms, and how they are found from samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stfusion.raster.source import Array

Floats = npt.NDArray[np.float64]

#: Percentiles by which histograms are matched.
_STEPS = 256
#: Huber's constant, the factor from a median deviation to a standard deviation, and the rounds of weighting at most.
_HUBER, _TO_SIGMA, _ROUNDS = 1.345, 1.4826, 50


class Line(NamedTuple):
    """value x slope + offset."""

    slope: float
    offset: float

    def __call__(self, values: Array) -> Array:
        """The adjusted values; NaN stays NaN."""
        return (values * np.float64(self.slope) + self.offset).astype(np.float32)


@dataclass(frozen=True)
class Curve:
    """A rising curve through points; beyond its ends values keep their distance from them."""

    places: Floats
    values: Floats

    def __call__(self, values: Array) -> Array:
        """The adjusted values; NaN stays NaN."""
        inner = np.clip(values, self.places[0], self.places[-1])
        found: Array = (np.interp(inner, self.places, self.values) + (values - inner)).astype(np.float32)
        return found


Adjustment = Line | Curve


def stretch(low: float, high: float, bottom: float, top: float) -> Line:
    """The line through (low, bottom) and (high, top).

    Raises
    ------
    ValueError
        The two ends are the same.
    """
    if not high > low:
        raise ValueError(f"The percentiles are both {low:g}.")
    slope = (top - bottom) / (high - low)
    return Line(slope, bottom - slope * low)


def matched(values: Array, reference: Array) -> Curve:
    """The curve that gives values (pixels,) the histogram of reference values (pixels,)."""
    shares = np.linspace(0, 100, _STEPS + 1)
    places, wanted = (np.percentile(each.astype(np.float64), shares) for each in (values, reference))
    # Where many pixels have one value, the mean of what its percentiles become.
    unique, first, count = np.unique(places, return_index=True, return_counts=True)
    sums = np.concatenate([[0.0], np.cumsum(wanted)])
    return Curve(unique, (sums[first + count] - sums[first]) / count)


def regression(values: Array, reference: Array, way: str) -> Line:
    """The line that predicts reference values (pixels,) from values of the same places.

    ``way`` is "ols" (ordinary least squares), "rma" (reduced major axis: the ratio of the standard deviations) or
    "robust" (least squares with the weights of Huber 1964, doi:10.1214/aoms/1177703732).

    Raises
    ------
    ValueError
        The values do not vary.
    """
    x, y = values.astype(np.float64), reference.astype(np.float64)
    if not np.ptp(x) > 0:
        raise ValueError(f"All values are {x[0]:g}.")
    if way == "rma":
        sign = 1.0 if np.cov(x, y)[0, 1] >= 0 else -1.0
        slope = float(sign * y.std() / x.std())
        return Line(slope, float(y.mean() - slope * x.mean()))
    line = _weighted(x, y, np.ones_like(x))
    for _ in range(_ROUNDS if way == "robust" else 0):
        residuals = np.abs(y - line.slope * x - line.offset)
        limit = _HUBER * _TO_SIGMA * float(np.median(residuals))
        if limit == 0:
            break
        new = _weighted(x, y, np.minimum(1.0, limit / np.maximum(residuals, limit)))
        if abs(new.slope - line.slope) <= 1e-9 * abs(line.slope):
            return new
        line = new
    return line


def _weighted(x: Floats, y: Floats, weights: Floats) -> Line:
    """The line of weighted least squares."""
    total = weights.sum()
    mean_x, mean_y = (weights * x).sum() / total, (weights * y).sum() / total
    slope = (weights * (x - mean_x) * (y - mean_y)).sum() / (weights * (x - mean_x) ** 2).sum()
    return Line(float(slope), float(mean_y - slope * mean_x))
