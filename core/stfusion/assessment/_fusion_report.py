"""The report of an assessment: one HTML file with its pictures, and the numbers as JSON and CSV."""

from __future__ import annotations

import csv
import json
import platform
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stfusion import __version__
from stfusion.assessment import _html as html
from stfusion.assessment import _picture as picture
from stfusion.assessment._full_resolution import INDICES
from stfusion.assessment._metrics import ALL, METRICS, MORE, OTHER, Metric
from stfusion.run import Context

if TYPE_CHECKING:
    from stfusion.assessment._assess_fusion import Found

Summary = dict[str, Any]

#: Metrics that are shown for every zone.
_BY_ZONE = (
    "rmse", "rrmse", "mae", "bias", "r", "r2", "psnr", "ssim", "uiqi", "sam", "ergas",
    "q2n", "scc", "edge", "lbp",
)
_BEST = {"low": "Lower is better.", "high": "Higher is better.", "zero": "Best is 0."}


def write_results(context: Context, found: Found, folder: Path) -> None:
    """Write report.html, results.json and results.csv."""
    summary = _summary(context, found)
    text = json.dumps(summary, indent=2, allow_nan=False, ensure_ascii=False)
    (folder / "results.json").write_text(text + "\n", encoding="utf-8")
    _write_table(summary, folder / "results.csv")
    html.write_page("Assessment of a fused image", _page(summary, _pictures(found, summary)), folder / "report.html")


def _summary(context: Context, found: Found) -> Summary:
    """All that the report says, as plain values for JSON."""
    source, terms, job = found.images.predicted.source, found.terms, context.job
    indices = found.evidence.indices()
    return {
        "shape": list(found.images.predicted.shape),
        "bands": [name or f"Band {number}" for number, name in enumerate(source.names, 1)],
        "unit": "the unit of the images" if terms.unit == 1 else f"reflectance (value / {terms.unit:g})",
        "whole": found.whole.as_dict() if found.whole else None,
        "without_reference": {name: None if np.isnan(value) else value for name, value in indices.items()},
        "zones": {label: scores.as_dict() for label, scores in found.zones.items()},
        "notes": _notes(found),
        "inputs": {
            role.title: job.inputs[role.id].path for role in context.method.roles if role.id in job.inputs
        },
        "settings": {
            "Ratio of coarse to fine pixel size": "unknown" if found.images.ratio is None
            else f"{found.images.ratio:.4g}",
            "Data range of SSIM": "that of every reference band" if terms.data_range is None
            else f"{terms.data_range:g}",
            "Peak of PSNR": "unknown" if terms.peak is None else f"{terms.peak:g}", "Window of UIQI": terms.window,
            "Whole numbers for Q2n": "yes" if terms.whole_numbers else "no",
            "Gains at the Nyquist frequency": ", ".join(f"{gain:g}" for gain in found.images.gains),
            "Border": "nothing is cut off; windows lie inside the image",
            "Clipping": "values are compared as they are", "Engine": f"stfusion {__version__}",
            "Machine": f"{platform.system()} {platform.machine()}",
        },
    }


def _notes(found: Found) -> list[str]:
    notes = found.images.reasons(found.evidence)
    if found.flat_blocks:
        notes.append(
            f"In {found.flat_blocks} block(s) of Q2n a band of the reference is constant and normalised by its mean."
        )
    empty = [label for label, scores in found.zones.items() if scores.valid == 0]
    if empty:
        notes.append(f"No valid pixel lies in {len(empty)} zone(s): {', '.join(empty[:10])}.")
    return notes


def _write_table(summary: Summary, path: Path) -> None:
    """A line for every band and their mean, of the whole image and of every zone."""
    parts = {"whole image": summary["whole"], **summary["zones"]}
    with path.open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["part", "band", "valid", *ALL, *INDICES])
        for part, scores in parts.items():
            indices = summary["without_reference"].values() if part == "whole image" else [None] * len(INDICES)
            if scores is None:
                table.writerow([part, "mean", None, *[None] * len(ALL), *indices])
                continue
            table.writerow([part, "mean", scores["valid"], *(scores[name]["mean"] for name in ALL), *indices])
            for band, title in enumerate(summary["bands"]):
                values = (scores[name]["bands"][band] if scores[name]["bands"] else None for name in ALL)
                table.writerow([part, title, scores["valid"], *values, *[None] * len(INDICES)])


def _pictures(found: Found, summary: Summary) -> dict[str, bytes]:
    """The PNGs of the report, from the thinned images."""
    p, t = found.fused, found.truth
    bands = picture.default_bands(len(p))
    if found.whole is None:
        look = picture.Look.of([p], [np.zeros_like(p)], bands, "")
        return {"maps": picture.maps([picture.Panel("Fused image", p)], look)}
    error = np.abs(p - t) / np.float32(found.terms.unit)
    look = picture.Look.of([t], [error], bands, picture.ERROR_LABEL)
    panels = [picture.Panel("Fused image", p), picture.Panel("Reference image", t)]
    drawn = {
        "maps": picture.maps(panels, look, picture.Panel("Absolute error", error)),
        "scatter": picture.scatter(p, t, summary["bands"]),
        "histograms": picture.histograms(p, t, summary["bands"]),
    }
    by_zone = {label: scores["rmse"].bands for label, scores in found.zones.items() if scores.valid}
    if by_zone:
        drawn["zones"] = picture.bars(by_zone, summary["bands"], f"RMSE in {summary['unit']}")
    return drawn


def _page(summary: Summary, drawn: Mapping[str, bytes]) -> Iterator[str]:
    rows, columns = summary["shape"]
    if summary["whole"] is not None:
        valid = summary["whole"]["valid"]
        yield f"<p>Compared on {valid:.2%} of {columns} x {rows} pixels: those that are valid in both images and in "
        yield f"all bands. Errors are in {summary['unit']}.</p>"
        yield from _scores(summary)
    yield from _without_reference(summary)
    yield "<h2>Images</h2>"
    yield html.picture(drawn["maps"], "The fused image, the reference and the error")
    yield '<p class="note">The images share one stretch. Hatched: no data.</p>'
    if summary["whole"] is not None:
        yield html.picture(drawn["scatter"], "Density of fused over reference values, by band, with the 1:1 line")
        yield html.picture(drawn["histograms"], "Histograms of the fused and the reference image, by band")
        yield '<p class="note">Scatter plots and histograms are of the pixels of the maps.</p>'
    yield from _zones(summary, drawn)
    yield html.listed(summary["notes"])
    yield "<h2>Inputs and settings</h2>"
    yield html.terms({**summary["inputs"], **summary["settings"]})
    yield "<h2>Metrics</h2>"
    shown = {**(ALL if summary["whole"] is not None else {}), **INDICES}
    yield html.terms({metric.title: f"{metric.definition} {_BEST[metric.best]}" for metric in shown.values()})


def _scores(summary: Summary) -> Iterator[str]:
    for head, metrics in (("Agreement with the reference", {**METRICS, **MORE}), ("By other definitions", OTHER)):
        yield f"<h2>{head}</h2>"
        yield html.table(["Metric", "Mean", *summary["bands"]], _lines(summary, metrics))
    yield html.listed(summary["whole"]["reasons"])


def _lines(summary: Summary, metrics: Mapping[str, Metric]) -> Iterator[list[str]]:
    for name, metric in metrics.items():
        score = summary["whole"][name]
        bands = [html.number(value, ".6g") for value in score["bands"]] or [""] * len(summary["bands"])
        yield [metric.title, html.number(score["mean"], ".6g"), *bands]


def _without_reference(summary: Summary) -> Iterator[str]:
    found = {name: value for name, value in summary["without_reference"].items() if value is not None}
    if found:
        yield "<h2>Without a reference</h2>"
        yield html.table(["Index", "Value"], ([INDICES[name].title, f"{value:.6g}"] for name, value in found.items()))


def _zones(summary: Summary, drawn: Mapping[str, bytes]) -> Iterator[str]:
    if not summary["zones"]:
        return
    rows, columns = summary["shape"]
    yield "<h2>Zones</h2>"
    if "zones" in drawn:
        yield html.picture(drawn["zones"], "Root mean square error of every zone and band")
    yield html.table(
        ["Zone", "Pixels", *(ALL[name].title for name in _BY_ZONE)],
        (
            [label, round(scores["valid"] * rows * columns), *(html.number(scores[name]["mean"]) for name in _BY_ZONE)]
            for label, scores in summary["zones"].items()
        ),
    )
    yield '<p class="note">Means of the bands. A window or block belongs to the zone of its centre.</p>'
