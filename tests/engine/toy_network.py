"""A network for the tests of what surrounds networks: quick, exact and known."""

from __future__ import annotations

from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from stfusion.networks import _checkpoint, _import
from stfusion.networks._batch import FusionBatch, known
from stfusion.networks._network import Form, FusionNetwork, Layout, Sampling


class Toy(FusionNetwork):
    """The change filtered by 5 x 5 pixels and added to the fine image: exact within a margin of 2 pixels."""

    id = "edcstfn"
    pairs = (1, 2)
    layout = Layout(patch=24, margin=2, ramp=0, multiple=4)

    def __init__(self, form: Form) -> None:
        super().__init__(form)
        self.net: nn.Conv2d = nn.Conv2d(form.bands, form.bands, 5, padding=2, groups=form.bands, bias=False)
        nn.init.constant_(self.net.weight, 1 / 25)

    def predict(self, batch: FusionBatch, sampling: Sampling | None = None) -> Tensor:
        image: Tensor = batch.fine[0] + self.net(batch.target - batch.coarse[0])
        return image

    def forward(self, part: str, batch: FusionBatch) -> dict[str, Tensor]:
        return {"error": functional.mse_loss(self.predict(batch), known(batch.truth))}

    def optimiser(self, part: str) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.net.parameters(), 0.1)


class Noisy(Toy):
    """The fine image plus noise, in as many steps as are wanted."""

    stochastic = True

    def predict(self, batch: FusionBatch, sampling: Sampling | None = None) -> Tensor:
        for _ in range(sampling.steps):
            if sampling.on_step:
                sampling.on_step()
        return batch.fine[0] + 0.1 * sampling.noise(0)


class Hungry(Toy):
    """A network whose device holds so many patches, or so many pixels of one."""

    patches: ClassVar[int] = 2
    side: ClassVar[int] = 100

    def predict(self, batch: FusionBatch, sampling: Sampling | None = None) -> Tensor:
        count, _, rows, _ = batch.target.shape
        if count > self.patches or rows > self.side:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return super().predict(batch, sampling)


def use(monkeypatch: pytest.MonkeyPatch, network: type[FusionNetwork] = Toy) -> None:
    """Let checkpoints of EDCSTFN be of this network."""
    for module in (_checkpoint, _import):
        monkeypatch.setattr(module, "network_class", lambda name: network)
