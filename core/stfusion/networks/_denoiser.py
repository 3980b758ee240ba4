"""What diffusion networks have in common: a network that takes the noise out of the image that is wanted."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from stfusion.networks._batch import Batch, SharpeningBatch
from stfusion.networks._diffusion import Objective, Schedule, noised, sample, within_one
from stfusion.networks._network import Network, Sampling, SharpeningNetwork

#: What a network makes of noisy images at steps, or levels, (n,), beside what it made of them one step before: none in
#: the first step.
Estimate = Callable[[Tensor, Tensor, Tensor | None], Tensor]

#: How often a network that is told its last estimate has one in training.
_TOLD = 0.5
#: How far a sharpened image may be beyond the range of its bands, as a share of it, where the interpolated one is
#: within; else beyond that one.
_BEYOND = 0.5


class Denoiser(Network):
    """A network that draws the image, or its residual, from noise.

    The noise of ``schedule`` is put on what is wanted, within the range that :meth:`within` keeps; the network is
    trained to give the ``objective`` with the smallest absolute error. With ``by_level`` it is told the level of the
    noise, and trained on all levels in between those of the schedule's steps; else it is told the number of the step.
    One that is ``self_conditioned`` is also told what it made of the noisy image one step before; in training half of
    the time, so that it can do without as well (Chen et al. 2023, doi:10.48550/arXiv.2208.04202).
    """

    symmetric = True
    stochastic = True
    schedule: ClassVar[Schedule]
    objective: ClassVar[Objective]
    by_level: ClassVar[bool] = False
    self_conditioned: ClassVar[bool] = False

    @abstractmethod
    def given(self, batch: Any) -> Estimate:
        """The network with the images of a batch."""

    def within(self, batch: Any) -> Callable[[Tensor], Tensor]:
        """What keeps what is drawn within the range of the images."""
        return within_one

    def predict(self, batch: Batch, sampling: Sampling | None = None) -> Tensor:
        """An image as drawn by ``sampling``."""
        if sampling is None:
            raise ValueError("a diffusion model needs to be told how to draw an image")
        network, within = self.given(batch), self.within(batch)
        guess: Tensor | None = None

        def estimate(noisy: Tensor, time: int) -> Tensor:
            nonlocal guess
            times = torch.full((len(noisy),), time, device=noisy.device)
            output = network(noisy, self.schedule.levels(times) if self.by_level else times, guess)
            guess = within(output.to(noisy.dtype)) if self.self_conditioned else None
            return output

        return self.finish(sample(estimate, self.schedule, sampling, self.objective, within), batch)

    def evaluations(self, sampling: Sampling) -> int:
        """How many steps a sampling takes."""
        return len(self.schedule.times(sampling)) - 1

    def forward(self, part: str, batch: Batch) -> dict[str, Tensor]:
        """The mean absolute error at a random step for every item."""
        within = self.within(batch)
        start = within(self.wanted(batch))
        noise = torch.randn_like(start)
        count, device = len(start), start.device
        if self.by_level:
            times = torch.rand(count, device=device) * len(self.schedule) - 1
        else:
            times = torch.randint(len(self.schedule), (count,), device=device)
        levels = self.schedule.levels(times)
        noisy, told = noised(start, noise, levels), levels if self.by_level else times
        network, guess = self.given(batch), None
        if self.self_conditioned and torch.rand(()) < _TOLD:
            with torch.no_grad():
                guess = within(network(noisy, told, None).to(noisy.dtype))
        output = network(noisy, told, guess)
        error = (output.float() - (start if self.objective == "start" else noise)).abs()
        # As in judged(): what is invalid has no error.
        return {"l1": (error if batch.valid is None else torch.where(batch.valid, error, 0.0)).mean()}


class Sharpener(Denoiser, SharpeningNetwork):
    """A network that draws what a multispectral image lacks beside the interpolated one, in standard deviations.

    The deviation is ``form.residual_scale``. Drawn as it is, the residual would be hidden by the noise until the last
    steps, so small it is.
    """

    targets = ("residual",)
    symmetric = False
    objective = "start"
    sampling_steps = 5

    @staticmethod
    def unit(residuals: npt.NDArray[np.float32]) -> float:
        """Their standard deviation."""
        return float(np.std(residuals, dtype=np.float64))

    def within(self, batch: SharpeningBatch) -> Callable[[Tensor], Tensor]:
        """What keeps an image near the range of its bands."""
        base, scale = batch.base(), self.form.residual_scale
        low, high = ((bound(base) - base) / scale for bound in (_lowest, _highest))
        return lambda start: start.clamp(low, high)


def _lowest(image: Tensor) -> Tensor:
    return image.clamp(max=0) - _BEYOND


def _highest(image: Tensor) -> Tensor:
    return image.clamp(min=1) + _BEYOND
