"""What makes a raster of classes speak for itself: colours, class names, and its attribute table beside it."""

from __future__ import annotations

import colorsys
from collections.abc import Iterable, Sequence
from html import escape

import numpy as np
from odc.geo.geobox import GeoBox

from stfusion.classification._image import Floats
from stfusion.classification._model import Class, Colour
from stfusion.raster.style import paletted

#: Types of columns, and what they are used for, in GDAL's raster attribute tables (GDALRATFieldType, ...FieldUsage).
_WHOLE, _REAL, _TEXT = 0, 1, 2
_GENERIC, _PIXELS = 0, 1
NAME, VALUE, RED, GREEN, BLUE = 2, 5, 6, 7, 8
#: More categories than these are not written: each number has one, whether it is a class or not.
_CATEGORIES = 4096
#: The share of the circle of hues from one class to the next: the golden section, so that any number are well apart.
_TURN = (5**0.5 - 1) / 2
_SATURATIONS, _VALUES = (0.75, 0.5), (0.85, 0.6, 0.98)


def natural_colours(centres: Floats, bands: Sequence[int]) -> list[Colour]:
    """A colour for each of the centres (classes, bands) as the eye would see it.

    ``bands`` are the places, from 0, of red, green and blue. All three are stretched alike, from the darkest to the
    brightest centre, so that grey stays grey, by the square root, so that one bright class leaves the others light
    enough to be told apart; where all are alike they are mid-grey.
    """
    seen = centres[:, list(bands)]
    low, high = seen.min(), seen.max()
    share = np.sqrt((seen - low) / (high - low)) if high > low else np.full(seen.shape, 0.5)
    return [(int(red), int(green), int(blue)) for red, green, blue in np.rint(255 * share)]


def qualitative_colours(count: int) -> list[Colour]:
    """Colours that are easy to tell apart, always the same ones."""
    found: list[Colour] = []
    for number in range(count):
        saturation, value = _SATURATIONS[number % len(_SATURATIONS)], _VALUES[number % len(_VALUES)]
        red, green, blue = colorsys.hsv_to_rgb((0.58 + number * _TURN) % 1, saturation, value)
        found.append((round(255 * red), round(255 * green), round(255 * blue)))
    return found


def pixel_area(grid: GeoBox) -> float | None:
    """Square metres of a pixel; None where the grid has no coordinate system, or one in degrees."""
    if grid.crs is None or not grid.crs.projected:
        return None
    metres = float(grid.crs.proj.axis_info[0].unit_conversion_factor)
    return abs(grid.affine.determinant) * metres**2


def style(classes: Iterable[Class]) -> str:
    """How QGIS shows a raster of classes: the text of a QML file."""
    return paletted((each.id, each.label, each.colour) for each in classes)


def table(classes: Sequence[Class], bands: Sequence[str], area: float | None, nodata: float = 0) -> str:
    """Class names and the attribute table of a raster of classes, as GDAL keeps them in ``<raster>.aux.xml``.

    The columns are VALUE, COUNT, CLASS, RED, GREEN, BLUE, AREA (square metres; left out where ``area``, that of a
    pixel, is None) and the mean of every band (empty where a class has no pixel). Categories, which are counted from 0,
    have the names too where no number is negative or above 4095; one is that of ``nodata``.
    """
    columns = _columns(classes, bands, area)
    labels: dict[float, str] = {nodata: "No data", **{each.id: each.label for each in classes}}
    ids = range(max(each.id for each in classes) + 1)
    named = min(each.id for each in classes) >= 0 and len(ids) <= _CATEGORIES
    names = [_element("Category", labels.get(label, "")) for label in ids if named]
    fields = [
        _element("FieldDefn", [_element("Name", name), _element("Type", kind), _element("Usage", usage)], index=index)
        for index, (name, kind, usage, _) in enumerate(columns)
    ]
    rows = [
        _element("Row", [_element("F", values[index]) for *_, values in columns], index=index)
        for index in range(len(classes))
    ]
    content = _element("GDALRasterAttributeTable", fields + rows, tableType="thematic")
    band = _element("PAMRasterBand", [_element("CategoryNames", names), content], band=1)
    return _element("PAMDataset", [band]) + "\n"


def _element(tag: str, content: object, **attributes: object) -> str:
    """An element of XML: other elements, each on a line, or the text of a value."""
    inside = "\n".join(["", *content, ""]) if isinstance(content, list) else escape(str(content))
    names = "".join(f' {name}="{escape(str(value))}"' for name, value in attributes.items())
    return f"<{tag}{names}>{inside}</{tag}>"


def _columns(
    classes: Sequence[Class], bands: Sequence[str], area: float | None
) -> list[tuple[str, int, int, Sequence[object]]]:
    """Name, type, usage and values of every column."""
    columns: list[tuple[str, int, int, Sequence[object]]] = [
        ("VALUE", _WHOLE, VALUE, [each.id for each in classes]),
        # A table's whole numbers have 32 bits, and an image may have more pixels.
        ("COUNT", _REAL, _PIXELS, [each.count for each in classes]),
        ("CLASS", _TEXT, NAME, [each.label for each in classes]),
    ]
    for index, (name, usage) in enumerate((("RED", RED), ("GREEN", GREEN), ("BLUE", BLUE))):
        columns.append((name, _WHOLE, usage, [each.colour[index] for each in classes]))
    if area is not None:
        columns.append(("AREA", _REAL, _GENERIC, [each.count * area for each in classes]))
    for index, band in enumerate(bands):
        means = ["" if each.mean is None else each.mean[index] for each in classes]
        columns.append((f"MEAN {band}", _REAL, _GENERIC, means))
    return columns
