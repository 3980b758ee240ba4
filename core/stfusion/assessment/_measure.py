"""How well a predicted image agrees with the true one: sums over the parts of an image, and what follows from them.

All arithmetic is in float64, over the pixels that are valid in both images and in all bands; a window counts where all
of its pixels are valid. Symbols: p the predicted and t the true image.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stfusion.assessment._angles import angles
from stfusion.assessment._filters import SSIM_WINDOW
from stfusion.assessment._hypercomplex import BLOCK, moments, q2n
from stfusion.assessment._metrics import ALL, METRICS, UIQI_WINDOW, Assessment, Metric, Score
from stfusion.assessment._windows import EDGE_WINDOW, TEXTURE_WINDOW, TOTALS, band_sums, ranges, whole

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Zones = NDArray[np.int32]

#: What is counted, in the order of the columns of the counts.
COUNTS = ("pixels", "sam", "ssim", "uiqi", "edge", "texture", "q2n", "flat")
_COLUMN = {name: number for number, name in enumerate(TOTALS)}


@dataclass(frozen=True)
class Terms:
    """What the values of the metrics depend on besides the images.

    Attributes
    ----------
    ratio
        Fine pixels along a coarse one; None: unknown, and so is ERGAS.
    unit
        The value in which errors are given.
    window
        Side of the windows of UIQI and of the local variance.
    data_range
        That of SSIM; None: that of the true band.
    peak
        That of PSNR; None: unknown, and so is PSNR.
    whole_numbers
        Whether values are rounded, and negative ones 0, before Q2n is computed.
    metrics
        The ids of the metrics to compute.
    """

    ratio: float | None = None
    unit: float = 1.0
    window: int = UIQI_WINDOW
    data_range: float | None = None
    peak: float | None = None
    whole_numbers: bool = False
    metrics: tuple[str, ...] = tuple(METRICS)

    @property
    def reach(self) -> int:
        """Pixels beside and below a pixel that the windows beginning there reach."""
        return max(SSIM_WINDOW, self.window) - 1

    @property
    def more(self) -> bool:
        """Whether metrics beyond the first ones are computed."""
        return "q2n" in self.metrics


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
    def of(cls, truth: NDArray[Any], valid: Mask) -> Facts:
        """The facts of a true image or of a part of it."""
        low, high, total = np.empty((3, len(truth)))
        ranges(np.ascontiguousarray(truth), np.ascontiguousarray(valid), low, high, total)
        count = int(np.count_nonzero(valid))
        return cls(count, low, high, total / max(count, 1))

    def __add__(self, other: Facts) -> Facts:
        count = self.count + other.count
        mean = (self.mean * self.count + other.mean * other.count) / max(count, 1)
        return Facts(count, np.minimum(self.low, other.low), np.maximum(self.high, other.high), mean)


@dataclass(frozen=True)
class Sums:
    """What the metrics need of a part of an image, by zone; the sums of two parts add up to those of both.

    Attributes
    ----------
    totals
        Sums by :data:`stfusion.assessment._windows.TOTALS` (zones, bands, totals), values less ``shift``.
    low, high
        Range of the values less ``shift``: (zones, bands, 2), of p and of t.
    angles, blocks
        Sums (zones) of the spectral angles and of Q2n.
    counts
        Numbers of pixels, windows and blocks by :data:`COUNTS` (zones, counts).
    """

    totals: Floats
    low: Floats
    high: Floats
    angles: Floats
    blocks: Floats
    counts: NDArray[np.int64]

    def __add__(self, other: Sums) -> Sums:
        return Sums(
            self.totals + other.totals, np.minimum(self.low, other.low), np.maximum(self.high, other.high),
            self.angles + other.angles, self.blocks + other.blocks, self.counts + other.counts,
        )

    def zone(self, number: int) -> Sums:
        """The sums of one zone."""
        return Sums(*(getattr(self, one.name)[number : number + 1] for one in fields(self)))

    @property
    def whole(self) -> Sums:
        """The sums of all zones together."""
        return Sums(
            self.totals.sum(0, keepdims=True), self.low.min(0, keepdims=True), self.high.max(0, keepdims=True),
            self.angles.sum(keepdims=True), self.blocks.sum(keepdims=True), self.counts.sum(0, keepdims=True),
        )

    def count(self, name: str) -> int:
        """A count over all zones."""
        return int(self.counts[:, COUNTS.index(name)].sum())


def measure(
    predicted: NDArray[np.float32], truth: NDArray[np.float32], valid: Mask, own: tuple[int, int], facts: Facts,
    terms: Terms, zones: Zones | None = None, count: int = 1,
) -> Sums:
    """The sums of a part of an image.

    Parameters
    ----------
    predicted, truth
        The part (bands, rows, columns), with up to ``terms.reach`` more rows and columns below and to the right. For
        Q2n it begins at a multiple of 32 and is not narrower than that, unless the whole image is.
    valid
        Pixels (rows, columns) to compare.
    own
        Rows and columns of the part itself: its pixels, and the windows whose first pixel lies in it, are counted.
    facts
        Of the whole true image.
    terms
        What the metrics depend on.
    zones, count
        Number of the zone of every pixel (rows, columns), and how many zones there are; windows and blocks are of the
        zone of their centre.
    """
    predicted, truth = np.ascontiguousarray(predicted), np.ascontiguousarray(truth)
    valid = np.ascontiguousarray(valid)
    bands, (rows, columns) = len(truth), own
    if zones is not None:  # the centres of the windows beyond the image, which are not whole and do not count
        beyond = (max(0, size + terms.reach - had) for size, had in zip(own, zones.shape, strict=True))
        zones = np.pad(zones, [(0, more) for more in beyond])
    sums = Sums(
        np.zeros((count, bands, len(TOTALS))), np.full((count, bands, 2), np.inf), np.full((count, bands, 2), -np.inf),
        np.zeros(count), np.zeros(count), np.zeros((count, len(COUNTS)), np.int64),
    )
    sides = {"ssim": SSIM_WINDOW, "uiqi": terms.window, "edge": EDGE_WINDOW, "texture": TEXTURE_WINDOW}
    counted = {name: whole(valid, size, rows, columns) for name, size in sides.items()}
    for name, kept in {"pixels": valid[:rows, :columns], **counted}.items():
        half = sides.get(name, 1) // 2
        _add(sums.counts[:, COUNTS.index(name)], kept, zones, half)
    angle = angles(predicted, truth, valid, rows, columns)
    known = ~np.isnan(angle)
    _add(sums.counts[:, COUNTS.index("sam")], known, zones)
    _add(sums.angles, known, zones, 0, angle)
    for band in range(bands):
        band_sums(
            predicted[band], truth[band], valid, *counted.values(),
            np.empty((0, 0), np.int32) if zones is None else zones, terms.window, facts.mean[band],
            _range(facts, band, terms), terms.more, sums.totals[:, band], sums.low[:, band].T, sums.high[:, band].T,
        )
    if terms.more:
        part = np.s_[:, :rows, :columns]
        _add_blocks(sums, predicted[part], truth[part], valid[part[1:]], zones, terms.whole_numbers)
    return sums


def _add(
    totals: NDArray[Any], kept: Mask, zones: Zones | None, half: int = 0, values: NDArray[Any] | None = None
) -> None:
    """Add the number of what is kept, or the values there, to the totals (zones); ``half`` is the way to a centre."""
    if zones is None:
        totals[0] += np.count_nonzero(kept) if values is None else values[kept].sum()
        return
    rows, columns = kept.shape
    centres = zones[half : half + rows, half : half + columns]
    weights = None if values is None else values[kept]
    totals += np.bincount(centres[kept], weights, len(totals)).astype(totals.dtype)


def _add_blocks(
    sums: Sums, predicted: NDArray[np.float32], truth: NDArray[np.float32], valid: Mask, zones: Zones | None,
    whole_numbers: bool,
) -> None:
    """Add Q2n of the blocks that are valid throughout; those that the image ends in are mirrored there."""
    rows, columns = valid.shape
    margin = ((0, -rows % BLOCK), (0, -columns % BLOCK))
    valid = np.pad(valid, margin, "symmetric")
    tall, wide = valid.shape[0] // BLOCK, valid.shape[1] // BLOCK
    kept: Mask = np.asarray(valid.reshape(tall, BLOCK, wide, BLOCK).all(axis=(1, 3)))
    if not kept.any():
        return
    if np.any(margin):
        truth, predicted = (np.pad(image, ((0, 0), *margin), "symmetric") for image in (truth, predicted))
    values, flat = q2n(moments(truth, predicted, kept, whole_numbers=whole_numbers, within=False))
    index = np.full(kept.shape, np.nan)
    index[kept] = values
    centres = None
    if zones is not None:
        places = [np.minimum(np.arange(BLOCK // 2, size + BLOCK // 2, BLOCK), size - 1) for size in (rows, columns)]
        centres = zones[np.ix_(*places)]
    _add(sums.blocks, kept, centres, 0, index)
    _add(sums.counts[:, COUNTS.index("q2n")], kept, centres)
    sums.counts[0, COUNTS.index("flat")] += flat


def _range(facts: Facts, band: int, terms: Terms) -> float:
    """The data range of a band for SSIM."""
    return float(facts.high[band] - facts.low[band]) if terms.data_range is None else terms.data_range


def conclude(sums: Sums, facts: Facts, pixels: int, terms: Terms) -> Assessment:
    """The scores of a prediction from the sums of all parts, of one zone or of all together.

    ``pixels`` is the number of pixels of the image.
    """
    scores: dict[str, Score] = {}
    reasons: list[str] = []
    with np.errstate(invalid="ignore", divide="ignore"):
        values = _values(_Bands.of(sums, facts), sums, facts, terms)
    for name in terms.metrics:
        metric = ALL[name]
        found = values[name] / unit_of(metric, terms)
        for band in range(len(found)):
            why = _unknown(name, band, sums, facts, terms)
            if why is None and np.isinf(found[band]):
                why = "the images are equal, and it is infinite"
            if why:
                found[band] = np.nan
                place = "" if metric.spectral else f" of band {band + 1}"
                reasons.append(f"{metric.title}{place} is unknown: {why}.")
        scores[name] = Score(float(found.mean()), () if metric.spectral else tuple(found.tolist()))
    return Assessment(scores, sums.count("pixels") / max(pixels, 1), tuple(reasons))


def unit_of(metric: Metric, terms: Terms) -> float:
    """What the value of a metric is divided by."""
    return terms.unit if metric.in_unit else 1.0


@dataclass(frozen=True)
class _Bands:
    """Statistics of every band: means, and means of products of what is left without them; mean square error."""

    p: Floats
    t: Floats
    pp: Floats
    tt: Floats
    pt: Floats
    square: Floats

    @classmethod
    def of(cls, sums: Sums, facts: Facts) -> _Bands:
        mean = {name: sums.totals[0, :, _COLUMN[name]] / sums.count("pixels") for name in TOTALS[:6]}
        pp, tt, pt = (mean[a + b] - mean[a] * mean[b] for a, b in ("pp", "tt", "pt"))
        return cls(mean["p"] + facts.mean, mean["t"] + facts.mean, pp, tt, pt, mean["square"])


def _values(bands: _Bands, sums: Sums, facts: Facts, terms: Terms) -> dict[str, Floats]:
    """The values of the metrics, per band where they have any; what divides by 0 is not finite."""
    totals = {name: sums.totals[0, :, column] for name, column in _COLUMN.items()}
    count = sums.count("pixels")
    values = {
        name: totals[name] / sums.count(metric.window) for name, metric in ALL.items() if name in totals
    }
    values |= {"mae": totals["absolute"] / count, "bias": bands.p - bands.t, "rmse": np.sqrt(bands.square)}
    values["r"] = np.clip(bands.pt / np.sqrt(bands.pp * bands.tt), -1, 1)
    values["sam"] = sums.angles / sums.count("sam")
    values["ergas"] = 100 / (terms.ratio or np.nan) * _relative(values["rmse"], bands.t)
    return values | _more(bands, sums, totals, values, facts, terms) if terms.more else values


def _relative(rmse: Floats, mean: Floats) -> Floats:
    """Root of the mean square of the relative errors of the bands whose mean is not 0."""
    relative = (rmse / mean)[mean != 0]
    return np.sqrt([(relative**2).sum() / len(relative)])


def _more(
    bands: _Bands, sums: Sums, totals: Mapping[str, Floats], values: Mapping[str, Floats], facts: Facts, terms: Terms
) -> dict[str, Floats]:
    """The metrics beyond the first ones."""
    pooled, peak = bands.square.mean(keepdims=True), np.full(1, terms.peak or np.nan)
    spread, power = bands.pp + bands.tt, bands.p**2 + bands.t**2
    data_range = np.array([_range(facts, band, terms) for band in range(len(bands.p))])
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    n = sums.count("texture")
    pp, tt, pt = (
        totals[f"laplace_{a}{b}"] - totals[f"laplace_{a}"] * totals[f"laplace_{b}"] / n for a, b in ("pp", "tt", "pt")
    )
    sobel = {name: totals[f"sobel_{name}"].sum(keepdims=True) for name in ("pp", "tt", "pt")}
    largest = (sums.high[0, :, 1] + facts.mean).max(keepdims=True)
    return {
        "rrmse": 100 * values["rmse"] / np.abs(bands.t),
        "r2": 1 - bands.square / bands.tt,
        "psnr": 20 * np.log10(peak / values["rmse"]),
        "psnr_pooled": 10 * np.log10(peak**2 / pooled),
        "psnr_cube": 10 * np.log10(largest**2 / pooled),
        "q2n": sums.blocks / sums.count("q2n"),
        "scc": sobel["pt"] / np.sqrt(sobel["pp"] * sobel["tt"]),
        "scc_laplace": np.clip(pt / np.sqrt(pp * tt), -1, 1),
        "rmse_pooled": np.sqrt(pooled),
        "sam_radians": np.radians(values["sam"]),
        "ergas_predicted": 100 / (terms.ratio or np.nan) * _relative(values["rmse"], bands.p),
        "ergas_inverse": 100 * (terms.ratio or np.nan) * _relative(values["rmse"], bands.t),
        "ssim_global": (2 * bands.p * bands.t + c1) * (2 * bands.pt + c2) / ((power + c1) * (spread + c2)),
        "uiqi_global": 4 * bands.pt * bands.p * bands.t / (spread * power),
    }


#: Metrics that need the two images to vary, the true one alone, a ratio, or a peak.
_VARYING = {"r": "pt", "r2": "t", "ssim": "t", "ssim_global": "t", "uiqi_global": "p or t"}
_WITH_RATIO = ("ergas", "ergas_predicted", "ergas_inverse")


def _unknown(name: str, band: int, sums: Sums, facts: Facts, terms: Terms) -> str | None:
    """Why a metric has no value."""
    metric, count = ALL[name], sums.count("pixels")
    p_flat, t_flat = sums.low[0, band] == sums.high[0, band]
    varying = _VARYING.get(name, "")
    edges = sums.totals[0, :, [_COLUMN["sobel_pp"], _COLUMN["sobel_tt"]]]
    detail = sums.totals[0, band, [_COLUMN["laplace_pp"], _COLUMN["laplace_tt"]]]
    side = {"ssim": SSIM_WINDOW, "uiqi": terms.window, "edge": EDGE_WINDOW, "texture": TEXTURE_WINDOW, "q2n": BLOCK}
    size = side.get(metric.window)
    rules = (
        (count == 0, "no pixel is valid in both images"),
        (name == "r" and count < 2, f"{count} valid pixel is too few"),
        (name == "r" and (p_flat or t_flat), "one of the images is constant"),
        (varying == "p or t" and p_flat and t_flat, "both images are constant"),
        (size and not sums.count(metric.window), f"no window of {size} x {size} pixels is valid throughout"),
        (name in ("ssim", "ssim_global") and _range(facts, band, terms) == 0, "the true image is constant"),
        (name == "r2" and t_flat, "the true image is constant"),
        (name in ("sam", "sam_radians") and len(facts.mean) == 1, "an angle needs two bands"),
        (name in ("sam", "sam_radians") and sums.count("sam") == 0, "every spectrum is zero in one of the images"),
        (name in _WITH_RATIO and not terms.ratio, "the ratio of the pixel sizes is not known"),
        (name == "scc" and not edges.sum(axis=1).all(), "one of the images has no edge"),
        (name == "scc_laplace" and not detail.all(), "one of the images has no detail"),
        (name in ("psnr", "psnr_pooled") and not terms.peak, "the peak is not known"),
    )
    return next((why for holds, why in rules if holds), None) or _without_mean(name, band, sums, facts)


def _without_mean(name: str, band: int, sums: Sums, facts: Facts) -> str | None:
    """Why a metric that divides by a mean has no value."""
    mean = sums.totals[0, :, _COLUMN["p" if name == "ergas_predicted" else "t"]] / max(sums.count("pixels"), 1)
    mean = mean + facts.mean
    if name == "rrmse" and mean[band] == 0:
        return "the true mean is 0"
    if name in _WITH_RATIO and not mean.any():
        return "the mean is 0 in every band"
    return None
