"""The detail that a filter takes away from the panchromatic image on its own pixels, added or multiplied."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from stfusion.fusion._compile import compiled
from stfusion.fusion._fuse import Tally
from stfusion.pansharpening._moments import Moments
from stfusion.pansharpening._scene import Patch
from stfusion.pansharpening._smoothing import NOTHING, ROUNDING, smooth
from stfusion.raster.source import Array

Floats = npt.NDArray[np.float64]


def smoothed(patch: Patch, weights: Floats) -> Array:
    """The panchromatic image of a patch filtered by symmetric weights."""
    found: Array = smooth(patch.pan_around(len(weights) // 2), weights)
    return found


class Detail:
    """F_k = E_k + g_k (P - P_L), P_L the panchromatic image filtered by some weights."""

    notes: ClassVar[Mapping[str, str]] = MappingProxyType({})
    margin = 0

    def __init__(self, weights: Floats, gains: Floats) -> None:
        self._weights = weights
        self._gains = gains.astype(np.float32)

    def sharpen(self, patch: Patch, tally: Tally) -> Array:
        low = smoothed(patch, self._weights)
        values: Array = add_detail(patch.expanded, patch.pan, low, self._gains)
        return values


class _Scaled:
    """The bands multiplied by what a kernel makes of them, the panchromatic image, and that image filtered."""

    notes: ClassVar[Mapping[str, str]]
    margin = 0

    def __init__(
        self, weights: Floats, kernel: Callable[[Array, Array, Array], tuple[Array, npt.NDArray[np.bool_]]]
    ) -> None:
        self._weights = weights
        self._kernel = kernel

    def sharpen(self, patch: Patch, tally: Tally) -> Array:
        values, dark = self._kernel(patch.expanded, patch.pan, smoothed(patch, self._weights))
        count(tally, patch, "dark", dark, len(values))
        return values


class ProportionalDetail(_Scaled):
    """F_k = E_k + (P - P_L) E_k / mean(E), the mean over the bands; the detail itself where that is not positive."""

    notes: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"dark": "got the detail as it is, since the mean of their bands is not positive"}
    )

    def __init__(self, weights: Floats) -> None:
        super().__init__(weights, _add_in_proportion)


class Ratio(_Scaled):
    """F_k = E_k P / P_L; E_k where there is nothing to divide by."""

    notes: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"dark": "keep the value of the multispectral image, since the panchromatic one is 0 on average around them"}
    )

    def __init__(self, weights: Floats) -> None:
        super().__init__(weights, _multiply)


def count(tally: Tally, patch: Patch, name: str, where: npt.NDArray[np.bool_], bands: int) -> None:
    """Count the values of so many bands, valid ones, where something happened."""
    if where.any():
        tally.add(name, bands * int(np.count_nonzero(where if patch.valid is None else where & patch.valid)))


def deviation_gains(moments: Moments, bands: int) -> Floats:
    """The standard deviations of so many variables over that of the last one."""
    return np.sqrt(quotient(moments, range(bands), range(bands), [-1] * bands))


def quotient(moments: Moments, first: Sequence[int], second: Sequence[int], by: Sequence[int]) -> Floats:
    """Covariances of pairs of variables over the variances of others; 0 where these are what rounding leaves of zero.

    So an image without any detail adds none.
    """
    variance = np.diagonal(moments.covariance)[list(by)]
    some = variance > ROUNDING * moments.mean[list(by)] ** 2
    covariance = moments.covariance[list(first), list(second)]
    return np.divide(covariance, variance, out=np.zeros(len(covariance)), where=some)


@compiled
def add_detail(expanded: Array, pan: Array, low: Array, gains: Array) -> Array:
    """E_k + g_k (P - P_L)."""
    bands, rows, columns = expanded.shape
    found = np.empty_like(expanded)
    detail = np.empty(columns, np.float32)
    for i in range(rows):
        for j in range(columns):
            detail[j] = pan[i, j] - low[i, j]
        for b in range(bands):
            line, target, gain = expanded[b, i], found[b, i], gains[b]
            for j in range(columns):
                target[j] = line[j] + gain * detail[j]
    return found


@compiled
def _add_in_proportion(expanded: Array, pan: Array, low: Array) -> tuple[Array, npt.NDArray[np.bool_]]:
    """The bands, and where they have no positive mean."""
    bands, rows, columns = expanded.shape
    found, dark = np.empty_like(expanded), np.empty((rows, columns), np.bool_)
    share, mean = np.empty(columns, np.float32), np.empty(columns, np.float32)
    for i in range(rows):
        mean[:] = np.float32(0.0)
        for b in range(bands):
            line = expanded[b, i]
            for j in range(columns):
                mean[j] += line[j]
        for j in range(columns):
            dark[i, j] = not mean[j] > np.float32(0.0)
            share[j] = (pan[i, j] - low[i, j]) / (mean[j] / np.float32(bands) if not dark[i, j] else np.float32(1.0))
        for b in range(bands):
            line, target = expanded[b, i], found[b, i]
            for j in range(columns):
                target[j] = line[j] + share[j] * (line[j] if not dark[i, j] else np.float32(1.0))
    return found, dark


@compiled
def _multiply(expanded: Array, pan: Array, low: Array) -> tuple[Array, npt.NDArray[np.bool_]]:
    """The bands, and where there is nothing to divide by."""
    bands, rows, columns = expanded.shape
    found, dark = np.empty_like(expanded), np.empty((rows, columns), np.bool_)
    ratio = np.empty(columns, np.float32)
    for i in range(rows):
        for j in range(columns):
            dark[i, j] = abs(low[i, j]) <= NOTHING
            ratio[j] = np.float32(1.0) if dark[i, j] else pan[i, j] / low[i, j]
        for b in range(bands):
            line, target = expanded[b, i], found[b, i]
            for j in range(columns):
                target[j] = line[j] * ratio[j]
    return found, dark
