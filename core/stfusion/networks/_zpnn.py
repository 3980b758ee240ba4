"""Z-PNN: PNN that learns from the scene itself (Ciotola, Vitale, Mazza, Poggi and Scarpa 2022).

IEEE Transactions on Geoscience and Remote Sensing 60, 1-17, https://doi.org/10.1109/TGRS.2022.3163887.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stfusion.networks._batch import SharpeningBatch
from stfusion.networks._network import Form, Layout
from stfusion.networks._pnn import PNNLayers
from stfusion.networks._zero_shot import ZeroShot

_WIDTHS = {"published": (48, 32), "small": (24, 16)}


class ZPNN(ZeroShot):
    """Three convolutions, whose result is added to the interpolated image; before anything is learnt it is 0."""

    id = "zpnn"
    layout = Layout(patch=256, margin=8, ramp=0)
    pixel_bytes = 900

    net: PNNLayers

    def __init__(self, form: Form) -> None:
        super().__init__(form)
        self.net = PNNLayers(form.bands + form.pan_bands, form.bands, _WIDTHS[form.size])
        for weight in self.net.conv3.parameters():
            nn.init.zeros_(weight)

    def output(self, batch: SharpeningBatch) -> Tensor:
        """The details of every band."""
        result: Tensor = self.net(torch.cat((batch.expanded, batch.pan), 1))
        return result


NETWORK = ZPNN
