"""Alignment at work: displacements are measured on windows, and the images are written on their new grid by tiles."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox

from stfusion.errors import UserError
from stfusion.folder import whole_folder
from stfusion.preparation._stack import names_for, nearest, opened, spread
from stfusion.preparation._windows import Measured, measure
from stfusion.preparation._written import write_image
from stfusion.raster.grids import covered, pixel_ratio, same_pixels
from stfusion.raster.source import AlignedSource, Source, align
from stfusion.raster.tiles import bounded_gdal, working_bytes
from stfusion.raster.views import relocated, resampling_note
from stfusion.run import Context

#: Shares of the working memory for GDAL's cache and for resampled blocks.
_GDAL_SHARE, _CACHE_SHARE = 0.2, 0.1
#: Share of the progress after which the displacements are known.
_MEASURED = 40.0
#: Share of an image below which a common extent is warned of.
_SMALL = 0.5


@dataclass
class _Image:
    """An image, the reference that is nearest to it in time, and how it is displaced, in pixels of its own."""

    source: Source
    reference: Source
    measured: Measured | None = None
    rows: float = 0.0
    columns: float = 0.0

    def in_reference(self) -> tuple[float, float]:
        """Rows and columns of the reference by which the image is moved, down and to the right."""
        down, right = pixel_ratio(self.source.grid, self.reference.grid)
        return self.rows * down, self.columns * right


def run(context: Context) -> dict[str, Any]:
    """Align the images of the job; the results are its folder, how many were moved, and by how much.

    Raises
    ------
    UserError
        An image does not go together with the reference, or two would have the same name.
    """
    with bounded_gdal(context, _GDAL_SHARE):
        images = _open(context)
        names = names_for([image.source for image in images], str(context.options["name"]).strip())
        if context.options["shift"] != "no":
            context.reporter.stage("Measuring displacements", 1, 2)
            _measure(context, images)
        context.reporter.stage("Writing images", 2, 2)
        shared = _shared(context, images)
        folder = context.job.outputs["output"]
        with whole_folder(folder, context.stop) as part:
            for number, (image, name) in enumerate(zip(images, names, strict=True)):
                span = [_MEASURED + (100 - _MEASURED) * done / len(images) for done in (number, number + 1)]
                _write(context, image, shared, part / name, (span[0], span[1]))
            _write_table(images, names, part / "alignment.csv")
    moved = [image.in_reference() for image in images if image.rows or image.columns]
    rows, columns = (float(np.median(sizes)) for sizes in zip(*moved, strict=True)) if moved else (0.0, 0.0)
    return {"output": folder, "moved": len(moved), "rows": rows, "columns": columns}


def _open(context: Context) -> list[_Image]:
    references = opened(context, "reference", "reference_masks")
    for other in references[1:]:
        if other.grid != references[0].grid:
            raise UserError(
                f"{other} and {references[0]} have different grids, and references have the same; align one of them "
                "to the other first."
            )
    images = [_Image(image, nearest(image.date, references)) for image in opened(context, "images", "masks")]
    for image in images:
        if context.options["same_extent"]:
            image.source = relocated(image.source, spread(image.source, image.reference.grid))
        align(image.source, image.reference, "nearest")  # refuses what does not go together
        if context.options["shift"] != "no" and len(image.source.bands) != len(image.reference.bands):
            raise UserError(
                f"{image.source} has {len(image.source.bands)} band(s) and {image.reference} has "
                f"{len(image.reference.bands)}, so that they cannot be compared; choose the bands that belong "
                "together, or 'no' for 'Displacement'."
            )
    return images


def _measure(context: Context, images: Sequence[_Image]) -> None:
    """Find how the images are displaced, say so, and note by how much they are to be moved."""
    for number, image in enumerate(images):
        context.stop.check()
        image.measured = measure(image.source, image.reference, float(context.options["largest_shift"]))
        context.reporter.log(f"{image.source}: {_said(image.measured)}")
        context.reporter.progress(_MEASURED * (number + 1) / len(images))
    sure = [image for image in images if image.measured is not None and image.measured.found.moved]
    if context.options["shift"] == "report":
        return
    for image in sure:
        image.rows, image.columns = _own(image)
    if context.options["common"] and len(images) > 1:
        _move_together(context, images, sure)


def _own(image: _Image) -> tuple[float, float]:
    """The displacement of an image as measured, in pixels of its own."""
    if image.measured is None:
        raise ValueError("The displacement of an image is asked for that was not measured.")
    found = image.measured.found
    return found.rows * image.measured.pixel, found.columns * image.measured.pixel


def _move_together(context: Context, images: Sequence[_Image], sure: Sequence[_Image]) -> None:
    """Move all images by the median of those that are surely displaced, if these are most of all matches."""
    matched = [image for image in images if image.measured is not None and image.measured.found.sure]
    together = len(sure) * 2 > len(matched)
    rows, columns = np.median([_own(image) for image in matched], axis=0) if together else (0.0, 0.0)
    for image in images:
        image.rows, image.columns = float(rows), float(columns)
    if together:
        context.reporter.log(
            f"All {len(images)} images are moved alike, by the median of the {len(matched)} sure matches."
        )
    elif sure:
        context.reporter.warning(
            f"Only {len(sure)} of {len(matched)} images that match are displaced beyond the error, so that none is "
            "moved; switch 'One displacement for all' off to move these alone."
        )


def _said(measured: Measured) -> str:
    """What was found, in a sentence."""
    found = measured.found
    rows, columns = measured.in_reference()
    if not found.sure:
        return f"no displacement can be told, since {found.reason}."
    error = max(found.error) * measured.ratio
    where = (
        f"it lies on its reference when moved by {rows:+.2f} rows (down) and {columns:+.2f} columns (right) of the "
        f"reference, give or take {error:.2f}: correlation {found.before:.3f} before and {found.after:.3f} after, "
        f"confidence {found.confidence:.2f}"
    )
    return f"{where}; {found.reason}." if found.reason else f"{where}."


def _shared(context: Context, images: Sequence[_Image]) -> GeoBox | None:
    """The grid of all images where they get one extent, which is said; None where they do not.

    Raises
    ------
    UserError
        The images have no extent in common.
    """
    kind, reference = context.options["grid"], images[0].reference
    if kind not in ("common", "union"):
        return None
    boxes = [covered(image.source.grid, reference.grid) for image in images]
    found = boxes[0]
    for image, box in zip(images[1:], boxes[1:], strict=True):
        found = found.common(box) if kind == "common" else found.around(box)
        if min(found.shape) < 1:
            raise UserError(
                f"{image.source} has no pixel in common with all of the images before it, the first of which is "
                f"{images[0].source}; leave one of them out, or choose 'union' for 'Grid'."
            )
    grid = reference.grid.translate_pix(found.left, found.top).expand(found.shape)
    rows, columns = found.shape
    shares = [rows * columns / (box.shape[0] * box.shape[1]) for box in boxes]
    words = f"All {len(images)} images get {columns} x {rows} pixels of {reference.crs_name}"
    if kind == "common" and min(shares) < _SMALL:
        context.reporter.warning(
            f"{words}, which is {min(shares):.0%} of {images[shares.index(min(shares))].source}; leave out images that "
            "cover little of the others, or choose an area."
        )
    else:
        context.reporter.log(f"{words}.")
    for image in images:
        if not same_pixels(image.source.grid, grid):
            context.reporter.log(resampling_note(image.source, reference, str(context.options["resampling"])))
    return grid


def _write(
    context: Context, image: _Image, shared: GeoBox | None, path: Path, span: tuple[float, float]
) -> None:
    """Write an image on its new grid."""
    grid = image.source.grid
    moved = image.source
    if image.rows or image.columns:
        moved = relocated(
            image.source, GeoBox(grid.shape, grid.affine * Affine.translation(image.columns, image.rows), grid.crs)
        )
    target = shared or _target(context, moved, image.reference)
    cache = int(_CACHE_SHARE * working_bytes(context))
    aligned = AlignedSource(moved, target, str(context.options["resampling"]), cache_bytes=cache)
    write_image(context, moved, target, aligned.read, path, span)


def _target(context: Context, image: Source, reference: Source) -> GeoBox:
    """The grid that an image gets."""
    kind, grid = context.options["grid"], reference.grid
    if kind == "own":
        return image.grid
    if kind == "reference":
        return grid
    ratio = int(context.options["ratio"]) or max(1, round(float(np.mean(pixel_ratio(image.grid, grid)))))
    if ratio > min(reference.shape):
        raise UserError(
            f"A pixel of {image} is {ratio} pixels of {reference} wide, which has {reference.shape[1]} x "
            f"{reference.shape[0]} of them; give a larger reference or another 'Ratio'."
        )
    rows, columns = (-(-size // ratio) for size in reference.shape)
    return GeoBox((rows, columns), grid.affine * Affine.scale(ratio), grid.crs)


def _write_table(images: Sequence[_Image], names: Sequence[str], path: Path) -> None:
    """A line for every image: what was measured, in pixels of the reference, and what was mended."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream)
        table.writerow([
            "file", "image", "date", "reference", "rows", "columns", "error_rows", "error_columns",
            "correlation_before", "correlation_after", "distinct", "agreement", "confidence",
            "sure", "reason", "moved_rows", "moved_columns",
        ])
        for name, image in zip(names, images, strict=True):
            files = [PurePath(each.path).name for each in (image.source, image.reference)]
            moved = [f"{size:.4f}" for size in image.in_reference()]
            table.writerow([name, files[0], image.source.date or "", files[1], *_cells(image.measured), *moved])


def _cells(measured: Measured | None) -> list[str]:
    if measured is None:
        return [""] * 11
    found = measured.found
    sizes = [*measured.in_reference(), *(size * measured.ratio for size in found.error)]
    numbers = [*sizes, found.before, found.after, found.distinct, found.agreement, found.confidence]
    return [*(f"{number:.4f}" if np.isfinite(number) else "" for number in numbers), str(found.sure), found.reason]
