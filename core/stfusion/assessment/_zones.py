"""The parts of an image that errors are given for: the classes of a map, or the zones of a polygon layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stfusion.assessment._confusion import MOST_CLASSES
from stfusion.classification._legend import called, read_legend
from stfusion.errors import UserError
from stfusion.raster.grids import Box, blocks
from stfusion.raster.source import Source, align
from stfusion.raster.vector import Areas, read_vector
from stfusion.run import Context


class Zoning:
    """Zones of an image: their names, and the number of the zone of every pixel; the last is what lies in none."""

    def __init__(self, labels: list[Any], read: Callable[[Box], NDArray[np.int32]]) -> None:
        if len(labels) > MOST_CLASSES:
            raise UserError(
                f"The zones have {len(labels)} different values and at most {MOST_CLASSES} are assessed one by one; "
                "choose a layer or a field with fewer classes."
            )
        self.labels = [str(label) for label in labels]
        self._read = read

    @property
    def count(self) -> int:
        """Number of zones with the one of what lies in none."""
        return len(self.labels) + 1

    def read(self, box: Box) -> NDArray[np.int32]:
        """The numbers of the zones in a window (rows, columns)."""
        zones = self._read(box)
        return np.where(zones < 0, np.int32(len(self.labels)), zones)


def open_zones(context: Context, onto: Source) -> Zoning | None:
    """The zones that the job names, on the grid of an image; None where it names none.

    Raises
    ------
    UserError
        Both kinds are given, or the layer cannot be used.
    """
    inputs, titles = context.job.inputs, {role.id: role.title for role in context.method.roles}
    if "class_map" in inputs and "zones" in inputs:
        raise UserError("A class map and zones are given; give one of the two.")
    if "zones" in inputs:
        areas = Areas(read_vector(titles["zones"], inputs["zones"], onto.grid, ("polygons",)), onto.grid)
        return Zoning(areas.labels, areas.read)
    if "class_map" in inputs:
        return _of_map(context, Source(titles["class_map"], inputs["class_map"]), onto)
    return None


def _of_map(context: Context, source: Source, onto: Source) -> Zoning:
    if len(source.bands) > 1:
        raise UserError(f"{source} has {len(source.bands)} bands and a class map has one; choose another raster.")
    image = align(source, onto, "nearest")
    if not image.same_grid:
        context.reporter.log(f"{source} is brought onto the grid of {onto} by nearest neighbour.")
    found: set[float] = set()
    for box in blocks(image.shape, 1024):
        context.stop.check()
        values = np.unique(image.read(box)[0])
        found.update(values[~np.isnan(values)].tolist())
        if any(value != round(value) for value in found) or len(found) > MOST_CLASSES:
            raise UserError(
                f"{source} holds real numbers or more than {MOST_CLASSES} values and is no class map; choose a raster "
                "of whole numbers, one for each class."
            )
    if not found:
        raise UserError(f"{source} has no class on {onto}; check its nodata value or choose another.")
    labels = np.array(sorted(found))

    def read(box: Box) -> NDArray[np.int32]:
        values = image.read(box)[0]
        numbers = np.searchsorted(labels, np.nan_to_num(values)).astype(np.int32)
        return np.where(np.isnan(values), np.int32(-1), numbers)

    names = read_legend(source).names
    return Zoning([called([int(label)], names) for label in labels], read)
