"""AWLP: F_k = E_k + (P - A(P)) E_k / mean(E), A what the à trous transform leaves of P."""

from __future__ import annotations

from typing import Any

from stfusion.pansharpening._filtered import ProportionalDetail
from stfusion.pansharpening._scene import Scene
from stfusion.pansharpening._sharpen import sharpen
from stfusion.pansharpening._smoothing import spline_weights
from stfusion.raster.checks import warn_of_negatives
from stfusion.run import Context


def run(context: Context) -> dict[str, Any]:
    """Sharpen by the additive wavelet luminance proportional method."""
    return sharpen(context, _prepare)


def _prepare(scene: Scene, context: Context) -> ProportionalDetail:
    warn_of_negatives(context, scene.multispectral, scene.pan)
    return ProportionalDetail(spline_weights(scene.levels))
