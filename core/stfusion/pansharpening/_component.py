"""Component substitution: the intensity of the bands gives way to the panchromatic image."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from stfusion.errors import UserError
from stfusion.fusion._bounded import solve_bounded
from stfusion.fusion._compile import compiled
from stfusion.fusion._fuse import Tally
from stfusion.pansharpening._moments import Moments, coarse_moments
from stfusion.pansharpening._scene import Patch, Scene
from stfusion.pansharpening._shared import WEIGHTS
from stfusion.raster.mtf import MULTISPECTRAL, OTHER, SENSORS
from stfusion.raster.source import Array
from stfusion.run import Context

Floats = npt.NDArray[np.float64]

#: Weights of bands whose values are not negative, and whose size is one, are no larger than this.
_LARGEST = 2.0
#: Share of the variance of the panchromatic image that bands have to explain, or a warning is given.
_EXPLAINED = 0.5


class Substitution:
    """F_k = s E_k + g_k (P - I), I a weighted sum of the expanded bands E_k and a constant, P the panchromatic one."""

    notes: ClassVar[Mapping[str, str]] = MappingProxyType({})
    margin = 0

    def __init__(self, weights: Floats, constant: float, gains: Floats, own: float = 1.0) -> None:
        self._weights = weights.astype(np.float32)
        self._constant = np.float32(constant)
        self._gains = gains.astype(np.float32)
        self._own = np.float32(own)

    def sharpen(self, patch: Patch, tally: Tally) -> Array:
        """The bands of a patch."""
        found: Array = _substituted(
            patch.expanded, patch.pan, self._weights, self._constant, self._gains, self._own
        )
        return found


class Modulation:
    """F_k = H_k + (E_k - H_k) (a P + b) / I, I the weighted sum of E_k - H_k; E_k where I is not positive.

    ``haze`` is H_k, ``scale`` and ``shift`` are a and b. With ``whole`` E_k is rounded to a whole number first.
    """

    notes: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"dark": "keep the value of the multispectral image, since its bands add up to nothing there"}
    )
    margin = 0

    def __init__(
        self, weights: Floats, haze: Floats, scale: float = 1.0, shift: float = 0.0, whole: bool = False
    ) -> None:
        self._weights = weights.astype(np.float32)
        self._haze = haze.astype(np.float32)
        self._scale, self._shift = np.float32(scale), np.float32(shift)
        self._whole = whole

    def sharpen(self, patch: Patch, tally: Tally) -> Array:
        """The bands of a patch."""
        values: Array
        values, dark = _modulated(
            patch.expanded, patch.pan, self._weights, self._haze, self._scale, self._shift, self._whole
        )
        if dark and patch.valid is not None:
            intensity = np.tensordot(self._weights, patch.expanded - self._haze[:, None, None], 1)
            dark = int(np.count_nonzero(patch.valid & (intensity <= 0)))
        tally.add("dark", dark * len(values))
        return values


@compiled
def _substituted(
    expanded: Array, pan: Array, weights: Array, constant: np.float32, gains: Array, own: np.float32
) -> Array:
    bands, rows, columns = expanded.shape
    found = np.empty_like(expanded)
    detail = np.empty(columns, np.float32)
    for i in range(rows):
        for j in range(columns):
            detail[j] = pan[i, j] - constant
        for b in range(bands):
            line, weight = expanded[b, i], weights[b]
            for j in range(columns):
                detail[j] -= weight * line[j]
        for b in range(bands):
            line, target, gain = expanded[b, i], found[b, i], gains[b]
            for j in range(columns):
                target[j] = own * line[j] + gain * detail[j]
    return found


@compiled
def _modulated(
    expanded: Array, pan: Array, weights: Array, haze: Array, scale: np.float32, shift: np.float32, whole: bool
) -> tuple[Array, int]:
    """The bands, and how many pixels have no intensity."""
    bands, rows, columns = expanded.shape
    found = np.empty_like(expanded)
    ratio = np.empty(columns, np.float32)
    dark = 0
    for i in range(rows):
        ratio[:] = np.float32(0.0)
        for b in range(bands):
            line, target, weight, low = expanded[b, i], found[b, i], weights[b], haze[b]
            for j in range(columns):
                value = np.floor(line[j] + np.float32(0.5)) if whole else line[j]
                target[j] = value - low
                ratio[j] += weight * target[j]
        for j in range(columns):
            some = ratio[j] > np.float32(0.0)
            dark += not some
            ratio[j] = (scale * pan[i, j] + shift) / ratio[j] if some else np.float32(1.0)
        for b in range(bands):
            target, low = found[b, i], haze[b]
            for j in range(columns):
                target[j] = low + target[j] * ratio[j]
    return found, dark


def band_weights(scene: Scene, context: Context, span: tuple[float, float]) -> Floats:
    """The weights of the bands in the intensity: the user's, or as the option 'Weighting' has them.

    ``span`` is the progress at the begin and the end.

    Raises
    ------
    UserError
        There are not as many weights as bands, they are no numbers, negative or all zero, or the sensor is not known.
    """
    text = str(context.options["weights"])
    if text.strip():
        return _given(text, scene)
    weighting = str(context.options["weighting"])
    if weighting == "equal":
        return np.full(scene.bands, 1 / scene.bands)
    if weighting == "sensor":
        return _of_sensor(str(context.options["sensor"]), scene)
    return _fitted(scene, context, span)


def _given(text: str, scene: Scene) -> Floats:
    try:
        found = np.array([float(part) for part in text.split(",")])
    except ValueError:
        found = np.empty(0)
    if len(found) != scene.bands or not np.isfinite(found).all() or found.min() < 0 or found.max() == 0:
        raise UserError(
            f"'{WEIGHTS.title}' is '{text}' and {scene.multispectral} has {scene.bands} band(s); write one number for "
            "each, separated by commas, none negative and not all zero."
        )
    return found


def _of_sensor(name: str, scene: Scene) -> Floats:
    if name == OTHER or not SENSORS[name].bands:
        known = ", ".join(sensor for sensor, values in SENSORS.items() if values.bands)
        raise UserError(f"The weights of the bands of the sensor '{name}' are not known; choose one of: {known}.")
    found = np.array(SENSORS[name].weights)
    if len(found) != scene.bands:
        raise UserError(
            f"{name} has {len(found)} bands and {scene.multispectral} has {scene.bands}; choose its bands with 'Bands "
            f"of the images', or write '{WEIGHTS.title}'."
        )
    return found


def _fitted(scene: Scene, context: Context, span: tuple[float, float]) -> Floats:
    """The weights, none negative, with which the bands come closest to the panchromatic image at their resolution."""
    moments = coarse_moments(context, scene, lambda patch: [patch.bands, patch.pan(MULTISPECTRAL)], span)
    products = moments.products
    sizes = np.sqrt(np.maximum(np.diagonal(products), np.finfo(float).tiny))
    scaled = products / np.outer(sizes, sizes)
    normal = scaled[:-1, :-1] + 1e-12 * np.eye(scene.bands)
    found = solve_bounded(normal[None], scaled[None, :-1, -1], np.zeros(1), np.full(1, _LARGEST))[0]
    weights: Floats = found * sizes[-1] / sizes[:-1]
    if not weights.max() > 0:
        raise UserError(
            f"No weights of the bands of {scene.multispectral} give {scene.pan}; check that both show the same, or "
            f"write '{WEIGHTS.title}'."
        )
    words = ", ".join(f"{weight:.4g}" for weight in weights)
    context.reporter.log(f"The bands make up the panchromatic image with the weights {words}.")
    difference = np.append(weights, -1.0)
    warn_of_rest(context, scene, float(difference @ moments.covariance @ difference), moments)
    return weights


def warn_of_rest(context: Context, scene: Scene, rest: float, moments: Moments) -> None:
    """Warn when the bands explain too little of the panchromatic image, whose variance is the last of the moments."""
    variance = float(moments.covariance[-1, -1])
    if rest > (1 - _EXPLAINED) * variance > 0:
        context.reporter.warning(
            f"The bands explain {max(0.0, 1 - rest / variance):.0%} of the variance of {scene.pan}; colours may be "
            "off, and the two may be of different dates or displaced."
        )


def regression(context: Context, scene: Scene, moments: Moments) -> Floats:
    """The weights of the bands, beside a constant, that come closest to the panchromatic image, the last variable."""
    covariance = moments.covariance
    # Bands that are constant, or follow from others, get no weight of their own.
    weights: Floats = np.linalg.pinv(covariance[:-1, :-1], rcond=1e-10, hermitian=True) @ covariance[:-1, -1]
    words = ", ".join(f"{weight:.4g}" for weight in weights)
    context.reporter.log(
        f"The bands make up the panchromatic image with the weights {words} and the constant "
        f"{moments.mean[-1] - weights @ moments.mean[:-1]:.4g}."
    )
    difference = np.append(weights, -1.0)
    warn_of_rest(context, scene, float(difference @ covariance @ difference), moments)
    return weights


def shared_gains(weights: Floats, moments: Moments) -> Floats:
    """cov(I, E_k) / var(I) of the intensity I with these weights; 0 where it does not vary.

    The first variables of the moments are the bands.
    """
    shared: Floats = moments.covariance[: len(weights), : len(weights)] @ weights
    variance = float(weights @ shared)
    return shared / variance if variance > 0 else np.zeros_like(shared)


def matched(weights: Floats, gains: Floats, moments: Moments) -> Substitution:
    """The substitution by the panchromatic image with the mean and the standard deviation of the intensity.

    The variables of the moments are the bands and the panchromatic image.
    """
    spread = moments.std[-1]
    scale = float(np.sqrt(weights @ moments.covariance[:-1, :-1] @ weights)) / spread if spread > 0 else 0.0
    if scale == 0:
        return Substitution(weights, 0.0, np.zeros_like(gains))
    # g (a P + b - I) = a g (P - (I - b) / a), a the ratio of the standard deviations
    return Substitution(
        weights / scale, float(moments.mean[-1] - weights @ moments.mean[:-1] / scale), gains * scale
    )
