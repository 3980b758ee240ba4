"""Clusters and classes: which cluster of a map stands for which class of the reference, and how alike the two are.

Match on one sample and assess on another: an accuracy on the sample that the match was made on is too high.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stfusion.assessment._confusion import Confusion, Counts, Floats
from stfusion.errors import UserError

Rule = Literal["hungarian", "majority"]


@dataclass(frozen=True)
class Match:
    """Which class every cluster becomes.

    ``pairs`` has the class of every cluster that is matched; ``unmatched`` the clusters for which no class is left,
    with a label of their own that is greater than all others. ``purity`` is the share of the most frequent class of
    the reference in every cluster of ``before`` that has places there, and ``after`` the matrix of the renamed map.
    """

    pairs: Mapping[int, int]
    unmatched: Mapping[int, int]
    purity: Mapping[int, float]
    before: Confusion
    after: Confusion

    @property
    def names(self) -> dict[int, int]:
        """The new label of every cluster, for reclassifying the map."""
        return {**self.pairs, **self.unmatched}


def match_clusters(
    confusion: Confusion,
    rule: Rule = "hungarian",
    many_to_one: bool = False,
    clusters: Iterable[int] = (),
    classes: Iterable[int] = (),
) -> Match:
    """Match the clusters of a map (rows) to the classes of its reference (columns).

    "hungarian" is one to one and makes the number of agreeing pixels as large as it can be (Kuhn 1955,
    doi:10.1002/nav.3800020109); clusters that are more than the classes stay unmatched, or with ``many_to_one`` become
    their most frequent class. "majority" is many to one: every cluster becomes its most frequent class, of several the
    one with the lowest label. ``clusters`` of the map that were counted nowhere stay unmatched; ``classes`` are labels
    that the reference's classes have elsewhere.

    Raises
    ------
    UserError
        Nothing was counted.
    """
    if not confusion.total:
        raise UserError(
            "There is no place where both the clusters and the reference have a class; choose layers that overlap."
        )
    counts = confusion.counts
    rows, columns = np.flatnonzero(counts.any(axis=1)), np.flatnonzero(counts.any(axis=0))
    table = counts[np.ix_(rows, columns)]
    found = most = table.argmax(axis=1)
    if rule == "hungarian":
        found = _hungarian(table)
        found = np.where((found < 0) & many_to_one, most, found)
    labels = confusion.labels
    pairs = {labels[row]: labels[columns[place]] for row, place in zip(rows, found, strict=True) if place >= 0}
    every = {*(labels[row] for row in rows), *clusters}
    first = 1 + max(*labels, *every, *classes)
    unmatched = {cluster: first + index for index, cluster in enumerate(sorted(every - pairs.keys()))}
    purity = (table.max(axis=1) / table.sum(axis=1)).tolist()
    return Match(
        pairs,
        unmatched,
        {labels[row]: value for row, value in zip(rows, purity, strict=True)},
        confusion,
        confusion.renamed({**pairs, **unmatched}),
    )


def _hungarian(table: Counts) -> NDArray[np.int64]:
    """The column of every row, or -1, that together make the sum as large as it can be."""
    # Imported here: it takes longer than all the rest.
    from scipy.optimize import linear_sum_assignment

    found = np.full(len(table), -1, np.int64)
    rows, columns = linear_sum_assignment(table, maximize=True)
    found[rows] = columns
    return found


class Agreement(NamedTuple):
    """How alike two partitions are, whatever their labels.

    ``adjusted_rand``: Hubert and Arabie (1985, doi:10.1007/BF01908075). ``homogeneity``: 1 where every cluster lies in
    one class; ``completeness``: 1 where every class lies in one cluster; ``v_measure``: their harmonic mean (Rosenberg
    and Hirschberg 2007), which is the mutual information normalised by the mean of the two entropies (NMI).
    ``reasons`` has a sentence for every value that is NaN.
    """

    adjusted_rand: float
    homogeneity: float
    completeness: float
    v_measure: float
    reasons: tuple[str, ...]


def compare_partitions(confusion: Confusion) -> Agreement:
    """The likeness of the partitions that the map (rows) and the reference (columns) are."""
    counts, total = confusion.counts, confusion.total
    if not total:
        reasons: tuple[str, ...] = ("How alike the two are is unknown: there is no place where both have a class.",)
        return Agreement(math.nan, math.nan, math.nan, math.nan, reasons)
    rows, columns = counts.sum(axis=1), counts.sum(axis=0)
    of_map, of_reference = _entropy(rows / total), _entropy(columns / total)
    mutual = max(0.0, of_map + of_reference - _entropy(counts.reshape(-1) / total))
    known = ((of_reference > 0, mutual, of_reference), (of_map > 0, mutual, of_map))
    homogeneity, completeness = (min(1.0, top / bottom) if holds else math.nan for holds, top, bottom in known)
    both = of_map + of_reference
    v_measure = min(1.0, 2 * mutual / both) if both > 0 else math.nan
    rand = _adjusted_rand(counts)
    rules = (
        (homogeneity, "Homogeneity is unknown: the reference has one class only."),
        (completeness, "Completeness is unknown: the map has one class only."),
        (rand, "The adjusted Rand index is unknown: all is one class in both, or nothing is in a class with others."),
        (v_measure, "The V-measure (NMI) is unknown: both have one class only."),
    )
    reasons = tuple(why for value, why in rules if math.isnan(value))
    return Agreement(rand, homogeneity, completeness, v_measure, reasons)


def _entropy(shares: Floats) -> float:
    """Entropy in nats; exactly 0 of a single class."""
    shares = shares[(shares > 0) & (shares < 1)]
    return float(-(shares * np.log(shares)).sum())


def _adjusted_rand(counts: Counts) -> float:
    """From pairs of pixels, in Python's whole numbers: products of the pairs of a scene do not fit into 64 bits."""
    same_both, same_map, same_reference = (
        sum(number * number for number in numbers.reshape(-1).tolist())
        for numbers in (counts, counts.sum(axis=1), counts.sum(axis=0))
    )
    total = int(counts.sum())
    together, only_map, only_reference = same_both - total, same_map - same_both, same_reference - same_both
    apart = total * total - same_map - same_reference + same_both
    bottom = (together + only_reference) * (only_reference + apart) + (together + only_map) * (only_map + apart)
    return 2 * (together * apart - only_map * only_reference) / bottom if bottom else math.nan
