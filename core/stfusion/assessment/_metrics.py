"""Error of a predicted image against the true one, per band and as the mean of the bands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, minimum_filter

Band = NDArray[np.float64]
Mask = NDArray[np.bool_]

SSIM_SIGMA = 1.5
SSIM_RADIUS = 5
SSIM_K1, SSIM_K2 = 0.01, 0.03


@dataclass(frozen=True)
class Score:
    """One metric: its value in every band."""

    bands: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean of the bands; NaN when the value of a band is."""
        return float(np.mean(self.bands))

    def as_dict(self) -> dict[str, Any]:
        """``mean`` and ``bands`` for JSON, which has no NaN: None stands for it."""
        plain = [None if np.isnan(value) else value for value in (self.mean, *self.bands)]
        return {"mean": plain[0], "bands": plain[1:]}


@dataclass(frozen=True)
class Assessment:
    """Root mean square error, mean absolute error, correlation and structural similarity of a prediction.

    Errors are in the unit of the images. ``valid`` is the share of the pixels that were compared; ``reasons`` has a
    sentence for every value that is NaN.
    """

    rmse: Score
    mae: Score
    r: Score
    ssim: Score
    valid: float
    reasons: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        scores = {name: getattr(self, name).as_dict() for name in METRICS}
        return {**scores, "valid": self.valid, "reasons": list(self.reasons)}


def assess(predicted: NDArray[Any], truth: NDArray[Any]) -> Assessment:
    """Compare a prediction with the truth where both are valid in all bands.

    Parameters
    ----------
    predicted, truth
        Arrays (bands, rows, cols) of floats in the same unit; NaN stands for no data.

    Raises
    ------
    ValueError
        The arrays are not both (bands, rows, cols) of one shape.

    Notes
    -----
    The structural similarity (Wang, Bovik, Sheikh and Simoncelli 2004, doi:10.1109/TIP.2003.819861) takes an 11 x 11
    Gaussian window with standard deviation 1.5, K1 = 0.01, K2 = 0.03, biased covariances, the range of the true band
    as data range, and the mean over the windows that lie in the image and hold valid pixels only.
    """
    if predicted.shape != truth.shape or truth.ndim != 3:
        raise ValueError(f"Images of shapes {predicted.shape} and {truth.shape} cannot be compared.")
    predicted, truth = predicted.astype(np.float64), truth.astype(np.float64)
    valid = np.isfinite(predicted).all(0) & np.isfinite(truth).all(0)
    reasons: list[str] = []
    scores: dict[str, Score] = {}
    for name, measure in METRICS.items():
        values = []
        for number, (guess, fact) in enumerate(zip(predicted, truth, strict=True), start=1):
            try:
                values.append(measure(guess, fact, valid))
            except _UnknownError as why:
                values.append(np.nan)
                reasons.append(f"{name.upper()} of band {number} is unknown: {why}.")
        scores[name] = Score(tuple(values))
    return Assessment(**scores, valid=float(valid.mean()) if valid.size else 0.0, reasons=tuple(reasons))


class _UnknownError(Exception):
    """A metric is not defined for these pixels."""


def _differences(guess: Band, fact: Band, valid: Mask) -> Band:
    if not valid.any():
        raise _UnknownError("no pixel is valid in both images")
    difference: Band = guess[valid] - fact[valid]
    return difference


def _rmse(guess: Band, fact: Band, valid: Mask) -> float:
    return float(np.sqrt(np.mean(_differences(guess, fact, valid) ** 2)))


def _mae(guess: Band, fact: Band, valid: Mask) -> float:
    return float(np.mean(np.abs(_differences(guess, fact, valid))))


def _correlation(guess: Band, fact: Band, valid: Mask) -> float:
    """Pearson's coefficient; centred first, so that a large mean does not eat the digits of a small variance."""
    guess, fact = guess[valid], fact[valid]
    if len(fact) < 2:
        raise _UnknownError(f"{len(fact)} valid pixels are too few")
    if np.ptp(guess) == 0 or np.ptp(fact) == 0:
        raise _UnknownError("one of the images is constant")
    guess, fact = guess - guess.mean(), fact - fact.mean()
    norms = float(np.linalg.norm(guess) * np.linalg.norm(fact))
    return float(np.clip(np.dot(guess, fact) / norms, -1, 1))


def _similarity(guess: Band, fact: Band, valid: Mask) -> float:
    whole = _interior(minimum_filter(valid, 2 * SSIM_RADIUS + 1, mode="constant", cval=False))
    if not whole.any():
        raise _UnknownError(f"no window of {2 * SSIM_RADIUS + 1} x {2 * SSIM_RADIUS + 1} pixels is valid throughout")
    data_range = float(np.ptp(fact[valid]))
    if data_range == 0:
        raise _UnknownError("the true image is constant")
    # Invalid pixels only reach windows that are left out; the shift keeps the digits of small variances.
    shift = float(fact[valid].mean())
    guess, fact = np.where(valid, guess - shift, 0), np.where(valid, fact - shift, 0)
    mean_guess, mean_fact = _window_mean(guess)[whole], _window_mean(fact)[whole]
    variances = (_window_mean(guess**2) + _window_mean(fact**2))[whole] - mean_guess**2 - mean_fact**2
    covariance = _window_mean(guess * fact)[whole] - mean_guess * mean_fact
    mean_guess, mean_fact = mean_guess + shift, mean_fact + shift
    c1, c2 = (SSIM_K1 * data_range) ** 2, (SSIM_K2 * data_range) ** 2
    luminance = (2 * mean_guess * mean_fact + c1) / (mean_guess**2 + mean_fact**2 + c1)
    structure = (2 * covariance + c2) / (variances + c2)
    return float(np.mean(luminance * structure))


def _window_mean(band: Band) -> Band:
    return _interior(gaussian_filter(band, SSIM_SIGMA, radius=SSIM_RADIUS))


def _interior(band: NDArray[Any]) -> NDArray[Any]:
    """Where the window lies in the image; empty when the image is smaller than the window."""
    rows, cols = band.shape
    return band[SSIM_RADIUS : max(rows - SSIM_RADIUS, 0), SSIM_RADIUS : max(cols - SSIM_RADIUS, 0)]


METRICS: dict[str, Callable[[Band, Band, Mask], float]] = {
    "rmse": _rmse, "mae": _mae, "r": _correlation, "ssim": _similarity,
}
