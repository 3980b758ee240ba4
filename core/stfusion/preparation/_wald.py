"""Wald's protocol at work: filter and thin the images, tile by tile."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import Any

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox

from stfusion.errors import UserError
from stfusion.preparation._reduced import write_reduced
from stfusion.raster.grids import pixel_ratio, same_pixels
from stfusion.raster.mtf import PANCHROMATIC, SENSORS, gains_of
from stfusion.raster.output import Output, provenance
from stfusion.raster.resolution import Filter, bicubic_filter, box_filter, mtf_filter, read_beyond
from stfusion.raster.source import AlignedSource, Source, align
from stfusion.raster.tiles import bounded_gdal
from stfusion.run import Context

#: Share of the working memory for GDAL's cache.
_GDAL_SHARE = 0.2
#: Share of the ratio by which the pixel sizes of two images may be off a whole number.
_OFF = 0.01


def run(context: Context) -> dict[str, Any]:
    """Reduce the images of the job; the result has their paths and the ratio.

    Raises
    ------
    UserError
        The images do not go together, their ratio is unknown or none of whole pixels, or nothing would be left.
    """
    with bounded_gdal(context, _GDAL_SHARE):
        titles = {role.id: role.title for role in context.method.roles}
        images = {name: Source(titles[name], given) for name, given in context.job.inputs.items()}
        image, pan = images["multispectral"], images.get("pan")
        ratio = _ratio(context, image, pan)
        wanted = context.job.outputs.get("reduced_pan")
        if wanted is not None and pan is None:
            raise UserError("There is no panchromatic image to reduce; give one, or leave its output empty.")
        own = AlignedSource(image, image.grid, "nearest")
        orders = [(own, _filters(context, image, ratio), context.job.outputs["output"])]
        if wanted is not None and pan is not None:
            orders.append((_on_pixels(context, pan, image, ratio), [_pan_filter(context, ratio)], wanted))
        outputs: list[Output] = []
        with ExitStack() as stack:
            for number, (source, filters, path) in enumerate(orders, 1):
                context.reporter.stage(source.source.title, number, len(orders))
                output = stack.enter_context(_output(context, source, ratio, path))
                span = (number - 1) / len(orders) * 100, number / len(orders) * 100
                read = partial(read_beyond, source.read, shape=source.shape)
                write_reduced(context, source, read, [(each, each) for each in filters], ratio, output, span)
                outputs.append(output)
            for output in outputs:
                output.finish(context.threads)
    return {**context.job.outputs, "ratio_used": ratio}


def _ratio(context: Context, image: Source, pan: Source | None) -> int:
    """Pixels along a reduced one: what the user says, else what the two images say."""
    given = int(context.options["ratio"])
    if pan is not None and len(pan.bands) != 1:
        raise UserError(f"{pan} has {len(pan.bands)} bands; choose the panchromatic one of them.")
    if given == 1 or (given == 0 and pan is None):
        raise UserError("The ratio is not known; give 'Ratio' as 2 or more, or the panchromatic image.")
    found = given
    if pan is not None:
        align(pan, image, "nearest")  # refuses what does not go together
        sizes = pixel_ratio(image.grid, pan.grid)
        found = given or round(float(np.mean(sizes)))
        if found < 2 or max(abs(size / found - 1) for size in sizes) > _OFF:
            says = f" and 'Ratio' is {given}" if given else ""
            raise UserError(
                f"A pixel of {image} is {sizes[0]:.4g} x {sizes[1]:.4g} pixels of {pan}{says}, and the ratio has to be "
                "a whole number of at least 2; choose images whose pixels fit, and leave 'Ratio' at 0."
            )
    if min(image.shape) < found:
        raise UserError(
            f"{image} has {image.shape[1]} x {image.shape[0]} pixels, which is less than one reduced pixel of "
            f"{found} x {found}; give a larger image."
        )
    return found


def _filters(context: Context, image: Source, ratio: int) -> list[Filter]:
    """The filters of the bands of the multispectral image."""
    gains = gains_of(str(context.options["sensor"]), str(context.options["gains"]), len(image.bands))
    return [_filter(str(context.options["filter"]), gain, ratio) for gain in gains]


def _pan_filter(context: Context, ratio: int) -> Filter:
    known = SENSORS.get(str(context.options["sensor"]))
    gain = float(context.options["pan_gain"]) or (PANCHROMATIC if known is None else known.pan_gain)
    return _filter(str(context.options["pan_filter"]), gain, ratio)


def _filter(name: str, gain: float, ratio: int) -> Filter:
    if name == "mtf":
        return mtf_filter(gain, ratio)
    return bicubic_filter(ratio) if name == "bicubic" else box_filter(ratio)


def _on_pixels(context: Context, pan: Source, image: Source, ratio: int) -> AlignedSource:
    """The panchromatic image in pixels that divide those of the multispectral one, and cover as much."""
    rows, columns = image.shape
    grid = GeoBox((rows * ratio, columns * ratio), image.grid.affine * Affine.scale(1 / ratio), image.grid.crs)
    if same_pixels(pan.grid, grid):
        return AlignedSource(pan, grid, "nearest")
    context.reporter.log(f"{pan} is resampled (cubic) to pixels that divide those of {image}.")
    return AlignedSource(pan, grid, "cubic")


def _output(context: Context, image: AlignedSource, ratio: int, path: str) -> Output:
    """The raster that receives a reduced image, like it but for its pixels."""
    rows, columns = image.shape
    grid = GeoBox((rows // ratio, columns // ratio), image.grid.affine * Affine.scale(ratio), image.grid.crs)
    return Output(path, image.source, provenance(context, image.source.date), context.stop, grid=grid)
