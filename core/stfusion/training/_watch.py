"""What is done while a network is trained: progress, checkpoints, states, curves and the report."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from stfusion.networks._checkpoint import Card, save
from stfusion.networks._network import Network
from stfusion.protocol import in_words
from stfusion.raster.source import Array
from stfusion.run import Context
from stfusion.training import _state
from stfusion.training._files import Files
from stfusion.training._progress import Progress, Record
from stfusion.training._records import Curves, write_history
from stfusion.training._state import State
from stfusion.training._training_report import Facts, of_record, write_report
from stfusion.training._validation import FIGURES, Scores, Shown

#: Least time between two reports, in seconds, which are written after epochs.
_REPORT_SECONDS = 20.0
#: Time without a sentence, in seconds, after which a step is told of.
_SAY_SECONDS = 60.0


@dataclass
class Watch:
    """Tells the user of a training and writes what comes of it; of several processes the first one alone writes.

    ``job`` is what a state has to be of to be gone on from, ``card`` that of the checkpoint without its own figures,
    ``shown`` are samples whose predictions the report shows, ``curves`` opens those from a step on, ``span`` is the
    progress at the begin and the end, ``steps`` are those of an epoch.
    """

    context: Context
    files: Files
    facts: Facts
    card: Card
    job: Mapping[str, object]
    shown: Mapping[int, Shown]
    curves: Callable[[int], Curves]
    span: tuple[float, float]
    steps: int
    notes: list[str] = field(default_factory=list)
    pictures: list[tuple[Shown, Array]] = field(default_factory=list)
    _left: float = 0.0
    _reported: float = -math.inf
    _said: float = field(default_factory=time.monotonic)
    _curves: Curves | None = None

    def check(self) -> None:
        """Raise :class:`stfusion.errors.Cancelled` when the training is to stop."""
        self.context.stop.check()

    def advanced(self, done: float, total: float, seconds: float) -> None:
        """Tell the progress."""
        self._left = seconds
        begin, end = self.span
        self.context.reporter.progress(begin + (end - begin) * done / total)

    def stepped(self, step: int, losses: Mapping[str, float], rate: float) -> None:
        """Draw the curves on."""
        self._open_curves(step).add_step(step, losses, rate)
        if time.monotonic() - self._said > _SAY_SECONDS:
            epoch, place = divmod(step - 1, self.steps)
            found = "".join(f"; {name} {value:.4g}" for name, value in losses.items())
            self._log(f"Epoch {epoch + 1}, step {place + 1} of {self.steps}{found}; about {in_words(self._left)} left.")

    def _log(self, sentence: str) -> None:
        self._said = time.monotonic()
        self.context.reporter.log(sentence)

    def _open_curves(self, step: int) -> Curves:
        if self._curves is None:
            self._curves = self.curves(step)
        return self._curves

    def warned(self, sentence: str) -> None:
        """Warn the user, and remember it for the report."""
        self.notes.append(sentence)
        self.context.reporter.warning(sentence)

    def improved(self, network: Network, record: Record) -> None:
        """Write the checkpoint."""
        figures = known({**self.facts.compared, self.card.network: of_record(record)})
        training = {**self.card.training, "epoch of the checkpoint": record.epoch}
        limits = (*self.card.limits, *self.shortfall(record))
        save(self.files.checkpoint, network, replace(self.card, figures=figures, training=training, limits=limits))

    def shortfall(self, record: Record) -> tuple[str, ...]:
        """Says so where a network of sharpening is no better than an image that is only interpolated."""
        least = self.facts.compared.get("interpolated", {}).get("ERGAS", math.nan)
        if record.ergas is None or not record.ergas >= least:
            return ()
        return (
            f"It is of no use yet: its ERGAS on validation is {record.ergas:.4g}, and that of the interpolated image "
            f"{least:.4g}; train longer.",
        )

    def kept(self, state: State) -> None:
        """Write the state."""
        _state.save(self.files.state, State(state.tensors, {**state.plain, "job": self.job}))

    def epoch_ended(self, progress: Progress, scores: Scores | None) -> None:
        """Say how the epoch was, and write everything anew."""
        record = progress.records[-1]
        if scores is not None:
            self.pictures = [(self.shown[number], image) for number, image in scores.predictions.items()]
        step = record.epoch * self.steps
        self._open_curves(step).add_epoch(record, step)
        write_history(progress.records, self.files.history)
        self._log(self._sentence(record, progress))
        if time.monotonic() - self._reported > _REPORT_SECONDS:
            self.write_report(progress)

    def write_report(self, progress: Progress) -> None:
        """Write the report as far as the training is."""
        self._reported = time.monotonic()
        write_report(self.context, self.facts, progress, self.pictures, self.notes, self.files.report)

    def _sentence(self, record: Record, progress: Progress) -> str:
        begin = f"Epoch {record.epoch} of {progress.ends[-1]} ({record.stage})"
        parts = [begin if record.epoch else "Before the training"]
        parts += [f"{name} {value:.4g}" for name, value in record.losses.items()]
        if record.loss is not None:
            parts.append(f"validation loss {record.loss:.4g}")
        if record.rmse is not None:
            parts.append(f"validation RMSE {record.rmse:.4g}, SSIM {record.ssim:.4f}")
            rivals = {name: found["RMSE"] for name, found in self.facts.compared.items()}
            parts += [f"{name} {value:.4g}" for name, value in sorted(rivals.items(), key=lambda rival: rival[1])[:1]]
        if record is progress.best_record and record.epoch:
            parts.append("the best so far")
        if self._left and 0 < record.epoch < progress.ends[-1]:
            parts.append(f"about {in_words(self._left)} left")
        return "; ".join(parts) + "."

    def close(self) -> None:
        """End the curves."""
        if self._curves is not None:
            self._curves.close()


def known(figures: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """The figures without those that are unknown for one of the methods, such as SSIM in very small patches."""
    shared = [name for name in FIGURES if all(math.isfinite(found.get(name, math.nan)) for found in figures.values())]
    return {method: {name: found[name] for name in shared} for method, found in figures.items()}


def chosen(count: int, most: int) -> Sequence[int]:
    """Numbers of some samples, spread over all of them."""
    return range(0, count, max(1, count // max(most, 1)))[:most]
