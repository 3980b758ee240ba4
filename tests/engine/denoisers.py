"""What the tests of the diffusion models for sharpening share: a patch with a known truth, drawing, and learning."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import torch

from networks import built
from sharpening import set_b
from stfusion.networks._batch import SharpeningBatch
from stfusion.networks._network import Sampling

#: What values are divided by.
RANGE = 2047


@cache
def patch(side: int = 16, count: int = 1, ratio: int = 4) -> SharpeningBatch:
    """A part of the scene with known values, in 0..1."""
    scene, first = set_b(), 32

    def cut(image, ratio=1):
        part = slice(first // ratio, (first + side) // ratio)
        return torch.from_numpy((image[:, part, part] / RANGE).astype(np.float32))[None].expand(count, -1, -1, -1)

    return SharpeningBatch(cut(scene.pan[None]), cut(scene.expanded), cut(scene.ms, 4), truth=cut(scene.truth))


def network_for(name: str, batch: SharpeningBatch, **form):
    """The small network by its id for a batch, whose residuals it knows the spread of."""
    spread = float((batch.truth - batch.expanded).std())
    form = {"bands": batch.shape[1], "ratio": 4, "target": "residual", "residual_scale": spread, **form}
    return built(name, **form)


def fields(shape, seed=0):
    return lambda step: torch.from_numpy(np.random.default_rng([seed, step]).normal(size=shape).astype(np.float32))


def drawn(network, batch, steps=10, sampler="ddim", seed=0, **options):
    with torch.inference_mode():
        return network.predict(batch, Sampling(fields(batch.shape, seed), steps, sampler, **options))


def ergas(image, truth, ratio=4) -> float:
    squares = (image - truth).square().mean((0, 2, 3)) / truth.mean((0, 2, 3)) ** 2
    return 100 / ratio * math.sqrt(squares.mean())


def learn(network, batch, steps, rate, parts=("net",)):
    """Train by the network's own recipe at another rate, which rises and falls."""
    torch.manual_seed(8)
    network.train()
    optimisers = {part: network.optimiser(part) for part in parts}
    for step in range(steps):
        for part, optimiser in optimisers.items():
            for group in optimiser.param_groups:
                group["lr"] = rate * min(1, 10 * (step + 1) / steps) * (1 - step / steps)
            network.zero_grad()
            network(part, batch)["l1"].backward()
            torch.nn.utils.clip_grad_norm_(network.net.parameters(), 1)
            optimiser.step()
    network.eval()
