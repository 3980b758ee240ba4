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
        self._context, self.folder, self._weights = context, folder, weights

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
        step = self._parsed(name, order)
        record = self._record(name)
        if record.get("mark") == self._mark(name, step) and record.get("files") == _files(self.folder / name):
            self._context.reporter.log(f"{self._title(name, step)}: done already.")
            self._context.reporter.progress(self._span(name)[1])
            return self.result(name)
        result = step.declaration.load()(self._begin(name, step, resumes))
        self.end(name, result)
        return result

    def begin(self, name: str, order: Mapping[str, Any]) -> Context:
        """What a step is run with that is done by others, in a folder that is continued; it is not done until its end.

        Raises
        ------
        UserError
            Its folder cannot be written.
        """
        return self._begin(name, self._parsed(name, order), resumes=True)

    def begun(self, name: str) -> Context:
        """What a step is run with that was begun, and whose folder has its job."""
        return self._within(name, job.load(self.folder / name / "job.json"))

    def end(self, name: str, result: Mapping[str, Any]) -> None:
        """Note that a step that was begun is done, and its results."""
        self._write(name, {"mark": self._record(name)["mark"], "result": result, "files": _files(self.folder / name)})

    def result(self, name: str) -> dict[str, Any]:
        """The results of a step that is done."""
        found: dict[str, Any] = self._record(name)["result"]
        return found

    def _parsed(self, name: str, order: Mapping[str, Any]) -> Job:
        own = self._context.job
        return job.parse({
            **order, "outputs": {"output": str(self.folder / name)}, "seed": own.seed, "device": own.device,
            "memory_mb": own.memory_mb, "threads": own.threads,
        })

    def _mark(self, name: str, step: Job) -> str:
        return Part(name, self._title(name, step), _with_files(step)).mark

    def _begin(self, name: str, step: Job, resumes: bool) -> Context:
        """Note that a step is begun, in an empty folder unless it is continued; what it is run with."""
        mark = self._mark(name, step)
        if self._record(name).get("mark") != mark or not resumes:
            shutil.rmtree(self.folder / name, ignore_errors=True)
        self._write(name, {"mark": mark})
        return self._within(name, step)

    def _within(self, name: str, step: Job) -> Context:
        title, place = self._title(name, step), self._place(name)
        self._context.reporter.stage(title, *place)
        return Context(step, _Within(self._context.reporter, title, place, self._span(name)), self._context.stop)

    def _title(self, name: str, step: Job) -> str:
        """What the step is called; one that is run for either sensor says for which."""
        sensor = name.partition("_")[0]
        return f"{step.declaration.title} ({sensor})" if sensor in ("fine", "coarse") else step.declaration.title

    def _place(self, name: str) -> tuple[int, int]:
        return list(self._weights).index(name) + 1, len(self._weights)

    def _span(self, name: str) -> tuple[float, float]:
        sizes = list(self._weights.values())
        before = self._place(name)[0] - 1
        return 100 * sum(sizes[:before]) / sum(sizes), 100 * sum(sizes[: before + 1]) / sum(sizes)

    def _record(self, name: str) -> dict[str, Any]:
        try:
            found = json.loads((self.folder / "steps" / f"{name}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            # Not there, or not what this version writes: the step is done again.
            return {}
        return found if isinstance(found, dict) else {}

    def _write(self, name: str, record: Mapping[str, Any]) -> None:
        make_folder(self.folder / "steps")
        with whole_file(str(self.folder / "steps" / f"{name}.json"), self._context.stop) as path:
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
