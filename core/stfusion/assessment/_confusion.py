"""The confusion matrix of a class map and its reference: counted part by part, always with its labels.

Rows are the map and columns the reference, as in Olofsson et al. (2014, doi:10.1016/j.rse.2014.02.015); both axes have
the union of the labels, so that a class that only one of the two knows is never dropped.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from stfusion.errors import UserError
from stfusion.fusion._compile import compiled

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]
Labels = tuple[int, ...]

#: More classes than these are values of something else, such as heights.
MOST_CLASSES = 1000
#: Whole numbers up to here are exact in float32, in which images are read.
LARGEST = 2**24
#: Cells of the table that a part is counted in; labels that lie further apart are numbered first.
_CELLS = 2**22


@dataclass(frozen=True)
class Confusion:
    """How many pixels or samples the map has in class ``labels[i]`` and the reference in ``labels[j]``: counts[i, j].

    ``labels`` ascend. ``without_reference`` pixels are left out because the reference has no class there,
    ``without_map`` because only the map has none. Matrices of parts add up, in any order, to that of the whole.

    Raises
    ------
    UserError
        There are more than :data:`MOST_CLASSES` labels.
    ValueError
        The labels do not ascend or do not fit the counts.
    """

    labels: Labels
    counts: Counts
    without_map: int = 0
    without_reference: int = 0

    def __post_init__(self) -> None:
        size = len(self.labels)
        if self.counts.shape != (size, size) or list(self.labels) != sorted(set(self.labels)):
            raise ValueError(f"Labels {self.labels} do not ascend or do not fit counts of shape {self.counts.shape}.")
        _refuse_many(size, "The map and the reference together")

    @classmethod
    def of(
        cls, mapped: NDArray[Any], reference: NDArray[Any], titles: tuple[str, str] = ("The map", "The reference")
    ) -> Confusion:
        """Count the pairs of two arrays of one shape; NaN in an array of floats stands for no class.

        ``titles`` say in errors what the two are.

        Raises
        ------
        UserError
            A value is no whole number, or there are more than :data:`MOST_CLASSES` different ones.
        ValueError
            The shapes differ.
        """
        if mapped.shape != reference.shape:
            raise ValueError(f"Labels of shapes {mapped.shape} and {reference.shape} cannot be compared.")
        arrays = [np.ascontiguousarray(values).reshape(-1) for values in (mapped, reference)]
        axes = [_extent(values, title) for values, title in zip(arrays, titles, strict=True)]
        numbered = len(axes[0]) * len(axes[1]) > _CELLS
        codes: list[Labels] = [tuple(axis) for axis in axes] if not numbered else []
        if numbered:
            for index, title in enumerate(titles):
                found, arrays[index] = _number(arrays[index], title)
                codes.append(found)
                axes[index] = range(len(found))
        counts, missing = np.zeros((len(axes[0]), len(axes[1])), np.int64), np.zeros(2, np.int64)
        if not _count(arrays[0], arrays[1], axes[0].start, axes[1].start, counts, missing):
            for values, title in zip(arrays, titles, strict=True):
                refuse_fractions(values, title)
        return _squared(codes[0], codes[1], counts, int(missing[0]), int(missing[1]))

    def __add__(self, other: Confusion) -> Confusion:
        labels = tuple(sorted({*self.labels, *other.labels}))
        return Confusion(
            labels,
            self._on(labels) + other._on(labels),
            self.without_map + other.without_map,
            self.without_reference + other.without_reference,
        )

    def _on(self, labels: Labels) -> Counts:
        """The counts on axes with at least these labels."""
        place = np.searchsorted(labels, self.labels)
        counts = np.zeros((len(labels), len(labels)), np.int64)
        counts[np.ix_(place, place)] = self.counts
        return counts

    @property
    def total(self) -> int:
        """Pixels or samples that both have a class for."""
        return int(self.counts.sum())

    def renamed(self, names: Mapping[int, int]) -> Confusion:
        """The matrix of the map whose classes are renamed, many to one if need be; those not named keep their label."""
        new = [names.get(label, label) for label in self.labels]
        labels = tuple(sorted({*self.labels, *new}))
        counts = np.zeros((len(labels), len(labels)), np.int64)
        place = np.searchsorted(labels, self.labels)
        # Added one by one: two classes may become the same.
        for row, label in zip(self.counts, new, strict=True):
            counts[np.searchsorted(labels, label), place] += row
        kept = np.flatnonzero(counts.any(axis=0) | counts.any(axis=1))
        return Confusion(
            tuple(labels[index] for index in kept),
            counts[np.ix_(kept, kept)],
            self.without_map,
            self.without_reference,
        )

    def table(
        self, rows: Literal["map", "reference"] = "map", names: Mapping[int, str] | None = None
    ) -> list[list[str | int]]:
        """The matrix with its labels and totals as rows of cells; the first cell says in words what the axes are."""
        counts = self.counts if rows == "map" else self.counts.T
        heads = [(names or {}).get(label, str(label)) for label in self.labels]
        lines: list[list[str | int]] = [[axes_in_words(rows), *heads, "Total"]]
        lines += [[head, *row.tolist(), int(row.sum())] for head, row in zip(heads, counts, strict=True)]
        return [*lines, ["Total", *counts.sum(axis=0).tolist(), self.total]]


def axes_in_words(rows: Literal["map", "reference"]) -> str:
    """What the rows and the columns of a matrix are."""
    return f"Rows: {rows}, columns: {'reference' if rows == 'map' else 'map'}"


def class_sizes(values: NDArray[Any], title: str = "The map") -> Counter[int]:
    """Pixels of every class of an array of whole numbers; NaN stands for none. Sizes of parts add up.

    Raises
    ------
    UserError
        As for :meth:`Confusion.of`.
    """
    found = Confusion.of(values, values, (title, title))
    return Counter(dict(zip(found.labels, found.counts.diagonal().tolist(), strict=True)))


def read_codes(values: Iterable[object], title: str, names: Mapping[str, int] | None = None) -> Floats:
    """The codes of classes as a table has them: numbers, texts of numbers or names; NaN where there is none.

    ``title`` says in errors what the values are, such as "Field 'class' of the reference 'points.gpkg'"; ``names``
    are the codes of the names that are known.

    Raises
    ------
    UserError
        A value is neither a whole number nor a known name.
    """
    known = {name.strip().casefold(): code for name, code in (names or {}).items()}
    return np.array([_read_code(value, title, known) for value in values], np.float64)


def number_names(*columns: Iterable[object]) -> dict[str, int]:
    """Codes for the texts of columns that are no numbers, in alphabetic order, after the numbers that are there."""
    values = [str(value).strip() for column in columns for value in column if value is not None]
    texts = {value.casefold(): value for value in sorted(values, reverse=True) if value and not _is_number(value)}
    numbers = [float(value) for value in values if _is_number(value)]
    first = 1 + max([0, *(int(number) for number in numbers if math.isfinite(number))])
    return {texts[key]: first + index for index, key in enumerate(sorted(texts))}


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _read_code(value: object, title: str, known: Mapping[str, int]) -> float:
    text = "" if value is None else str(value).strip()
    if text.casefold() in known:
        return known[text.casefold()]
    try:
        code = float(text or "nan")
    except ValueError as error:
        hint = f"the known names are {', '.join(known)}" if known else "no names of classes are known"
        raise UserError(
            f"{title} has the text '{text}', which is no whole number, and {hint}; "
            "choose a field with the numbers of the classes, or give their names."
        ) from error
    if not math.isnan(code) and (not code.is_integer() or abs(code) > LARGEST):
        raise UserError(f"{title} has the value {text}; the number of a class is a whole number up to {LARGEST}.")
    return code


def _extent(values: NDArray[Any], title: str) -> range:
    """The whole numbers from the least to the greatest value; empty where all are NaN."""
    if not values.size:
        return range(0)
    low, high = np.fmin.reduce(values), np.fmax.reduce(values)
    if np.isnan(low):
        return range(0)
    if max(abs(float(low)), abs(float(high))) > LARGEST:
        raise UserError(
            f"{title} has values from {low:g} to {high:g}; the number of a class is a whole number up to {LARGEST}."
        )
    return range(math.floor(low), math.floor(high) + 1)


def _number(values: NDArray[Any], title: str) -> tuple[Labels, Floats]:
    """The different values, ascending, and the place of every value among them, NaN where there is none."""
    refuse_fractions(values, title)
    valid = ~np.isnan(values)
    found, places = np.unique(values[valid], return_inverse=True)
    _refuse_many(len(found), title)
    numbers = np.full(values.shape, np.nan)
    numbers[valid] = places
    return tuple(int(value) for value in found), numbers


def _refuse_many(classes: int, title: str) -> None:
    if classes > MOST_CLASSES:
        raise UserError(
            f"{title} has {classes} different values, more than {MOST_CLASSES}; choose a map of classes, not of "
            "measurements."
        )


def refuse_fractions(values: NDArray[Any], title: str) -> None:
    """Raise a UserError that names the layer when one of the values is no whole number; NaN is no value."""
    fractions = values[np.floor(values) != values]
    fractions = fractions[~np.isnan(fractions)]
    if fractions.size:
        raise UserError(
            f"{title} holds values such as {fractions[0]:g}, which are no whole numbers; choose a map of classes, or "
            "round it first."
        )


def _squared(rows: Labels, columns: Labels, counts: Counts, without_map: int, without_reference: int) -> Confusion:
    """The matrix on the union of the labels that occur, of counts whose axes have these labels."""
    kept = np.flatnonzero(counts.any(axis=1)), np.flatnonzero(counts.any(axis=0))
    found = [[axis[index] for index in indices] for axis, indices in zip((rows, columns), kept, strict=True)]
    labels = tuple(sorted({*found[0], *found[1]}))
    _refuse_many(len(labels), "The map and the reference together")
    square = np.zeros((len(labels), len(labels)), np.int64)
    square[np.ix_(*(np.searchsorted(labels, axis) for axis in found))] = counts[np.ix_(*kept)]
    return Confusion(labels, square, without_map, without_reference)


@compiled
def _count(
    mapped: NDArray[Any], reference: NDArray[Any], first_row: int, first_column: int, counts: Counts, missing: Counts
) -> bool:
    """Add the pairs to the counts (rows, columns), and those without map and without reference to ``missing`` (2).

    False at the first value that is no whole number; all are within the table.
    """
    for pixel in range(mapped.size):
        of_map, of_reference = mapped[pixel], reference[pixel]
        if np.isnan(of_reference):
            missing[1] += 1
        elif np.isnan(of_map):
            missing[0] += 1
        else:
            row, column = int(of_map), int(of_reference)
            if row != of_map or column != of_reference:
                return False
            counts[row - first_row, column - first_column] += 1
    return True
