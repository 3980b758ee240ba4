"""Counting what a class map and its reference have at the same places, in one streamed pass over the map."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stfusion.assessment._class_layers import Features, Layers
from stfusion.assessment._confusion import Confusion, Counts, class_sizes, refuse_fractions
from stfusion.errors import UserError
from stfusion.raster.grids import Box
from stfusion.raster.source import AlignedSource, Array
from stfusion.raster.statistics import part_shape
from stfusion.raster.tiles import Tile, run_tiles
from stfusion.run import Context

#: What a polygon is counted by: each of its pixels, or as one place with the class that most of its pixels have.
Unit = Literal["pixels", "polygons"]
#: The class of pixels without one.
_NONE = -(2**31)


class Cells(NamedTuple):
    """Pixels of features that have the same class on the map and lie in the same stratum, and how many they are."""

    features: Counts
    strata: Counts
    mapped: Counts
    numbers: Counts

    @classmethod
    def of(cls, features: NDArray[np.int64], strata: Array, mapped: Array) -> Cells:
        """Count pixels (pixels) with these features and classes; NaN stands for no class."""
        key = features
        whole = [np.where(np.isnan(classes), _NONE, classes).astype(np.int64) for classes in (strata, mapped)]
        for classes in whole:
            found, places = np.unique(classes, return_inverse=True)
            key = key * len(found) + places
        _, first, numbers = np.unique(key, return_index=True, return_counts=True)
        return cls(features[first], whole[0][first], whole[1][first], numbers)

    def by_feature(self) -> Cells:
        """One cell for every feature, of number 1, with the stratum and the class that most of its pixels have.

        Of several classes that have as many, it is the one with the lowest label; pixels without a class count where
        all are.
        """
        columns = []
        for classes in (self.strata, self.mapped):
            keys, place = np.unique(np.stack([self.features, classes]), axis=1, return_inverse=True)
            numbers = np.bincount(place.reshape(-1), weights=self.numbers)
            order = np.lexsort((keys[1], -numbers, keys[1] == _NONE, keys[0]))
            features, first = np.unique(keys[0][order], return_index=True)
            columns.append(keys[1][order][first])
        return Cells(features, columns[0], columns[1], np.ones(len(features), np.int64))


class Places(NamedTuple):
    """Places of a sample: stratum, class on the map and class of the reference, NaN where there is none; how many."""

    strata: NDArray[np.float64]
    mapped: NDArray[np.float64]
    reference: NDArray[np.float64]
    numbers: Counts


@dataclass(frozen=True)
class Counted:
    """The matrix of the map and its reference, and where the reference is a sample also its places.

    ``sizes`` are the pixels of every class of the map where they were asked for, ``strata`` those of the strata, which
    are the classes of the map where none were given. ``missed`` features have no pixel of their own.
    """

    confusion: Confusion
    sizes: Mapping[int, int]
    strata: Mapping[int, int]
    places: Places | None = None
    missed: int = 0


class _Seen(NamedTuple):
    """What was counted in a part."""

    confusion: Confusion
    sizes: Counter[int]
    strata: Counter[int]
    cells: Cells | None


_NOTHING = Confusion((), np.zeros((0, 0), np.int64))


def count(context: Context, layers: Layers, unit: Unit, sizes: bool, span: tuple[float, float]) -> Counted:
    """Count the map against its reference.

    ``unit`` is what a polygon is counted by. ``sizes`` asks for the pixels of every class of the map, which are counted
    anyhow where the reference is a sample. ``span`` is the progress, in per cent, at the begin and the end.

    Raises
    ------
    UserError
        A value is no whole number, or there is no place where both have a class.
    """
    total = _Total(layers)

    def look(tile: Tile) -> _Seen:
        seen = _look(layers, tile.inner, sizes)
        tile.advance(1.0)
        return seen

    run_tiles(context, layers.mapped.shape, part_shape(layers.mapped), 0, look, total.add, span)
    found = total.counted(unit)
    if not found.confusion.total:
        _refuse_empty(layers, found.confusion)
    return found


def count_classes(
    context: Context, layer: AlignedSource, read: Callable[[Box], Array], span: tuple[float, float], among: str = ""
) -> dict[int, int]:
    """Pixels of every class, by ascending number, of what is read of a layer: windows of classes, NaN for none.

    ``span`` is the progress, in per cent, at the begin and the end; ``among`` says in words which pixels are read.

    Raises
    ------
    UserError
        A value is no whole number, or there is no class.
    """
    sizes: Counter[int] = Counter()

    def look(tile: Tile) -> Counter[int]:
        found = class_sizes(read(tile.inner), str(layer.source))
        tile.advance(1.0)
        return found

    run_tiles(context, layer.shape, part_shape(layer), 0, look, lambda box, found: sizes.update(found), span)
    if not sizes:
        nodata = _or_none(layer.source.nodata)
        raise UserError(f"{layer.source} has no class on any pixel{among}; check its nodata value ({nodata}).")
    return dict(sorted(sizes.items()))


def _look(layers: Layers, box: Box, sizes: bool) -> _Seen:
    titles = layers.titles
    mapped = layers.mapped.read(box)[0]
    reference = layers.reference
    if not isinstance(reference, Features):
        confusion = Confusion.of(mapped, reference.read(box)[0], titles)
        return _Seen(confusion, class_sizes(mapped, titles[0]) if sizes else Counter(), Counter(), None)
    found = class_sizes(mapped, titles[0])
    strata, areas = mapped, found
    if layers.strata is not None:
        strata = layers.strata.read(box)[0]
        refuse_fractions(strata, str(layers.strata.source))
        areas = class_sizes(strata, str(layers.strata.source))
    rows, columns, features = reference.shapes.places(box)
    cells = Cells.of(features, strata[rows, columns], mapped[rows, columns]) if len(features) else None
    return _Seen(_NOTHING, found, areas, cells)


class _Total:
    """Adds up what was counted in the parts."""

    def __init__(self, layers: Layers) -> None:
        self._layers = layers
        self._confusion = _NOTHING
        self._sizes: Counter[int] = Counter()
        self._strata: Counter[int] = Counter()
        self._cells: list[Cells] = []

    def add(self, box: Box, seen: _Seen) -> None:
        """Add a part."""
        self._confusion += seen.confusion
        self._sizes += seen.sizes
        self._strata += seen.strata
        if seen.cells is not None:
            self._cells.append(seen.cells)

    def counted(self, unit: Unit) -> Counted:
        """The whole."""
        reference = self._layers.reference
        if not isinstance(reference, Features):
            return Counted(self._confusion, self._sizes, self._strata)
        empty = Cells(*[np.empty(0, np.int64)] * 4)
        cells = Cells(*(np.concatenate(arrays) for arrays in zip(empty, *self._cells, strict=True)))
        if unit == "polygons" and not reference.are_points:
            cells = cells.by_feature()
        strata, mapped = (np.where(values == _NONE, np.nan, values) for values in (cells.strata, cells.mapped))
        places = Places(strata, mapped, reference.codes[cells.features], cells.numbers)
        missed = len(reference.codes) - len(np.unique(cells.features))
        return Counted(_matrix(places), self._sizes, self._strata, places, missed)


def _matrix(places: Places) -> Confusion:
    """The matrix of places."""
    without_reference = np.isnan(places.reference)
    without_map = np.isnan(places.mapped) & ~without_reference
    both = ~without_reference & ~without_map
    pairs = np.stack([places.mapped[both], places.reference[both]]).astype(np.int64)
    labels, place = np.unique(pairs, return_inverse=True)
    counts = np.zeros((len(labels), len(labels)), np.int64)
    np.add.at(counts, tuple(place.reshape(pairs.shape)), places.numbers[both])
    left_out = (int(places.numbers[where].sum()) for where in (without_map, without_reference))
    return Confusion(tuple(labels.tolist()), counts, *left_out)


def _refuse_empty(layers: Layers, confusion: Confusion) -> None:
    """Say which of the two has no class where the other has one."""
    title, other = layers.titles
    if confusion.without_map:
        raise UserError(
            f"{title} has no class at any of the {confusion.without_map} places where {other} has one; check its "
            f"nodata value ({_or_none(layers.source.nodata)}), or choose layers of the same place."
        )
    if isinstance(layers.reference, Features):
        raise UserError(
            f"None of the {len(layers.reference.codes)} features of {other} has a pixel of {title}: polygons have to "
            "hold the centre of one; give points instead, or a finer class map."
        )
    raise UserError(
        f"{other} has no class on any pixel of {title}; check its nodata value "
        f"({_or_none(layers.reference.source.nodata)}), or choose layers of the same place."
    )


def _or_none(value: float | None) -> str:
    return "none" if value is None else f"{value:g}"
