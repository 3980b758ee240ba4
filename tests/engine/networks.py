"""Tiny batches for the tests of the networks, a loop that trains one by its own recipe, and what no file may do."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from stfusion.networks._batch import Batch, FusionBatch, SharpeningBatch
from stfusion.networks._network import Form, Network, network_class

# Patches as small as these are no work for several threads, which on a busy machine wait for one another.
torch.set_num_threads(1)


def built(name: str, seed: int = 1, **form: object) -> Network:
    """A network by its id with reproducible weights; of one band and small, unless told otherwise."""
    torch.manual_seed(seed)
    return network_class(name)(Form(**{"bands": 1, "size": "small", **form}))


def field(count: int, bands: int, rows: int, columns: int, cell: int, seed: int) -> Tensor:
    """Random values in 0..1, at every ``cell`` pixels and linear between these."""
    shape = (count, bands, rows // cell + 2, columns // cell + 2)
    values = torch.rand(shape, generator=torch.Generator().manual_seed(seed))
    return functional.interpolate(values, (rows, columns), mode="bilinear")


def waves(count: int, bands: int, rows: int, columns: int, seed: int) -> Tensor:
    """A wave of 20 pixels in every image, its direction and phase by chance, in -1..1."""
    angle, phase = 6.3 * torch.rand((2, count, bands, 1, 1), generator=torch.Generator().manual_seed(seed))
    row, column = torch.arange(rows)[:, None], torch.arange(columns)
    return torch.sin((row * angle.sin() + column * angle.cos()) * 0.31 + phase)


def sharpening_batch(
    network: Network, count: int = 2, rows: int = 32, columns: int = 32, seed: int = 0
) -> SharpeningBatch:
    """Patches to sharpen, with their truth; the panchromatic image is the mean of its bands."""
    form = network.form
    size = (count, form.bands, rows, columns)
    truth = 0.4 + 0.2 * field(*size, 12, seed) + 0.1 * waves(count, 1, rows, columns, seed + 1)
    if network.symmetric:
        truth = 2 * truth - 1
    ratio = form.ratio or 4
    coarse = functional.interpolate(truth, (-(-rows // ratio), -(-columns // ratio)), mode="area")
    expanded = functional.interpolate(coarse, (rows, columns), mode="bilinear")
    pan = truth.mean(1, keepdim=True).expand(-1, form.pan_bands, -1, -1)
    return SharpeningBatch(pan, expanded, coarse if network.needs_multispectral else None, truth=truth)


def batch_for(network: Network, count: int = 2, rows: int = 32, columns: int = 32, seed: int = 0) -> FusionBatch:
    """Patches as the network takes them, with their truth.

    A fine image has details; the other dates are brighter or darker by fields that the coarse images show, which are
    blurred and have a bias.
    """
    bands = network.form.bands
    size = (count, bands, rows, columns)
    first = 0.3 + 0.2 * field(*size, 24, seed) + 0.1 * waves(*size, seed + 1)
    gains = [0.7 + 0.9 * field(*size, 24, seed + 2 + date) for date in range(network.form.pairs)]
    truth, *others = (first * gain for gain in gains)
    dates = [first, *others]

    def scaled(image: Tensor) -> Tensor:
        return 2 * image - 1 if network.symmetric else image

    def seen(image: Tensor) -> Tensor:
        return scaled(0.75 * blurred(image) + 0.05)

    return FusionBatch(
        fine=tuple(scaled(image) for image in dates),
        coarse=tuple(seen(image) for image in dates) if network.needs_coarse else (),
        target=seen(truth),
        truth=scaled(truth),
    )


def blurred(image: Tensor, cell: int = 8) -> Tensor:
    """A coarse image upsampled to the fine grid."""
    rows, columns = image.shape[-2:]
    means = functional.interpolate(image, (-(-rows // cell), -(-columns // cell)), mode="area")
    return functional.interpolate(means, (rows, columns), mode="bilinear")


def overfit(network: Network, batch: Batch, steps: int, rate: float | None = None) -> dict[str, list[dict[str, float]]]:
    """Train by the network's own recipe, ``steps`` in every stage; the losses of every step by part.

    ``rate`` replaces the rates of the recipe, which are meant for thousands of steps; they rise, and fall to nothing.
    """
    history: dict[str, list[dict[str, float]]] = {}
    network.train()
    for stage in network.stages:
        optimisers = {part: network.optimiser(part) for part in stage.parts}
        for step in range(steps):
            for part, optimiser in optimisers.items():
                for group in optimiser.param_groups:
                    group.setdefault("initial_lr", rate or group["lr"])
                    rise, fall = min(1, (step + 1) / (0.1 * steps)), 0.5 * (1 + math.cos(math.pi * step / steps))
                    group["lr"] = group["initial_lr"] * rise * fall
                optimiser.zero_grad()
                losses = network(part, batch)
                torch.stack(list(losses.values())).sum().backward()
                nn.utils.clip_grad_norm_([p for group in optimiser.param_groups for p in group["params"]], 1.0)
                optimiser.step()
                network.after_step(part)
                history.setdefault(part, []).append({name: loss.item() for name, loss in losses.items()})
    network.eval()
    return history


def fell(losses: list[dict[str, float]], name: str | None = None) -> float:
    """How many times a loss, or the sum of all, became smaller; its smallest of the last five counts."""
    values = [step[name] if name else sum(step.values()) for step in losses]
    return values[0] / min(values[-5:])


def error(network: Network, batch: Batch) -> float:
    """Mean square error of the prediction of the batch's truth."""
    with torch.inference_mode():
        return functional.mse_loss(network.predict(batch), batch.truth).item()


def reach(network: Network, batch: FusionBatch, row: int, column: int) -> int:
    """How far away the pixels of the inputs lie, in rows or columns, that a pixel of the prediction depends on."""
    batch = batch.map(lambda image: image.clone().requires_grad_())
    inputs = (*batch.fine, *batch.coarse, batch.target)
    gradients = torch.autograd.grad(network.predict(batch)[..., row, column].sum(), inputs)
    where = torch.cat(gradients, 1).abs().amax((0, 1)).nonzero()
    return int((where - torch.tensor([row, column])).abs().max())


def unlike_in_part(network: Network, batch: Batch, top: int, left: int, rows: int, columns: int, margin: int) -> float:
    """The largest difference between a prediction and the prediction of a part of it, ``margin`` away from its edge."""
    part = batch.map(lambda image: image[..., top : top + rows, left : left + columns])
    with torch.inference_mode():
        whole, cut = network.predict(batch), network.predict(part)
    inside = whole[..., top : top + rows, left : left + columns] - cut
    return inside[..., margin : rows - margin, margin : columns - margin].abs().max().item()


def learnt_from_nothing(network: Network, part: str, batch: Batch) -> float:
    """The largest gradient of any weight that a part learns, from a batch of which no pixel is valid: 0."""
    count, _, rows, columns = batch.shape
    batch = replace(batch, valid=torch.zeros((count, 1, rows, columns), dtype=torch.bool))
    network.zero_grad()
    torch.stack(list(network(part, batch).values())).sum().backward()
    learnt = [weight for group in network.optimiser(part).param_groups for weight in group["params"]]
    return max(weight.grad.abs().max().item() for weight in learnt if weight.grad is not None)


class Hostile:
    """What a pickle can do when it is loaded."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.witness,)
