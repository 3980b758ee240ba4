"""Sources seen otherwise: with some of their bands, or elsewhere; and how one is brought onto the grid of another."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy

from odc.geo.geobox import GeoBox

from stfusion.raster.source import Source


def with_bands(source: Source, numbers: Sequence[int]) -> Source:
    """The same source with some of its bands, counted from 1 among those it has, in this order.

    A pixel is then valid where it is in these bands.
    """
    places = [number - 1 for number in numbers]
    found = copy(source)
    found.__dict__.pop("sample", None)
    found.bands = tuple(source.bands[place] for place in places)
    found.scales, found.offsets = source.scales[places], source.offsets[places]
    found.names = [source.names[place] for place in places]
    return found


def relocated(source: Source, grid: GeoBox) -> Source:
    """The same source, whose pixels lie elsewhere: on a grid with as many rows and columns."""
    if tuple(grid.shape) != source.shape:
        raise ValueError(f"A grid of {tuple(grid.shape)} pixels has no place for {source.shape}.")
    found = copy(source)
    found.grid = grid
    return found


def resampling_note(source: Source, onto: Source, resampling: str) -> str:
    """A sentence on how a source is brought onto the grid of another one."""
    how = "nearest neighbour" if resampling == "nearest" else resampling
    other = "" if source.grid.crs == onto.grid.crs else f" from {source.crs_name} to {onto.crs_name}"
    sizes = " and ".join(f"{columns} x {rows}" for rows, columns in (source.shape, onto.shape))
    return f"{source} is resampled by {how}{other} to the grid of {onto} (their pixels: {sizes})."
