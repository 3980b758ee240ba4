"""PNN: three convolutions from both images to the sharpened one (Masi, Cozzolino, Verdoliva and Scarpa 2016).

Remote Sensing 8 (7), 594, https://doi.org/10.3390/rs8070594.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from stfusion.networks._batch import SharpeningBatch
from stfusion.networks._layers import damp
from stfusion.networks._network import Form, Layout
from stfusion.networks._sharpener import PANBENCH, Sharpener

_WIDTHS = {"published": (64, 32), "small": (32, 16)}
#: Pixels that the three convolutions lose on every side.
_LOST = 8


class PNNLayers(nn.Module):
    """Convolutions of 9, 5 and 5 pixels without padding; the images are continued before them."""

    def __init__(self, inputs: int, bands: int, widths: tuple[int, int]) -> None:
        super().__init__()
        one, two = widths
        self.conv1 = nn.Conv2d(inputs, one, 9)
        self.conv2 = nn.Conv2d(one, two, 5)
        self.conv3 = nn.Conv2d(two, bands, 5)

    def forward(self, images: Tensor) -> Tensor:
        """(n, bands and panchromatic bands, rows, columns) to (n, bands, rows, columns)."""
        wide = functional.pad(images, (_LOST,) * 4, mode="replicate")
        result: Tensor = self.conv3(self.conv2(self.conv1(wide).relu_()).relu_())
        return result


class PNN(Sharpener):
    """PNN, of the toolbox or of PanBench, which pads its convolutions."""

    id = "pnn"
    codes = ("", PANBENCH)
    layout = Layout(patch=256, margin=8, ramp=0)
    pixel_bytes = 900

    def __init__(self, form: Form) -> None:
        super().__init__(form)
        inputs, (one, two) = form.bands + form.pan_bands, _WIDTHS[form.size]
        if form.code == PANBENCH:
            self.net = nn.Sequential(
                nn.Conv2d(inputs, one, 9, padding=4), nn.ReLU(inplace=True),
                nn.Conv2d(one, two, 5, padding=2), nn.ReLU(inplace=True), nn.Conv2d(two, form.bands, 5, padding=2),
            )
        else:
            self.net = PNNLayers(inputs, form.bands, (one, two))
            if form.target == "residual":
                damp(self.net.conv3)

    def output(self, batch: SharpeningBatch) -> Tensor:
        """What the convolutions give for both images."""
        result: Tensor = self.net(torch.cat((batch.expanded, batch.pan), 1))
        return result


NETWORK = PNN
