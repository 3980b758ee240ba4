"""Jobs run in a process of their own: what they cost is their own, and what goes wrong there goes wrong there alone."""

from __future__ import annotations

import multiprocessing
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from queue import SimpleQueue
from types import TracebackType
from typing import Any

from stfusion.errors import Cancelled
from stfusion.job import Job
from stfusion.protocol import Reporter
from stfusion.run import CPU_SECONDS, GRACE_SECONDS, PEAK_MEMORY, Stop, run

#: How often the wish to stop is looked at, in seconds.
_TICK = 0.1
#: What the process says when a job has ended.
_END = "end"


@dataclass
class Outcome:
    """How a run ended: why it failed (empty when it did not), what it had to say and to give, and what it cost.

    ``wall_s`` and ``cpu_s`` (user and system, all threads) of the first job of a process include its start and its
    imports; ``peak_mb`` is that of the process.
    """

    error: str = ""
    code: str = ""
    notes: list[str] = field(default_factory=list)
    wall_s: float = 0.0
    cpu_s: float = 0.0
    peak_mb: float = 0.0
    done: bool = False

    def hear(self, kind: str, fields: dict[str, Any]) -> None:
        """Take one thing that the run says."""
        if kind in ("log", "warning"):
            self.notes.append(fields["message"])
        elif kind == "metric":
            self.cpu_s = fields["value"] if fields["name"] == CPU_SECONDS else self.cpu_s
            self.peak_mb = fields["value"] if fields["name"] == PEAK_MEMORY else self.peak_mb
        elif kind == "error":
            self.code, self.error = fields["code"], fields["message"]
        elif kind == "result":
            self.done = True


Hear = Callable[[str, dict[str, Any]], None]


class Worker:
    """A process that runs jobs one after the other; where one dies, the next job has a new one.

    Use as a context manager: the process is gone at its end.
    """

    def __init__(self) -> None:
        self._process: multiprocessing.process.BaseProcess | None = None
        self._here: Connection[Any, Any] | None = None
        self._cpu_s = 0.0

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def run(self, order: Job, stop: Stop, hear: Hear) -> Outcome:
        """Run a job and wait for its end; ``hear`` gets all that it says (kind and fields).

        Raises
        ------
        Cancelled
            The run is to stop; the process is gone.
        """
        outcome, begin = Outcome(), time.perf_counter()
        try:
            here = self._send(order)
            while True:
                stop.check()
                if here.poll(_TICK):
                    kind, fields = here.recv()
                    if kind == _END:
                        break
                    outcome.hear(kind, fields)
                    hear(kind, fields)
        except (EOFError, ConnectionError):
            ended = self._close()
            if not outcome.done and not outcome.error:
                outcome.error = f"Its process ended with code {ended} without saying why; memory may have run out."
        except BaseException:
            self._close()
            raise
        outcome.wall_s = time.perf_counter() - begin
        outcome.cpu_s, self._cpu_s = outcome.cpu_s - self._cpu_s, outcome.cpu_s
        if outcome.code == Cancelled.code:
            raise Cancelled(outcome.error)
        return outcome

    def _send(self, order: Job) -> Connection[Any, Any]:
        """Give a job to the process, which is started where there is none; where to listen."""
        if self._here is None:
            # Spawned: a forked process would start with the memory of this one.
            spawn = multiprocessing.get_context("spawn")
            self._here, there = spawn.Pipe()
            self._process = spawn.Process(target=_work, args=(there,), daemon=True)
            self._process.start()
            self._cpu_s = 0.0
            there.close()
        self._here.send(order)
        return self._here

    def _close(self) -> int | None:
        """End the process, and tell its exit code."""
        if self._here is None or self._process is None:
            return None
        # The process sees it, and stops by itself within its own time.
        self._here.close()
        self._process.join(2 * GRACE_SECONDS)
        code = self._process.exitcode
        self._process.kill()
        self._process.join()
        self._here = self._process = None
        return code


def run_alone(order: Job, stop: Stop, hear: Hear) -> Outcome:
    """Run a job in a process of its own and wait for its end; see :meth:`Worker.run`."""
    with Worker() as worker:
        return worker.run(order, stop, hear)


class _Sender(Reporter):
    """Sends all to the process that started this one; progress in whole per cents."""

    def __init__(self, connection: Connection[Any, Any]) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._progress = -1

    def emit(self, kind: str, **fields: Any) -> None:
        """Send one thing."""
        with self._lock:
            if kind == "progress":
                if int(fields["value"]) == self._progress:
                    return
                self._progress = int(fields["value"])
            try:
                self._connection.send((kind, fields))
            except OSError as error:
                raise Cancelled("The process that started this run is gone.") from error


def _work(connection: Connection[Any, Any]) -> None:
    """What the process does: run jobs as they come, until the other end of the connection is closed."""
    stop = Stop()
    stop.on_signals()
    orders: SimpleQueue[Job | None] = SimpleQueue()

    def listen() -> None:
        try:
            while True:
                orders.put(connection.recv())
        except (EOFError, OSError):
            orders.put(None)
            stop.request()

    threading.Thread(target=listen, daemon=True).start()
    code = 0
    while (order := orders.get()) is not None:
        sender = _Sender(connection)
        # A job may end when the process that gave it has just gone.
        with suppress(Cancelled):
            code = run(order, sender, stop)
            sender.emit(_END)
    stop.finished()
    sys.exit(code)
