"""How far a training is, and who is told of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from stfusion.networks._network import Network
from stfusion.training._state import State
from stfusion.training._validation import Scores


@dataclass
class Record:
    """What an epoch (from 1; 0 is before the first) brought: mean losses by name, and figures on validation.

    ``loss`` is the validation loss of a stage whose network cannot predict yet. ``rmse`` is in the unit of the data,
    ``rmse_normalised`` in that of the network; ``sam`` and ``ergas`` are those of a sharpening.
    """

    epoch: int
    stage: str
    losses: dict[str, float] = field(default_factory=dict)
    rate: float = 0.0
    seconds: float = 0.0
    loss: float | None = None
    rmse_normalised: float | None = None
    rmse: float | None = None
    ssim: float | None = None
    sam: float | None = None
    ergas: float | None = None


@dataclass
class Progress:
    """How far a training is: what was done, the best epoch so far, and why it ended ("" while it goes on).

    ``ends`` are those of the plan, ``diverged`` says that losses were no longer finite, ``pieces`` is the number of
    pieces that a batch is divided into for the memory, ``losses`` has the sums of the epoch's losses so far and their
    numbers.
    """

    ends: tuple[int, ...]
    epoch: int = 0
    step: int = 0
    pieces: int = 1
    best: float | None = None
    best_epoch: int = 0
    seconds: float = 0.0
    ended: str = ""
    diverged: bool = False
    records: list[Record] = field(default_factory=list)
    losses: dict[str, tuple[float, int]] = field(default_factory=dict)

    @property
    def best_record(self) -> Record | None:
        """The best epoch so far."""
        found = (record for record in self.records if record.epoch == self.best_epoch)
        return None if self.best is None else next(found)

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Progress:
        """The progress that a state holds."""
        records = [Record(**record) for record in plain["records"]]
        losses = {name: (float(total), int(count)) for name, (total, count) in plain["losses"].items()}
        return cls(**{**plain, "ends": tuple(plain["ends"]), "records": records, "losses": losses})


class Watcher(Protocol):
    """Who is told of a training; of several processes, the first one's alone."""

    def check(self) -> None:
        """Raise :class:`stfusion.errors.Cancelled` when the training is to stop."""

    def advanced(self, done: float, total: float, seconds: float) -> None:
        """A share of the work is done, and this many seconds are left."""

    def stepped(self, step: int, losses: Mapping[str, float], rate: float) -> None:
        """A step, counted from the begin of the training, had these losses at a learning rate."""

    def warned(self, sentence: str) -> None:
        """Something happened that the user should know."""

    def improved(self, network: Network, record: Record) -> None:
        """The network is the best so far; its weights are the averaged ones."""

    def kept(self, state: State) -> None:
        """The state is to be kept."""

    def epoch_ended(self, progress: Progress, scores: Scores | None) -> None:
        """An epoch was trained and validated."""
