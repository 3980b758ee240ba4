"""STARFM computed: statistics, weights and the moving-window kernel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from stfusion.errors import UserError
from stfusion.fusion._classes import SAMPLE, cluster, nearest
from stfusion.fusion._fuse import Tally, fuse
from stfusion.fusion._kernels import FAR_AWAY, accumulate, accumulate_jointly, margin
from stfusion.fusion._scene import Patch, Scene, moving_window, reflectance_unit
from stfusion.raster.source import Array
from stfusion.raster.statistics import moments, sample_pixels
from stfusion.raster.tiles import Tile, strip_share
from stfusion.run import Context

#: B of the logarithmic weights for reflectance 0..1.
_LOG_SCALE = 1e4
#: Neighbours that the kernel visits between two looks at the cancel flag: about a tenth of a second.
_VISITS = 200_000_000
#: The same for a CUDA card: each look costs a copy of the tile.
_CARD_VISITS = 100 * _VISITS
#: ``either``, spatial weights, and the position of the tile in the images that are read for it.
Place = tuple[bool | None, Array, int, int]
#: From guides (guides, H, W), their thresholds, the parts of the neighbours (4, bands, H, W: value, spectral and
#: temporal difference, weight), the bounds (2, bands, rows, columns), the place, and the sums (2, bands, rows,
#: columns) that are added to: what computes the rows from the first to the second number.
Begin = Callable[[Array, Array, Array, Array, Place, Array], Callable[[int, int], None]]


def run(context: Context) -> dict[str, Any]:
    """Run a STARFM job."""
    return fuse(context, Starfm)


class Starfm:
    """STARFM prepared for a scene: the standard deviations or classes of its fine images, and the spatial weights.

    Raises
    ------
    UserError
        The window is larger than the image, or a band that is to decide similarity does not exist.
    """

    notes: ClassVar[Mapping[str, str]] = {
        "fallback": "had no similar pixel that passed the filter and took the fine value plus the coarse change",
    }

    def __init__(self, scene: Scene, context: Context) -> None:
        options = context.options
        window = moving_window(context, scene)
        self.halo = window // 2
        unit = reflectance_unit(context, scene.reference)
        fine, coarse = (float(options[f"{sensor}_uncertainty"]) * unit for sensor in ("fine", "coarse"))
        self._spectral_margin = np.float32(np.hypot(fine, coarse))
        self._temporal_margin = np.float32(np.sqrt(2.0) * coarse)
        self._floor = np.float32(float(options["smallest_difference"]) * unit)
        self._log_scale = np.float32(_LOG_SCALE / unit) if options["logarithmic"] else None
        self._either = True if options["filter"] == "either" else None
        self._spatial = _spatial_weights(self.halo, float(options["distance_constant"]))
        self._guides = _Guides(scene, context)
        self._begin: Begin = _jointly if self._guides.joint else _one_band
        self._visits = _VISITS
        if context.device.cuda:
            from stfusion.fusion import _cuda

            self._begin, self._visits = _cuda.starfm, _CARD_VISITS
        self._scene = scene
        # The output; of a strip its images, and for the bands that are computed together the differences of all pairs
        # and of one its guides, parts, bounds and sums.
        together, pairs = scene.bands if self._guides.joint else 1, len(scene.pairs)
        strip = scene.bands * (2 * pairs + 1) + together * (2 * pairs + 20)
        self.pixel_bytes = int(4 * (scene.bands + strip_share(self.halo) * strip))

    def predict(self, patch: Patch, tile: Tile, tally: Tally) -> Array:
        """Predict the tile's inner box strip by strip, of which the images are read one after the other."""
        values = np.empty((self._scene.bands, *tile.inner.shape), np.float32)
        for strip in tile.strips(self.halo, self._scene.shape):
            part = slice(strip.inner.top - tile.inner.top, strip.inner.bottom - tile.inner.top)
            self._predict_strip(self._scene.read(strip.outer), strip, values[:, part], tally)
        return values

    def _predict_strip(self, patch: Patch, tile: Tile, values: Array, tally: Tally) -> None:
        for fine, coarse in zip(patch.fine, patch.coarse, strict=True):
            # A pair serves a pixel only where all of its images are valid.
            missing = np.isnan(fine[0]) | np.isnan(coarse[0]) | np.isnan(patch.target[0])
            fine[:, missing] = coarse[:, missing] = np.nan
        shared = self._guides.shared(patch)
        count = values.shape[0]
        # Similarity that is decided once for all bands is computed once for all bands.
        for bands in [slice(0, count)] if shared else [slice(band, band + 1) for band in range(count)]:
            values[bands] = self._predict_bands(patch, tile, bands, shared or self._guides.of_band(patch, bands), tally)

    def _predict_bands(
        self, patch: Patch, tile: Tile, bands: slice, guides: list[tuple[Array, Array]], tally: Tally
    ) -> Array:
        inner = (slice(None), *_inner(tile))
        target = patch.target[bands]
        differences = [
            (np.abs(fine[bands] - coarse[bands]), target - coarse[bands])
            for fine, coarse in zip(patch.fine, patch.coarse, strict=True)
        ]
        with np.errstate(invalid="ignore"):
            spectral_bound = _largest([spectral[inner] for spectral, _ in differences]) + self._spectral_margin
            temporal_bound = _largest([np.abs(change[inner]) for _, change in differences]) + self._temporal_margin
        sums = np.zeros((2, *target.shape[:1], *tile.inner.shape), np.float32)
        share = len(target) / (len(patch.fine) * patch.target.shape[0])
        for fine, (spectral, change), guide in zip(patch.fine, differences, guides, strict=True):
            value = np.where(np.isnan(change), np.float32(0), fine[bands] + change)
            parts = np.stack([value, spectral, np.abs(change), self._weights(spectral, change)])
            place = (self._either, self._spatial, *tile.offset)
            compute = self._begin(*guide, parts, np.stack([spectral_bound, temporal_bound]), place, sums)
            strip = max(1, self._visits // (self._spatial.size * tile.inner.shape[1] * len(target)))
            rows = tile.inner.shape[0]
            for top in range(0, rows, strip):
                compute(top, min(top + strip, rows))
                tile.advance((min(top + strip, rows) - top) / rows * share)
        return _finish(sums, [fine[bands][inner] for fine in patch.fine], differences, inner, target[inner], tally)

    def _weights(self, spectral: Array, change: Array) -> Array:
        """The part 1/(S T) of the weights, or its logarithmic form; 0 where a value is missing."""
        s, t = spectral + self._floor, np.abs(change) + self._floor
        if self._log_scale is not None:
            s, t = np.log1p(s * self._log_scale), np.log1p(t * self._log_scale)
        weights: Array = 1.0 / (s * t)
        weights[np.isnan(weights)] = 0.0
        return weights


def _one_band(
    guides: Array, thresholds: Array, parts: Array, bounds: Array, place: Place, sums: Array
) -> Callable[[int, int], None]:
    """Ready to compute the sums of one band on the processor, some rows at a time."""
    parts, bounds = parts[:, 0], bounds[:, 0]
    return lambda begin, end: accumulate(guides[0], thresholds[0], *parts, *bounds, *place, begin, end, sums[:, 0])


def _jointly(
    guides: Array, thresholds: Array, parts: Array, bounds: Array, place: Place, sums: Array
) -> Callable[[int, int], None]:
    """Ready to compute the sums of all bands together on the processor, some rows at a time."""
    columns = margin(place[1].shape[0] // 2)
    padded = np.pad(guides, ((0, 0), (0, 0), (columns, columns)), constant_values=np.nan)
    padded[np.isnan(padded)] = FAR_AWAY
    table, limits = (np.ascontiguousarray(images.transpose(2, 3, 1, 0)) for images in (parts, bounds))
    return lambda begin, end: accumulate_jointly(padded, thresholds, table, limits, *place, begin, end, sums)


class _Guides:
    """What decides which neighbours are similar: fine values within a threshold, or classes that are equal.

    A guide is an image (guides, rows, columns) with a threshold for each guide; a neighbour is similar when all
    guides differ by at most their thresholds. Classes are guides with the threshold 0.
    """

    def __init__(self, scene: Scene, context: Context) -> None:
        options = context.options
        self._by_class = options["sampling"] == "class"
        self.joint = bool(options["joint"])
        self._bands = _parse_bands(str(options["joint_bands"]), scene.bands)
        classes = int(options["classes"])
        self._thresholds: list[npt.NDArray[np.float32]] = []
        self._centres: list[list[Array]] = []
        for number, pair in enumerate(scene.pairs):
            if self._by_class:
                pixels = sample_pixels(pair.fine, SAMPLE, context.stop)
                seed, name = context.job.seed, str(pair.fine.source)
                groups = [self._bands] if self.joint else [[band] for band in range(scene.bands)]
                self._centres.append([cluster(pixels[group], classes, seed, name) for group in groups])
            else:
                std = moments(pair.fine, context.stop).std
                self._thresholds.append((2.0 * std / classes).astype(np.float32))
            context.reporter.progress(5.0 * (number + 1) / len(scene.pairs))

    def shared(self, patch: Patch) -> list[tuple[Array, Array]]:
        """The guides of every pair that serve all bands; none where each band has its own."""
        if not self.joint:
            return []
        if self._by_class:
            return [self._classes(fine[self._bands], c[0]) for fine, c in zip(patch.fine, self._centres, strict=True)]
        return [
            (np.ascontiguousarray(fine[self._bands]), threshold[self._bands])
            for fine, threshold in zip(patch.fine, self._thresholds, strict=True)
        ]

    def of_band(self, patch: Patch, one: slice) -> list[tuple[Array, Array]]:
        """The guides of every pair for one band."""
        if self._by_class:
            return [self._classes(fine[one], c[one.start]) for fine, c in zip(patch.fine, self._centres, strict=True)]
        return [(fine[one], threshold[one]) for fine, threshold in zip(patch.fine, self._thresholds, strict=True)]

    @staticmethod
    def _classes(fine: Array, centres: Array) -> tuple[Array, Array]:
        classes: Array = nearest(fine, centres).astype(np.float32)
        classes[classes < 0] = np.nan
        return classes[None], np.zeros(1, np.float32)


def _parse_bands(text: str, count: int) -> list[int]:
    """Positions (from 0) of the bands that decide similarity."""
    try:
        bands = [int(part) for part in text.split(",")] if text.strip() else list(range(1, count + 1))
    except ValueError as error:
        raise UserError(
            f"'Bands that decide similarity' is '{text}'; write numbers separated by commas, such as 3,4."
        ) from error
    for band in bands:
        if not 1 <= band <= count:
            raise UserError(f"'Bands that decide similarity' names band {band}; there are bands 1 to {count}.")
    return [band - 1 for band in bands]


def _spatial_weights(half: int, constant: float) -> Array:
    """1/D with D = 1 + d/A for every place of the window; A is half of the window when it is 0."""
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    weights: Array = (1.0 / (1.0 + np.hypot(y, x) / (constant or (2 * half + 1) / 2))).astype(np.float32)
    return weights


def _inner(tile: Tile) -> tuple[slice, slice]:
    (top, left), (rows, columns) = tile.offset, tile.inner.shape
    return slice(top, top + rows), slice(left, left + columns)


def _largest(images: list[Array]) -> Array:
    """The largest value of several images at every pixel, over those that have one (eq. 15 and 16 of the paper)."""
    largest = images[0]
    for image in images[1:]:
        largest = np.fmax(largest, image)
    return largest


def _finish(
    sums: Array,
    fines: list[Array],
    differences: list[tuple[Array, Array]],
    inner: tuple[slice, slice, slice],
    target: Array,
    tally: Tally,
) -> Array:
    """The weighted mean, and the cases in which the answer is known or there is no candidate.

    An unchanged coarse pixel keeps its fine value; where fine and coarse agree, the new coarse value is taken. Without
    a candidate, the fine value plus the coarse change, mean over the pairs that have both.
    """
    total = sums[1]
    with np.errstate(invalid="ignore", divide="ignore"):
        values: Array = sums[0] / total
    changed = [fine + change[inner] for fine, (_, change) in zip(fines, differences, strict=True)]
    lost = (total == 0) & ~np.all(np.isnan(changed), axis=0)
    if lost.any():
        values[lost] = np.nanmean(np.stack([image[lost] for image in changed]), axis=0)
        tally.add("fallback", int(np.count_nonzero(lost)))
    for spectral, change in reversed([(s[inner], c[inner]) for s, c in differences]):
        same = (spectral == 0) & ~np.isnan(change)
        values[same] = target[same]
    for fine, (_, change) in reversed(list(zip(fines, differences, strict=True))):
        same = (change[inner] == 0) & ~np.isnan(fine)
        values[same] = fine[same]
    values[np.isnan(np.stack(changed)).all(axis=0)] = np.nan
    return values
