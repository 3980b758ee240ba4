"""What a fusion method has to beat, computed pixel by pixel from the images on the fine grid."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar

from stfusion.fusion._fuse import Tally, fuse
from stfusion.fusion._scene import Patch, Scene
from stfusion.raster.source import Array
from stfusion.raster.tiles import Tile
from stfusion.run import Context

Formula = Callable[[Patch], Array]


def copy_fine(context: Context) -> dict[str, Any]:
    """F1."""
    return _run(context, lambda patch: patch.fine[0])


def upsampled_coarse(context: Context) -> dict[str, Any]:
    """C2 on the fine grid."""
    return _run(context, lambda patch: patch.target)


def fine_plus_difference(context: Context) -> dict[str, Any]:
    """F1 + C2 - C1, the coarse images on the fine grid."""
    return _run(context, lambda patch: patch.fine[0] + (patch.target - patch.coarse[0]))


def _run(context: Context, formula: Formula) -> dict[str, Any]:
    return fuse(context, lambda scene, _: _Pixelwise(scene, formula))


class _Pixelwise:
    """A model whose value depends on one pixel alone."""

    notes: ClassVar[Mapping[str, str]] = MappingProxyType({})
    halo = 0

    def __init__(self, scene: Scene, formula: Formula) -> None:
        self.pixel_bytes = 4 * scene.bands * 5
        self._formula = formula

    def predict(self, patch: Patch, tile: Tile, tally: Tally) -> Array:
        values = self._formula(patch)
        tile.advance(1.0)
        return values
