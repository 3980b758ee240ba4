"""Multiresolution analysis: the bands get the detail that a low-pass filter takes away from the panchromatic image."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from stfusion.fusion._compile import compiled
from stfusion.fusion._fuse import Tally
from stfusion.pansharpening._filtered import smoothed
from stfusion.pansharpening._moments import Moments, fine_moments
from stfusion.pansharpening._scene import Patch, Scene
from stfusion.pansharpening._sharpen import STATISTICS
from stfusion.pansharpening._smoothing import regress_locally
from stfusion.raster.mtf import MULTISPECTRAL, OTHER, gains_of
from stfusion.raster.resolution import gaussian
from stfusion.raster.source import Array
from stfusion.run import Context

Floats = npt.NDArray[np.float64]

#: Share of the covariance over the whole scene by which the gain of a window is drawn to that of the scene.
_TIE = 0.03


class Injection:
    """F_k = E_k + g_k (P - P_L,k), P_L,k the panchromatic image as the sensor of band k would see it."""

    notes: ClassVar[Mapping[str, str]] = MappingProxyType({})
    margin = 0

    def __init__(self, filters: tuple[float, ...], gains: Floats) -> None:
        self._filters = filters
        self._gains = gains.astype(np.float32)

    def sharpen(self, patch: Patch, tally: Tally) -> Array:
        values = np.empty_like(patch.expanded)
        for gain in dict.fromkeys(self._filters):
            low = patch.low_passed(gain)
            for band in (k for k, own in enumerate(self._filters) if own == gain):
                _inject(patch.expanded[band], patch.pan, low, self._gains[band], values[band])
        return values


class LocalInjection:
    """The same with a gain of its own for every pixel, by the window around it: cov(E_k, X) / cov(P_L,k, X).

    X is the panchromatic image or, ``within`` what the sensor sees, P_L,k. ``gains`` and ``covariances`` are those of
    the whole scene, to which a window is tied. ``threshold`` is the least correlation of E_k and X, -1 for none.
    """

    notes: ClassVar[Mapping[str, str]] = MappingProxyType({})

    def __init__(
        self, filters: tuple[float, ...], gains: Floats, covariances: Floats, window: int, within: bool = False,
        threshold: float = -1.0,
    ) -> None:
        self._filters, self._gains, self._ties = filters, gains, _TIE * np.maximum(covariances, 0.0)
        self._window, self._within, self._threshold = window, within, threshold
        self.margin = window // 2

    def sharpen(self, patch: Patch, tally: Tally) -> Array:
        values = patch.inner(patch.expanded).copy()
        for filtered in dict.fromkeys(self._filters):
            low = patch.low_passed(filtered)
            detail = patch.inner(patch.pan - low)
            for k in (k for k, own in enumerate(self._filters) if own == filtered):
                gain = regress_locally(
                    low, patch.expanded[k], low if self._within else patch.pan, self._window, float(self._gains[k]),
                    float(self._ties[k]), self._threshold,
                )
                values[k] += gain * detail
        return values


@compiled
def _inject(expanded: Array, pan: Array, low: Array, gain: np.float32, found: Array) -> None:
    rows, columns = pan.shape
    for i in range(rows):
        for j in range(columns):
            found[i, j] = expanded[i, j] + gain * (pan[i, j] - low[i, j])


def band_gains(scene: Scene, context: Context) -> tuple[float, ...]:
    """The gains of the bands at the Nyquist frequency, by the options 'sensor' and 'gains'."""
    sensor = str(context.options.get("sensor", OTHER))
    return gains_of(sensor, str(context.options.get("gains", "")), scene.bands)


def pyramid_moments(
    scene: Scene, context: Context, gains: tuple[float, ...]
) -> tuple[Moments, list[int]]:
    """Moments of the bands, the panchromatic image, and what sensors see of it; and which variable each band's is."""
    filters = list(dict.fromkeys(gains))
    moments = fine_moments(
        context, scene,
        lambda patch: [patch.expanded, patch.pan, *(patch.low_passed(gain) for gain in filters)],
        (0.0, STATISTICS),
    )
    return moments, [scene.bands + 1 + filters.index(gain) for gain in gains]


def plain_moments(scene: Scene, context: Context) -> Moments:
    """Moments of the bands and of the panchromatic image."""
    return fine_moments(context, scene, lambda patch: [patch.expanded, patch.pan], (0.0, STATISTICS))


def blurred_moments(scene: Scene, context: Context) -> Moments:
    """Moments of the bands, of the panchromatic image, and of it blurred by a gain of 0.3 on its own pixels."""
    weights = gaussian(MULTISPECTRAL, scene.ratio)
    return fine_moments(
        context, scene, lambda patch: [patch.expanded, patch.pan, smoothed(patch, weights)], (0.0, STATISTICS)
    )
