"""MTF-GLP-HPM: F_k = E_k P' / P'_L,k, P' = a_k P + b_k as the band has it, the ratio from 0 to 10."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from stfusion.fusion._compile import compiled
from stfusion.fusion._fuse import Tally
from stfusion.pansharpening._filtered import count, deviation_gains, quotient
from stfusion.pansharpening._multiresolution import band_gains, blurred_moments, pyramid_moments
from stfusion.pansharpening._scene import Patch, Scene
from stfusion.pansharpening._sharpen import sharpen
from stfusion.pansharpening._smoothing import NOTHING
from stfusion.raster.checks import warn_of_negatives
from stfusion.raster.source import Array
from stfusion.run import Context

Floats = npt.NDArray[np.float64]

#: The largest ratio.
_LARGEST = np.float32(10.0)


class Modulation:
    """F_k = E_k (a_k P + b_k) / (a_k P_L,k + b_k); E_k where there is nothing to divide by."""

    notes: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"dark": "keep the value of the multispectral image, since there is nothing to divide by"}
    )
    margin = 0

    def __init__(self, filters: tuple[float, ...], slopes: Floats, constants: Floats) -> None:
        self._filters = filters
        self._slopes, self._constants = slopes.astype(np.float32), constants.astype(np.float32)

    def sharpen(self, patch: Patch, tally: Tally) -> Array:
        values = np.empty_like(patch.expanded)
        for gain in dict.fromkeys(self._filters):
            low = patch.low_passed(gain)
            for band in (k for k, own in enumerate(self._filters) if own == gain):
                dark = _modulate(
                    patch.expanded[band], patch.pan, low, self._slopes[band], self._constants[band], values[band]
                )
                count(tally, patch, "dark", dark, 1)
        return values


@compiled
def _modulate(
    expanded: Array, pan: Array, low: Array, slope: np.float32, constant: np.float32, found: Array
) -> npt.NDArray[np.bool_]:
    """Fill ``found``; where there is nothing to divide by."""
    rows, columns = pan.shape
    dark = np.empty((rows, columns), np.bool_)
    for i in range(rows):
        for j in range(columns):
            under = slope * low[i, j] + constant
            dark[i, j] = abs(under) <= NOTHING
            ratio = np.float32(1.0) if dark[i, j] else (slope * pan[i, j] + constant) / under
            found[i, j] = expanded[i, j] * min(max(ratio, np.float32(0.0)), _LARGEST)
    return dark


def run(context: Context) -> dict[str, Any]:
    """Sharpen by MTF-GLP with high-pass modulation."""
    return sharpen(context, _prepare)


def _prepare(scene: Scene, context: Context) -> Modulation:
    warn_of_negatives(context, scene.multispectral, scene.pan)
    gains = band_gains(scene, context)
    if context.options["matching"] == "regression":
        moments, lows = pyramid_moments(scene, context, gains)
        slopes = quotient(moments, range(scene.bands), lows, lows)
        middle = moments.mean[lows]
    else:
        moments = blurred_moments(scene, context)
        slopes = deviation_gains(moments, scene.bands)
        middle = moments.mean[scene.bands]
    return Modulation(gains, slopes, moments.mean[: scene.bands] - slopes * middle)
