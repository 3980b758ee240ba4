"""The parts of a job on the workers of a Dask cluster, which share the folders of the job with this machine."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from stfusion import job
from stfusion.alone import Outcome
from stfusion.errors import EnvironmentFault
from stfusion.folder import make_folder
from stfusion.parts import Part, Records
from stfusion.protocol import Reporter
from stfusion.run import Context, Stop, run

#: Seconds to wait for the scheduler, and between two looks at whether to stop.
_CONNECT_S, _LOOK_S = 30, 0.5
#: How often a part is given to another worker when its own dies.
_RETRIES = 5
#: While there is such a file in the folder of the records, workers stop.
_STOP = "stop"


def run_parts(context: Context, address: str, parts: Sequence[Part], records: Records) -> None:
    """Run the parts that are not done, and write their records as they come; a worker that dies is replaced.

    Raises
    ------
    EnvironmentFault
        The package is absent, or there is no scheduler or no worker.
    Cancelled
        The run is to stop; the workers are told.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise EnvironmentFault(
            f"The engine's Python lacks a working package '{error.name}' ({error}), which --cluster needs; install "
            "the packages of core/requirements-cluster.txt here and on the workers."
        ) from error
    todo = [part for part in parts if (record := records.find(part)) is None or record.error]
    context.reporter.log(f"{len(parts) - len(todo)} of {len(parts)} part(s) are done already.")
    if not todo:
        return
    make_folder(records.folder)
    mark = records.folder / _STOP
    mark.unlink(missing_ok=True)
    try:
        client = Client(address, timeout=_CONNECT_S)
    except (OSError, ValueError) as error:
        raise EnvironmentFault(
            f"No Dask scheduler answers at '{address}' ({error}); start one, or correct the address."
        ) from error
    with client:
        _await_worker(client, address)
        try:
            _gather(context, client, todo, records, mark)
        except BaseException:
            mark.touch()
            raise


def _await_worker(client: Any, address: str) -> None:
    try:
        client.wait_for_workers(1, timeout=_CONNECT_S)
    except (OSError, TimeoutError) as error:
        raise EnvironmentFault(
            f"The Dask scheduler at '{address}' has no worker; start some with 'dask worker'."
        ) from error


def _gather(context: Context, client: Any, parts: Sequence[Part], records: Records, mark: Path) -> None:
    """Give out the parts, and write the record of each that has ended, until all have or the run is to stop."""
    from distributed import as_completed

    threads = context.job.threads or min(client.nthreads().values())
    # The same part of two runs at once is given to two workers, since their folders may differ.
    turn = uuid4().hex
    futures = {
        client.submit(
            perform, replace(part.order, threads=threads).to_json(), str(mark), key=f"stfusion-{part.id}-{turn}",
            retries=_RETRIES, pure=False,
        ): part
        for part in parts
    }
    running, ended = as_completed(futures), 0
    while not running.is_empty():
        batch = running.next_batch(block=False)
        for future in batch:
            part, ended = futures[future], ended + 1
            lost = future.status == "error"
            outcome = Outcome(f"Its workers died ({future.exception()}).") if lost else Outcome(**future.result())
            record = records.write(part, outcome, context.stop)
            context.reporter.log(f"{part.title}: {record.error or f'{record.seconds:.1f} s.'}")
            context.reporter.progress(90.0 * ended / len(parts))
        context.stop.check()
        if not batch:
            time.sleep(_LOOK_S)


class _Hearer(Reporter):
    """Keeps what a run says in its outcome."""

    def __init__(self, outcome: Outcome) -> None:
        self._outcome = outcome

    def emit(self, kind: str, **fields: Any) -> None:
        """Take one thing."""
        self._outcome.hear(kind, fields)


class _Patient(Stop):
    """A wish to stop that never ends the process, which is a worker's and serves others too."""

    def _end(self) -> None:
        self.clean()


def perform(text: str, mark: str) -> dict[str, Any]:
    """What a worker does: run a job (its text), until its end or until the file ``mark`` appears; the outcome."""
    outcome, stop, over = Outcome(), _Patient(), threading.Event()

    def watch() -> None:
        while not over.wait(_LOOK_S):
            if Path(mark).exists():
                stop.request()
                return

    threading.Thread(target=watch, daemon=True).start()
    begin = time.perf_counter()
    try:
        run(job.parse(json.loads(text)), _Hearer(outcome), stop)
    finally:
        over.set()
    outcome.wall_s = time.perf_counter() - begin
    return asdict(outcome)
