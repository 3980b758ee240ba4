"""Separable resampling between grids whose rows and columns run alike, at any places between the pixels.

What belongs to a row of the target is a row of :class:`Taps`: the first row of the source that it is made of, and the
weights of this and the next ones. The same holds for columns, for larger and for smaller pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stfusion.fusion._compile import compiled

Array = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]


class Taps(NamedTuple):
    """The first source pixel of every target pixel (targets,), and the weights (targets, taps) of it and the next."""

    first: npt.NDArray[np.int64]
    weights: Array

    @property
    def start(self) -> int:
        """The first source pixel of all."""
        return int(self.first.min())

    @property
    def stop(self) -> int:
        """The source pixel after the last one of all."""
        return int(self.first.max()) + int(self.weights.shape[1])

    def since(self, start: int) -> Taps:
        """The same, with the source pixels counted from ``start``."""
        return Taps(self.first - start, self.weights)


def _nearest(x: Floats) -> Floats:
    return np.ones_like(x)


def _linear(x: Floats) -> Floats:
    found: Floats = np.clip(1 - np.abs(x), 0.0, None)
    return found


def _cubic(x: Floats) -> Floats:
    """Keys (1981), a = -0.5."""
    x = np.abs(x)
    near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


def _lanczos(x: Floats) -> Floats:
    return np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0.0)


#: Kernels by name, with the number of source pixels that they reach.
_KERNELS: Mapping[str, tuple[Callable[[Floats], Floats], int]] = MappingProxyType({
    "nearest": (_nearest, 1), "bilinear": (_linear, 2), "cubic": (_cubic, 4), "lanczos": (_lanczos, 6),
})


def reach_of(resampling: str) -> int:
    """How many source pixels lie on either side of a place, at most."""
    return -(-_KERNELS[resampling][1] // 2)


def interpolation(places: Floats, resampling: str) -> Taps:
    """The taps of an interpolation ("nearest", "bilinear", "cubic" or "lanczos") at places in source pixels.

    The centre of source pixel n lies at n.
    """
    kernel, count = _KERNELS[resampling]
    first = np.floor(places + 0.5 * (count % 2)).astype(np.int64) - (count - 1) // 2
    weights = kernel(places[:, None] - first[:, None] - np.arange(count))
    return Taps(first, (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32))


def weighted_means(places: Floats, weights: Floats) -> Taps:
    """The taps of a symmetric filter of so many weights (odd) around places in source pixels.

    Between two source pixels it is the mean of the filters around both, weighted by how near they are.
    """
    below = np.floor(places)
    share = (places - below)[:, None]
    mixed = (1 - share) * np.append(weights, 0.0) + share * np.insert(weights, 0, 0.0)
    return Taps(below.astype(np.int64) - len(weights) // 2, mixed.astype(np.float32))


def shrinking(places: Floats, ratio: float) -> Taps:
    """The taps of Keys's cubic convolution stretched by a ratio, which lets no frequencies fold over."""
    count = math.ceil(4 * ratio) + 1
    first = np.ceil(places - 2 * ratio).astype(np.int64)
    weights = _cubic((places[:, None] - first[:, None] - np.arange(count)) / ratio)
    return Taps(first, (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32))


def enlarged(values: Array, rows: Taps, columns: Taps) -> Array:
    """A part of a source (bands, rows, columns) on smaller pixels, whose taps lie inside the part."""
    # Along the rows first, which costs more, while they are few.
    found: Array = _along_columns(_along_rows(values, *columns), *rows)
    return found


def shrunk(values: Array, rows: Taps, columns: Taps) -> Array:
    """A part of a source (bands, rows, columns) on larger pixels, whose taps lie inside the part."""
    found: Array = _along_rows(_along_columns(values, *rows), *columns)
    return found


@compiled
def _along_rows(values: Array, first: npt.NDArray[np.int64], weights: Array) -> Array:
    """Every row at the places of the taps."""
    bands, rows, _ = values.shape
    count, taps = weights.shape
    found = np.empty((bands, rows, count), np.float32)
    for b in range(bands):
        for i in range(rows):
            line, target = values[b, i], found[b, i]
            if taps == 4:
                for j in range(count):
                    start, own = first[j], weights[j]
                    target[j] = (
                        own[0] * line[start] + own[1] * line[start + 1]
                        + own[2] * line[start + 2] + own[3] * line[start + 3]
                    )
                continue
            for j in range(count):
                start = first[j]
                total = np.float32(0.0)
                for k in range(taps):
                    total += weights[j, k] * line[start + k]
                target[j] = total
    return found


@compiled
def _along_columns(values: Array, first: npt.NDArray[np.int64], weights: Array) -> Array:
    """Every column at the places of the taps."""
    bands, _, columns = values.shape
    count, taps = weights.shape
    found = np.empty((bands, count, columns), np.float32)
    for b in range(bands):
        for i in range(count):
            target = found[b, i]
            if taps == 4:  # as bicubic interpolation has them; in one go, which takes half of the time
                _four(values[b], first[i], weights[i], target)
                continue
            target[:] = np.float32(0.0)
            for k in range(taps):
                row, weight = values[b, first[i] + k], weights[i, k]
                for j in range(columns):
                    target[j] += weight * row[j]
    return found


@compiled
def _four(values: Array, first: int, weights: Array, target: Array) -> None:
    """A row of weighted sums of four."""
    a, b, c, d = values[first], values[first + 1], values[first + 2], values[first + 3]
    p, q, r, s = weights[0], weights[1], weights[2], weights[3]
    for j in range(target.size):
        target[j] = p * a[j] + q * b[j] + r * c[j] + s * d[j]
