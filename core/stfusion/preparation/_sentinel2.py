"""Sentinel-2 level 2A: bands of a SAFE folder at a resolution, scale and offset of MTD_MSIL2A.xml, scene classes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date

from stfusion.errors import UserError
from stfusion.preparation._downloads import Downloads
from stfusion.preparation._products import REFLECTANCE, Band, Product, Quality
from stfusion.preparation._quality import SENTINEL2_SCL

_METADATA = "MTD_MSIL2A.xml"
_IMAGE = re.compile(r"IMG_DATA/R(\d\d)m/[^/]*_(B\d[\dA]|SCL)_\d\dm\.jp2$")
_OFFSET = re.compile(r'<BOA_ADD_OFFSET\s+band_id="(\d+)"\s*>\s*(-?[\d.]+)\s*<')
#: Bands in the order of wavelength, whose place here is their number in the metadata.
_BANDS = {
    "B01": "coastal", "B02": "blue", "B03": "green", "B04": "red", "B05": "red edge 1", "B06": "red edge 2",
    "B07": "red edge 3", "B08": "NIR", "B8A": "NIR narrow", "B09": "water vapour", "B10": "cirrus",
    "B11": "SWIR 1", "B12": "SWIR 2",
}
#: Bands for the atmosphere, which are imported by name only.
_ATMOSPHERE = ("B01", "B09", "B10")
#: The number of the band that level 2A leaves out.
_CIRRUS = 10
#: Bands with pixels of 10 m.
_FINE = ("B02", "B03", "B04", "B08")


def read(downloads: Downloads) -> Iterator[tuple[Product, set[str]]]:
    """The Sentinel-2 products of some downloads, and the names that belong to each.

    Raises
    ------
    UserError
        A product has no metadata, is of level 1C, or has several tiles.
    """
    heads = {name.removesuffix(_METADATA): name for name in downloads.names if name.endswith(_METADATA)}
    for root, head in heads.items():
        names = {name for name in downloads.names if name.startswith(root)}
        yield _product(downloads, root, downloads.text(head), names), names
    others = (name for name in downloads.names if not any(name.startswith(root) for root in heads))
    for name in others:
        safe = re.match(r"(?:.*/)?([^/]*\.SAFE)/", name)
        if safe or name.endswith("MTD_MSIL1C.xml") or _IMAGE.search(name):
            raise UserError(
                f"Sentinel-2 product '{safe[1] if safe else downloads.title}' has no {_METADATA}, which has its "
                "date and scales; download it whole, and of level 2A."
            )


def _product(downloads: Downloads, root: str, text: str, names: set[str]) -> Product:
    title = root.rstrip("/").rpartition("/")[2] or downloads.title
    images: dict[tuple[str, int], str] = {}
    for name in sorted(names):
        match = _IMAGE.search(name)
        if match:
            key = match[2], int(match[1])
            if key in images:
                raise UserError(
                    f"Sentinel-2 product '{title}' has several tiles; give one tile as a product of its own."
                )
            images[key] = downloads.gdal(name)
    scale, offsets = _scales(title, text)
    bands = tuple(
        Band(
            images[band, size], name, (band, band.replace("B0", "B"), band[1:].lstrip("0")), 1,
            scale, offsets.get(number, 0.0) * scale, nodata=0.0, size=float(size), step=REFLECTANCE,
            usual=band not in _ATMOSPHERE,
        )
        for number, (band, name) in enumerate(_BANDS.items())
        for size in (10, 20, 60)
        if (band, size) in images
    )
    classes = images.get(("SCL", 20)) or images.get(("SCL", 60))
    return Product(
        "Sentinel-2 level 2A", title, "S2", _date(title, text), bands,
        (Quality(classes, SENTINEL2_SCL),) if classes else (), _missing(images),
        "" if classes else "its scene classes (SCL)",
    )


def _missing(images: Mapping[tuple[str, int], str]) -> tuple[tuple[float, str], ...]:
    """The usual bands that are not there, of the pixel sizes that are."""
    coarse = [band for band in _BANDS if band not in (*_ATMOSPHERE, "B08")]
    sizes = sorted({size for band, size in images if band != "SCL"})
    return tuple(
        (float(size), f"{_BANDS[band]} ({band}_{size}m.jp2)")
        for size in sizes
        for band in (_FINE if size == 10 else coarse)
        if (band, size) not in images
    )


def _scales(title: str, text: str) -> tuple[float, Mapping[int, float]]:
    """The scale of all bands, and the stored value to add by a band's number in the metadata."""
    quantity = re.search(r"<(?:L2A_)?BOA_QUANTIFICATION_VALUE[^>]*>\s*([\d.]+)\s*<", text)
    baseline = re.search(r"<PROCESSING_BASELINE>\s*(\d+)\.(\d+)\s*<", text)
    offsets = {int(number): float(value) for number, value in _OFFSET.findall(text)}
    # Since baseline 04.00 an offset is stored in the values of every band, and before it in those of none.
    lacking = set(range(len(_BANDS))) - {_CIRRUS} - set(offsets)
    if quantity is None or baseline is None or ((int(baseline[1]) >= 4 or offsets) and lacking):
        raise UserError(
            f"{_METADATA} of Sentinel-2 product '{title}' lacks the baseline, the scale or the offsets of the bands; "
            "download it again."
        )
    return 1 / float(quantity[1]), offsets


def _date(title: str, text: str) -> date:
    found = re.search(r"<PRODUCT_START_TIME>\s*(\d{4}-\d\d-\d\d)", text)
    try:
        return date.fromisoformat(found[1] if found else "")
    except ValueError as error:
        raise UserError(
            f"{_METADATA} of Sentinel-2 product '{title}' has no date (PRODUCT_START_TIME); download it again."
        ) from error
