"""Estimates of accuracy and area from a stratified random sample, with their standard errors.

The estimators are those of Stehman (2014, doi:10.1080/01431161.2014.930207) for any strata: means of indicators (his
equations 3 and 25) and ratios of two of them (27 and 28). Where the strata are the classes of the map they are, term by
term, those of Olofsson et al. (2014, doi:10.1016/j.rse.2014.02.015, equations 4 to 11). No finite population
correction: the sample is taken to be a small part of every stratum.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stfusion.assessment._accuracy import PER_CLASS, plain
from stfusion.assessment._confusion import Confusion, Counts, Floats, Labels, refuse_fractions
from stfusion.errors import UserError

#: Values of numerator and denominator for a place of the class that map and reference both have, that only the map
#: has, and that only the reference has; elsewhere both are 0.
_RATIOS: Mapping[str, tuple[tuple[int, int, int], tuple[int, int, int]]] = {
    "users_accuracy": ((1, 0, 0), (1, 1, 0)),
    "producers_accuracy": ((1, 0, 0), (1, 0, 1)),
    "f1": ((2, 0, 0), (2, 1, 1)),
    "iou": ((1, 0, 0), (1, 1, 1)),
}
_LACKS = {
    "users_accuracy": "no sample is mapped as it",
    "producers_accuracy": "no sample has it as its reference",
    "f1": "no sample has it",
    "iou": "no sample has it",
}


@dataclass(frozen=True)
class Sample:
    """A stratified random sample: how many places of every stratum have which class on the map and as the reference.

    ``sizes`` are the pixels or the areas of the strata. ``cells`` (4, n) are the combinations that occur: places of
    the stratum, the map's and the reference's class in ``strata`` and ``labels``, and the number of samples.
    ``by_map`` tells that the strata are the classes of the map.
    """

    strata: Labels
    sizes: Floats
    labels: Labels
    cells: Counts
    by_map: bool = False

    @classmethod
    def of(
        cls,
        strata: NDArray[Any],
        mapped: NDArray[Any],
        reference: NDArray[Any],
        sizes: Mapping[int, float],
        numbers: Counts | None = None,
    ) -> Sample:
        """The sample of places that have these whole numbers (places); NaN in one of them leaves a place out.

        ``sizes`` are the pixels or the areas of the strata. ``numbers`` (places) tells how many places each stands for.

        Raises
        ------
        UserError
            A stratum of the sample has no size, a value is no whole number, or the sample is empty.
        """
        titles = ("The strata", "The map", "The reference")
        places = np.stack([np.asarray(values, np.float64) for values in (strata, mapped, reference)])
        for values, title in zip(places, titles, strict=True):
            refuse_fractions(values, title)
        known = np.flatnonzero(~np.isnan(places).any(axis=0))
        numbers = np.ones(places.shape[1], np.int64) if numbers is None else numbers
        places, numbers = places[:, known].astype(np.int64), numbers[known]
        names = _strata(places[0].tolist(), sizes)
        labels = tuple(np.unique(places[1:]).tolist())
        axes = zip((names, labels, labels), places, strict=True)
        cells, cell = np.unique(
            np.stack([np.searchsorted(axis, values) for axis, values in axes]), axis=1, return_inverse=True
        )
        counts = _sum_up(numbers, (cell.reshape(-1),), cells.shape[1:]).astype(np.int64)
        return cls(names, np.array([sizes[name] for name in names], np.float64), labels, np.vstack([cells, counts]))

    @classmethod
    def by_map_class(cls, confusion: Confusion, sizes: Mapping[int, float]) -> Sample:
        """The sample whose strata are the classes of the map, of these pixels or areas; the matrix counts samples.

        Raises
        ------
        UserError
            A class of the map that has samples has no size, or the sample is empty.
        """
        rows, columns = np.nonzero(confusion.counts)
        strata = _strata([confusion.labels[row] for row in rows], sizes)
        labels = tuple(sorted({*confusion.labels, *strata}))
        row, column = (np.searchsorted(labels, np.array(confusion.labels)[index]) for index in (rows, columns))
        stratum = np.searchsorted(strata, np.array(confusion.labels)[rows])
        cells = np.stack([stratum, row, column, confusion.counts[rows, columns]])
        return cls(strata, np.array([sizes[name] for name in strata], np.float64), labels, cells, by_map=True)

    @property
    def numbers(self) -> Counts:
        """Samples of every stratum."""
        return _sum_up(self.cells[3], (self.cells[0],), (len(self.strata),)).astype(np.int64)


class Estimate(NamedTuple):
    """An estimate, its standard error, and half the width of its interval of confidence."""

    value: float
    error: float
    margin: float


@dataclass(frozen=True)
class Estimates:
    """What a sample says of a map.

    ``overall`` is the overall accuracy. ``classes`` has, for every one of the labels, "users_accuracy",
    "producers_accuracy", "f1", "iou", and the "area" of the class of the reference as a share of the whole.
    ``shares`` (classes, classes) is the estimated matrix, rows map and columns reference, for
    :func:`stfusion.assessment._accuracy.measure_shares`. ``size`` is that of all strata together.
    """

    labels: Labels
    overall: Estimate
    classes: Mapping[str, tuple[Estimate, ...]]
    shares: Floats
    size: float
    level: float
    reasons: tuple[str, ...]

    def areas(self, unit: float = 1.0) -> tuple[Estimate, ...]:
        """The area of every class; ``unit`` is what one of the sizes of the strata stands for, such as a pixel's."""
        return tuple(Estimate(*(number * self.size * unit for number in share)) for share in self.classes["area"])

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON, which has no NaN: None stands for it."""
        return {
            "labels": list(self.labels),
            "level": self.level,
            "overall_accuracy": _plain(self.overall),
            "classes": {name: [_plain(found) for found in row] for name, row in self.classes.items()},
            "shares": [plain(row) for row in self.shares.tolist()],
            "reasons": list(self.reasons),
        }


def estimate(sample: Sample, level: float = 0.95) -> Estimates:
    """Estimate accuracies and areas from a stratified random sample.

    ``level`` is the confidence of the intervals, whose half width is the standard error times a normal quantile with
    the three decimals of the usual tables, 1.96 for 0.95 as in the papers. What needs a stratum without samples is
    NaN, and so are standard errors that need one with a single sample.

    Raises
    ------
    UserError
        The level is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise UserError(f"The level of confidence is {level:g}; give a number between 0 and 1, such as 0.95.")
    margin = round(NormalDist().inv_cdf((1 + level) / 2), 3)
    with np.errstate(invalid="ignore", divide="ignore"):
        parts, weights = _parts(sample), sample.sizes / sample.sizes.sum()
        numbers = sample.numbers
        right = parts[0].sum(axis=1)
        values = {"overall": _mean(right[:, None], weights, numbers)}
        for name, (top, bottom) in _RATIOS.items():
            values[name] = _ratio(sample, parts, np.array(top), np.array(bottom))
        values["area"] = _mean(parts[0] + parts[2], weights, numbers)
    found = {
        name: tuple(Estimate(value, error, margin * error) for value, error in zip(*pair, strict=True))
        for name, pair in ((name, (pair[0].tolist(), pair[1].tolist())) for name, pair in values.items())
    }
    (overall,) = found.pop("overall")
    shares = _shares(sample, weights)
    reasons = (*_stratum_reasons(sample), *_class_reasons(sample, found, shares))
    return Estimates(sample.labels, overall, found, shares, float(sample.sizes.sum()), level, reasons)


def _parts(sample: Sample) -> Floats:
    """Share of every stratum's samples that have a class on both, on the map only, and as the reference only.

    Of shape (3, strata, classes); NaN where a stratum has no sample, unless the map itself tells.
    """
    stratum, row, column, number = sample.cells
    shape = len(sample.strata), len(sample.labels)
    same = row == column
    both = _sum_up(number[same], (stratum[same], row[same]), shape)
    mapped = _sum_up(number, (stratum, row), shape)
    reference = _sum_up(number, (stratum, column), shape)
    parts: Floats = np.stack([both, mapped - both, reference - both]) / sample.numbers[:, None]
    if sample.by_map:
        parts[:2, _elsewhere(sample)] = 0
    return parts


def _elsewhere(sample: Sample) -> NDArray[np.bool_]:
    """Strata and classes (strata, classes) of which the map says that the stratum is another class."""
    other: NDArray[np.bool_] = np.array(sample.strata)[:, None] != np.array(sample.labels)
    return other if sample.by_map else np.zeros_like(other)


def _mean(share: Floats, weights: Floats, numbers: Counts) -> tuple[Floats, Floats]:
    """The mean of indicators over the whole from their shares (strata, n), and its standard error (equation 25)."""
    variance = weights[:, None] ** 2 * share * (1 - share) / (numbers[:, None] - 1)
    return weights @ share, np.sqrt(variance.sum(axis=0))


def _ratio(
    sample: Sample, parts: Floats, top: NDArray[np.int64], bottom: NDArray[np.int64]
) -> tuple[Floats, Floats]:
    """The ratio of two means for every class and its standard error (equations 27 and 28).

    ``top`` and ``bottom`` are the values of numerator and denominator for each of the parts.
    """
    weights = sample.sizes / sample.sizes.sum()
    # A part that neither has may be unknown.
    used = (top != 0) | (bottom != 0)
    parts, top, bottom = parts[used], top[used], bottom[used]
    whole = weights @ np.tensordot(bottom, parts, 1)
    ratio = weights @ np.tensordot(top, parts, 1) / whole
    residual = top[:, None] - bottom[:, None] * ratio
    mean = (residual[:, None] * parts).sum(axis=0)
    spread = (residual[:, None] ** 2 * parts).sum(axis=0) - mean**2
    terms = np.maximum(spread, 0) / (sample.numbers[:, None] - 1)
    if not used[2]:
        terms[_elsewhere(sample) & ~np.isnan(ratio)] = 0
    return ratio, np.sqrt(weights**2 @ terms) / whole


def _shares(sample: Sample, weights: Floats) -> Floats:
    """The matrix of shares of the area: map classes by reference classes."""
    stratum, row, column, number = sample.cells
    size = len(sample.labels)
    shares = _sum_up(weights[stratum] * number / sample.numbers[stratum], (row, column), (size, size))
    for empty in np.flatnonzero(sample.numbers == 0):
        unknown = sample.labels.index(sample.strata[empty]) if sample.by_map else slice(None)
        shares[unknown] = np.nan
    return shares


def _sum_up(values: NDArray[Any], places: tuple[NDArray[np.int64], ...], shape: tuple[int, ...]) -> Floats:
    sums = np.zeros(shape)
    np.add.at(sums, places, values)
    return sums


def _strata(sampled: list[int], sizes: Mapping[int, float]) -> Labels:
    """The strata that have a size; all those of the sample must."""
    if not sampled:
        raise UserError("No sample has a stratum, a class on the map and a reference; label some samples first.")
    for name, size in sizes.items():
        if not (math.isfinite(size) and size >= 0):
            raise UserError(f"Stratum {name} has the size {size:g}; give its number of pixels or its area.")
    strata = tuple(sorted(name for name, size in sizes.items() if size > 0))
    for name in sampled:
        if name not in strata:
            raise UserError(
                f"The sample has stratum {name}, whose size is not known (known: {', '.join(map(str, strata))}); "
                "give the size of every stratum, or the raster that the sample was drawn from."
            )
    return strata


def _stratum_reasons(sample: Sample) -> list[str]:
    says = {
        0: "no sample: what depends on it is unknown",
        1: "one sample: standard errors that depend on it are unknown",
    }
    pairs = zip(sample.strata, sample.numbers.tolist(), strict=True)
    return [f"Stratum {name} has {says[number]}." for name, number in pairs if number in says]


def _class_reasons(sample: Sample, found: Mapping[str, tuple[Estimate, ...]], shares: Floats) -> list[str]:
    """Why values of classes are NaN where it is not for a stratum without samples."""
    mapped, reference = np.count_nonzero(shares, axis=1), np.count_nonzero(shares, axis=0)
    either = mapped + reference
    has = {"users_accuracy": mapped, "producers_accuracy": reference, "f1": either, "iou": either}
    return [
        f"{PER_CLASS[name].title} of class {label} is unknown: {why}."
        for name, why in _LACKS.items()
        for label, value, there in zip(sample.labels, found[name], has[name], strict=True)
        if math.isnan(value.value) and not there
    ]


def _plain(found: Estimate) -> dict[str, float | None]:
    return dict(zip(Estimate._fields, plain(found), strict=True))
