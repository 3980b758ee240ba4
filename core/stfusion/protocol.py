"""What the engine says while it works: JSON lines for a program that listens, text and a bar for a person.

The lines are objects with a ``type``: ``hello`` (protocol, engine, device), ``stage`` (name, index, count),
``progress`` (value, per cent), ``log`` and ``warning`` (message), ``metric`` (name, value), ``result`` (outputs)
and ``error`` (code, message). A listener ignores types that it does not know.
"""

from __future__ import annotations

import json
import sys
import time
from abc import ABC, abstractmethod
from typing import Any, TextIO

from stfusion import PROTOCOL, __version__
from stfusion.errors import Cancelled


def in_words(seconds: float) -> str:
    """A time that is easy to read, such as "40 s", "25 min" or "3.5 h"."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


class Reporter(ABC):
    """Receives what a run has to say."""

    @abstractmethod
    def emit(self, kind: str, **fields: Any) -> None:
        """Say one thing."""

    def hello(self, device: str) -> None:
        """Introduce the engine, first of all."""
        self.emit("hello", protocol=PROTOCOL, engine=__version__, device=device)

    def stage(self, name: str, index: int, count: int) -> None:
        """Begin stage ``index`` (from 1) of ``count``."""
        self.emit("stage", name=name, index=index, count=count)

    def progress(self, value: float) -> None:
        """Report the progress of the whole run in per cent."""
        self.emit("progress", value=round(value, 1))

    def log(self, message: str) -> None:
        """Say something of interest."""
        self.emit("log", message=message)

    def warning(self, message: str) -> None:
        """Say something that may spoil the result."""
        self.emit("warning", message=message)

    def metric(self, name: str, value: float) -> None:
        """Report a number by name."""
        self.emit("metric", name=name, value=value)

    def result(self, outputs: dict[str, Any]) -> None:
        """Report the outputs by name: paths and numbers."""
        self.emit("result", outputs=outputs)

    def error(self, code: str, message: str) -> None:
        """Report why the run failed."""
        self.emit("error", code=code, message=message)


class SilentReporter(Reporter):
    """Says nothing but errors, on standard error."""

    def emit(self, kind: str, **fields: Any) -> None:
        """Print an error."""
        if kind == "error":
            print(f"Error: {fields['message']}", file=sys.stderr)


class JsonReporter(Reporter):
    """One JSON object a line, flushed at once; progress at most ten times a second.

    Raises
    ------
    Cancelled
        The program that listened is gone: there is no use in going on.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._last_progress = 0.0
        self._heard = True

    def emit(self, kind: str, **fields: Any) -> None:
        """Write one line."""
        if not self._heard:
            return
        if kind == "progress":
            now = time.monotonic()
            if now - self._last_progress < 0.1 and fields["value"] < 100:
                return
            self._last_progress = now
        try:
            self._stream.write(json.dumps({"type": kind, **fields}) + "\n")
            self._stream.flush()
        except BrokenPipeError as error:
            self._heard = False
            raise Cancelled("The program that listened to the engine is gone.") from error


class TextReporter(Reporter):
    """Plain sentences on standard output; on a terminal, a bar that redraws itself."""

    WIDTH = 40

    def __init__(self) -> None:
        self._bar = sys.stderr.isatty()
        self._drawn = False
        self._stage = ""

    def emit(self, kind: str, **fields: Any) -> None:
        """Print one thing, or redraw the bar."""
        if kind == "progress":
            self._draw(fields["value"])
            return
        if self._drawn:
            sys.stderr.write("\r\033[K")
            self._drawn = False
        if kind == "stage":
            self._stage = fields["name"]
        elif kind == "log":
            print(fields["message"], flush=True)
        elif kind == "warning":
            print(f"Warning: {fields['message']}", file=sys.stderr)
        elif kind == "metric":
            print(f"{fields['name']}: {fields['value']:g}", flush=True)
        elif kind == "result":
            for name, value in fields["outputs"].items():
                print(f"{name}: {value}", flush=True)
        elif kind == "error":
            print(f"Error: {fields['message']}", file=sys.stderr)

    def _draw(self, value: float) -> None:
        if self._bar:
            full = round(self.WIDTH * value / 100)
            sys.stderr.write(f"\r\033[K[{'#' * full}{'.' * (self.WIDTH - full)}] {value:5.1f} % {self._stage}")
            sys.stderr.flush()
            self._drawn = True
