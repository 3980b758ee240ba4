"""STFDCNN: a network from coarse images to degraded fine ones, another from there to fine images, then modulation.

Song, Liu, Wang, Hang and Huang (2018), IEEE Journal of Selected Topics in Applied Earth Observations and Remote Sensing
11 (3), 821-829, https://doi.org/10.1109/JSTARS.2018.2797894.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from stfusion.networks._batch import FusionBatch, known, weighted
from stfusion.networks._layers import ThreeLayers, damp, squared_error
from stfusion.networks._network import Form, FusionNetwork, Layout, Sampling, Stage

#: Features and mapped features of both networks.
_WIDTHS = {"published": (64, 32), "small": (24, 12)}
#: Fine pixels along a cell of the degraded images, between those of the coarse and of the fine ones.
_CELL = 8
#: Transition images below this are no divisor, and details are changed by this factor at most (normalised units).
_SMALLEST, _LARGEST_FACTOR = 0.01, 4.0
#: Where the changes since two pairs differ by more than this, only the nearer pair counts (normalised units).
_DECISIVE = 0.2


class TwoSteps(nn.Module):
    """Coarse images (n, bands, rows, columns) to degraded fine ones and on to transition images, alike in size.

    Each of the networks gives what has to be added to its input.
    """

    def __init__(self, bands: int, features: int, mapped: int) -> None:
        super().__init__()
        self.transition = ThreeLayers(bands, features, mapped, bands)
        self.super_resolution = ThreeLayers(bands, features, mapped, bands)
        for step in (self.transition, self.super_resolution):
            damp(step.reconstruction_layer)

    def degraded(self, coarse: Tensor) -> Tensor:
        """The first step."""
        added: Tensor = self.transition(coarse)
        return coarse + added

    def sharpened(self, degraded: Tensor) -> Tensor:
        """The second step."""
        added: Tensor = self.super_resolution(degraded)
        return degraded + added

    def forward(self, coarse: Tensor) -> Tensor:
        """Both steps."""
        return self.sharpened(self.degraded(coarse))


class Stfdcnn(FusionNetwork):
    """STFDCNN between two pairs.

    Every part learns from all three dates, since a step takes one image of one date. Training and use have the same
    degradation in between: means of cells of 8 fine pixels, bicubic between them. Adam with 1e-4 instead of the plain
    gradient descent with 1e-2 and 1e-1 of the paper, which diverges unless gradients are clipped.
    """

    id = "stfdcnn"
    pairs = (2,)
    targets = ("image",)
    # 8 pixels each way for each of the two networks, 15 for the weights.
    layout = Layout(patch=512, margin=31, ramp=0)
    channels_last = True
    pixel_bytes = 512
    stages: ClassVar[tuple[Stage, ...]] = (
        Stage("transition", ("transition",)),
        Stage("super-resolution", ("super_resolution",)),
    )

    net: TwoSteps

    def __init__(self, form: Form) -> None:
        super().__init__(form)
        self.net = TwoSteps(form.bands, *_WIDTHS[form.size])

    def predict(self, batch: FusionBatch, sampling: Sampling | None = None) -> Tensor:
        """The mean of the modulated images of both pairs, weighted by how little changed since each."""
        # One after the other: at once they would take the memory three times.
        *transitions, target = (self.net(image) for image in (*batch.coarse, batch.target))
        images = [modulated(fine, one, target) for fine, one in zip(batch.fine, transitions, strict=True)]
        return weighted(images, [target - one for one in transitions], _DECISIVE)

    def forward(self, part: str, batch: FusionBatch) -> dict[str, Tensor]:
        """The mean square error of a step, over the three dates."""
        coarse = torch.cat((*batch.coarse, batch.target))
        fine = torch.cat((*batch.fine, known(batch.truth)))
        valid = None if batch.valid is None else batch.valid.repeat(len(batch.fine) + 1, 1, 1, 1)
        if part == "transition":
            return {"error": squared_error(self.net.degraded(coarse), degraded(fine), valid)}
        return {"error": squared_error(self.net.sharpened(degraded(fine)), fine, valid)}

    def optimiser(self, part: str) -> torch.optim.Optimizer:
        """Adam for the step."""
        return torch.optim.Adam(self.net.get_submodule(part).parameters(), 1e-4)


def degraded(fine: Tensor) -> Tensor:
    """Fine images as from a sensor with cells of 8 pixels: means of cells, bicubic between their centres."""
    size = fine.shape[-2:]
    cells = functional.interpolate(fine, [max(1, round(side / _CELL)) for side in size], mode="area")
    return functional.interpolate(cells, size, mode="bicubic")


def modulated(fine: Tensor, transition: Tensor, target: Tensor) -> Tensor:
    """High-pass modulation: the target's transition image with the details of a pair's fine one, in proportion.

    ``target + (fine - transition) * target / transition``; where the transition image is near 0 the details are added
    as they are.
    """
    usable = transition.abs() >= _SMALLEST
    factor = torch.where(usable, target / torch.where(usable, transition, 1.0), 1.0)
    return target + (fine - transition) * factor.clamp(1 / _LARGEST_FACTOR, _LARGEST_FACTOR)


NETWORK = Stfdcnn
