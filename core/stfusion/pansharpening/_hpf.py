"""HPF: F_k = E_k + g_k (P - P_L), P_L the mean of P in a window, g_k 1 or std(E_k) / std(P)."""

from __future__ import annotations

from typing import Any

import numpy as np

from stfusion.pansharpening._filtered import Detail, deviation_gains
from stfusion.pansharpening._multiresolution import plain_moments
from stfusion.pansharpening._scene import Scene
from stfusion.pansharpening._sharpen import sharpen
from stfusion.pansharpening._smoothing import box_weights
from stfusion.run import Context


def run(context: Context) -> dict[str, Any]:
    """Sharpen by high-pass filtering."""
    return sharpen(context, _prepare)


def _prepare(scene: Scene, context: Context) -> Detail:
    weights = box_weights(int(context.options["window"]) or 2 * scene.ratio + 1)
    if context.options["gain"] == "deviation":
        return Detail(weights, deviation_gains(plain_moments(scene, context), scene.bands))
    return Detail(weights, np.ones(scene.bands))
