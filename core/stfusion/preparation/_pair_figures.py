"""What two images have in common, and when that is too little: figures of pairs and of dates, and their judgement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple

import numpy as np

from stfusion.preparation._shift import LEAST_PIXELS, Displacement, Floats
from stfusion.raster.source import Array

#: Factor by which the scale of a pair may differ from that of the others, and how many standard deviations of the fine
#: image its bias may.
SCALE_APART, BIAS_APART = 4.0, 10.0
#: Pairs from which on one can be told from the others.
ENOUGH_PAIRS = 3
_UNITS = ("scale", "bias", "mean", "spread")
#: Dates on either side that a date is compared with.
NEIGHBOURS = 2


class BandFigures(NamedTuple):
    """How a coarse band agrees with a fine one at the coarse resolution; NaN where it cannot be told.

    ``moved`` is the correlation after the displacement is mended. ``bias`` is the mean of coarse - fine, ``scale`` the
    ratio of their standard deviations, ``slope`` and ``offset`` those of the regression of coarse on fine (ordinary
    least squares), ``mean`` and ``spread`` the mean and the standard deviation of the fine band.
    """

    correlation: float
    moved: float
    bias: float
    scale: float
    slope: float
    offset: float
    mean: float
    spread: float


class Fault(NamedTuple):
    """What is bad about a pair, in words, and whether the fine and whether the coarse image is to blame."""

    text: str
    fine: bool
    coarse: bool


@dataclass
class Pair:
    """A fine image and the coarse one that it is compared with.

    ``valid`` are the shares of pixels that are valid in the fine one, in the coarse one and in both, ``shift`` the
    displacement of the coarse image in pixels of the comparison, ``ratio`` how many fine pixels these are wide.
    ``faults`` say what is bad.
    """

    fine: date
    coarse: date
    valid: tuple[float, float, float]
    shift: Displacement
    ratio: float
    bands: Sequence[BandFigures]
    faults: list[Fault] = field(default_factory=list)

    @property
    def correlation(self) -> float:
        """The median of the bands, after a sure displacement is mended."""
        return _median([band.moved if self.shift.sure else band.correlation for band in self.bands])

    @property
    def days(self) -> int:
        """Days from the fine to the coarse date."""
        return (self.coarse - self.fine).days

    def shift_in_fine(self) -> tuple[float, float]:
        """Fine pixels, down and to the right, by which the coarse image has to be moved."""
        return self.shift.rows * self.ratio, self.shift.columns * self.ratio


@dataclass(frozen=True)
class Standing:
    """How an image agrees with those of its own sensor before and after it.

    ``support`` is the highest of its correlations with its neighbours. ``shared`` is the share of its variance that is
    of what its two neighbours show as well (extended triple collocation, McColl et al. 2014). NaN where unknown.
    """

    support: float
    shared: float

    def fault(self, least: float) -> str:
        """What is bad about it, in words, where it is: it is like none of its neighbours, or these agree without it."""
        if self.support < least:
            return f"it resembles no image of its sensor before or after it (correlation at most {self.support:.2f})"
        if self.shared < 0.5:
            return (
                f"the images before and after it resemble one another more than it (they share {self.shared:.0%} of "
                "its variance)"
            )
        return ""


def figures(coarse: Array, fine: Array, moved: Array) -> BandFigures:
    """The figures of a band from pixels that lie on one another, and from fine ones where the coarse ones belong."""
    both = ~np.isnan(coarse) & ~np.isnan(fine)
    if np.count_nonzero(both) < LEAST_PIXELS:
        return BandFigures(*[float("nan")] * len(BandFigures._fields))
    y, x = coarse[both].astype(np.float64), fine[both].astype(np.float64)
    spread = float(x.std())
    scale = float(y.std()) / spread if spread else float("nan")
    r = correlation(coarse, fine)
    slope = r * scale
    return BandFigures(
        r, correlation(coarse, moved), float((y - x).mean()), scale, slope, float(y.mean() - slope * x.mean()),
        float(x.mean()), spread,
    )


def correlation(one: Array, other: Array) -> float:
    """Pearson's correlation of the pixels that are valid in both; NaN where they are too few or do not vary."""
    both = ~np.isnan(one) & ~np.isnan(other)
    if np.count_nonzero(both) < LEAST_PIXELS:
        return float("nan")
    x, y = (values[both].astype(np.float64) for values in (one, other))
    x, y = x - x.mean(), y - y.mean()
    size = np.sqrt((x * x).sum() * (y * y).sum())
    return float((x * y).sum() / size) if size > 0 else float("nan")


def standings(images: Mapping[date, Array]) -> dict[date, Standing]:
    """How every image of a stack (bands, pixels), by date, stands to its neighbours in time."""
    days = sorted(images)
    known = {
        (i, j): _median([correlation(a, b) for a, b in zip(images[days[i]], images[days[j]], strict=True)])
        for i in range(len(days)) for j in range(i + 1, min(i + NEIGHBOURS + 1, len(days)))
    }
    return {day: _standing(known, index) for index, day in enumerate(days)}


def _standing(known: Mapping[tuple[int, int], float], index: int) -> Standing:
    own = [r for places, r in known.items() if index in places and not np.isnan(r)]
    before, after, across = (
        known.get(places, float("nan"))
        for places in ((index - 1, index), (index, index + 1), (index - 1, index + 1))
    )
    # Where the neighbours do not agree with one another, they say nothing of what lies between them.
    shared = max(before, 0.0) * max(after, 0.0) / across if across > 0.5 else float("nan")
    return Standing(max(own) if own else float("nan"), min(shared, 1.0))


def judge(
    pairs: Sequence[Pair],
    fine: Mapping[date, Standing],
    coarse: Mapping[date, Standing],
    least_correlation: float,
    least_valid: float,
) -> None:
    """Write down what is bad about pairs, and of which image: too few valid pixels, too little in common, odd units.

    ``fine`` and ``coarse`` say how the images stand to those before and after them.
    """
    for pair in pairs:
        if min(pair.valid) < least_valid:
            short = [name for name, share in zip(("fine", "coarse", "pair"), pair.valid, strict=True)
                     if share < least_valid]
            text = f"only {pair.valid[2]:.1%} of the pixels are valid in both images"
            pair.faults.append(Fault(text, "coarse" not in short or "fine" in short, "coarse" in short))
        elif not pair.correlation >= least_correlation:
            known = "is unknown" if np.isnan(pair.correlation) else f"is {pair.correlation:.2f}"
            text = f"the correlation of the fine and the coarse image {known}"
            whose = _blamed(fine[pair.fine].support, coarse[pair.coarse].support, least_correlation)
            pair.faults.append(Fault(text, *whose))
    _judge_units([pair for pair in pairs if not pair.faults])


def _blamed(fine: float, coarse: float, least: float) -> tuple[bool, bool]:
    """Whether the fine, and whether the coarse image of a bad pair is to blame: the one that stands worse.

    Where one has no neighbours, the other is judged alone; where both have none, both are to blame.
    """
    if np.isnan(fine) and np.isnan(coarse):
        return True, True
    if np.isnan(coarse):
        return fine < least, fine >= least
    if np.isnan(fine):
        return coarse >= least, coarse < least
    return fine <= coarse, coarse <= fine


def _judge_units(pairs: Sequence[Pair]) -> None:
    """Write down which pairs have a scale or a bias that is far from that of the other ones."""
    if len(pairs) < ENOUGH_PAIRS:
        return
    table = np.array([[band for band in pair.bands] for pair in pairs])
    scale, bias, mean, spread = (table[..., BandFigures._fields.index(name)] for name in _UNITS)
    factors = np.exp(np.nanmax(np.abs(np.log(scale / np.nanmedian(scale, axis=0))), axis=1))
    steps = np.nanmax(np.abs(bias - np.nanmedian(bias, axis=0)) / np.nanmedian(spread, axis=0), axis=1)
    odd = [_oddness(mean, spread), _oddness(mean + bias, spread * scale)]
    for pair, factor, step, fine, coarse in zip(pairs, factors, steps, *odd, strict=True):
        if factor > SCALE_APART:
            text = f"the scale of a band is apart from that of the other dates by a factor of {factor:.3g}"
            pair.faults.append(Fault(text, fine >= coarse, coarse >= fine))
        elif step > BIAS_APART:
            text = f"the bias of a band is apart from that of the other dates by {step:.3g} standard deviations"
            pair.faults.append(Fault(text, fine >= coarse, coarse >= fine))


def _oddness(mean: Floats, spread: Floats) -> Floats:
    """How far the units of images (dates, bands) are from those of the others: of their means and of their spreads."""
    typical = np.nanmedian(spread, axis=0)
    away = np.abs(mean - np.nanmedian(mean, axis=0)) / typical / BIAS_APART
    factor = np.abs(np.log(spread / typical)) / np.log(SCALE_APART)
    found: Floats = np.nanmax(np.maximum(away, factor), axis=1)
    return found


def _median(values: Sequence[float]) -> float:
    """The median of the known values; NaN where there are none."""
    known = [value for value in values if not np.isnan(value)]
    return float(np.median(known)) if known else float("nan")
