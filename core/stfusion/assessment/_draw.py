"""Drawing a stratified random sample from a raster of strata that is read part by part.

Every pixel has a random number that is a function of the seed and of its row and column alone, and the pixels with the
smallest ones of their stratum are drawn. So the sample does not depend on the parts that the strata are read in, no
pixel is drawn twice, and a larger sample of the same seed holds the smaller one.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from affine import Affine
from numba import uint64
from numpy.typing import NDArray

from stfusion.assessment._confusion import refuse_fractions
from stfusion.errors import UserError
from stfusion.fusion._compile import compiled
from stfusion.raster.grids import Box

#: Reads the strata: windows and their numbers (rows, columns), NaN where there is no stratum.
Parts = Callable[[], Iterable[tuple[Box, NDArray[Any]]]]

#: How many times as many pixels to choose from each further pass offers, and the most that are offered in all.
_GROWTH, _MOST_OFFERED = 8, 500_000
#: Steps of the generator of random numbers (Steele, Lea and Flood 2014, doi:10.1145/2660193.2660195).
_STEP, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


class Point(NamedTuple):
    """A pixel of the sample and its centre in map coordinates.

    ``weight`` is the number of pixels of its stratum that it stands for.
    """

    id: int
    x: float
    y: float
    stratum: int
    weight: float
    row: int
    column: int


@dataclass(frozen=True)
class Drawn:
    """A sample in random order, so that who labels it does not see the strata.

    ``missing`` are the samples of every stratum that the minimum distance left no room for.
    """

    points: tuple[Point, ...]
    missing: Mapping[int, int]


class _Offered(NamedTuple):
    """Pixels to choose from, by ascending random number."""

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    strata: NDArray[np.int64]


def draw(
    parts: Parts,
    wanted: Mapping[int, int],
    sizes: Mapping[int, int],
    transform: Affine,
    seed: int = 0,
    distance: float = 0.0,
) -> Drawn:
    """Draw pixels at random, without replacement, so many of every stratum.

    Parameters
    ----------
    parts
        Reads the strata once from begin to end each time it is called: every pixel in one window, in any order. It is
        called once, and again where a minimum distance asks for more pixels to choose from.
    wanted, sizes
        Samples and pixels of every stratum.
    transform
        From columns and rows to map coordinates.
    seed
        Another one gives another sample.
    distance
        Two points are at least so far apart, in map units. The sample is no longer simply random then: the formulas
        for standard errors hold as an approximation.

    Raises
    ------
    UserError
        A stratum is wanted that has fewer pixels, a value is no whole number, or the distance is negative.
    """
    for name, number in wanted.items():
        if number > sizes.get(name, 0):
            raise UserError(
                f"{number} samples are wanted of stratum {name}, which has {sizes.get(name, 0)} pixels; want fewer."
            )
    if not distance >= 0:
        raise UserError(f"The minimum distance is {distance:g}; give 0 or more.")
    wanted = {name: number for name, number in sorted(wanted.items()) if number > 0}
    growth = 1
    while True:
        shares = {name: _share(number * growth, sizes[name]) for name, number in wanted.items()}
        found = _offer(parts, shares, seed)
        kept = _choose(found, wanted, transform, distance)
        taken = found.strata[kept]
        missing = {name: number - int(np.count_nonzero(taken == name)) for name, number in wanted.items()}
        more = any(missing[name] and shares[name] < 1 for name in wanted)
        if not more or (distance and len(found.rows) * _GROWTH > _MOST_OFFERED):
            break
        growth *= _GROWTH
    points = tuple(_points(found, kept, sizes, transform))
    return Drawn(points, {name: number for name, number in missing.items() if number})


def _share(number: int, size: int) -> float:
    """The share of a stratum's pixels that holds at least a number of them, but for one case in many millions."""
    return min(1.0, (number + 8 * math.sqrt(number) + 16) / size)


def _offer(parts: Parts, shares: Mapping[int, float], seed: int) -> _Offered:
    """The pixels of the strata whose random number is below a share of all numbers."""
    names = np.array(list(shares), np.int64)
    limits = np.array([min(int(share * 2**64), 2**64 - 1) for share in shares.values()], np.uint64)
    found = [(np.empty(0, np.uint64), *[np.empty(0, np.int64)] * 3)]
    for box, strata in parts():
        flat = np.ascontiguousarray(strata).reshape(-1)
        refuse_fractions(flat, "The map of strata")
        keys, pixels = np.empty(flat.size, np.uint64), np.empty(flat.size, np.int64)
        count = _pick(flat, box.shape[1], box.top, box.left, names, limits, np.uint64(seed % 2**64), keys, pixels)
        rows, columns = np.divmod(pixels[:count], box.shape[1])
        found.append((keys[:count].copy(), box.top + rows, box.left + columns, flat[pixels[:count]].astype(np.int64)))
    keys, *places = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
    order = np.argsort(keys)
    return _Offered(*(values[order] for values in places))


@compiled
def _mix(key: int) -> int:
    """A random number for a key, another one for every key."""
    key = uint64((key ^ (key >> uint64(30))) * uint64(_FIRST))
    key = uint64((key ^ (key >> uint64(27))) * uint64(_SECOND))
    return uint64(key ^ (key >> uint64(31)))  # type: ignore[no-any-return]


@compiled
def _pick(
    strata: NDArray[Any],
    width: int,
    top: int,
    left: int,
    names: NDArray[np.int64],
    limits: NDArray[np.uint64],
    seed: int,
    keys: NDArray[np.uint64],
    pixels: NDArray[np.int64],
) -> int:
    """Write the random numbers below the limit of their stratum, and their pixels; how many they are.

    ``strata`` are those of a window, row by row, whose first pixel is at ``top`` and ``left``; ``names`` ascend.
    """
    count, start = 0, _mix(uint64(seed) + uint64(_STEP))
    for pixel in range(strata.size):
        value = strata[pixel]
        if np.isnan(value):
            continue
        place = np.searchsorted(names, int(value))
        if place == names.size or names[place] != int(value):
            continue
        position = (uint64(top + pixel // width) << uint64(32)) | uint64(left + pixel % width)
        key = _mix(start + (position + uint64(1)) * uint64(_STEP))
        if key <= limits[place]:
            keys[count] = key
            pixels[count] = pixel
            count += 1
    return count


def _choose(found: _Offered, wanted: Mapping[int, int], transform: Affine, distance: float) -> list[int]:
    """The first pixels of every stratum that are far enough from all chosen before."""
    left, total = dict(wanted), sum(wanted.values())
    spacing = _Spacing(distance)
    kept: list[int] = []
    for index, (row, column, stratum) in enumerate(zip(*(values.tolist() for values in found), strict=True)):
        if len(kept) == total:
            break
        if left[stratum] and spacing.take(*_centre(transform, row, column)):
            left[stratum] -= 1
            kept.append(index)
    return kept


def _centre(transform: Affine, row: int, column: int) -> tuple[float, float]:
    """The centre of a pixel in map coordinates."""
    across, down = column + 0.5, row + 0.5
    x = transform.a * across + transform.b * down + transform.c
    return x, transform.d * across + transform.e * down + transform.f


class _Spacing:
    """Takes places that are at least a distance from all that it took before."""

    def __init__(self, distance: float) -> None:
        self._distance = distance
        self._taken: defaultdict[tuple[int, int], list[tuple[float, float]]] = defaultdict(list)

    def take(self, x: float, y: float) -> bool:
        """Whether there is room for the place, which is taken then."""
        if not self._distance:
            return True
        column, row = math.floor(x / self._distance), math.floor(y / self._distance)
        for across, down in product((-1, 0, 1), repeat=2):
            near = self._taken.get((column + across, row + down), ())
            if any(math.hypot(x - other_x, y - other_y) < self._distance for other_x, other_y in near):
                return False
        self._taken[column, row].append((x, y))
        return True


def _points(found: _Offered, kept: list[int], sizes: Mapping[int, int], transform: Affine) -> Iterator[Point]:
    numbers = dict(zip(*np.unique(found.strata[kept], return_counts=True), strict=True))
    for number, index in enumerate(kept, 1):
        row, column, stratum = (int(values[index]) for values in found)
        x, y = _centre(transform, row, column)
        yield Point(number, x, y, stratum, sizes[stratum] / int(numbers[stratum]), row, column)
