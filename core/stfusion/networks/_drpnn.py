"""DRPNN: ten wide convolutions correct both images, and a last one makes the sharpened image of them.

Wei, Yuan, Shen and Zhang (2017), IEEE Geoscience and Remote Sensing Letters 14 (10), 1795-1799,
https://doi.org/10.1109/LGRS.2017.2736020.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stfusion.networks._batch import SharpeningBatch
from stfusion.networks._layers import damp
from stfusion.networks._network import Form, Layout
from stfusion.networks._sharpener import Sharpener

#: Channels, and how often the middle convolution is repeated.
_SIZES = {"published": (32, 8), "small": (16, 3)}


class Repeated(nn.Module):
    """A convolution of 7 x 7 pixels and what is positive of it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv2 = nn.Conv2d(width, width, 7, padding=3)

    def forward(self, features: Tensor) -> Tensor:
        """(n, width, rows, columns), features of the same shape."""
        result: Tensor = self.conv2(features).relu_()
        return result


class DRPNNLayers(nn.Module):
    """Convolutions of 7 x 7 pixels, whose result is added to both images before the last of them."""

    def __init__(self, inputs: int, bands: int, width: int, repeats: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 7, padding=3)
        self.backbone = nn.Sequential(*(Repeated(width) for _ in range(repeats)))
        self.conv2 = nn.Conv2d(width, inputs, 7, padding=3)
        self.conv3 = nn.Conv2d(inputs, bands, 7, padding=3)

    def forward(self, images: Tensor) -> Tensor:
        """(n, bands and panchromatic bands, rows, columns) to (n, bands, rows, columns)."""
        details = self.conv2(self.backbone(self.conv1(images).relu_()))
        result: Tensor = self.conv3(images + details)
        return result


class DRPNN(Sharpener):
    """DRPNN."""

    id = "drpnn"
    layout = Layout(patch=256, margin=33, ramp=0)
    pixel_bytes = 900

    net: DRPNNLayers

    def __init__(self, form: Form) -> None:
        super().__init__(form)
        self.net = DRPNNLayers(form.bands + form.pan_bands, form.bands, *_SIZES[form.size])
        if form.target == "residual":
            damp(self.net.conv3)

    def output(self, batch: SharpeningBatch) -> Tensor:
        """What the convolutions give for both images."""
        result: Tensor = self.net(torch.cat((batch.expanded, batch.pan), 1))
        return result


NETWORK = DRPNN
