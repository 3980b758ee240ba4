"""How well a predicted image agrees with the true one: metrics that are summed up over the parts of an image.

All arithmetic is in float64, over the pixels that are valid in both images and in all bands; a window counts where all
of its pixels are valid. Symbols: p the predicted and t the true image.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, minimum_filter, uniform_filter

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

SSIM_WINDOW, SSIM_SIGMA = 11, 1.5
SSIM_K1, SSIM_K2 = 0.01, 0.03
UIQI_WINDOW = 8
EDGE_WINDOW = 2
#: Pixels beside and below a pixel that the windows beginning there reach.
REACH = SSIM_WINDOW - 1
#: A variance below this share of the mean square is what rounding leaves of zero.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Metric:
    """What a metric is called, which values are good, and how it is defined.

    ``best`` is "low", "high", or "zero" where the sign says which way a prediction is off. ``in_unit`` tells whether
    the value is in the unit of the images.
    """

    title: str
    best: Literal["low", "high", "zero"]
    definition: str
    in_unit: bool = False


METRICS: Mapping[str, Metric] = {
    "rmse": Metric("RMSE", "low", "Root mean square error, sqrt(mean((p - t)²)), per band.", in_unit=True),
    "mae": Metric("MAE", "low", "Mean absolute error, mean(|p - t|), per band.", in_unit=True),
    "bias": Metric("Bias", "zero", "Mean error, mean(p - t), per band.", in_unit=True),
    "r": Metric("r", "high", "Pearson's coefficient of correlation of p and t, per band."),
    "ssim": Metric(
        "SSIM", "high",
        "Structural similarity (Wang, Bovik, Sheikh and Simoncelli 2004, doi:10.1109/TIP.2003.819861), per band: mean "
        "over 11 x 11 Gaussian windows (standard deviation 1.5) inside the image, K1 = 0.01, K2 = 0.03, biased "
        "covariances; the data range is that of the true band.",
    ),
    "sam": Metric(
        "SAM (°)", "low",
        "Spectral angle (Kruse et al. 1993, doi:10.1016/0034-4257(93)90013-N): mean over the pixels of the angle "
        "between the vectors p and t of all bands, in degrees; pixels where a vector is zero are left out.",
    ),
    "ergas": Metric(
        "ERGAS", "low",
        "Relative global error (Wald 2002): 100 h/l sqrt(mean over bands of (RMSE / mean(t))²), h/l the size of a fine "
        "pixel over that of a coarse one; a band whose true mean is 0 is left out.",
    ),
    "uiqi": Metric(
        "UIQI", "high",
        "Universal image quality index (Wang and Bovik 2002, doi:10.1109/97.995823), per band: mean over 8 x 8 windows "
        "of 4 cov(p, t) mean(p) mean(t) / ((var(p) + var(t)) (mean(p)² + mean(t)²)).",
    ),
    "edge": Metric(
        "Edge", "zero",
        "Agreement of edges, after Zhu et al. (2022, doi:10.1016/j.rse.2022.113002), per band: mean of "
        "(E(p) - E(t)) / (E(p) + E(t)), E being Roberts' edge, the sum of the absolute differences along the two "
        "diagonals of 2 x 2 pixels. Negative: the prediction is too smooth; positive: too rough.",
    ),
    "variance": Metric(
        "Local variance", "zero",
        "Agreement of local variance, per band: mean over 8 x 8 windows of (var(p) - var(t)) / (var(p) + var(t)). "
        "Negative: the prediction has too little texture; positive: too much.",
    ),
}
_PER_WINDOW = {"ssim": SSIM_WINDOW, "uiqi": UIQI_WINDOW, "variance": UIQI_WINDOW, "edge": EDGE_WINDOW}
_SPECTRAL = ("sam", "ergas")


@dataclass(frozen=True)
class Score:
    """One metric: its mean over the bands, and its value in every band; of a metric of whole spectra the mean alone."""

    mean: float
    bands: tuple[float, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """``mean`` and ``bands`` for JSON, which has no NaN: None stands for it."""
        plain = [None if np.isnan(value) else value for value in (self.mean, *self.bands)]
        return {"mean": plain[0], "bands": plain[1:]}


@dataclass(frozen=True)
class Assessment:
    """The scores of a prediction by the ids of :data:`METRICS`.

    ``valid`` is the share of the pixels that were compared; ``reasons`` has a sentence for every value that is NaN.
    """

    scores: Mapping[str, Score]
    valid: float
    reasons: tuple[str, ...]

    def __getitem__(self, metric: str) -> Score:
        return self.scores[metric]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        scores = {name: score.as_dict() for name, score in self.scores.items()}
        return {**scores, "valid": self.valid, "reasons": list(self.reasons)}


@dataclass(frozen=True)
class Facts:
    """What has to be known of the true image before a prediction is measured.

    ``count`` is the number of pixels compared; ``low``, ``high`` and ``mean`` (bands) are of these pixels.
    """

    count: int
    low: Floats
    high: Floats
    mean: Floats

    @classmethod
    def of(cls, truth: Floats, valid: Mask) -> Facts:
        """The facts of a true image or of a part of it."""
        values = truth[:, valid]
        count = values.shape[1]
        low, high = values.min(axis=1, initial=np.inf), values.max(axis=1, initial=-np.inf)
        return cls(count, low, high, values.sum(axis=1) / max(count, 1))

    def __add__(self, other: Facts) -> Facts:
        count = self.count + other.count
        mean = (self.mean * self.count + other.mean * other.count) / max(count, 1)
        return Facts(count, np.minimum(self.low, other.low), np.maximum(self.high, other.high), mean)


@dataclass(frozen=True)
class Moments:
    """Number of pixels, means (p and t, bands) and centred sums of products (pp, tt and pt, bands)."""

    count: int
    mean: Floats
    products: Floats

    @classmethod
    def of(cls, p: Floats, t: Floats) -> Moments:
        """The moments of values (bands, pixels)."""
        if not p.size:
            return cls(0, np.zeros((2, len(p))), np.zeros((3, len(p))))
        mean = np.stack([p.mean(axis=1), t.mean(axis=1)])
        p, t = p - mean[0][:, None], t - mean[1][:, None]
        return cls(p.shape[1], mean, np.stack([(a * b).sum(axis=1) for a, b in ((p, p), (t, t), (p, t))]))

    def __add__(self, other: Moments) -> Moments:
        """Merged pairwise (Chan, Golub and LeVeque 1983), which loses no digits to large means."""
        count = self.count + other.count
        p, t = other.mean - self.mean
        apart = np.stack([p * p, t * t, p * t]) * (self.count * other.count / max(count, 1))
        mean = (self.mean * self.count + other.mean * other.count) / max(count, 1)
        return Moments(count, mean, self.products + other.products + apart)


@dataclass(frozen=True)
class Sums:
    """What the metrics need of a part of an image; the sums of two parts add up to those of both.

    ``totals`` are sums by metric, per band for all but "sam"; ``counts`` are the pixels or windows that they are over.
    """

    moments: Moments
    low: Floats
    high: Floats
    totals: Mapping[str, Floats]
    counts: Mapping[str, int]

    def __add__(self, other: Sums) -> Sums:
        return Sums(
            self.moments + other.moments,
            np.minimum(self.low, other.low),
            np.maximum(self.high, other.high),
            {name: total + other.totals[name] for name, total in self.totals.items()},
            {name: count + other.counts[name] for name, count in self.counts.items()},
        )


def measure(predicted: Floats, truth: Floats, valid: Mask, own: tuple[int, int], facts: Facts) -> Sums:
    """The sums of a part of an image.

    Parameters
    ----------
    predicted, truth
        The part (bands, rows, columns), with up to :data:`REACH` more rows and columns below and to the right.
    valid
        Pixels (rows, columns) to compare.
    own
        Rows and columns of the part itself: its pixels, and the windows whose first pixel lies in it, are counted.
    facts
        Of the whole true image.
    """
    inside = valid[: own[0], : own[1]]
    p, t = (image[:, : own[0], : own[1]][:, inside] for image in (predicted, truth))
    errors = p - t
    angles = _angles(p, t)
    totals = {
        "rmse": (errors**2).sum(axis=1), "mae": np.abs(errors).sum(axis=1), "bias": errors.sum(axis=1),
        "sam": np.array([angles.sum()]),
    }
    counts = {"pixels": p.shape[1], "sam": len(angles)}
    whole = {size: _whole(valid, size, own) for size in set(_PER_WINDOW.values())}
    for name, size in _PER_WINDOW.items():
        totals[name], counts[name] = np.zeros(len(p)), int(np.count_nonzero(whole[size]))
    for band in range(len(p)):
        for name, values in _windows(predicted[band], truth[band], valid, whole, facts, band).items():
            totals[name][band] = values.sum()
    low, high = p.min(axis=1, initial=np.inf), p.max(axis=1, initial=-np.inf)
    return Sums(Moments.of(p, t), low, high, totals, counts)


def _angles(p: Floats, t: Floats) -> Floats:
    """Angles in degrees between the vectors of pixels (bands, pixels) that are not zero; exactly 0 for equal ones."""
    norms = np.linalg.norm(p, axis=0), np.linalg.norm(t, axis=0)
    kept = (norms[0] > 0) & (norms[1] > 0)
    p, t = p[:, kept] / norms[0][kept], t[:, kept] / norms[1][kept]
    # Half the angle from its tangent: the arc cosine has no digits near 0.
    angles: Floats = np.degrees(2 * np.arctan2(np.linalg.norm(p - t, axis=0), np.linalg.norm(p + t, axis=0)))
    return angles


def _windows(
    p: Floats, t: Floats, valid: Mask, whole: Mapping[int, Mask], facts: Facts, band: int
) -> dict[str, Floats]:
    """Values of the metrics of windows, by metric, in every window that is valid throughout."""
    # Invalid pixels only reach windows that are left out; the shift keeps the digits of small variances.
    shift = facts.mean[band]
    p, t = np.where(valid, p - shift, 0.0), np.where(valid, t - shift, 0.0)
    found = {"edge": _difference(_roberts(p)[whole[EDGE_WINDOW]], _roberts(t)[whole[EDGE_WINDOW]])}
    means, variances, covariance = _statistics(p, t, whole, SSIM_WINDOW)
    found["ssim"] = similarity(means + shift, variances, covariance, facts.high[band] - facts.low[band])
    means, variances, covariance = _statistics(p, t, whole, UIQI_WINDOW)
    found["uiqi"] = quality(means + shift, variances, covariance)
    found["variance"] = _difference(*variances)
    return found


def _statistics(p: Floats, t: Floats, whole: Mapping[int, Mask], size: int) -> tuple[Floats, Floats, Floats]:
    """Means and variances (2, windows) and covariance of the two images in the windows that are to count."""
    kept = whole[size]
    mean_p, mean_t, pp, tt, pt = (_window_mean(image, size)[kept] for image in (p, t, p * p, t * t, p * t))
    means, squares = np.stack([mean_p, mean_t]), np.stack([pp, tt])
    variances = squares - means**2
    return means, np.where(variances > _ROUNDING * squares, variances, 0.0), pt - mean_p * mean_t


def similarity(means: Floats, variances: Floats, covariance: Floats, data_range: float) -> Floats:
    """Structural similarity of windows from their means and variances (2, windows); 0 without a data range."""
    if data_range == 0:
        return np.zeros(len(covariance))
    c1, c2 = (SSIM_K1 * data_range) ** 2, (SSIM_K2 * data_range) ** 2
    luminance = (2 * means[0] * means[1] + c1) / ((means**2).sum(axis=0) + c1)
    index: Floats = luminance * (2 * covariance + c2) / (variances.sum(axis=0) + c2)
    return index


def quality(means: Floats, variances: Floats, covariance: Floats) -> Floats:
    """Universal image quality index of windows; of two constant windows the term of the means alone."""
    spread, power = variances.sum(axis=0), (means**2).sum(axis=0)
    structure = np.divide(2 * covariance, spread, out=np.ones_like(spread), where=spread > 0)
    index: Floats = structure * np.divide(2 * means[0] * means[1], power, out=np.ones_like(power), where=power > 0)
    return index


def _difference(p: Floats, t: Floats) -> Floats:
    """(p - t) / (p + t) of values that are not negative; 0 where both are 0."""
    share: Floats = np.divide(p - t, p + t, out=np.zeros_like(p), where=p + t > 0)
    return share


def _roberts(band: Floats) -> Floats:
    return np.abs(band[:-1, :-1] - band[1:, 1:]) + np.abs(band[:-1, 1:] - band[1:, :-1])


def _window_mean(band: Floats, size: int) -> Floats:
    """Mean of every window inside the image, by its first pixel: Gaussian for the structural similarity, else plain."""
    smooth = gaussian_filter(band, SSIM_SIGMA, radius=size // 2) if size == SSIM_WINDOW else uniform_filter(band, size)
    inside: Floats = _inside(smooth, size)
    return inside


def _inside(image: NDArray[Any], size: int) -> NDArray[Any]:
    """What a filter gave for the windows inside the image; empty when the image is smaller than the window."""
    rows, columns = (max(n - size + 1, 0) for n in image.shape)
    first = size // 2
    return image[first : first + rows, first : first + columns]


def _whole(valid: Mask, size: int, own: tuple[int, int]) -> Mask:
    """Windows inside the image, by their first pixel, that are the part's own and hold valid pixels only."""
    whole: Mask = _inside(minimum_filter(valid, size), size).copy()
    whole[own[0] :], whole[:, own[1] :] = False, False
    return whole


def conclude(sums: Sums, facts: Facts, pixels: int, ratio: float | None = None, unit: float = 1.0) -> Assessment:
    """The scores of a prediction from the sums of all parts.

    ``pixels`` is the number of pixels of the image, ``ratio`` that of fine pixels along a coarse one (None: unknown,
    and so is ERGAS), ``unit`` the value in which errors are given.
    """
    scores: dict[str, Score] = {}
    reasons: list[str] = []
    values = _values(sums, facts, ratio)
    for name, metric in METRICS.items():
        found = values[name] / unit if metric.in_unit else values[name]
        for band in range(len(found)):
            why = _unknown(name, band, sums, facts, ratio)
            if why:
                found[band] = np.nan
                place = "" if name in _SPECTRAL else f" of band {band + 1}"
                reasons.append(f"{metric.title}{place} is unknown: {why}.")
        scores[name] = Score(float(found.mean()), () if name in _SPECTRAL else tuple(found.tolist()))
    return Assessment(scores, sums.counts["pixels"] / max(pixels, 1), tuple(reasons))


def _values(sums: Sums, facts: Facts, ratio: float | None) -> dict[str, Floats]:
    """The values of all metrics, per band where they have any; what divides by 0 is not finite."""
    count, totals = sums.counts["pixels"], sums.totals
    with np.errstate(invalid="ignore", divide="ignore"):
        values = {name: totals[name] / sums.counts[name] for name in (*_PER_WINDOW, "sam")}
        values |= {name: totals[name] / count for name in ("mae", "bias")}
        values["rmse"] = np.sqrt(totals["rmse"] / count)
        pp, tt, pt = sums.moments.products
        values["r"] = np.clip(pt / np.sqrt(pp * tt), -1, 1)
        relative = values["rmse"][facts.mean != 0] / facts.mean[facts.mean != 0]
        values["ergas"] = 100 / (ratio or np.nan) * np.sqrt([(relative**2).sum() / len(relative)])
    return values


def _unknown(name: str, band: int, sums: Sums, facts: Facts, ratio: float | None) -> str | None:
    """Why a metric has no value."""
    count = sums.counts["pixels"]
    flat = facts.high[band] == facts.low[band]
    size = _PER_WINDOW.get(name)
    rules = (
        (count == 0, "no pixel is valid in both images"),
        (name == "r" and count < 2, f"{count} valid pixel is too few"),
        (name == "r" and (flat or sums.high[band] == sums.low[band]), "one of the images is constant"),
        (size and not sums.counts[name], f"no window of {size} x {size} pixels is valid throughout"),
        (name == "ssim" and flat, "the true image is constant"),
        (name == "sam" and len(facts.mean) == 1, "an angle needs two bands"),
        (name == "sam" and sums.counts["sam"] == 0, "every spectrum is zero in one of the images"),
        (name == "ergas" and not facts.mean.any(), "the true mean is 0 in every band"),
        (name == "ergas" and not ratio, "the ratio of the pixel sizes is not known"),
    )
    return next((why for holds, why in rules if holds), None)


def assess(predicted: NDArray[Any], truth: NDArray[Any], ratio: float | None = None, unit: float = 1.0) -> Assessment:
    """Compare a prediction with the truth where both are valid in all bands.

    Parameters
    ----------
    predicted, truth
        Arrays (bands, rows, columns) of floats in the same unit; NaN stands for no data.
    ratio, unit
        As for :func:`conclude`.

    Raises
    ------
    ValueError
        The arrays are not both (bands, rows, columns) of one shape.
    """
    if predicted.shape != truth.shape or truth.ndim != 3:
        raise ValueError(f"Images of shapes {predicted.shape} and {truth.shape} cannot be compared.")
    predicted, truth = predicted.astype(np.float64), truth.astype(np.float64)
    valid = np.isfinite(predicted).all(0) & np.isfinite(truth).all(0)
    facts = Facts.of(truth, valid)
    return conclude(measure(predicted, truth, valid, valid.shape, facts), facts, valid.size, ratio, unit)
