"""The comparison at work: run the methods one after the other, judge what they made, and write the report."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from stfusion import __version__, environment
from stfusion.alone import Outcome, run_alone
from stfusion.assessment import _picture as picture
from stfusion.assessment._judge import TRUTH, Survey, judge, survey
from stfusion.assessment._measure import Terms
from stfusion.assessment._metrics import METRICS, Assessment
from stfusion.assessment._plan import Entry, plan, select
from stfusion.assessment._report import verdict, write_numbers, write_report
from stfusion.errors import UserError
from stfusion.folder import whole_folder
from stfusion.fusion._scene import Scene, open_scene
from stfusion.job import Input
from stfusion.raster.grids import pixel_ratio
from stfusion.raster.source import AlignedSource, Source
from stfusion.raster.tiles import bounded_gdal
from stfusion.run import Context

#: Share of the working memory for images on grids of their own.
_CACHE_SHARE = 0.2
#: Progress, in per cent, at the begin and the end of running the methods, and at the end of the first look at results.
_METHODS, _SURVEYED, _JUDGED = (1.0, 85.0), 88.0, 97.0


@dataclass
class Comparison:
    """What is known of a comparison as it goes on."""

    scene: Scene
    entries: list[Entry]
    left_out: dict[str, dict[str, str]]
    failed: dict[str, dict[str, str]] = field(default_factory=dict)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    results: dict[str, AlignedSource] = field(default_factory=dict)

    @property
    def truth(self) -> AlignedSource:
        """The true image, on the grid of the scene."""
        return self.scene.images["reference"]

    def entry(self, name: str) -> Entry:
        """The entry of a method."""
        return next(entry for entry in self.entries if entry.method.id == name)

    def fail(self, name: str, reason: str) -> None:
        """Note why a method has no result."""
        self.failed[name] = {"title": self.entry(name).method.title, "reason": reason}


def run(context: Context) -> dict[str, Any]:
    """Compare the methods that the job orders; the result has the folder, the report and the date.

    Raises
    ------
    UserError
        The images, the names of methods or their options cannot be used, or no method gave a result.
    """
    output = context.job.outputs["output"]
    with bounded_gdal(context) as working, whole_folder(output, context.stop) as part:
        methods, left_out = select(context)
        context.reporter.stage("Opening and checking the images", 1, len(methods) + 3)
        scene = open_scene(context, int(_CACHE_SHARE * working))
        fused = part / "fused"
        fused.mkdir()
        comparison = Comparison(scene, plan(context, scene, methods, fused), left_out)
        _run_methods(context, comparison)
        seen, assessments = _judge(context, comparison)
        summary = _summary(context, comparison, seen, assessments)
        write_numbers(summary, part)
        write_report(summary, _pictures(context, comparison, seen, summary), part / "report.html")
        comparison.results.clear()
        if not context.options["keep"]:
            shutil.rmtree(fused)
    _announce(context, summary)
    result = {"output": output, "report": str(Path(output) / "report.html")}
    return {**result, "date": summary["date"]} if summary["date"] else result


def _run_methods(context: Context, comparison: Comparison) -> None:
    """Run every method; one that fails is noted and the others go on."""
    entries, (begin, end) = comparison.entries, _METHODS
    said: set[str] = set()
    for number, entry in enumerate(entries):
        name, title = entry.method.id, entry.method.title
        context.reporter.stage(title, number + 2, len(entries) + 3)

        def hear(kind: str, fields: dict[str, Any], done: int = number, title: str = title) -> None:
            if kind == "progress":
                context.reporter.progress(begin + (done + fields["value"] / 100) / len(entries) * (end - begin))
            elif kind == "warning" and fields["message"] not in said:
                said.add(fields["message"])
                context.reporter.warning(f"{title}: {fields['message']}")

        outcome = run_alone(entry.order, context.stop, hear)
        if outcome.error:
            comparison.fail(name, outcome.error)
            context.reporter.warning(f"{title} failed: {outcome.error}")
            continue
        comparison.outcomes[name] = outcome
        result = Source(title, Input(entry.order.outputs["output"]))
        comparison.results[name] = AlignedSource(result, comparison.truth.grid, "nearest")


def _judge(context: Context, comparison: Comparison) -> tuple[Survey, dict[str, Assessment]]:
    """Judge what the methods made; a result that is valid nowhere where the truth is counts as failed."""
    count = len(comparison.entries) + 3
    context.reporter.stage("Judging the results", count - 1, count)
    scene, truth, results = comparison.scene, comparison.truth, comparison.results
    inputs = _inputs(scene)
    seen = None
    while results and seen is None:
        found = survey(context, truth, results, inputs, (_METHODS[1], _SURVEYED))
        empty = [name for name, share in found.covered.items() if share == 0]
        for name in empty:
            comparison.fail(name, "Its result has no valid pixel where the true image has one.")
            del results[name]
        seen = None if empty else found
    if seen is None:
        first = next(iter(comparison.failed.values()))
        raise UserError(f"No method gave a result to compare; {first['title']} failed: {first['reason']}")
    terms = Terms(ratio=_ratio(context, scene), unit=_unit(context))
    assessments = judge(context, truth, results, seen.facts, terms, (_SURVEYED, _JUDGED))
    context.reporter.stage("Writing the report", count, count)
    return seen, assessments


def _inputs(scene: Scene) -> dict[str, AlignedSource]:
    """The input images by the titles of their panels."""
    images: dict[str, AlignedSource] = {}
    for pair in scene.pairs:
        for sensor, image in (("Fine", pair.fine), ("Coarse", pair.coarse)):
            images[f"{sensor} {image.source.date or f'of pair {len(images) // 2 + 1}'}"] = image
    images[f"Coarse {scene.target.source.date or 'of the target date'}"] = scene.target
    return images


def _ratio(context: Context, scene: Scene) -> float | None:
    """Fine pixels along a coarse pixel; none where the coarse images are on the fine grid and the user gave none."""
    given = int(context.options["ratio"])
    if given or scene.target.same_grid:
        return given or None
    return float(np.mean(pixel_ratio(scene.target.source.grid, scene.reference.grid)))


def _unit(context: Context) -> float:
    """The value in which errors are given."""
    return float(context.options["unit"]) or 1.0


def _summary(
    context: Context, comparison: Comparison, seen: Survey, assessments: Mapping[str, Assessment]
) -> dict[str, Any]:
    """All that the report says, as plain values for JSON."""
    scene, job = comparison.scene, context.job
    unit, ratio = context.options["unit"], _ratio(context, scene)
    day = scene.target.source.date or comparison.truth.source.date
    ranked = sorted(assessments, key=lambda name: np.nan_to_num(assessments[name]["rmse"].mean, nan=np.inf))
    some = assessments[ranked[0]]
    python = environment.packages()
    return {
        "date": day.isoformat() if day else None,
        "shape": list(scene.shape),
        "bands": [name or f"Band {number}" for number, name in enumerate(scene.reference.names, 1)],
        "unit": f"reflectance (value / {unit:g})" if unit else "the unit of the images",
        "ratio": ratio,
        "valid": some.valid,
        "methods": {
            name: _of_method(comparison, name, rank, assessments[name], seen.covered[name])
            for rank, name in enumerate(ranked, 1)
        },
        "failed": comparison.failed,
        "left_out": comparison.left_out,
        "inputs": {
            role.id: _of_image(role.title, job.inputs[role.id])
            for role in context.method.roles if role.id in job.inputs
        },
        "settings": {
            "Options of the comparison": ", ".join(f"{k} = {v}" for k, v in job.options.items() if v != ""),
            "Ratio of coarse to fine pixel size": "unknown" if ratio is None else f"{ratio:.4g}",
            "Seed": job.seed, "Threads": context.threads, "Memory limit in MB": job.memory_mb,
            "Engine": f"stfusion {__version__}",
            "Python and packages": ", ".join(
                [f"Python {python['python']}", *(f"{name} {version}" for name, version in python["packages"].items())]
            ),
            "Machine": f"{platform.system()} {platform.machine()}",
        },
    }


def _of_method(
    comparison: Comparison, name: str, rank: int, assessment: Assessment, covered: float
) -> dict[str, Any]:
    entry, outcome = comparison.entry(name), comparison.outcomes[name]
    return {
        "rank": rank, "title": entry.method.title, "baseline": entry.baseline, "pairs": entry.pairs,
        "options": dict(entry.order.options), "covered": covered, **assessment.as_dict(),
        "cpu_seconds": round(outcome.cpu_s, 3), "wall_seconds": round(outcome.wall_s, 3),
        "peak_memory_mb": round(outcome.peak_mb, 1), "notes": outcome.notes,
    }


def _of_image(title: str, image: Input) -> dict[str, Any]:
    source = Source(title, image)
    rows, columns = source.shape
    return {
        "title": title, "path": image.path, "size": f"{columns} x {rows}", "bands": list(source.bands),
        "date": source.date.isoformat() if source.date else None, "crs": source.crs_name,
        "mask": image.mask, "nodata": source.nodata,
    }


def _pictures(context: Context, comparison: Comparison, seen: Survey, summary: Mapping[str, Any]) -> dict[str, bytes]:
    """The PNGs of the report, from the thinned images."""
    truth, day = seen.thinned[TRUTH], summary["date"] or ""
    predictions = {name: seen.thinned[name] for name in summary["methods"]}
    errors = {name: np.abs(image - truth) / np.float32(_unit(context)) for name, image in predictions.items()}
    bands = picture.default_bands(len(truth))
    look = picture.Look.of([truth], list(errors.values()), bands, "Mean absolute error of the bands")
    inputs = [picture.Panel(title, seen.thinned[title]) for title in _inputs(comparison.scene)]
    drawn = {"inputs": picture.maps([*inputs, picture.Panel(f"Truth {day}", truth)], look)}
    for name, image in predictions.items():
        found = summary["methods"][name]
        error = picture.Panel(f"Absolute error, RMSE {found['rmse']['mean']:.4g}", errors[name])
        drawn[f"{name} maps"] = picture.maps([picture.Panel(found["title"], image)], look, error)
        drawn[f"{name} scatter"] = picture.scatter(image, truth, summary["bands"])
    return drawn


def _announce(context: Context, summary: Mapping[str, Any]) -> None:
    """Say the ranking."""
    for found in summary["methods"].values():
        scores = ", ".join(
            f"{METRICS[name].title} {found[name]['mean']:.4g}"
            for name in ("rmse", "r", "ssim") if found[name]["mean"] is not None
        )
        context.reporter.log(f"{found['rank']}. {found['title']}: {scores}, {found['cpu_seconds']:.1f} s of processor")
    if verdict(summary):
        context.reporter.log(verdict(summary))
