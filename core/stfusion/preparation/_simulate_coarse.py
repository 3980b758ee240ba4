"""Simulated coarse images: a point spread that may be displaced, and noise that is a function of the place."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox

from stfusion.errors import UserError
from stfusion.preparation._reduced import write_reduced
from stfusion.raster.grids import Box
from stfusion.raster.mtf import gains_of
from stfusion.raster.noise import field
from stfusion.raster.output import Output, provenance
from stfusion.raster.resolution import Filter, gaussian_filter, mtf_sigma, spread_filter
from stfusion.raster.source import AlignedSource, Array, Source
from stfusion.raster.tiles import bounded_gdal
from stfusion.run import Context

#: Share of the working memory for GDAL's cache.
_GDAL_SHARE = 0.2
#: Full widths at half maximum in a standard deviation of a Gaussian.
_WIDTHS = 2 * math.sqrt(2 * math.log(2))


def run(context: Context) -> dict[str, Any]:
    """Write the coarse image of the job.

    Raises
    ------
    UserError
        The image has less than a coarse pixel, or none that is valid.
    """
    with bounded_gdal(context, _GDAL_SHARE):
        source = Source("Fine image", context.job.inputs["fine"])
        ratio = int(context.options["ratio"])
        if min(source.shape) < ratio:
            raise UserError(
                f"{source} has {source.shape[1]} x {source.shape[0]} pixels, which is less than one coarse pixel of "
                f"{ratio} x {ratio}; give a larger image or a smaller 'Ratio'."
            )
        rows, columns = source.shape
        grid = GeoBox((rows // ratio, columns // ratio), source.grid.affine * Affine.scale(ratio), source.grid.crs)
        image = AlignedSource(source, source.grid, "nearest")
        path = context.job.outputs["output"]
        with Output(path, source, provenance(context, source.date), context.stop, grid=grid) as output:
            read = partial(_read, image)
            # Every image of a series has noise of its own.
            key = source.date.toordinal() if source.date else 0
            change = partial(_noisy, float(context.options["noise"]), context.job.seed % 2**64, key)
            write_reduced(context, image, read, _filters(context, source, ratio), ratio, output, change=change)
            output.finish(context.threads)
    return dict(context.job.outputs)


def _filters(context: Context, source: Source, ratio: int) -> list[tuple[Filter, Filter]]:
    """The filters of the bands along columns and rows. What lies too far down sees a place further up."""
    shifts = [-float(context.options[name]) * ratio for name in ("shift_rows", "shift_columns")]
    spread, sigma = context.options["spread"], float(context.options["fwhm"]) * ratio / _WIDTHS
    if spread == "box":
        filters = [spread_filter(ratio, 0.0, shift) for shift in shifts]
    elif spread == "blurred_box":
        filters = [spread_filter(ratio, sigma or ratio / _WIDTHS, shift) for shift in shifts]
    elif sigma:
        filters = [gaussian_filter(ratio, sigma, shift) for shift in shifts]
    else:
        gains = gains_of(str(context.options["sensor"]), str(context.options["gains"]), len(source.bands))
        return _by_gain(gains, ratio, shifts)
    return [(filters[0], filters[1])] * len(source.bands)


def _by_gain(gains: tuple[float, ...], ratio: int, shifts: list[float]) -> list[tuple[Filter, Filter]]:
    """Gaussians with these gains at the Nyquist frequency of the coarse pixels, all of the reach of the widest."""
    widest = max(mtf_sigma(gain, ratio) for gain in gains)
    return [
        (gaussian_filter(ratio, sigma, shifts[0], widest), gaussian_filter(ratio, sigma, shifts[1], widest))
        for sigma in (mtf_sigma(gain, ratio) for gain in gains)
    ]


def _read(image: AlignedSource, box: Box) -> Array:
    """A window that may reach beyond the image, where nothing is known."""
    rows, columns = image.shape
    inside = Box(max(box.top, 0), min(box.bottom, rows), max(box.left, 0), min(box.right, columns))
    values = np.full((len(image.bands), *box.shape), np.nan, np.float32)
    if min(inside.shape) > 0:
        values[(slice(None), *inside.within(box))] = image.read(inside)
    return values


def _noisy(noise: float, seed: int, key: int, box: Box, values: Array) -> Array:
    """The values of a window with noise of this standard deviation."""
    if not noise:
        return values
    return values + np.float32(noise) * field(seed, key, 0, len(values), box)
