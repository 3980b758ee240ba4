"""The report on the classes of fused images: one HTML file, the numbers as JSON and CSV, and the model."""

from __future__ import annotations

import csv
import json
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stfusion import __version__
from stfusion.assessment import _html as html
from stfusion.assessment import _picture as picture
from stfusion.assessment._accuracy import OVERALL, PER_CLASS
from stfusion.classification._model import Colour
from stfusion.run import Context

if TYPE_CHECKING:
    from stfusion.assessment._fused_classes import Scores, Study

Summary = dict[str, Any]

TITLES = {
    "mean_iou": OVERALL["mean_iou"].title, "overall_accuracy": OVERALL["overall_accuracy"].title,
    "kappa": OVERALL["kappa"].title, "adjusted_rand": "Adjusted Rand index",
}
_CONTROL = "Control: the true image clustered again"
#: The grey of pixels that have the class of the true image.
_SAME = 235


def summarise(context: Context, study: Study) -> Summary:
    """All that the report says, as plain values for JSON."""
    truth, model, options = study.images[""], study.model, context.options
    images = {
        name: {"frozen": _plain(scores), "refitted": _spread(study.refitted.get(name, []))}
        for name, scores in study.frozen.items()
    }
    ranked = sorted(study.frozen, key=lambda name: -study.frozen[name].overall["mean_iou"])
    return {
        "reference": truth.title,
        "shape": list(truth.shape),
        "bands": list(truth.names),
        "compared": study.compared,
        "share": study.compared / (truth.shape[0] * truth.shape[1]),
        "repeats": options["repeats"],
        "classes": [
            {"id": each.id, "name": each.label, "share": each.share, "colour": _hexadecimal(each.colour)}
            for each in model.classes
        ],
        "order": ranked,
        "images": images,
        "control": _spread(study.refitted[""]),
        "notes": list(study.notes),
        "inputs": {"True image": truth.title, **{name: study.images[name].title for name in study.frozen}},
        "settings": {
            "Number of classes": options["classes"], "Standardisation": options["standardisation"],
            "Seed": context.job.seed, "Seeds of the repetitions":
            f"{context.job.seed + 1} to {context.job.seed + int(options['repeats'])}",
            "Restarts": options["restarts"], "Sample": f"{model.sampled} pixels of an image",
            "Matching of repetitions": "one to one, as many agreeing pixels as possible (Hungarian method)",
            "Engine": f"stfusion {__version__}",
        },
    }


def _hexadecimal(colour: Colour) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _plain(scores: Scores) -> dict[str, Any]:
    values = {name: None if math.isnan(value) else value for name, value in scores.overall.items()}
    return {**values, "iou": [None if math.isnan(value) else value for value in scores.iou]}


def _spread(repetitions: Sequence[Scores]) -> dict[str, Any] | None:
    """Mean, standard deviation (of a sample), least and largest value of every measure over the repetitions."""
    if not repetitions:
        return None
    return {name: _statistics([each.overall[name] for each in repetitions]) for name in TITLES}


def _statistics(values: Sequence[float]) -> dict[str, Any]:
    """None where a value is unknown."""
    if any(math.isnan(value) for value in values):
        return dict.fromkeys(("mean", "sd", "min", "max"))
    return {"mean": statistics.fmean(values), "sd": statistics.stdev(values), "min": min(values), "max": max(values)}


def write_results(summary: Summary, study: Study, folder: Path) -> None:
    """Write report.html, results.json, results.csv and model.json."""
    text = json.dumps(summary, indent=2, allow_nan=False, ensure_ascii=False)
    (folder / "results.json").write_text(text + "\n", encoding="utf-8")
    (folder / "model.json").write_text(study.model.to_json(), encoding="utf-8")
    _write_table(summary, folder / "results.csv")
    html.write_page("Classes of fused images", _page(summary, study), folder / "report.html")


def _write_table(summary: Summary, path: Path) -> None:
    """A line for every image and way of clustering, and for the control."""
    classes = [f"IoU {each['name']}" for each in summary["classes"]]
    with path.open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["image", "clustering", *TITLES, *(f"{name} sd" for name in TITLES), *classes])
        for name in summary["order"]:
            found = summary["images"][name]
            frozen = found["frozen"]
            table.writerow([name, "frozen", *(frozen[key] for key in TITLES), *[""] * len(TITLES), *frozen["iou"]])
            _write_spread(table, name, found["refitted"])
        _write_spread(table, "control", summary["control"])


def _write_spread(table: Any, name: str, spread: Mapping[str, Any] | None) -> None:
    if spread is not None:
        means, deviations = ([spread[key][what] for key in TITLES] for what in ("mean", "sd"))
        table.writerow([name, "again", *means, *deviations])


def _page(summary: Summary, study: Study) -> Iterator[str]:
    rows, columns = summary["shape"]
    yield f"<p>{escape(_verdict(summary))}</p>"
    yield f"<p>Compared on {summary['compared']} of {columns} x {rows} pixels ({summary['share']:.1%}): those that are "
    yield "valid in the true image and in all fused ones.</p>"
    yield html.listed(summary["notes"])
    yield html.table(["Image", *TITLES.values()], _overall(summary))
    yield f'<p class="note">The control is the mean of {summary["repeats"]} repetitions &#177; their standard '
    yield "deviation, with the least mean IoU. Frozen classes need no such repetition: the centres are the same for "
    yield "all images.</p>"
    yield from _again(summary)
    yield "<h2>Class maps</h2>"
    yield html.picture(_maps(study), "The class maps of the true and the fused images")
    yield '<p class="note">' + " &#160; ".join(
        f'<span style="color:{each["colour"]}">&#9632;</span> {escape(each["name"])}' for each in summary["classes"]
    ) + ". Hatched: not compared.</p>"
    yield "<h2>Where the maps differ</h2>"
    yield html.picture(_differences(study), "The pixels of every fused image whose class differs, in its colour")
    yield '<p class="note">Grey: the class of the true image. Other pixels have the colour of the class that they '
    yield "have in the fused image instead. Hatched: not compared.</p>"
    yield from _classes(summary)
    yield "<h2>Images and settings</h2>"
    yield html.terms({**summary["inputs"], **summary["settings"]})
    yield "<h2>Measures</h2>"
    yield html.terms({
        **{OVERALL[name].title: OVERALL[name].definition for name in TITLES if name in OVERALL},
        "IoU": PER_CLASS["iou"].definition,
        TITLES["adjusted_rand"]:
            "How alike two divisions into classes are, whatever their names: 1 where they are the same, about 0 where "
            "they agree by chance (Hubert and Arabie 1985, doi:10.1007/BF01908075).",
    })


def _verdict(summary: Summary) -> str:
    best, control = summary["order"][0], summary["control"]["mean_iou"]
    value = summary["images"][best]["frozen"]["mean_iou"]
    lead = ""
    if len(summary["order"]) > 1:
        second = summary["order"][1]
        lead = f", {value - summary['images'][second]['frozen']['mean_iou']:.4f} ahead of {second}"
    return (
        f"With the classes of the true image, {best} agrees best: mean IoU {value:.4f}{lead}. The true image clustered "
        f"again agrees with itself by {control['mean']:.4f} \u00b1 {control['sd']:.4f} (least {control['min']:.4f}): "
        "scores of maps that are clustered one by one differ by as much with no error of fusion."
    )


def _overall(summary: Summary) -> Iterator[list[str]]:
    for name in summary["order"]:
        frozen = summary["images"][name]["frozen"]
        yield [name, *(html.number(frozen[key], ".4f") for key in TITLES)]
    yield _line(_CONTROL, summary["control"])


def _line(name: str, spread: Mapping[str, Any]) -> list[str]:
    cells = [" \u00b1 ".join(html.number(spread[key][what], ".4f") for what in ("mean", "sd")) for key in TITLES]
    cells[0] += f" (least {spread['mean_iou']['min']:.4f})"
    return [name, *cells]


def _again(summary: Summary) -> Iterator[str]:
    lines = [(name, summary["images"][name]["refitted"]) for name in summary["order"]]
    lines = [(name, spread) for name, spread in lines if spread is not None]
    if lines:
        yield "<h2>Every image clustered by itself</h2>"
        yield html.table(
            ["Image", *TITLES.values()], [*(_line(*line) for line in lines), _line(_CONTROL, summary["control"])]
        )
        yield '<p class="note">The clusters of every repetition are matched to the classes of the true image. A lead '
        yield "that is smaller than the spread of the control says nothing of the images.</p>"


def _classes(summary: Summary) -> Iterator[str]:
    yield "<h2>Classes</h2>"
    yield html.table(
        ["Class", "Share", *(f"IoU {name}" for name in summary["order"])],
        (
            [
                each["name"], f"{each['share']:.2%}",
                *(html.number(summary["images"][name]["frozen"]["iou"][place], ".4f") for name in summary["order"]),
            ]
            for place, each in enumerate(summary["classes"])
        ),
    )


def _panel(title: str, study: Study, labels: NDArray[np.uint8]) -> picture.Panel:
    """A map in the colours of its classes; 0 is no data, and what lies above the classes is the same as the truth."""
    colours = np.array([(np.nan,) * 3, *study.model.colours.values(), (_SAME,) * 3], np.float64)
    return picture.Panel(title, colours[labels].transpose(2, 0, 1))


_LOOK = picture.Look((1, 2, 3), [(0.0, 255.0)] * 3, 1.0, "")


def _maps(study: Study) -> bytes:
    panels = [_panel(name or "True image", study, labels) for name, labels in study.maps.items()]
    return picture.maps(panels, _LOOK)


def _differences(study: Study) -> bytes:
    truth, same = study.maps[""], np.uint8(len(study.model.classes) + 1)
    panels = [
        _panel(name, study, np.where((labels == truth) & (truth > 0), same, labels).astype(np.uint8))
        for name, labels in study.maps.items() if name
    ]
    return picture.maps(panels, _LOOK)
