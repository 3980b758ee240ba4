"""Gram-Schmidt: F_k = E_k + g_k (P - I), I the mean of the bands, P matched to it, g_k = cov(I, E_k) / var(I)."""

from __future__ import annotations

from typing import Any

import numpy as np

from stfusion.pansharpening._component import Substitution, matched, shared_gains
from stfusion.pansharpening._moments import fine_moments
from stfusion.pansharpening._scene import Scene
from stfusion.pansharpening._sharpen import STATISTICS, sharpen
from stfusion.run import Context


def run(context: Context) -> dict[str, Any]:
    """Sharpen by Gram-Schmidt."""
    return sharpen(context, _prepare)


def _prepare(scene: Scene, context: Context) -> Substitution:
    moments = fine_moments(context, scene, lambda patch: [patch.expanded, patch.pan], (0.0, STATISTICS))
    weights = np.full(scene.bands, 1 / scene.bands)
    return matched(weights, shared_gains(weights, moments), moments)
