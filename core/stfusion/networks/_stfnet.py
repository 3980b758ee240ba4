"""StfNet: the fine change since each of two pairs from the coarse change and the pair's fine image.

Liu, Deng, Chanussot, Hong and Zhao (2019), IEEE Transactions on Geoscience and Remote Sensing 57 (9), 6552-6564,
https://doi.org/10.1109/TGRS.2019.2907310.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from stfusion.networks._batch import FusionBatch, known, weighted
from stfusion.networks._layers import ThreeLayers, damp
from stfusion.networks._network import Form, FusionNetwork, Layout, Sampling

#: Features and mapped features of both streams.
_WIDTHS = {"published": (32, 16), "small": (16, 8)}
#: Weight of the temporal consistency beside the errors of the two changes.
_CONSISTENCY = 1.0
#: Where the coarse changes since two pairs differ by more than this, only the nearer pair counts (normalised units).
_DECISIVE = 0.2


class TwoStreams(nn.Module):
    """The change from the first pair to the target date, and that from there to the second pair."""

    def __init__(self, bands: int, features: int, mapped: int) -> None:
        super().__init__()
        self.DCNN_mapping_1 = ThreeLayers(2 * bands, features, mapped, bands)
        self.DCNN_mapping_2 = ThreeLayers(2 * bands, features, mapped, bands)

    def forward(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """Of a coarse change and the fine image of the pair (n, 2 bands, rows, columns) each, the fine change."""
        return self.DCNN_mapping_1(first), self.DCNN_mapping_2(second)


class Stfnet(FusionNetwork):
    """StfNet between two pairs.

    As "residual" a stream gives what the fine change has beyond the coarse one, divided by the residual's scale.
    """

    id = "stfnet"
    pairs = (2,)
    # 8 pixels for the streams, 15 for the weights: those of the coarse changes, not of what the streams give.
    layout = Layout(patch=512, margin=15, ramp=0)
    channels_last = True
    pixel_bytes = 320

    net: TwoStreams

    def __init__(self, form: Form) -> None:
        super().__init__(form)
        self.net = TwoStreams(form.bands, *_WIDTHS[form.size])
        if form.target == "residual":
            for stream in (self.net.DCNN_mapping_1, self.net.DCNN_mapping_2):
                damp(stream.reconstruction_layer)

    def images(self, batch: FusionBatch) -> list[Tensor]:
        """The target image from each pair."""
        (before, after), (fine_before, fine_after) = batch.coarse, batch.fine
        changes = (batch.target - before, after - batch.target)
        given: tuple[Tensor, ...] = self.net(
            torch.cat((changes[0], fine_before), 1), torch.cat((changes[1], fine_after), 1)
        )
        if self.form.target == "residual":
            scale = self.form.residual_scale
            given = tuple(change + scale * rest for change, rest in zip(changes, given, strict=True))
        return [fine_before + given[0], fine_after - given[1]]

    def predict(self, batch: FusionBatch, sampling: Sampling | None = None) -> Tensor:
        """The mean of the images from both pairs, weighted by how little changed since each."""
        return weighted(self.images(batch), [batch.target - coarse for coarse in batch.coarse], _DECISIVE)

    def forward(self, part: str, batch: FusionBatch) -> dict[str, Tensor]:
        """Mean square errors of both changes, and of their sum: the change from pair to pair, which is known."""
        first, second = (self.judged(image, batch) for image in self.images(batch))
        truth = known(batch.truth)
        return {
            "first": functional.mse_loss(first, truth),
            "second": functional.mse_loss(second, truth),
            # The sum of the changes less the known change is the difference of the images that they lead to.
            "consistency": _CONSISTENCY * functional.mse_loss(first, second),
        }

    def optimiser(self, part: str) -> torch.optim.Optimizer:
        """Adam for both streams."""
        return torch.optim.Adam(self.net.parameters(), 1e-4)


NETWORK = Stfnet
