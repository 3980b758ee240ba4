"""VIPSTF as its equations say it, one pixel after the other, in float64: the judge of the fast one."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import lsq_linear

from literal_fit_fc import between

#: Differences nearer to one another than this share may be told apart otherwise by single precision.
NEAR = 1e-4


@dataclass
class Literal:
    """The options of VIPSTF, for coarse pixels of ``ratio`` fine ones from the first corner, and a map of classes."""

    ratio: int
    classes: np.ndarray
    version: str = "weighting"
    window: int = 0
    neighbours: int = 0
    coarse_window: int = 5
    regularisation: float = 1.0

    def predict(self, fine: np.ndarray, coarse: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Fine (pairs, bands, rows, columns), coarse and target on the coarse grid; NaN where invalid.

        The prediction, and where (rows, columns) it hangs on differences that are told apart by rounding.
        """
        fine, coarse, target = (image.astype(float) for image in (fine, coarse, target))
        every = list(range(len(fine)))
        result, open_ = np.full(fine.shape[1:], np.nan), np.zeros(fine.shape[2:], bool)
        for numbers in [every, *([k] for k in every)]:
            predicted, undecided = self._from(fine[numbers], coarse[numbers], target)
            filled = np.isnan(result[0]) & ~np.isnan(predicted[0])
            result[:, filled] = predicted[:, filled]
            open_[filled] = undecided[filled]
        return result, open_

    def _from(self, fine: np.ndarray, coarse: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        virtual, rest = np.empty(fine.shape[1:]), np.empty(target.shape)
        for b in range(len(target)):
            *slopes, intercept = self._regression(coarse[:, b], target[b])
            virtual[b] = sum(a * image for a, image in zip(slopes, fine[:, b], strict=True)) + intercept
            rest[b] = target[b] - sum(a * image for a, image in zip(slopes, coarse[:, b], strict=True)) - intercept
        increment, undecided = np.full(virtual.shape, np.nan), np.zeros(virtual.shape[1:], bool)
        if self.version == "unmixing":
            return virtual + self._unmixed(virtual, rest), undecided
        cubic = np.array(
            [[[between(band, self.ratio, y, x) for x in range(virtual.shape[2])] for y in range(virtual.shape[1])]
             for band in rest]
        )  # fmt: skip
        for y, x in np.ndindex(undecided.shape):
            if not np.isnan(virtual[0, y, x] + cubic[0, y, x]):
                increment[:, y, x], undecided[y, x] = self._mean(virtual, cubic, y, x)
        return virtual + increment, undecided

    def _regression(self, known: np.ndarray, target: np.ndarray) -> list[float]:
        """Slopes and intercept of the target on the known coarse images of a band."""
        valid = ~np.isnan(known.sum(axis=0) + target)
        x, y = known[:, valid], target[valid]
        if y.size <= len(x) + 1:
            return [1 / len(x)] * len(x) + [y.mean() - x.mean() if y.size else math.nan]
        return list(np.linalg.lstsq(np.vstack([x, np.ones(y.size)]).T, y, rcond=None)[0])

    def _mean(self, virtual: np.ndarray, values: np.ndarray, row: int, column: int) -> tuple[np.ndarray, bool]:
        """The mean over the most similar pixels of the window."""
        window = (self.window or self.ratio) // 2 * 2 + 1
        half = window // 2
        around = []
        for i in range(max(0, row - half), min(virtual.shape[1], row + half + 1)):
            for j in range(max(0, column - half), min(virtual.shape[2], column + half + 1)):
                if not np.isnan(virtual[0, i, j] + values[0, i, j]):
                    difference = ((virtual[:, i, j] - virtual[:, row, column]) ** 2).sum()
                    weight = 1 / (1 + math.hypot(i - row, j - column) / (window / 2))
                    around.append((difference, weight, (slice(None), i, j)))
        around.sort(key=lambda each: each[0])
        chosen = around[: self.neighbours or self.ratio]
        last = chosen[-1][0]
        undecided = len(around) > len(chosen) and around[len(chosen)][0] - last <= NEAR * last + 1e-12
        return sum(w * values[at] for _, w, at in chosen) / sum(w for _, w, _ in chosen), undecided

    def _unmixed(self, virtual: np.ndarray, rest: np.ndarray) -> np.ndarray:
        """What the class of every pixel takes of the rest around its coarse pixel."""
        s, reach = self.ratio, self.coarse_window // 2
        names = np.unique(self.classes)
        shares = np.zeros((len(names), *rest.shape[1:]))
        for y, x in np.ndindex(virtual.shape[1:]):
            if not np.isnan(virtual[0, y, x]):
                shares[np.searchsorted(names, self.classes[y, x]), y // s, x // s] += 1 / s**2
        result = np.full(virtual.shape, np.nan)
        for i, j in np.ndindex(rest.shape[1:]):
            near = [
                (m, n) for m, n in np.ndindex(rest.shape[1:])
                if abs(m - i) <= reach and abs(n - j) <= reach and not np.isnan(rest[0, m, n]) and shares[:, m, n].any()
            ]  # fmt: skip
            here = slice(i * s, i * s + s), slice(j * s, j * s + s)
            if np.isnan(rest[0, i, j]) or not shares[:, i, j].any():
                continue
            for b in range(len(rest)):
                found = self._solve([shares[:, m, n] for m, n in near], [rest[b, m, n] for m, n in near], rest[b])
                result[b][here] = found[np.searchsorted(names, self.classes[here])]
        return result

    def _solve(self, shares: list[np.ndarray], values: list[float], band: np.ndarray) -> np.ndarray:
        """Least squares, weighted by the known share of the coarse pixels, with some that say all have the mean."""
        weights = np.array([share.sum() for share in shares])
        mean, prior = np.average(values, weights=weights), math.sqrt(max(1e-6, self.regularisation))
        left = [*(share / share.sum() * math.sqrt(w) for share, w in zip(shares, weights, strict=True))]
        equations = np.vstack([*left, prior * np.eye(len(shares[0]))])
        right = [*(np.sqrt(weights) * values), *([prior * mean] * len(shares[0]))]
        return lsq_linear(equations, right, (np.nanmin(band), np.nanmax(band)), method="bvls", tol=1e-14).x
