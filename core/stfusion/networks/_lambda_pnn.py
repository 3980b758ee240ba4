"""Lambda-PNN: a residual network with attention that learns from the scene itself (Ciotola, Poggi and Scarpa 2023).

IEEE Transactions on Geoscience and Remote Sensing 61, 1-17, https://doi.org/10.1109/TGRS.2023.3299356. The quality of
the reprojected image is the mean universal quality index of its bands here, where the paper has Q2n.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stfusion.networks._batch import SharpeningBatch, known
from stfusion.networks._network import Form, Layout
from stfusion.networks._zero_shot import ZeroShot, correlation

_WIDTHS = {"published": 64, "small": 32}
#: Reduction of the channels in their gate, and the side of the window of the gate of pixels.
_REDUCTION, _GATE = 4, 7
#: Weights of the relative error and of the quality (those for WorldView-3).
_ERROR, _QUALITY = 0.05, 1.25
#: Half side of the windows of the quality, in multispectral pixels.
_HALF = 4


class Gates(nn.Module):
    """Attention: what every channel counts by what it is in all, and what every pixel does by its surroundings."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.channels = nn.Sequential(
            nn.Conv2d(width, width // _REDUCTION, 1), nn.ReLU(), nn.Conv2d(width // _REDUCTION, width, 1)
        )
        self.pixels = nn.Conv2d(2, 1, _GATE, padding=_GATE // 2, padding_mode="reflect")

    def forward(self, features: Tensor) -> Tensor:
        """(n, width, rows, columns), features of the same shape."""
        means, tops = features.mean((2, 3), keepdim=True), features.amax((2, 3), keepdim=True)
        features = features * torch.sigmoid(self.channels(means) + self.channels(tops))
        looks = torch.cat((features.mean(1, keepdim=True), features.amax(1, keepdim=True)), 1)
        result: Tensor = features * torch.sigmoid(self.pixels(looks))
        return result


class Block(nn.Module):
    """Two convolutions of 3 x 3 pixels beside a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(_conv(width, width, 3), nn.GELU(), _conv(width, width, 3))

    def forward(self, features: Tensor) -> Tensor:
        """(n, width, rows, columns), features of the same shape."""
        inner: Tensor = self.layers(features)
        return features + inner


def _conv(inputs: int, outputs: int, side: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, side, padding=side // 2, padding_mode="reflect")


class LambdaPNN(ZeroShot):
    """Two convolutions, attention, two residual blocks, attention, and a convolution to the details."""

    id = "lambda_pnn"
    layout = Layout(patch=256, margin=16, ramp=32)
    pixel_bytes = 1500
    weight = 25.0

    def __init__(self, form: Form) -> None:
        super().__init__(form)
        width = _WIDTHS[form.size]
        self.net = nn.Sequential(
            _conv(form.bands + form.pan_bands, width, 3), nn.GELU(), _conv(width, width, 3), Gates(width),
            Block(width), Block(width), Gates(width), _conv(width, form.bands, 5),
        )
        for weight in self.net[-1].parameters():
            nn.init.zeros_(weight)

    def output(self, batch: SharpeningBatch) -> Tensor:
        """The details of every band."""
        result: Tensor = self.net(torch.cat((batch.expanded, batch.pan), 1))
        return result

    def spectral(self, image: Tensor, batch: SharpeningBatch) -> dict[str, Tensor]:
        """The relative error (ERGAS) and the quality of the image made coarse again."""
        coarse, wanted = self.reprojected(image), known(batch.multispectral)
        valid = self._coarse_valid(batch)
        means = wanted.mean((2, 3), keepdim=True).abs().clamp_min(1e-2)
        squares = self._mean(((coarse - wanted) / means).square(), valid)
        half = min(_HALF, min(wanted.shape[2:]) - 1)
        quality = correlation(coarse, wanted, half) * _likeness(coarse, wanted, half)
        return {
            "error": _ERROR * 100 / self.form.ratio * torch.sqrt(squares + 1e-12),
            "quality": _QUALITY * self._mean(1 - quality, valid),
        }

    def optimiser(self, part: str) -> torch.optim.Optimizer:
        """Adam with the published decay of the weights."""
        return torch.optim.Adam(self.net.parameters(), 1e-3, weight_decay=1e-4)


def _likeness(one: Tensor, other: Tensor, half: int) -> Tensor:
    """The terms of the universal quality index for means and for contrasts, in a window around every pixel."""
    side = 2 * half + 1

    def mean(image: Tensor) -> Tensor:
        wide = nn.functional.pad(image, (half,) * 4, mode="reflect")
        return nn.functional.avg_pool2d(wide, side, stride=1)

    means = mean(one), mean(other)
    spreads = [
        torch.sqrt((mean(image * image) - own * own).clamp_min(0) + 1e-6)
        for image, own in zip((one, other), means, strict=True)
    ]
    terms = [2 * a * b / (a * a + b * b + 1e-6) for a, b in (means, spreads)]
    return terms[0] * terms[1]


NETWORK = LambdaPNN
