"""Bayesian fusion: the bands that are most probable, given P and the regression of P on them, as Orfeo ToolBox has it.

F minimises L (P - b_0 - F b)^2 / S + (1 - L) (F - E) C^-1 (F - E)^T: b_0 and b are the regression's constant and
slopes, S the variance that it leaves, C the covariance of the bands, L the weight of P. Orfeo ToolBox solves that with
inverses; it is F = E + (P - b_0 - E b) g with g = L C b / ((1 - L) S + L b^T C b), which is a component substitution.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stfusion.pansharpening._component import Substitution, regression
from stfusion.pansharpening._multiresolution import plain_moments
from stfusion.pansharpening._scene import Scene
from stfusion.pansharpening._sharpen import sharpen
from stfusion.run import Context


def run(context: Context) -> dict[str, Any]:
    """Sharpen by Bayesian fusion."""
    return sharpen(context, _prepare)


def _prepare(scene: Scene, context: Context) -> Substitution:
    weight = float(context.options["weight"])
    moments = plain_moments(scene, context)
    slopes = regression(context, scene, moments)
    constant = float(moments.mean[-1] - slopes @ moments.mean[:-1])
    difference = np.append(slopes, -1.0)
    # Sums over the degrees of freedom that are left; a scene of a few pixels may have none.
    count, free = moments.count, max(moments.count - scene.bands - 1, 1)
    rest = max(0.0, float(difference @ moments.covariance @ difference)) * count / free
    shared = moments.covariance[:-1, :-1] @ slopes * (count / max(count - 1, 1))
    total = (1 - weight) * rest + weight * float(slopes @ shared)
    gains = weight * shared / total if total > 0 else np.zeros(scene.bands)
    return Substitution(slopes, constant, gains)
