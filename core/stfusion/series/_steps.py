"""Steps of a run that are jobs of their own, each in a folder of its own, and not done again where they are done."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from stfusion import job
from stfusion.folder import make_folder, whole_file
from stfusion.job import Input, Job
from stfusion.parts import Part
from stfusion.protocol import Reporter
from stfusion.run import Context


class _Within(Reporter):
    """Passes on what a step says, with its name and its part of the progress."""

    def __init__(self, whole: Reporter, title: str, place: tuple[int, int], span: tuple[float, float]) -> None:
        self._whole, self._title, self._place, self._span = whole, title, place, span

    def emit(self, kind: str, **fields: Any) -> None:
        """Say one thing of the step."""
        if kind == "stage":
            self._whole.stage(f"{self._title}: {fields['name']}", *self._place)
        elif kind == "progress":
            begin, end = self._span
            self._whole.progress(begin + fields["value"] / 100 * (end - begin))
        elif kind in ("log", "warning"):
            self._whole.emit(kind, message=f"{self._title}: {fields['message']}")
        else:
            self._whole.emit(kind, **fields)


class Steps:
    """The steps of a run in its folder: ``weights`` are their shares of the progress, by name."""

    def __init__(self, context: Context, folder: Path, weights: Mapping[str, float]) -> None:
        self._context, self._folder, self._weights = context, folder, weights

    def run(self, name: str, order: Mapping[str, Any], resumes: bool = False) -> dict[str, Any]:
        """Run a step, whose output is the folder of its name, unless it is done; its results.

        Parameters
        ----------
        name
            Name of the step.
        order
            Its operation, method, inputs and options.
        resumes
            Whether its folder is continued where it was begun for the same job.

        Raises
        ------
        StfError
            The step failed, or failed in part, or is to stop.
        """
        own, folder = self._context.job, self._folder / name
        step = job.parse({
            **order, "outputs": {"output": str(folder)}, "seed": own.seed, "device": own.device,
            "memory_mb": own.memory_mb, "threads": own.threads,
        })
        title, place, span = step.declaration.title, self._place(name), self._span(name)
        if name in ("fine", "coarse"):
            title = f"{title} ({name})"
        mark = Part(name, title, _with_files(step)).mark
        record = self._record(name)
        if record.get("mark") == mark and record.get("files") and record["files"] == _files(folder):
            self._context.reporter.log(f"{title}: done already.")
            self._context.reporter.progress(span[1])
            found: dict[str, Any] = record["result"]
            return found
        if record.get("mark") != mark or not resumes:
            shutil.rmtree(folder, ignore_errors=True)
        self._write(name, {"mark": mark})
        self._context.reporter.stage(title, *place)
        within = Context(step, _Within(self._context.reporter, title, place, span), self._context.stop)
        result = step.declaration.load()(within)
        self._write(name, {"mark": mark, "result": result, "files": _files(folder)})
        return result

    def _place(self, name: str) -> tuple[int, int]:
        return list(self._weights).index(name) + 1, len(self._weights)

    def _span(self, name: str) -> tuple[float, float]:
        sizes = list(self._weights.values())
        before = self._place(name)[0] - 1
        return 100 * sum(sizes[:before]) / sum(sizes), 100 * sum(sizes[: before + 1]) / sum(sizes)

    def _record(self, name: str) -> dict[str, Any]:
        try:
            found = json.loads((self._folder / "steps" / f"{name}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            # Not there, or not what this version writes: the step is done again.
            return {}
        return found if isinstance(found, dict) else {}

    def _write(self, name: str, record: Mapping[str, Any]) -> None:
        make_folder(self._folder / "steps")
        with whole_file(str(self._folder / "steps" / f"{name}.json"), self._context.stop) as path:
            path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def _with_files(step: Job) -> Job:
    """A job with the files of its folders in their place, so that its mark tells when one of them changes."""
    return replace(step, inputs={role: _spread(given) for role, given in step.inputs.items()})


def _spread(given: Input) -> Input:
    found: list[str] = []
    for path in (given.path, *(given.more or ())):
        inside = sorted(str(file) for file in Path(path).rglob("*") if file.is_file()) if Path(path).is_dir() else []
        found += inside or [path]
    return replace(given, path=found[0], more=tuple(found[1:]) or None)


def _files(folder: Path) -> dict[str, int]:
    """The files of a folder with their bytes."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}
