"""Band-dependent detail: mixtures of the bands and the panchromatic image that are learnt at the bands' resolution."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from types import MappingProxyType
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from stfusion.fusion._compile import compiled
from stfusion.fusion._fuse import Tally
from stfusion.pansharpening._scene import CoarsePatch, Patch
from stfusion.raster.mtf import pan_gain_of
from stfusion.raster.source import Array
from stfusion.run import Context

Floats = npt.NDArray[np.float64]


class Mixture:
    """F_k = E_k + sum of c_kj E_j + c_k P, with the coefficients of the block of the scene that a pixel lies in.

    ``coefficients`` are (rows of blocks, columns of blocks, bands, bands and the panchromatic image); ``ends`` are
    the rows and the columns of the result at which the blocks end, but for the last ones.
    """

    notes: ClassVar[Mapping[str, str]] = MappingProxyType({})
    margin = 0

    def __init__(self, coefficients: Floats, ends: tuple[list[int], list[int]] = ([], [])) -> None:
        self._coefficients = coefficients.astype(np.float32)
        self._ends = ends

    def sharpen(self, patch: Patch, tally: Tally) -> Array:
        """The bands of a patch."""
        values = np.empty_like(patch.expanded)
        box = patch.box
        for down, rows in _parts(self._ends[0], box.top, box.bottom):
            for across, columns in _parts(self._ends[1], box.left, box.right):
                _mix(
                    patch.expanded[:, rows, columns], patch.pan[rows, columns], self._coefficients[down, across],
                    values[:, rows, columns],
                )
        return values


def _parts(ends: list[int], begin: int, end: int) -> list[tuple[int, slice]]:
    """The blocks that lie between two places, and what each has of them, counted from the first place."""
    edges = [0, *ends, max(end, *ends, 0) if ends else end]
    return [
        (block, slice(max(low, begin) - begin, min(high, end) - begin))
        for block, (low, high) in enumerate(pairwise(edges))
        if low < end and high > begin
    ]


@compiled
def _mix(expanded: Array, pan: Array, coefficients: Array, found: Array) -> None:
    bands, rows, columns = expanded.shape
    for i in range(rows):
        for k in range(bands):
            target, own, weight = found[k, i], expanded[k, i], coefficients[k, bands]
            for j in range(columns):
                target[j] = own[j] + weight * pan[i, j]
            for b in range(bands):
                line, weight = expanded[b, i], coefficients[k, b]
                for j in range(columns):
                    target[j] += weight * line[j]


def detail_of(patch: CoarsePatch, gains: tuple[float, ...], own: float) -> list[Array]:
    """What is to be explained, the detail that the bands lose to their sensors, and what explains it.

    That are the blurred bands and the panchromatic image in their pixels.
    """
    low = patch.smoothed(gains)
    return [patch.bands - low, low, patch.pan(own)]


def pan_gain(context: Context) -> float:
    """The gain of the panchromatic band: the user's, that of the sensor, or the usual one."""
    return float(context.options["pan_gain"]) or pan_gain_of(str(context.options["sensor"]))
