"""ATWT: F_k = E_k + g_k (P - A(P)), A what the à trous transform leaves of P, g_k = std(E_k) / std(P)."""

from __future__ import annotations

from typing import Any

from stfusion.pansharpening._filtered import Detail, deviation_gains
from stfusion.pansharpening._multiresolution import plain_moments
from stfusion.pansharpening._scene import Scene
from stfusion.pansharpening._sharpen import sharpen
from stfusion.pansharpening._smoothing import spline_weights
from stfusion.run import Context


def run(context: Context) -> dict[str, Any]:
    """Sharpen by the à trous wavelet transform."""
    return sharpen(context, _prepare)


def _prepare(scene: Scene, context: Context) -> Detail:
    return Detail(spline_weights(scene.levels), deviation_gains(plain_moments(scene, context), scene.bands))
