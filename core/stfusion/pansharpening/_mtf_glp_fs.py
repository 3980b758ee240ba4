"""MTF-GLP-FS: F_k = E_k + g_k (P - P_L,k), g_k = cov(E_k, P) / cov(P_L,k, P), P_L,k as band k's sensor sees P."""

from __future__ import annotations

from typing import Any

import numpy as np

from stfusion.pansharpening._moments import fine_moments
from stfusion.pansharpening._multiresolution import Injection, band_gains
from stfusion.pansharpening._scene import Scene
from stfusion.pansharpening._sharpen import STATISTICS, sharpen
from stfusion.run import Context


def run(context: Context) -> dict[str, Any]:
    """Sharpen by MTF-GLP with full-scale regression."""
    return sharpen(context, _prepare)


def _prepare(scene: Scene, context: Context) -> Injection:
    gains = band_gains(scene, context)
    filters = list(dict.fromkeys(gains))
    moments = fine_moments(
        context, scene,
        lambda patch: [patch.expanded, patch.pan, *(patch.low_passed(gain) for gain in filters)],
        (0.0, STATISTICS),
    )
    with_pan = moments.covariance[scene.bands]
    low = np.array([with_pan[scene.bands + 1 + filters.index(gain)] for gain in gains])
    # A panchromatic image without detail, or without anything, adds nothing.
    return Injection(gains, np.divide(with_pan[: scene.bands], low, out=np.zeros(scene.bands), where=low > 0))
