"""What the tests of the engine's QGIS side need to look at: a feedback that remembers, and whether a process lives."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from qgis.core import QgsProcessingFeedback


class Recorder(QgsProcessingFeedback):
    """Remembers what it is told, as (kind, text); cancels itself when it is told ``cancel_on``."""

    def __init__(self, cancel_on: str = "") -> None:
        super().__init__(False)
        self.told: list[tuple[str, str]] = []
        self.progress: list[float] = []
        self._cancel_on = cancel_on

    def _hear(self, kind: str, text: str) -> None:
        self.told.append((kind, text))
        if self._cancel_on and self._cancel_on in text:
            self.cancel()

    def texts(self, kind: str) -> list[str]:
        return [text for told, text in self.told if told == kind]

    def setProgress(self, progress: float) -> None:
        self.progress.append(progress)

    def setProgressText(self, text: str) -> None:
        self._hear("stage", text)

    def pushInfo(self, info: str) -> None:
        self._hear("info", info)

    def pushWarning(self, warning: str) -> None:
        self._hear("warning", warning)

    def reportError(self, error: str, fatal: bool = False) -> None:
        self._hear("error", error)

    def pushConsoleInfo(self, info: str) -> None:
        self._hear("console", info)

    def pushCommandInfo(self, info: str) -> None:
        self._hear("command", info)


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended but was not waited for does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def wait_until(happened: Callable[[], bool], seconds: float = 20.0) -> bool:
    """Whether something happens in time; the limit is generous, and reached only when it does not."""
    end = time.monotonic() + seconds
    while not happened() and time.monotonic() < end:
        time.sleep(0.02)
    return happened()
