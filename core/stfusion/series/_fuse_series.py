"""The fusion of a time series: plan, run the dates side by side, describe what was written, and report."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from stfusion.assessment import _picture as picture
from stfusion.assessment._html import listed, number, table, terms, write_page
from stfusion.assessment._html import picture as shown
from stfusion.errors import Incomplete, UserError
from stfusion.folder import make_folder, whole_file
from stfusion.parts import Part, Records, run_parts
from stfusion.raster.stack import STACK
from stfusion.raster.tiles import bounded_gdal
from stfusion.run import Context
from stfusion.series import _check
from stfusion.series._orders import UNCERTAINTY, parts_of
from stfusion.series._plan import Plan, announce, make_plan, write_plan
from stfusion.series._products import Entry, entries_of, read_json, thinned, write_products

#: Entries of a job that may differ when a series is continued.
_FREE = {"memory_mb", "threads", "device", "outputs", "processes"}
#: What the folder of a job that was refused has: nothing of it is missed when another one takes its place.
_BEFORE = {"job.json", "plan.html", "plan.csv", "plan.json", "steps"}
#: Progress, in per cent, when the plan is made and the dates are fused.
_PLANNED, _FUSED = 2.0, 95.0
#: Dates that failed whose reasons are told at the end.
_TOLD = 3
#: Images that the report shows at most, and their rows and columns.
_PICTURES, _SIDE = 12, 300


def run(context: Context) -> dict[str, Any]:
    """Fuse the series of the job; the result has the folder, the report, the stack and the numbers of dates.

    Raises
    ------
    UserError
        The images, the options or the folder cannot be used, or no date can be fused.
    Incomplete
        Some dates failed; all that there is of the others is written.
    """
    folder = Path(context.job.outputs["output"]).absolute()
    with bounded_gdal(context):
        context.reporter.stage("Planning", 1, 3)
        plan, parts = prepare(context, folder)
        context.reporter.stage("Fusing", 2, 3)
        fused = _FUSED if not context.options["check"] else 0.6 * _FUSED
        run_parts(context, parts, Records(folder), (_PLANNED, fused), int(context.options["processes"]))
        found = _check.check(context, plan, folder, (fused, _FUSED))
        context.reporter.stage("Describing the series", 3, 3)
        return conclude(context, folder, plan, parts, found)


def prepare(context: Context, folder: Path) -> tuple[Plan, list[Part]]:
    """Plan the series, make its folder, write the plan into it and show it; the plan and its parts.

    Raises
    ------
    UserError
        The images or the options cannot be used, the folder holds something else, or no date can be fused.
    """
    plan = make_plan(context)
    parts = parts_of(context, plan, folder)
    claim(context, folder)
    if context.options[UNCERTAINTY]:
        make_folder(folder / UNCERTAINTY)
    with whole_file(str(folder / "plan.html"), context.stop) as page:
        write_plan(plan, page.parent)
    announce(context, plan)
    if not parts:
        reasons = Counter(choice.note for choice in plan.choices)
        raise UserError(
            f"No date can be fused: {reasons.most_common(1)[0][0]}; '{folder / 'plan.html'}' has the reason of each."
        )
    return plan, parts


def claim(context: Context, folder: Path, steps: Collection[str] = ()) -> None:
    """Make the folder of a job that can be continued, or see that it is the same job that is continued.

    A job that was refused before the work leaves its place to another one. ``steps`` are folders in it whose work is
    for a job with other options as well.

    Raises
    ------
    UserError
        The folder holds something else, or cannot be made.
    """
    mark = folder / "job.json"
    if mark.is_file():
        differing = _difference(json.loads(context.job.to_json()), read_json(mark))
        if not differing:
            return
        left = _BEFORE.union(steps if differing.endswith("'options'") else ())
        if any(path.name not in left for path in folder.iterdir()):
            raise UserError(
                f"'{folder}' holds the series of another job (its {differing} differs); choose another folder, or "
                "delete this one."
            )
    elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"'{folder}' exists and is not an empty folder; choose a new one.")
    make_folder(folder)
    with whole_file(str(mark), context.stop) as path:
        path.write_text(context.job.to_json(), encoding="utf-8")


def _difference(own: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """The first entry in which two jobs differ, in words; nothing where they order the same."""
    for key in sorted((set(own) | set(other)) - _FREE):
        one, two = own.get(key), other.get(key)
        if one != two and isinstance(one, dict) and isinstance(two, dict):
            inner = [name for name in sorted((set(one) | set(two)) - _FREE) if one.get(name) != two.get(name)]
            if not inner:
                continue
            return f"'{inner[0]}' in '{key}'"
        if one != two:
            return f"'{key}'"
    return ""


def conclude(
    context: Context, folder: Path, plan: Plan, parts: Sequence[Part], check: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Describe what was written, and give the result.

    Raises
    ------
    Incomplete
        Some dates failed.
    """
    records = Records(folder)
    known = {part.id: record for part in parts if (record := records.find(part))}
    entries = entries_of(plan, known)
    write_products(context, folder, plan, entries, check)
    _write_report(context, folder, plan, entries, check)
    counts = Counter(entry.state for entry in entries)
    result = {
        "output": str(folder), "report": str(folder / "report.html"), "stack": str(folder / STACK),
        **{state: counts[state] for state in ("fused", "kept", "skipped", "failed")},
    }
    if check is not None:
        context.reporter.log(_check.verdict(check))
    failed = {entry.day: entry.record.error.rstrip(".") for entry in entries if entry.record and entry.record.error}
    if failed:
        raise Incomplete(_failure(failed, len(parts), folder), result)
    return result


def _failure(failed: Mapping[date, str], parts: int, folder: Path) -> str:
    """Which dates failed and why, and what to do; of many the first ones with their reasons."""
    few = [f"{day} ({reason})" for day, reason in list(failed.items())[:_TOLD]]
    rest = f"; as well as {', '.join(map(str, list(failed)[_TOLD:]))}" if len(failed) > _TOLD else ""
    what = (
        f"the others are in '{folder}': run it again to try these alone" if len(failed) < parts
        else "mend this and run it again"
    )
    return f"{len(failed)} of {parts} dates failed: {'; '.join(few)}{rest}; {what}."


def _write_report(
    context: Context, folder: Path, plan: Plan, entries: Sequence[Entry], check: Mapping[str, Any] | None
) -> None:
    counts = Counter(entry.state for entry in entries)
    seconds = sum(entry.record.processor_seconds for entry in entries if entry.record)
    parts = [
        f"<p>{len(entries)} dates, {entries[0].day} to {entries[-1].day}: "
        + ", ".join(f"{count} {state}" for state, count in counts.items())
        + '. <a href="plan.html">The plan</a> says which pairs each was predicted from.</p>',
        terms({
            "Method": plan.method.title, "Options": context.options["options"] or "defaults",
            "Processor time": f"{seconds:.1f} s",
        }),
        listed([*plan.remarks, *(f"{e.day}: {e.record.error}" for e in entries if e.record and e.record.error)]),
        *_pictures(folder, entries),
        *(_check_parts(check) if check is not None else ()),
        "<h2>Dates</h2>",
        table(
            ("Date", "State", "File", "Why", "Seconds", "Processor seconds"), (_line(entry) for entry in entries),
            words=4,
        ),
    ]
    with whole_file(str(folder / "report.html"), context.stop) as path:
        write_page("Time series", parts, path)


def _line(entry: Entry) -> list[str]:
    record = entry.record
    times = ("-", "-") if record is None else (f"{record.seconds:.1f}", f"{record.processor_seconds:.1f}")
    return [entry.day.isoformat(), entry.state, entry.file or "", (record and record.error) or entry.note, *times]


def _pictures(folder: Path, entries: Sequence[Entry]) -> list[str]:
    """Some images of the series, evenly spread, on one stretch."""
    written = [entry for entry in entries if entry.file]
    if not written:
        return []
    chosen = [written[int(n)] for n in np.unique(np.linspace(0, len(written) - 1, _PICTURES).round())]
    images = thinned(folder, chosen, _SIDE)
    bands = picture.default_bands(len(next(iter(images.values()))))
    look = picture.Look.of(list(images.values()), [np.zeros((1, 1, 1))], bands, "")
    panels = [picture.Panel(f"{entry.day} ({entry.state})", images[entry.day]) for entry in chosen]
    return ["<h2>Images</h2>", shown(picture.maps(panels, look), "Images of the series")]


def _check_parts(check: Mapping[str, Any]) -> list[str]:
    """The errors of fine images that were left out."""
    rows = [
        (scores["title"], *(number(scores[score]) for score in _check.SCORES)) for scores in check["mean"].values()
    ]
    single = [
        (one["date"], name, one["pairs"], *(number(scores[score]) for score in _check.SCORES))
        for one in check["dates"] for name, scores in one["methods"].items()
    ]
    failed = [f"{one['date']}, {name}: {why}" for one in check["dates"] for name, why in one["failed"].items()]
    return [
        "<h2>Fine images left out</h2>", f"<p>{_check.verdict(check)}</p>",
        table(("Mean over the dates", *_check.heads()), rows),
        listed(failed),
        table(("Date", "Method", "Pairs", *_check.heads()), single, words=2),
        '<p class="note">Each fine image was predicted from the others and the coarse image that goes with it, and '
        "compared on the pixels that are valid in it and in all predictions; in the unit of the images.</p>",
    ]
