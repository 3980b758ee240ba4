"""Filling gaps at work: differences are summed in one pass over an image, and the gaps are filled in a second one."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from stfusion.errors import UserError
from stfusion.folder import make_folder, whole_folder
from stfusion.job import Input
from stfusion.preparation._stack import names_for
from stfusion.raster.grids import Box
from stfusion.raster.output import Content, Encoding, Output, provenance
from stfusion.raster.source import AlignedSource, Array, Source, align
from stfusion.raster.stack import dated, listed, with_masks
from stfusion.raster.tiles import Tile, bounded_gdal, run_tiles, tile_shape, working_bytes
from stfusion.raster.views import resampling_note
from stfusion.run import Context
from stfusion.series import _seam
from stfusion.series._seam import CELL, Cells, Line, Moments, Sums

#: Shares of the working memory for GDAL's cache, for resampled blocks and for the tiles.
_GDAL_SHARE, _CACHE_SHARE, _TILE_SHARE = 0.2, 0.1, 0.4
#: Bytes that a pixel of a tile takes for each band: stored, read, fused, summed in float64 and interpolated.
_BAND_BYTES = 128
#: Side of the tiles of the first pass, a few cells.
_FIRST = 8 * CELL
#: The folder of the masks, and what they say.
MASKS = "filled"
_OBSERVED, _FILLED, _MISSING = 0, 1, 2


class Part(NamedTuple):
    """A window that is filled: as it is stored (bands, rows, columns), its mask (1, rows, columns), what was cut."""

    stored: npt.NDArray[Any]
    mask: npt.NDArray[np.uint8]
    clipped: int


@dataclass(frozen=True)
class _Pair:
    """A fine image, the fused one of its date if there is one, and how its gaps are filled."""

    fine: Source
    fused: AlignedSource | None
    support: float
    margin: int
    seam: bool

    def differences(self, box: Box) -> tuple[Array, Array]:
        """The fused image, and observed minus fused (bands, rows, columns), NaN where one is missing or a gap near."""
        if self.fused is None:
            raise ValueError("A date without a fused image has no differences.")
        wide = box.grown(self.margin, self.fine.shape)
        fine, inner = self.fine.read(wide), (slice(None), *box.within(wide))
        fused = self.fused.read(box)
        found = fine[inner] - fused
        if self.margin:
            from scipy.ndimage import maximum_filter

            near = maximum_filter(np.isnan(fine[0]), 2 * self.margin + 1, mode="constant", cval=0)
            found[:, near[inner[1:]]] = np.nan
        return fused, found


class Correction(NamedTuple):
    """What the fused image of a date is moved by: a regression, and what it leaves in large cells."""

    line: Line
    cells: Sums


def run(context: Context) -> dict[str, Any]:
    """Fill the images of the job.

    Raises
    ------
    UserError
        An image cannot be read or has no date, no date has a fused image, or images do not go together.
    """
    folder, done = context.job.outputs["output"], np.zeros(3, np.int64)
    with bounded_gdal(context, _GDAL_SHARE):
        pairs = _pairs(context)
        names = names_for([pair.fine for pair in pairs], str(context.options["name"]).strip())
        with whole_folder(folder, context.stop) as part:
            if context.options["mask"]:
                make_folder(part / MASKS)
            for number, (pair, name) in enumerate(zip(pairs, names, strict=True)):
                begin, end = (100 * share / len(pairs) for share in (number, number + 1))
                found = _fill(context, pair, part, name, (begin, end))
                context.reporter.log(
                    f"{pair.fine}: {found[_OBSERVED]} pixel(s) observed, {found[_FILLED]} filled, {found[_MISSING]} "
                    "without data."
                )
                done += found
    if done[_MISSING]:
        context.reporter.warning(
            f"{done[_MISSING]} pixel(s) have neither a fine nor a fused value and stay without data."
        )
    return {"output": folder, "images": len(pairs), "filled": int(done[_FILLED]), "missing": int(done[_MISSING])}


def _pairs(context: Context) -> list[_Pair]:
    """The images by date, in the order of time; the log says which dates have no partner."""
    inputs, options = context.job.inputs, context.options
    fine, fused = with_masks(context, "fine"), dated("fused", inputs["fused"])
    if not set(fine) & set(fused):
        spans = {name: f"{min(days)} to {max(days)}" for name, days in (("fine", fine), ("fused", fused))}
        raise UserError(
            f"No fused image ({spans['fused']}) has the date of a fine image ({spans['fine']}); fuse the "
            "dates of the fine images, with 'fuse' for 'Dates with a good fine image'."
        )
    _tell_apart(context, fine, fused)
    cache = int(_CACHE_SHARE * working_bytes(context))
    pairs = []
    for day, image in fine.items():
        source = Source("Fine image", image)
        source.check_end()
        other = None
        if day in fused:
            other = align(_partner(source, fused[day]), source, "bilinear", cache)
            other.source.check_end()
            if not other.same_grid:
                context.reporter.log(resampling_note(other.source, source, "bilinear"))
        pairs.append(_Pair(source, other, float(options["support"]), int(options["margin"]), bool(options["seam"])))
    return pairs


def _partner(fine: Source, image: Input) -> Source:
    fused = Source("Fused image", image)
    if len(fused.bands) != len(fine.bands):
        raise UserError(
            f"{fine} has {len(fine.bands)} band(s) and {fused} has {len(fused.bands)}; choose the bands that belong "
            "together with 'Bands of the fine images' and 'Bands of the fused image'."
        )
    return fused


def _tell_apart(context: Context, fine: Mapping[date, Input], fused: Mapping[date, Input]) -> None:
    lacking, alone = sorted(set(fine) - set(fused)), sorted(set(fused) - set(fine))
    if lacking:
        context.reporter.warning(f"These fine images have no fused one and stay as they are: {listed(lacking)}.")
    if alone:
        context.reporter.log(f"These fused images have no fine one and are passed over: {listed(alone)}.")


def _fill(
    context: Context, pair: _Pair, folder: Path, name: str, span: tuple[float, float]
) -> npt.NDArray[np.int64]:
    """Write the image of a date; its numbers of pixels observed, filled and without data."""
    fine, found = pair.fine, np.zeros(3, np.int64)
    middle = (span[0] + span[1]) / 2
    halo = CELL + pair.margin
    budget = int(_TILE_SHARE * working_bytes(context))
    shape = tile_shape(fine.shape, halo + CELL, _BAND_BYTES * len(fine.bands), budget, context.threads)
    correction = _correction(context, pair, (span[0], middle)) if pair.seam and pair.fused is not None else None
    tags = provenance(context, fine.date)
    clipped = 0
    with ExitStack() as stack:
        output = stack.enter_context(Output(str(folder / name), fine, tags, context.stop))
        outputs = [output]
        if context.options["mask"]:
            path = str(folder / MASKS / name)
            outputs.append(stack.enter_context(Output(path, fine, tags, context.stop, _mask())))

        def compute(tile: Tile) -> Part:
            part = _filled(pair, tile.inner, output.encoding, correction)
            tile.advance(1.0)
            return part

        def write(box: Box, part: Part) -> None:
            nonlocal clipped
            clipped += part.clipped
            found[:] += np.bincount(part.mask.ravel(), minlength=3)
            for each, values in zip(outputs, (part.stored, part.mask), strict=False):
                each.write_stored(box, values)

        run_tiles(context, fine.shape, shape, 0, compute, write, (middle, span[1]))
        for each in outputs:
            each.finish(context.threads)
    if clipped:
        context.reporter.warning(f"{clipped} filled value(s) of {fine} were cut to what {fine.dtype} can hold.")
    return found


def _mask() -> Content:
    return Content(Encoding(np.dtype(np.uint8), 255, np.ones(1), np.zeros(1)), ("filled",))


def _correction(context: Context, pair: _Pair, span: tuple[float, float]) -> Correction:
    """What the whole image says of the difference; in fixed tiles, so that the sums are always the same."""
    shape, bands = pair.fine.shape, len(pair.fine.bands)
    rows, columns = (-(-size // CELL) for size in shape)
    whole = Cells(np.zeros((2 * bands, rows, columns)), np.zeros((rows, columns)))
    total = Moments(0, np.zeros((1 + bands, 2 * bands)))

    def compute(part: Tile) -> tuple[Moments, Cells]:
        fused, differences = pair.differences(part.inner)
        cells = _seam.pixels(np.concatenate([fused, differences]))
        for _ in range(_seam.LEVELS):
            cells = _seam.larger(cells)
        part.advance(1.0)
        return _seam.moments(fused, differences), cells

    def write(box: Box, part: tuple[Moments, Cells]) -> None:
        nonlocal total
        found, cells = part
        total = total.with_more(found)
        place = _cells_of(box)
        whole.sums[(slice(None), *place)], whole.counts[place] = cells

    run_tiles(context, shape, (_FIRST, _FIRST), 0, compute, write, span)
    line = _seam.regression(total)
    fused, differences = whole.sums[:bands], whole.sums[bands:]
    # The constant of the regression counts once for every pixel of a cell.
    explained = Line(np.zeros(bands), line.slopes).at(fused) + line.constant[:, None, None] * whole.counts
    return Correction(line, _seam.over_the_image(Cells(differences - explained, whole.counts), pair.support))


def _cells_of(box: Box) -> tuple[slice, slice]:
    """The rows and columns of the large cells that a window from the corner of a cell consists of."""
    return (
        slice(box.top // CELL, -(-box.bottom // CELL)), slice(box.left // CELL, -(-box.right // CELL)),
    )


def _filled(pair: _Pair, box: Box, encoding: Encoding, correction: Correction | None) -> Part:
    """A window with its gaps filled, as it is stored."""
    stored, gaps = pair.fine.read_stored(box)
    values = pair.fine.read(box)
    if pair.fused is not None and gaps.any():
        values[:, gaps] = pair.fused.read(box)[:, gaps]
        if correction is not None:
            values[:, gaps] += _carried(pair, box, correction)[:, gaps]
    encoded, clipped = encoding.encode(values)
    # What was observed is written as it was read: a way through float32 could change it.
    observed = ~gaps & (stored != encoding.nodata)
    missing = np.isnan(values[0])
    mask = np.where(gaps, np.where(missing, _MISSING, _FILLED), _OBSERVED).astype(np.uint8)
    return Part(np.where(observed, stored, encoded).astype(encoding.dtype), mask[None], clipped)


def _carried(pair: _Pair, box: Box, correction: Correction) -> Array:
    """What the pixels of a window are moved by (bands, rows, columns), as the pixels around have it."""
    bands, rows, columns = correction.cells.shape
    top, left = (max(0, first // CELL - 1) for first in (box.top, box.left))
    bottom, right = min(rows, -(-box.bottom // CELL) + 1), min(columns, -(-box.right // CELL) + 1)
    wide = Box(top * CELL, bottom * CELL, left * CELL, right * CELL)
    known = Box(wide.top, min(wide.bottom, pair.fine.shape[0]), wide.left, min(wide.right, pair.fine.shape[1]))
    fused, differences = pair.differences(known)
    explained = correction.line.at(fused)
    left_over = np.full((bands, *wide.shape), np.nan)
    left_over[(slice(None), *known.within(wide))] = differences - explained
    carried = _seam.into_pixels(_seam.pixels(left_over), correction.cells[:, top:bottom, left:right], pair.support)
    moved = explained[(slice(None), *box.within(known))] + carried[(slice(None), *box.within(wide))]
    found: Array = moved.astype(np.float32)
    return found
