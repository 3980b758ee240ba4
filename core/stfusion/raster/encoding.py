"""Encoding in one compiled pass, for what writes much: what :class:`stfusion.raster.output.Encoding` says, and faster.

It is apart since loading the compiler takes longer than a small image.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from stfusion.fusion._compile import compiled
from stfusion.raster.output import Encoding
from stfusion.raster.source import Array

#: A float32 of this size has no fraction, nor has the sum of it and any number of 16 bits.
_ROUNDING = np.float32(3 * 2**22)


def encode_into(stored: npt.NDArray[Any], encoding: Encoding, values: Array) -> int:
    """Write values (bands, rows, columns) as they are stored into an array; how many were clipped to the data type."""
    plain = (encoding.scales == 1).all() and (encoding.offsets == 0).all()
    if not plain or encoding.dtype.kind == "f" or encoding.dtype.itemsize > 2:
        stored[:], clipped = encoding.encode(values)
        return clipped
    limits = np.iinfo(encoding.dtype)
    step = 1 if encoding.nodata < limits.max else -1
    terms = [np.float32(term) for term in (limits.min, limits.max, encoding.nodata, step)]
    # Band by band: the rows of one lie together in memory, if only some of the rows are written.
    return sum(_rounded(band, target, *terms) for band, target in zip(values, stored, strict=True))


@compiled
def _rounded(
    values: Array, stored: npt.NDArray[Any], low: np.float32, high: np.float32, nodata: np.float32, step: np.float32
) -> int:
    """Whole numbers (rows, columns) of up to 16 bits, which float32 holds; how many were clipped.

    Valid ones that would be nodata are moved by a step. ``low`` is even and ``high`` odd, as in all such types: halves
    are rounded to the even number beside them.
    """
    half = np.float32(0.5)
    clipped = 0
    for i in range(len(values)):
        line, target = values[i], stored[i]
        beyond = np.int32(0)
        for j in range(line.size):
            value = line[j]
            beyond += np.int32(value < low - half) + np.int32(value >= high + half)
            within = value if value > low else low
            within = within if within < high else high
            # The processor rounds by itself what has no room for fractions; a call would cost ten times as much.
            within = (within + _ROUNDING) - _ROUNDING
            within = within + step if within == nodata else within
            target[j] = np.int32(nodata if np.isnan(value) else within)
        clipped += int(beyond)
    return clipped
