"""MSDCNN: a shallow network beside a deep one that looks at several scales at once (Yuan et al. 2018).

IEEE Journal of Selected Topics in Applied Earth Observations and Remote Sensing 11 (3), 978-989,
https://doi.org/10.1109/JSTARS.2018.2794888.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stfusion.networks._batch import SharpeningBatch
from stfusion.networks._layers import damp
from stfusion.networks._network import Form, Layout
from stfusion.networks._sharpener import PANBENCH, Sharpener

#: Channels of the deep network before and after its middle, and of the shallow one; multiples of 3 in the deep one.
_WIDTHS = {"published": (60, 30, 64, 32), "small": (30, 15, 32, 16)}
_SCALES = (3, 5, 7)


def _same(inputs: int, outputs: int, side: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, side, padding=side // 2)


class MSDCNNLayers(nn.Module):
    """The two networks of the toolbox, whose sum is the image; no value of it is negative."""

    def __init__(self, inputs: int, bands: int, widths: tuple[int, int, int, int]) -> None:
        super().__init__()
        wide, narrow, first, second = widths
        self.conv1 = _same(inputs, wide, 7)
        self.conv2_1, self.conv2_2, self.conv2_3 = (_same(wide, wide // 3, side) for side in _SCALES)
        self.conv3 = _same(wide, narrow, 3)
        self.conv4_1, self.conv4_2, self.conv4_3 = (_same(narrow, narrow // 3, side) for side in _SCALES)
        self.conv5 = _same(narrow, bands, 5)
        self.shallow1 = _same(inputs, first, 9)
        self.shallow2 = _same(first, second, 1)
        self.shallow3 = _same(second, bands, 5)

    def forward(self, images: Tensor) -> Tensor:
        """(n, bands and panchromatic bands, rows, columns) to (n, bands, rows, columns), the sum of both networks."""
        deep = self.conv1(images).relu_()
        deep = (torch.cat((self.conv2_1(deep), self.conv2_2(deep), self.conv2_3(deep)), 1) + deep).relu_()
        deep = self.conv3(deep).relu_()
        deep = (torch.cat((self.conv4_1(deep), self.conv4_2(deep), self.conv4_3(deep)), 1) + deep).relu_()
        shallow = self.shallow2(self.shallow1(images).relu_()).relu_()
        result: Tensor = self.conv5(deep) + self.shallow3(shallow)
        return result


class PanBenchMSDCNN(nn.Module):
    """The variant of PanBench, where every scale is cut at 0 for itself and the sum is not; the names are its own."""

    def __init__(self, inputs: int, bands: int, widths: tuple[int, int, int, int]) -> None:
        super().__init__()
        wide, narrow, first, second = widths
        self.shallow_conv_1 = _same(inputs, first, 9)
        self.shallow_conv_2 = _same(first, second, 1)
        self.shallow_conv_3 = _same(second, bands, 5)
        self.deep_conv_1, self.deep_conv_2, self.deep_conv_3 = (
            _same(inputs, wide, 7), _same(wide, narrow, 3), _same(narrow, bands, 5)
        )
        for number, width in enumerate((wide, narrow), 1):
            for scale, side in enumerate(_SCALES, 1):
                self.add_module(f"deep_conv_{number}_sacle_{scale}", _same(width, width // 3, side))

    def _scales(self, number: int, features: Tensor) -> Tensor:
        names = (f"deep_conv_{number}_sacle_{scale}" for scale in range(1, len(_SCALES) + 1))
        return features + torch.cat([self.get_submodule(name)(features).relu_() for name in names], 1)

    def forward(self, images: Tensor) -> Tensor:
        """(n, bands and panchromatic bands, rows, columns) to (n, bands, rows, columns)."""
        shallow = self.shallow_conv_2(self.shallow_conv_1(images).relu_()).relu_()
        deep = self._scales(1, self.deep_conv_1(images).relu_())
        deep = self._scales(2, self.deep_conv_2(deep).relu_())
        result: Tensor = self.deep_conv_3(deep) + self.shallow_conv_3(shallow)
        return result


class MSDCNN(Sharpener):
    """MSDCNN, of the toolbox or of PanBench."""

    id = "msdcnn"
    codes = ("", PANBENCH)
    layout = Layout(patch=256, margin=12, ramp=0)
    pixel_bytes = 1500

    def __init__(self, form: Form) -> None:
        super().__init__(form)
        inputs, widths = form.bands + form.pan_bands, _WIDTHS[form.size]
        if form.code == PANBENCH:
            self.net = PanBenchMSDCNN(inputs, form.bands, widths)
        else:
            self.net = MSDCNNLayers(inputs, form.bands, widths)
            if form.target == "residual":
                damp(self.net.conv5)
                damp(self.net.shallow3)

    def output(self, batch: SharpeningBatch) -> Tensor:
        """What both networks give together; as the image itself, nothing below 0 in the toolbox's form."""
        result: Tensor = self.net(torch.cat((batch.expanded, batch.pan), 1))
        return result.relu_() if self.form.target == "image" and not self.form.code else result


NETWORK = MSDCNN
