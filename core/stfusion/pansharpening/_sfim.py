"""SFIM: F_k = E_k P / P_L, P_L the mean of P in a window of about two multispectral pixels."""

from __future__ import annotations

from typing import Any

from stfusion.pansharpening._filtered import Ratio
from stfusion.pansharpening._scene import Scene
from stfusion.pansharpening._sharpen import sharpen
from stfusion.pansharpening._smoothing import box_weights
from stfusion.raster.checks import warn_of_negatives
from stfusion.run import Context


def run(context: Context) -> dict[str, Any]:
    """Sharpen by smoothing filter-based intensity modulation."""
    return sharpen(context, _prepare)


def _prepare(scene: Scene, context: Context) -> Ratio:
    warn_of_negatives(context, scene.multispectral, scene.pan)
    return Ratio(box_weights(int(context.options["window"]) or 2 * scene.ratio + 1))
