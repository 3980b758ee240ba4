"""GPPNN: an optimisation of the sharpened image, unrolled, with learnt operators (Xu et al. 2021).

Proceedings of the IEEE/CVF Conference on Computer Vision and Pattern Recognition, 1366-1375,
https://doi.org/10.1109/CVPR46437.2021.00142.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from stfusion.networks._batch import SharpeningBatch, known
from stfusion.networks._layers import damp
from stfusion.networks._network import Form, Layout
from stfusion.networks._sharpener import Sharpener

#: Channels of the operators, and rounds of the optimisation.
_SIZES = {"published": (64, 8), "small": (16, 4)}


def resized(image: Tensor, like: Tensor) -> Tensor:
    """An image in the pixels of another one of the same place, by cubic convolution.

    The public code lets the centres of the outermost pixels of a patch coincide, which stretches every patch by a
    little; here the edges do, so that neighbouring patches meet.
    """
    return functional.interpolate(image, like.shape[-2:], mode="bicubic", align_corners=False)


class Unit(nn.Module):
    """Two convolutions without bias."""

    def __init__(self, inputs: int, width: int, outputs: int, side: int) -> None:
        super().__init__()
        self.basic_unit = nn.Sequential(
            nn.Conv2d(inputs, width, side, padding=side // 2, bias=False), nn.ReLU(inplace=True),
            nn.Conv2d(width, outputs, side, padding=side // 2, bias=False),
        )

    def forward(self, image: Tensor) -> Tensor:
        """(n, inputs, rows, columns) to (n, outputs, rows, columns)."""
        result: Tensor = self.basic_unit(image)
        return result


class MultispectralBlock(nn.Module):
    """A step towards an image that gives the multispectral one when it is made coarse."""

    def __init__(self, bands: int, width: int) -> None:
        super().__init__()
        self.get_LR, self.get_HR_residual, self.prox = (Unit(bands, width, bands, 3) for _ in range(3))

    def forward(self, image: Tensor, multispectral: Tensor) -> Tensor:
        """The sharpened image (n, bands, rows, columns) after the step."""
        missing = multispectral - resized(self.get_LR(image), multispectral)
        result: Tensor = self.prox(image + resized(self.get_HR_residual(missing), image))
        return result


class PanBlock(nn.Module):
    """A step towards an image whose bands make up the panchromatic one, pixel by pixel."""

    def __init__(self, bands: int, pan_bands: int, width: int) -> None:
        super().__init__()
        self.get_PAN = Unit(bands, width, pan_bands, 1)
        self.get_HR_residual = Unit(pan_bands, width, bands, 1)
        self.prox = Unit(bands, width, bands, 1)

    def forward(self, image: Tensor, pan: Tensor) -> Tensor:
        """The sharpened image (n, bands, rows, columns) after the step."""
        result: Tensor = self.prox(image + self.get_HR_residual(pan - self.get_PAN(image)))
        return result


class GPPNNLayers(nn.Module):
    """Rounds of both steps."""

    def __init__(self, bands: int, pan_bands: int, width: int, rounds: int) -> None:
        super().__init__()
        self.lr_blocks = nn.ModuleList(MultispectralBlock(bands, width) for _ in range(rounds))
        self.pan_blocks = nn.ModuleList(PanBlock(bands, pan_bands, width) for _ in range(rounds))

    def forward(self, image: Tensor, multispectral: Tensor, pan: Tensor) -> Tensor:
        """From the interpolated image to the sharpened one (n, bands, rows, columns)."""
        for own, other in zip(self.lr_blocks, self.pan_blocks, strict=True):
            image = other(own(image, multispectral), pan)
        return image


class GPPNN(Sharpener):
    """GPPNN, the names and numbers of both public codes."""

    id = "gppnn"
    needs_multispectral = True
    layout = Layout(patch=256, margin=32, ramp=32)
    pixel_bytes = 1100

    net: GPPNNLayers

    def __init__(self, form: Form) -> None:
        super().__init__(form)
        self.net = GPPNNLayers(form.bands, form.pan_bands, *_SIZES[form.size])
        if form.target == "residual":
            damp(self.net.pan_blocks[-1].get_submodule("prox.basic_unit.2"))

    def output(self, batch: SharpeningBatch) -> Tensor:
        """The image after all rounds."""
        result: Tensor = self.net(batch.expanded, known(batch.multispectral), batch.pan)
        return result


NETWORK = GPPNN
