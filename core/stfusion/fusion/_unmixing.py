"""Unmixing in a moving window on the coarse grid: what every class has, for all coarse pixels around it to add up."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stfusion.fusion._compile import compiled
from stfusion.fusion._least_squares import bounded_least_squares
from stfusion.raster.source import Array

Floats = npt.NDArray[np.float64]

#: The least weight, in coarse pixels, of the window's mean: it decides what the window says nothing about.
LEAST_PRIOR = 1e-6


@compiled
def unmix_windows(
    fractions: Array,
    shares: Array,
    values: Array,
    reach: int,
    prior: float,
    low: Floats,
    high: Floats,
    top: int,
    left: int,
    unmixed: Array,
) -> None:
    """Solve, around every coarse pixel, for the values of the classes by least squares within bounds.

    The equation of a coarse pixel says that its value is the mean of the classes' values by their fractions; it weighs
    as much as the pixel is known. Windows are cut at the image. A class that the window does not tell from others, or
    does not hold, is drawn to the window's mean.

    Parameters
    ----------
    fractions
        (classes, H, W): share of every class of the known part of a coarse pixel.
    shares
        (H, W): share 0..1 of a coarse pixel that is known; 0 leaves it out.
    values
        (bands, H, W): what is unmixed; NaN leaves a coarse pixel out.
    reach
        Coarse pixels from the centre to the window's edge.
    prior
        How many coarse pixels say, of every class, that it has the window's mean; at least :data:`LEAST_PRIOR`.
    low, high
        (bands,): bounds of the classes' values.
    top, left
        Position in the images of the first coarse pixel to solve for.
    unmixed
        (bands, classes, rows, columns), filled: the values of the classes, NaN where no coarse pixel is known.

    """
    bands, classes, rows, columns = unmixed.shape
    normal, moments = np.empty((classes, classes)), np.empty((bands, classes))
    means, solution = np.empty(bands), np.empty(classes)
    for row in range(rows):
        for column in range(columns):
            known = _gather(fractions, shares, values, top + row, left + column, reach, prior, normal, moments, means)
            for b in range(bands):
                solution[:] = means[b] if known > 0 else np.nan
                if known > 0:
                    bounded_least_squares(normal, moments[b], low[b], high[b], solution)
                unmixed[b, :, row, column] = solution


@compiled
def _gather(
    fractions: Array,
    shares: Array,
    values: Array,
    row: int,
    column: int,
    reach: int,
    prior: float,
    normal: Floats,
    moments: Floats,
    means: Floats,
) -> float:
    """Add up a window's equations; the sum of their weights."""
    normal[:] = 0
    moments[:] = 0
    means[:] = 0
    known = 0.0
    classes = normal.shape[0]
    for i in range(max(0, row - reach), min(shares.shape[0], row + reach + 1)):
        for j in range(max(0, column - reach), min(shares.shape[1], column + reach + 1)):
            weight = np.float64(shares[i, j])
            if weight <= 0 or np.isnan(values[0, i, j]):
                continue
            known += weight
            for b in range(means.size):
                means[b] += weight * values[b, i, j]
            for k in range(classes):
                part = weight * fractions[k, i, j]
                if part == 0:
                    continue
                for m in range(classes):
                    normal[k, m] += part * fractions[m, i, j]
                for b in range(means.size):
                    moments[b, k] += part * values[b, i, j]
    means /= known
    for k in range(classes):
        normal[k, k] += prior
        moments[:, k] += prior * means
    return known
