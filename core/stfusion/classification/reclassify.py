"""Reclassify: the classes of a map renumbered by a table."""

from __future__ import annotations

from stfusion.assessment._class_roles import CLASS_MAP
from stfusion.declaration import Method, Option, Output, Role

METHOD = Method(
    id="reclassify",
    operation="classify",
    title="Reclassify",
    group="Classification",
    summary="Gives the classes of a map other numbers, by the table of a match or by one that you write.",
    description=(
        "Replaces the numbers of a class map by others. The table is the one that 'Match classes' writes, with the "
        "names and colours of the new classes, or a text such as 1=3, 2=1; several classes may become one. What the "
        "table lacks stays as it is, or becomes no data. The result has the georeference and the nodata value of the "
        "map, and names and colours go with the classes."
    ),
    paper="",
    doi="",
    roles=(
        CLASS_MAP,
        Role(
            "match",
            "Table of a match",
            "file",
            "",
            "JSON file of 'Match classes'. Give this, or a table as text.",
            required=False,
            extension="json",
        ),
    ),
    options=(
        Option(
            "table",
            "text",
            "Table as text",
            "",
            "Old and new numbers, such as 1=3, 2=1: class 1 becomes 3, and class 2 becomes 1.",
            advanced=False,
        ),
        Option(
            "others",
            "choice",
            "Classes that the table lacks",
            "keep",
            "'keep' leaves them as they are, 'nodata' makes them no data.",
            choices=("keep", "nodata"),
            advanced=False,
        ),
    ),
    outputs=(Output("output", "raster_out", "Reclassified map", "The map with the new numbers."),),
    run="stfusion.classification._reclassify:run",
    tags=("reclassify", "recode", "renumber", "merge classes", "lookup table", "classification"),
    example=("match",),
)
