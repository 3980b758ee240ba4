"""EDCSTFN: features of the fine image plus those of what changed since its date, decoded to the target image.

Tan, Di, Zhang, Guo and Gao (2019), Remote Sensing 11 (24), 2898, https://doi.org/10.3390/rs11242898.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from stfusion.networks._autoencoder import AUTOENCODER, Autoencoder, reconstruction
from stfusion.networks._batch import FusionBatch, known
from stfusion.networks._layers import Conv3, damp, frozen
from stfusion.networks._losses import ms_ssim
from stfusion.networks._network import Form, FusionNetwork, Layout, Sampling, Stage

#: Channels of the encoders' layers; the decoder has them the other way round.
_WIDTHS = {"published": (32, 64, 128), "small": (12, 24, 48)}
#: Weight of the structural similarity in the loss.
_VISION = 0.8
#: What is added to the absolute features of a change, so that none is no divisor.
_SMALLEST = 1e-4


class EncoderDecoder(nn.Module):
    """A fine image and what changed since, each encoded; the sum of their features decoded."""

    def __init__(self, bands: int, widths: tuple[int, int, int]) -> None:
        super().__init__()
        one, two, three = widths
        self.encoder = self._encoder(bands, widths).append(nn.ReLU(inplace=True))
        self.residual = self._encoder(3 * bands, widths)
        self.decoder = nn.Sequential(
            Conv3(three, two), nn.ReLU(inplace=True), Conv3(two, one), nn.ReLU(inplace=True), nn.Conv2d(one, bands, 1)
        )

    @staticmethod
    def _encoder(inputs: int, widths: tuple[int, int, int]) -> nn.Sequential:
        one, two, three = widths
        return nn.Sequential(
            Conv3(inputs, one), nn.ReLU(inplace=True), Conv3(one, two), nn.ReLU(inplace=True), Conv3(two, three)
        )

    def features(self, coarse: Tensor, fine: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Of the images of a pair and the coarse one of the target date, the features of the sum and of the change."""
        change: Tensor = self.residual(torch.cat((coarse, fine, target), 1))
        return self.encoder(fine) + change, change

    def forward(self, features: Tensor) -> Tensor:
        """Features decoded to (n, bands, rows, columns)."""
        result: Tensor = self.decoder(features)
        return result


class Edcstfn(FusionNetwork):
    """EDCSTFN from one pair or between two.

    In training every pair is decoded and judged for itself. A prediction decodes the features of both pairs mixed, by
    weights inverse to the absolute features of the change since each.
    """

    id = "edcstfn"
    pairs = (1, 2)
    # 6 pixels for the network, 15 for the base of two pairs.
    layout = Layout(patch=384, margin=15, ramp=0)
    channels_last = True
    pixel_bytes = 2900
    stages: ClassVar[tuple[Stage, ...]] = (AUTOENCODER, Stage("network", ("net",)))

    net: EncoderDecoder

    def __init__(self, form: Form) -> None:
        super().__init__(form)
        self.net = EncoderDecoder(form.bands, _WIDTHS[form.size])
        self.autoencoder = Autoencoder(form)
        if form.target == "residual":
            damp(self.net.decoder[-1])

    def _features(self, batch: FusionBatch) -> list[tuple[Tensor, Tensor]]:
        pairs = zip(batch.coarse, batch.fine, strict=True)
        return [self.net.features(coarse, fine, batch.target) for coarse, fine in pairs]

    def predict(self, batch: FusionBatch, sampling: Sampling | None = None) -> Tensor:
        """The fine image, of two pairs from their features mixed."""
        sums, changes = zip(*self._features(batch), strict=True)
        mixed = sums[0]
        if len(sums) > 1:
            # In place: features are the most of what a prediction holds.
            one, two = (change.abs_().add_(_SMALLEST) for change in changes)
            mixed = sums[1].lerp_(mixed, two.div_(one.add_(two)))
        return self.finish(self.net(mixed), batch)

    def forward(self, part: str, batch: FusionBatch) -> dict[str, Tensor]:
        """Errors of values, of features and of structure, the mean of the pairs; or those of the auto-encoder."""
        if part == "autoencoder":
            return reconstruction(self.autoencoder, batch)
        truth = known(batch.truth)
        with torch.no_grad():
            true_features = self.autoencoder(truth)
        losses = []
        for features, _ in self._features(batch):
            image = self.judged(self.finish(self.net(features), batch), batch)
            losses.append({
                "content": functional.mse_loss(image, truth),
                "features": functional.mse_loss(frozen(self.autoencoder, image), true_features),
                "vision": _VISION * (1 - ms_ssim(image, truth, 1.0)),
            })
        return {name: torch.stack([loss[name] for loss in losses]).mean() for name in losses[0]}

    def optimiser(self, part: str) -> torch.optim.Optimizer:
        """Adam with the rate of the authors' code."""
        return torch.optim.Adam(self.get_submodule(part).parameters(), 1e-3, weight_decay=1e-6)


NETWORK = Edcstfn
