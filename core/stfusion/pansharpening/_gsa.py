"""Gram-Schmidt adaptive: F_k = E_k + g_k (P - I), I a regression of P on the bands, g_k = cov(I, E_k) / var(I)."""

from __future__ import annotations

from typing import Any

from stfusion.pansharpening._component import Substitution, regression, shared_gains
from stfusion.pansharpening._moments import coarse_moments, fine_moments
from stfusion.pansharpening._scene import Scene
from stfusion.pansharpening._sharpen import STATISTICS, sharpen
from stfusion.raster.mtf import MULTISPECTRAL
from stfusion.run import Context


def run(context: Context) -> dict[str, Any]:
    """Sharpen by GSA."""
    return sharpen(context, _prepare)


def _prepare(scene: Scene, context: Context) -> Substitution:
    low = coarse_moments(
        context, scene, lambda patch: [patch.bands, patch.pan(MULTISPECTRAL)], (0.0, STATISTICS / 2)
    )
    weights = regression(context, scene, low)
    fine = fine_moments(context, scene, lambda patch: [patch.expanded, patch.pan], (STATISTICS / 2, STATISTICS))
    # The constant gives the intensity the mean of the panchromatic image.
    constant = fine.mean[-1] - weights @ fine.mean[:-1]
    return Substitution(weights, constant, shared_gains(weights, fine))
