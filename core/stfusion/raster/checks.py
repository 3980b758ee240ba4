"""What the values of images tell before the work begins: that there are some, in one scale, and no filler."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from stfusion.errors import UserError
from stfusion.raster.source import Source
from stfusion.raster.statistics import fillers
from stfusion.run import Context

#: Ratio of the ranges of two images from which they are said to have different scales.
_SCALES_APART = 20.0


def check_values(context: Context, sources: Mapping[str, Source], reference: str) -> None:
    """Refuse images without any valid pixel; warn about scales that differ and about a wrong nodata value.

    ``reference`` is the name of the one that the others are compared with.

    Raises
    ------
    UserError
        An image has no valid pixel.
    """
    ranges: dict[str, tuple[float, float]] = {}
    for name, source in sources.items():
        values = source.sample.values
        valid = values[~np.isnan(values)]
        if valid.size == 0:
            raise UserError(
                f"{source} has no valid pixel; check its nodata value ({_or_none(source.nodata)}) or choose another."
            )
        ranges[name] = tuple(np.percentile(valid, (2, 98)))
        _warn_of_nodata(context, source)
    sizes = {name: max(abs(low), abs(high)) for name, (low, high) in ranges.items()}
    for name, source in sources.items():
        if max(sizes[name], sizes[reference]) > _SCALES_APART * min(sizes[name], sizes[reference]):
            low, high = ranges[name]
            own_low, own_high = ranges[reference]
            context.reporter.warning(
                f"{sources[reference]} ranges from {own_low:.4g} to {own_high:.4g} and {source} from {low:.4g} to "
                f"{high:.4g}: their scales seem to differ; set the scale in the file or rescale one of them."
            )


def warn_of_negatives(context: Context, *sources: Source) -> None:
    """Warn of images with values below 0, of which a ratio makes no sense; for methods that multiply by one."""
    for source in sources:
        values = source.sample.values
        valid = values[~np.isnan(values)]
        below = np.count_nonzero(valid < 0) / max(valid.size, 1)
        if below:
            context.reporter.warning(
                f"{below:.2%} of the values of {source} are below 0 (down to {valid.min():.4g}), and '"
                f"{context.method.title}' multiplies by a ratio, which takes 0 for no light; add an offset to both "
                "images, or choose a method that adds details."
            )


def _warn_of_nodata(context: Context, source: Source) -> None:
    """Warn when a value far from all others, or zero in all bands, fills pixels that are taken for valid."""
    stored = source.sample.stored
    pixels = stored.reshape(stored.shape[0], -1)
    if source.nodata is not None:
        pixels = pixels[:, ~(pixels == source.nodata).any(axis=0)]
    if pixels.dtype.kind == "f":
        pixels = pixels[:, np.isfinite(pixels).all(axis=0)]
    if pixels.shape[1] == 0:
        return
    for fill, share in fillers(pixels):
        context.reporter.warning(
            f"{share:.1%} of {source} hold the value {fill:g} in all bands and are taken for data, since "
            f"the header's nodata value is {_or_none(source.nodata)}; set the nodata value if this is a filler."
        )


def _or_none(value: float | None) -> str:
    return "not set" if value is None else f"{value:g}"
