"""Generalised IHS: F_k = E_k + P - I, I = sum of w_k E_k, P matched to I where asked for."""

from __future__ import annotations

from typing import Any

import numpy as np

from stfusion.pansharpening._component import Substitution, band_weights, matched
from stfusion.pansharpening._moments import fine_moments
from stfusion.pansharpening._scene import Scene
from stfusion.pansharpening._sharpen import STATISTICS, sharpen
from stfusion.run import Context


def run(context: Context) -> dict[str, Any]:
    """Sharpen by generalised IHS."""
    return sharpen(context, _prepare)


def _prepare(scene: Scene, context: Context) -> Substitution:
    weights = band_weights(scene, context, (0.0, STATISTICS / 2))
    if not context.options["match"]:
        return Substitution(weights, 0.0, np.ones(scene.bands))
    moments = fine_moments(context, scene, lambda patch: [patch.expanded, patch.pan], (STATISTICS / 2, STATISTICS))
    return matched(weights, np.ones(scene.bands), moments)
