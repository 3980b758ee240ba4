"""DiCNN: three convolutions give the details that the interpolated image lacks (He et al. 2019).

IEEE Journal of Selected Topics in Applied Earth Observations and Remote Sensing 12 (4), 1188-1204,
https://doi.org/10.1109/JSTARS.2019.2898574.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stfusion.networks._batch import SharpeningBatch
from stfusion.networks._layers import damp
from stfusion.networks._network import Form, Layout
from stfusion.networks._sharpener import Sharpener

_WIDTHS = {"published": 64, "small": 32}


class DiCNNLayers(nn.Module):
    """Three convolutions of 3 x 3 pixels."""

    def __init__(self, inputs: int, bands: int, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.conv3 = nn.Conv2d(width, bands, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        """(n, bands and panchromatic bands, rows, columns) to details (n, bands, rows, columns)."""
        result: Tensor = self.conv3(self.conv2(self.conv1(images).relu_()).relu_())
        return result


class DiCNN(Sharpener):
    """DiCNN of the first form, which sees both images."""

    id = "dicnn"
    skips = True
    layout = Layout(patch=256, margin=3, ramp=0)
    pixel_bytes = 900

    net: DiCNNLayers

    def __init__(self, form: Form) -> None:
        super().__init__(form)
        self.net = DiCNNLayers(form.bands + form.pan_bands, form.bands, _WIDTHS[form.size])
        if form.target == "residual":
            damp(self.net.conv3)

    def output(self, batch: SharpeningBatch) -> Tensor:
        """The details of every band."""
        result: Tensor = self.net(torch.cat((batch.expanded, batch.pan), 1))
        return result


NETWORK = DiCNN
