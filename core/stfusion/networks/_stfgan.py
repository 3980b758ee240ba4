"""STFGAN: from coarse to intermediate and from there to fine images, each step by an adversarial network.

Zhang, Song, Han and Zhang (2021), IEEE Transactions on Geoscience and Remote Sensing 59 (5), 4273-4286,
https://doi.org/10.1109/TGRS.2020.3010530.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from stfusion.networks._adversarial import (
    Critic,
    Edges,
    adversarial_loss,
    branch,
    critic_losses,
    settled,
    through,
)
from stfusion.networks._batch import FusionBatch, known
from stfusion.networks._layers import damp
from stfusion.networks._network import Form, FusionNetwork, Layout, Sampling, Stage

#: Channels, and residual blocks of the branches of the coarse and of the fine images.
_SIZES = {"published": (64, (16, 8)), "small": (24, (6, 3))}
#: How the images of the coarse branch go on beyond their edges. Zeros, as in the public code, would be felt 64 pixels
#: away through the first convolution alone, and patches would differ ten times as much.
_EDGES: Edges = "replicate"
#: Pixels along a cell of the next coarser step.
_STEP = 4
#: Weight of the critic's opinion beside the error of the image.
_ADVERSARIAL = 1e-3


class Generator(nn.Module):
    """Three images of a step's coarser resolution and two of its finer one, four times as fine, to one of the finer."""

    def __init__(self, bands: int, width: int, blocks: tuple[int, int]) -> None:
        super().__init__()
        coarse, fine = blocks
        self.CIFEB_RBs_head, self.CIFEB_RBs, self.CIFEB_RBs_tail = branch(
            3 * bands, width, coarse, _EDGES
        )
        self.CIFEB_upsample = nn.Sequential(
            nn.Conv2d(width, 4 * width, 3, padding=1, padding_mode=_EDGES), nn.PixelShuffle(2), nn.ReLU(inplace=True),
            nn.Conv2d(width, 4 * width, 3, padding=1, padding_mode=_EDGES), nn.PixelShuffle(2), nn.ReLU(inplace=True),
        )
        self.FIFEB_RBs_head, self.FIFEB_RBs, self.FIFEB_RBs_tail = branch(2 * bands, width, fine)
        self.TBF_conv = nn.Conv2d(2 * width, bands, 9, padding=4)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """(n, 3 bands, rows / 4, columns / 4) and (n, 2 bands, rows, columns) to (n, bands, rows, columns), -1..1."""
        of_coarse = through(self.CIFEB_RBs_head, self.CIFEB_RBs, self.CIFEB_RBs_tail, coarse)
        of_fine = through(self.FIFEB_RBs_head, self.FIFEB_RBs, self.FIFEB_RBs_tail, fine)
        result: Tensor = self.TBF_conv(torch.cat((self.CIFEB_upsample(of_coarse), of_fine), 1))
        return result.tanh()


class TwoSteps(nn.Module):
    """The generators from coarse to intermediate and from intermediate to fine images."""

    def __init__(self, form: Form) -> None:
        super().__init__()
        self.first = Generator(form.bands, *_SIZES[form.size])
        self.second = Generator(form.bands, *_SIZES[form.size])


class Stfgan(FusionNetwork):
    """STFGAN between two pairs, against a Wasserstein critic for each step.

    Intermediate images have pixels of 4, coarse ones of 16 fine pixels, whatever the ratio. The second step learns
    with what the first one predicts, as it is used. Parts are "first" and "second", the generators, and with
    "_warm_up" these without the critics, with "_critic" the critics.
    """

    id = "stfgan"
    pairs = (2,)
    symmetric = True
    # The branch of the coarse images sees farther than any patch, though little: the ramp hides it.
    layout = Layout(patch=512, margin=48, ramp=64, multiple=_STEP * _STEP)
    channels_last = True
    pixel_bytes = 1300
    stages: ClassVar[tuple[Stage, ...]] = (
        Stage("warm-up of the first step", ("first_warm_up",), share=0.05),
        Stage("first step", ("first_critic", "first")),
        Stage("warm-up of the second step", ("second_warm_up",), share=0.05),
        Stage("second step", ("second_critic", "second")),
    )

    net: TwoSteps

    def __init__(self, form: Form) -> None:
        super().__init__(form)
        self.net = TwoSteps(form)
        self.first_critic = Critic(form.bands, form.size)
        self.second_critic = Critic(form.bands, form.size)
        if form.target == "residual":
            damp(self.net.first.TBF_conv)
            damp(self.net.second.TBF_conv)

    def predict(self, batch: FusionBatch, sampling: Sampling | None = None) -> Tensor:
        """The fine image of the target date."""
        middle = reduced(batch)
        return self._second(batch, middle, self._first(middle))

    def _first(self, middle: FusionBatch) -> Tensor:
        before, after = middle.coarse
        coarse = cells(torch.cat((before, middle.target, after), 1))
        return self.finish(self.net.first(coarse, torch.cat(middle.fine, 1)), middle)

    def _second(self, batch: FusionBatch, middle: FusionBatch, image: Tensor) -> Tensor:
        before, after = middle.fine
        return self.finish(self.net.second(torch.cat((before, image, after), 1), torch.cat(batch.fine, 1)), batch)

    def forward(self, part: str, batch: FusionBatch) -> dict[str, Tensor]:
        """The losses of a step's critic, or of its generator without and with it."""
        step, _, role = part.partition("_")
        middle = reduced(batch)
        with torch.set_grad_enabled(role != "critic"):
            if step == "first":
                batch, image = middle, self._first(middle)
            else:
                with settled(self.net.first):
                    image = self._first(middle)
                image = self._second(batch, middle, image)
        image, truth = self.judged(image, batch), known(batch.truth)
        critic = self.first_critic if step == "first" else self.second_critic
        if role == "critic":
            return critic_losses(critic, image, truth)
        losses = {"image": functional.mse_loss(image, truth)}
        return losses if role else losses | adversarial_loss(critic, image, _ADVERSARIAL)

    def optimiser(self, part: str) -> torch.optim.Optimizer:
        """RMSProp, as for Wasserstein critics."""
        step, _, role = part.partition("_")
        learner = self.get_submodule(part if role == "critic" else f"net.{step}")
        return torch.optim.RMSprop(learner.parameters(), 1e-4)

    def after_step(self, part: str) -> None:
        """The critics' weights are clipped."""
        for name, critic in (("first_critic", self.first_critic), ("second_critic", self.second_critic)):
            if part == name:
                critic.clip()


def cells(image: Tensor) -> Tensor:
    """The means of cells of 4 x 4 pixels (n, bands, rows / 4, columns / 4)."""
    return functional.avg_pool2d(image, _STEP)


def reduced(batch: FusionBatch) -> FusionBatch:
    """A batch at a quarter of its resolution; a cell is valid where all its pixels are."""
    smaller = replace(batch, valid=None).map(cells)
    return smaller if batch.valid is None else replace(smaller, valid=cells(batch.valid.float()) == 1)


NETWORK = Stfgan
