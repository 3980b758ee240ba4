"""Weighted Brovey: F_k = E_k P / I, I = sum of w_k E_k."""

from __future__ import annotations

from typing import Any

import numpy as np

from stfusion.pansharpening._component import Modulation, band_weights
from stfusion.pansharpening._scene import Scene
from stfusion.pansharpening._sharpen import STATISTICS, sharpen
from stfusion.run import Context


def run(context: Context) -> dict[str, Any]:
    """Sharpen by the weighted Brovey transform."""
    return sharpen(context, _prepare)


def _prepare(scene: Scene, context: Context) -> Modulation:
    return Modulation(band_weights(scene, context, (0.0, STATISTICS)), np.zeros(scene.bands))
