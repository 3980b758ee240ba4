"""MTF-GLP-CBD: F_k = E_k + g_k (P - P_L,k), g_k = cov(P_L,k, E_k) / var(P_L,k) over the scene or around a pixel."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

from stfusion.fusion._fuse import Tally
from stfusion.pansharpening._filtered import quotient
from stfusion.pansharpening._multiresolution import Injection, band_gains, pyramid_moments
from stfusion.pansharpening._scene import Patch, Scene
from stfusion.pansharpening._sharpen import Sharpener, sharpen
from stfusion.pansharpening._smoothing import regress_locally
from stfusion.raster.source import Array
from stfusion.run import Context


class LocalInjection:
    """The gain of every pixel is that of the window around it, 0 where the two hardly go together."""

    notes: ClassVar[Mapping[str, str]] = MappingProxyType({})

    def __init__(self, filters: tuple[float, ...], window: int, threshold: float) -> None:
        self._filters = filters
        self._window, self._threshold = window, threshold
        self.margin = window // 2

    def sharpen(self, patch: Patch, tally: Tally) -> Array:
        expanded, pan = patch.inner(patch.expanded), patch.inner(patch.pan)
        values = expanded.copy()
        for filtered in dict.fromkeys(self._filters):
            low = patch.low_passed(filtered)
            for band in (k for k, own in enumerate(self._filters) if own == filtered):
                gain = regress_locally(low, patch.expanded[band], self._window, self._threshold)
                values[band] += gain * (pan - patch.inner(low))
        return values


def run(context: Context) -> dict[str, Any]:
    """Sharpen by MTF-GLP with context-based decision."""
    return sharpen(context, _prepare)


def _prepare(scene: Scene, context: Context) -> Sharpener:
    gains, window = band_gains(scene, context), int(context.options["window"])
    if window:
        return LocalInjection(gains, window, float(context.options["threshold"]))
    moments, lows = pyramid_moments(scene, context, gains)
    return Injection(gains, quotient(moments, range(scene.bands), lows, lows))
