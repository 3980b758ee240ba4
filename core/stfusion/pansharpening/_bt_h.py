"""BT-H: F_k = H_k + (E_k - H_k) P / I, H_k the least E_k, I = sum of w_k (E_k - H_k), P matched by its low-pass."""

from __future__ import annotations

from typing import Any

import numpy as np

from stfusion.pansharpening._component import Modulation
from stfusion.pansharpening._moments import fine_moments
from stfusion.pansharpening._scene import Scene
from stfusion.pansharpening._sharpen import STATISTICS, sharpen
from stfusion.raster.mtf import MULTISPECTRAL
from stfusion.run import Context


def run(context: Context) -> dict[str, Any]:
    """Sharpen by Brovey's ratio without haze."""
    return sharpen(context, _prepare)


def _prepare(scene: Scene, context: Context) -> Modulation:
    moments = fine_moments(
        context, scene, lambda patch: [patch.expanded, patch.smoothed(MULTISPECTRAL)], (0.0, STATISTICS)
    )
    products, covariance = moments.products, moments.covariance[:-1, :-1]
    weights = np.linalg.pinv(products[:-1, :-1], rcond=1e-10, hermitian=True) @ products[:-1, -1]
    haze = moments.least[:-1]
    words = ", ".join(f"{value:.4g}" for value in haze)
    context.reporter.log(f"Taken for haze: {words}.")
    spread = moments.std[-1]
    scale = float(np.sqrt(weights @ covariance @ weights)) / spread if spread > 0 else 0.0
    shift = float(weights @ (moments.mean[:-1] - haze) - scale * moments.mean[-1])
    return Modulation(weights, haze, scale, shift)
