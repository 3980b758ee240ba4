"""Gridded reflectance of MODIS and VIIRS (MOD09, MCD43, VNP09, VNP43), in HDF files or in GeoTIFFs of their fields."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import PurePath

import rasterio
from rasterio.errors import RasterioError

from stfusion.errors import UserError
from stfusion.preparation._downloads import Downloads, base
from stfusion.preparation._products import REFLECTANCE, SHARED, Band, Product, Quality
from stfusion.preparation._quality import MANDATORY_QUALITY, MODIS_STATE, VIIRS_QF1, VIIRS_QF2, Fields
from stfusion.raster.dates import from_name

_KINDS = r"(?:M[OY]D09\w+|MCD43A4|V(?:NP|J1|J2)09\w+|V(?:NP|J1|J2)43[IM]A4)"
_FILE = re.compile(rf"({_KINDS}\.A\d{{7}}\.[\w.]+?)\.(hdf|h5|nc)", re.IGNORECASE)
#: A GeoTIFF of a field: the name of the file without its ending, and that of the field.
_FIELD = re.compile(rf"({_KINDS}\.A\d{{7}}\.(?:[\w-]+\.)*?\d+)\.([A-Za-z]\w+)\.(?:tiff?|vrt)", re.IGNORECASE)
#: The same as AppEEARS writes it.
_EXTRACT = re.compile(rf"({_KINDS}\.\d+)_([A-Za-z]\w+?)_doy(\d{{7}})\d*(_aid\d+)\.tiff?", re.IGNORECASE)
#: Bands in the order of wavelength.
_MODIS = {"3": "blue", "4": "green", "1": "red", "2": "NIR", "5": "SWIR 1240", "6": "SWIR 1", "7": "SWIR 2"}
_VIIRS = {
    "M1": "violet", "M2": "deep blue", "M3": "blue", "M4": "green", "I1": "red", "M5": "red", "I2": "NIR", "M7": "NIR",
    "M8": "SWIR 1240", "I3": "SWIR 1", "M10": "SWIR 1", "M11": "SWIR 2",
}
_BAND = re.compile(
    r"sur_refl_b0(?P<modis>\d)(?:_1)?|Nadir_Reflectance_Band(?P<nadir>\d)"
    r"|(?:SurfReflect|Nadir_Reflectance)_(?P<viirs>[IM]\d+)(?:_1)?"
)
_STATE = re.compile(r"state_1km(?:_1)?|sur_refl_state_\d+m|SurfReflect_State(?:_500m)?")
_MANDATORY = re.compile(r"BRDF_Albedo_Band_Mandatory_Quality_(?:Band(?P<modis>\d)|(?P<viirs>[IM]\d+))")
_FLAGS: Mapping[str, Fields] = {"SurfReflect_QF1_1": VIIRS_QF1, "SurfReflect_QF2_1": VIIRS_QF2}
#: Fill values of the surface reflectance and of the nadir reflectance.
_SURFACE_FILL, _NADIR_FILL = -28672.0, 32767.0
_HDF4 = b"\x0e\x03\x13\x01"


def read(downloads: Downloads) -> Iterator[tuple[Product, set[str]]]:
    """The MODIS and VIIRS products of some downloads, and the names that belong to each.

    Raises
    ------
    UserError
        A file cannot be read by the engine's GDAL.
    """
    fields: dict[str, dict[str, str]] = {}
    for name in downloads.names:
        part, whole, extract = (form.fullmatch(base(name)) for form in (_FIELD, _FILE, _EXTRACT))
        if part:
            fields.setdefault(part[1], {})[name] = part[2]
        elif extract:
            fields.setdefault(f"{extract[1]}.A{extract[3]}{extract[4]}", {})[name] = extract[2]
        elif whole:
            yield _product(whole[1], _subdatasets(downloads.gdal(name))), {name}
    for product, found in fields.items():
        yield _product(product, {field: downloads.gdal(name) for name, field in found.items()}), set(found)


def _subdatasets(path: str) -> dict[str, str]:
    """What GDAL opens for every field of an HDF file."""
    name = PurePath(path).name
    try:
        # The netCDF driver takes the files of its ending, but does not know where the grids of HDF-EOS lie.
        with rasterio.open(path, driver=None if path.lower().endswith(".hdf") else "HDF5") as dataset:
            found = {re.split(r"[/:]", each)[-1].strip('"'): each for each in dataset.subdatasets}
    except RasterioError as error:
        if _is_hdf4(path):
            raise UserError(
                f"'{name}' is an HDF4 file, for which the engine's GDAL has no driver; import it in QGIS, or write its "
                f"fields to GeoTIFFs with gdal_translate, named {PurePath(name).stem}.FIELD.tif, and give these."
            ) from error
        raise UserError(
            f"'{name}' cannot be read ({error}), as if its download had broken off; download it again."
        ) from error
    return found


def _is_hdf4(path: str) -> bool:
    """Whether a file begins as HDF4 does; one within an archive is taken for it by its ending."""
    try:
        with open(path, "rb") as stream:
            return stream.read(len(_HDF4)) == _HDF4
    except OSError:
        return PurePath(path).suffix.lower() == ".hdf"


def _product(product: str, fields: Mapping[str, str]) -> Product:
    kind = product.split(".", maxsplit=1)[0].upper()
    bands = sorted((band for band in (_band(kind, *field) for field in fields.items()) if band), key=_order)
    quality: list[Quality] = []
    for field, path in fields.items():
        of_band = _MANDATORY.fullmatch(field)
        if of_band:
            quality.append(Quality(path, MANDATORY_QUALITY, of_band["modis"] or of_band["viirs"]))
        elif _STATE.fullmatch(field):
            quality.append(Quality(path, MODIS_STATE))
        elif field in _FLAGS:
            quality.append(Quality(path, _FLAGS[field]))
    title = "VIIRS" if kind.startswith("V") else "MODIS"
    return Product(f"{title} {kind}", product, kind, _date(product), tuple(bands), tuple(quality))


def _band(kind: str, field: str, path: str) -> Band | None:
    match = _BAND.fullmatch(field)
    if match is None:
        return None
    number = match["modis"] or match["nadir"] or match["viirs"]
    names = _VIIRS if match["viirs"] else _MODIS
    if number not in names:
        return None
    nadir = field.startswith("Nadir")
    return Band(
        path, names[number], (number, field, f"B{number}", f"b0{number}"), 1, REFLECTANCE, 0.0,
        nodata=_NADIR_FILL if nadir else _SURFACE_FILL, size=_size(kind, number), step=REFLECTANCE,
        usual=names[number] in SHARED,
    )


def _size(kind: str, number: str) -> float:
    """Pixel size as the products' makers round it."""
    if number[0] in "IM":
        return 500.0 if number[0] == "I" else 1000.0
    return 250.0 if kind[5:] in ("GQ", "Q1") else 500.0


def _order(band: Band) -> int:
    return [*_MODIS, *_VIIRS].index(band.ids[0])


def _date(product: str) -> date:
    day = from_name(product)
    if day is None:
        raise UserError(f"The name of '{product}' has no date; give it the name that it had.")
    return day
