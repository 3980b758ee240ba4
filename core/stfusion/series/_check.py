"""Leaving fine images out: each is predicted from the others, by the method and by the baselines, and judged."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from statistics import fmean
from typing import Any

from stfusion import registry
from stfusion.assessment._judge import judge, survey
from stfusion.assessment._measure import Terms
from stfusion.assessment._metrics import METRICS
from stfusion.declaration import Method
from stfusion.job import Input
from stfusion.parts import Part, Records, run_parts
from stfusion.raster.source import AlignedSource, Source
from stfusion.run import Context
from stfusion.series import _planner as planner
from stfusion.series._orders import inputs_of, order_of, settings_of
from stfusion.series._plan import Plan
from stfusion.series._products import MANIFEST, read_json

#: What is reported of a prediction.
SCORES = ("rmse", "mae", "bias", "r", "ssim")
#: What a method has to beat.
_BASELINES = ("copy_fine", "upsampled_coarse", "fine_plus_difference")


@dataclass(frozen=True)
class _Left:
    """A fine image that is left out, and the parts that predict it, by the ids of their methods."""

    day: date
    pairs: int
    parts: Mapping[str, Part]


def check(context: Context, plan: Plan, folder: Path, span: tuple[float, float]) -> dict[str, Any] | None:
    """Predict and judge every fine image that has a partner and other pairs; what is found, as plain values.

    What an earlier run has found of the same images stays; nothing where no check is asked for.
    """
    if not context.options["check"]:
        return None
    work = folder / "check"
    left = _left_out(context, plan, work)
    every = [part for one in left for part in one.parts.values()]
    mark = hashlib.sha256("".join(part.mark for part in every).encode()).hexdigest()
    known = read_json(folder / MANIFEST).get("check") if (folder / MANIFEST).is_file() else None
    if known is not None and known["mark"] == mark:
        return dict(known)
    middle = span[0] + 0.9 * (span[1] - span[0])
    records = run_parts(context, every, Records(work), (span[0], middle), int(context.options["processes"]))
    dates: list[dict[str, Any]] = []
    for number, one in enumerate(left):
        done = {name: part for name, part in one.parts.items() if not records[part.id].error}
        begin, end = (middle + (span[1] - middle) * n / len(left) for n in (number, number + 1))
        scores = _scores(context, plan, one.day, done, (begin, end)) if done else {}
        failed = {name: records[part.id].error for name, part in one.parts.items() if records[part.id].error}
        dates.append({"date": one.day.isoformat(), "pairs": one.pairs, "methods": scores, "failed": failed})
    shutil.rmtree(work, ignore_errors=True)
    return {"mark": mark, "dates": dates, "mean": _means([found["methods"] for found in dates], _methods(plan))}


def _methods(plan: Plan) -> list[Method]:
    """The method of the series and the baselines."""
    found = dict.fromkeys([plan.method.id, *_BASELINES])
    return [registry.get("fuse", name) for name in found]


def _left_out(context: Context, plan: Plan, folder: Path) -> list[_Left]:
    settings, images = settings_of(context, plan.method), plan.stacks.images
    found = []
    for pair in plan.pairs:
        day = pair.coarse or pair.fine
        if day not in images["coarse"]:
            continue
        others = [other for other in plan.pairs if other.fine != pair.fine]
        choice = planner.choose_pairs(pair.fine, others, plan.rules)
        if choice.action != "fuse":
            continue
        target = replace(images["coarse"][day], date=pair.fine.isoformat())
        inputs = inputs_of(plan, choice.pairs, target)
        parts = {}
        for method in _methods(plan):
            if not {role.id for role in method.roles if role.required and role.sensor != "file"} <= set(inputs):
                continue
            name = f"{pair.fine:%Y%m%d}_{method.id}"
            own = settings if method is plan.method else {}
            order = order_of(context, method, own, inputs, {"output": str(folder / f"{name}.tif")})
            parts[method.id] = Part(name, f"{pair.fine} left out, {method.title}", order)
        found.append(_Left(pair.fine, len(choice.pairs), parts))
    return found


def _scores(
    context: Context, plan: Plan, day: date, parts: Mapping[str, Part], span: tuple[float, float]
) -> dict[str, dict[str, float | None]]:
    """The scores of the predictions of a date on the pixels that are valid in all of them and in the truth."""
    grid = plan.stacks.reference.grid
    truth = AlignedSource(Source("Fine image", plan.stacks.images["fine"][day]), grid, "nearest")
    results = {
        name: AlignedSource(Source(name, Input(part.order.outputs["output"])), grid, "nearest")
        for name, part in parts.items()
    }
    middle = (span[0] + span[1]) / 2
    seen = survey(context, truth, results, {}, (span[0], middle))
    if not seen.facts.count:
        return {}
    judged = judge(context, truth, results, seen.facts, Terms(ratio=None, unit=1.0), (middle, span[1]))
    return {
        name: {score: assessment[score].as_dict()["mean"] for score in SCORES} for name, assessment in judged.items()
    }


def _means(
    dates: Sequence[Mapping[str, Mapping[str, float | None]]], methods: Sequence[Method]
) -> dict[str, dict[str, Any]]:
    """The means of the scores over the dates that every method has, by method."""
    found: dict[str, dict[str, Any]] = {}
    names = [method for method in methods if any(method.id in scores for scores in dates)]
    whole = [scores for scores in dates if all(method.id in scores for method in names)]
    for method in names:
        values = {
            score: [value for scores in whole if (value := scores[method.id][score]) is not None] for score in SCORES
        }
        found[method.id] = {
            "title": method.title, "dates": len(whole),
            **{score: fmean(numbers) if numbers else None for score, numbers in values.items()},
        }
    return found


def heads() -> list[str]:
    """The titles of the scores."""
    return [METRICS[score].title for score in SCORES]


def verdict(found: Mapping[str, Any]) -> str:
    """How the method did beside the baselines, in a sentence."""
    mean = [scores for scores in found["mean"].values() if scores["rmse"] is not None]
    if not mean:
        return "No fine image could be checked: leaving one out leaves no pair, or no valid pixel."
    method, *baselines = mean
    words = f"Left out, {method['dates']} fine image(s) are predicted with an RMSE of {method['rmse']:.4g}"
    if not baselines:
        return f"{words}."
    best = min(baselines, key=lambda scores: scores["rmse"])
    better = "less than" if method["rmse"] < best["rmse"] else "no less than"
    return f"{words}, {better} the {best['rmse']:.4g} of the best of the baselines ({best['title']})."
