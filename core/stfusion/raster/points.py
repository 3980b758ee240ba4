"""Writing: a layer of points that appears under its name only when it is whole."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
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
#: The form of a layer in QGIS, in which a field is filled in by choosing from a list.
_QML = """<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.22.0" styleCategories="Fields|Forms">
  <fieldConfiguration>
    <field name="{field}">
      <editWidget type="ValueMap">
        <config>
          <Option type="Map">
            <Option type="List" name="map">
{choices}
            </Option>
          </Option>
        </config>
      </editWidget>
    </field>
  </fieldConfiguration>
</qgis>
"""


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
    choices: Mapping[int, str] | None = None,
) -> None:
    """Write points (points, 2) in map coordinates with their fields, in the format that the path's ending names.

    A field of None is one of whole numbers that is left empty. ``choices`` are the names of numbers that QGIS offers
    for the first field.

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
        if choices:
            part.with_suffix(".qml").write_text(_form(next(iter(fields)), choices), encoding="utf-8")


def _form(field: str, choices: Mapping[int, str]) -> str:
    """The form of a layer as the text of a QML file."""
    options = "\n".join(
        f'              <Option type="Map"><Option type="int" name="{escape(name)}" value="{number}"/></Option>'
        for number, name in sorted(choices.items())
    )
    return _QML.format(field=escape(field), choices=options)
