"""The images of an assessment, opened, checked and on the grid of the fused image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
from odc.geo.geobox import GeoBox

from stfusion.assessment._full_resolution import HALF, Evidence
from stfusion.errors import UserError
from stfusion.raster.grids import Box, pixel_ratio, same_pixels
from stfusion.raster.mtf import gains_of
from stfusion.raster.resolution import gaussian, read_beyond, smooth
from stfusion.raster.source import AlignedSource, Array, Source, align
from stfusion.run import Context


@dataclass(frozen=True)
class Images:
    """The fused image and what it is compared with, all on its grid.

    ``blurred`` is the panchromatic image with the detail of the coarse image only, ``ratio`` the fine pixels along a
    coarse one, ``gains`` are those of the bands of the coarse sensor at its Nyquist frequency.
    """

    predicted: AlignedSource
    reference: AlignedSource | None = None
    coarse: AlignedSource | None = None
    pan: AlignedSource | None = None
    blurred: AlignedSource | None = None
    ratio: float | None = None
    gains: tuple[float, ...] = ()

    @property
    def number(self) -> int:
        """How many images there are."""
        given = (self.predicted, self.reference, self.coarse, self.pan, self.blurred)
        return sum(image is not None for image in given)

    def evidence(self, own: Box, whole_numbers: bool) -> Evidence:
        """What a tile tells of the quality without a reference."""
        found = Evidence.none(len(self.predicted.source.bands))
        if self.coarse is not None:
            fused, enlarged = self.predicted.read(own), self.coarse.read(own)
            pan, blurred = (None if image is None else image.read(own) for image in (self.pan, self.blurred))
            found.compare(fused, enlarged, self._as_coarse(own), pan, blurred, whole_numbers)
        if self.pan is not None:
            # The margin of the windows of the tile's pixels; those that reach beyond the image are left out.
            before, after, (rows, columns) = 2 * HALF - 2, 2 * HALF, self.predicted.shape
            part = Box(
                max(own.top - before, 0), min(own.bottom + after, rows),
                max(own.left - before, 0), min(own.right + after, columns),
            )
            found.correlate(self.predicted.read(part), self.pan.read(part))
        return found

    def reasons(self, evidence: Evidence) -> list[str]:
        """Why indices are unknown that the given images should give."""
        return evidence.reasons(self.coarse is not None, self.pan is not None)

    @property
    def margin(self) -> int:
        """Pixels beside a tile that are read for it."""
        return 0 if self.coarse is None else len(gaussian(0.5, self.ratio or 1)) // 2

    def _as_coarse(self, own: Box) -> Array:
        """The fused image in a tile as the coarse sensor would see it, at the fine resolution."""
        box = Box(own.top - self.margin, own.bottom + self.margin, own.left - self.margin, own.right + self.margin)
        image = read_beyond(self.predicted.read, box, self.predicted.shape)
        filters = [gaussian(gain, self.ratio or 1) for gain in self.gains]
        bands = [smooth(band, weights) for band, weights in zip(image, filters, strict=True)]
        return np.stack(bands).astype(np.float32)


def open_images(context: Context) -> Images:
    """Open the layers of the job.

    Raises
    ------
    UserError
        There is nothing to compare with, or the layers do not go together.
    """
    titles = {role.id: role.title for role in context.method.roles}
    roles = ("predicted", "reference", "coarse", "pan")
    opened = {name: Source(titles[name], context.job.inputs[name]) for name in roles if name in context.job.inputs}
    if len(opened) == 1:
        raise UserError(
            "There is nothing to compare the fused image with; give a reference image, or the coarse or the "
            "panchromatic image."
        )
    fused = opened.pop("predicted")
    for name, source in opened.items():
        wanted = 1 if name == "pan" else len(fused.bands)
        if len(source.bands) != wanted:
            raise UserError(
                f"{fused} has {len(fused.bands)} band(s), {source} has {len(source.bands)} and needs {wanted}; choose "
                "the bands that belong together."
            )
    aligned: dict[str, AlignedSource] = {}
    for name, source in opened.items():
        aligned[name] = align(source, fused, "nearest" if name == "reference" else "cubic")
        if name == "reference":
            _check_grid(source, fused)
        elif not aligned[name].same_grid:
            context.reporter.log(f"{source} is resampled (cubic) to the grid of {fused}.")
    ratio = float(context.options["ratio"]) or None
    if ratio is None and "coarse" in opened:
        if aligned["coarse"].same_grid:
            raise UserError(
                f"{opened['coarse']} is on the grid of {fused}; give 'Ratio of coarse to fine pixel size', or the "
                "coarse image as it was before it was resampled."
            )
        ratio = float(np.mean(pixel_ratio(opened["coarse"].grid, fused.grid)))
    blurred = None
    if ratio is not None and "coarse" in opened and "pan" in opened:
        coarse_grid = fused.grid.zoom_out(ratio) if aligned["coarse"].same_grid else opened["coarse"].grid
        blurred = _blurred(opened["pan"], coarse_grid, fused)
    gains = gains_of(str(context.options["sensor"]), str(context.options["gains"]), len(fused.bands))
    return Images(AlignedSource(fused, fused.grid, "nearest"), **aligned, blurred=blurred, ratio=ratio, gains=gains)


def _check_grid(source: Source, fused: Source) -> None:
    """Refuse a reference whose pixels are not those of the fused image; its extent may differ."""
    if not same_pixels(source.grid, fused.grid):
        raise UserError(
            f"{source} ({_grid(source)}) is not on the grid of {fused} ({_grid(fused)}); resample one of the two to "
            "the grid of the other, with 'Align rasters' or 'Warp (reproject)'."
        )


def _grid(source: Source) -> str:
    rows, columns = source.shape
    return f"{columns} x {rows} pixels of {source.grid.affine.a:.6g}, {source.crs_name}"


def _blurred(pan: Source, coarse_grid: GeoBox, fused: Source) -> AlignedSource:
    """The panchromatic image taken to the pixels of the coarse image and back to those of the fused one."""
    shrunk = AlignedSource(pan, coarse_grid, "cubic")
    # An aligned image has what is asked of a source here: its grid, its bands and its windows.
    return AlignedSource(cast(Source, shrunk), fused.grid, "cubic")
