"""Principal component substitution: F_k = E_k + v_k (P - PC), PC = sum of v_k (E_k - mean), P matched to it."""

from __future__ import annotations

from typing import Any

import numpy as np

from stfusion.pansharpening._component import Substitution, matched
from stfusion.pansharpening._moments import fine_moments
from stfusion.pansharpening._scene import Scene
from stfusion.pansharpening._sharpen import STATISTICS, sharpen
from stfusion.run import Context


def run(context: Context) -> dict[str, Any]:
    """Sharpen by the first principal component."""
    return sharpen(context, _prepare)


def _prepare(scene: Scene, context: Context) -> Substitution:
    moments = fine_moments(context, scene, lambda patch: [patch.expanded, patch.pan], (0.0, STATISTICS))
    values, vectors = np.linalg.eigh(moments.covariance[:-1, :-1])
    first = vectors[:, -1] * (1.0 if vectors[:, -1].sum() > 0 else -1.0)
    context.reporter.log(
        f"The first principal component has {values[-1] / max(values.sum(), np.finfo(float).tiny):.1%} of the variance."
    )
    return matched(first, first, moments)
