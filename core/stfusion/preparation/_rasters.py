"""Anything else that GDAL reads: a raster file for every date, and what its options say of its numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

import rasterio
from rasterio.errors import RasterioError

from stfusion.declaration import Scalar
from stfusion.errors import UserError
from stfusion.preparation._downloads import Downloads, base
from stfusion.preparation._products import Band, Product
from stfusion.preparation._raw import ENDINGS, check_size, header_of, numbers_of
from stfusion.raster.dates import find_date, from_name
from stfusion.raster.stack import RASTERS


def read(downloads: Downloads, options: Mapping[str, Scalar]) -> Iterator[tuple[Product, set[str]]]:
    """The raster files of some downloads: those that the user gave, or those of a folder by their endings.

    Raises
    ------
    UserError
        A file cannot be read as a raster, has subdatasets only, or is smaller than its header says.
    """
    headers = {name: header_of(downloads, name) for name in downloads.names}
    for name, header in headers.items():
        known = downloads.explicit or header or PurePosixPath(name).suffix.lower() in (*RASTERS, *ENDINGS)
        if known and name not in headers.values():
            yield _product(downloads, name, header, options), {name}


def _product(downloads: Downloads, name: str, header: str | None, options: Mapping[str, Scalar]) -> Product:
    path, title = downloads.gdal(name), base(name)
    if header:
        check_size(f"Raster '{title}'", path, downloads.size(name))
    try:
        with rasterio.open(path) as dataset:
            if not dataset.count:
                _refuse(title, dataset.subdatasets)
            tags, names, count = dataset.tags(), dataset.descriptions, dataset.count
    except RasterioError as error:
        raise UserError(
            f"'{title}' is neither a known product nor a raster that can be read ({error}); give a Landsat Collection "
            "2, Sentinel-2 level 2A, HLS, MODIS or VIIRS download, a raw image with its 'Shape', or any raster file."
        ) from error
    scale, offset, nodata = numbers_of(options)
    bands = tuple(
        Band(path, names[index], (str(index + 1),), index + 1, scale, offset, nodata=nodata) for index in range(count)
    )
    # Where a file's name has no date, its folder's or that of the file that it is a part of may have one.
    return Product("Raster", title, "", find_date(title, tags) or from_name(name), bands)


def _refuse(title: str, subdatasets: list[str]) -> None:
    if subdatasets:
        raise UserError(
            f"'{title}' has {len(subdatasets)} subdatasets and is no known product; give those that you want, such as "
            f"{subdatasets[0]}."
        )
    raise UserError(f"'{title}' has no bands; give a raster file.")
