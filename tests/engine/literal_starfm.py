"""STARFM as Gao et al. (2006) write it, one pixel after the other, in float64: the judge of the fast one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass
class Literal:
    """The options of STARFM for reflectance in 0..1."""

    window: int = 7
    classes: int = 4
    joint: bool = False
    joint_bands: tuple[int, ...] | None = None
    logarithmic: bool = False
    fine_uncertainty: float = 0.005
    coarse_uncertainty: float = 0.005
    distance_constant: float = 0.0
    filter: str = "both"
    smallest_difference: float = 1e-4
    #: Class map of every pair, (pairs, bands, rows, columns), for the sampling by class.
    class_maps: np.ndarray | None = None

    def predict(self, fine: np.ndarray, coarse: np.ndarray, target: np.ndarray) -> np.ndarray:
        """Fine and coarse (pairs, bands, rows, columns) and target (bands, rows, columns), NaN where invalid."""
        fine, coarse, target = (image.astype(float) for image in (fine, coarse, target))
        thresholds = 2 * np.nanstd(fine, axis=(2, 3)) / self.classes
        result = np.full(target.shape, np.nan)
        for b, y, x in np.ndindex(target.shape):
            result[b, y, x] = self._pixel(fine, coarse, target, thresholds, b, y, x)
        return result

    def _pixel(self, fine: Any, coarse: Any, target: Any, thresholds: Any, b: int, y: int, x: int) -> float:
        pairs = [k for k in range(len(fine)) if not np.isnan(fine[k, b, y, x] + coarse[k, b, y, x] + target[b, y, x])]
        if not pairs:
            return math.nan
        for k in pairs:
            if target[b, y, x] == coarse[k, b, y, x]:
                return float(fine[k, b, y, x])
        for k in pairs:
            if fine[k, b, y, x] == coarse[k, b, y, x]:
                return float(target[b, y, x])
        s_bound = max(abs(fine[k, b, y, x] - coarse[k, b, y, x]) for k in pairs)
        t_bound = max(abs(coarse[k, b, y, x] - target[b, y, x]) for k in pairs)
        s_bound += math.sqrt(self.fine_uncertainty**2 + self.coarse_uncertainty**2)
        t_bound += math.sqrt(2) * self.coarse_uncertainty
        total = weights = 0.0
        least = self.smallest_difference
        for k in pairs:
            for i, j in self._window(y, x, target.shape[1:]):
                f, c, c2 = fine[k, b, i, j], coarse[k, b, i, j], target[b, i, j]
                if np.isnan(f + c + c2) or not self._similar(fine[k], thresholds[k], k, b, (y, x), (i, j)):
                    continue
                s, t = abs(f - c), abs(c - c2)
                passed = (s < s_bound, t < t_bound)
                if not (any(passed) if self.filter == "either" else all(passed)):
                    continue
                distance = 1 + math.hypot(i - y, j - x) / (self.distance_constant or self.window / 2)
                if self.logarithmic:
                    combined = math.log(1e4 * (s + least) + 1) * math.log(1e4 * (t + least) + 1) * distance
                else:
                    combined = (s + least) * (t + least) * distance
                total += (c2 + f - c) / combined
                weights += 1 / combined
        if weights == 0:
            return float(np.mean([fine[k, b, y, x] + target[b, y, x] - coarse[k, b, y, x] for k in pairs]))
        return total / weights

    def _window(self, y: int, x: int, shape: tuple[int, ...]) -> list[tuple[int, int]]:
        half = self.window // 2
        return [
            (i, j)
            for i in range(max(0, y - half), min(shape[0], y + half + 1))
            for j in range(max(0, x - half), min(shape[1], x + half + 1))
        ]

    def _similar(self, fine: Any, thresholds: Any, k: int, b: int, here: Any, there: Any) -> bool:
        bands = [b] if not self.joint else [n - 1 for n in self.joint_bands or range(1, len(fine) + 1)]
        if self.class_maps is not None:
            return bool(self.class_maps[k, b][there] == self.class_maps[k, b][here])
        return all(abs(fine[n][there] - fine[n][here]) <= thresholds[n] for n in bands)
