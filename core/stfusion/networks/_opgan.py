"""OPGAN: features of the coarse change, of the difference of the sensors and of the fine image, from one pair.

Song, Zhang, Huang and Zhang (2022), IEEE Transactions on Geoscience and Remote Sensing 60, 5528117,
https://doi.org/10.1109/TGRS.2022.3171331.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from stfusion.networks._adversarial import Critic, adversarial_loss, branch, critic_losses, through
from stfusion.networks._batch import FusionBatch, known
from stfusion.networks._layers import damp, squared_error
from stfusion.networks._network import Form, FusionNetwork, Layout, Sampling, Stage

#: Channels, and residual blocks of the branches of the change, of the sensors and of the fine image.
_SIZES = {"published": (64, (8, 4, 2)), "small": (24, (4, 2, 1))}
#: Weights of the error of the change and of the critic's opinion beside the error of the image.
_CHANGE, _ADVERSARIAL = 0.1, 1e-2


class Generator(nn.Module):
    """Three branches whose features add up; images are within -1..1."""

    def __init__(self, bands: int, width: int, blocks: tuple[int, int, int]) -> None:
        super().__init__()
        change, sensors, fine = blocks
        self.TCCB_RBs_head, self.TCCB_RBs, self.TCCB_RBs_tail = branch(bands, width, change)
        self.SDEB_RBs_head, self.SDEB_RBs, self.SDEB_RBs_tail = branch(bands, width, sensors)
        self.BILB_RBs_head, self.BILB_RBs, self.BILB_RBs_tail = branch(bands, width, fine)
        self.tail = nn.Sequential(nn.Conv2d(width, bands, 9, padding=4), nn.Tanh())
        self.temporal_change_tail = nn.Sequential(nn.Conv2d(width, bands, 9, padding=4), nn.Tanh())

    def features(self, coarse: Tensor, target: Tensor, fine: Tensor) -> tuple[Tensor, Tensor]:
        """The features of the change and the sensors together, and of all three branches."""
        change = through(self.TCCB_RBs_head, self.TCCB_RBs, self.TCCB_RBs_tail, target - coarse)
        change += through(self.SDEB_RBs_head, self.SDEB_RBs, self.SDEB_RBs_tail, fine - coarse)
        return change, change + through(self.BILB_RBs_head, self.BILB_RBs, self.BILB_RBs_tail, fine)

    def forward(self, coarse: Tensor, target: Tensor, fine: Tensor) -> Tensor:
        """The fine image (n, bands, rows, columns)."""
        result: Tensor = self.tail(self.features(coarse, target, fine)[1])
        return result

    def with_change(self, coarse: Tensor, target: Tensor, fine: Tensor) -> tuple[Tensor, Tensor]:
        """The fine image, and half the fine change since the pair: a whole one may be twice what a tanh gives."""
        of_change, of_all = self.features(coarse, target, fine)
        return self.tail(of_all), self.temporal_change_tail(of_change)


class Opgan(FusionNetwork):
    """OPGAN from one pair, against a Wasserstein critic.

    It begins with a stage without the critic. Only the fine image is needed to predict; the change is an exercise.
    """

    id = "opgan"
    symmetric = True
    # Convolutions of 9, 3 for each of the two of 8 blocks and the tail, and 9 pixels.
    layout = Layout(patch=384, margin=25, ramp=0)
    channels_last = True
    pixel_bytes = 1400
    stages: ClassVar[tuple[Stage, ...]] = (
        Stage("warm-up", ("warm_up",), share=0.05),
        Stage("adversarial", ("critic", "net")),
    )

    net: Generator

    def __init__(self, form: Form) -> None:
        super().__init__(form)
        self.net = Generator(form.bands, *_SIZES[form.size])
        self.critic = Critic(form.bands, form.size)
        if form.target == "residual":
            damp(self.net.tail)

    def predict(self, batch: FusionBatch, sampling: Sampling | None = None) -> Tensor:
        """The fine image of the target date."""
        return self.finish(self.net(batch.coarse[0], batch.target, batch.fine[0]), batch)

    def forward(self, part: str, batch: FusionBatch) -> dict[str, Tensor]:
        """The losses of the critic, or of the generator without ("warm_up") and with it ("net")."""
        truth = known(batch.truth)
        if part == "critic":
            with torch.no_grad():
                image = self.judged(self.predict(batch), batch)
            return critic_losses(self.critic, image, truth)
        output, half_change = self.net.with_change(batch.coarse[0], batch.target, batch.fine[0])
        image = self.judged(self.finish(output, batch), batch)
        losses = {
            "image": functional.mse_loss(image, truth),
            "change": _CHANGE * squared_error(2 * half_change, truth - batch.fine[0], batch.valid),
        }
        return losses if part == "warm_up" else losses | adversarial_loss(self.critic, image, _ADVERSARIAL)

    def optimiser(self, part: str) -> torch.optim.Optimizer:
        """RMSProp, as for Wasserstein critics."""
        return torch.optim.RMSprop((self.critic if part == "critic" else self.net).parameters(), 1e-4)

    def after_step(self, part: str) -> None:
        """The critic's weights are clipped."""
        if part == "critic":
            self.critic.clip()


NETWORK = Opgan
