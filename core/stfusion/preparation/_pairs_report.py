"""The report on pairs: one HTML page with a course over time and pictures, and the numbers as CSV and JSON."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from stfusion.assessment import _html as html
from stfusion.assessment import _picture as picture
from stfusion.declaration import Scalar
from stfusion.preparation._check_pairs import Found
from stfusion.preparation._pair_figures import BIAS_APART, ENOUGH_PAIRS, NEIGHBOURS, SCALE_APART, Pair
from stfusion.raster.source import Array
from stfusion.run import Context

Summary = dict[str, Any]

#: Pictures that the page has at most, and pixels along one of them.
_PICTURES, _SIDE = 12, 200
#: Ratio of coarse to fine values from which on their units are said to differ.
_UNITS_APART = 5.0


def write_results(context: Context, found: Found, folder: Path) -> None:
    """Write report.html, pairs.csv and results.json."""
    summary = _summary(context, found)
    text = json.dumps(summary, indent=2, allow_nan=False, ensure_ascii=False)
    (folder / "results.json").write_text(text + "\n", encoding="utf-8")
    _write_table(summary, folder / "pairs.csv")
    html.write_page("Check of fine and coarse images", _page(context, found, summary), folder / "report.html")


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _summary(context: Context, found: Found) -> Summary:
    """All that the report says, as plain values for JSON."""
    first = next(iter(found.stacks.fine.values()))
    names = [name or f"Band {number}" for number, name in enumerate(first.names, 1)]
    return {
        "bands": names,
        "bad": {sensor: {str(day): why for day, why in sorted(bad.items())} for sensor, bad in found.bad.items()},
        "unjudged": {
            sensor: {str(day): why for day, why in sorted(days.items())} for sensor, days in found.unjudged.items()
        },
        "displacement": _displacement(found),
        "pairs": [_pair(pair, names) for pair in found.pairs],
        "dates": {
            sensor: {
                str(day): {
                    "file": Path(getattr(found.stacks, sensor)[day].path).name,
                    "valid": found.valid[sensor][day],
                    "neighbours": _known(standing.support),
                    "shared": _known(standing.shared),
                }
                for day, standing in days.items()
            }
            for sensor, days in found.standings.items()
        },
        "settings": {
            "Fine pixels along a pixel of the comparison": round(found.stacks.ratio, 3),
            **{option.title: _word(context.options[option.id]) for option in context.method.options},
        },
    }


def _word(value: Scalar) -> Scalar:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else value


def _pair(pair: Pair, names: list[str]) -> Summary:
    rows, columns = pair.shift_in_fine()
    return {
        "fine": str(pair.fine), "coarse": str(pair.coarse), "days": pair.days, "valid": pair.valid[2],
        "correlation": _known(pair.correlation), "faults": [fault.text for fault in pair.faults],
        "shift": {
            "rows": _known(rows), "columns": _known(columns),
            "error": _known(max(pair.shift.error) * pair.ratio), "confidence": pair.shift.confidence,
            "sure": pair.shift.sure, "displaced": pair.shift.moved, "reason": pair.shift.reason,
        },
        "bands": {
            name: {key: _known(value) for key, value in band._asdict().items()}
            for name, band in zip(names, pair.bands, strict=True)
        },
    }


def _displacement(found: Found) -> Summary:
    """The displacement that the sure matches have in common."""
    sure = [pair for pair in found.pairs if pair.shift.sure]
    moved = [pair for pair in sure if pair.shift.moved]
    middle = np.median([pair.shift_in_fine() for pair in sure], axis=0) if sure else (np.nan, np.nan)
    return {
        "sure": len(sure), "displaced": len(moved), "rows": _known(middle[0]), "columns": _known(middle[1]),
        "systematic": len(moved) * 2 > len(sure),
    }


def _write_table(summary: Summary, path: Path) -> None:
    """A line for every pair and band, and one for every date that is in no pair."""
    figures = ("correlation", "moved", "bias", "scale", "slope", "offset")
    with path.open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream)
        table.writerow([
            "fine_date", "coarse_date", "days", "band", "valid", *figures, "rows", "columns", "confidence", "sure",
            "fine_bad", "coarse_bad",
        ])
        bad = summary["bad"]
        for pair in summary["pairs"]:
            shift = [pair["shift"][key] for key in ("rows", "columns", "confidence", "sure")]
            marks = [bad["fine"].get(pair["fine"], ""), bad["coarse"].get(pair["coarse"], "")]
            for name, band in pair["bands"].items():
                values = [band[key] for key in figures]
                table.writerow(
                    [pair["fine"], pair["coarse"], pair["days"], name, pair["valid"], *values, *shift, *marks]
                )
        for sensor, place in (("fine", 0), ("coarse", 1)):
            for day in sorted(set(summary["dates"][sensor]) - {pair[sensor] for pair in summary["pairs"]}):
                line = [""] * (len(figures) + 11)
                line[place], line[4] = day, summary["dates"][sensor][day]["valid"]
                line[-2 + place] = bad[sensor].get(day, "")
                table.writerow(line)


def _page(context: Context, found: Found, summary: Summary) -> Iterator[str]:
    yield from _verdict(summary)
    yield "<h2>Over time</h2>"
    limit = float(context.options["least_correlation"])
    yield html.picture(picture.timeline(_lines(found), limit, "Correlation"), "Correlation of every date")
    yield (
        '<p class="note">Fine with coarse: a fine date with its coarse one, median of the bands, after a sure '
        "displacement is mended. With neighbours: the highest correlation with an image of the same sensor before or "
        "after. Red: marked as bad.</p>"
    )
    yield "<h2>Pairs</h2>"
    yield html.table(
        ["Fine", "Coarse", "Days", "Valid", "Correlation", "Down", "Right", "Error", "Confidence", "Verdict"],
        (_pair_line(pair, summary) for pair in summary["pairs"]), words=2,
    )
    yield (
        '<p class="note">Down and right: fine pixels by which the coarse image has to be moved to lie on the fine one; '
        "a dash where no match is sure. Confidence: how far the match stands out from chance and how far windows and "
        "bands agree on it, the less of the two.</p>"
    )
    yield from _by_band(summary)
    yield from _dates(summary)
    yield from _pictures(found)
    yield "<h2>How dates are judged</h2>"
    yield html.terms(_rules(context))
    yield "<h2>Settings</h2>"
    yield html.terms(summary["settings"])


def _verdict(summary: Summary) -> Iterator[str]:
    counts = {sensor: len(days) for sensor, days in summary["dates"].items()}
    yield f"<p>{counts['fine']} fine and {counts['coarse']} coarse dates, {len(summary['pairs'])} pairs.</p>"
    marked = [f"{sensor.capitalize()} image of {day}: {why}." for sensor, days in summary["bad"].items()
              for day, why in days.items()]
    yield "<h2>Bad dates</h2>"
    yield html.listed(marked) or "<p>None.</p>"
    open_days = [f"{sensor.capitalize()} image of {day}: {why}." for sensor, days in summary["unjudged"].items()
                 for day, why in days.items()]
    if open_days:
        yield "<h3>Not judged</h3>"
        yield html.listed(open_days)
    yield "<h2>Displacement</h2>"
    shift = summary["displacement"]
    if not shift["sure"]:
        yield "<p>No pair matches surely, so that nothing is known of a displacement.</p>"
    else:
        what = (
            "Most of them are displaced beyond their error: mend it with 'Align images'." if shift["systematic"]
            else "Most of them are not displaced beyond their error: leave the images where they are."
        )
        yield (
            f"<p>Of {shift['sure']} sure matches the median is {shift['rows']:+.2f} fine pixels down and "
            f"{shift['columns']:+.2f} to the right. {what}</p>"
        )
    ratios = [band["scale"] for pair in summary["pairs"] for band in pair["bands"].values() if band["scale"]]
    if ratios and not 1 / _UNITS_APART < float(np.median(ratios)) < _UNITS_APART:
        yield (
            f"<p>Coarse values vary {float(np.median(ratios)):.3g} times as much as fine ones: their units seem to "
            "differ; convert one of them with 'Harmonise images'.</p>"
        )


def _lines(found: Found) -> dict[str, list[tuple[date, float, bool]]]:
    lines = {
        "Fine with coarse": [
            (pair.fine, pair.correlation, pair.fine in found.bad["fine"]) for pair in found.pairs
        ]
    }
    for sensor, days in found.standings.items():
        lines[f"{sensor.capitalize()} with neighbours"] = [
            (day, standing.support, day in found.bad[sensor]) for day, standing in days.items()
        ]
    return lines


def _pair_line(pair: Summary, summary: Summary) -> list[str]:
    shift, marked = pair["shift"], [sensor for sensor in ("fine", "coarse") if pair[sensor] in summary["bad"][sensor]]
    places = [html.number(shift[key] if shift["sure"] else None, "+.2f") for key in ("rows", "columns")]
    verdict = f"bad ({' and '.join(marked)})" if marked else "displaced" if shift["displaced"] else "good"
    error = html.number(shift["error"] if shift["sure"] else None, ".2f")
    return [
        pair["fine"], pair["coarse"], f"{pair['days']:+d}", f"{pair['valid']:.1%}",
        html.number(pair["correlation"], ".3f"), *places, error, f"{shift['confidence']:.2f}", verdict,
    ]


def _by_band(summary: Summary) -> Iterator[str]:
    yield "<h3>By band</h3>"
    heads = ["Correlation", "Correlation, moved", "Bias", "Scale", "Slope", "Offset"]
    keys = ("correlation", "moved", "bias", "scale", "slope", "offset")
    yield html.table(
        ["Fine", "Band", *heads],
        (
            [pair["fine"], name, *(html.number(band[key]) for key in keys)]
            for pair in summary["pairs"] for name, band in pair["bands"].items()
        ),
        words=2,
    )
    yield (
        '<p class="note">At the coarse resolution. Bias: mean of coarse - fine. Scale: ratio of their standard '
        "deviations. Slope and offset: regression of coarse on fine.</p>"
    )


def _dates(summary: Summary) -> Iterator[str]:
    for sensor, days in summary["dates"].items():
        yield f"<h2>{sensor.capitalize()} dates</h2>"
        other = "coarse" if sensor == "fine" else "fine"
        partners = {day: [pair[other] for pair in summary["pairs"] if pair[sensor] == day] for day in days}
        yield html.table(
            ["Date", "File", "Valid", "Neighbours", "Shared", "Compared with", "Verdict"],
            (
                [
                    day, each["file"], f"{each['valid']:.1%}", html.number(each["neighbours"], ".3f"),
                    html.number(each["shared"], ".1%"), ", ".join(partners[day]) or "-",
                    "bad" if day in summary["bad"][sensor]
                    else "not judged" if day in summary["unjudged"][sensor] else "good",
                ]
                for day, each in days.items()
            ),
            words=2,
        )


def _pictures(found: Found) -> Iterator[str]:
    """The marked images and those that they were compared with, each with a stretch of its own."""
    panels: dict[tuple[str, date], picture.Panel] = {}
    for pair in found.pairs:
        if pair.faults:
            for sensor, day in (("fine", pair.fine), ("coarse", pair.coarse)):
                panels.setdefault((sensor, day), _panel(found, sensor, day))
    for sensor, bad in found.bad.items():
        for day in bad:
            panels.setdefault((sensor, day), _panel(found, sensor, day))
    shown = list(panels.values())[:_PICTURES]
    if shown:
        yield "<h2>Marked images</h2>"
        bands = picture.default_bands(len(shown[0].image))
        look = picture.Look(bands, [(0.0, 1.0)] * len(bands), 1.0, "")
        yield html.picture(picture.maps(shown, look), "Images that are marked, and their partners")
        more = f" {len(panels) - len(shown)} more are not shown." if len(panels) > len(shown) else ""
        yield f'<p class="note">Each with a stretch of its own. Hatched: no data.{more}</p>'


def _panel(found: Found, sensor: str, day: date) -> picture.Panel:
    values: Array = getattr(found.stacks, sensor)[day].sample.values
    thin = max(1, -(-max(values.shape[1:]) // _SIDE))
    values = values[:, ::thin, ::thin].copy()
    for band in values:
        valid = band[~np.isnan(band)]
        if valid.size:
            low, high = np.percentile(valid, picture.STRETCH)
            band[:] = (band - low) / (high - low if high > low else 1.0)
    mark = " (bad)" if day in found.bad[sensor] else ""
    return picture.Panel(f"{sensor.capitalize()} {day}{mark}", values)


def _rules(context: Context) -> dict[str, str]:
    least, valid = (float(context.options[name]) for name in ("least_correlation", "least_valid"))
    return {
        "Too little in common": f"The median correlation of the bands is below {least:g}, so that one image explains "
        f"less than {least**2:.0%} of the variance of the other. Of the two, the one is to blame that resembles the "
        f"images of its own sensor less, up to {NEIGHBOURS} dates before and after.",
        "Too few pixels": f"Less than {valid:.0%} of the pixels are valid in both images.",
        "Units of its own": f"Among at least {ENOUGH_PAIRS} pairs, the scale of a band differs from the median of the "
        f"dates by a factor of more than {SCALE_APART:g}, or the bias by more than {BIAS_APART:g} standard deviations "
        "of the fine image.",
        "Coarse dates without a fine one": "An image is bad that resembles none of its neighbours in time (correlation "
        f"below {least:g}), or that shares less than half of its variance with them although they agree with one "
        "another (extended triple collocation: r(before) r(after) / r(before, after)).",
        "Displacement": "It makes no date bad. Where a match is sure, correlations are judged after it is mended.",
    }
