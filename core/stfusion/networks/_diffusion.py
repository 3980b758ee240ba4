"""Diffusion: noise schedules, the process that adds noise, and samplers that take it away again.

Written here and not taken from ``diffusers``, since the noise has to come from absolute pixel positions for patches to
meet, and since that package brings a client of a model hub. Nothing in this file knows what the images are of.

Equations of Ho, Jain and Abbeel (2020, doi:10.48550/arXiv.2006.11239) for DDPM and of Song, Meng and Ermon (2021,
doi:10.48550/arXiv.2010.02502) for DDIM. In all of them ᾱ is the share of the image in the variance of a noisy image.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

from stfusion.networks._network import Sampling

#: What a network estimates from a noisy image: the image at the start of the process, or the noise in it.
Objective = Literal["start", "noise"]


@dataclass(frozen=True)
class Schedule:
    """How an image turns into noise: ``kept`` is ᾱ after every step, falling from almost 1 to almost 0."""

    kept: tuple[float, ...]

    @classmethod
    def of_betas(cls, betas: list[float]) -> Schedule:
        """The schedule of the variances of the noise that every step adds."""
        kept, total = [], 1.0
        for beta in betas:
            total *= 1 - beta
            kept.append(total)
        return cls(tuple(kept))

    @classmethod
    def cosine(cls, steps: int, offset: float = 0.008, most: float = 0.999) -> Schedule:
        """A squared cosine of ᾱ, with no step adding more than ``most`` (Nichol and Dhariwal 2021, eq. 17)."""
        curve = [math.cos((k / steps + offset) / (1 + offset) * math.pi / 2) ** 2 for k in range(steps + 1)]
        return cls.of_betas([min(1 - after / before, most) for before, after in pairwise(curve)])

    @classmethod
    def linear(cls, steps: int, first: float, last: float) -> Schedule:
        """Steps whose variance grows evenly from ``first`` to ``last``."""
        return cls.of_betas([first + (last - first) * k / (steps - 1) for k in range(steps)])

    def __len__(self) -> int:
        return len(self.kept)

    def levels(self, times: Tensor) -> Tensor:
        """√ᾱ at times from -1, where nothing is lost, to the last step; between two steps in proportion."""
        levels = torch.tensor((1.0, *self.kept), dtype=torch.float64, device=times.device).sqrt()
        before = times.floor().clamp(max=len(self) - 2).long()
        return torch.lerp(levels[before + 1], levels[before + 2], times.double() - before).float()

    def times(self, sampling: Sampling) -> list[int]:
        """The times at which a sampling looks at the image, from the last one down to -1, which is the image itself.

        DDIM's are spread evenly; DDPM goes through all of them.

        Raises
        ------
        ValueError
            More steps than the schedule has.
        """
        steps = sampling.steps if sampling.sampler == "ddim" else len(self)
        if not 1 <= steps <= len(self):
            raise ValueError(f"a diffusion of {len(self)} steps cannot be sampled in {steps}")
        return [k * len(self) // steps - 1 for k in range(steps, -1, -1)]


def noised(start: Tensor, noise: Tensor, level: Tensor) -> Tensor:
    """Images with noise, for each the level √ᾱ: √ᾱ·start + √(1-ᾱ)·noise."""
    level = level.to(start.dtype).reshape(-1, *(1,) * (start.ndim - 1))
    return level * start + (1 - level.square()).sqrt() * noise


def start_of(noisy: Tensor, noise: Tensor, kept: float) -> Tensor:
    """The image that is left without the noise."""
    return (noisy - math.sqrt(1 - kept) * noise) / math.sqrt(kept)


def noise_of(noisy: Tensor, start: Tensor, kept: float) -> Tensor:
    """The noise that made a noisy image of the start."""
    return (noisy - math.sqrt(kept) * start) / math.sqrt(1 - kept)


def sample(
    estimate: Callable[[Tensor, int], Tensor], schedule: Schedule, sampling: Sampling, objective: Objective = "start"
) -> Tensor:
    """An image drawn by taking the noise away step by step, within -1..1.

    ``estimate(noisy, time)`` is the network: its ``objective`` for a noisy image at a time of the schedule. At every
    time the image that it implies is clipped, and the noise is what that leaves; then, with n the next time,
    x = √ᾱₙ·start + √(1-ᾱₙ-s²)·noise + s·fresh and s = eta·√((1-ᾱₜ/ᾱₙ)(1-ᾱₙ)/(1-ᾱₜ)) (Song et al., eq. 12 and 16).
    DDPM is the case of eta = 1 over all times. The last estimate of the image is what is given back.
    """
    noisy = start = sampling.noise(0)
    eta = sampling.eta if sampling.sampler == "ddim" else 1.0
    times = schedule.times(sampling)
    for step, (time, following) in enumerate(pairwise(times), 1):
        kept = schedule.kept[time]
        start = estimate(noisy, time).to(noisy.dtype)
        if objective == "noise":
            start = start_of(noisy, start, kept)
        start = start.clamp(-1, 1)
        if sampling.on_step is not None:
            sampling.on_step()
        if following < 0:
            break
        kept_then = schedule.kept[following]
        variance = eta**2 * (1 - kept / kept_then) * (1 - kept_then) / (1 - kept)
        noise = noise_of(noisy, start, kept)
        noisy = math.sqrt(kept_then) * start + math.sqrt(max(1 - kept_then - variance, 0)) * noise
        if variance > 0:
            noisy = noisy + math.sqrt(variance) * sampling.noise(step)
    return start
