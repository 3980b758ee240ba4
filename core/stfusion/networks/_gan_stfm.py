"""GAN-STFM: any fine image of the place and the coarse target image, by a conditional adversarial network.

Tan, Gao, Li and Jiang (2022), IEEE Transactions on Geoscience and Remote Sensing 60, 5601413,
https://doi.org/10.1109/TGRS.2021.3050551.
"""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from stfusion.networks._autoencoder import AUTOENCODER, Autoencoder, feature_errors, reconstruction
from stfusion.networks._batch import FusionBatch, known
from stfusion.networks._layers import BatchNorm, Conv3, frozen
from stfusion.networks._losses import ms_ssim
from stfusion.networks._network import Form, FusionNetwork, Layout, Sampling, Stage

#: Channels of the four blocks of the encoder; the decoder has them the other way round.
_WIDTHS = {"published": (16, 32, 64, 128), "small": (8, 16, 32, 64)}
#: Channels of the blocks of the discriminators at the full, half and quarter resolution.
_CRITICS = (
    (32, 32, 64, 64, 128, 128, 256, 256),
    (32, 64, 64, 128, 128, 256, 256),
    (32, 64, 128, 128, 256, 256),
)
#: What the channels of the discriminators of the small size are divided by.
_SMALLER = 4
#: Weight of the discriminator's opinion beside the errors of the image.
_ADVERSARIAL = 1e-3


class SwitchNorm(nn.Module):
    """Normalisation by learned mixtures of the statistics of a channel of an image, of an image, and of the batch.

    Luo, Ren, Peng, Zhang and Li (2019). In use the batch's statistics are the running ones, those of the image remain:
    what an image gives depends on its patch.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, eps: float = 1e-5, momentum: float = 0.9) -> None:
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(1, channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.mean_weight = nn.Parameter(torch.ones(3))
        self.var_weight = nn.Parameter(torch.ones(3))
        self.register_buffer("running_mean", torch.zeros(1, channels, 1))
        self.register_buffer("running_var", torch.zeros(1, channels, 1))

    def forward(self, image: Tensor) -> Tensor:
        """(n, channels, rows, columns), normalised."""
        variance, mean = torch.var_mean(image, (2, 3), keepdim=True)
        squares = variance + mean.square()
        layer_mean = mean.mean(1, keepdim=True)
        layer_variance = squares.mean(1, keepdim=True) - layer_mean.square()
        if self.training:
            batch_mean = mean.mean(0, keepdim=True)
            batch_variance = squares.mean(0, keepdim=True) - batch_mean.square()
            self.running_mean.lerp_(batch_mean[..., 0].detach(), 1 - self.momentum)
            self.running_var.lerp_(batch_variance[..., 0].detach(), 1 - self.momentum)
        else:
            batch_mean, batch_variance = self.running_mean[..., None], self.running_var[..., None]
        mean = _mixed(self.mean_weight, mean, layer_mean, batch_mean)
        variance = _mixed(self.var_weight, variance, layer_variance, batch_variance)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        result: Tensor = torch.addcmul(self.bias - mean * scale, image, scale)
        return result


def _mixed(weights: Tensor, channel: Tensor, image: Tensor, batch: Tensor) -> Tensor:
    share = weights.softmax(0)
    return share[0] * channel + share[1] * image + share[2] * batch


class EncoderBlock(nn.Module):
    """Features of the coarse image, and those of the fine one with the former added."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        least = min(inputs, outputs)
        self.residual = nn.Sequential(
            SwitchNorm(inputs), nn.LeakyReLU(inplace=True), Conv3(inputs, least),
            SwitchNorm(least), nn.LeakyReLU(inplace=True), nn.Conv2d(least, outputs, 1),
        )
        self.transform = nn.Sequential(
            Conv3(inputs, least), nn.Conv2d(least, outputs, 1), nn.LeakyReLU(inplace=True)
        )

    def forward(self, features: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """The coarse and the fine features, each (n, channels, rows, columns)."""
        coarse, fine = features
        lateral: Tensor = self.transform(coarse)
        return lateral, self.residual(fine) + lateral


class DecoderBlock(nn.Module):
    """A convolution with a shorter way beside it."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        least = min(inputs, outputs)
        self.residual = nn.Sequential(Conv3(inputs, least), nn.LeakyReLU(inplace=True), nn.Conv2d(least, outputs, 1))
        self.transform = nn.Conv2d(inputs, outputs, 1)

    def forward(self, features: Tensor) -> Tensor:
        """(n, channels, rows, columns)."""
        trunk: Tensor = self.residual(features)
        skipped: Tensor = self.transform(features)
        return trunk + skipped


class Generator(nn.Module):
    """The coarse target image and a fine image of whatever date, each (n, bands, rows, columns), to a fine image."""

    def __init__(self, bands: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        last = widths[-1]
        self.encoder = nn.Sequential(*(EncoderBlock(*step) for step in pairwise((bands, *widths))))
        self.decoder = nn.Sequential(
            *(DecoderBlock(*step) for step in pairwise((2 * last, *reversed(widths)))), nn.Conv2d(widths[0], bands, 1)
        )

    def forward(self, target: Tensor, fine: Tensor) -> Tensor:
        """The fine image (n, bands, rows, columns)."""
        result: Tensor = self.decoder(torch.cat(self.encoder((target, fine)), 1))
        return result


class CriticBlock(nn.Module):
    """Halves the resolution; every convolution has a spectral norm of 1."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            BatchNorm(inputs), nn.LeakyReLU(inplace=True), spectral_norm(nn.Conv2d(inputs, inputs, 3, 2, padding=1)),
            BatchNorm(inputs), nn.LeakyReLU(inplace=True), spectral_norm(nn.Conv2d(inputs, outputs, 1)),
        )
        self.transform = spectral_norm(nn.Conv2d(inputs, outputs, 1))

    def forward(self, features: Tensor) -> Tensor:
        """(n, channels, rows / 2, columns / 2), rounded up."""
        trunk: Tensor = self.residual(features)
        # The same as a stride of 2, whose gradient, with the channels last, torch 2.13 writes beyond its memory.
        skipped: Tensor = self.transform(features[..., ::2, ::2])
        return trunk + skipped


class Critic(nn.Module):
    """How real an image looks beside the coarse one: the mean opinion of discriminators at three resolutions.

    Published for patches of 256 pixels, of which each of the three leaves one; of other patches the mean of what is
    left is taken. As critics are no part of a checkpoint, the power iteration of the spectral norm is torch's, whose
    vectors have other names than in the public code.
    """

    def __init__(self, bands: int, size: str) -> None:
        super().__init__()
        smaller = 1 if size == "published" else _SMALLER
        self.d1, self.d2, self.d3 = (
            nn.Sequential(
                *(CriticBlock(*step) for step in pairwise((2 * bands, *(width // smaller for width in widths)))),
                spectral_norm(nn.Conv2d(widths[-1] // smaller, 1, 1)),
            )
            for widths in _CRITICS
        )

    def forward(self, images: Tensor) -> Tensor:
        """The scores (n,) of an image and the coarse one, (n, 2 bands, rows, columns)."""
        scores = []
        for halvings, judge in enumerate((self.d1, self.d2, self.d3)):
            # The nearest pixels, as the public code has it.
            step = 2**halvings
            scores.append(judge(images[..., ::step, ::step]).mean((1, 2, 3)))
        return torch.stack(scores).mean(0)


class GanStfm(FusionNetwork):
    """GAN-STFM. It has no coarse image of the pair, and therefore no base that a residual could be added to.

    The discriminators learn to give 1 to true and 0 to predicted images (least squares), the generator to be given 1,
    beside errors of features, of their angle and of structure.
    """

    id = "gan_stfm"
    targets = ("image",)
    needs_coarse = False
    # Convolutions reach 8 pixels; the statistics of neighbouring patches differ, which the ramp hides.
    layout = Layout(patch=384, margin=8, ramp=48)
    channels_last = True
    pixel_bytes = 2700
    stages: ClassVar[tuple[Stage, ...]] = (AUTOENCODER, Stage("adversarial", ("critic", "net")))

    net: Generator

    def __init__(self, form: Form) -> None:
        super().__init__(form)
        self.net = Generator(form.bands, _WIDTHS[form.size])
        self.critic = Critic(form.bands, form.size)
        self.autoencoder = Autoencoder(form)

    def predict(self, batch: FusionBatch, sampling: Sampling | None = None) -> Tensor:
        """The fine image of the target date."""
        image: Tensor = self.net(batch.target, batch.fine[0])
        return image

    def forward(self, part: str, batch: FusionBatch) -> dict[str, Tensor]:
        """The losses of the auto-encoder, of the discriminators ("critic") or of the generator ("net")."""
        if part == "autoencoder":
            return reconstruction(self.autoencoder, batch)
        truth = known(batch.truth)
        if part == "critic":
            with torch.no_grad():
                image = self.judged(self.predict(batch), batch)
            return {
                "true": 0.5 * (self._opinion(truth, batch) - 1).square().mean(),
                "predicted": 0.5 * self._opinion(image, batch).square().mean(),
            }
        image = self.judged(self.predict(batch), batch)
        with torch.no_grad():
            true_features = self.autoencoder(truth)
        features, angle = feature_errors(frozen(self.autoencoder, image), true_features)
        opinion = frozen(self.critic, torch.cat((image, batch.target), 1))
        return {
            "features": features,
            "angle": angle,
            "structure": 1 - ms_ssim(image, truth, 1.0),
            "adversarial": _ADVERSARIAL * (opinion - 1).square().mean(),
        }

    def _opinion(self, image: Tensor, batch: FusionBatch) -> Tensor:
        scores: Tensor = self.critic(torch.cat((image, batch.target), 1))
        return scores

    def optimiser(self, part: str) -> torch.optim.Optimizer:
        """Adam with the rate of the authors' code."""
        return torch.optim.Adam(self.get_submodule(part).parameters(), 2e-4)


NETWORK = GanStfm
