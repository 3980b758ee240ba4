"""Reading: a vector layer in the coordinate system of a raster, and its areas as pixels of that raster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox

from stfusion.errors import UserError
from stfusion.job import Input
from stfusion.raster.grids import LATTICE, Box

Shape = Literal["points", "lines", "polygons"]
#: Types of geometries, as the OGC numbers them, by what they are made of.
_TYPES: Mapping[Shape, tuple[int, int]] = {"points": (0, 4), "lines": (1, 5), "polygons": (3, 6)}
#: The field that points of a sampling design have for the true class.
LABEL = "reference"
#: Kinds of fields that can name a class: numbers, truth values and text.
_FIELD_KINDS = "iufbO"


@dataclass(frozen=True)
class VectorLayer:
    """Features of a layer and the value that a field gives them.

    Attributes
    ----------
    name
        The layer in words, for messages.
    field
        The field that was read.
    geometries
        Shapely geometries (features) in the coordinate system of the raster.
    values
        Values of the field (features): whole numbers (int64), real numbers (float64) or text (object).
    left_out
        Features that have no geometry or no value, and are not among these.
    outside
        Features of the layer that do not lie on the raster.
    """

    name: str
    field: str
    geometries: npt.NDArray[Any]
    values: npt.NDArray[Any]
    left_out: int = 0
    outside: int = 0

    def __len__(self) -> int:
        return len(self.geometries)


def read_vector(title: str, layer: Input, grid: GeoBox, shapes: tuple[Shape, ...]) -> VectorLayer:
    """The features of a vector layer that lie on a raster, in its coordinate system.

    ``layer.path`` may say which layer of the file is meant, as in ``areas.gpkg|layername=fields``; ``layer.field`` is
    the field with the values; without it, the field "reference" is taken, or else the first of whole numbers.

    Raises
    ------
    UserError
        The file, the layer or the field is missing or of the wrong kind, a geometry is none of ``shapes``, or nothing
        lies on the raster.
    """
    import pyogrio
    from pyogrio.errors import DataLayerError, DataSourceError, FieldError

    path, which = _layer_of(title, layer.path)
    name = f"{title} '{PurePath(path).name}{f'|{which}' if which is not None else ''}'"
    try:
        about = pyogrio.read_info(path, layer=which, force_feature_count=True)
        if about["geometry_type"] is None:
            raise UserError(f"{name} is a table without geometries; choose a layer of {' or '.join(shapes)}.")
        crs = CRS(about["crs"]) if about["crs"] else None
        field = _field(name, layer.field, dict(zip(about["fields"], about["dtypes"], strict=True)))
        _, _, stored, (values,) = pyogrio.raw.read(
            path, layer=which, columns=[field], force_2d=True, bbox=_bounds(name, grid, crs)
        )
    except DataLayerError as error:
        layers = ", ".join(pyogrio.list_layers(path)[:, 0])
        raise UserError(f"{name} has no such layer; choose from its layers: {layers}.") from error
    except (DataSourceError, FieldError) as error:
        reason = "does not exist" if "No such file" in str(error) else f"cannot be read as a vector layer ({error})"
        raise UserError(f"{title} '{path}' {reason}; choose an existing file such as a GeoPackage.") from error
    found = _on_raster(name, field, stored, values, crs, grid, shapes)
    return replace(found, outside=int(about["features"]) - found.left_out - len(found))


def _layer_of(title: str, path: str) -> tuple[str, str | int | None]:
    """The file and the name or number of the layer in it."""
    path, *rest = path.split("|")
    which: str | int | None = None
    for part in rest:
        key, _, value = part.partition("=")
        if key == "layername" and value:
            which = value
        elif key == "layerid" and value.isdecimal():
            which = int(value)
        else:
            raise UserError(
                f"{title} '{path}' is given with '{part}', which cannot be followed; write 'file.gpkg|layername=name', "
                "or save the features to a file of their own."
            )
    return path, which


def _field(name: str, wanted: str | None, dtypes: Mapping[str, str]) -> str:
    """The field with the values: the one that is wanted, else that for labels, else the first of whole numbers."""
    usable = [field for field, dtype in dtypes.items() if np.dtype(dtype).kind in _FIELD_KINDS]
    listed = ", ".join(usable) if usable else "none"
    if wanted is not None:
        if wanted not in usable:
            problem = f"has '{wanted}' of type {dtypes[wanted]}" if wanted in dtypes else f"has no field '{wanted}'"
            raise UserError(f"{name} {problem}; choose a field of numbers or text, here: {listed}.")
        return wanted
    if LABEL in usable:
        return LABEL
    whole = [field for field in usable if np.dtype(dtypes[field]).kind in "iu"]
    if not whole:
        raise UserError(f"{name} has no field of whole numbers; name the field with the classes, here: {listed}.")
    return whole[0]


def _bounds(name: str, grid: GeoBox, crs: CRS | None) -> tuple[float, float, float, float]:
    """The bounds of the raster in the coordinate system of the layer."""
    if (crs is None) != (grid.crs is None):
        its, other = (str(one) if one else "none" for one in (crs, grid.crs))
        raise UserError(
            f"The coordinate system of {name} is {its} and that of the images {other}; assign the one that is missing."
        )
    box = (grid.extent if crs is None else grid.footprint(crs)).boundingbox
    return box.left, box.bottom, box.right, box.top


def _on_raster(
    name: str,
    field: str,
    stored: npt.NDArray[Any],
    values: npt.NDArray[Any],
    crs: CRS | None,
    grid: GeoBox,
    shapes: tuple[Shape, ...],
) -> VectorLayer:
    """The features whose geometry (well-known binary) lies on the raster, in its coordinate system."""
    import shapely

    geometries = shapely.from_wkb(stored)
    missing = shapely.is_missing(geometries) | shapely.is_empty(geometries) | _no_value(values)
    allowed = [number for shape in shapes for number in _TYPES[shape]]
    strange = ~missing & ~np.isin(shapely.get_type_id(geometries), allowed)
    if strange.any():
        found = shapely.from_wkb(stored)[strange][0].geom_type
        raise UserError(f"{name} holds a {found}; choose a layer of {' or '.join(shapes)}.")
    kept, values = geometries[~missing], values[~missing]
    if crs is not None and grid.crs is not None and crs != grid.crs:
        to_grid = crs.transformer_to_crs(grid.crs, always_xy=True)
        kept = shapely.transform(kept, lambda xy: np.column_stack(to_grid(*xy.T)))
    inside = shapely.intersects(kept, grid.extent.geom)
    if not inside.any():
        raise UserError(
            f"{name} has no feature with a value of '{field}' on the images; choose a layer of the same place, or "
            "check the coordinate systems."
        )
    return VectorLayer(name, field, kept[inside], _plain(values[inside]), int(missing.sum()))


def _no_value(values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Features without a value: None, an empty text, or NaN, by which the readers stand for none in a column."""
    if values.dtype == object:
        return np.array([value is None or str(value).strip() == "" for value in values], bool)
    none: npt.NDArray[np.bool_] = np.isnan(values) if values.dtype.kind == "f" else np.zeros(len(values), bool)
    return none


def _plain(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Whole numbers as int64, real ones as float64, text as it is."""
    if values.dtype == object:
        return values.astype(str).astype(object)
    whole = values.dtype.kind in "iub" or bool((values == np.rint(values)).all())
    return values.astype(np.int64 if whole else np.float64)


class Areas:
    """Polygons as pixels of a grid: a pixel belongs to the polygon in which its centre lies, to the last of several.

    ``labels`` are the values of the field that occur, in ascending order.
    """

    def __init__(self, layer: VectorLayer, grid: GeoBox) -> None:
        import shapely

        labels, self._codes = np.unique(layer.values, return_inverse=True)
        self.labels = [label.item() if isinstance(label, np.generic) else label for label in labels]
        self._geometries = layer.geometries
        self._tree = shapely.STRtree(layer.geometries)
        self._grid = grid

    def read(self, box: Box) -> npt.NDArray[np.int32]:
        """Index of the label of every pixel of a window (rows, columns); -1 where there is no polygon."""
        found = np.full(box.shape, -1, np.int32)
        # In fixed blocks, so that a centre on an edge falls to the same side whatever the window.
        for top in range(box.top // LATTICE * LATTICE, box.bottom, LATTICE):
            for left in range(box.left // LATTICE * LATTICE, box.right, LATTICE):
                block = Box(
                    top, min(top + LATTICE, self._grid.shape[0]), left, min(left + LATTICE, self._grid.shape[1])
                )
                part = Box(
                    max(box.top, top), min(box.bottom, block.bottom), max(box.left, left), min(box.right, block.right)
                )
                found[part.within(box)] = self._burn(block)[part.within(block)]
        return found

    def _burn(self, block: Box) -> npt.NDArray[np.int32]:
        from rasterio.features import rasterize

        grid = self._grid[block.top : block.bottom, block.left : block.right]
        touched = np.sort(self._tree.query(grid.extent.geom))
        if not len(touched):
            return np.full(block.shape, -1, np.int32)
        shapes = [(self._geometries[index], int(self._codes[index])) for index in touched]
        burnt: npt.NDArray[np.int32] = rasterize(shapes, block.shape, -1, transform=grid.affine, dtype=np.int32)
        return burnt
