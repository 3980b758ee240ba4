"""ESTARFM computed: statistics of the scene, and its tiles strip by strip."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from stfusion.fusion._estarfm_kernels import predict_rows
from stfusion.fusion._estarfm_pixel import CONVERSIONS, KINDS, Rules
from stfusion.fusion._estarfm_tables import (
    Codes,
    Floats,
    Images,
    Mask,
    Sizes,
    Tables,
    empty_tables,
    plain_codes,
    sizes,
    tabulate,
)
from stfusion.fusion._fuse import Tally, fuse
from stfusion.fusion._scene import Patch, Scene, moving_window, reflectance_unit
from stfusion.raster.grids import blocks
from stfusion.raster.source import Array
from stfusion.raster.statistics import moments
from stfusion.raster.tiles import Tile, strip_share
from stfusion.run import Context

#: Added to the mean change of a window, in reflectance, so that no date has infinite weight (of the authors' code).
_LEAST_MEAN = 1e-14
#: Comparisons between two looks at the cancel flag: about a tenth of a second.
_VISITS = 600_000_000


def run(context: Context) -> dict[str, Any]:
    """Run an ESTARFM job."""
    return fuse(context, Estarfm)


class Estarfm:
    """ESTARFM prepared for a scene: the limits of similarity, the valid range and the rules of the coefficient.

    Raises
    ------
    UserError
        The window is larger than the image.
    """

    notes: ClassVar[Mapping[str, str]] = {
        "few": "had five similar pixels or fewer and took the fine values plus the mean coarse change of the window",
        "unchanged": "took the conversion coefficient 1, since the coarse images of the pairs hardly differ there",
        "insignificant": "took the conversion coefficient 1, since the regression is not significant there",
        "steep": "took the conversion coefficient 1, since the one found was not between 0 and 5",
        "outside": "were predicted outside the valid range and took the mean fine value of the similar pixels",
        "alone": "were predicted from one pair, since the other has a gap there",
    }

    def __init__(self, scene: Scene, context: Context) -> None:
        options = context.options
        window = moving_window(context, scene)
        self.halo = window // 2
        self._bands = scene.bands
        unit = reflectance_unit(context, scene.reference)
        side = int(options["block"]) or max(scene.shape)
        lowest, highest = _valid_range(scene, context, unit)
        y, x = np.mgrid[-self.halo : self.halo + 1, -self.halo : self.halo + 1]
        self._limits = _limits(scene, context, side, float(options["classes"]))
        self._rules = Rules(
            limits=self._limits[0],
            side=side,
            distance=(1.0 + np.hypot(y, x) / self.halo).astype(np.float32),
            conversion=CONVERSIONS.index(str(options["conversion"])),
            unbiased=bool(options["bias_correction"]),
            least_change=float(options["least_change"]) * unit,
            least_r2=_least_r2(window * window),
            least_mean=_LEAST_MEAN * unit,
            lowest=lowest,
            highest=highest,
        )
        self._middle = _middle(scene)
        self._codes = _codes(scene)
        self._scene = scene
        self._cuda = context.device.cuda
        self.pixel_bytes = self._count_bytes()

    def _count_bytes(self) -> int:
        """The output, and images and tables of a strip with half a window around it, as a part of a usual tile."""
        size = self._sizes(1, 1)
        cell = 4 * (2 * self._bands + 1 + size.moments + size.changes)
        return int(4 * self._bands + strip_share(self.halo) * (36 * self._bands + 4 + cell))

    def predict(self, patch: Patch, tile: Tile, tally: Tally) -> Array:
        """Predict the tile's inner box strip by strip, of which the images are read one after the other."""
        rows, columns = tile.inner.shape
        values = np.full((rows, columns, self._bands), np.nan, np.float32)
        for strip in tile.strips(self.halo, self._scene.shape):
            part = slice(strip.inner.top - tile.inner.top, strip.inner.bottom - tile.inner.top)
            self._predict_strip(self._scene.read(strip.outer), strip, values[part], tally)
        return values.transpose(2, 0, 1)

    def _predict_strip(self, patch: Patch, strip: Tile, values: Array, tally: Tally) -> None:
        """Predict a strip from both pairs, and what only one pair knows from that one alone."""
        first, second = (
            ~np.isnan(fine[0] + coarse[0] + patch.target[0])
            for fine, coarse in zip(patch.fine, patch.coarse, strict=True)
        )
        (top, left), (rows, columns) = strip.offset, strip.inner.shape
        inner = slice(top, top + rows), slice(left, left + columns)
        both = first & second
        counts = np.zeros(len(KINDS), np.int64)
        self._predict(patch, strip, (0, 1), both, both[inner], values, counts)
        for name, count in zip(KINDS, counts, strict=True):
            tally.add(name, int(count))
        for pair, valid in enumerate((first, second)):
            alone = (valid & ~both)[inner]
            if alone.any():
                # Both dates are that of the pair: the coefficient is 1, and both halves of the result are the same.
                self._predict(patch, strip, (pair, pair), valid, alone, values, np.zeros(len(KINDS), np.int64))
                tally.add("alone", int(np.count_nonzero(alone)) * self._bands)

    def _predict(
        self,
        patch: Patch,
        strip: Tile,
        pairs: tuple[int, int],
        valid: Mask,
        wanted: Mask,
        values: Array,
        counts: npt.NDArray[np.int64],
    ) -> None:
        """Predict the wanted pixels of a strip from two pairs."""
        rules = self._rules._replace(limits=np.concatenate([self._limits[pair] for pair in pairs], axis=-1))
        fine, coarse = (np.concatenate([images[pair] for pair in pairs]) for images in (patch.fine, patch.coarse))
        images, (rows, columns) = Images(fine, coarse, patch.target), strip.inner.shape
        origin = strip.inner.top, strip.inner.left
        corner = strip.offset[0] - self.halo, strip.offset[1] - self.halo
        # A second pass, over what one pair alone knows, is mostly short.
        share = 1.0 if pairs == (0, 1) else 0.0
        size = self._sizes(rows, columns)
        if self._cuda:
            from stfusion.fusion import _estarfm_cuda

            _estarfm_cuda.predict(images, valid, corner, self._middle, size, rules, wanted, origin, values, counts)
            strip.advance(share)
            return
        codes, tables = self._tabulate(images, valid, corner, pairs, size)
        step = max(1, _VISITS // (rules.distance.size * columns * 2 * self._bands))
        for begin in range(0, rows, step):
            end = min(begin + step, rows)
            predict_rows(tables, codes, rules, wanted, origin, begin, end, values, counts)
            strip.advance((end - begin) / rows * share)

    def _tabulate(
        self, images: Images, valid: Mask, corner: tuple[int, int], pairs: tuple[int, int], size: Sizes
    ) -> tuple[Codes, Tables]:
        """The tables of a strip, with whole numbers where these can tell all fine values."""
        if self._codes is not None:
            codes, tables = Codes(*(v[list(pairs)].reshape(-1) for v in self._codes)), empty_tables(size, whole=True)
            if tabulate(images, valid, *corner, self._middle, codes, tables):
                return codes, tables
        codes, tables = plain_codes(self._bands), empty_tables(size, whole=False)
        tabulate(images, valid, *corner, self._middle, codes, tables)
        return codes, tables

    def _sizes(self, rows: int, columns: int) -> Sizes:
        needs_moments = CONVERSIONS[self._rules.conversion] != "one"
        return sizes(rows, columns, self.halo, self._bands, needs_moments, self._rules.unbiased)


def _codes(scene: Scene) -> Codes | None:
    """Scale and offset (pairs, bands) of whole numbers from 0 on, where all fine images hold 16 bits at most."""
    sources = [pair.fine.source for pair in scene.pairs]
    types = [np.dtype(source.dtype) for source in sources]
    scale = np.array([source.scales for source in sources])
    small = all(kind.kind in "iu" and kind.itemsize <= 2 for kind in types)
    if not small or (scale <= 0).any() or not all(pair.fine.same_grid for pair in scene.pairs):
        return None
    least = np.array([[np.iinfo(kind).min] for kind in types])
    return Codes(scale, np.array([source.offsets for source in sources]) + least * scale)


def _middle(scene: Scene) -> Floats:
    """Values (2, bands) near the means of the fine and of the coarse images, with few digits."""
    samples = [[getattr(pair, sensor).source.sample.values for pair in scene.pairs] for sensor in ("fine", "coarse")]
    means = [np.mean([np.nanmean(values, axis=(1, 2), dtype=np.float64) for values in two], axis=0) for two in samples]
    return np.array(means, np.float32).astype(np.float64)


def _limits(scene: Scene, context: Context, side: int, classes: float) -> Floats:
    """Largest differences of similar pixels, 2 standard deviations (of samples) / classes.

    (pairs, rows of blocks, columns of blocks, bands) for blocks of this side, which may be as large as the scene.
    """
    grid = tuple(-(-length // side) for length in scene.shape)
    limits = np.zeros((len(scene.pairs), *grid, scene.bands))
    for number, pair in enumerate(scene.pairs):
        if grid == (1, 1):
            whole = moments(pair.fine, context.stop)
            limits[number] = 2.0 * whole.std * np.sqrt(whole.count / max(1, whole.count - 1)) / classes
        else:
            for box in blocks(scene.shape, side):
                context.stop.check()
                limits[number, box.top // side, box.left // side] = 2.0 * _deviation(pair.fine.read(box)) / classes
        context.reporter.progress(5.0 * (number + 1) / len(scene.pairs))
    return limits


def _deviation(values: Array) -> Floats:
    """Standard deviation of every band over the valid pixels; 0 where there are not two of them."""
    valid = values[:, ~np.isnan(values[0])].astype(np.float64)
    return valid.std(axis=1, ddof=1) if valid.shape[1] > 1 else np.zeros(len(values))


def _valid_range(scene: Scene, context: Context, unit: float) -> tuple[float, float]:
    """The valid range in the unit of the images; a bound that the fine images do not keep themselves is left out."""
    low, high = (float(context.options[name]) * unit for name in ("lowest", "highest"))
    samples = [pair.fine.source.sample.values for pair in scene.pairs]
    least, most = np.percentile(np.concatenate([s[~np.isnan(s)] for s in samples]), (2, 98))
    return (low if least >= low else -np.inf), (high if most <= high else np.inf)


def _least_r2(points: int) -> Floats:
    """The least r² of a regression over n candidates at two dates that is significant with p <= 0.05, n = 0..points.

    From the 97.5 % quantile t of Student's distribution with 2 n - 2 degrees of freedom, r² = t² / (t² + 2 n - 2),
    by the expansion of Abramowitz and Stegun (1964, 26.7.5), right to 1e-5 from six candidates on.
    """
    degrees = np.maximum(2.0 * np.arange(points + 1) - 2.0, 1.0)
    z = 1.959963984540054
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    t = sum(term / degrees**power for power, term in enumerate(terms))
    least: Floats = t**2 / (t**2 + degrees)
    return least
