"""Running a program from a worker thread: lines of its output as they come, cancel, a time limit, and how it ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from qgis.core import QgsFeedback, QgsProcessingException
from qgis.PyQt.QtCore import QElapsedTimer, QProcess, QProcessEnvironment

#: How often the wish to cancel is looked at, in ms.
_TICK = 100
_START_LIMIT = 10_000
_KILL_LIMIT = 5_000
#: Bytes of standard error that are kept for the report of a failure.
_TAIL = 64 * 1024
#: Bytes after which a line without an end is taken as a line.
_LINE_LIMIT = 16 * 1024 * 1024


class Cancelled(QgsProcessingException):
    """The user cancelled, and the program is gone."""

    def __init__(self) -> None:
        super().__init__("Cancelled")


class NotStarted(QgsProcessingException):
    """The program cannot be started at all."""


class TooSlow(QgsProcessingException):
    """The program did not end within its time and was stopped."""


@dataclass(frozen=True)
class Ended:
    """How a program ended: its exit code (the signal's number if it crashed) and its last words on standard error."""

    code: int
    crashed: bool
    last_words: str


def run(
    command: Sequence[str],
    folder: str,
    environment: QProcessEnvironment,
    on_line: Callable[[str], None],
    feedback: QgsFeedback,
    limit_s: float | None = None,
    grace_s: float = 2.0,
    merged: bool = False,
) -> Ended:
    """Run ``command`` in ``folder`` and give every line of its standard output to ``on_line``.

    Cancelling closes the program's standard input, which asks it to stop, and kills it after ``grace_s``. An exception
    of ``on_line`` kills it at once. When this function returns or raises, the program is gone. ``merged`` gives the
    lines of standard error to ``on_line`` too.

    Raises
    ------
    NotStarted, Cancelled, TooSlow
    """
    process = QProcess()
    process.setProcessEnvironment(environment)
    process.setWorkingDirectory(folder)
    if merged:
        process.setProcessChannelMode(QProcess.ProcessChannelMode.MergedChannels)
    process.start(command[0], list(command[1:]))
    if not process.waitForStarted(_START_LIMIT):
        raise NotStarted(f"'{command[0]}' cannot be started: {process.errorString()}.")
    lines = _Lines(on_line)
    last_words = b""
    running, stopping = QElapsedTimer(), QElapsedTimer()
    running.start()
    try:
        while process.state() != QProcess.ProcessState.NotRunning:
            process.waitForReadyRead(_TICK)
            lines.add(bytes(process.readAllStandardOutput()))
            last_words = (last_words + bytes(process.readAllStandardError()))[-_TAIL:]
            if feedback.isCanceled() and not stopping.isValid():
                stopping.start()
                process.closeWriteChannel()
            if stopping.isValid() and stopping.hasExpired(int(grace_s * 1000)):
                process.kill()
            if limit_s is not None and running.hasExpired(int(limit_s * 1000)):
                raise TooSlow(f"'{command[0]}' did not answer within {limit_s:g} s and was stopped.")
        lines.add(bytes(process.readAllStandardOutput()))
        lines.close()
        last_words = (last_words + bytes(process.readAllStandardError()))[-_TAIL:]
    finally:
        if process.state() != QProcess.ProcessState.NotRunning:
            process.kill()
            process.waitForFinished(_KILL_LIMIT)
    if stopping.isValid():
        raise Cancelled()
    crashed = process.exitStatus() == QProcess.ExitStatus.CrashExit
    return Ended(process.exitCode(), crashed, last_words.decode("utf-8", "replace").strip())


class _Lines:
    """Puts chunks of bytes together again into lines."""

    def __init__(self, on_line: Callable[[str], None]) -> None:
        self._on_line = on_line
        self._rest = b""

    def add(self, chunk: bytes) -> None:
        """Take a chunk and hand on the lines that it completes."""
        *complete, self._rest = (self._rest + chunk).split(b"\n")
        if len(self._rest) > _LINE_LIMIT:
            complete.append(self._rest)
            self._rest = b""
        for line in complete:
            self._on_line(line.decode("utf-8", "replace").rstrip("\r"))

    def close(self) -> None:
        """Hand on the last line, which may have no end."""
        if self._rest:
            self.add(b"\n")
