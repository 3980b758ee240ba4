"""Fit-FC as Wang and Atkinson (2018) write it, one pixel after the other, in float64: the judge of the fast one."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass
class Literal:
    """The options of Fit-FC for reflectance in 0..1 and coarse pixels of ``ratio`` fine ones, from the first corner."""

    ratio: int
    window: int = 0
    neighbours: int = 0
    coarse_window: int = 9

    def predict(self, fine: np.ndarray, coarse: np.ndarray, target: np.ndarray) -> np.ndarray:
        """Fine (pairs, bands, rows, columns), coarse and target on the coarse grid; NaN where invalid."""
        fine, coarse, target = (image.astype(float) for image in (fine, coarse, target))
        predictions = [self._from_pair(f, c, target) for f, c in zip(fine, coarse, strict=True)]
        result = np.full(fine.shape[1:], np.nan)
        weights = [self._change(c, target, fine.shape[2:]) for c in coarse]
        for b, y, x in np.ndindex(result.shape):
            known = [k for k in range(len(fine)) if not np.isnan(predictions[k][b, y, x])]
            if known:
                parts = [1 / max(weights[k][y, x], 1e-10) for k in known]
                values = [predictions[k][b, y, x] for k in known]
                result[b, y, x] = sum(p * v for p, v in zip(parts, values, strict=True)) / sum(parts)
        return result

    def _from_pair(self, fine: np.ndarray, coarse: np.ndarray, target: np.ndarray) -> np.ndarray:
        predicted = np.full(fine.shape, np.nan)
        for b in range(len(fine)):
            lines = {cell: self._line(coarse[b], target[b], *cell) for cell in np.ndindex(coarse.shape[1:])}
            residual = np.full(coarse.shape[1:], np.nan)
            for cell, (slope, intercept) in lines.items():
                residual[cell] = target[b][cell] - (slope * coarse[b][cell] + intercept)
            for y, x in np.ndindex(fine.shape[1:]):
                slope, intercept = lines[y // self.ratio, x // self.ratio]
                predicted[b, y, x] = slope * fine[b, y, x] + intercept + between(residual, self.ratio, y, x)
        return self._filtered(fine, predicted)

    def _line(self, first: np.ndarray, second: np.ndarray, i: int, j: int) -> tuple[float, float]:
        """Slope and intercept of the regression around a coarse pixel; NaN where that is invalid."""
        if np.isnan(first[i, j] + second[i, j]):
            return math.nan, math.nan
        reach = self.coarse_window // 2
        here = (slice(max(0, i - reach), i + reach + 1), slice(max(0, j - reach), j + reach + 1))
        x, y = first[here].ravel(), second[here].ravel()
        known = ~np.isnan(x + y)
        x, y = x[known], y[known]
        variance = ((x - x.mean()) ** 2).mean()
        if len(x) < 3 or variance < 1e-8:
            return 1.0, y.mean() - x.mean()
        slope = ((x - x.mean()) * (y - y.mean())).mean() / variance
        return slope, y.mean() - slope * x.mean()

    def _filtered(self, fine: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        """Means over the most similar pixels of the window."""
        window = (self.window or self.ratio) // 2 * 2 + 1
        count, half = self.neighbours or self.ratio, window // 2
        result = np.full(fine.shape, np.nan)
        for y, x in np.ndindex(fine.shape[1:]):
            if np.isnan(fine[0, y, x] + predicted[0, y, x]):
                continue
            around = []
            for i in range(max(0, y - half), min(fine.shape[1], y + half + 1)):
                for j in range(max(0, x - half), min(fine.shape[2], x + half + 1)):
                    if not np.isnan(fine[0, i, j] + predicted[0, i, j]):
                        difference = ((fine[:, i, j] - fine[:, y, x]) ** 2).sum()
                        around.append((difference, 1 / (1 + math.hypot(i - y, j - x) / (window / 2)), i, j))
            around.sort()
            most = around[min(count, len(around)) - 1][0]
            chosen = [(weight, i, j) for difference, weight, i, j in around if difference <= most]
            total = sum(weight for weight, _, _ in chosen)
            result[:, y, x] = sum(weight * predicted[:, i, j] for weight, i, j in chosen) / total
        return result

    def _change(self, coarse: np.ndarray, target: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Mean square of the coarse change over the bands and 3 x 3 coarse pixels, on the fine grid."""
        squares = ((target - coarse) ** 2).mean(axis=0)
        means = np.full(squares.shape, np.nan)
        for i, j in np.ndindex(squares.shape):
            if not np.isnan(squares[i, j]):
                means[i, j] = np.nanmean(squares[max(0, i - 1) : i + 2, max(0, j - 1) : j + 2])
        return np.array([[between(means, self.ratio, y, x) for x in range(shape[1])] for y in range(shape[0])])


def between(values: np.ndarray, ratio: int, y: int, x: int) -> float:
    """Coarse values at the centre of a fine pixel by cubic convolution, bilinear beside a gap, NaN in one."""
    if np.isnan(values[y // ratio, x // ratio]):
        return math.nan
    v, u = ((n + 0.5) / ratio - 0.5 for n in (y, x))
    for kernel in (_cubic, _linear):
        total = weights = 0.0
        for i in range(math.floor(v) - 1, math.floor(v) + 3):
            for j in range(math.floor(u) - 1, math.floor(u) + 3):
                weight = kernel(v - i) * kernel(u - j)
                i_in, j_in = (min(max(k, 0), n - 1) for k, n in zip((i, j), values.shape, strict=True))
                value = values[i_in, j_in]
                if kernel is _linear and np.isnan(value):
                    continue
                total += weight * value
                weights += weight
        if not np.isnan(total):
            return total / weights
    raise AssertionError


def _cubic(t: float) -> float:
    """Keys' kernel with a = -1/2."""
    t = abs(t)
    if t <= 1:
        return 1.5 * t**3 - 2.5 * t**2 + 1
    return -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2 if t < 2 else 0.0


def _linear(t: float) -> float:
    return max(0.0, 1 - abs(t))
