"""The metrics of a fused image by name: what they are called, which values are good, and how they are defined."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

#: Window of the universal quality index where no other is asked for.
UIQI_WINDOW = 8
_ZHU = "after Zhu et al. (2022, doi:10.1016/j.rse.2022.113002)"


@dataclass(frozen=True)
class Metric:
    """What a metric is called, which values are good, and how it is defined.

    ``best`` is "low", "high", or "zero" where the sign says which way a prediction is off. ``in_unit`` tells whether
    the value is in the unit of the images, ``spectral`` whether it is one value for all bands together. A metric of
    windows has the ``window`` that has to be valid throughout: its side, or its name among the counts.
    """

    title: str
    best: Literal["low", "high", "zero"]
    definition: str
    in_unit: bool = False
    spectral: bool = False
    window: Literal["", "ssim", "uiqi", "edge", "texture", "q2n"] = ""


#: What every comparison gives.
METRICS: Mapping[str, Metric] = {
    "rmse": Metric("RMSE", "low", "Root mean square error, sqrt(mean((p - t)²)), per band.", in_unit=True),
    "mae": Metric("MAE", "low", "Mean absolute error, mean(|p - t|), per band.", in_unit=True),
    "bias": Metric("Bias", "zero", "Mean error, mean(p - t), per band.", in_unit=True),
    "r": Metric("r", "high", "Pearson's coefficient of correlation of p and t, per band."),
    "ssim": Metric(
        "SSIM", "high",
        "Structural similarity (Wang, Bovik, Sheikh and Simoncelli 2004, doi:10.1109/TIP.2003.819861), per band: mean "
        "over 11 x 11 Gaussian windows (standard deviation 1.5) inside the image, K1 = 0.01, K2 = 0.03, biased "
        "covariances; the data range is that of the true band, unless one is given.",
        window="ssim",
    ),
    "sam": Metric(
        "SAM (°)", "low",
        "Spectral angle (Kruse et al. 1993, doi:10.1016/0034-4257(93)90013-N): mean over the pixels of the angle "
        "between the vectors p and t of all bands, in degrees; pixels where a vector is zero are left out.",
        spectral=True,
    ),
    "ergas": Metric(
        "ERGAS", "low",
        "Relative global error (Wald 2002): 100 h/l sqrt(mean over bands of (RMSE / mean(t))²), h/l the size of a fine "
        "pixel over that of a coarse one; a band whose true mean is 0 is left out.",
        spectral=True,
    ),
    "uiqi": Metric(
        "UIQI", "high",
        "Universal image quality index (Wang and Bovik 2002, doi:10.1109/97.995823), per band: mean over windows "
        "(8 x 8, unless others are asked for) of 4 cov(p, t) mean(p) mean(t) / ((var(p) + var(t)) (mean(p)² + "
        "mean(t)²)).",
        window="uiqi",
    ),
    "edge": Metric(
        "Edge", "zero",
        f"Agreement of edges, {_ZHU}, per band: mean of (E(p) - E(t)) / (E(p) + E(t)), E being Roberts' edge, the sum "
        "of the absolute differences along the two diagonals of 2 x 2 pixels. Negative: the prediction is too smooth; "
        "positive: too rough.",
        window="edge",
    ),
    "variance": Metric(
        "Local variance", "zero",
        "Agreement of local variance, per band: mean over the windows of UIQI of (var(p) - var(t)) / (var(p) + "
        "var(t)). Negative: the prediction has too little texture; positive: too much.",
        window="uiqi",
    ),
}
#: What the assessment of one image gives as well.
MORE: Mapping[str, Metric] = {
    "rrmse": Metric("rRMSE (%)", "low", "Relative error, 100 RMSE / |mean(t)|, per band."),
    "r2": Metric(
        "R²", "high",
        "Coefficient of determination, 1 - sum((p - t)²) / sum((t - mean(t))²), per band; negative where the mean "
        "predicts better. It is not the square of r, which no bias lowers.",
    ),
    "psnr": Metric(
        "PSNR (dB)", "high", "Peak signal-to-noise ratio, 20 log10(peak / RMSE), per band; the peak is given."
    ),
    "psnr_pooled": Metric(
        "PSNR, pooled (dB)", "high", "The same, of the mean square error over all bands together.", spectral=True
    ),
    "psnr_cube": Metric(
        "PSNR, largest value (dB)", "high",
        "The same as the pooled one, the peak being the largest value of t in any band.", spectral=True,
    ),
    "q2n": Metric(
        "Q2n", "high",
        "Quality index of hypercomplex numbers (Garzelli and Nencini 2009, doi:10.1109/LGRS.2009.2022650): mean over "
        "blocks of 32 x 32 pixels, the last ones mirrored at the border; a band that is constant in t in a block is "
        "normalised by its mean.",
        spectral=True, window="q2n",
    ),
    "scc": Metric(
        "SCC", "high",
        "Spatial correlation as research toolboxes have it: sum(S(p) S(t)) / sqrt(sum(S(p)²) sum(S(t)²)) over all "
        "bands, S being the magnitude of Sobel's gradient.",
        spectral=True, window="texture",
    ),
    "scc_laplace": Metric(
        "SCC, Laplace", "high",
        "Spatial correlation (Zhou, Civco and Silander 1998, doi:10.1080/014311698215973): Pearson's r of p and t "
        "after a Laplacian filter of 3 x 3 pixels (8 at its centre, -1 around), per band.",
        window="texture",
    ),
    "lbp": Metric(
        "LBP", "zero",
        f"Agreement of local binary patterns, {_ZHU}, per band: mean of (L(p) - L(t)) / (L(p) + L(t)), L being the "
        "number whose bits say which of the eight neighbours are not below the pixel, clockwise from the upper left.",
        window="texture",
    ),
    "lbp_bits": Metric("LBP, equal bits", "high", "Share of the bits of these patterns that agree.", window="texture"),
}
#: Other definitions that published tables hold, under names of their own.
OTHER: Mapping[str, Metric] = {
    "rmse_pooled": Metric(
        "RMSE, pooled", "low", "RMSE over all bands together, as fusion networks report it.", in_unit=True,
        spectral=True,
    ),
    "sam_radians": Metric("SAM (rad)", "low", "SAM in radians.", spectral=True),
    "ergas_predicted": Metric(
        "ERGAS over predicted means", "low", "ERGAS with mean(p) for mean(t), where the two were swapped.",
        spectral=True,
    ),
    "ergas_inverse": Metric(
        "ERGAS with l/h", "low", "ERGAS with the inverse ratio, 100 l/h, (l/h)² times as large.", spectral=True
    ),
    "ssim_global": Metric("SSIM, one window", "high", "SSIM of one plain window, the whole band, per band."),
    "uiqi_global": Metric("UIQI, one window", "high", "UIQI of one window, the whole band, per band."),
}
ALL: Mapping[str, Metric] = {**METRICS, **MORE, **OTHER}


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
    """The scores of a prediction by the ids of the metrics.

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
