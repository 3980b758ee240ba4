"""MTF-GLP-CBD: F_k = E_k + g_k (P - P_L,k), g_k = cov(P_L,k, E_k) / var(P_L,k) over the scene or around a pixel."""

from __future__ import annotations

from typing import Any

import numpy as np

from stfusion.pansharpening._filtered import quotient
from stfusion.pansharpening._multiresolution import Injection, LocalInjection, band_gains, pyramid_moments
from stfusion.pansharpening._scene import Scene
from stfusion.pansharpening._sharpen import Sharpener, sharpen
from stfusion.run import Context


def run(context: Context) -> dict[str, Any]:
    """Sharpen by MTF-GLP with context-based decision."""
    return sharpen(context, _prepare)


def _prepare(scene: Scene, context: Context) -> Sharpener:
    filters = band_gains(scene, context)
    moments, lows = pyramid_moments(scene, context, filters)
    gains, window = quotient(moments, range(scene.bands), lows, lows), int(context.options["window"])
    if not window:
        return Injection(filters, gains)
    variances = np.diagonal(moments.covariance)[lows]
    threshold = float(context.options["threshold"])
    return LocalInjection(filters, gains, variances, window, within=True, threshold=threshold)
