"""What is written down while a network is trained: curves as event files for TensorBoard, and a table of the epochs."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tensorboardX import SummaryWriter

from stfusion.training._files import write_text
from stfusion.training._progress import Record

#: Every so many steps the losses of a step become a point of the curves.
_EVERY = 10
_COLUMNS = ("epoch", "stage", "rate", "seconds", "loss", "rmse", "rmse_normalised", "ssim", "sam", "ergas")


class Curves:
    """The curves of a training, which TensorBoard shows; ``step`` is the first one that is still to be trained."""

    def __init__(self, folder: Path, step: int) -> None:
        self._writer = SummaryWriter(str(folder), purge_step=step or None, flush_secs=10)

    def add_step(self, step: int, losses: Mapping[str, float], rate: float) -> None:
        """The losses of a step and its learning rate as a share of the highest."""
        if step % _EVERY == 0:
            self._add("training", {**losses, "learning rate": rate}, step)

    def add_epoch(self, record: Record, step: int) -> None:
        """The figures of an epoch that ends with a step."""
        found = {"loss": record.loss, "RMSE": record.rmse, "RMSE normalised": record.rmse_normalised,
                 "SSIM": record.ssim, "SAM": record.sam, "ERGAS": record.ergas}
        self._add("epochs", record.losses, step)
        known = {name: value for name, value in found.items() if value is not None and math.isfinite(value)}
        self._add("validation", known, step)
        self._writer.flush()

    def _add(self, group: str, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(f"{group}/{name}", value, step)

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()


def write_history(records: Sequence[Record], path: Path) -> None:
    """Write the epochs as a table (CSV): figures on validation, and the mean of every loss."""
    names = list(dict.fromkeys(name for record in records for name in record.losses))
    stream = io.StringIO(newline="")
    writer = csv.writer(stream)
    writer.writerow([*_COLUMNS, *(f"training {name}" for name in names)])
    for record in records:
        plain: dict[str, Any] = asdict(record)
        writer.writerow([*(plain[name] for name in _COLUMNS), *(record.losses.get(name) for name in names)])
    write_text(path, stream.getvalue())
