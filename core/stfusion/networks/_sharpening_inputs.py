"""What a network of sharpening is given of a scene: windows of both images, without gaps, normalised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stfusion.networks._batch import SharpeningBatch
from stfusion.networks._inputs import Inputs, Reader, stacked
from stfusion.networks._network import SharpeningNetwork
from stfusion.networks._normalisation import Normalisation
from stfusion.pansharpening._scene import Scene
from stfusion.raster.grids import Box
from stfusion.raster.source import Array


@dataclass(frozen=True)
class SharpeningInputs(Inputs):
    """Both images of a patch; the multispectral one in its own pixels too, for a network that needs them."""

    pan: Array
    expanded: Array
    multispectral: Array | None

    @staticmethod
    def batch(items: Sequence[tuple[SharpeningInputs, int | None]]) -> SharpeningBatch:
        """Patches as a batch; each with the number of the band that the network is given, or all of them."""
        coarse = [(one.multispectral, band) for one, band in items if one.multispectral is not None]
        return SharpeningBatch(
            stacked([(one.pan, None) for one, _ in items]),
            stacked([(one.expanded, band) for one, band in items]),
            stacked(coarse) if coarse else None,
        )


class SharpeningReader(Reader):
    """Reads patches of a scene to sharpen; ``scaling`` has the multispectral bands and then the panchromatic one.

    The gaps of an image are filled from beside them as far as the network looks, ``layout.margin`` pixels.
    """

    def __init__(self, scene: Scene, network: SharpeningNetwork, scaling: Normalisation) -> None:
        super().__init__(scene.shape, scene.bands, 1, scaling.bands(slice(scene.bands)))
        self._scene, self._network = scene, network
        self._pan_scaling = scaling.bands(slice(scene.bands, None))
        self._margin = network.laid_out().margin

    def read(self, box: Box) -> SharpeningInputs | None:
        """The images of a patch, which may reach beyond the scene; none where no pixel can be known."""
        margin = self._margin
        inner = Box(box.top + margin, box.bottom - margin, box.left + margin, box.right - margin)
        patch = self._scene.read(inner, margin)
        known = np.zeros(box.shape, bool)
        known[inner.within(box)] = True if patch.valid is None else patch.valid
        if not known.any():
            return None
        coarse = None
        if self._network.needs_multispectral:
            coarse = self._scaling.apply(self._scene.nested(inner, margin, self._network.form.ratio))
        pan = np.stack([patch.pan, *(scene.read(inner, margin).pan for scene in self._scene.guides[1:])])
        return SharpeningInputs(
            box, known, self._pan_scaling.apply(pan), self._scaling.apply(patch.expanded), coarse
        )
