"""Measures of agreement of a class map with its reference, from their confusion matrix (rows map, columns reference).

Symbols: n the matrix, n_i. its row sums (map), n_.j its column sums (reference), N their total. What is not defined
for a matrix is NaN, and a sentence says why.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stfusion.assessment._confusion import Confusion, Floats, Labels
from stfusion.errors import UserError


class Measure(NamedTuple):
    """What a measure is called and how it is defined."""

    title: str
    definition: str


#: Measures of the whole map.
OVERALL: Mapping[str, Measure] = {
    "overall_accuracy": Measure("Overall accuracy", "Share that map and reference agree on, sum of n_ii / N."),
    "kappa": Measure(
        "Kappa",
        "Agreement beyond chance (Cohen 1960, doi:10.1177/001316446002000104), (p_o - p_e) / (1 - p_e), p_o the "
        "overall accuracy, p_e = sum of n_i. n_.i / N². Kept for comparison with older work: Pontius and Millones "
        "(2011) and Olofsson et al. (2014) advise against it.",
    ),
    "kappa_error": Measure(
        "Standard error of kappa",
        "By the delta method for a simple random sample (Congalton and Green, Assessing the Accuracy of Remotely "
        "Sensed Data).",
    ),
    "mean_iou": Measure("Mean IoU", "Mean of the IoU of the classes that the map or the reference has."),
    "frequency_weighted_iou": Measure(
        "Frequency-weighted IoU", "Mean of the IoU of the classes, weighted by their share of the reference."
    ),
    "mean_f1": Measure("Mean F1", "Mean of F1 of the classes that the map or the reference has."),
    "balanced_accuracy": Measure(
        "Balanced accuracy", "Mean of the producer's accuracy of the classes that the reference has."
    ),
    "mcc": Measure("Matthews correlation", "Coefficient of correlation for many classes (Gorodkin 2004)."),
    "disagreement": Measure("Disagreement", "1 - overall accuracy."),
    "quantity": Measure(
        "Quantity disagreement",
        "The part of the disagreement that is due to the sizes of the classes (Pontius and Millones 2011, "
        "doi:10.1080/01431161.2011.552923): half the sum of |n_i. - n_.i| / N.",
    ),
    "allocation": Measure("Allocation disagreement", "The part that is due to their places: the rest."),
    "exchange": Measure(
        "Exchange",
        "The part of the allocation disagreement that two classes swap (Pontius and Santacruz 2014, "
        "doi:10.1080/2150704X.2014.969814): 2 sum over i < j of min(n_ij, n_ji) / N.",
    ),
    "shift": Measure("Shift", "The rest of the allocation disagreement."),
}
#: Measures of every class.
PER_CLASS: Mapping[str, Measure] = {
    "users_accuracy": Measure("User's accuracy", "Share of the map's class that is right, n_ii / n_i. (precision)."),
    "producers_accuracy": Measure(
        "Producer's accuracy", "Share of the reference's class that the map has, n_ii / n_.i (recall)."
    ),
    "f1": Measure("F1", "Harmonic mean of user's and producer's accuracy, 2 n_ii / (n_i. + n_.i)."),
    "iou": Measure("IoU", "Intersection over union, n_ii / (n_i. + n_.i - n_ii); 0 for a class that only one has."),
    "commission": Measure("Commission error", "1 - user's accuracy."),
    "omission": Measure("Omission error", "1 - producer's accuracy."),
    "conditional_kappa": Measure(
        "Conditional kappa", "Kappa of the map's class, (N n_ii - n_i. n_.i) / (N n_i. - n_i. n_.i)."
    ),
    "quantity": Measure("Quantity disagreement", "|n_i. - n_.i| / N."),
    "allocation": Measure("Allocation disagreement", "2 min(n_i. - n_ii, n_.i - n_ii) / N."),
}


@dataclass(frozen=True)
class Accuracy:
    """The measures by the ids of :data:`OVERALL`, and by those of :data:`PER_CLASS` for every one of the labels.

    ``reasons`` has a sentence for every measure that is NaN.
    """

    labels: Labels
    overall: Mapping[str, float]
    classes: Mapping[str, Floats]
    reasons: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON, which has no NaN: None stands for it."""
        return {
            "labels": list(self.labels),
            "overall": dict(zip(self.overall, plain(list(self.overall.values())), strict=True)),
            "classes": {name: plain(values.tolist()) for name, values in self.classes.items()},
            "reasons": list(self.reasons),
        }


def plain(values: Sequence[float]) -> list[float | None]:
    """The values, None where they are NaN."""
    return [None if math.isnan(value) else value for value in values]


def measure_accuracy(confusion: Confusion) -> Accuracy:
    """The measures of a matrix of counts: of all pixels, or of a simple random sample.

    Raises
    ------
    UserError
        Nothing was counted.
    """
    if not confusion.total:
        raise UserError(
            "There is no place where both the map and the reference have a class "
            f"({confusion.without_map} places without map, {confusion.without_reference} without reference); "
            "choose layers that overlap, and look at their nodata values."
        )
    shares = confusion.counts / confusion.total
    found = measure_shares(shares, confusion.labels)
    error, reasons = _kappa_error(shares, confusion.total), found.reasons
    if math.isnan(error):
        reasons = (*reasons, f"{OVERALL['kappa_error'].title} is unknown: kappa is.")
    return Accuracy(found.labels, {**found.overall, "kappa_error": error}, found.classes, reasons)


def measure_shares(shares: NDArray[Any], labels: Labels) -> Accuracy:
    """The measures of a matrix of shares of the area (classes, classes), such as a stratified sample estimates.

    These are all but ``kappa_error``, whose formula is for counts; all of them are NaN where a share is.
    """
    unknown = bool(np.isnan(shares).any())
    p = np.full(shares.shape, np.nan) if unknown else np.asarray(shares, np.float64)
    rows, columns, right = p.sum(axis=1), p.sum(axis=0), p.diagonal()
    with np.errstate(invalid="ignore", divide="ignore"):
        users, producers = right / rows, right / columns
        classes = {
            "users_accuracy": users,
            "producers_accuracy": producers,
            "f1": 2 * right / (rows + columns),
            "iou": right / (rows + columns - right),
            "commission": 1 - users,
            "omission": 1 - producers,
            "conditional_kappa": (right - rows * columns) / (rows - rows * columns),
            "quantity": np.abs(rows - columns),
            "allocation": 2 * np.minimum(rows - right, columns - right),
        }
        overall = _overall(p, classes)
    if unknown:
        return Accuracy(labels, overall, classes, ("The shares of the area are not all known, so no measure is.",))
    return Accuracy(labels, overall, classes, (*_overall_reasons(overall), *_class_reasons(labels, rows, columns)))


def _overall(p: Floats, classes: Mapping[str, Floats]) -> dict[str, float]:
    """The measures of the whole map from shares and from the measures of the classes."""
    rows, columns = p.sum(axis=1), p.sum(axis=0)
    agreed, chance = float(p.trace()), float(rows @ columns)
    one_class = np.count_nonzero(rows + columns) == 1
    constant = min(np.count_nonzero(rows), np.count_nonzero(columns)) == 1
    # Summed without the diagonal, so that nothing is left of it where the two agree.
    disagreed = float(np.triu(p, 1).sum() + np.tril(p, -1).sum())
    quantity, allocation = (float(classes[name].sum() / 2) for name in ("quantity", "allocation"))
    exchange = float(2 * np.triu(np.minimum(p, p.T), 1).sum())
    return {
        "overall_accuracy": agreed,
        "kappa": math.nan if one_class else (agreed - chance) / (1 - chance),
        "mean_iou": _mean(classes["iou"]),
        "frequency_weighted_iou": float((columns * classes["iou"])[columns != 0].sum()),
        "mean_f1": _mean(classes["f1"]),
        "balanced_accuracy": _mean(classes["producers_accuracy"]),
        "mcc": math.nan if constant else (agreed - chance) / math.sqrt((1 - rows @ rows) * (1 - columns @ columns)),
        "disagreement": disagreed,
        "quantity": quantity,
        "allocation": allocation,
        "exchange": exchange,
        "shift": allocation if math.isnan(allocation) else max(0.0, allocation - exchange),
    }


def _mean(values: Floats) -> float:
    """Mean of the values that are defined."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else math.nan


def _kappa_error(p: Floats, total: int) -> float:
    """Standard error of kappa of a simple random sample, by the delta method (Bishop, Fienberg and Holland 1975)."""
    rows, columns = p.sum(axis=1), p.sum(axis=0)
    if np.count_nonzero(rows + columns) == 1:
        return math.nan
    t1, t2 = p.trace(), rows @ columns
    t3 = p.diagonal() @ (rows + columns)
    t4 = (p * (columns[:, None] + rows) ** 2).sum()
    variance = (
        t1 * (1 - t1) / (1 - t2) ** 2
        + 2 * (1 - t1) * (2 * t1 * t2 - t3) / (1 - t2) ** 3
        + (1 - t1) ** 2 * (t4 - 4 * t2**2) / (1 - t2) ** 4
    )
    return math.sqrt(max(0.0, variance) / total)


def _overall_reasons(overall: Mapping[str, float]) -> Iterator[str]:
    whys = {
        "kappa": "the map and the reference have one class, and the same",
        "mcc": "the map or the reference has one class only",
    }
    for name, why in whys.items():
        if math.isnan(overall[name]):
            yield f"{OVERALL[name].title} is unknown: {why}."


def _class_reasons(labels: Labels, rows: Floats, columns: Floats) -> Iterator[str]:
    for label, row, column in zip(labels, rows, columns, strict=True):
        if not row:
            measures = "User's accuracy, commission error and conditional kappa"
            yield f"{measures} of class {label} are unknown: the map lacks it."
        elif column == 1:
            yield f"Conditional kappa of class {label} is unknown: the reference has no other class."
        if not column:
            yield f"Producer's accuracy and omission error of class {label} are unknown: the reference lacks it."
        if not row and not column:
            yield f"F1 and IoU of class {label} are unknown: neither the map nor the reference has it."
