"""ESTARFM as Zhu et al. (2010) write it, with the rules of their later code, one pixel after the other, in float64.

The judge of the fast one; with the bias correction of ubESTARFM.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats


@dataclass
class Literal:
    """The options of ESTARFM for reflectance in 0..1."""

    window: int = 7
    classes: int = 4
    conversion: str = "weighted"
    least_change: float = 0.02
    bias_correction: bool = False
    block: int = 0
    lowest: float = -math.inf
    highest: float = math.inf

    def predict(self, fine: np.ndarray, coarse: np.ndarray, target: np.ndarray) -> np.ndarray:
        """Fine and coarse (2, bands, rows, columns) and target (bands, rows, columns), NaN where invalid."""
        fine, coarse, target = (image.astype(float) for image in (fine, coarse, target))
        result = np.full(target.shape, np.nan)
        valid = ~np.isnan(fine[:, 0] + coarse[:, 0] + target[0])
        likeness = {pairs: self._likeness(fine[list(pairs)], coarse[list(pairs)]) for pairs in ((0, 1), (0, 0), (1, 1))}
        for y, x in np.ndindex(target.shape[1:]):
            thresholds = np.stack([self._thresholds(image, y, x) for image in fine])
            if valid[:, y, x].all():
                pairs, usable = (0, 1), valid.all(axis=0)
            elif valid[:, y, x].any():
                # One pair alone: as if both were that pair.
                pairs = (int(np.argmax(valid[:, y, x])),) * 2
                usable = valid[pairs[0]]
            else:
                continue
            two = list(pairs)
            result[:, y, x] = self._pixel(
                fine[two], coarse[two], target, thresholds[two], usable, likeness[pairs], y, x
            )
        return result

    def _thresholds(self, image: Any, y: int, x: int) -> Any:
        if self.block:
            top, left = y // self.block * self.block, x // self.block * self.block
            image = image[:, top : top + self.block, left : left + self.block]
        return 2 * np.nanstd(image, axis=(1, 2), ddof=1) / self.classes

    def _pixel(
        self, fine: Any, coarse: Any, target: Any, thresholds: Any, usable: Any, likeness: Any, y: int, x: int
    ) -> Any:
        half = self.window // 2
        rows, columns = usable.shape
        around = [
            (i, j)
            for i in range(max(0, y - half), min(rows, y + half + 1))
            for j in range(max(0, x - half), min(columns, x + half + 1))
            if usable[i, j]
        ]
        similar = [
            (i, j) for i, j in around if np.all(np.abs(fine[:, :, i, j] - fine[:, :, y, x]) <= thresholds)
        ]
        everyone = (..., *np.array(around).T)
        change = np.array([(target[everyone] - image[everyone]).mean(axis=1) for image in coarse])
        first = 1 / (abs(change[0]) + 1e-14) / (1 / (abs(change[0]) + 1e-14) + 1 / (abs(change[1]) + 1e-14))
        part = np.array([first, 1 - first])
        few = len(similar) <= 5
        chosen = everyone if few else (..., *np.array(similar).T)
        f, c, t = fine[chosen], coarse[chosen], target[chosen]
        bias = (f - c).mean(axis=2) if self.bias_correction else np.zeros(f.shape[:2])
        if self.bias_correction:
            likeness = self._likeness(fine - bias[:, :, None, None], coarse)
        distance = 1 + np.hypot(chosen[1] - y, chosen[2] - x) / half
        weights = 1 / ((1 - likeness[chosen]) * distance + 1e-7)
        weights /= weights.sum()
        shares = weights if self.conversion == "weighted" and not few else np.full(len(weights), 1 / len(weights))
        if few:
            return (part * (fine[:, :, y, x] - bias + change)).sum(axis=0)
        slopes = np.array([self._slope(f[:, b], c[:, b], shares) for b in range(len(target))])
        predicted = (part * (fine[:, :, y, x] - bias + slopes * ((t - c) * weights).sum(axis=2))).sum(axis=0)
        mean = (part * ((f * weights).sum(axis=2) - bias)).sum(axis=0)
        return np.where((predicted <= self.lowest) | (predicted >= self.highest), mean, predicted)

    def _likeness(self, fine: Any, coarse: Any) -> Any:
        """R of every pixel."""
        with np.errstate(invalid="ignore", divide="ignore"):
            if fine.shape[1] == 1:
                r = 1 - np.abs((fine - coarse) / (fine + coarse)).sum(axis=(0, 1)) / 2
            else:
                f, c = fine - fine.mean(axis=(0, 1)), coarse - coarse.mean(axis=(0, 1))
                r = (f * c).sum(axis=(0, 1)) / np.sqrt((f * f).sum(axis=(0, 1)) * (c * c).sum(axis=(0, 1)))
                r = np.clip(r, -1, 1)
            return np.where((r >= -1) & (r <= 1), r, 0.5)

    def _slope(self, f: Any, c: Any, shares: Any) -> float:
        if self.conversion == "one" or abs(((c[0] - c[1]) * shares).sum()) < self.least_change:
            return 1.0
        f, c, w = f.ravel(), c.ravel(), np.tile(shares, 2)
        x, y = c - np.average(c, weights=w), f - np.average(f, weights=w)
        xx, xy, yy = ((w * a * b).sum() for a, b in ((x, x), (x, y), (y, y)))
        slope, r2 = xy / xx, xy**2 / (xx * yy)
        p = stats.f.sf(r2 * (len(f) - 2) / (1 - r2), 1, len(f) - 2)
        return slope if p <= 0.05 and 0 < slope <= 5 else 1.0
