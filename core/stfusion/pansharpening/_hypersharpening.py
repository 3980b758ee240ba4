"""Hypersharpening: the panchromatic image of each band is its regression on the guiding bands; see ``_Synthetic``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from stfusion.fusion._fuse import Tally
from stfusion.pansharpening._filtered import count
from stfusion.pansharpening._moments import Moments, coarse_moments, fine_moments
from stfusion.pansharpening._multiresolution import band_gains
from stfusion.pansharpening._scene import CoarsePatch, Patch, Scene
from stfusion.pansharpening._sharpen import STATISTICS, Sharpener, sharpen
from stfusion.pansharpening._smoothing import NOTHING
from stfusion.raster.checks import warn_of_negatives
from stfusion.raster.source import Array
from stfusion.run import Context

Floats = npt.NDArray[np.float64]

#: The largest ratio, and the share of the largest variance of guiding bands together that counts as none.
_LARGEST, _NONE = np.float32(10.0), 1e-10


@dataclass(frozen=True)
class _Synthetic:
    """S_k = Σ_j w_kj M_j + c_k, M_j the guiding bands; S_k,L the same of M_j as the sensor of band k would see them.

    ``filters`` are the gains of the sensors of the bands, ``weights`` (bands, guides), ``constants`` (bands,).
    """

    scene: Scene
    filters: tuple[float, ...]
    weights: Floats
    constants: Floats

    def pan(self, patch: Patch) -> Array:
        """The guiding bands (guides, rows, columns) of a patch."""
        return np.stack([one.pan for one in self._patches(patch)])

    def low(self, patch: Patch, gain: float) -> Array:
        """The guiding bands as a sensor would see them."""
        return np.stack([one.low_passed(gain) for one in self._patches(patch)])

    def bands(self) -> list[tuple[float, list[int]]]:
        """The filters, each with the numbers of the bands that have it."""
        return [
            (gain, [k for k, own in enumerate(self.filters) if own == gain]) for gain in dict.fromkeys(self.filters)
        ]

    def _patches(self, patch: Patch) -> list[Patch]:
        return [patch, *(scene.read(patch.box, patch.margin) for scene in self.scene.guides[1:])]


class _Addition:
    """F_k = E_k + g_k (S_k - S_k,L), E_k band k on the pixels of the result."""

    notes: ClassVar[Mapping[str, str]] = MappingProxyType({})
    margin = 0

    def __init__(self, synthetic: _Synthetic, gains: Floats) -> None:
        self._synthetic = synthetic
        self._weights = (gains[:, None] * synthetic.weights).astype(np.float32)

    def sharpen(self, patch: Patch, tally: Tally) -> Array:
        """The bands of a patch."""
        values, pan = patch.expanded.copy(), self._synthetic.pan(patch)
        for gain, bands in self._synthetic.bands():
            detail = pan - self._synthetic.low(patch, gain)
            values[bands] += np.tensordot(self._weights[bands], detail, 1)
        return values


class _Modulation:
    """F_k = E_k S_k / S_k,L, the ratio from 0 to 10; E_k where there is nothing to divide by."""

    notes: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"dark": "keep the value of the multispectral image, since there is nothing to divide by"}
    )
    margin = 0

    def __init__(self, synthetic: _Synthetic) -> None:
        self._synthetic = synthetic
        self._weights = synthetic.weights.astype(np.float32)
        self._constants = synthetic.constants.astype(np.float32)[:, None, None]

    def sharpen(self, patch: Patch, tally: Tally) -> Array:
        """The bands of a patch."""
        values, pan = patch.expanded.copy(), self._synthetic.pan(patch)
        for gain, bands in self._synthetic.bands():
            low = self._synthetic.low(patch, gain)
            weights, constants = self._weights[bands], self._constants[bands]
            above, under = (np.tensordot(weights, image, 1) + constants for image in (pan, low))
            dark = np.abs(under) <= NOTHING
            ratio = np.divide(above, under, out=np.ones_like(above), where=~dark)
            values[bands] *= ratio.clip(0, _LARGEST)
            for one in dark:
                count(tally, patch, "dark", one, 1)
        return values


def run(context: Context) -> dict[str, Any]:
    """Sharpen a hyperspectral image by a multispectral one."""
    return sharpen(context, _prepare, several=True)


def _prepare(scene: Scene, context: Context) -> Sharpener:
    filters = band_gains(scene, context)
    injection = str(context.options["injection"])
    half = STATISTICS / 2 if injection == "full-scale" else STATISTICS
    synthetic = _regressed(scene, context, filters, half)
    if injection == "ratio":
        warn_of_negatives(context, scene.multispectral, scene.pan)
        return _Modulation(synthetic)
    gains = np.ones(scene.bands) if injection == "plain" else _full_scale(synthetic, context, half)
    return _Addition(synthetic, gains)


def _regressed(scene: Scene, context: Context, filters: tuple[float, ...], end: float) -> _Synthetic:
    """The weights with which the guiding bands, reduced to the pixels of the bands, come closest to each band."""
    gains, guides = list(dict.fromkeys(filters)), len(scene.guides)

    def variables(patch: CoarsePatch) -> list[Array]:
        others = [one.read_coarse(patch.box) for one in scene.guides[1:]]
        return [patch.bands, *(one.pan(gain) for gain in gains for one in (patch, *others))]

    moments = coarse_moments(context, scene, variables, (0.0, end))
    weights, constants = np.empty((scene.bands, guides)), np.empty(scene.bands)
    for band, gain in enumerate(filters):
        own = _place(scene, gains.index(gain))
        # Guiding bands that are constant, or follow from others, get no weight of their own.
        inverse = np.linalg.pinv(moments.covariance[own, own], rcond=_NONE, hermitian=True)
        weights[band] = inverse @ moments.covariance[own, band]
        constants[band] = moments.mean[band] - weights[band] @ moments.mean[own]
    _tell(scene, context, filters, moments, weights)
    return _Synthetic(scene, filters, weights, constants)


def _place(scene: Scene, number: int) -> slice:
    """Where the guiding bands lie among variables that begin with the bands, as the filter of a number leaves them."""
    guides = len(scene.guides)
    return slice(scene.bands + number * guides, scene.bands + (number + 1) * guides)


def _tell(scene: Scene, context: Context, filters: tuple[float, ...], moments: Moments, weights: Floats) -> None:
    """Say how much of the bands the guiding ones explain."""
    gains = list(dict.fromkeys(filters))
    shared = [
        weights[band] @ moments.covariance[_place(scene, gains.index(gain)), band]
        for band, gain in enumerate(filters)
    ]
    own = np.diagonal(moments.covariance)[: scene.bands]
    shares = np.divide(shared, own, out=np.zeros(scene.bands), where=own > 0)
    context.reporter.log(
        f"The bands of {scene.pan} explain {shares.min():.0%} to {shares.max():.0%} of the variance of those of "
        f"{scene.multispectral}, {np.median(shares):.0%} of half of them."
    )


def _full_scale(synthetic: _Synthetic, context: Context, begin: float) -> Floats:
    """g_k = cov(E_k, S_k) / cov(S_k,L, S_k) over the scene; 0 where the synthetic image has no detail."""
    scene, gains = synthetic.scene, [gain for gain, _ in synthetic.bands()]
    guides = len(scene.guides)

    def variables(patch: Patch) -> list[Array]:
        return [patch.expanded, synthetic.pan(patch), *map(partial(synthetic.low, patch), gains)]

    layers = scene.bands + guides * (len(gains) + 1)
    moments = fine_moments(context, scene, variables, (begin, STATISTICS), layers=layers)
    whole, found = _place(scene, 0), np.zeros(scene.bands)
    for band, gain in enumerate(synthetic.filters):
        weights, low = synthetic.weights[band], _place(scene, 1 + gains.index(gain))
        below = weights @ moments.covariance[low, whole] @ weights
        if below > 0:
            found[band] = moments.covariance[band, whole] @ weights / below
    return found
