"""LMVM: F_k = (P - mean(P)) std(E_k) / std(P) + mean(E_k) in a square window, as Orfeo ToolBox has it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

from stfusion.fusion._fuse import Tally
from stfusion.pansharpening._scene import Patch, Scene
from stfusion.pansharpening._sharpen import sharpen
from stfusion.pansharpening._smoothing import match_locally
from stfusion.raster.source import Array
from stfusion.run import Context


class LocalMatching:
    """The panchromatic image with the means and standard deviations that the bands have around every pixel."""

    notes: ClassVar[Mapping[str, str]] = MappingProxyType({})

    def __init__(self, radius: int) -> None:
        self.margin = radius

    def sharpen(self, patch: Patch, tally: Tally) -> Array:
        values: Array = match_locally(patch.expanded, patch.pan, 2 * self.margin + 1)
        return values


def run(context: Context) -> dict[str, Any]:
    """Sharpen by local mean and variance matching."""
    return sharpen(context, _prepare)


def _prepare(scene: Scene, context: Context) -> LocalMatching:
    return LocalMatching(int(context.options["radius"]))
