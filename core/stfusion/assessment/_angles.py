"""Spectral angles between the pixels of two images."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from stfusion.fusion._compile import compiled

#: Odd numbers below the last of the series of the arc tangent, descending.
_PLACES = (19.0, 17.0, 15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0, 1.0)


@compiled
def _twice_arc(opposite: float, adjacent: float) -> float:
    """Twice the angle, in radians, whose tangent is the quotient of two sides that are not negative.

    Without branches, so that the loop about it is vectorised: the tangent is halved in angle twice, and its series of
    odd powers then ends at the precision of the numbers.
    """
    steep = opposite > adjacent
    longer = opposite if steep else adjacent
    t = (adjacent if steep else opposite) / (longer if longer > 0.0 else 1.0)
    t = t / (1.0 + math.sqrt(1.0 + t * t))
    t = t / (1.0 + math.sqrt(1.0 + t * t))
    u, series = t * t, 1.0 / 21.0
    for place in _PLACES:
        series = 1.0 / place - u * series
    angle = 8.0 * t * series
    return math.pi - angle if steep else angle


@compiled
def angles(
    p: NDArray[np.float32], t: NDArray[np.float32], valid: NDArray[np.bool_], rows: int, columns: int
) -> NDArray[np.float64]:
    """Angles in degrees between the spectra of two images (bands, ...), in the first ``rows`` and ``columns``.

    Exactly 0 for equal spectra, NaN where a pixel is invalid or a spectrum is zero, which has no direction.
    """
    found = np.full((rows, columns), np.nan)
    a, b, apart, along, arc = (
        np.empty(columns), np.empty(columns), np.empty(columns), np.empty(columns), np.empty(columns)
    )
    for i in range(rows):
        a[:], b[:], apart[:], along[:] = 0.0, 0.0, 0.0, 0.0
        for band in range(len(p)):
            x, y = p[band, i], t[band, i]
            for j in range(columns):
                a[j] += np.float64(x[j]) * np.float64(x[j])
                b[j] += np.float64(y[j]) * np.float64(y[j])
        for j in range(columns):
            a[j], b[j] = 1.0 / math.sqrt(a[j]), 1.0 / math.sqrt(b[j])
        for band in range(len(p)):
            x, y = p[band, i], t[band, i]
            for j in range(columns):
                u, v = np.float64(x[j]) * a[j], np.float64(y[j]) * b[j]
                apart[j] += (u - v) * (u - v)
                along[j] += (u + v) * (u + v)
        for j in range(columns):
            # Half the angle from its tangent: the arc cosine has no digits near 0.
            arc[j] = math.degrees(_twice_arc(math.sqrt(apart[j]), math.sqrt(along[j])))
        for j in range(columns):
            if valid[i, j] and math.isfinite(a[j]) and math.isfinite(b[j]):
                found[i, j] = arc[j]
    return found
