"""Writing: a layer of points that appears under its name only when it is whole."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import numpy as np
import numpy.typing as npt
from odc.geo.crs import CRS

from stfusion.errors import UserError
from stfusion.folder import whole_file
from stfusion.run import Stop

#: The formats by their endings: those in which points and fields survive, and that can be edited.
_FORMATS = {".gpkg": "GPKG", ".geojson": "GeoJSON", ".shp": "ESRI Shapefile"}
#: Options of formats: a version of GeoPackage that older programs read without a word.
_OPTIONS = {"GPKG": {"VERSION": "1.2"}}


def vector_format(path: str) -> str:
    """The format that the ending of a path names.

    Raises
    ------
    UserError
        No format that can be written has this ending.
    """
    ending = PurePath(path).suffix.lower()
    if ending not in _FORMATS:
        raise UserError(
            f"The output '{path}' has the ending '{ending}'; name it with one of {', '.join(_FORMATS)}, such as "
            "points.gpkg."
        )
    return _FORMATS[ending]


def write_points(
    path: str,
    xy: npt.NDArray[np.float64],
    fields: Mapping[str, npt.NDArray[Any] | None],
    crs: CRS | None,
    stop: Stop,
) -> None:
    """Write points (points, 2) in map coordinates with their fields, in the format that the path's ending names.

    A field of None is one of whole numbers that is left empty.

    Raises
    ------
    UserError
        The ending is not one of a format, or the file cannot be written.
    """
    import pyogrio
    import shapely
    from pyogrio.errors import DataSourceError

    driver = vector_format(path)
    with whole_file(path, stop) as part:
        try:
            pyogrio.raw.write(
                str(part),
                shapely.to_wkb(shapely.points(xy)),
                [np.zeros(len(xy), np.int32) if values is None else values for values in fields.values()],
                list(fields),
                field_mask=[np.ones(len(xy), bool) if values is None else None for values in fields.values()],
                geometry_type="Point",
                crs=None if crs is None else crs.to_wkt(),
                driver=driver,
                dataset_options=_OPTIONS.get(driver),
            )
        except DataSourceError as error:
            raise UserError(f"The output '{path}' cannot be written ({error}); choose another folder.") from error
