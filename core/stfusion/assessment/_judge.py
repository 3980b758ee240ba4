"""Judging predictions that are files: read tile by tile, on the same pixels for all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from stfusion.assessment._metrics import REACH, Assessment, Facts, Mask, Sums, conclude, measure
from stfusion.raster.source import AlignedSource, Array, Box
from stfusion.raster.tiles import Tile, run_tiles, tile_shape, working_bytes
from stfusion.run import Context

Images = Mapping[str, AlignedSource]

#: Name of the true image among the thinned ones.
TRUTH = "reference"
#: Rows and columns of a thinned image at most.
THINNED = 400
#: Values in float64 that measuring a prediction holds at a time, for a pixel and band and for a pixel.
_SCRATCH = (14, 24)
#: Share of the working memory for the tiles.
_TILE_SHARE = 0.5


@dataclass(frozen=True)
class Survey:
    """What a first pass over all images finds.

    ``facts`` are of the true image on the pixels to compare, where it and every prediction are valid; ``covered`` is
    the share of the valid true pixels where a prediction is valid too; ``thinned`` are all images (bands, rows,
    columns) on a regular lattice of pixels, NaN where they are invalid.
    """

    facts: Facts
    covered: Mapping[str, float]
    thinned: Mapping[str, Array]


class _Seen(NamedTuple):
    """What is seen of a tile: facts, valid pixels of the truth and of it and each prediction, thinned images."""

    facts: Facts
    counts: Counter[str]
    thinned: dict[str, Array]


def survey(
    context: Context, truth: AlignedSource, predictions: Images, others: Images, span: tuple[float, float]
) -> Survey:
    """Read every image once; ``others`` are only thinned. ``span`` is the progress at the begin and the end."""
    images = {TRUTH: truth, **predictions, **others}
    bands, (rows, columns) = len(truth.source.bands), truth.shape
    step = -(-max(rows, columns) // THINNED)
    thinned = {name: np.full((bands, -(-rows // step), -(-columns // step)), np.nan, np.float32) for name in images}
    facts, counts = Facts.of(np.empty((bands, 0, 0)), np.empty((0, 0), bool)), Counter[str]()

    def look(tile: Tile) -> _Seen:
        box, thin = tile.inner, {}
        true = truth.read(box)
        valid = common = _valid(true)
        seen = Counter({TRUTH: int(np.count_nonzero(valid))})
        for name, image in images.items():
            values = true if name == TRUTH else image.read(box)
            thin[name] = values[:, -box.top % step :: step, -box.left % step :: step].copy()
            if name in predictions:
                shared = valid & _valid(values)
                seen[name] = int(np.count_nonzero(shared))
                common = common & shared
        tile.advance(1.0)
        return _Seen(Facts.of(true.astype(np.float64), common), seen, thin)

    def merge(box: Box, found: _Seen) -> None:
        nonlocal facts
        # At once, as in judge: many small arrays that are kept would hold the freed memory between them.
        facts += found.facts
        counts.update(found.counts)
        top, left = -(-box.top // step), -(-box.left // step)
        for name, values in found.thinned.items():
            thinned[name][:, top : top + values.shape[1], left : left + values.shape[2]] = values

    run_tiles(context, truth.shape, _tile(context, truth, len(predictions)), 0, look, merge, span)
    return Survey(facts, {name: counts[name] / max(counts[TRUTH], 1) for name in predictions}, thinned)


def judge(
    context: Context, truth: AlignedSource, predictions: Images, facts: Facts, ratio: float | None, unit: float,
    span: tuple[float, float],
) -> dict[str, Assessment]:
    """Measure every prediction on the pixels that are valid in the truth and in all predictions.

    ``facts`` are those that :func:`survey` found; ``ratio`` and ``unit`` are as for
    :func:`stfusion.assessment._metrics.conclude`.
    """
    rows, columns = truth.shape
    sums: dict[str, Sums] = {}

    def compute(tile: Tile) -> dict[str, Sums]:
        own = tile.inner
        box = Box(own.top, min(own.bottom + REACH, rows), own.left, min(own.right + REACH, columns))
        true, images = truth.read(box), {name: image.read(box) for name, image in predictions.items()}
        valid = np.logical_and.reduce([_valid(image) for image in (true, *images.values())])
        true64, found = true.astype(np.float64), {}
        for name, image in images.items():
            found[name] = measure(image.astype(np.float64), true64, valid, own.shape, facts)
            tile.advance(1 / len(images))
        return found

    def merge(box: Box, found: dict[str, Sums]) -> None:
        for name, part in found.items():
            sums[name] = sums[name] + part if name in sums else part

    run_tiles(context, truth.shape, _tile(context, truth, len(predictions)), 0, compute, merge, span)
    return {name: conclude(total, facts, rows * columns, ratio, unit) for name, total in sums.items()}


def _valid(image: Array) -> Mask:
    """Valid pixels: a source has NaN in all bands of an invalid pixel."""
    valid: Mask = ~np.isnan(image[0])
    return valid


def _tile(context: Context, truth: AlignedSource, predictions: int) -> tuple[int, int]:
    """Rows and columns of a tile; all images are read before the first is measured."""
    pixel_bytes = len(truth.source.bands) * (4 * (predictions + 1) + 8 * _SCRATCH[0]) + 8 * _SCRATCH[1]
    budget = int(_TILE_SHARE * working_bytes(context))
    return tile_shape(truth.shape, REACH, pixel_bytes, budget, context.threads)
