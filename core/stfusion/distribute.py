"""A job on several machines: listed in parts, of which each machine runs a share, and put together at the end."""

from __future__ import annotations

import importlib
import json
import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, cast

from stfusion import job
from stfusion.errors import UserError
from stfusion.folder import make_folder, whole_file
from stfusion.job import Job
from stfusion.parts import Part, Record, Records, run_parts
from stfusion.run import Context

#: The modules that split and merge the jobs of an operation, or of a method.
_SPLITTERS = {
    "fuse": "stfusion.fusion._split", "pansharpen": "stfusion.pansharpening._split",
    "fuse_series": "stfusion.series._split", "prepare_and_fuse": "stfusion.series._split_prepared",
}
_LIST = "parts.json"


class Splitter(Protocol):
    """How the jobs of some methods are made in parts."""

    def base_of(self, job: Job) -> Path:
        """The folder that has what the parts write, and their records."""

    def split(self, context: Context, base: Path, side: int) -> list[Part]:
        """The parts of the job; windows have at most ``side`` rows and columns."""

    def merge(self, context: Context, base: Path, parts: Sequence[Part]) -> dict[str, Any]:
        """Make the outputs of the job of those of its parts, and give its results."""


def splitter_of(order: Job) -> Splitter:
    """What splits a job.

    Raises
    ------
    UserError
        The job cannot be made in parts.
    """
    name = _SPLITTERS.get(order.method) or _SPLITTERS.get(order.operation)
    if name is None or order.window is not None:
        raise UserError(
            f"A job of '{order.declaration.title}' cannot be made in parts; fusions, pansharpening and series can: "
            "run it as a whole."
        )
    return cast("Splitter", importlib.import_module(name))


def plan_parts(context: Context, side: int) -> dict[str, Any]:
    """List the parts of the job in a file, which machines that share the folder read; its path and their number."""
    splitter = splitter_of(context.job)
    base = splitter.base_of(context.job)
    parts = splitter.split(context, base, side)
    make_folder(base)
    plain = {
        "job": json.loads(context.job.to_json()),
        "parts": [{"id": part.id, "title": part.title, "job": json.loads(part.order.to_json())} for part in parts],
    }
    with whole_file(str(base / _LIST), context.stop) as path:
        path.write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")
    return {"parts": str(base / _LIST), "count": len(parts)}


def plan_job(context: Context, path: Path, side: int, tasks: int, roots: Sequence[str]) -> dict[str, Any]:
    """List the parts of the job that is in a file, and write a script for Slurm beside it; the paths of both.

    Raises
    ------
    UserError
        The job cannot be made in parts, or the script cannot be written.
    """
    found = plan_parts(context, side)
    script = path.with_suffix(".slurm.sh")
    with whole_file(str(script), context.stop) as part:
        text = slurm_script(path, context.job, max(1, min(tasks, found["count"])), roots)
        part.write_text(text, encoding="utf-8")
    return {**found, "script": str(script)}


def _listed(context: Context) -> tuple[Splitter, Path, list[Part]]:
    """The splitter, the folder and the parts that were listed of the job."""
    splitter = splitter_of(context.job)
    base = splitter.base_of(context.job)
    try:
        plain = json.loads((base / _LIST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            f"The parts of the job are not listed in '{base / _LIST}'; run 'stfusion plan' with the job first."
        ) from error
    free = {"memory_mb", "threads", "device"}
    own = json.loads(context.job.to_json())
    if {k: v for k, v in plain["job"].items() if k not in free} != {k: v for k, v in own.items() if k not in free}:
        raise UserError(f"'{base / _LIST}' lists the parts of another job; run 'stfusion plan' with this job again.")
    return splitter, base, [Part(one["id"], one["title"], job.parse(one["job"])) for one in plain["parts"]]


def share_of(text: str) -> tuple[int, int]:
    """Number and count of a share that is written K/N, from 1/N to N/N.

    Raises
    ------
    UserError
        It is written otherwise.
    """
    number, _, count = text.partition("/")
    if not (number.isdigit() and count.isdigit() and 1 <= int(number) <= int(count)):
        raise UserError(f"The share '{text}' is not understood; write --part K/N, such as 1/4 to 4/4.")
    return int(number), int(count)


def run_share(context: Context, share: str) -> dict[str, Any]:
    """Run every N-th of the listed parts, from the K-th on, that is not done; how many of them are done.

    Raises
    ------
    UserError
        A part failed; the others of the share were run.
    """
    number, count = share_of(share)
    _, base, parts = _listed(context)
    own = parts[number - 1 :: count]
    records = run_parts(context, own, Records(base))
    refuse_failures(own, records)
    return {"done": len(own)}


def refuse_failures(parts: Sequence[Part], records: dict[str, Record]) -> None:
    """Raise an error that names the first parts that failed."""
    failed = [f"{part.title} ({records[part.id].error.rstrip('.')})" for part in parts if records[part.id].error]
    if failed:
        raise UserError(f"{len(failed)} of {len(parts)} part(s) failed: {_first(failed)}; run them again.")


def _first(words: Sequence[str]) -> str:
    """The first three of some words, and how many more there are."""
    more = f" and {len(words) - 3} more" if len(words) > 3 else ""
    return "; ".join(words[:3]) + more


def merge(context: Context) -> dict[str, Any]:
    """Put the result of the job together from its parts.

    Raises
    ------
    UserError
        Parts are missing, or failed where the result needs them all.
    Incomplete
        Some dates of a series failed.
    """
    splitter, base, parts = _listed(context)
    records = Records(base)
    found = {part.id: record for part in parts if (record := records.find(part))}
    missing = [part.title for part in parts if part.id not in found]
    if missing:
        raise UserError(
            f"{len(missing)} of {len(parts)} part(s) are not done: {_first(missing)}; run them with --part, then merge "
            "again."
        )
    if context.job.operation != "series":
        refuse_failures(parts, found)
    return splitter.merge(context, base, parts)


def run_on_cluster(context: Context, address: str, side: int) -> dict[str, Any]:
    """Run the parts that are not done on the workers of a Dask scheduler, and put the result together."""
    from stfusion import cluster

    plan_parts(context, side)
    _, base, parts = _listed(context)
    cluster.run_parts(context, address, parts, Records(base))
    return merge(context)


def slurm_script(path: Path, order: Job, tasks: int, roots: Sequence[str]) -> str:
    """A script that runs a job as an array of so many tasks on a cluster with Slurm."""
    flags = "".join(f" --root {shlex.quote(root)}" for root in roots)
    name = shlex.quote(path.name)
    return "\n".join([
        "#!/bin/sh",
        "# Submit both, the second to follow the first:",
        f"#   id=$(sbatch --parsable {name.removesuffix('.json')}.slurm.sh)",
        f'#   sbatch --dependency=afterany:"$id" --mem={order.memory_mb}M --wrap '
        + shlex.quote(f"stfusion merge {name}{flags}"),
        "# A task that is submitted again goes on where it was.",
        f"#SBATCH --job-name=stfusion-{order.method}",
        f"#SBATCH --array=1-{tasks}",
        f"#SBATCH --cpus-per-task={order.threads or os.cpu_count() or 1}",
        f"#SBATCH --mem={order.memory_mb}M",
        "#SBATCH --output=%x-%A_%a.log",
        'cd "$SLURM_SUBMIT_DIR" || exit 1',
        f'stfusion run {name} --part "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT"{flags}',
    ]) + "\n"
