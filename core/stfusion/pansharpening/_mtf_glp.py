"""MTF-GLP: F_k = E_k + g_k (P - P_L,k), g_k = std(E_k) / std(P_G), P_G what a Gaussian of gain 0.3 leaves of P."""

from __future__ import annotations

from typing import Any

from stfusion.pansharpening._filtered import deviation_gains
from stfusion.pansharpening._multiresolution import Injection, band_gains, blurred_moments
from stfusion.pansharpening._scene import Scene
from stfusion.pansharpening._sharpen import sharpen
from stfusion.run import Context


def run(context: Context) -> dict[str, Any]:
    """Sharpen by MTF-GLP."""
    return sharpen(context, _prepare)


def _prepare(scene: Scene, context: Context) -> Injection:
    return Injection(band_gains(scene, context), deviation_gains(blurred_moments(scene, context), scene.bands))
