"""A job in parts, such as the dates of a series: run in processes side by side, recorded, and skipped where done.

Every part is a job of its own. A record of each lies in a folder, so that a run that was stopped goes on where it was,
and several machines can share the parts.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PurePath
from typing import Any

from stfusion.alone import Outcome, Worker
from stfusion.errors import OutOfMemory
from stfusion.folder import make_folder, whole_file
from stfusion.job import Job
from stfusion.run import Context, Stop

#: Memory in MB of the process that hands out the parts, and that a part gets at least, by the packages it needs.
_OWN_MB, _LEAST_MB = 256, {"base": 512, "networks": 1536}
_READ = 2**20


@dataclass(frozen=True)
class Part:
    """A part of a job: a job of its own, with an id that is fit for a file name and a title for messages."""

    id: str
    title: str
    order: Job

    @property
    def mark(self) -> str:
        """What tells whether a record is of this very part: the method, its options, and the files as they are."""
        order = self.order
        inputs = {role: {**given.plain(), "path": [_face(path) for path in (given.path, *(given.more or ()))],
                         "mask": given.mask and _face(given.mask)} for role, given in order.inputs.items()}
        plain = [
            order.operation, order.method, dict(order.options), order.seed, inputs, sorted(order.outputs), order.window,
        ]
        return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def _face(path: str) -> list[Any]:
    """What is known of a file without reading it: its name, size and time; of what is no file, the name."""
    name = PurePath(path).name
    if not os.path.isfile(path):
        return [path]
    found = os.stat(path)
    return [name, found.st_size, int(found.st_mtime)]


@dataclass(frozen=True)
class Record:
    """How a part ended: ``error`` and ``code`` where it failed; its outputs with their bytes and checksums else.

    Paths are relative to the folder that the records are of.
    """

    id: str
    mark: str
    error: str = ""
    code: str = ""
    seconds: float = 0.0
    processor_seconds: float = 0.0
    peak_memory_mb: float = 0.0
    notes: list[str] = field(default_factory=list)
    outputs: dict[str, dict[str, Any]] = field(default_factory=dict)


class Records:
    """The records of parts, in the folder ``parts`` of a folder that has the outputs."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.folder = base / "parts"

    def find(self, part: Part) -> Record | None:
        """The record of a part, if it is of the part as it is now and what it wrote is still there, whole."""
        try:
            found = Record(**json.loads((self.folder / f"{part.id}.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            # Not there, or not what this version writes: the part is done again.
            return None
        whole = all(_size(self.base / output["path"]) == output["bytes"] for output in found.outputs.values())
        return found if found.mark == part.mark and whole else None

    def write(self, part: Part, outcome: Outcome, stop: Stop) -> Record:
        """Write how a part ended.

        Raises
        ------
        UserError
            The folder cannot be written.
        """
        outputs = {} if outcome.error else {name: self._of(Path(path)) for name, path in part.order.outputs.items()}
        record = Record(
            part.id, part.mark, outcome.error, outcome.code, round(outcome.wall_s, 3), round(outcome.cpu_s, 3),
            round(outcome.peak_mb, 1), outcome.notes, outputs,
        )
        with whole_file(str(self.folder / f"{part.id}.json"), stop) as path:
            path.write_text(json.dumps(asdict(record), indent=1) + "\n", encoding="utf-8")
        return record

    def _of(self, path: Path) -> dict[str, Any]:
        return {"path": path.relative_to(self.base).as_posix(), "bytes": path.stat().st_size, "sha256": checksum(path)}


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def checksum(path: Path) -> str:
    """SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_READ):
            digest.update(block)
    return digest.hexdigest()


@dataclass(frozen=True)
class Crew:
    """How many processes share the work, and the threads and the memory in MB of each."""

    workers: int
    threads: int
    memory_mb: int

    @classmethod
    def of(cls, context: Context, parts: int, needs: str, most: int = 0) -> Crew:
        """As many processes as there are threads, as far as the memory limit and the parts go, or as are asked for.

        A graphics card serves one at a time.
        """
        room = context.job.memory_mb - _OWN_MB
        wanted = 1 if context.device.cuda else most or context.threads
        workers = max(1, min(wanted, context.threads, parts, room // _LEAST_MB[needs]))
        return cls(workers, max(1, context.threads // workers), max(256, room // workers))


class _Progress:
    """Adds up the progress of parts that run side by side."""

    def __init__(self, context: Context, parts: int, span: tuple[float, float]) -> None:
        self._context, self._parts, self._span = context, parts, span
        self._shares: dict[str, float] = {}
        self._lock = threading.Lock()

    def tell(self, part: Part, percent: float) -> None:
        begin, end = self._span
        with self._lock:
            self._shares[part.id] = percent / 100
            share = sum(self._shares.values()) / self._parts
        self._context.reporter.progress(begin + share * (end - begin))


def run_parts(
    context: Context, parts: Sequence[Part], records: Records, span: tuple[float, float] = (0.0, 100.0), most: int = 0
) -> dict[str, Record]:
    """Run those parts that are not done, in at most ``most`` processes (0: as fit), and give the records of all by id.

    A part that fails does not stop the others. One that lacked memory is tried again at the end, alone.

    Raises
    ------
    Cancelled
        The run is to stop.
    UserError
        A record cannot be written.
    """
    make_folder(records.folder)
    found = {part.id: record for part in parts if (record := records.find(part)) and not record.error}
    todo = [part for part in parts if part.id not in found]
    if found:
        context.reporter.log(f"{len(found)} of {len(parts)} part(s) are done already.")
    progress = _Progress(context, max(1, len(todo)), span)
    while todo:
        crew = Crew.of(context, len(todo), todo[0].order.declaration.needs, most)
        context.reporter.log(
            f"{len(todo)} part(s) in {crew.workers} process(es) of {crew.threads} thread(s) and {crew.memory_mb} MB."
        )
        found |= _run_side_by_side(context, todo, records, crew, progress)
        # A process that was killed has no code: memory may have run out.
        todo = [part for part in todo if crew.workers > 1 and _lacked_memory(found[part.id])]
        most = 1
    return found


def _run_side_by_side(
    context: Context, parts: Sequence[Part], records: Records, crew: Crew, progress: _Progress
) -> dict[str, Record]:
    for part in parts:
        for output in part.order.outputs.values():
            context.stop.watch(Path(f"{output}.part"))
    work = _Work(context, parts, records, crew, progress)
    with ThreadPoolExecutor(crew.workers) as pool:
        for future in [pool.submit(work.labour) for _ in range(crew.workers)]:
            future.result()
    return work.found


class _Work:
    """Parts that wait for a process, and what came of the others."""

    def __init__(
        self, context: Context, parts: Sequence[Part], records: Records, crew: Crew, progress: _Progress
    ) -> None:
        self._context, self._records, self._crew, self._progress = context, records, crew, progress
        self._waiting = iter(parts)
        self._lock = threading.Lock()
        self._broken = threading.Event()
        self._said: set[str] = set()
        self.found: dict[str, Record] = {}

    def labour(self) -> None:
        """Have parts run in a process, one after the other, until none waits."""
        with Worker() as worker:
            while (part := self._next()) is not None:
                try:
                    self._run(worker, part)
                except BaseException:
                    self._broken.set()
                    raise

    def _next(self) -> Part | None:
        with self._lock:
            return None if self._broken.is_set() else next(self._waiting, None)

    def _run(self, worker: Worker, part: Part) -> None:
        order = replace(part.order, threads=self._crew.threads, memory_mb=self._crew.memory_mb)
        stop = self._context.stop
        outcome = worker.run(order, stop, lambda kind, fields: self._hear(part, kind, fields))
        record = self._records.write(part, outcome, stop)
        with self._lock:
            self.found[part.id] = record
        if record.error:
            self._context.reporter.warning(f"{part.title} failed: {record.error}")
        else:
            self._context.reporter.log(f"{part.title}: {record.seconds:.1f} s.")
        self._progress.tell(part, 100.0)

    def _hear(self, part: Part, kind: str, fields: dict[str, Any]) -> None:
        """Hand on progress, and warnings that no other part has given, but for their numbers."""
        if kind == "progress":
            self._progress.tell(part, fields["value"])
        elif kind == "warning":
            kind_of = re.sub(r"\d+", "", fields["message"])
            with self._lock:
                first = kind_of not in self._said
                self._said.add(kind_of)
            if first:
                self._context.reporter.warning(f"{part.title}: {fields['message']}")


def _lacked_memory(record: Record) -> bool:
    return bool(record.error) and record.code in (OutOfMemory.code, "")
