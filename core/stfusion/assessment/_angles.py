"""Spectral angles between the pixels of two images."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from stfusion.fusion._compile import compiled


@compiled
def angles(
    p: NDArray[np.float32], t: NDArray[np.float32], valid: NDArray[np.bool_], rows: int, columns: int
) -> NDArray[np.float64]:
    """Angles in degrees between the spectra of two images (bands, ...), in the first ``rows`` and ``columns``.

    Exactly 0 for equal spectra, NaN where a pixel is invalid or a spectrum is zero, which has no direction.
    """
    found = np.full((rows, columns), np.nan)
    a, b, apart, along = np.empty(columns), np.empty(columns), np.empty(columns), np.empty(columns)
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
            if valid[i, j] and math.isfinite(a[j]) and math.isfinite(b[j]):
                # Half the angle from its tangent: the arc cosine has no digits near 0.
                found[i, j] = math.degrees(2.0 * math.atan2(math.sqrt(apart[j]), math.sqrt(along[j])))
    return found
