"""The report on a classification: one HTML file, and its numbers as JSON and CSV."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stfusion.assessment._accuracy import OVERALL, PER_CLASS, plain
from stfusion.assessment._confusion import Confusion, axes_in_words
from stfusion.assessment._html import listed, number, picture, table, terms, write_page

Summary = Mapping[str, Any]

#: Estimates of every class in the tables, with their titles.
_ESTIMATED = {name: PER_CLASS[name].title for name in ("users_accuracy", "producers_accuracy", "f1", "iou")}
#: Colours of a share of 1 on the diagonal of the matrix and beside it.
_RIGHT, _WRONG = (44, 123, 182), (215, 48, 39)
#: The chart: pixels of a bar's thickness, of the names, of the whole scale, and the colours of the two accuracies.
_BAR, _NAMES, _SCALE = 9, 160, 420
_BARS = {"users_accuracy": "#2c7bb6", "producers_accuracy": "#fdae61"}


def write_numbers(summary: Summary, confusion: Confusion, folder: Path) -> None:
    """Write results.json, matrix.csv, and results.csv with a line for every measure of the whole and of each class."""
    text = json.dumps(summary, indent=2, allow_nan=False, ensure_ascii=False)
    (folder / "results.json").write_text(text + "\n", encoding="utf-8")
    _write_csv(folder / "matrix.csv", _matrix_table(summary, confusion))
    heads = ["class", "name", "measure", "value", "standard_error", "margin"]
    _write_csv(folder / "results.csv", [heads, *_lines(summary)])


def _write_csv(path: Path, lines: Sequence[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows(lines)


def _lines(summary: Summary) -> Iterator[list[object]]:
    """Class, its name, measure, value, standard error and margin; what is of the whole has no class."""
    accuracy, estimates = summary["accuracy"], summary["estimates"]
    for name, value in accuracy["overall"].items():
        yield ["", "", name, value, "", ""]
    if estimates is not None:
        yield ["", "", "estimated overall_accuracy", *estimates["overall_accuracy"].values()]
        for name, value in estimates["weighted"].items():
            if name != "overall_accuracy":
                yield ["", "", f"estimated {name}", value, "", ""]
    for place, label in enumerate(accuracy["labels"]):
        for name, values in accuracy["classes"].items():
            yield [label, summary["names"][str(label)], name, values[place], "", ""]
    for place, label in enumerate(estimates["labels"] if estimates is not None else ()):
        for name in _ESTIMATED:
            yield [label, _name(summary, label), f"estimated {name}", *estimates["classes"][name][place].values()]
        area = f"estimated area ({estimates['area_unit']})"
        yield [label, _name(summary, label), area, *estimates["areas"][place].values()]


def write_report(summary: Summary, confusion: Confusion, path: Path) -> None:
    """Write the report."""
    sections = (
        _overall(summary), _matrix(summary, confusion), _classes(summary), _estimates(summary), _matching(summary),
        _circumstances(summary),
    )
    write_page(f"Accuracy of {summary['map']['title']}", chain.from_iterable(sections), path)


def _name(summary: Summary, label: int) -> str:
    return str(summary["names"].get(str(label), label))


def _overall(summary: Summary) -> Iterator[str]:
    accuracy, estimates = summary["accuracy"], summary["estimates"]
    yield f"<p>{escape(summary['map']['title'])} against {escape(summary['reference']['title'])}: " \
          f"{summary['total']} {summary['reference']['kind']} have a class in both; {summary['without_reference']} " \
          f"have none in the reference and {summary['without_map']} none in the map, and are left out.</p>"
    yield listed(summary["notes"])
    if estimates is None:
        yield (
            '<p class="note">The reference is a raster, so that all its pixels were compared: the figures are no '
            "estimates from a sample, and have no standard errors.</p>"
        )
    else:
        found = estimates["overall_accuracy"]
        yield f"<p><b>Estimated overall accuracy: {number(found['value'])} &#177; {number(found['margin'])}</b> " \
              f"(level of confidence {estimates['level']:g}; standard error {number(found['error'])}), from the " \
              "sizes of the strata.</p>"
    weighted = {} if estimates is None else estimates["weighted"]
    heads = ("Measure", "Of the places compared", *(("Estimated for the whole map",) if weighted else ()))
    yield table(heads, (
        (OVERALL[name].title, number(value), *((number(weighted.get(name)),) if weighted else ()))
        for name, value in accuracy["overall"].items()
    ))


def _matrix_table(summary: Summary, confusion: Confusion) -> list[list[str | int]]:
    return confusion.table(summary["orientation"], {label: _name(summary, label) for label in confusion.labels})


def _matrix(summary: Summary, confusion: Confusion) -> Iterator[str]:
    lines = _matrix_table(summary, confusion)
    yield f"<h2>Confusion matrix</h2><p>{escape(str(lines[0][0]))}. Counts of {escape(summary['reference']['kind'])}; "
    yield "the colour is the share of the row: blue where map and reference agree, red where they do not.</p>"
    yield from _heat_map(lines, confusion.counts if summary["orientation"] == "map" else confusion.counts.T)


def _shares(summary: Summary) -> Iterator[str]:
    """The matrix that the sample estimates for the whole map."""
    estimates = summary["estimates"]
    # What is unknown is None there.
    shares = np.array(estimates["shares"], np.float64)
    shares = shares if summary["orientation"] == "map" else shares.T
    names, axes = [_name(summary, label) for label in estimates["labels"]], axes_in_words(summary["orientation"])
    whole = np.vstack([shares, shares.sum(axis=0)])
    cells = [[number(value) for value in plain([*row, row.sum()])] for row in whole]
    lines = [[axes, *names, "Total"], *([name, *row] for name, row in zip([*names, "Total"], cells, strict=True))]
    yield f"<h3>Shares of the area</h3><p>{escape(axes)}. Estimated for the whole map.</p>"
    yield from _heat_map(lines, shares)


def _heat_map(lines: Sequence[Sequence[str | int]], values: NDArray[Any]) -> Iterator[str]:
    """A matrix whose cells have the colour of their share of the row; the lines have labels and totals around them."""
    totals = values.sum(axis=1, keepdims=True)
    shares = np.nan_to_num(values / np.where(totals > 0, totals, 1))
    head, *rows, last = lines
    yield '<div class="wide"><table><tr>'
    yield "".join(f"<th{_left(column == 0)}>{escape(str(cell))}</th>" for column, cell in enumerate(head)) + "</tr>"
    for place, line in enumerate(rows):
        yield f'<tr><td class="text"><b>{escape(str(line[0]))}</b></td>'
        for column, cell in enumerate(line[1:-1]):
            yield f'<td style="{_heat(float(shares[place, column]), place == column)}">{cell}</td>'
        yield f"<td><b>{line[-1]}</b></td></tr>"
    yield "<tr>" + "".join(f"<td{_left(place == 0)}><b>{cell}</b></td>" for place, cell in enumerate(last))
    yield "</tr></table></div>"


def _left(first: bool) -> str:
    return ' class="text"' if first else ""


def _heat(share: float, right: bool) -> str:
    """The style of a cell of the matrix: from white to the full colour."""
    colour = _RIGHT if right else _WRONG
    red, green, blue = (round(255 + share * (part - 255)) for part in colour)
    return f"background-color: rgb({red}, {green}, {blue}); color: {'#fff' if share > 0.6 else '#222'}"


def _classes(summary: Summary) -> Iterator[str]:
    accuracy = summary["accuracy"]
    yield "<h2>Classes</h2>"
    yield table(
        ("Class", *(PER_CLASS[name].title for name in accuracy["classes"])),
        (
            (_name(summary, label), *(number(values[place]) for values in accuracy["classes"].values()))
            for place, label in enumerate(accuracy["labels"])
        ),
    )
    yield listed(accuracy["reasons"])
    estimates = summary["estimates"]
    margins = {} if estimates is None else estimates["classes"]
    values = accuracy["classes"] if estimates is None else {
        name: [found["value"] for found in estimates["classes"][name]] for name in _BARS
    }
    labels = accuracy["labels"] if estimates is None else estimates["labels"]
    bars = [
        (_name(summary, label), [
            (values[name][place], margins[name][place]["margin"] if margins else None) for name in _BARS
        ])
        for place, label in enumerate(labels)
    ]
    yield picture(_chart(bars).encode("utf-8"), "User's and producer's accuracy of the classes", "svg+xml")
    said = "blue is the user's accuracy, orange the producer's"
    yield f'<p class="note">{said}{", with the intervals of the estimates" if margins else ""}.</p>'


def _chart(bars: Sequence[tuple[str, Sequence[tuple[float | None, float | None]]]]) -> str:
    """A chart of bars from 0 to 1 as SVG: two for every class, each with the half width of its interval, if any."""
    step, top = 2 * _BAR + 8, 18
    height = top + step * len(bars) + 4
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_NAMES + _SCALE + 20}" height="{height}" '
        'font-family="sans-serif" font-size="11">'
    ]
    for tenth in range(0, 11, 2):
        x = _NAMES + _SCALE * tenth / 10
        parts.append(f'<line x1="{x}" x2="{x}" y1="{top - 4}" y2="{height}" stroke="#ddd"/>')
        parts.append(f'<text x="{x}" y="{top - 7}" text-anchor="middle">{tenth / 10:g}</text>')
    for place, (name, pair) in enumerate(bars):
        y = top + step * place
        parts.append(f'<text x="{_NAMES - 6}" y="{y + _BAR + 4}" text-anchor="end">{escape(name[:24])}</text>')
        for index, ((value, margin), colour) in enumerate(zip(pair, _BARS.values(), strict=True)):
            if value is not None:
                parts += _bar(value, margin, y + index * (_BAR + 1), colour)
    return "".join([*parts, "</svg>"])


def _bar(value: float, margin: float | None, y: int, colour: str) -> Iterator[str]:
    yield f'<rect x="{_NAMES}" y="{y}" width="{_SCALE * value:.2f}" height="{_BAR}" fill="{colour}"/>'
    if margin is not None:
        low, high = (_NAMES + _SCALE * min(max(end, 0.0), 1.0) for end in (value - margin, value + margin))
        middle = y + _BAR / 2
        yield f'<line x1="{low:.2f}" x2="{high:.2f}" y1="{middle}" y2="{middle}" stroke="#222"/>'
        for x in (low, high):
            yield f'<line x1="{x:.2f}" x2="{x:.2f}" y1="{y + 1}" y2="{y + _BAR - 1}" stroke="#222"/>'


def _estimates(summary: Summary) -> Iterator[str]:
    estimates = summary["estimates"]
    if estimates is None:
        return
    yield "<h2>Estimates from the sample</h2>"
    yield f'<p class="note">Stratified estimators (Olofsson et al. 2014, Stehman 2014) with half widths of the ' \
          f'intervals at a level of confidence of {estimates["level"]:g}, and standard errors in brackets. Strata: ' \
          f'{escape(summary["strata"] or "the classes of the map")}. They hold for a random sample; there is no ' \
          "correction for finite populations.</p>"
    unit = estimates["area_unit"]
    heads = ("Class", *_ESTIMATED.values(), f"Mapped area ({unit})", f"Estimated area ({unit})")
    mapped = estimates["mapped_areas"] if summary["matching"] is None else {}
    yield table(heads, (
        (
            _name(summary, label),
            *(_with_margin(estimates["classes"][name][place]) for name in _ESTIMATED),
            number(mapped.get(str(label)), ",.6g"),
            _with_margin(estimates["areas"][place], ",.6g"),
        )
        for place, label in enumerate(estimates["labels"])
    ))
    yield listed(estimates["reasons"])
    yield from _shares(summary)


def _with_margin(found: Mapping[str, float | None], form: str = ".4g") -> str:
    value, margin, error = (number(found[name], form) for name in ("value", "margin", "error"))
    return f"{value} \N{PLUS-MINUS SIGN} {margin} ({error})"


def _matching(summary: Summary) -> Iterator[str]:
    match = summary["matching"]
    if match is None:
        return
    yield f"<h2>Matching ({escape(match['rule'])})</h2>"
    yield table(
        ("Cluster", "Class", "Purity"),
        (
            (cluster, _name(summary, match["pairs"][cluster]) if cluster in match["pairs"] else "none", number(share))
            for cluster, share in match["purity"].items()
        ),
        words=2,
    )
    yield '<p class="note">Purity is the share of the most frequent class of the reference in the cluster.</p>'


def _circumstances(summary: Summary) -> Iterator[str]:
    yield "<h2>Inputs and settings</h2>"
    yield listed(summary["about"])
    yield terms({"Map": summary["map"]["path"], "Reference": summary["reference"]["title"], **summary["settings"]})
    yield "<h2>Measures</h2>"
    yield terms({measure.title: measure.definition for measure in {**PER_CLASS, **OVERALL}.values()})
