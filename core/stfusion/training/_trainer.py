"""The training of any network: steps, learning rates, moving average, validation, early stop and resumption.

What a network learns by is its own affair (:class:`stfusion.networks._network.Network`): its losses, its optimisers,
the parts that take turns and the stages that follow one another. Everything random within a step is drawn from a seed
made of the training's seed, the epoch, the step, the part and the process, so that an interrupted training goes on
as if it had not been.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, replace
from itertools import pairwise

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from stfusion.networks._batch import Batch
from stfusion.networks._network import Network, Stage
from stfusion.training._average import Average
from stfusion.training._devices import lacks_memory, too_large
from stfusion.training._progress import Progress, Record, Watcher
from stfusion.training._schedule import Plan, Settings
from stfusion.training._state import State, flat, nested
from stfusion.training._validation import FIGURES, Validation

#: What a validation batch costs beside a training step, for every pass through the network.
_VALIDATION_COST = 1 / 3


#: Gives the batches of an epoch and some of its steps.
Batches = Callable[[int, range], Generator[Batch, None, None]]


class _Diverged(Exception):
    """The losses or gradients are no longer numbers."""


class _Parcel:
    """A batch that is handed through wrappers of the network as it is."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch


class _Losses(nn.Module):
    """The network as a module whose forward pass takes parcels."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, part: str, parcel: _Parcel) -> dict[str, Tensor]:
        losses: dict[str, Tensor] = self.network(part, parcel.batch)
        return losses


def step_seed(*place: int) -> int:
    """The seed of a place in a training: its seed, epoch, step, part and process."""
    return int(np.random.SeedSequence(place).generate_state(1, np.uint64)[0])


class Trainer:
    """Trains a network; :meth:`state` and :meth:`resume` save and restore everything.

    Parameters
    ----------
    network
        A new network, or one with weights to start from.
    batches
        Gives this process its batches of an epoch and some of its steps, on the processor.
    validation
        Samples that are not learnt from.
    settings, fabric, watcher
        What the user decided, the devices, and who is told.
    """

    def __init__(
        self, network: Network, batches: Batches, validation: Validation, settings: Settings,
        fabric: Fabric, watcher: Watcher,
    ) -> None:
        self.network, self.settings, self.watcher = network, settings, watcher
        self._batches, self._validation, self._fabric = batches, validation, fabric
        self.plan = Plan.of(network.stages, settings.epochs, settings.steps)
        self.progress = Progress(self.plan.ends)
        parts = list(dict.fromkeys(part for stage in network.stages for part in stage.parts))
        network.train()
        self._layout = torch.channels_last if network.channels_last else torch.contiguous_format
        network.to(memory_format=self._layout)  # type: ignore[call-overload]
        self._module = fabric.setup_module(_Losses(network))
        self._optimisers = {part: network.optimiser(part) for part in parts}
        self._set_rates()
        self.average = Average(network.net, settings.average)
        self._first = fabric.global_rank == 0
        self._clock = time.monotonic()

    def _set_rates(self) -> None:
        """Scale the recipe's learning rates so that the network's own is the one that the user wants."""
        own = {id(parameter) for parameter in self.network.net.parameters()}
        recipe = next(
            group["lr"] for part in reversed(self._optimisers) for group in self._optimisers[part].param_groups
            if any(id(parameter) in own for parameter in group["params"])
        )
        factor = self.settings.learning_rate / recipe if self.settings.learning_rate else self.settings.recipe_share
        for optimiser in self._optimisers.values():
            for group in optimiser.param_groups:
                group["initial_lr"] = group["lr"] * factor

    def state(self) -> State:
        """Everything that is needed to go on."""
        tensors = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        tensors |= {f"average.{name}": value for name, value in self.average.values.items()}
        optimisers = {
            part: flat(optimiser.state_dict(), f"optimiser.{part}", tensors)
            for part, optimiser in self._optimisers.items()
        }
        self._count_time()
        return State(tensors, {
            "progress": asdict(self.progress), "optimisers": optimisers, "average_steps": self.average.steps
        })

    def resume(self, state: State) -> None:
        """Go on from a state."""
        self.network.load_state_dict(state.part("network."))
        self.average.load(state.part("average."), state.plain["average_steps"])
        for part, optimiser in self._optimisers.items():
            optimiser.load_state_dict(nested(state.plain["optimisers"][part], state.tensors))
            # In the layout of the weights again: sums may be rounded otherwise in another one.
            for parameter, kept in optimiser.state.items():
                for name, value in kept.items():
                    if isinstance(value, Tensor) and value.shape == parameter.shape:
                        kept[name] = torch.empty_like(parameter).copy_(value)
        self.progress = Progress.of(state.plain["progress"])
        self.plan = replace(self.plan, ends=self.progress.ends)
        self._clock = time.monotonic()

    def run(self, start: bool = False) -> Progress:
        """Train until the end; ``start`` says that the network has weights to be compared with.

        The training ends after its last epoch, after too many epochs without a better figure, or when its losses
        are no longer numbers; it is interrupted when its time is over.
        """
        self._meter = self._new_meter()
        if start and not self.progress.records:
            self._conclude_epoch(Record(0, "start"))
        begun = time.monotonic()
        while not self.progress.ended and self.progress.epoch < self.plan.epochs:
            spent = time.monotonic()
            try:
                self._train_epoch()
            except _Diverged as error:
                self.progress.ended, self.progress.diverged = str(error), True
                break
            self._end_epoch(time.monotonic() - spent)
            self._fit(time.monotonic() - spent)
            if self._fabric.broadcast(self._time_is_over(begun, spent)):
                break
        if not self.progress.ended and self.progress.epoch >= self.plan.epochs:
            self.progress.ended = "all epochs are done"
            self._keep()
        return self.progress

    def _count_time(self) -> None:
        now = time.monotonic()
        self.progress.seconds += now - self._clock
        self._clock = now

    def _train_epoch(self) -> None:
        """The rest of the steps of the epoch."""
        self.network.train()
        saved = time.monotonic()
        progress, plan = self.progress, self.plan
        with closing(self._batches(progress.epoch, range(progress.step, plan.steps))) as batches:
            for batch in batches:
                self.watcher.check()
                rate = plan.rate(progress.epoch, progress.step)
                losses = self._step(batch, rate)
                for name, value in losses.items():
                    total, count = progress.losses.get(name, (0.0, 0))
                    progress.losses[name] = (total + value, count + 1)
                progress.step += 1
                if self._first:
                    self.watcher.stepped(progress.epoch * plan.steps + progress.step, losses, rate)
                self._meter.add(1)
                if time.monotonic() - saved > 60 * self.settings.save_minutes and progress.step < plan.steps:
                    self._keep()
                    saved = time.monotonic()

    def _step(self, batch: Batch, rate: float) -> dict[str, float]:
        """One step of every part of the stage; the losses by name."""
        found: dict[str, float] = {}
        for number, part in enumerate(self._stage().parts):
            losses = self._learn(part, number, batch)
            found |= {name if name not in found else f"{part} {name}": value for name, value in losses.items()}
            optimiser = self._optimisers[part]
            parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
            norm = nn.utils.clip_grad_norm_(parameters, self.settings.clip or math.inf)
            self._refuse_infinite({**losses, "gradient": float(norm)})
            for group in optimiser.param_groups:
                group["lr"] = group["initial_lr"] * rate
            optimiser.step()
            self.network.after_step(part)
        self.average.update()
        return found

    def _refuse_infinite(self, values: Mapping[str, float]) -> None:
        name = next((name for name, value in values.items() if not math.isfinite(value)), None)
        if name:
            raise _Diverged(
                f"'{name}' was no finite number in step {self.progress.step + 1} of epoch {self.progress.epoch + 1}; "
                "lower the learning rate or the largest norm of the gradients"
            )

    def _learn(self, part: str, number: int, batch: Batch) -> dict[str, float]:
        """The losses of a part on a batch, and their gradients; where memory is short, piece by piece."""
        progress = self.progress
        while True:
            torch.manual_seed(step_seed(
                self.settings.seed, progress.epoch, progress.step, number, self._fabric.global_rank
            ))
            try:
                return self._gradients(part, batch, min(progress.pieces, len(batch)))
            except RuntimeError as error:
                if not lacks_memory(error):
                    raise
                count = len(batch)
                if progress.pieces >= count or self._fabric.world_size > 1:
                    raise too_large(-(-count // progress.pieces), error) from error
            torch.cuda.empty_cache()
            progress.pieces = min(2 * progress.pieces, count)
            self.watcher.warned(
                f"The memory did not hold the batch of {count}; it is learnt from in {progress.pieces} pieces, whose "
                "gradients are added up."
            )

    def _gradients(self, part: str, batch: Batch, pieces: int) -> dict[str, float]:
        self.network.zero_grad(set_to_none=True)
        count, found = len(batch), defaultdict[str, float](float)
        bounds = [count * number // pieces for number in range(pieces + 1)]
        for first, last in pairwise(bounds):
            piece = self._moved(batch, slice(first, last))
            share = (last - first) / count
            with self._fabric.no_backward_sync(self._module, enabled=last < count):
                losses: dict[str, Tensor] = self._module(part, _Parcel(piece))
                self._fabric.backward(torch.stack(list(losses.values())).sum() * share)
            for name, value in losses.items():
                found[name] += float(value.detach()) * share
        return dict(found)

    def _moved(self, batch: Batch, items: slice) -> Batch:
        """Some items of a batch on the device."""
        device, layout = self._fabric.device, self._layout
        return batch.map(lambda image: image[items].to(device, non_blocking=True, memory_format=layout))

    def _stage(self) -> Stage:
        return self.network.stages[self.plan.stage(self.progress.epoch)]

    def _end_epoch(self, seconds: float) -> None:
        """Validate, keep what is best, and say so."""
        progress = self.progress
        stage = self.plan.stage(progress.epoch)
        losses = {name: total / count for name, (total, count) in progress.losses.items()}
        rate = self.plan.rate(progress.epoch, self.plan.steps - 1)
        record = Record(progress.epoch + 1, self.network.stages[stage].name, losses, rate, seconds)
        progress.epoch, progress.step, progress.losses = progress.epoch + 1, 0, {}
        self._conclude_epoch(record, stage)

    def _conclude_epoch(self, record: Record, stage: int | None = None) -> None:
        progress, last = self.progress, len(self.network.stages) - 1
        scores = None
        with self._judged():
            if stage is None or stage == last:
                scores = self._validation.scores(self.network, self._fabric, self._validated)
                found = [scores.means[name] for name in FIGURES]
                record.rmse, record.rmse_normalised, record.ssim = found[:3]
                record.sam, record.ergas = (None if math.isnan(value) else value for value in found[3:])
            else:
                record.loss = self._validation.loss(self.network, self._main_part(stage), self._fabric, self._validated)
            progress.records.append(record)
            figure = record.rmse_normalised
            if figure is not None and math.isfinite(figure) and (progress.best is None or figure < progress.best):
                progress.best, progress.best_epoch = figure, record.epoch
                if self._first:
                    self.watcher.improved(self.network, record)
        without = record.epoch - max(progress.best_epoch, self.plan.ends[-2] if last else 0)
        if self.settings.patience and stage == last and without >= self.settings.patience:
            progress.ended = f"no epoch of the last {without} was better than epoch {progress.best_epoch}"
        self._keep()
        if self._first:
            self.watcher.epoch_ended(progress, scores)

    @contextmanager
    def _judged(self) -> Iterator[None]:
        """The network as it will predict: with the averaged weights, and not learning."""
        self.network.eval()
        with self.average.applied(), torch.no_grad():
            yield
        self.network.train()

    def _main_part(self, stage: int) -> str:
        """The part of a stage that the weights of the network itself belong to; the last where none does."""
        own = {id(parameter) for parameter in self.network.net.parameters()}
        parts = self.network.stages[stage].parts
        found = (
            part for part in parts for group in self._optimisers[part].param_groups
            if any(id(parameter) in own for parameter in group["params"])
        )
        return next(found, parts[-1])

    def _validated(self, samples: int) -> None:
        """Count samples that this process has validated."""
        self.watcher.check()
        self._meter.add(self._validation_cost() * samples * self._fabric.world_size / self._validation.count)

    def _new_meter(self) -> _Meter:
        limit = 60 * self.settings.minutes if self.settings.fit and self.settings.minutes else math.inf
        return _Meter(self.progress, self.plan, self._validation_cost(), self.watcher, limit)

    def _validation_cost(self) -> float:
        """What a validation costs, in training steps."""
        share = self._validation.count / self._fabric.world_size / self.settings.batch
        return share * _VALIDATION_COST * (self.network.sampling_steps if self.network.stochastic else 1)

    def _keep(self) -> None:
        if self._first:
            self.watcher.kept(self.state())

    def _fit(self, seconds: float) -> None:
        """After the first epoch, which lasted so long: plan as many as fit into the time, where the user wants it."""
        settings = self.settings
        if not (settings.fit and settings.minutes) or self.progress.epoch != 1 or self.progress.ended:
            return
        fitting = self._fabric.broadcast(int(60 * settings.minutes / seconds))
        epochs = max(min(fitting, settings.epochs), len(self.network.stages))
        self.plan = Plan.of(self.network.stages, epochs, settings.steps)
        self.progress.ends = self.plan.ends
        self._meter = self._new_meter()
        self._keep()

    def _time_is_over(self, begun: float, epoch_begun: float) -> bool:
        """Whether the training has to be interrupted, since a further epoch would last beyond its time."""
        minutes, now = self.settings.minutes, time.monotonic()
        if not minutes or self.settings.fit or self.progress.ended or self.progress.epoch >= self.plan.epochs:
            return False
        return now - begun + (now - epoch_begun) > 60 * minutes


class _Meter:
    """How much of the work is done, in training steps, and how long the rest will last: ``limit`` seconds at most."""

    def __init__(
        self, progress: Progress, plan: Plan, validation: float, watcher: Watcher, limit: float
    ) -> None:
        epoch = plan.steps + validation
        self._total = plan.epochs * epoch
        self._done = self._before = progress.epoch * epoch + progress.step
        self._begun, self._watcher, self._limit = time.monotonic(), watcher, limit

    def add(self, steps: float) -> None:
        """Count further steps."""
        self._done = min(self._done + steps, self._total)
        spent = time.monotonic() - self._begun
        left = spent / (self._done - self._before) * (self._total - self._done)
        self._watcher.advanced(self._done, self._total, min(left, max(self._limit - spent, 0)))
