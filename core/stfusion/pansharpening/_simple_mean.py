"""The simple mean: F_k = (E_k + P) / 2."""

from __future__ import annotations

from typing import Any

import numpy as np

from stfusion.pansharpening._component import Substitution
from stfusion.pansharpening._sharpen import sharpen
from stfusion.run import Context


def run(context: Context) -> dict[str, Any]:
    """Sharpen by the simple mean."""
    return sharpen(
        context, lambda scene, _: Substitution(np.zeros(scene.bands), 0.0, np.full(scene.bands, 0.5), own=0.5)
    )
