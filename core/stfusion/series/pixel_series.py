"""Pixel time series: the values of fine, coarse and fused images over time at points, as a table."""

from __future__ import annotations

from dataclasses import replace

from stfusion.declaration import Method, Option, Output, Result, Role
from stfusion.series._shared import GROUP, STACKS

_FINE, _COARSE, _FINE_MASKS, _COARSE_MASKS = (replace(role, required=False) for role in STACKS[:4])

METHOD = Method(
    id="pixel_series",
    operation="series",
    title="Pixel time series",
    group=GROUP,
    summary="Reads the values of fine, coarse and fused images over time at points, and writes them as CSV.",
    description=(
        "For every point and date the table has the value of each band of the fine, the coarse and the fused image, "
        "and whether a mask leaves it out, so that the series can be plotted together with its gaps. Points are those "
        "of a layer, or coordinates; a point gets the value of the pixel that it lies in, each image on its own grid. "
        "Only these pixels are read."
    ),
    paper="",
    doi="",
    roles=(
        _FINE,
        _COARSE,
        Role(
            "fused", "Fused images", "fused", "",
            "Fused images, such as 'Fuse a time series' writes them. Files, or a folder of them, one for each date.",
            required=False, several=True,
        ),
        _FINE_MASKS,
        _COARSE_MASKS,
        Role("points", "Points", "vector", "", "Layer of points. Give this, or coordinates.", required=False),
    ),
    options=(
        Option(
            "coordinates", "text", "Coordinates", "",
            "Points as x,y, separated by semicolons, such as 500015,5199985; 500315,5199685.", advanced=False,
        ),
        Option(
            "crs", "text", "Coordinate system of the coordinates", "",
            "Such as EPSG:4326, where x is the longitude. When empty, that of the first images given: fine, fused or "
            "coarse.",
        ),
    ),
    outputs=(
        Output(
            "output", "file_out", "Table",
            "CSV file with a line for each point, image and band: point, x, y, source, date, band, name, value, "
            "masked.",
            extension="csv",
        ),
    ),
    results=(Result("points", "number", "Points"), Result("lines", "number", "Lines of the table")),
    run="stfusion.series._pixel_series:run",
    tags=("time series", "profile", "plot", "csv", "table", "sample", "extract"),
    example=("fused", "points"),
)
