"""Harmonized Landsat Sentinel, version 2.0: a file for every band, and Fmask."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from stfusion.errors import UserError
from stfusion.preparation._downloads import Downloads, base
from stfusion.preparation._products import DEGREE, REFLECTANCE, SHARED, Band, Product, Quality
from stfusion.preparation._quality import HLS_FMASK
from stfusion.raster.dates import from_name

_FILE = re.compile(r"(HLS\.([LS]30)\.T\w{5}\.\d{7}T\d{6}\.v2\.0)\.(\w+)\.tif", re.IGNORECASE)
_FILL = -9999.0
#: Bands in the order of wavelength.
_BANDS = {
    "L30": {
        "B01": "coastal", "B02": "blue", "B03": "green", "B04": "red", "B05": "NIR", "B09": "cirrus", "B06": "SWIR 1",
        "B07": "SWIR 2", "B10": "thermal 1", "B11": "thermal 2",
    },
    "S30": {
        "B01": "coastal", "B02": "blue", "B03": "green", "B04": "red", "B05": "red edge 1", "B06": "red edge 2",
        "B07": "red edge 3", "B08": "NIR broad", "B8A": "NIR", "B09": "water vapour", "B10": "cirrus", "B11": "SWIR 1",
        "B12": "SWIR 2",
    },
}


def read(downloads: Downloads) -> Iterator[tuple[Product, set[str]]]:
    """The HLS products of some downloads, and the names that belong to each."""
    files: dict[str, dict[str, str]] = {}
    for name in downloads.names:
        match = _FILE.fullmatch(base(name))
        if match:
            files.setdefault(match[1], {})[match[3].upper()] = name
    for product, found in files.items():
        yield _product(downloads, product, found), set(found.values())


def _product(downloads: Downloads, product: str, files: Mapping[str, str]) -> Product:
    kind = product[4:7].upper()
    day = from_name(product)
    if day is None:
        raise UserError(f"The name of HLS product '{product}' has no date; give it the name that it had.")
    bands = tuple(
        Band(
            downloads.gdal(files[band]), name, (band, band.replace("B0", "B"), band[1:].lstrip("0")), 1,
            DEGREE if name.startswith("thermal") else REFLECTANCE, 0.0, nodata=_FILL, size=30.0,
            step=DEGREE if name.startswith("thermal") else REFLECTANCE, usual=name in SHARED,
        )
        for band, name in _BANDS[kind].items()
        if band in files
    )
    missing = [
        (30.0, f"{name} ({product}.{band}.tif)")
        for band, name in _BANDS[kind].items()
        if name in SHARED and band not in files
    ]
    quality = files.get("FMASK")
    return Product(
        f"HLS {kind}", product, "HLS", day, bands,
        (Quality(downloads.gdal(quality), HLS_FMASK),) if quality else (), tuple(missing), "" if quality else "Fmask",
    )
