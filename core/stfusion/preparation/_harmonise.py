"""Harmonisation at work: adjustments are found from samples of all images, which are then written tile by tile."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox

from stfusion.errors import UserError
from stfusion.folder import whole_folder
from stfusion.preparation._adjustment import Adjustment, Curve, Line, matched, regression, stretch
from stfusion.preparation._stack import names_for, nearest, opened
from stfusion.preparation._windows import comparable
from stfusion.preparation._written import write_image
from stfusion.raster.grids import Box
from stfusion.raster.output import Content, Encoding
from stfusion.raster.source import AlignedSource, Array, Source, align
from stfusion.raster.stack import listed
from stfusion.raster.statistics import sample_pixels
from stfusion.raster.tiles import bounded_gdal
from stfusion.run import Context

#: Share of the working memory for GDAL's cache.
_GDAL_SHARE = 0.2
#: Pixels that adjustments are found from, in all, and the fewest that one is found from.
_SAMPLE, _FEWEST = 1_000_000, 30
#: Correlation below which a regression is warned of.
_WEAK = 0.5
#: Share of a pixel by which an edge may be off.
_OFF = 0.01
_REGRESSIONS = ("ols", "rma", "robust")
#: Scale of reflectance and indices that are stored in 16 bits, and their nodata value.
_INT16_SCALE, _INT16_NODATA = 0.0001, -32768.0


@dataclass(frozen=True)
class _Fitted:
    """The adjustments of the bands, and how many pixels and which correlation they come from."""

    bands: Sequence[Adjustment]
    pixels: int
    correlations: Sequence[float]


def run(context: Context) -> dict[str, Any]:
    """Harmonise the images of the job; the results are its folder and how many images it has.

    Raises
    ------
    UserError
        The images do not go together, or there is too little to find an adjustment from.
    """
    with bounded_gdal(context, _GDAL_SHARE):
        images = opened(context, "images", "masks")
        references = opened(context, "reference", "reference_masks") if "reference" in context.job.inputs else []
        names = names_for(images, str(context.options["name"]).strip())
        _check(context, images, references)
        grids = _common(images, references) if context.options["crop"] else [image.grid for image in images]
        context.reporter.stage("Finding adjustments", 1, 2)
        fitted = _fit(context, images, references)
        context.reporter.stage("Writing images", 2, 2)
        folder = context.job.outputs["output"]
        with whole_folder(folder, context.stop) as part:
            for number, (image, name, grid) in enumerate(zip(images, names, grids, strict=True)):
                span = 30 + 70 * number / len(images), 30 + 70 * (number + 1) / len(images)
                read = _reader(context, image, grid, fitted[number])
                write_image(context, image, grid, read, part / name, span, _content(context, image))
            _write_table(images, names, fitted, part / "harmonisation.csv")
    return {"output": folder, "images_written": len(images)}


def _check(context: Context, images: Sequence[Source], references: Sequence[Source]) -> None:
    way = context.options["adjust"]
    if way not in ("no", "stretch") and not references:
        raise UserError(f"'{way}' adjusts values to those of a reference, and none is given; choose reference images.")
    if way == "stretch" and not references and context.options["from_value"] == context.options["to_value"]:
        raise UserError(
            f"'Lower end' and 'Upper end' are both {context.options['to_value']:g}; give a range to stretch to."
        )
    low, high = (float(context.options[name]) for name in ("low", "high"))
    if way == "stretch" and low >= high:
        raise UserError(f"'Lower percentile' is {low:g} and 'Upper percentile' {high:g}; the first has to be smaller.")
    for other in (*images[1:], *(references if way != "no" else ())):
        if len(other.bands) != len(images[0].bands):
            raise UserError(
                f"{images[0]} has {len(images[0].bands)} band(s) and {other} has {len(other.bands)}; choose the bands "
                "that belong together."
            )


def _converted(context: Context, values: Array) -> Array:
    """Values in the wanted unit."""
    scale, offset = (float(context.options[name]) for name in ("scale", "offset"))
    return values if (scale, offset) == (1.0, 0.0) else Line(scale, offset)(values)


def _fit(context: Context, images: Sequence[Source], references: Sequence[Source]) -> list[_Fitted]:
    """The adjustments of every image."""
    way = str(context.options["adjust"])
    nothing = _Fitted([Line(1.0, 0.0)] * len(images[0].bands), 0, [])
    if way == "no":
        return [nothing] * len(images)
    groups = [list(images)] if context.options["together"] else [[image] for image in images]
    find = _regression if way in _REGRESSIONS else _distribution
    found = [find(context, group, references) for group in groups]
    return found * len(images) if context.options["together"] else found


def _distribution(context: Context, images: Sequence[Source], references: Sequence[Source]) -> _Fitted:
    """Adjust the distribution of the values to that of the references, or to a range."""
    own = _converted(context, _sampled(context, images))
    wanted = _sampled(context, references) if references else None
    bands: list[Adjustment] = []
    for band, values in enumerate(own):
        reference = None if wanted is None else wanted[band]
        if context.options["adjust"] == "histogram" and reference is not None:
            bands.append(matched(values, reference))
            continue
        shares = [float(context.options[name]) for name in ("low", "high")]
        ends = (
            (float(context.options["from_value"]), float(context.options["to_value"])) if reference is None
            else tuple(np.percentile(reference, shares))
        )
        low, high = np.percentile(values, shares)
        bands.append(_or_refused(partial(stretch, low, high, *ends), images[0], band))
    return _Fitted(bands, own.shape[1], [])


def _or_refused(make: Callable[[], Line], image: Source, band: int) -> Line:
    try:
        return make()
    except ValueError as error:
        raise UserError(
            f"Band {band + 1} of {image} does not vary ({error}), so that no adjustment can be found; leave the band "
            "out, or choose other images."
        ) from error


def _sampled(context: Context, images: Sequence[Source]) -> Array:
    """Valid pixels of images (bands, pixels) on regular lattices, as many of each."""
    limit = max(1, _SAMPLE // len(images))
    found = np.concatenate(
        [sample_pixels(AlignedSource(image, image.grid, "nearest"), limit, context.stop) for image in images], axis=1
    )
    if found.shape[1] < _FEWEST:
        raise UserError(
            f"{_named(images)} {found.shape[1]} valid pixel(s), which is too few to find an adjustment from; check the "
            "nodata value and the masks."
        )
    return found


def _named(images: Sequence[Source]) -> str:
    """The images as the subject of a sentence, and the verb."""
    return f"{images[0]} has" if len(images) == 1 else f"{images[0]} and the others have"


def _regression(context: Context, images: Sequence[Source], references: Sequence[Source]) -> _Fitted:
    """Regress the references on the images, on pixels of the coarser of the two."""
    most, limit = int(context.options["days"]), max(1, _SAMPLE // len(images))
    found, apart = [], []
    for image in images:
        reference = nearest(image.date, references)
        if image.date and reference.date and abs((image.date - reference.date).days) > most:
            apart.append(image.date)
            continue
        align(reference, image, "nearest")  # refuses what does not go together
        grid = comparable([image], reference)
        pair = [AlignedSource(source, grid, "average") for source in (image, reference)]
        found.append(sample_pixels(pair[0], limit, context.stop, partial(_joint, pair)))
    if apart:
        context.reporter.log(
            f"No reference is at most {most} days away from these images, which take no part in the regression: "
            f"{listed(apart)}."
        )
    pixels = np.concatenate(found, axis=1) if found else np.empty((2 * len(images[0].bands), 0), np.float32)
    if pixels.shape[1] < _FEWEST:
        raise UserError(
            f"{_named(images)} {pixels.shape[1]} valid pixel(s) in common with a reference at most {most} days away, "
            "which is too few for a regression; give other references or more 'Days between image and reference'."
        )
    own, wanted = _converted(context, pixels[: len(pixels) // 2]), pixels[len(pixels) // 2 :]
    way = str(context.options["adjust"])
    lines = [
        _or_refused(partial(regression, x, y, way), images[0], band)
        for band, (x, y) in enumerate(zip(own, wanted, strict=True))
    ]
    strengths = [float(np.corrcoef(x, y)[0, 1]) for x, y in zip(own, wanted, strict=True)]
    for band, strength in enumerate(strengths, 1):
        if not strength >= _WEAK:
            context.reporter.warning(
                f"Band {band} of {images[0]} and of its reference correlate by {strength:.2f} only: the regression "
                "says little; check the pairs with 'Check pairs'."
            )
    return _Fitted(lines, pixels.shape[1], strengths)


def _joint(pair: Sequence[AlignedSource], box: Box) -> Array:
    """The bands of both images, NaN where one of the two is invalid."""
    values = np.concatenate([image.read(box) for image in pair])
    values[:, np.isnan(values).any(axis=0)] = np.nan
    return values


def _common(images: Sequence[Source], references: Sequence[Source]) -> list[GeoBox]:
    """The part of every image's grid whose pixels lie inside all images and references."""
    everything = (*images, *references)
    for other in everything[1:]:
        if other.grid.crs != images[0].grid.crs:
            raise UserError(
                f"{images[0]} has {images[0].crs_name} and {other} has {other.crs_name}; use 'Align images' before "
                "they are cropped."
            )
    found = []
    for image in images:
        edges = np.array([_edges(image.grid, other.grid) for other in everything])
        top, left = (int(np.ceil(edge - _OFF)) for edge in edges[:, :2].max(axis=0))
        bottom, right = (int(np.floor(edge + _OFF)) for edge in edges[:, 2:].min(axis=0))
        if bottom <= top or right <= left:
            raise UserError(f"{image} has no pixel that lies inside all other images; leave out those that lie apart.")
        grid = image.grid.affine * Affine.translation(left, top)
        found.append(GeoBox((bottom - top, right - left), grid, image.grid.crs))
    return found


def _edges(own: GeoBox, other: GeoBox) -> tuple[float, float, float, float]:
    """Top, left, bottom and right of a grid in pixels of another one."""
    rows, columns = other.shape
    corners = [~own.affine * (other.affine * corner) for corner in ((0, 0), (columns, rows))]
    (left, right), (top, bottom) = (sorted(each) for each in zip(*corners, strict=True))
    return top, left, bottom, right


def _reader(context: Context, image: Source, grid: GeoBox, fitted: _Fitted) -> Callable[[Box], Array]:
    """What reads the harmonised values of a window of the cropped image."""
    left, top = (round(each) for each in ~image.grid.affine * (grid.affine.c, grid.affine.f))

    def read(box: Box) -> Array:
        values = image.read(box.moved(top, left))
        values = _converted(context, values)
        return np.stack([adjust(band) for adjust, band in zip(fitted.bands, values, strict=True)])

    return read


def _content(context: Context, image: Source) -> Content:
    """How the values are stored."""
    kind, bands = context.options["type"], len(image.bands)
    if kind == "stored":
        return Content.like(image)
    if kind == "float32":
        return Content.of_numbers(image.names)
    encoding = Encoding(np.dtype(np.int16), _INT16_NODATA, np.full(bands, _INT16_SCALE), np.zeros(bands))
    return Content(encoding, image.names)


def _write_table(images: Sequence[Source], names: Sequence[str], fitted: Sequence[_Fitted], path: Path) -> None:
    """A line for every image and band: the line that it was adjusted by, or the ends of the curve."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream)
        table.writerow([
            "file", "image", "band", "slope", "offset", "curve_from", "curve_to", "becomes_from", "becomes_to",
            "pixels", "correlation",
        ])
        for image, name, fit in zip(images, names, fitted, strict=True):
            for band, adjustment in enumerate(fit.bands):
                strength = f"{fit.correlations[band]:.6g}" if fit.correlations else ""
                cells = [name, PurePath(image.path).name, image.names[band] or f"Band {band + 1}"]
                table.writerow([*cells, *_cells(adjustment), fit.pixels or "", strength])


def _cells(adjustment: Adjustment) -> list[str]:
    if isinstance(adjustment, Curve):
        ends = (adjustment.places[0], adjustment.places[-1], adjustment.values[0], adjustment.values[-1])
        return ["", "", *(f"{end:.9g}" for end in ends)]
    return [f"{adjustment.slope:.9g}", f"{adjustment.offset:.9g}", "", "", "", ""]
