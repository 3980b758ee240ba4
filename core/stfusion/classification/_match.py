"""Match classes at work: count the map against its reference, match, and write the renamed map and the table."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, cast

from stfusion.assessment._accuracy import measure_accuracy
from stfusion.assessment._class_layers import Layers, open_layers
from stfusion.assessment._counting import Counted, count
from stfusion.assessment._matching import Match, Rule, compare_partitions, match_clusters
from stfusion.classification._class_table import Table
from stfusion.classification._legend import Legend, called
from stfusion.classification._reclassified import write_classes
from stfusion.folder import whole_file
from stfusion.run import Context

#: Grey of the first cluster without a class, and how much the next ones are darker.
_GREY, _DARKER = 200, 24


def run(context: Context) -> dict[str, Any]:
    """Match as the job orders; the result has its files and how well the map and the reference agree.

    Raises
    ------
    UserError
        A layer or its classes cannot be used.
    """
    options, outputs = context.options, context.job.outputs
    context.reporter.stage("Counting", 1, 2)
    layers = open_layers(context, clusters=True)
    for sentence in layers.about:
        context.reporter.log(sentence)
    counted = count(context, layers, "pixels", sizes=True, span=(0.0, 50.0))
    rule, many = cast(Rule, options["rule"]), bool(options["many_to_one"])
    match = match_clusters(counted.confusion, rule, many, counted.sizes, layers.legend.names)
    for note in _notes(layers, counted, match):
        context.reporter.warning(note)
    numbers = _numbers(match)
    table = Table(match.names, layers.legend | _legend(match))
    context.reporter.stage("Writing the map", 2, 2)
    with ExitStack() as files:
        if outputs.get("table"):
            text = json.dumps(_plain(context, layers, match, table, numbers), indent=1, ensure_ascii=False)
            files.enter_context(whole_file(outputs["table"], context.stop)).write_text(f"{text}\n", encoding="utf-8")
        write_classes(
            context, layers.mapped, counted.sizes, table.names, table.legend, outputs["output"], (50.0, 95.0)
        )
    known = {name: value for name, value in numbers.items() if not math.isnan(value)}
    return {**outputs, **known, "unmatched": len(match.unmatched)}


def _numbers(match: Match) -> dict[str, float]:
    """How well both agree."""
    overall, partitions = measure_accuracy(match.after).overall, compare_partitions(match.before)
    return {
        "agreement": overall["overall_accuracy"],
        "mean_iou": overall["mean_iou"],
        "adjusted_rand": partitions.adjusted_rand,
        "v_measure": partitions.v_measure,
    }


def _legend(match: Match) -> Legend:
    """Names and greys of the clusters without a class."""
    greys = {label: max(0, _GREY - _DARKER * index) for index, label in enumerate(match.unmatched.values())}
    return Legend(
        {label: f"Cluster {cluster}" for cluster, label in match.unmatched.items()},
        {label: (grey, grey, grey) for label, grey in greys.items()},
    )


def _plain(
    context: Context, layers: Layers, match: Match, table: Table, numbers: dict[str, float]
) -> dict[str, Any]:
    """The table with what the match was made of, as plain values for JSON."""
    title, reference = layers.titles
    return {
        **table.as_dict(match.purity),
        "unmatched": list(match.unmatched),
        "map": title,
        "reference": reference,
        "options": dict(context.options),
        "agreement": {name: None if math.isnan(value) else value for name, value in numbers.items()},
        "matrix": {
            "rows": "clusters", "columns": "reference", "labels": list(match.before.labels),
            "counts": match.before.counts.tolist(),
        },
    }


def _notes(layers: Layers, counted: Counted, match: Match) -> Iterator[str]:
    """What may be other than expected, in sentences."""
    title, reference = layers.titles
    yield from layers.about_missed(counted.missed)
    unseen = [cluster for cluster in match.unmatched if cluster not in match.purity]
    left = [cluster for cluster in match.unmatched if cluster in match.purity]
    for clusters, why in ((left, "no class was left for"), (unseen, f"{reference} has no place in")):
        if clusters:
            new = ", ".join(str(match.unmatched[cluster]) for cluster in clusters)
            yield f"Of {title}, {why} cluster {', '.join(map(str, clusters))}, which gets the number {new}."
    places = match.before.counts.sum(axis=0).tolist()
    classes = [label for label, number in zip(match.before.labels, places, strict=True) if number]
    lost = [label for label in classes if label not in match.pairs.values()]
    if lost:
        yield f"No cluster became class {called(lost, layers.legend.names)} of {reference}."
