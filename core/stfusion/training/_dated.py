"""The user's own dated layers, or those of a folder, as the files of a place."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path, PurePath

from stfusion.errors import UserError
from stfusion.job import Input
from stfusion.raster.source import Source
from stfusion.training._places import PlaceFiles

#: Endings of the raster files that are taken from a folder.
RASTERS = (".tif", ".tiff", ".vrt", ".img", ".jp2", ".dat", ".bil", ".bip", ".bsq")
#: How a date may be written, in words.
_WRITTEN = "such as 20010711, 2001-07-11 or A2001192"


def dated_place(name: str, fine: Input, coarse: Input | None) -> PlaceFiles:
    """The files of a place from layers whose dates are in their tags or their names.

    A path may be a folder, which stands for the raster files in it. Without coarse layers these are to be simulated.

    Raises
    ------
    UserError
        A date cannot be read, or two files have the same date.
    """
    return PlaceFiles(name, _by_date("fine", fine), _by_date("coarse", coarse) if coarse else {})


def _by_date(sensor: str, layers: Input) -> dict[date, Input]:
    found: dict[date, Input] = {}
    paths = _files(sensor, layers)
    for path in paths:
        image = replace(layers, path=path, more=None, date=layers.date if len(paths) == 1 else None)
        source = Source(f"{sensor.capitalize()} layer", image)
        if source.date is None:
            raise UserError(
                f"{source} has no date in its tags, and none can be read from its name; write it there, {_WRITTEN}."
            )
        if source.date in found:
            other = PurePath(found[source.date].path).name
            raise UserError(f"{source} and '{other}' are both of {source.date}; leave one of them out.")
        found[source.date] = image
    return found


def _files(sensor: str, layers: Input) -> list[str]:
    """The files of an input, and of its folders."""
    found: list[str] = []
    for path in (layers.path, *(layers.more or ())):
        if Path(path).is_dir():
            inside = sorted(str(file) for file in Path(path).iterdir() if file.suffix.lower() in RASTERS)
            if not inside:
                raise UserError(
                    f"The folder '{path}' has no {sensor} layer; choose a folder with raster files "
                    f"({', '.join(RASTERS)})."
                )
            found += inside
        else:
            found.append(path)
    return found
