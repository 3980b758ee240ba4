"""The auto-encoder by whose features EDCSTFN and GAN-STFM compare images (Tan et al. 2022, the public code).

None is public but for the six bands of Landsat, so that a training begins with one of its own.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from stfusion.networks._batch import FusionBatch, known
from stfusion.networks._layers import Conv3, squared_error
from stfusion.networks._network import Form, Stage

#: Channels at the four scales, fine to coarse.
_WIDTHS = {"published": (16, 32, 64, 128), "small": (8, 16, 32, 64)}
#: The stage of a training in which the auto-encoder learns; it is frozen afterwards.
AUTOENCODER = Stage("auto-encoder", ("autoencoder",), share=0.1)


def _down(inputs: int, outputs: int, stride: int = 2) -> nn.Sequential:
    return nn.Sequential(Conv3(inputs, outputs, stride), nn.LeakyReLU(inplace=True))


def _up(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Upsample(scale_factor=2), Conv3(inputs, outputs), nn.LeakyReLU(inplace=True))


class Autoencoder(nn.Module):
    """Images (n, bands, rows, columns) to features at an eighth of the resolution, and from these back to images."""

    def __init__(self, form: Form) -> None:
        super().__init__()
        one, two, three, four = _WIDTHS[form.size]
        self.conv1 = _down(form.bands, one, stride=1)
        self.conv2 = _down(one, two)
        self.conv3 = _down(two, three)
        self.conv4 = _down(three, four)
        self.conv5 = _up(four, three)
        self.conv6 = _up(2 * three, two)
        self.conv7 = _up(2 * two, one)
        self.conv8 = nn.Conv2d(2 * one, form.bands, 1)

    def forward(self, image: Tensor) -> Tensor:
        """The features (n, 128 or as many as the small one has, rows / 8, columns / 8), rounded up."""
        return self._levels(image)[-1]

    def reconstructed(self, image: Tensor) -> Tensor:
        """The image again, from its features at all scales."""
        *levels, features = self._levels(image)
        for level, up in zip(reversed(levels), (self.conv5, self.conv6, self.conv7), strict=True):
            # Of an odd number of pixels, the upsampled half has one too many.
            features = torch.cat((level, up(features)[..., : level.shape[-2], : level.shape[-1]]), 1)
        result: Tensor = self.conv8(features)
        return result

    def _levels(self, image: Tensor) -> list[Tensor]:
        levels = []
        for down in (self.conv1, self.conv2, self.conv3, self.conv4):
            image = down(image)
            levels.append(image)
        return levels


def reconstruction(autoencoder: Autoencoder, batch: FusionBatch) -> dict[str, Tensor]:
    """The loss by which the auto-encoder learns: the error of the fine images of all dates, reconstructed."""
    images = (*batch.fine, known(batch.truth))
    errors = [squared_error(autoencoder.reconstructed(image), image, batch.valid) for image in images]
    return {"reconstruction": torch.stack(errors).mean()}


def feature_errors(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Of the features of two images, the mean square error and 1 - the mean cosine of the angle between them."""
    return functional.mse_loss(one, other), 1 - functional.cosine_similarity(one, other, 1).mean()
