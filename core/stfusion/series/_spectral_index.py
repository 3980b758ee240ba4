"""Spectral indices at work: the bands of every image are found, and the ratio is written by tiles."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from stfusion.errors import UserError
from stfusion.folder import whole_folder
from stfusion.fusion._scene import reflectance_unit
from stfusion.preparation._stack import names_for, opened
from stfusion.raster.grids import Box
from stfusion.raster.output import Content, Output, provenance
from stfusion.raster.source import Array, Source
from stfusion.raster.tiles import Tile, bounded_gdal, run_tiles, tile_shape, working_bytes
from stfusion.raster.views import with_bands
from stfusion.run import Context
from stfusion.series._indices import BY_NAME, INDICES, Index, band_of, numbers_by_name, numbers_by_order

#: Shares of the working memory for GDAL's cache and for the tiles.
_GDAL_SHARE, _TILE_SHARE = 0.2, 0.4
#: Bytes that a pixel of a tile takes: a few bands as stored and in float32, and two sums in float64.
_PIXEL_BYTES = 64


class Part(NamedTuple):
    """A window of an index (1, rows, columns), and how many of its pixels have a denominator that is not positive."""

    values: Array
    undefined: int


def run(context: Context) -> dict[str, Any]:
    """Write the index of every image of the job.

    Raises
    ------
    UserError
        An image cannot be read or lacks a band, or two would have the same name.
    """
    index = INDICES[str(context.options["index"])]
    folder = context.job.outputs["output"]
    with bounded_gdal(context, _GDAL_SHARE):
        own = _own_numbers(str(context.options["numbers"]))
        order = str(context.options["order"])
        images = [bands_for(index, source, order, own) for source in opened(context, "images", "masks")]
        names = names_for(images, str(context.options["name"]).strip())
        unit = _unit(context, images) if index.constant else 1.0
        undefined = 0
        with whole_folder(folder, context.stop) as part:
            for number, (image, name) in enumerate(zip(images, names, strict=True)):
                span = (100 * number / len(images), 100 * (number + 1) / len(images))
                undefined += _write(context, image, index, unit, part / name, span)
    if undefined:
        context.reporter.warning(
            f"{undefined} valid pixel(s) have no {index.title}, since its denominator is not positive there; they are "
            "no data."
        )
    return {"output": folder, "images": len(images), "undefined": undefined}


def _own_numbers(text: str) -> dict[str, int]:
    """The numbers that the user gives, by band."""
    found: dict[str, int] = {}
    for entry in filter(None, (entry.strip() for entry in text.split(","))):
        name, _, number = (word.strip() for word in entry.partition("="))
        band = band_of(name)
        if band is None or not number.isdecimal() or int(number) < 1:
            raise UserError(
                f"'Numbers of bands' (numbers) has '{entry}'; write a band (blue, green, red, nir, swir1, swir2) and "
                "its number from 1, such as red=3, nir=4."
            )
        found[band] = int(number)
    return found


def bands_for(index: Index, source: Source, order: str, own: Mapping[str, int]) -> Source:
    """The image with the bands of the index alone; ``own`` are numbers that go before those of the order.

    Raises
    ------
    UserError
        The image lacks a band.
    """
    numbers = (numbers_by_name(source.names) if order == BY_NAME else numbers_by_order(order)) | dict(own)
    for band in index.bands:
        if band not in numbers:
            where = f"no band of {source} is called '{band}'" if order == BY_NAME else f"'{order}' has no such band"
            raise UserError(
                f"{index.title} needs the band '{band}', and {where}; choose another 'Order of the bands', or give "
                "'Numbers of bands'."
            )
        if numbers[band] > len(source.bands):
            raise UserError(
                f"{index.title} needs the band '{band}', which is to be number {numbers[band]}, and {source} has "
                f"{len(source.bands)} band(s); choose another 'Order of the bands', or give 'Numbers of bands'."
            )
    return with_bands(source, [numbers[band] for band in index.bands])


def _unit(context: Context, images: list[Source]) -> float:
    """The value of reflectance 1: the user's, or a guess from the first image that has a valid pixel."""
    for image in images:
        if not np.isnan(image.sample.values).all():
            return reflectance_unit(context, image)
    return 1.0


def _write(
    context: Context, image: Source, index: Index, unit: float, path: Path, span: tuple[float, float]
) -> int:
    """Write the index of an image; the number of valid pixels that have none."""
    undefined = 0

    def compute(tile: Tile) -> Part:
        part = index_of(index, image.read(tile.inner), unit)
        tile.advance(1.0)
        return part

    content = Content.of_numbers([index.title])
    budget = int(_TILE_SHARE * working_bytes(context))
    shape = tile_shape(image.shape, 0, _PIXEL_BYTES, budget, context.threads)
    with Output(str(path), image, provenance(context, image.date), context.stop, content) as output:

        def write(box: Box, part: Part) -> None:
            nonlocal undefined
            undefined += part.undefined
            output.write(box, part.values)

        run_tiles(context, image.shape, shape, 0, compute, write, span)
        output.finish(context.threads)
    return undefined


def index_of(index: Index, values: Array, unit: float) -> Part:
    """The index of a window.

    ``values`` are its bands in its order (bands, rows, columns), NaN where invalid; ``unit`` is the value of
    reflectance 1.
    """
    bands = dict(zip(index.bands, values.astype(np.float64), strict=True))
    top = sum(factor * bands[band] for band, factor in index.top.items())
    bottom = sum((factor * bands[band] for band, factor in index.bottom.items()), index.constant * unit)
    defined = bottom > 0
    found = np.divide(index.gain * top, bottom, out=np.full(values.shape[1:], np.nan), where=defined)
    return Part(found.astype(np.float32)[None], int(np.count_nonzero(~defined & ~np.isnan(values[0]))))
