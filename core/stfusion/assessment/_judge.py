"""Judging predictions that are files: read tile by tile, on the same pixels for all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from stfusion.assessment._hypercomplex import BLOCK
from stfusion.assessment._measure import Facts, Mask, Sums, Terms, conclude, measure
from stfusion.assessment._metrics import Assessment
from stfusion.assessment._thinned import Thinned
from stfusion.raster.grids import Box
from stfusion.raster.source import AlignedSource, Array
from stfusion.raster.tiles import Tile, run_tiles, tile_shape, working_bytes
from stfusion.run import Context

Images = Mapping[str, AlignedSource]

#: Name of the true image among the thinned ones.
TRUTH = "reference"
#: Bytes that measuring a prediction holds at a time: for a pixel and band (the blocks of Q2n), and for a pixel.
_SCRATCH = (72, 32)
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
    bands = len(truth.source.bands)
    thinned = Thinned(images, truth.shape, blank(bands))
    facts, counts = Facts.of(np.empty((bands, 0, 0)), np.empty((0, 0), bool)), Counter[str]()

    def look(tile: Tile) -> _Seen:
        box, thin = tile.inner, {}
        true = truth.read(box)
        valid = common = valid_pixels(true)
        seen = Counter({TRUTH: int(np.count_nonzero(valid))})
        for name, image in images.items():
            values = true if name == TRUTH else image.read(box)
            thin[name] = thinned.pick(box, values)
            if name in predictions:
                shared = valid & valid_pixels(values)
                seen[name] = int(np.count_nonzero(shared))
                common = common & shared
        tile.advance(1.0)
        return _Seen(Facts.of(true, common), seen, thin)

    def merge(box: Box, found: _Seen) -> None:
        nonlocal facts
        # At once, as in judge: many small arrays that are kept would hold the freed memory between them.
        facts += found.facts
        counts.update(found.counts)
        thinned.keep(box, found.thinned)

    run_tiles(context, truth.shape, tile_of(context, truth.shape, bands, len(images)), 0, look, merge, span)
    return Survey(facts, {name: counts[name] / max(counts[TRUTH], 1) for name in predictions}, thinned.images)


def judge(
    context: Context, truth: AlignedSource, predictions: Images, facts: Facts, terms: Terms, span: tuple[float, float]
) -> dict[str, Assessment]:
    """Measure every prediction on the pixels that are valid in the truth and in all predictions.

    ``facts`` are those that :func:`survey` found.
    """
    sums: dict[str, Sums] = {}

    def compute(tile: Tile) -> dict[str, Sums]:
        box = reached(tile.inner, terms, truth.shape)
        true, images = truth.read(box), {name: image.read(box) for name, image in predictions.items()}
        valid = np.logical_and.reduce([valid_pixels(image) for image in (true, *images.values())])
        found = {}
        for name, image in images.items():
            found[name] = measure(image, true, valid, tile.inner.shape, facts, terms)
            tile.advance(1 / len(images))
        return found

    def merge(box: Box, found: dict[str, Sums]) -> None:
        for name, part in found.items():
            sums[name] = sums[name] + part if name in sums else part

    tile = tile_of(context, truth.shape, len(truth.source.bands), len(predictions) + 1)
    run_tiles(context, truth.shape, tile, 0, compute, merge, span)
    pixels = truth.shape[0] * truth.shape[1]
    return {name: conclude(total.whole, facts, pixels, terms) for name, total in sums.items()}


def reached(own: Box, terms: Terms, shape: tuple[int, int]) -> Box:
    """A part of an image of this shape with the pixels that the windows beginning in it reach."""
    return Box(own.top, min(own.bottom + terms.reach, shape[0]), own.left, min(own.right + terms.reach, shape[1]))


def blank(bands: int) -> Array:
    """A pixel that is invalid."""
    return np.full(bands, np.nan, np.float32)


def valid_pixels(image: Array) -> Mask:
    """Valid pixels: a source has NaN in all bands of an invalid pixel."""
    valid: Mask = ~np.isnan(image[0])
    return valid


def tile_of(
    context: Context, shape: tuple[int, int], bands: int, images: int, margin: int = 0
) -> tuple[int, int]:
    """Rows and columns of a tile when this many images of this many bands are read before the first is measured.

    ``margin`` has the pixels that are read beside a tile, beyond the few of its windows. Tiles begin at blocks of Q2n,
    and none is narrower than a block, unless the image is.
    """
    pixel_bytes = bands * (4 * images + _SCRATCH[0]) + _SCRATCH[1]
    budget = int(_TILE_SHARE * working_bytes(context))
    rows, columns = tile_shape(shape, max(BLOCK, margin), pixel_bytes, budget, context.threads)
    return _of_blocks(rows, shape[0]), _of_blocks(columns, shape[1])


def _of_blocks(side: int, size: int) -> int:
    """The side of a tile made a multiple of a block that leaves no narrower rest."""
    sides = range(side // BLOCK * BLOCK, 0, -BLOCK)
    return next((side for side in sides if size % side == 0 or size % side >= BLOCK), size)
