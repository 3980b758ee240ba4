"""A tiny network with two parts and two stages, samples for it, and a training of it as a program of its own.

    python toy_training.py FOLDER [SECONDS]

trains two epochs and writes FOLDER/weights.safetensors; an epoch's steps wait SECONDS each, so that the training can be
killed. Under ``torchrun`` every process takes its share of a batch.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from stfusion.networks._batch import FusionBatch, known
from stfusion.networks._network import Form, FusionNetwork, Layout, Sampling, Stage
from stfusion.networks._normalisation import Normalisation
from stfusion.training._devices import connect
from stfusion.training._progress import Progress, Record
from stfusion.training._schedule import Settings
from stfusion.training._state import State, load, save
from stfusion.training._trainer import Trainer
from stfusion.training._validation import Scores, Validation

# Tiny sums are quicker without a second thread.
torch.set_num_threads(1)

BANDS, SIDE = 2, 16


class Toy(FusionNetwork):
    """A convolution that predicts, and a critic that says how far a pixel is from the truth."""

    id = "edcstfn"
    layout = Layout(patch=SIDE, margin=1, ramp=0)
    stages: ClassVar[tuple[Stage, ...]] = (Stage("first", ("net",), 1.0), Stage("second", ("critic", "net"), 1.0))

    def __init__(self, form: Form) -> None:
        super().__init__(form)
        self.net = nn.Conv2d(3 * form.bands, form.bands, 3, padding=1)
        self.critic = nn.Conv2d(form.bands, 1, 1)
        self.clamped = 0

    def _output(self, batch: FusionBatch) -> Tensor:
        output: Tensor = self.net(torch.cat([*batch.fine, *batch.coarse, batch.target], 1))
        return output

    def predict(self, batch: FusionBatch, sampling: Sampling | None = None) -> Tensor:
        return self.finish(self._output(batch), batch)

    def forward(self, part: str, batch: FusionBatch) -> dict[str, Tensor]:
        error = self.judged(self.predict(batch), batch) - known(batch.truth)
        if part == "critic":
            error = error.detach()
            return {"critic": (self.critic(error) - error.abs().mean(1, keepdim=True)).square().mean()}
        noise = torch.rand(()) if self.training else torch.tensor(0.5)
        judged = self.critic(error).square().mean()
        return {"error": error.square().mean() * (0.9 + 0.2 * noise), "judged": 0.01 * judged}

    def optimiser(self, part: str) -> torch.optim.Optimizer:
        if part == "critic":
            return torch.optim.SGD(self.critic.parameters(), 0.05, momentum=0.9)
        return torch.optim.Adam(self.net.parameters(), 0.01)

    def after_step(self, part: str) -> None:
        self.clamped += part == "critic"


class Even(Toy):
    """The same without noise, so that a batch can be divided."""

    def forward(self, part: str, batch: FusionBatch) -> dict[str, Tensor]:
        self.eval()
        return super().forward(part, batch)


def images(*place: int, items: int = 1) -> FusionBatch:
    """Random images of a place, the truth being a mixture of them."""
    rng = np.random.default_rng(place)
    fine, coarse, target = (
        torch.from_numpy(rng.random((items, BANDS, SIDE, SIDE), np.float32)) for _ in range(3)
    )
    return FusionBatch((fine,), (coarse,), target, truth=0.5 * fine + 0.5 * (target - coarse) + 0.1)


def joined(batches: list[FusionBatch]) -> FusionBatch:
    """Batches as one."""
    return FusionBatch(
        (torch.cat([batch.fine[0] for batch in batches]),), (torch.cat([batch.coarse[0] for batch in batches]),),
        torch.cat([batch.target for batch in batches]), truth=torch.cat([known(batch.truth) for batch in batches]),
    )


def batch(epoch: int, step: int, size: int = 4, rank: int = 0, world: int = 1) -> FusionBatch:
    """The share of a process of the batch of a step, of ``size`` samples for each process."""
    return joined([images(epoch, step, item) for item in range(rank, size * world, world)])


SCALING = Normalisation("scene", (0.0,) * BANDS, (100.0,) * BANDS)


@dataclass
class Sample:
    """A sample to validate with, in the unit of which there are 100 in a normalised one."""

    fine: tuple[np.ndarray, ...]
    coarse: tuple[np.ndarray, ...]
    target: np.ndarray
    truth: np.ndarray
    valid: np.ndarray
    normalisation: Normalisation = SCALING
    ratio: float | None = None


def sample(item: int) -> Sample:
    one = images(999, item)
    fine, coarse, target, truth = (image.numpy()[0] for image in (one.fine[0], one.coarse[0], one.target, one.truth))
    return Sample((fine,), (coarse,), target, truth, np.ones((SIDE, SIDE), bool))


def validation(count: int = 3, rank: int = 0, world: int = 1) -> Validation:
    return Validation(count, lambda: (([sample(item)], images(999, item)) for item in range(rank, count, world)),
                      shown=(0,))


@dataclass
class Notes:
    """Keeps what a training says; ``wait`` seconds pass in every step."""

    folder: Path | None = None
    wait: float = 0.0
    best: dict[str, Tensor] = field(default_factory=dict)
    improvements: list[Record] = field(default_factory=list)
    steps: list[tuple[int, Mapping[str, float], float]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    states: list[State] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)
    scores: list[Scores | None] = field(default_factory=list)

    def check(self) -> None:
        time.sleep(self.wait)

    def advanced(self, done: float, total: float, seconds: float) -> None:
        self.shares.append(done / total)

    def stepped(self, step: int, losses: Mapping[str, float], rate: float) -> None:
        self.steps.append((step, losses, rate))
        if self.folder:
            (self.folder / "step").write_text(str(step), encoding="utf-8")

    def warned(self, sentence: str) -> None:
        self.warnings.append(sentence)

    def improved(self, network: FusionNetwork, record: Record) -> None:
        self.improvements.append(record)
        self.best = {name: value.clone() for name, value in network.net.state_dict().items()}

    def kept(self, state: State) -> None:
        self.states.append(state)
        if self.folder:
            save(self.folder / "state.safetensors", state)

    def epoch_ended(self, progress: Progress, scores: Scores | None) -> None:
        self.scores.append(scores)


def trainer(network: FusionNetwork | None = None, notes: Notes | None = None, **settings: object) -> Trainer:
    """A training of the toy on the processor."""
    torch.manual_seed(7)
    fabric = connect("cpu", "float32")
    chosen = Settings(**{"epochs": 4, "steps": 5, "batch": 4, "seed": 3, **settings})
    return Trainer(
        network or Toy(Form(bands=BANDS)),
        lambda epoch, steps: (
            batch(epoch, step, chosen.batch, fabric.global_rank, fabric.world_size) for step in steps
        ),
        validation(3, fabric.global_rank, fabric.world_size), chosen, fabric, notes or Notes(),
    )


def main() -> None:
    folder = Path(sys.argv[1])
    wait = float(sys.argv[2]) if len(sys.argv) > 2 else 0.0
    kind, size = (Even, 2) if len(sys.argv) > 3 else (Toy, 4)
    torch.manual_seed(7)
    training = trainer(kind(Form(bands=BANDS)), Notes(folder, wait), epochs=2, steps=8, batch=size, save_minutes=1e-3)
    state = folder / "state.safetensors"
    if state.exists():
        training.resume(load(state))
    training.run()
    if training.progress.ended:
        weights = {**training.network.state_dict(), **{f"average.{k}": v for k, v in training.average.values.items()}}
        save_file(weights, folder / "weights.safetensors")


if __name__ == "__main__":
    main()
