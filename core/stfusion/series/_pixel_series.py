"""Pixel time series at work: the points, the pixels they lie in, and the table."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from pyproj.exceptions import CRSError

from stfusion.errors import UserError
from stfusion.folder import whole_file
from stfusion.job import Input
from stfusion.raster.grids import Box
from stfusion.raster.source import Source
from stfusion.raster.stack import with_masks
from stfusion.raster.tiles import bounded_gdal
from stfusion.raster.vector import read_vector
from stfusion.run import Context

#: The stacks, in the order in which one of them says what the coordinate system is.
_SENSORS = ("fine", "fused", "coarse")
_COLUMNS = ("point", "x", "y", "source", "date", "band", "name", "value", "masked")


class Points(NamedTuple):
    """Points by their labels and coordinates (points, 2) in a coordinate system."""

    labels: list[str]
    xy: npt.NDArray[np.float64]
    crs: CRS | None


def run(context: Context) -> dict[str, Any]:
    """Write the table of the job.

    Raises
    ------
    UserError
        No images or no points are given, an image cannot be read or has no date, or no point lies on an image.
    """
    inputs, path = context.job.inputs, context.job.outputs["output"]
    with bounded_gdal(context):
        stacks = {sensor: with_masks(context, sensor) for sensor in _SENSORS if sensor in inputs}
        if not stacks:
            raise UserError("No images are given; give fine, coarse or fused images, or several of these.")
        points = _points(context, Source("Image", next(iter(next(iter(stacks.values())).values()))).grid)
        lines = [line for sensor, images in stacks.items() for line in _of_stack(context, sensor, images, points)]
    if not lines:
        raise UserError(
            "None of the points lies on any image; check the coordinates and their coordinate system, or choose a "
            "layer of the same place."
        )
    lines.sort(key=lambda line: line[0])
    with whole_file(path, context.stop) as part, part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        writer.writerows(((points.labels[number], *rest) for number, *rest in lines))
    return {"output": path, "points": len(points.labels), "lines": len(lines)}


def _points(context: Context, grid: GeoBox) -> Points:
    """The points of the layer or of the coordinates."""
    layer, text = context.job.inputs.get("points"), str(context.options["coordinates"]).strip()
    if (layer is None) == (not text):
        given = "none is" if layer is None else "both are"
        raise UserError(f"Of 'Points' (points) and 'Coordinates' (coordinates), {given} given; give one of them.")
    if layer is None:
        xy = np.array([_pair(entry) for entry in text.split(";") if entry.strip()])
        return Points([str(number) for number in range(1, len(xy) + 1)], xy, _crs(str(context.options["crs"]), grid))
    import shapely

    found = read_vector("Layer of points", layer, grid, ("points",))
    if found.outside:
        context.reporter.warning(f"{found.outside} point(s) of {found.name} do not lie on the images.")
    xy, index = shapely.get_coordinates(found.geometries, return_index=True)
    return Points([str(found.values[number]) for number in index], xy, grid.crs)


def _pair(entry: str) -> tuple[float, float]:
    try:
        x, y = map(float, entry.split(","))
    except ValueError as error:
        raise UserError(
            f"'Coordinates' (coordinates) has '{entry.strip()}'; write points as x,y, separated by semicolons."
        ) from error
    return x, y


def _crs(text: str, grid: GeoBox) -> CRS | None:
    if not text.strip():
        return grid.crs
    try:
        return CRS(text.strip())
    except CRSError as error:
        raise UserError(
            f"'Coordinate system of the coordinates' (crs) is '{text.strip()}', which is unknown; write it such as "
            "EPSG:4326."
        ) from error


def _of_stack(
    context: Context, sensor: str, images: Mapping[date, Input], points: Points
) -> Iterator[tuple[Any, ...]]:
    """The lines of the images of a sensor, in the order of time; the first entry is the number of the point."""
    outside: set[str] = set()
    for day, image in images.items():
        context.stop.check()
        title = f"{sensor.capitalize()} image"
        # Opened twice, so that what a mask leaves out is known as well.
        source, masked = Source(title, replace(image, mask=None)), Source(title, image)
        for number, place in enumerate(_places(source, points)):
            if place is None:
                outside.add(points.labels[number])
                continue
            values = source.read(place)[:, 0, 0]
            left_out = int(np.isnan(masked.read(place)[0, 0, 0]) and not np.isnan(values[0]))
            x, y = (f"{each:.10g}" for each in points.xy[number])
            for band, (value, name) in enumerate(zip(values, source.names, strict=True), 1):
                shown = "" if np.isnan(value) else f"{value:.7g}"
                yield number, x, y, sensor, day.isoformat(), band, name or "", shown, left_out
    if outside:
        context.reporter.warning(f"Not on all {sensor} images lie these points: {', '.join(sorted(outside))}.")


def _places(source: Source, points: Points) -> list[Box | None]:
    """The pixel that every point lies in; None for one that lies elsewhere."""
    xy = points.xy.T
    if source.grid.crs != points.crs:
        if source.grid.crs is None or points.crs is None:
            raise UserError(
                f"The coordinate system of {source} is {source.crs_name} and that of the points "
                f"{points.crs or 'none'}; assign the one that is missing."
            )
        xy = np.array(points.crs.transformer_to_crs(source.grid.crs, always_xy=True)(*xy))
    columns, rows = np.floor(~source.grid.affine * tuple(xy))
    height, width = source.shape
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    return [
        Box(int(row), int(row) + 1, int(column), int(column) + 1) if found else None
        for row, column, found in zip(rows, columns, inside, strict=True)
    ]
