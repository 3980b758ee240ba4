"""Symmetric filters of the panchromatic image on its own pixels, and what local statistics make of windows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stfusion.fusion._compile import compiled
from stfusion.raster.source import Array

Floats = npt.NDArray[np.float64]

#: A variance below this share of the squared mean is what rounding leaves of zero.
ROUNDING = 1e-12
#: What a ratio is not divided by, as Orfeo ToolBox has it.
NOTHING = 1e-10
#: The B3 spline of the à trous transform.
_SPLINE = (0.0625, 0.25, 0.375, 0.25, 0.0625)


def box_weights(side: int) -> Floats:
    """The mean of a window with an odd side."""
    return np.full(side, 1 / side)


def spline_weights(levels: int) -> Floats:
    """What the à trous transform leaves after its levels, as one filter."""
    weights = np.ones(1)
    for level in range(levels):
        apart = np.zeros(4 * 2**level + 1)
        apart[:: 2**level] = _SPLINE
        weights = np.convolve(weights, apart)
    return weights


@compiled
def smooth(values: Array, weights: Floats) -> Array:
    """An image (rows, columns) filtered along rows and columns, less half of the odd number of weights on every side.

    Every value is summed up in the same order wherever the image begins.
    """
    reach = weights.size // 2
    rows, columns = values.shape[0] - 2 * reach, values.shape[1] - 2 * reach
    found = np.empty((rows, columns), np.float32)
    down, across = np.empty(values.shape[1]), np.empty(columns)
    for i in range(rows):
        centre = values[i + reach]
        for j in range(down.size):
            down[j] = weights[reach] * centre[j]
        for k in range(reach):
            above, below, weight = values[i + k], values[i + 2 * reach - k], weights[k]
            for j in range(down.size):
                down[j] += weight * (np.float64(above[j]) + np.float64(below[j]))
        _across(down, weights, across)
        for j in range(columns):
            found[i, j] = across[j]
    return found


@compiled
def _across(line: Floats, weights: Floats, found: Floats) -> None:
    """A row filtered by symmetric weights."""
    reach = weights.size // 2
    for j in range(found.size):
        found[j] = weights[reach] * line[j + reach]
    for k in range(reach):
        before, after, weight = line[k : k + found.size], line[2 * reach - k :], weights[k]
        for j in range(found.size):
            found[j] += weight * (before[j] + after[j])


@compiled
def _window_sums(first: Array, second: Array, i: int, side: int, down: Floats, found: Floats) -> None:
    """Sums of products in the windows with their first row at ``i``."""
    for j in range(down.size):
        down[j] = np.float64(first[i, j]) * np.float64(second[i, j])
    for k in range(1, side):
        a, b = first[i + k], second[i + k]
        for j in range(down.size):
            down[j] += np.float64(a[j]) * np.float64(b[j])
    _run(down, side, found)


@compiled
def _plain_sums(image: Array, i: int, side: int, down: Floats, found: Floats) -> None:
    """Sums in the windows with their first row at ``i``."""
    for j in range(down.size):
        down[j] = image[i, j]
    for k in range(1, side):
        line = image[i + k]
        for j in range(down.size):
            down[j] += line[j]
    _run(down, side, found)


@compiled
def _run(line: Floats, side: int, found: Floats) -> None:
    """Sums of ``side`` neighbours."""
    for j in range(found.size):
        found[j] = line[j]
    for k in range(1, side):
        part = line[k : k + found.size]
        for j in range(found.size):
            found[j] += part[j]


@compiled
def _deviations(image: Array, i: int, side: int, down: Floats, mean: Floats, deviation: Floats) -> None:
    """Means and standard deviations of the windows with their first row at ``i``."""
    pixels = side * side
    _plain_sums(image, i, side, down, mean)
    _window_sums(image, image, i, side, down, deviation)
    for j in range(mean.size):
        mean[j] /= pixels
        square = mean[j] * mean[j]
        variance = deviation[j] / pixels - square
        deviation[j] = np.sqrt(variance) if variance > ROUNDING * square else 0.0


@compiled
def match_locally(expanded: Array, pan: Array, side: int) -> Array:
    """(P - mean(P)) std(E_k) / std(P) + mean(E_k) in windows with this side: bands, less half of it on every side."""
    reach = side // 2
    bands, rows, columns = len(expanded), pan.shape[0] - 2 * reach, pan.shape[1] - 2 * reach
    found = np.empty((bands, rows, columns), np.float32)
    down, detail, mean, deviation = np.empty(pan.shape[1]), np.empty(columns), np.empty(columns), np.empty(columns)
    for i in range(rows):
        _deviations(pan, i, side, down, mean, deviation)
        line = pan[i + reach, reach:]
        for j in range(columns):
            some = deviation[j] > 0.0
            detail[j] = (line[j] - mean[j]) / (deviation[j] if some else 1.0) if some else 0.0
        for b in range(bands):
            _deviations(expanded[b], i, side, down, mean, deviation)
            target = found[b, i]
            for j in range(columns):
                target[j] = detail[j] * deviation[j] + mean[j]
    return found


@compiled
def regress_locally(
    low: Array, band: Array, other: Array, side: int, gain: float, tie: float, threshold: float
) -> Array:
    """(cov(E, X) + t g) / (cov(P_L, X) + t) in windows with this side, X another image, g the gain of the whole scene.

    ``tie`` is t: it draws the gain to g where the window has little that tells. 0 where the quotient is negative, or
    the correlation of E and X is not above the threshold (-1: whatever it is). Less half of the side on every side.
    """
    rows, columns = low.shape[0] - side + 1, low.shape[1] - side + 1
    found = np.empty((rows, columns), np.float32)
    down, pixels = np.empty(low.shape[1]), side * side
    x, y, z = np.empty(columns), np.empty(columns), np.empty(columns)
    xz, yz, yy, zz = np.empty(columns), np.empty(columns), np.ones(columns), np.ones(columns)
    for i in range(rows):
        _plain_sums(low, i, side, down, x)
        _plain_sums(band, i, side, down, y)
        _plain_sums(other, i, side, down, z)
        _window_sums(low, other, i, side, down, xz)
        _window_sums(band, other, i, side, down, yz)
        if threshold > -1:
            _window_sums(band, band, i, side, down, yy)
            _window_sums(other, other, i, side, down, zz)
        for j in range(columns):
            a, b, c = x[j] / pixels, y[j] / pixels, z[j] / pixels
            under, both = xz[j] / pixels - a * c, yz[j] / pixels - b * c
            kept = under + tie > ROUNDING * abs(a * c)
            if threshold > -1:
                own, others = yy[j] / pixels - b * b, zz[j] / pixels - c * c
                kept &= own > ROUNDING * b * b and others > ROUNDING * c * c
                kept &= both > threshold * np.sqrt(max(own * others, 0.0))
            found[i, j] = max((both + tie * gain) / (under + tie), 0.0) if kept else 0.0
    return found
