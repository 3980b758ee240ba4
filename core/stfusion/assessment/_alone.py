"""A job run in a process of its own: what it costs is its own, and what goes wrong there goes wrong there alone."""

from __future__ import annotations

import multiprocessing
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from stfusion.errors import Cancelled
from stfusion.job import Job
from stfusion.protocol import Reporter
from stfusion.run import CPU_SECONDS, GRACE_SECONDS, PEAK_MEMORY, Stop, run

#: How often the wish to stop is looked at, in seconds.
_TICK = 0.1


@dataclass
class Outcome:
    """How a run ended: why it failed (empty when it did not), what it had to say, and what it cost.

    ``wall_s`` and ``cpu_s`` (user and system, all threads) include the start of the process and its imports.
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


def run_alone(order: Job, stop: Stop, hear: Callable[[str, dict[str, Any]], None]) -> Outcome:
    """Run a job in a process of its own and wait for its end; ``hear`` gets all that it says (kind and fields).

    Raises
    ------
    Cancelled
        The run is to stop; the process is gone.
    """
    # Spawned: a forked process would start with the memory of this one.
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    process = spawn.Process(target=_work, args=(order, there), daemon=True)
    outcome, begin = Outcome(), time.perf_counter()
    process.start()
    there.close()
    try:
        while True:
            stop.check()
            if here.poll(_TICK):
                kind, fields = here.recv()
                outcome.hear(kind, fields)
                hear(kind, fields)
    except (EOFError, ConnectionError):
        process.join()
    finally:
        # The process sees it, and stops by itself within its own time.
        here.close()
        process.join(2 * GRACE_SECONDS)
        process.kill()
    outcome.wall_s = time.perf_counter() - begin
    if outcome.code == Cancelled.code:
        raise Cancelled(outcome.error)
    if not outcome.done and not outcome.error:
        outcome.error = f"Its process ended with code {process.exitcode} without saying why; memory may have run out."
    return outcome


class _Sender(Reporter):
    """Sends all to the process that started this one; progress in whole per cents."""

    def __init__(self, connection: Connection) -> None:
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


def _work(order: Job, connection: Connection) -> None:
    """What the process does: run the job, until its end or until the other end of the connection is closed."""
    stop = Stop()
    stop.on_signals()

    def wait() -> None:
        try:
            connection.recv()
        except (EOFError, OSError):
            stop.request()

    threading.Thread(target=wait, daemon=True).start()
    sys.exit(run(order, _Sender(connection), stop))
