"""PanNet: learns from the high frequencies of both images what the interpolated one lacks (Yang et al. 2017).

Proceedings of the IEEE International Conference on Computer Vision, 1753-1761, https://doi.org/10.1109/ICCV.2017.193.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from stfusion.networks._batch import SharpeningBatch, known
from stfusion.networks._layers import damp
from stfusion.networks._network import Form, Layout
from stfusion.networks._sharpener import DUPLICATES, PANBENCH, ResidualBlock, Sharpener

_WIDTHS = {"published": 32, "small": 16}
#: Side of the window whose mean is taken away.
_BOX = 5
#: Pixels around one that the layers after the upsampling see, and the pixels of the multispectral image before them.
_AFTER, _BEFORE = 10, 4


def high_pass(image: Tensor) -> Tensor:
    """An image without the means of its surroundings of 5 x 5 pixels; its edge is mirrored."""
    wide = functional.pad(image, (_BOX // 2,) * 4, mode="reflect")
    return image - functional.avg_pool2d(wide, _BOX, stride=1)


def upsampling(bands: int, ratio: int) -> nn.ConvTranspose2d:
    """A transposed convolution that makes ``ratio`` pixels of one, from two of them: 8 x 8 pixels for a ratio of 4."""
    odd = ratio % 2
    return nn.ConvTranspose2d(bands, bands, 2 * ratio + odd, stride=ratio, padding=(ratio + odd) // 2)


class PanNetLayers(nn.Module):
    """The high frequencies upsampled, put beside those of the panchromatic image, and four residual blocks."""

    def __init__(self, bands: int, pan_bands: int, ratio: int, width: int) -> None:
        super().__init__()
        self.deconv = upsampling(bands, ratio)
        self.conv1 = nn.Conv2d(bands + pan_bands, width, 3, padding=1)
        self.res1, self.res2, self.res3, self.res4 = (ResidualBlock(width) for _ in range(4))
        self.conv3 = nn.Conv2d(width, bands, 3, padding=1)

    def forward(self, multispectral: Tensor, pan: Tensor) -> Tensor:
        """High frequencies of both images to the details (n, bands, rows, columns)."""
        features = self.conv1(torch.cat((self.deconv(multispectral), pan), 1)).relu_()
        for block in (self.res1, self.res2, self.res3, self.res4):
            features = block(features)
        result: Tensor = self.conv3(features)
        return result


class PanBenchBlock(nn.Module):
    """Two normalised convolutions, each cut at 0, beside a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(),
        )

    def forward(self, features: Tensor) -> Tensor:
        """(n, width, rows, columns), features of the same shape."""
        inner: Tensor = self.net(features)
        return features + inner


class PanBenchPanNet(nn.Module):
    """The variant of PanBench, with the panchromatic image first and normalised residual blocks."""

    def __init__(self, bands: int, pan_bands: int, ratio: int, width: int) -> None:
        super().__init__()
        self.layer_0 = nn.Sequential(upsampling(bands, ratio))
        self.layer_1 = nn.Sequential(nn.Conv2d(bands + pan_bands, width, 3, padding=1), nn.ReLU())
        blocks = nn.Sequential(*(PanBenchBlock(width) for _ in range(4)))
        self.layer_2 = nn.Sequential(blocks, nn.Conv2d(width, bands, 3, padding=1))

    def forward(self, multispectral: Tensor, pan: Tensor) -> Tensor:
        """High frequencies of both images to the details (n, bands, rows, columns)."""
        result: Tensor = self.layer_2(self.layer_1(torch.cat((pan, self.layer_0(multispectral)), 1)))
        return result


class PanNet(Sharpener):
    """PanNet, of the toolbox or of PanBench."""

    id = "pannet"
    codes = ("", PANBENCH)
    skips = True
    duplicates = DUPLICATES
    needs_multispectral = True
    layout = Layout(patch=256, margin=26, ramp=0)
    pixel_bytes = 600

    def __init__(self, form: Form) -> None:
        super().__init__(form)
        layers = form.bands, form.pan_bands, form.ratio, _WIDTHS[form.size]
        if form.code == PANBENCH:
            self.net = PanBenchPanNet(*layers)
        else:
            self.net = PanNetLayers(*layers)
            if form.target == "residual":
                damp(self.net.conv3)

    def laid_out(self) -> Layout:
        """Patches of whole multispectral pixels, of which the upsampled ones see four on every side."""
        ratio = self.form.ratio
        return replace(self.layout, margin=_AFTER + _BEFORE * ratio).stepping(ratio)

    def output(self, batch: SharpeningBatch) -> Tensor:
        """The details of every band."""
        result: Tensor = self.net(high_pass(known(batch.multispectral)), high_pass(batch.pan))
        return result


NETWORK = PanNet
