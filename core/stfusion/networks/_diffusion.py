"""Diffusion: noise schedules, the process that adds noise, and samplers that take it away again.

Written here and not taken from ``diffusers``, since the noise has to come from absolute pixel positions for patches to
meet, and since that package brings a client of a model hub. Nothing in this file knows what the images are of.

Equations of Ho, Jain and Abbeel (2020, doi:10.48550/arXiv.2006.11239) for DDPM, of Song, Meng and Ermon (2021,
doi:10.48550/arXiv.2010.02502) for DDIM and of Lu et al. (2022, doi:10.48550/arXiv.2211.01095) for DPM-Solver++. In all
of them ᾱ is the share of the image in the variance of a noisy image.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
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

        Those of DDIM and DPM-Solver++ are spread evenly; DDPM goes through all of them.

        Raises
        ------
        ValueError
            More steps than the schedule has.
        """
        steps = len(self) if sampling.sampler == "ddpm" else sampling.steps
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


def within_one(start: Tensor) -> Tensor:
    """An image clipped to -1..1."""
    return start.clamp(-1, 1)


def sample(
    estimate: Callable[[Tensor, int], Tensor], schedule: Schedule, sampling: Sampling, objective: Objective = "start",
    clip: Callable[[Tensor], Tensor] = within_one,
) -> Tensor:
    """An image drawn by taking the noise away step by step, within what ``clip`` leaves of it.

    ``estimate(noisy, time)`` is the network: its ``objective`` for a noisy image at a time of the schedule, as the
    training counts them. At every time the image that it implies is clipped, and a step of DDIM or DPM-Solver++ leads
    to the next one; DDPM is DDIM with eta = 1 over all times. The last estimate of the image is what is given back.
    """
    noisy = start = sampling.noise(0)
    eta = sampling.eta if sampling.sampler == "ddim" else 1.0
    earlier: tuple[Tensor, float] | None = None
    for step, (time, following) in enumerate(pairwise(schedule.times(sampling)), 1):
        kept = schedule.kept[time]
        start = estimate(noisy, time).to(noisy.dtype)
        if objective == "noise":
            start = start_of(noisy, start, kept)
        start = clip(start)
        if sampling.on_step is not None:
            sampling.on_step()
        if following < 0:
            break
        if sampling.sampler == "dpm-solver++":
            noisy = solver_step(noisy, start, kept, schedule.kept[following], earlier)
            earlier = start, kept
        else:
            noisy = implicit_step(noisy, start, kept, schedule.kept[following], eta, partial(sampling.noise, step))
    return start


def implicit_step(
    noisy: Tensor, start: Tensor, kept: float, then: float, eta: float, fresh: Callable[[], Tensor]
) -> Tensor:
    """The noisy image of the next time, when ``then`` is kept, by DDIM (Song et al. 2021, eq. 12 and 16).

    x = √ᾱₙ·start + √(1-ᾱₙ-s²)·noise + s·fresh with s = eta·√((1-ᾱₜ/ᾱₙ)(1-ᾱₙ)/(1-ᾱₜ)), where the noise is what the
    ``start`` leaves of the noisy image.
    """
    variance = eta**2 * (1 - kept / then) * (1 - then) / (1 - kept)
    noise = noise_of(noisy, start, kept)
    moved = math.sqrt(then) * start + math.sqrt(max(1 - then - variance, 0)) * noise
    return moved + math.sqrt(variance) * fresh() if variance > 0 else moved


def solver_step(
    noisy: Tensor, start: Tensor, kept: float, then: float, earlier: tuple[Tensor, float] | None
) -> Tensor:
    """The noisy image of the next time, when ``then`` is kept, by DPM-Solver++(2M) (Lu et al. 2022, algorithm 2).

    With λ = log √(ᾱ/(1-ᾱ)) and its growth h, x = √((1-ᾱₙ)/(1-ᾱₜ))·noisy - √ᾱₙ·(exp(-h)-1)·D. D goes beyond the
    ``start`` by the way from the ``earlier`` estimate, with what was kept at its time, times h over twice the growth
    since then; in the first step, where there is none, this is DDIM without fresh noise.
    """
    growth = _signal(then) - _signal(kept)
    if earlier is not None:
        start = torch.lerp(earlier[0], start, 1 + growth / (2 * (_signal(kept) - _signal(earlier[1]))))
    return math.sqrt((1 - then) / (1 - kept)) * noisy - math.sqrt(then) * math.expm1(-growth) * start


def _signal(kept: float) -> float:
    """Half the logarithm of the ratio of signal to noise."""
    return math.log(kept / (1 - kept)) / 2
