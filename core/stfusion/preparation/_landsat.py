"""Landsat Collection 2, level 1 and level 2: bands, scales of the MTL file, QA_PIXEL."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from datetime import date

from stfusion.errors import UserError
from stfusion.preparation._downloads import Downloads, base
from stfusion.preparation._products import KELVIN, REFLECTANCE, SHARED, Band, Product, Quality
from stfusion.preparation._quality import LANDSAT_QA_PIXEL

_ID = re.compile(r"(?P<id>L[COTEM]\d\d_L[12]\w\w_\d{6}_\d{8}_\d{8}_(?P<collection>\d\d)_\w\w)_(?P<rest>.+)")
_LINE = re.compile(r"^\s*(\w+)\s*=\s*(.*?)\s*$", re.MULTILINE)
_OLI = {"1": "coastal", "2": "blue", "3": "green", "4": "red", "5": "NIR", "6": "SWIR 1", "7": "SWIR 2"}
_TM = {"1": "blue", "2": "green", "3": "red", "4": "NIR", "5": "SWIR 1", "7": "SWIR 2"}
#: Reflective bands by number, in the order of wavelength, and the thermal band of level 2.
_SENSORS = {
    "LC08": (_OLI, "10"), "LC09": (_OLI, "10"), "LO08": (_OLI, ""), "LO09": (_OLI, ""),
    "LT04": (_TM, "6"), "LT05": (_TM, "6"), "LE07": (_TM, "6"),
}
#: Scale and offset of level 2, as the product guides have them, where the MTL file has none.
_SURFACE, _TEMPERATURE = (2.75e-5, -0.2), (0.00341802, 149.0)
#: Groups of the MTL file: scales of level 2, of its temperatures, and of level 1.
_GROUPS = (
    "LEVEL2_SURFACE_REFLECTANCE_PARAMETERS", "LEVEL2_SURFACE_TEMPERATURE_PARAMETERS", "LEVEL1_RADIOMETRIC_RESCALING"
)

Metadata = Mapping[str, Mapping[str, str]]


def read(downloads: Downloads) -> Iterator[tuple[Product, set[str]]]:
    """The Landsat products of some downloads, and the names that belong to each.

    Raises
    ------
    UserError
        A product has no MTL file, is of another collection, or its MTL file cannot be understood.
    """
    files: dict[str, dict[str, str]] = {}
    for name in downloads.names:
        match = _ID.fullmatch(base(name))
        if match:
            files.setdefault(match["id"], {})[match["rest"].upper()] = name
    for product, found in files.items():
        yield _product(downloads, product, found), set(found.values())


def _product(downloads: Downloads, product: str, files: Mapping[str, str]) -> Product:
    match = _ID.fullmatch(f"{product}_MTL.txt")
    sensor, level = product[:4], product[5:7]
    if match is None or match["collection"] != "02" or sensor not in _SENSORS:
        raise UserError(
            f"Landsat product '{product}' is not of Collection 2 of Landsat 4 to 9 (TM, ETM+, OLI); order it from "
            "Collection 2, or import its bands as 'raster'."
        )
    if "MTL.TXT" not in files:
        raise UserError(
            f"Landsat product '{product}' has no MTL file ({product}_MTL.txt), which has its date and scales; put it "
            "beside the bands and give the whole folder."
        )
    metadata = _parse(downloads.text(files["MTL.TXT"]))
    numbers, thermal = _SENSORS[sensor]
    notes: list[str] = []
    bands: list[Band] = []
    missing: list[tuple[float, str]] = []
    for number, name in numbers.items():
        key = f"SR_B{number}.TIF" if level == "L2" else f"B{number}.TIF"
        if key in files:
            scale, offset = _scale(product, metadata, level, number, notes)
            bands.append(Band(
                downloads.gdal(files[key]), name, (key.removesuffix(".TIF"), f"B{number}", number), 1, scale, offset,
                nodata=0.0, size=30.0, step=REFLECTANCE, usual=name in SHARED,
            ))
        elif name in SHARED:
            missing.append((30.0, f"{name} ({product}_{key})"))
    heat = f"ST_B{thermal}.TIF"
    if level == "L2" and heat in files:
        scale, offset = _temperature(metadata, thermal)
        bands.append(Band(
            downloads.gdal(files[heat]), "temperature", (f"ST_B{thermal}", f"B{thermal}"), 1, scale, offset,
            nodata=0.0, size=30.0, step=KELVIN, usual=False,
        ))
    quality = files.get("QA_PIXEL.TIF")
    return Product(
        f"Landsat {int(sensor[2:])} level {level[1]}", product, sensor, _date(product, metadata), tuple(bands),
        (Quality(downloads.gdal(quality), LANDSAT_QA_PIXEL),) if quality else (), tuple(missing),
        "" if quality else "QA_PIXEL", tuple(dict.fromkeys(notes)),
    )


def _parse(text: str) -> Metadata:
    """The values of an MTL file by group and key; groups of one name in different places follow each other."""
    groups: dict[str, dict[str, str]] = {}
    inside: list[str] = []
    for key, value in _LINE.findall(text):
        if key == "GROUP":
            inside.append(value)
        elif key == "END_GROUP":
            inside = inside[:-1]
        elif inside:
            groups.setdefault(inside[-1], {})[key] = value.strip('"')
    return groups


def _number(product: str, metadata: Metadata, group: str, key: str) -> float | None:
    value = metadata.get(group, {}).get(key)
    try:
        return None if value is None else float(value)
    except ValueError as error:
        raise UserError(
            f"The MTL file of Landsat product '{product}' has '{value}' for {key}, no number; download it again."
        ) from error


def _scale(product: str, metadata: Metadata, level: str, number: str, notes: list[str]) -> tuple[float, float]:
    """Scale and offset of a reflective band."""
    group = _GROUPS[0] if level == "L2" else _GROUPS[2]
    scale = _number(product, metadata, group, f"REFLECTANCE_MULT_BAND_{number}")
    offset = _number(product, metadata, group, f"REFLECTANCE_ADD_BAND_{number}")
    if level == "L2":
        if scale is None or offset is None:
            notes.append(f"its MTL file has no scales, and those of the product guide are taken: {_SURFACE}")
            return _SURFACE
        return scale, offset
    height = _number(product, metadata, "IMAGE_ATTRIBUTES", "SUN_ELEVATION")
    if scale is None or offset is None or height is None or height <= 0:
        raise UserError(
            f"The MTL file of Landsat product '{product}' lacks the scale of band {number} or the height of the sun; "
            "download it again."
        )
    # Reflectance at the top of the atmosphere, for the sun in the zenith of the scene's centre.
    sine = math.sin(math.radians(height))
    return scale / sine, offset / sine


def _temperature(metadata: Metadata, number: str) -> tuple[float, float]:
    values = metadata.get(_GROUPS[1], {})
    try:
        return (
            float(values[f"TEMPERATURE_MULT_BAND_ST_B{number}"]), float(values[f"TEMPERATURE_ADD_BAND_ST_B{number}"])
        )
    except (KeyError, ValueError):
        return _TEMPERATURE


def _date(product: str, metadata: Metadata) -> date:
    text = metadata.get("IMAGE_ATTRIBUTES", {}).get("DATE_ACQUIRED", "")
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise UserError(
            f"The MTL file of Landsat product '{product}' has the date '{text}', which is none; download it again."
        ) from error
