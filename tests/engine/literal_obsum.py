"""OBSUM as its equations say it, one coarse pixel, object and fine pixel after the other, in float64: the judge.

Classes and objects are given; the coarse images lie on a grid that nests with the fine one from its first pixel on.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import lsq_linear


def grow_together(guide: np.ndarray, scale: float, smallest: int) -> np.ndarray:
    """Felzenszwalb and Huttenlocher's segmentation with sets of pixels; -1 where the guide (bands, H, W) is NaN."""
    rows, columns = guide.shape[1:]
    region = {p: frozenset([p]) for p in np.ndindex(rows, columns) if not np.isnan(guide[0][p])}
    inside = dict.fromkeys(region.values(), 0.0)
    edges = []
    for y, x in region:
        for there in ((y, x + 1), (y + 1, x)):
            if there in region:
                edges.append((math.dist(guide[:, y, x], guide[:, there[0], there[1]]), (y, x), there))
    edges.sort()
    for by_size in (False, True):
        for difference, here, there in edges:
            one, other = region[here], region[there]
            if one is other:
                continue
            if by_size:
                joined = min(len(one), len(other)) < smallest
            else:
                joined = difference <= min(inside[r] + scale / len(r) for r in (one, other))
            if joined:
                both = one | other
                inside[both] = difference
                region |= dict.fromkeys(both, both)
    labels = np.full((rows, columns), -1)
    for number, pixels in enumerate(dict.fromkeys(region.values())):
        for pixel in pixels:
            labels[pixel] = number
    return labels


@dataclass
class Literal:
    """The options of OBSUM, and the maps: classes (H, W) from 0 and objects (H, W), -1 where there is none."""

    classes: np.ndarray
    objects: np.ndarray
    ratio: int
    coarse_window: int = 5
    selected: float = 5.0
    window: int = 7
    neighbours: int = 5
    cell: int = 10**6
    _labels: np.ndarray = field(init=False)

    def predict(self, fine: np.ndarray, coarse: np.ndarray, target: np.ndarray) -> np.ndarray:
        """Fine (bands, H, W), coarse and target (bands, R, C), NaN where invalid."""
        change = target.astype(float) - coarse.astype(float)
        shape = fine.shape[1:]
        self._labels = np.full(shape, -1)
        names: dict[tuple[int, ...], int] = {}
        for y, x in np.ndindex(shape):
            if not np.isnan(fine[0, y, x]) and self.objects[y, x] >= 0:
                name = (y // self.cell, x // self.cell, int(self.objects[y, x]))
                self._labels[y, x] = names.setdefault(name, len(names))
        members = [np.argwhere(self._labels == number) for number in range(len(names))]
        classes = self._majority(members)
        offsets = self._unmix(change, classes, members)
        offsets += self._compensate(change, offsets, members)
        residual = self._upsample(self._residual(change, offsets), shape)
        return np.stack(
            [
                [[self._pixel(fine, offsets, residual, b, y, x) for x in range(shape[1])] for y in range(shape[0])]
                for b in range(len(fine))
            ]
        )

    def _block(self, y: int, x: int) -> tuple[int, int]:
        return y // self.ratio, x // self.ratio

    def _majority(self, members: list[np.ndarray]) -> list[int]:
        counted = [Counter(int(self.classes[y, x]) for y, x in pixels) for pixels in members]
        return [min(counts, key=lambda k, counts=counts: (-counts[k], k)) for counts in counted]

    def _unmix(self, change: np.ndarray, classes: list[int], members: list[np.ndarray]) -> np.ndarray:
        """The mean over every object of the change of its class in the coarse pixels that it lies in."""
        bands, rows, columns = change.shape
        count = int(self.classes.max()) + 1
        shares = np.zeros((count, rows, columns))
        for number, pixels in enumerate(members):
            for y, x in pixels:
                shares[(classes[number], *self._block(y, x))] += 1 / self.ratio**2
        solved = {
            place: self._solve(change, shares, *place)
            for place in np.ndindex(rows, columns)
            if not np.isnan(change[0][place]) and shares[(slice(None), *place)].sum() > 0
        }
        offsets = np.full((bands, len(members)), np.nan)
        for number, pixels in enumerate(members):
            found = [solved[self._block(*p)][:, classes[number]] for p in pixels if self._block(*p) in solved]
            if found:
                offsets[:, number] = np.mean(found, axis=0)
        return offsets

    def _solve(self, change: np.ndarray, shares: np.ndarray, row: int, column: int) -> np.ndarray:
        """The change (bands, classes) that fits a window of coarse pixels best."""
        reach = self.coarse_window // 2
        window = [
            (i, j)
            for i in range(max(0, row - reach), min(change.shape[1], row + reach + 1))
            for j in range(max(0, column - reach), min(change.shape[2], column + reach + 1))
            if not np.isnan(change[0, i, j]) and shares[:, i, j].sum() > 0
        ]
        weights = np.array([shares[:, i, j].sum() for i, j in window])
        fractions = np.array([shares[:, i, j] / shares[:, i, j].sum() for i, j in window])
        solved = []
        for band in change:
            values = np.array([band[place] for place in window])
            mean = np.average(values, weights=weights)
            equations = np.vstack([np.sqrt(weights)[:, None] * fractions, 1e-3 * np.eye(fractions.shape[1])])
            right = np.concatenate([np.sqrt(weights) * values, np.full(fractions.shape[1], 1e-3 * mean)])
            low, high = np.nanmin(band), np.nanmax(band)
            if high > low:
                solved.append(lsq_linear(equations, right, (low, high), method="bvls", tol=1e-14).x)
            else:
                solved.append(np.full(fractions.shape[1], low))
        return np.array(solved)

    def _residual(self, change: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """What the changes of the objects leave of the coarse change."""
        left = np.full(change.shape, np.nan)
        for place in np.ndindex(change.shape[1:]):
            s = self.ratio
            inside = self._labels[place[0] * s : place[0] * s + s, place[1] * s : place[1] * s + s]
            known = [number for number in inside[inside >= 0] if not np.isnan(offsets[0, number])]
            if known:
                left[(slice(None), *place)] = change[(slice(None), *place)] - offsets[:, known].mean(axis=1)
        return left

    def _compensate(self, change: np.ndarray, offsets: np.ndarray, members: list[np.ndarray]) -> np.ndarray:
        """The mean residual of the pixels that show an object best, weighted by how well they do."""
        residual = self._upsample(self._residual(change, offsets), self._labels.shape)
        added = np.zeros_like(offsets)
        for number, pixels in enumerate(members):
            known = [tuple(p) for p in pixels if not np.isnan(residual[0][tuple(p)])]
            if not known:
                continue
            index = np.array([self._index(*p) for p in known])
            best = index >= np.percentile(index, 100 - self.selected) * (1 - 1e-9)
            found = np.array([residual[(slice(None), *p)] for p in known])
            added[:, number] = np.average(found[best], axis=0, weights=index[best])
        return added

    def _index(self, y: int, x: int) -> float:
        s = self.ratio
        around = [
            self._labels[i, j] == self._labels[y, x]
            for i in range(max(0, y - s // 2), min(self._labels.shape[0], y + s // 2 + 1))
            for j in range(max(0, x - s // 2), min(self._labels.shape[1], x + s // 2 + 1))
        ]
        return sum(around) / (1 + math.hypot(y % s - (s - 1) / 2, x % s - (s - 1) / 2) / (s / 2))

    def _upsample(self, values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Cubic convolution; bilinear among what is known where one of the sixteen is not; NaN in a coarse gap."""
        fine = np.full((len(values), *shape), np.nan)
        rows, columns = values.shape[1:]
        for y, x in np.ndindex(shape):
            if np.isnan(values[0][self._block(y, x)]):
                continue
            v, u = ((p + 0.5) / self.ratio - 0.5 for p in (y, x))
            around = {
                (i, j): values[:, min(max(i, 0), rows - 1), min(max(j, 0), columns - 1)]
                for i, j in itertools.product(*(range(math.floor(p) - 1, math.floor(p) + 3) for p in (v, u)))
            }
            if np.isnan([value[0] for value in around.values()]).any():
                near = {(i, j): max(0.0, 1 - abs(i - v)) * max(0.0, 1 - abs(j - u)) for i, j in around}
                near = {place: weight for place, weight in near.items() if not np.isnan(around[place][0])}
            else:
                near = {(i, j): _keys(i - v) * _keys(j - u) for i, j in around}
            fine[:, y, x] = sum(w * around[place] for place, w in near.items() if w) / sum(near.values())
        return fine

    def _pixel(self, fine: np.ndarray, offsets: np.ndarray, residual: np.ndarray, b: int, y: int, x: int) -> float:
        number = self._labels[y, x]
        if number < 0 or np.isnan(residual[b, y, x]):
            return math.nan
        half = self.window // 2
        around = []
        for i in range(max(0, y - half), min(fine.shape[1], y + half + 1)):
            for j in range(max(0, x - half), min(fine.shape[2], x + half + 1)):
                if not np.isnan(fine[0, i, j] + residual[0, i, j]):
                    difference = np.abs(fine[:, i, j].astype(float) - fine[:, y, x]).sum()
                    around.append((difference, 1 / (1 + math.hypot(i - y, j - x) / (self.window / 2)), (i, j)))
        most = sorted(around)[: self.neighbours][-1][0]
        similar = [(weight, residual[b][place]) for difference, weight, place in around if difference <= most]
        spread = sum(w * r for w, r in similar) / sum(w for w, _ in similar)
        return float(fine[b, y, x] + offsets[b, number] + spread)


def _keys(t: float) -> float:
    """Keys's kernel (1981), a = -1/2."""
    t = abs(t)
    if t <= 1:
        return 1.5 * t**3 - 2.5 * t**2 + 1
    return -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2 if t < 2 else 0.0
