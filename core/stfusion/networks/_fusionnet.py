"""FusionNet: the details of every band from what sets the panchromatic image apart from it (Deng et al. 2021).

IEEE Transactions on Geoscience and Remote Sensing 59 (8), 6995-7010, https://doi.org/10.1109/TGRS.2020.3031366.
"""

from __future__ import annotations

from torch import Tensor, nn

from stfusion.networks._batch import SharpeningBatch
from stfusion.networks._layers import damp
from stfusion.networks._network import Form, Layout
from stfusion.networks._sharpener import DUPLICATES, PANBENCH, ResidualBlock, Sharpener

_WIDTHS = {"published": 32, "small": 16}


class FusionNetLayers(nn.Module):
    """A convolution, four residual blocks, and a convolution to the details."""

    def __init__(self, bands: int, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(bands, width, 3, padding=1)
        self.res1, self.res2, self.res3, self.res4 = (ResidualBlock(width) for _ in range(4))
        self.conv3 = nn.Conv2d(width, bands, 3, padding=1)

    def forward(self, difference: Tensor) -> Tensor:
        """Panchromatic minus interpolated image to details, both (n, bands, rows, columns)."""
        features = self.conv1(difference).relu_()
        for block in (self.res1, self.res2, self.res3, self.res4):
            features = block(features)
        result: Tensor = self.conv3(features)
        return result


class PanBenchFusionNet(nn.Module):
    """The variant of PanBench: what every layer gives is added up, and the sum becomes the image itself."""

    def __init__(self, bands: int, width: int) -> None:
        super().__init__()
        self.pan_concat = nn.Sequential(nn.Conv2d(bands, width, 3, padding=1), nn.ReLU())
        layers = ((nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1))
                  for _ in range(4))
        self.residual_blocks = nn.Sequential(*(layer for block in layers for layer in block))
        self.output_layer = nn.Conv2d(width, bands, 3, padding=1)

    def forward(self, difference: Tensor) -> Tensor:
        """Panchromatic minus interpolated image to the sharpened one, both (n, bands, rows, columns)."""
        features = self.pan_concat(difference)
        total = features
        for layer in self.residual_blocks:
            features = layer(features)
            total = total + features
        result: Tensor = self.output_layer(total)
        return result


class FusionNet(Sharpener):
    """FusionNet, of the toolbox or of PanBench."""

    id = "fusionnet"
    codes = ("", PANBENCH)
    several = False
    duplicates = DUPLICATES
    layout = Layout(patch=256, margin=10, ramp=0)
    pixel_bytes = 600

    def __init__(self, form: Form) -> None:
        super().__init__(form)
        if form.pan_bands != 1:
            raise ValueError(f"{self.id} is built for one panchromatic band, not for {form.pan_bands}")
        if form.code == PANBENCH:
            self.net = PanBenchFusionNet(form.bands, _WIDTHS[form.size])
        else:
            self.net = FusionNetLayers(form.bands, _WIDTHS[form.size])
            if form.target == "residual":
                damp(self.net.conv3)

    def adds(self) -> bool:
        """Only the variant of the toolbox adds the interpolated image."""
        return self.form.code != PANBENCH

    def output(self, batch: SharpeningBatch) -> Tensor:
        """The details of every band, or the image."""
        result: Tensor = self.net(batch.pan - batch.expanded)
        return result


NETWORK = FusionNet
