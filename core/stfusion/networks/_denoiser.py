"""What diffusion networks have in common: a network that takes the noise out of the image that is wanted."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor

from stfusion.networks._batch import Batch
from stfusion.networks._diffusion import Objective, Schedule, noised, sample
from stfusion.networks._network import Network, Sampling


class Denoiser(Network):
    """A network that draws the image, or its residual, from noise.

    The noise of ``schedule`` is put on what is wanted, clipped to -1..1; the network is trained to give the
    ``objective`` with the smallest absolute error. With ``by_level`` it is told the level of the noise, and trained on
    all levels in between those of the schedule's steps; else it is told the number of the step.
    """

    symmetric = True
    stochastic = True
    schedule: ClassVar[Schedule]
    objective: ClassVar[Objective]
    by_level: ClassVar[bool] = False

    @abstractmethod
    def given(self, batch: Any) -> Callable[[Tensor, Tensor], Tensor]:
        """The network with the images of a batch: what it makes of noisy images at steps, or levels, (n,)."""

    def predict(self, batch: Batch, sampling: Sampling | None = None) -> Tensor:
        """An image as drawn by ``sampling``."""
        if sampling is None:
            raise ValueError("a diffusion model needs to be told how to draw an image")
        network = self.given(batch)

        def estimate(noisy: Tensor, time: int) -> Tensor:
            times = torch.full((len(noisy),), time, device=noisy.device)
            return network(noisy, self.schedule.levels(times) if self.by_level else times)

        return self.finish(sample(estimate, self.schedule, sampling, self.objective), batch)

    def evaluations(self, sampling: Sampling) -> int:
        """How many steps a sampling takes."""
        return len(self.schedule.times(sampling)) - 1

    def forward(self, part: str, batch: Batch) -> dict[str, Tensor]:
        """The mean absolute error at a random step for every item."""
        start = self.wanted(batch).clamp(-1, 1)
        noise = torch.randn_like(start)
        count, device = len(start), start.device
        if self.by_level:
            times = torch.rand(count, device=device) * len(self.schedule) - 1
        else:
            times = torch.randint(len(self.schedule), (count,), device=device)
        levels = self.schedule.levels(times)
        output = self.given(batch)(noised(start, noise, levels), levels if self.by_level else times)
        error = (output.float() - (start if self.objective == "start" else noise)).abs()
        # As in judged(): what is invalid has no error.
        return {"l1": (error if batch.valid is None else torch.where(batch.valid, error, 0.0)).mean()}
