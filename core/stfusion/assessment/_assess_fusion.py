"""The assessment of one fused image at work: open and check the layers, measure tile by tile, write the report."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np

from stfusion.assessment._angles import angles
from stfusion.assessment._full_resolution import Evidence
from stfusion.assessment._fusion_images import Images, open_images
from stfusion.assessment._fusion_report import write_results
from stfusion.assessment._judge import TRUTH, blank, reached, tile_of, valid_pixels
from stfusion.assessment._measure import Facts, Sums, Terms, conclude, measure
from stfusion.assessment._metrics import ALL, Assessment
from stfusion.assessment._thinned import Thinned
from stfusion.assessment._zones import Zoning, open_zones
from stfusion.errors import UserError
from stfusion.folder import whole_folder
from stfusion.fusion._scene import reflectance_unit
from stfusion.raster.grids import Box
from stfusion.raster.output import Content, Output, provenance
from stfusion.raster.source import Array
from stfusion.raster.statistics import part_shape
from stfusion.raster.style import DIVERGING, SEQUENTIAL, ramp
from stfusion.raster.tiles import Tile, bounded_gdal, run_tiles
from stfusion.run import Context

#: Name of the fused image among the thinned ones.
_FUSED = "predicted"
#: Share of the working memory for GDAL's cache.
_GDAL_SHARE = 0.4
#: Rows and columns of a part that tells about how large values are.
_PART = 256
#: Progress, in per cent, at the end of the first look at the images and of measuring them.
_SURVEYED, _MEASURED = 25.0, 90.0
#: Percentile of the errors and angles that gets the last colour of a layer.
_LAST_COLOUR = 98.0


@dataclass
class Found:
    """What is found of a fused image: its scores, those of its zones by label, the evidence that needs no reference.

    ``whole`` is None where there is no reference. ``fused`` and ``truth`` are thinned images, the same one where there
    is no reference.
    """

    images: Images
    terms: Terms
    evidence: Evidence
    fused: Array
    truth: Array
    whole: Assessment | None = None
    zones: dict[str, Assessment] = field(default_factory=dict)
    flat_blocks: int = 0


class _Part(NamedTuple):
    """What is found in a tile."""

    sums: Sums | None
    evidence: Evidence
    thinned: Mapping[str, Array]
    rasters: Mapping[str, Array]


def run(context: Context) -> dict[str, Any]:
    """Assess the fused image of the job; the result has the paths of what was written and the main numbers.

    Raises
    ------
    UserError
        The layers cannot be used, or do not go together.
    """
    output = context.job.outputs["output"]
    with bounded_gdal(context, _GDAL_SHARE):
        context.reporter.stage("Opening and checking the images", 1, 4)
        images = open_images(context)
        zoning = open_zones(context, images.predicted.source)
        if zoning is not None and images.reference is None:
            raise UserError(
                "Errors by class or zone need a reference image; give one, or leave the class map and the zones empty."
            )
        with whole_folder(output, context.stop) as part, ExitStack() as stack:
            rasters = {name: stack.enter_context(raster) for name, raster in _rasters(context, images).items()}
            found = _measured(context, images, zoning, rasters)
            context.reporter.stage("Writing the report", 4, 4)
            write_results(context, found, part)
            for name, raster in rasters.items():
                raster.finish(context.threads, _style(name, found))
    values = {name: score.mean for name, score in found.whole.scores.items()} if found.whole else {}
    values |= found.evidence.indices()
    numbers = {
        result.id: values[result.id]
        for result in context.method.results if not np.isnan(values.get(result.id, np.nan))
    }
    for result in context.method.results:
        if result.id in numbers:
            context.reporter.log(f"{result.title}: {numbers[result.id]:.6g}")
    return {**context.job.outputs, "report": str(Path(output) / "report.html"), **numbers}


def _measured(context: Context, images: Images, zoning: Zoning | None, rasters: Mapping[str, Output]) -> Found:
    """Find what the metrics depend on, and then measure every tile."""
    context.reporter.stage("Looking at the images", 2, 4)
    facts, seen = _facts(context, images)
    terms = _terms(context, images, seen)
    context.reporter.stage("Measuring", 3, 4)
    sums, evidence, thinned = _measure_tiles(context, images, zoning, facts, terms, rasters)
    some = sums.count("pixels") if sums else evidence.some or np.isfinite(thinned[_FUSED]).any()
    if not some:
        _refuse_empty(images)
    found = Found(images, terms, evidence, thinned[_FUSED], thinned.get(TRUTH, thinned[_FUSED]))
    if sums is not None:
        pixels = images.predicted.shape[0] * images.predicted.shape[1]
        found.whole = conclude(sums.whole, facts, pixels, terms)
        found.flat_blocks = sums.count("flat")
        for number, label in enumerate(zoning.labels if zoning else []):
            found.zones[label] = conclude(sums.zone(number), facts, pixels, terms)
    return found


def _facts(context: Context, images: Images) -> tuple[Facts, Array]:
    """What has to be known of the reference, and a part of it, or a thinned image, by which its unit is told.

    All of it is read where SSIM takes its range; else a part is, whose mean is near the true one.
    """
    truth = images.reference or images.predicted
    if images.reference is None or context.options["data_range"]:
        values = truth.read(_middle(truth.shape))
        return Facts.of(values, valid_pixels(values)), values
    bands = len(truth.source.bands)
    facts = Facts.of(np.empty((bands, 0, 0), np.float32), np.empty((0, 0), bool))
    thinned = Thinned([TRUTH], truth.shape, blank(bands))

    def look(tile: Tile) -> tuple[Facts, dict[str, Array]]:
        values = truth.read(tile.inner)
        valid = valid_pixels(values) & valid_pixels(images.predicted.read(tile.inner))
        tile.advance(1.0)
        return Facts.of(values, valid), {TRUTH: thinned.pick(tile.inner, values)}

    def merge(box: Box, found: tuple[Facts, dict[str, Array]]) -> None:
        nonlocal facts
        facts += found[0]
        thinned.keep(box, found[1])

    run_tiles(context, truth.shape, part_shape(truth), 0, look, merge, (0.0, _SURVEYED))
    if not facts.count:
        _refuse_empty(images)
    return facts, thinned.images[TRUTH]


def _middle(shape: tuple[int, int]) -> Box:
    """A part in the middle of an image."""
    top, left = (max(0, (side - _PART) // 2) for side in shape)
    return Box(top, min(top + _PART, shape[0]), left, min(left + _PART, shape[1]))


def _refuse_empty(images: Images) -> NoReturn:
    if images.reference is None:
        raise UserError(f"{images.predicted.source} has no valid pixel; check its nodata value and its mask.")
    raise UserError(
        f"{images.predicted.source} and {images.reference.source} have no valid pixel in common; check their nodata "
        "values, masks and places."
    )


def _tile(context: Context, images: Images) -> tuple[int, int]:
    """Rows and columns of a tile."""
    bands = len(images.predicted.source.bands)
    return tile_of(context, images.predicted.shape, bands, images.number, images.margin)


def _terms(context: Context, images: Images, seen: Array) -> Terms:
    """What the metrics depend on, from the options and from values that were seen of the reference."""
    data_range, unit = float(context.options["data_range"]), float(context.options["unit"])
    peak = data_range or None
    if peak is None and images.reference is not None and not np.isnan(seen).all():
        peak = reflectance_unit(context, images.reference.source, seen)
    return Terms(
        images.ratio, unit or 1.0, int(context.options["window"]), data_range or None, peak,
        bool(context.options["whole_numbers"]), tuple(ALL),
    )


def _measure_tiles(
    context: Context, images: Images, zoning: Zoning | None, facts: Facts, terms: Terms,
    rasters: Mapping[str, Output],
) -> tuple[Sums | None, Evidence, Mapping[str, Array]]:
    """Measure every tile, write the rasters of errors and angles that are asked for, and thin the images."""
    shape, bands = images.predicted.shape, len(images.predicted.source.bands)
    sums: Sums | None = None
    evidence = Evidence.none(bands)
    thinned = Thinned([_FUSED] if images.reference is None else [_FUSED, TRUTH], shape, blank(bands))

    def compute(tile: Tile) -> _Part:
        found = _measure_tile(tile.inner, images, zoning, facts, terms, thinned, set(rasters))
        tile.advance(1.0)
        return found

    def merge(box: Box, part: _Part) -> None:
        nonlocal sums, evidence
        evidence = evidence + part.evidence
        thinned.keep(box, part.thinned)
        if part.sums is not None:
            sums = part.sums if sums is None else sums + part.sums
        for name, values in part.rasters.items():
            rasters[name].write(box, values)

    run_tiles(context, shape, _tile(context, images), 0, compute, merge, (_SURVEYED, _MEASURED))
    return sums, evidence, thinned.images


def _measure_tile(
    own: Box, images: Images, zoning: Zoning | None, facts: Facts, terms: Terms, thinned: Thinned, wanted: set[str]
) -> _Part:
    evidence = images.evidence(own, terms.whole_numbers)
    if images.reference is None:
        return _Part(None, evidence, {_FUSED: thinned.pick(own, images.predicted.read(own))}, {})
    box = reached(own, terms, images.predicted.shape)
    p, t = images.predicted.read(box), images.reference.read(box)
    valid = valid_pixels(p) & valid_pixels(t)
    zones = {} if zoning is None else {"zones": zoning.read(box), "count": zoning.count}
    sums = measure(p, t, valid, own.shape, facts, terms, **zones)  # type: ignore[arg-type]
    rows, columns = own.shape
    made: dict[str, Array] = {}
    if "error" in wanted:
        made["error"] = (p - t)[:, :rows, :columns]
    if "angle" in wanted:
        made["angle"] = angles(p, t, valid, rows, columns)[None].astype(np.float32)
    return _Part(sums, evidence, {_FUSED: thinned.pick(own, p), TRUTH: thinned.pick(own, t)}, made)


def _rasters(context: Context, images: Images) -> dict[str, Output]:
    """The rasters that are asked for, by the ids of the outputs."""
    source, asked = images.predicted.source, context.job.outputs
    names = {"error": source.names, "angle": ["Spectral angle in degrees"]}
    if images.reference is None and set(names) & set(asked):
        raise UserError("An image of errors or angles needs a reference image; give one, or leave the output empty.")
    tags = provenance(context, None)
    return {
        name: Output(asked[name], source, tags, context.stop, Content.of_numbers(bands))
        for name, bands in names.items() if name in asked
    }


def _style(name: str, found: Found) -> str:
    """The colours of a raster: of errors about 0, of angles from 0."""
    p, t = found.fused, found.truth
    if name == "error":
        limit = _limit(np.abs(p[0] - t[0]))
        return ramp(DIVERGING, -limit, limit)
    valid = valid_pixels(p) & valid_pixels(t)
    return ramp(SEQUENTIAL, 0.0, _limit(angles(p, t, valid, *valid.shape)))


def _limit(values: Any) -> float:
    """A percentile of the valid values, above 0."""
    values = values[np.isfinite(values)]
    return (float(np.percentile(values, _LAST_COLOUR)) if values.size else 1.0) or 1.0
