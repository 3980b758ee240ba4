"""The report of a comparison: one HTML file that holds all of its pictures, and the numbers as JSON and CSV."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from html import escape
from itertools import chain
from pathlib import Path
from typing import Any

from stfusion.assessment._html import listed, number, picture, table, terms, write_page
from stfusion.assessment._metrics import METRICS, Metric

Summary = Mapping[str, Any]

#: Columns of the tables that are no metrics: key in the summary of a method, head, format.
_COSTS = (("cpu_seconds", "CPU s", ".1f"), ("wall_seconds", "Time s", ".1f"), ("peak_memory_mb", "Memory MB", ".0f"))


def write_numbers(summary: Summary, folder: Path) -> None:
    """Write results.json, and results.csv with a line for the mean of the bands and for every band of each method."""
    text = json.dumps(summary, indent=2, allow_nan=False, ensure_ascii=False)
    (folder / "results.json").write_text(text + "\n", encoding="utf-8")
    with (folder / "results.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["rank", "method", "title", "baseline", "band", *METRICS, *(key for key, _, _ in _COSTS)])
        for name, found in summary["methods"].items():
            who = [found["rank"], name, found["title"], "yes" if found["baseline"] else "no"]
            writer.writerow([*who, "mean", *(found[m]["mean"] for m in METRICS), *(found[key] for key, _, _ in _COSTS)])
            for band, title in enumerate(summary["bands"]):
                writer.writerow([*who, title, *(_at(found[m]["bands"], band) for m in METRICS), *[None] * len(_COSTS)])


def write_report(summary: Summary, pictures: Mapping[str, bytes], path: Path) -> None:
    """Write the report; ``pictures`` are PNGs: "inputs", and "<method> maps" and "<method> scatter" of every method."""
    parts = chain.from_iterable(_sections(summary, pictures))
    write_page(f"Comparison of fusion methods{_of_day(summary)}", parts, path)


def verdict(summary: Summary) -> str:
    """Which methods have a smaller error (RMSE) than every baseline."""
    methods = summary["methods"].values()
    limits = [found["rmse"]["mean"] for found in methods if found["baseline"] and found["rmse"]["mean"] is not None]
    own = [found for found in methods if not found["baseline"] and found["rmse"]["mean"] is not None]
    if not limits or not own:
        return ""
    winners = [found["title"] for found in own if found["rmse"]["mean"] < min(limits)]
    if not winners:
        return "No method has a smaller RMSE than the best baseline."
    return f"A smaller RMSE than every baseline ({len(winners)} of {len(own)} methods): {', '.join(winners)}."


def _sections(summary: Summary, pictures: Mapping[str, bytes]) -> Iterator[Iterator[str]]:
    yield _ranking(summary)
    yield _left(summary)
    yield _images(summary, pictures)
    yield _methods(summary, pictures)
    yield _bands(summary)
    yield _circumstances(summary)
    yield _definitions()


def _ranking(summary: Summary) -> Iterator[str]:
    rows, columns = summary["shape"]
    yield f"<p>{escape(verdict(summary))} Errors are in {escape(summary['unit'])}; all methods are judged on the same "
    yield f"{summary['valid']:.1%} of {columns} x {rows} pixels. The best of a column is bold; baselines are grey.</p>"
    heads = [METRICS[name].title for name in METRICS] + [head for _, head, _ in _COSTS] + ["Covers"]
    yield '<div class="wide"><table class="ranking"><tr><th>Rank</th><th class="text">Method</th>'
    yield "".join(f"<th>{escape(head)}</th>" for head in heads) + "</tr>"
    values = {name: [found[name]["mean"] for found in summary["methods"].values()] for name in METRICS}
    best = {name: _best(METRICS[name], values[name]) for name in METRICS}
    for found in summary["methods"].values():
        yield f'<tr{_marked(found)}><td>{found["rank"]}</td><td class="text">{escape(found["title"])}</td>'
        for name in METRICS:
            mean = found[name]["mean"]
            yield f'<td{_bold(mean is not None and mean == best[name])}>{number(mean)}</td>'
        yield "".join(f"<td>{number(found[key], form)}</td>" for key, _, form in _COSTS)
        yield f"<td>{found['covered']:.1%}</td></tr>"
    yield "</table></div>"
    yield (
        '<p class="note">Ranked by RMSE. Every method ran in a process of its own; seconds and memory include its '
        "start, and the first run of a method after an installation also compiles it. Covers: share of the valid true "
        "pixels that the method predicts.</p>"
    )
    yield listed(_reasons(summary))


def _reasons(summary: Summary) -> Iterator[str]:
    """Why values are unknown, each reason once with the methods that it holds for."""
    methods = summary["methods"].values()
    for why in dict.fromkeys(why for found in methods for why in found["reasons"]):
        those = [found["title"] for found in methods if why in found["reasons"]]
        yield f"{'All methods' if len(those) == len(methods) else ', '.join(those)}: {why}"


def _left(summary: Summary) -> Iterator[str]:
    for key, head in (("failed", "Methods that failed"), ("left_out", "Methods that were left out")):
        if summary[key]:
            yield f"<h2>{head}</h2>"
            yield listed([f"{found['title']}: {found['reason']}" for found in summary[key].values()])


def _images(summary: Summary, pictures: Mapping[str, bytes]) -> Iterator[str]:
    yield "<h2>Images</h2>"
    yield picture(pictures["inputs"], "The input images and the true image")
    yield listed(_common_notes(summary))


def _common_notes(summary: Summary) -> list[str]:
    """What every method said, which is about the images then."""
    first, *others = [found["notes"] for found in summary["methods"].values()]
    return [note for note in first if all(note in notes for notes in others)]


def _methods(summary: Summary, pictures: Mapping[str, bytes]) -> Iterator[str]:
    yield "<h2>Predictions and errors</h2>"
    yield (
        '<p class="note">All predictions share the stretch of the images above, all errors one colour scale. Hatched: '
        "no data. Scatter plots show the density of the pixels of the maps (logarithmic) and the 1:1 line.</p>"
    )
    common = _common_notes(summary)
    for name, found in summary["methods"].items():
        yield f"<h3>{found['rank']}. {escape(found['title'])}</h3>"
        yield picture(pictures[f"{name} maps"], f"Prediction and error of {found['title']}")
        yield picture(pictures[f"{name} scatter"], f"Predicted over true values of {found['title']}")
        options = ", ".join(f"{option} = {value}" for option, value in found["options"].items())
        yield f'<p class="note">From {escape(found["pairs"])}. Options: {escape(options)}.</p>'
        yield listed([note for note in found["notes"] if note not in common])


def _bands(summary: Summary) -> Iterator[str]:
    yield "<h2>Bands</h2>"
    for name, metric in METRICS.items():
        rows = [found[name]["bands"] for found in summary["methods"].values()]
        if not all(rows):  # a metric of whole spectra
            continue
        best = [_best(metric, list(values)) for values in zip(*rows, strict=True)]
        yield f'<h3>{escape(metric.title)}</h3><div class="wide"><table><tr><th class="text">Method</th>'
        yield "".join(f"<th>{escape(band)}</th>" for band in summary["bands"]) + "</tr>"
        for found in summary["methods"].values():
            yield f'<tr{_marked(found)}><td class="text">{escape(found["title"])}</td>'
            for value, winner in zip(found[name]["bands"], best, strict=True):
                yield f"<td{_bold(value is not None and value == winner)}>{number(value)}</td>"
            yield "</tr>"
        yield "</table></div>"


def _circumstances(summary: Summary) -> Iterator[str]:
    yield "<h2>Inputs and settings</h2>"
    yield table(
        ("Image", "File", "Size", "Bands", "Date", "Grid"),
        (
            (image["title"], image["path"], image["size"], ", ".join(map(str, image["bands"])),
             image["date"] or "unknown", image["crs"])
            for image in summary["inputs"].values()
        ),
        words=6,
    )
    yield terms(summary["settings"])


def _definitions() -> Iterator[str]:
    ideal = {"low": "Lower is better.", "high": "Higher is better, at most 1.", "zero": "Best is 0."}
    yield "<h2>Metrics</h2>"
    yield terms({metric.title: f"{metric.definition} {ideal[metric.best]}" for metric in METRICS.values()})


def _best(metric: Metric, values: list[float | None]) -> float | None:
    """The best of the values that are known."""
    worse = {"low": lambda v: v, "high": lambda v: -v, "zero": abs}[metric.best]
    return min((value for value in values if value is not None), key=worse, default=None)


def _marked(found: Mapping[str, Any]) -> str:
    return ' class="baseline"' if found["baseline"] else ""


def _bold(best: bool) -> str:
    return ' class="best"' if best else ""


def _at(values: list[Any], index: int) -> Any:
    return values[index] if values else None


def _of_day(summary: Summary) -> str:
    return f", {summary['date']}" if summary["date"] else ""
