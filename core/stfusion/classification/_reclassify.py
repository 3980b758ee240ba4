"""Reclassify at work: read the table, count the classes, and write the map with the new ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stfusion.assessment._class_layers import open_map
from stfusion.assessment._counting import count_classes
from stfusion.classification._class_table import Table, read_table, text_table
from stfusion.classification._legend import Legend, called, read_legend
from stfusion.classification._reclassified import write_classes
from stfusion.errors import UserError
from stfusion.raster.source import AlignedSource, Source
from stfusion.run import Context


def run(context: Context) -> dict[str, Any]:
    """Write the map that the job orders.

    Raises
    ------
    UserError
        The map or the table cannot be used.
    """
    output = context.job.outputs["output"]
    table, source = _table(context), open_map(context, "class_map")
    layer = AlignedSource(source, source.grid, "nearest")
    context.reporter.stage("Counting", 1, 2)
    sizes = count_classes(context, layer, layer.read, (0.0, 45.0))
    names = _names(context, source, table, sizes)
    context.reporter.stage("Writing the map", 2, 2)
    write_classes(context, layer, sizes, names, _legend(source, names) | table.legend, output, (45.0, 95.0))
    return {"output": output}


def _table(context: Context) -> Table:
    """The one table that is given."""
    match, text = context.job.inputs.get("match"), str(context.options["table"])
    if (match is None) == (not text.strip()):
        given = "none is" if match is None else "both are"
        raise UserError(f"Of 'Table of a match' (match) and 'Table as text' (table), {given} given; give one of them.")
    return text_table("Table as text", text) if match is None else read_table(match.path)


def _names(context: Context, source: Source, table: Table, sizes: Mapping[int, int]) -> dict[int, int]:
    """The new number of every class of the map that stays a class; the log says what the two have not in common."""
    listed = ", ".join(map(str, sizes))
    if not set(sizes) & set(table.names):
        raise UserError(
            f"The table names none of the classes of {source}, which are {listed}; it names "
            f"{', '.join(map(str, table.names))}."
        )
    own = read_legend(source).names
    lacking = [label for label in table.names if label not in sizes]
    if lacking:
        context.reporter.log(f"{source} has no pixel of class {called(lacking, own)}, which the table names.")
    others = [label for label in sizes if label not in table.names]
    kept = context.options["others"] == "keep"
    if others:
        what = "stay as they are" if kept else "become no data"
        context.reporter.log(f"The table lacks class {called(others, own)} of {source}; its pixels {what}.")
    return {label: table.names.get(label, label) for label in sizes if kept or label in table.names}


def _legend(source: Source, names: Mapping[int, int]) -> Legend:
    """Names and colours that go with the classes: a number that stays keeps its own, a new one gets the first's."""
    own = read_legend(source)
    first = {names[old]: old for old in sorted(names, reverse=True)}
    first |= {label: label for label, new in names.items() if label == new}
    return Legend(
        {new: own.names[old] for new, old in first.items() if old in own.names},
        {new: own.colours[old] for new, old in first.items() if old in own.colours},
    )
