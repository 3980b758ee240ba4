"""An area of interest: an extent in any coordinate system, and the window of an image that it is."""

from __future__ import annotations

import math
from dataclasses import dataclass

from odc.geo.geobox import GeoBox
from rasterio.crs import CRS
from rasterio.errors import CRSError, RasterioError
from rasterio.warp import transform_bounds

from stfusion.errors import UserError
from stfusion.raster.grids import Box
from stfusion.raster.source import Source

_WRITTEN = "west,east,south,north and the coordinate system, such as 600000,630000,4190000,4200000 [EPSG:32610]"
#: Share of a pixel by which the area may reach into one that is left out.
_SLIVER = 0.01
#: Points along an edge that is brought into another coordinate system.
_POINTS = 21


@dataclass(frozen=True)
class Area:
    """West, east, south and north of an area, and its coordinate system (None: that of the image)."""

    west: float
    east: float
    south: float
    north: float
    crs: CRS | None = None

    @classmethod
    def of(cls, text: str) -> Area | None:
        """The area that is written as QGIS writes an extent; nothing where there is none.

        Raises
        ------
        UserError
            It is written otherwise, empty, or its coordinate system is unknown.
        """
        if not text.strip():
            return None
        numbers, bracket, name = text.strip().removesuffix("]").partition("[")
        try:
            west, east, south, north = map(float, numbers.split(","))
            crs = CRS.from_user_input(name) if bracket else None
        except (ValueError, CRSError) as error:
            raise UserError(f"The area '{text}' is not understood ({error}); write {_WRITTEN}.") from error
        if not (west < east and south < north and math.isfinite(west + east + south + north)):
            raise UserError(f"The area '{text}' has no inside: it is to be {_WRITTEN}.")
        return cls(west, east, south, north, crs)

    def __str__(self) -> str:
        return _in_words((self.west, self.south, self.east, self.north))

    def window(self, image: Source) -> Box:
        """The pixels of an image that the area touches; a side is not positive where there are none.

        Raises
        ------
        UserError
            The area cannot be brought into the coordinate system of the image.
        """
        left, bottom, right, top = self._within(image)
        grid: GeoBox = image.grid
        corners = [~grid.affine * corner for corner in ((left, top), (right, top), (left, bottom), (right, bottom))]
        columns, rows = zip(*corners, strict=True)
        height, width = image.shape
        return Box(
            math.floor(min(rows) + _SLIVER), math.ceil(max(rows) - _SLIVER),
            math.floor(min(columns) + _SLIVER), math.ceil(max(columns) - _SLIVER),
        ).common(Box(0, height, 0, width))

    def outside(self, image: Source) -> str:
        """That an image lies elsewhere, with both extents."""
        own, there = _in_words(self._within(image)), _in_words(tuple(image.grid.boundingbox))
        bare = " in the same coordinate system, since it names none" if self.crs is None else ""
        return f"{image} is of {there} ({image.crs_name}), where the area is {own}{bare}"

    def _within(self, image: Source) -> tuple[float, float, float, float]:
        """West, south, east and north in the coordinate system of an image."""
        bounds = self.west, self.south, self.east, self.north
        if self.crs is None:
            return bounds
        if image.grid.crs is None:
            raise UserError(
                f"{image} has no coordinate system and the area has {self.crs.to_string()}; assign a projection to the "
                "image, or give the area in its pixels' coordinates, without a coordinate system."
            )
        try:
            found = transform_bounds(self.crs, CRS.from_user_input(str(image.grid.crs)), *bounds, densify_pts=_POINTS)
        except (CRSError, RasterioError) as error:
            found, why = (math.inf,) * 4, str(error)
        else:
            why = "it lies beyond its bounds"
        if not all(map(math.isfinite, found)):
            raise UserError(
                f"The area {self} ({self.crs.to_string()}) cannot be brought into the coordinate system of {image} "
                f"({image.crs_name}: {why}); give another one."
            )
        return found[0], found[1], found[2], found[3]


def _in_words(bounds: tuple[float, ...]) -> str:
    west, south, east, north = (f"{value:.10g}" for value in bounds)
    return f"{west} to {east} in x and {south} to {north} in y"
