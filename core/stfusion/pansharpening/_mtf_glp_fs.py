"""MTF-GLP-FS: F_k = E_k + g_k (P - P_L,k), g_k = cov(E_k, P) / cov(P_L,k, P), P_L,k as band k's sensor sees P."""

from __future__ import annotations

from typing import Any

import numpy as np

from stfusion.pansharpening._multiresolution import Injection, LocalInjection, band_gains, pyramid_moments
from stfusion.pansharpening._scene import Scene
from stfusion.pansharpening._sharpen import Sharpener, sharpen
from stfusion.run import Context


def run(context: Context) -> dict[str, Any]:
    """Sharpen by MTF-GLP with full-scale regression."""
    return sharpen(context, _prepare)


def _prepare(scene: Scene, context: Context) -> Sharpener:
    filters = band_gains(scene, context)
    moments, lows = pyramid_moments(scene, context, filters)
    with_pan = moments.covariance[scene.bands]
    # A panchromatic image without detail, or without anything, adds nothing.
    low = with_pan[lows]
    gains = np.divide(with_pan[: scene.bands], low, out=np.zeros(scene.bands), where=low > 0)
    window = int(context.options["window"])
    return LocalInjection(filters, gains, low, window) if window else Injection(filters, gains)
