"""Renaming classes: the new label of every pixel by a table, and the map of the new classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stfusion.classification._legend import Legend
from stfusion.classification._paletted import pixel_area, style, table
from stfusion.raster.output import Content, Output, provenance
from stfusion.raster.source import AlignedSource
from stfusion.raster.statistics import part_shape
from stfusion.raster.tiles import Tile, run_tiles
from stfusion.run import Context


class Lookup:
    """The new labels of arrays of old ones, floats with NaN for no class; NaN for what is not in the table."""

    def __init__(self, names: Mapping[int, int]) -> None:
        self._old = np.array(sorted(names), np.float64)
        self._new = np.array([names[label] for label in sorted(names)], np.float64)

    def __call__(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """The new labels."""
        place = np.minimum(np.searchsorted(self._old, values), len(self._old) - 1)
        return np.where(self._old[place] == values, self._new[place], np.nan)


def write_classes(
    context: Context,
    layer: AlignedSource,
    sizes: Mapping[int, int],
    names: Mapping[int, int],
    legend: Legend,
    path: str,
    span: tuple[float, float],
) -> None:
    """Write a map of classes with new numbers, and its colours, class names and attribute table.

    ``sizes`` are the pixels of the classes of the layer, ``names`` the new numbers of those that are kept; at least one
    is. ``legend`` is that of the new classes, ``span`` the progress, in per cent, at the begin and the end.

    Raises
    ------
    UserError
        It cannot be written.
    """
    source, counts = layer.source, Counter[int]()
    for old, pixels in sizes.items():
        if old in names:
            counts[names[old]] += pixels
    classes = legend.classes(counts)
    content = Content.of_classes("Class", {each.id: each.colour for each in classes}, source.nodata)
    lookup, nodata, dtype = Lookup(names), content.encoding.nodata, content.encoding.dtype
    with Output(path, source, provenance(context, None), context.stop, content) as sink:

        def look(tile: Tile) -> NDArray[Any]:
            values = lookup(layer.read(tile.inner))
            tile.advance(1.0)
            return np.where(np.isnan(values), nodata, values).astype(dtype)

        run_tiles(context, layer.shape, part_shape(layer), 0, look, sink.write_stored, span)
        sink.finish(context.threads, style(classes), table(classes, (), pixel_area(source.grid), nodata))
