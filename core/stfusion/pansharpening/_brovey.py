"""Weighted Brovey: F_k = E_k P / I, I = sum of w_k E_k."""

from __future__ import annotations

from typing import Any

import numpy as np

from stfusion.pansharpening._component import Modulation, band_weights
from stfusion.pansharpening._scene import Scene
from stfusion.pansharpening._sharpen import STATISTICS, sharpen
from stfusion.raster.checks import warn_of_negatives
from stfusion.run import Context


def run(context: Context) -> dict[str, Any]:
    """Sharpen by the weighted Brovey transform."""
    return sharpen(context, _prepare)


def _prepare(scene: Scene, context: Context) -> Modulation:
    warn_of_negatives(context, scene.multispectral, scene.pan)
    # Whole numbers stay whole before they are multiplied, as in GDAL, whose values come out so.
    source = scene.multispectral
    whole = source.dtype.kind in "iu" and (source.scales == 1).all() and (source.offsets == 0).all()
    weights = band_weights(scene, context, (0.0, STATISTICS))
    return Modulation(weights, np.zeros(scene.bands), whole=bool(whole))
