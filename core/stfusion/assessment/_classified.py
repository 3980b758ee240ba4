"""The assessment of a classification at work: count, match, measure, estimate, and write the report."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from stfusion import __version__
from stfusion.assessment._accuracy import Accuracy, measure_accuracy, measure_shares
from stfusion.assessment._class_layers import Features, Layers, open_layers
from stfusion.assessment._classified_report import write_numbers, write_report
from stfusion.assessment._confusion import Confusion
from stfusion.assessment._counting import Counted, Unit, count
from stfusion.assessment._estimates import Estimates, Sample, estimate
from stfusion.assessment._matching import Match, Rule, match_clusters
from stfusion.classification._legend import Legend, called
from stfusion.classification._paletted import pixel_area, style, table
from stfusion.classification._reclassified import Lookup
from stfusion.folder import whole_folder
from stfusion.raster.grids import Box
from stfusion.raster.output import Content, Output, provenance
from stfusion.raster.statistics import part_shape
from stfusion.raster.tiles import Tile, run_tiles
from stfusion.run import Context

Codes = NDArray[np.uint8]

#: Agreement and disagreement: their codes, names and colours.
_AGREEMENT = Legend({1: "Agreement", 2: "Disagreement"}, {1: (171, 217, 160), 2: (202, 32, 38)})
_SQUARE_METRES = 10_000.0


@dataclass(frozen=True)
class Found:
    """What an assessment found; ``match`` and ``estimates`` are None where there are none."""

    layers: Layers
    counted: Counted
    confusion: Confusion
    accuracy: Accuracy
    match: Match | None
    estimates: Estimates | None


def run(context: Context) -> dict[str, Any]:
    """Assess the classification that the job orders; the result has the folder, the report and the numbers.

    Raises
    ------
    UserError
        A layer or its classes cannot be used.
    """
    output, agreement = context.job.outputs["output"], context.job.outputs.get("agreement")
    with whole_folder(output, context.stop) as part:
        count_of_stages = 3 if agreement else 2
        context.reporter.stage("Counting", 1, count_of_stages)
        found = _assess(context, 50.0 if agreement else 95.0)
        if agreement:
            context.reporter.stage("Writing the agreement", 2, count_of_stages)
            _write_agreement(context, found, agreement)
        context.reporter.stage("Writing the report", count_of_stages, count_of_stages)
        summary = _summary(context, found)
        for note in summary["notes"]:
            context.reporter.warning(note)
        write_numbers(summary, found.confusion, part)
        write_report(summary, found.confusion, part / "report.html")
    numbers = {name: found.accuracy.overall[name] for name in ("overall_accuracy", "kappa", "mean_iou")}
    if found.estimates is not None:
        numbers["estimated_accuracy"] = found.estimates.overall.value
    known = {name: value for name, value in numbers.items() if not math.isnan(value)}
    result = {"output": output, "report": str(Path(output) / "report.html"), **known}
    return {**result, "agreement": agreement} if agreement else result


def _assess(context: Context, end: float) -> Found:
    options, matching = context.options, str(context.options["matching"])
    layers = open_layers(context, clusters=matching != "none")
    for sentence in layers.about:
        context.reporter.log(sentence)
    counted = count(context, layers, cast(Unit, options["polygon_unit"]), sizes=False, span=(0.0, end))
    match = None if matching == "none" else match_clusters(counted.confusion, cast(Rule, matching))
    confusion = counted.confusion if match is None else match.after
    estimates = _estimate(counted, layers, match, float(options["level"]))
    return Found(layers, counted, confusion, measure_accuracy(confusion), match, estimates)


def _estimate(counted: Counted, layers: Layers, match: Match | None, level: float) -> Estimates | None:
    """The estimates where the reference is a sample; a raster is all that there is to compare."""
    places = counted.places
    if places is None:
        return None
    if layers.strata is None and match is None:
        return estimate(Sample.by_map_class(counted.confusion, counted.strata), level)
    mapped = places.mapped if match is None else Lookup(match.names)(places.mapped)
    return estimate(Sample.of(places.strata, mapped, places.reference, counted.strata, places.numbers), level)


def _write_agreement(context: Context, found: Found, path: str) -> None:
    """Write the raster of agreement, with names and colours."""
    layers, counts = found.layers, {1: 0, 2: 0}
    lookup = None if found.match is None else Lookup(found.match.names)
    content = Content.of_classes("Agreement", dict(_AGREEMENT.colours))
    with Output(path, layers.source, provenance(context, None), context.stop, content) as sink:

        def look(tile: Tile) -> Codes:
            mapped = layers.mapped.read(tile.inner)[0]
            if lookup is not None:
                mapped = lookup(mapped)
            reference = _reference(layers, tile.inner)
            tile.advance(1.0)
            known = ~np.isnan(mapped) & ~np.isnan(reference)
            return np.where(known, np.where(mapped == reference, 1, 2), 0).astype(np.uint8)

        def write(box: Box, codes: Codes) -> None:
            for code in counts:
                counts[code] += int(np.count_nonzero(codes == code))
            sink.write_stored(box, codes[None])

        run_tiles(context, layers.mapped.shape, part_shape(layers.mapped), 0, look, write, (50.0, 95.0))
        classes = _AGREEMENT.classes(counts)
        sink.finish(context.threads, style(classes), table(classes, (), pixel_area(layers.source.grid)))


def _reference(layers: Layers, box: Box) -> NDArray[np.float32]:
    """The classes of the reference in a window (rows, columns), NaN where it has none."""
    if not isinstance(layers.reference, Features):
        read: NDArray[np.float32] = layers.reference.read(box)[0]
        return read
    classes = np.full(box.shape, np.nan, np.float32)
    places = layers.reference.shapes.places(box)
    classes[places.rows, places.columns] = layers.reference.codes[places.features]
    return classes


def _summary(context: Context, found: Found) -> dict[str, Any]:
    """All that the report says, as plain values for JSON."""
    layers, counted, confusion = found.layers, found.counted, found.confusion
    title, reference = layers.titles
    area = pixel_area(layers.source.grid)
    return {
        "map": {"title": title, "path": layers.source.path},
        "reference": {"title": reference, "kind": _kind(layers, context)},
        "strata": None if layers.strata is None else str(layers.strata.source),
        "labels": list(confusion.labels),
        "names": {str(label): layers.legend.names.get(label, str(label)) for label in confusion.labels},
        "matrix": {"rows": "map", "columns": "reference", "counts": confusion.counts.tolist()},
        "orientation": context.options["rows"],
        "total": confusion.total,
        "without_map": confusion.without_map,
        "without_reference": confusion.without_reference,
        "accuracy": found.accuracy.as_dict(),
        "matching": None if found.match is None else _matching(context, found.match),
        "estimates": None if found.estimates is None else _estimates(found.estimates, counted, area),
        "about": layers.about,
        "notes": list(_notes(context, found)),
        "settings": {
            "Options": ", ".join(f"{key} = {value}" for key, value in context.options.items() if value != ""),
            "Engine": f"stfusion {__version__}",
        },
    }


def _kind(layers: Layers, context: Context) -> str:
    """What is counted, in words."""
    if not isinstance(layers.reference, Features):
        return "pixels"
    if layers.reference.are_points:
        return "points"
    return "pixels of polygons" if context.options["polygon_unit"] == "pixels" else "polygons"


def _matching(context: Context, match: Match) -> dict[str, Any]:
    return {
        "rule": context.options["matching"],
        "pairs": {str(cluster): label for cluster, label in match.pairs.items()},
        "unmatched": {str(cluster): label for cluster, label in match.unmatched.items()},
        "purity": {str(cluster): share for cluster, share in match.purity.items()},
        "before": {"labels": list(match.before.labels), "counts": match.before.counts.tolist()},
    }


def _estimates(estimates: Estimates, counted: Counted, area: float | None) -> dict[str, Any]:
    """The estimates with areas, in hectares where the size of a pixel is known and else in pixels."""
    unit = 1.0 if area is None else area / _SQUARE_METRES
    return {
        **estimates.as_dict(),
        "weighted": measure_shares(estimates.shares, estimates.labels).as_dict()["overall"],
        "area_unit": "pixels" if area is None else "ha",
        "areas": [
            {name: None if math.isnan(value) else value for name, value in found._asdict().items()}
            for found in estimates.areas(unit)
        ],
        "mapped_areas": {str(label): number * unit for label, number in sorted(counted.sizes.items())},
        "strata": {str(label): number for label, number in sorted(counted.strata.items())},
    }


def _notes(context: Context, found: Found) -> list[str]:
    """What may spoil the result, in sentences."""
    layers, counted, confusion, notes = found.layers, found.counted, found.confusion, []
    title, reference = layers.titles
    rows, columns = confusion.counts.sum(axis=1), confusion.counts.sum(axis=0)
    for one, other, has, lacks in ((title, reference, rows, columns), (reference, title, columns, rows)):
        alone = [label for label, a, b in zip(confusion.labels, has, lacks, strict=True) if a and not b]
        if alone:
            words = called(alone, layers.legend.names)
            notes.append(f"Of the places compared, {one} has class {words}, which {other} has nowhere.")
    notes += layers.about_missed(counted.missed)
    if found.match is not None:
        notes.append(
            "Clusters were matched to classes on the reference that they are then assessed on, which flatters the map; "
            "match on one sample with 'Match classes' and assess on another."
        )
    if found.match is not None and found.match.unmatched:
        left = ", ".join(map(str, found.match.unmatched))
        notes.append(f"No class was left for cluster {left}; its pixels count as wrong.")
    if _kind(layers, context) == "pixels of polygons":
        notes.append(
            "Pixels of one polygon are alike, so that the standard errors, which take them for independent, are too "
            "small; count by polygons, or label points of 'Sampling design'."
        )
    if layers.strata is not None and counted.places is None:
        notes.append(
            f"{layers.strata.source} serves estimates from points or polygons; the reference is a raster, all of which "
            "is compared, and the strata are left out."
        )
    if layers.strata is not None and counted.places is not None:
        outside = int(counted.places.numbers[np.isnan(counted.places.strata)].sum())
        if outside:
            notes.append(f"{outside} place(s) have no stratum and are left out of the estimates.")
    return notes
