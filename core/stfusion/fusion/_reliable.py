"""RASDF on the coarse grid of a whole scene: how reliable the coarse image is, and what the classes change by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stfusion.errors import UserError
from stfusion.fusion._blocks import Blocks, CoarseScene
from stfusion.fusion._fuzzy import fuzzy_centres, membership_sums
from stfusion.fusion._least_squares import bounded_least_squares
from stfusion.fusion._scene import Scene
from stfusion.raster.grids import Box
from stfusion.raster.source import Array
from stfusion.raster.statistics import sample_pixels
from stfusion.raster.tiles import Tile, run_tiles
from stfusion.run import Context

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

#: Side, in fine pixels, of the parts of the scene of a pass over the whole of it.
SIDE = 256
#: Share of the fine pixels of a coarse pixel that have to be valid for it to be used in statistics.
_COMPLETE = 0.999
#: Pixels that the fuzzy classes are fitted to, and steps at most.
_SAMPLE, _STEPS = 10_000, 80
#: Least reliability; what is always reliable enough for unmixing; the quantile that is where this is not.
LEAST_RELIABLE = 0.1
_RELIABLE, _QUANTILE = 0.95, 0.7
#: Least value that others are divided by, in reflectance.
LEAST_VALUE = 1e-3
#: Standard deviations from the mean beyond which something has changed, and those that bound the change of a class.
_CHANGED, _BOUNDS = 2.0, 3.0
#: Coarse pixels, for every class, without which unmixing is left to more of them.
_ENOUGH = 4


@dataclass(frozen=True)
class Surveyed:
    """A pair and the target date on the coarse grid; images are (bands, block rows, block columns).

    ``change`` is the coarse change, NaN where it is not known; ``reliability`` 0.1..1 says how well the coarse image of
    the pair agrees with the fine one; ``complete`` are the coarse pixels that are fully known; ``centres`` (classes,
    bands), ``shares`` (classes, block rows, block columns) and ``changes`` (classes, bands) are those of the fuzzy
    classes; ``contrast`` is the standard deviation of the brightness of the fine image, the sum of its bands relative
    to their means.
    """

    change: Floats
    reliability: Floats
    complete: Flags
    centres: Floats
    shares: Floats
    changes: Floats
    contrast: float

    def residual(self) -> Floats:
        """What the changes of the classes leave of the coarse change."""
        left: Floats = self.change - np.einsum("kb,kyx->byx", self.changes, self.shares)
        return left


def survey(
    scene: Scene, context: Context, coarse: CoarseScene, number: int, unit: float, span: tuple[float, float]
) -> Surveyed:
    """Read a pair once, and unmix the coarse change of the whole scene into changes of fuzzy classes.

    The number of classes, between the options ``fewest`` and ``most``, is the one that explains it best.

    Raises
    ------
    UserError
        No coarse pixel is fully known.
    """
    pair = scene.pairs[number]
    pixels = sample_pixels(pair.fine, _SAMPLE, context.stop).T.astype(np.float64)
    counts = range(int(context.options["fewest"]), int(context.options["most"]) + 1)
    centres = [fuzzy_centres(pixels, count, _STEPS) for count in counts]
    known, fine, shares = _fine_means(scene, context, coarse, number, centres, span)
    first, change = _coarse_images(context, coarse, number, scene.bands)
    complete = (known >= _COMPLETE * coarse.blocks.ratio**2) & ~np.isnan(change[0])
    if not complete.any():
        raise UserError(
            f"No coarse pixel is wholly covered by valid pixels of {pair.fine.source} and valid on both dates; check "
            "masks and nodata values, or choose other dates."
        )
    reliability = _reliability(first, fine, change, complete)
    stable = complete & ~outliers(change, complete)
    best, least, kept = 0, np.inf, True
    changes = []
    for index, fractions in enumerate(shares):
        solution, enough = _unmix(fractions, change, reliability, complete, stable)
        changes.append(solution)
        left = np.abs(change - np.einsum("kb,kyx->byx", solution, fractions))
        error = _relative(left, change, reliability, stable)
        if error < least:
            best, least, kept = index, error, enough
    if not kept:
        context.reporter.warning(
            f"Fewer than {_ENOUGH} reliable, unchanged coarse pixels for each of {len(centres[best])} classes; changed "
            "or unreliable ones were unmixed too. Take fewer classes or a larger scene."
        )
    context.reporter.log(f"The changes of {len(centres[best])} fuzzy classes of {pair.fine.source} explain most.")
    brightness = (pixels / np.maximum(np.abs(pixels.mean(axis=0)), LEAST_VALUE * unit)).sum(axis=1)
    return Surveyed(change, reliability, complete, centres[best], shares[best], changes[best], float(brightness.std()))


def outliers(values: Floats, among: Flags) -> Flags:
    """Coarse pixels (block rows, block columns) far from the mean, over some of them, in any band."""
    own = values[:, among]
    mean, std = own.mean(axis=1), own.std(axis=1)
    found: Flags = (np.abs(values - mean[:, None, None]) > _CHANGED * std[:, None, None]).any(axis=0)
    return found


def _fine_means(
    scene: Scene, context: Context, coarse: CoarseScene, number: int, centres: list[Floats], span: tuple[float, float]
) -> tuple[Floats, Floats, list[Floats]]:
    """Valid pixels of every block, means of the fine image and, for every set of classes, mean memberships."""
    grid, source = coarse.blocks, scene.pairs[number].fine
    ends = 1 + scene.bands + np.cumsum([0] + [len(own) for own in centres])

    def compute(tile: Tile) -> Floats:
        fine = source.read(tile.inner)
        blocks = grid.covering(tile.inner)
        found = np.zeros((ends[-1], *blocks.shape))
        found[: 1 + scene.bands] = _sums(grid, fine, tile.inner)
        for own, first in zip(centres, ends[:-1], strict=True):
            membership_sums(fine, own, grid.ratio, *grid.offset(blocks, tile.inner), found[first : first + len(own)])
        tile.advance(1.0)
        return found

    sums = _summed(context, grid, int(ends[-1]), 0, compute, span)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = sums / sums[:1]
    return sums[0], means[1 : ends[0]], np.split(means[ends[0] :], ends[1:-1] - ends[0])


def block_means(
    context: Context, grid: Blocks, bands: int, halo: int, compute: Callable[[Tile], Array], span: tuple[float, float]
) -> Floats:
    """Means over the blocks of an image of the whole scene that is computed tile by tile (bands, rows, columns)."""
    sums = _summed(context, grid, 1 + bands, halo, lambda tile: _sums(grid, compute(tile), tile.inner), span)
    with np.errstate(invalid="ignore", divide="ignore"):
        means: Floats = sums[1:] / sums[0]
    return means


def _sums(grid: Blocks, image: Array, pixels: Box) -> Floats:
    """The number of valid pixels of every block, and their sum (1 + bands, block rows, block columns)."""
    means, counts = grid.means(image, pixels)
    return np.concatenate([counts[None], np.where(counts > 0, means * counts, 0.0)])


def _summed(
    context: Context, grid: Blocks, number: int, halo: int, compute: Callable[[Tile], Floats], span: tuple[float, float]
) -> Floats:
    """Sums (number, block rows, block columns) over parts of the scene of a fixed size, so always in the same order."""
    sums = np.zeros((number, *grid.shape))

    def keep(box: Box, found: Floats) -> None:
        blocks = grid.covering(box)
        sums[:, blocks.top : blocks.bottom, blocks.left : blocks.right] += found

    run_tiles(context, grid.fine_shape, (SIDE, SIDE), halo, compute, keep, span)
    return sums


def _coarse_images(context: Context, coarse: CoarseScene, number: int, bands: int) -> tuple[Floats, Floats]:
    """The coarse image of a pair, and the coarse change since."""
    first, change = np.empty((2, bands, *coarse.blocks.shape))
    for blocks, _ in coarse.blocks.parts():
        context.stop.check()
        part = slice(None), slice(blocks.top, blocks.bottom), slice(blocks.left, blocks.right)
        first[part] = coarse.pair(number, blocks)
        change[part] = coarse.target(blocks) - first[part]
    return first, change


def _reliability(first: Floats, fine: Floats, change: Floats, complete: Flags) -> Floats:
    """How well the coarse image, fitted to the fine one by a line, agrees with its block means, beside the change."""
    reliability = np.ones(first.shape)
    for x, y, delta, found in zip(first, fine, change, reliability, strict=True):
        own = x[complete] - x[complete].mean()
        squares = (own**2).sum()
        slope = (own * y[complete]).sum() / squares if squares > 0 else 0.0
        error = slope * (x - x[complete].mean()) + y[complete].mean() - y
        mean, std = np.abs(error[complete]).mean(), error[complete].std()
        if mean > 0 and std > 0:
            scale = max(2.0, 2 * np.abs(delta[complete]).mean() / mean) * std
            found[:] = np.maximum(1 - np.abs(error) / scale, LEAST_RELIABLE)
    reliability[:, np.isnan(change[0]) | np.isnan(fine[0])] = np.nan
    return reliability


def _unmix(shares: Floats, change: Floats, reliability: Floats, complete: Flags, stable: Flags) -> tuple[Floats, bool]:
    """The change (classes, bands) of every class by bounded least squares, from stable and reliable coarse pixels.

    Where these are too few, all stable ones or even all complete ones serve; the second value says whether they were
    enough in all bands.
    """
    changes, enough = np.empty((len(shares), len(change))), True
    for band, (delta, own) in enumerate(zip(change, reliability, strict=True)):
        reliable = stable & ((own >= _RELIABLE) | (own > np.quantile(own[complete], _QUANTILE)))
        chosen = [flags for flags in (reliable, stable) if np.count_nonzero(flags) > _ENOUGH * len(shares)]
        used = chosen[0] if chosen else complete
        enough &= used is reliable
        mean, std = delta[complete].mean(), delta[complete].std()
        low, high = mean - _BOUNDS * std, mean + _BOUNDS * std
        changes[:, band] = unmix(shares[:, used], delta[used], low, high)
    return changes, enough


def unmix(shares: Floats, change: Floats, low: float, high: float) -> Floats:
    """The change of every class, from the shares (classes, n) and the changes (n) of coarse pixels."""
    solution: Floats = np.full(len(shares), change.mean())
    bounded_least_squares(shares @ shares.T, shares @ change, low, high, solution)
    return solution


def _relative(left: Floats, change: Floats, reliability: Floats, among: Flags) -> float:
    """The part of the coarse change that is left, summed over the bands; reliable coarse pixels count for more."""
    weights = reliability[:, among]
    whole = (weights * np.abs(change[:, among])).sum(axis=1)
    parts = (weights * left[:, among]).sum(axis=1)
    return float((parts[whole > 0] / whole[whole > 0]).sum())
