"""BDSD-PC: F_k = E_k + sum of c_kj E_j + c_k P, learnt from what bands lose to their sensors, c_kj <= 0 <= c_k."""

from __future__ import annotations

from typing import Any

import numpy as np

from stfusion.fusion._bounded import solve_bounded
from stfusion.pansharpening._detail import Mixture, detail_of, pan_gain
from stfusion.pansharpening._moments import coarse_moments
from stfusion.pansharpening._multiresolution import band_gains
from stfusion.pansharpening._scene import Scene
from stfusion.pansharpening._sharpen import STATISTICS, sharpen
from stfusion.run import Context

#: Coefficients of variables of size one are no larger than this.
_LARGEST = 1e3


def run(context: Context) -> dict[str, Any]:
    """Sharpen by BDSD with physical constraints."""
    return sharpen(context, _prepare)


def _prepare(scene: Scene, context: Context) -> Mixture:
    gains, own = band_gains(scene, context), pan_gain(context)
    moments = coarse_moments(context, scene, lambda patch: detail_of(patch, gains, own), (0.0, STATISTICS))
    bands = scene.bands
    products = moments.products
    # The bands may only be taken away: their signs are turned, and nothing is negative.
    signs = np.append(np.full(bands, -1.0), 1.0)
    sizes = np.sqrt(np.maximum(np.diagonal(products)[bands:], np.finfo(float).tiny)) * signs
    normal = products[bands:, bands:] / np.outer(sizes, sizes) + 1e-12 * np.eye(bands + 1)
    moment = products[:bands, bands:] / sizes
    found = solve_bounded(
        np.broadcast_to(normal, (bands, bands + 1, bands + 1)), moment, np.zeros(bands), np.full(bands, _LARGEST)
    )
    return Mixture((found / sizes)[None, None])
