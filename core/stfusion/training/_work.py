"""A training at work: the devices, the data, the network, and the checkpoint and the report that it leaves."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric

from stfusion import __version__
from stfusion.errors import UserError
from stfusion.networks import _device
from stfusion.networks._batch import Batch, known
from stfusion.networks._checkpoint import Card, Checkpoint, fill
from stfusion.networks._network import Form, Network, parameter_count
from stfusion.networks._normalisation import Normalisation
from stfusion.raster.tiles import bounded_gdal
from stfusion.run import Context
from stfusion.training import _state
from stfusion.training._batches import Data, batches, collate, validation_batches
from stfusion.training._devices import connect
from stfusion.training._files import Files
from stfusion.training._progress import Progress
from stfusion.training._records import Curves
from stfusion.training._rivals import Comparison, Rivals, compared
from stfusion.training._schedule import Settings
from stfusion.training._trainer import Trainer
from stfusion.training._training_report import Facts
from stfusion.training._validation import Shown, Validation
from stfusion.training._watch import Watch, chosen

#: Share of the memory limit for open images.
_DATA_SHARE = 0.25
#: Samples that the scale of the residuals is estimated from.
_RESIDUAL_SAMPLES = 64
#: Options that may differ when a training goes on.
_FREE = ("minutes", "patience", "restart")


@dataclass(frozen=True)
class Order:
    """What is to be trained: the class of the network, its form (whose bands the data decide), and from which weights.

    ``open`` opens the data within so many bytes, ``rivals`` are what the network is compared with, ``settings`` say
    how long and how it learns (its steps follow from the number of ``samples`` of an epoch). ``span`` is the progress,
    in per cent, at the begin and the end, ``shown`` the number of samples that the report shows.
    """

    kind: type[Network]
    form: Form
    open: Callable[[Context, int], Data]
    rivals: Rivals
    settings: Settings
    samples: int
    start: Checkpoint | None = None
    span: tuple[float, float] = (4.0, 98.0)
    shown: int = 4


def settings_of(context: Context) -> Settings:
    """What the user decides of a training; what its form does not ask for is as it is by default."""
    options = context.options
    return Settings(
        epochs=int(options.get("epochs", 1)),
        steps=1,
        batch=int(options["batch"]),
        learning_rate=float(options["learning_rate"]),
        precision=str(options["precision"]),
        average=float(options["average"]),
        clip=float(options["clip"]),
        seed=context.job.seed,
        minutes=float(options.get("minutes", 0.0)),
        patience=int(options.get("patience", 0)),
    )


def run(context: Context, order: Order) -> dict[str, Any]:
    with bounded_gdal(context) as working:
        context.reporter.stage("Opening the data", 1, 3)
        files = Files.of(context.job)
        fabric = _connect(context, order.settings)
        if context.options.get("restart") and fabric.global_rank == 0:
            files.clear()
        fabric.barrier()
        state = _state.load(files.state) if files.state.exists() else None
        work = _Work.open(context, order, files, fabric, int(_DATA_SHARE * working))
        trainer = work.trainer()
        if state is not None:
            work.go_on(trainer, state)
        context.reporter.stage("Training", 3, 3)
        try:
            progress = trainer.run(start=order.start is not None)
        finally:
            work.watch.close()
        return work.conclude(progress)


def _connect(context: Context, settings: Settings) -> Fabric:
    """The devices, with the threads of the job."""
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if processes > 1:
        torch.set_num_threads(max(1, context.threads // processes))
        return connect(context.job.device, settings.precision)
    return connect("auto" if _device.find(context).type == "cuda" else "cpu", settings.precision)


@dataclass
class _Work:
    """A training with its data, its network and those that are told of it."""

    context: Context
    order: Order
    files: Files
    fabric: Fabric
    data: Data
    form: Form
    network: Network
    settings: Settings
    watch: Watch = field(init=False)

    @classmethod
    def open(cls, context: Context, order: Order, files: Files, fabric: Fabric, memory: int) -> _Work:
        """Open the data, build the network and compute what it is compared with."""
        data = order.open(context, memory)
        form = order.form
        if order.start is None:
            form = data.formed(form)
            if form.target == "residual":
                form = replace(form, residual_scale=_residual_scale(order.kind, data))
        torch.manual_seed(context.job.seed)
        network = order.kind(form)
        if order.start is not None:
            fill(network, order.start.state, order.start.path)
        steps = max(1, order.samples // (order.settings.batch * fabric.world_size))
        work = cls(context, order, files, fabric, data, form, network, replace(order.settings, steps=steps))
        work.watch = work._watch()
        return work

    def _watch(self) -> Watch:
        count = len(self.data.validation)
        found = Comparison({}, ())
        self.context.reporter.stage("Computing what the network is compared with", 2, 3)
        if self.fabric.global_rank == 0:
            done = iter(range(1, count + 1))
            self.files.make_folder()
            found = compared(
                self.context, self.order.rivals, map(self.data.held, range(count)), self._job(), self.files.figures,
                lambda: self.context.reporter.progress(self.order.span[0] * next(done) / count),
            )
        found = self.fabric.broadcast(found)
        card = self._card()
        shown = {number: self.data.held(number) for number in chosen(count, self.order.shown)}
        watch = Watch(
            self.context, self.files, self._facts(card, found.figures), card, self._job(), shown,
            lambda step: Curves(self.files.folder, step), self.order.span, self.settings.steps,
        )
        for sentence in found.notes:
            watch.warned(sentence)
        return watch

    def trainer(self) -> Trainer:
        """The trainer, at its begin."""
        data, fabric, settings = self.data, self.fabric, self.settings
        rank, world = fabric.global_rank, fabric.world_size
        threads = min(8, self.context.threads)

        def drawn(epoch: int, steps: range) -> Generator[Batch, None, None]:
            for batch in batches(data, epoch, steps, settings.batch, rank, world, threads):
                yield self.network.suited(batch)

        def held() -> Iterator[tuple[Sequence[Shown], Batch]]:
            for samples, batch in validation_batches(data, settings.batch, rank, world, threads):
                yield samples, self.network.suited(batch)

        validation = Validation(
            len(data.validation), held, self.context.job.seed, shown=tuple(self.watch.shown)
        )
        return Trainer(self.network, drawn, validation, settings, fabric, self.watch)

    def go_on(self, trainer: Trainer, state: _state.State) -> None:
        """Go on from a state.

        Raises
        ------
        UserError
            The state is of another training.
        """
        before, now = state.plain["job"], self._job()
        for name in now:
            if before.get(name) != now[name]:
                raise UserError(
                    f"'{self.files.state}' is the state of another training: '{name}' was {before.get(name)!r} and is "
                    f"{now[name]!r}; give the checkpoint another name, or choose 'Begin anew' (restart)."
                )
        trainer.resume(state)
        progress, reporter = trainer.progress, self.context.reporter
        if progress.best is not None and not self.files.checkpoint.exists():
            raise UserError(
                f"The checkpoint '{self.files.checkpoint}' of the training that is to go on is missing; put it back, "
                "or choose 'Begin anew' (restart)."
            )
        if progress.ended:
            reporter.log(f"The training has ended before ({progress.ended}); 'Begin anew' (restart) repeats it.")
        else:
            reporter.log(f"The training goes on in epoch {progress.epoch + 1}, after {progress.step} steps of it.")

    def conclude(self, progress: Progress) -> dict[str, Any]:
        """The last report and the results.

        Raises
        ------
        UserError
            The training ended without a checkpoint.
        """
        best, reporter = progress.best_record, self.context.reporter
        if progress.ended and best is None:
            raise UserError(f"The training ended without a usable network: {progress.ended}.")
        if not progress.ended:
            reporter.log(
                f"The time is over after {progress.epoch} of {progress.ends[-1]} epochs; the same command goes on."
            )
        elif progress.diverged:
            self.watch.warned(f"The training was ended: {progress.ended}. The checkpoint is of epoch {best_of(best)}.")
        else:
            reporter.log(f"The training has ended: {progress.ended}. The checkpoint is of epoch {best_of(best)}.")
        first = progress.records[0] if progress.records else None
        if best is not None and first is not None and first.epoch == 0 and best.rmse and first.rmse:
            gain = 1 - best.rmse / first.rmse
            reporter.log(f"RMSE on validation: {first.rmse:.4g} before and {best.rmse:.4g} now, {gain:.1%} less.")
        for sentence in self.watch.shortfall(best) if best is not None else ():
            self.watch.warned(sentence)
        if self.fabric.global_rank == 0:
            self.watch.write_report(progress)
        result: dict[str, Any] = {"report": str(self.files.report)}
        if best is None:
            reporter.warning("There is no checkpoint yet, since the first stages of this network predict no images.")
            return result
        found = {name: getattr(best, name) for name in ("rmse", "ssim", "sam", "ergas")}
        numbers = {name: value for name, value in found.items() if value is not None}
        return {"checkpoint": str(self.files.checkpoint), **result, **numbers}

    def _job(self) -> dict[str, Any]:
        """What a training has to have in common with one that it goes on from."""
        job = self.context.job
        options = {name: value for name, value in job.options.items() if name not in _FREE}
        inputs = {role: given.plain() for role, given in job.inputs.items()}
        plain: dict[str, Any] = {"method": job.method, **options, **inputs, "seed": job.seed}
        plain |= {"processes": self.fabric.world_size, "samples of validation": len(self.data.validation)}
        # As it is when it was written and read again.
        read: dict[str, Any] = json.loads(json.dumps(plain))
        return read

    def _card(self) -> Card:
        start = self.order.start
        training = {
            "options": dict(self.context.options), "seed": self.context.job.seed, "processes": self.fabric.world_size,
            "steps of an epoch": self.settings.steps, "engine": f"stfusion {__version__}",
            "torch": torch.__version__.partition("+")[0],
        }
        if start is not None:
            training["started from"] = start.path.name
        normalisation = self.data.normalisation
        if normalisation.kind == "scene":
            normalisation = Normalisation("scene")
        data = self.data.describe()
        places = {place["name"]: {key: value for key, value in place.items() if key != "name"}
                  for place in data["places"]}
        return Card(
            network=self.network.id, form=self.form, normalisation=normalisation, ratio=self.data.ratio,
            title=self.files.checkpoint.stem, data={**data, "places": places}, training=training,
            limits=tuple(self._limits()), licence=start.card.licence if start else "",
            steps=self.network.sampling_steps, grid=self.data.grid,
        )

    def _limits(self) -> Iterator[str]:
        low, high = self.data.ratio
        width = f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g}"
        coarse, fine = self.data.pixels
        yield f"It was trained for {coarse} pixels that are {width} {fine} pixels wide."
        names = [place["name"] for place in self.data.describe()["places"]]
        yield f"It has seen {len(names)} place(s): {', '.join(names[:20])}{' and others' if len(names) > 20 else ''}."
        if self.form.bands == 1 and self.data.normalisation.kind == "scene":
            yield "It takes one band at a time and does not know how bands go together."

    def _facts(self, card: Card, found: Mapping[str, Mapping[str, float]]) -> Facts:
        data = card.data
        return Facts(
            f"{self.context.method.title}: {self.files.checkpoint.stem}",
            {
                "Network": f"{self.network.id}, {parameter_count(self.network.net):,} parameters",
                "Form": ", ".join(f"{name} {value}" for name, value in asdict(self.form).items()),
                "Stages": ", ".join(f"{stage.name} ({', '.join(stage.parts)})" for stage in self.network.stages),
                "Device": f"{self.fabric.device}, {self.fabric.world_size} process(es)",
            },
            {
                "Places": self.data.words,
                "Patches to learn from": f"{data['training_patches']:,}",
                "Samples of validation": f"{data['validation_samples']:,}",
            },
            {
                "Options": ", ".join(f"{name} = {value}" for name, value in self.context.options.items()),
                "Seed": self.context.job.seed,
                "Steps of an epoch": self.settings.steps,
            },
            found,
        )


def best_of(record: Any) -> str:
    """The number of an epoch, in words."""
    return "none" if record is None else f"{record.epoch}" if record.epoch else "0, the weights it started from"


def _residual_scale(kind: type[Network], data: Data) -> float:
    """What the network has residuals of the training samples divided by, in normalised units."""
    batch = collate([data.draw(0, number) for number in range(_RESIDUAL_SAMPLES)])
    residual = (known(batch.truth) - batch.base()).numpy()
    shown = np.broadcast_to(known(batch.valid).numpy(), residual.shape)
    return max(float(f"{kind.unit(residual[shown]):.3g}"), 1e-3)
