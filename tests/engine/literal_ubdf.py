"""UBDF one coarse pixel after the other, each solved by scipy: the judge of the fast one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import lsq_linear

#: The least weight of the class means over the scene.
FLOOR = 1e-6


@dataclass
class Literal:
    """The options of UBDF for coarse pixels of ``ratio`` fine ones, from the first corner."""

    ratio: int
    window: int = 5
    unmix: str = "absolute"
    regularisation: float = 0.0

    def predict(self, fine: np.ndarray, classes: np.ndarray, coarse: np.ndarray, target: np.ndarray) -> np.ndarray:
        """Fine (bands, rows, columns), classes (rows, columns), coarse images on the coarse grid; NaN where invalid."""
        fine, coarse, target = (image.astype(float) for image in (fine, coarse, target))
        values = target - coarse if self.unmix == "change" else target
        names = np.unique(classes)
        valid = ~np.isnan(fine[0])
        cells = list(np.ndindex(target.shape[1:]))
        self.fractions, self.shares = {}, {}
        for i, j in cells:
            here = self._pixels(i, j)
            known = classes[here][valid[here]]
            self.fractions[i, j] = np.array([(known == name).sum() for name in names]) / max(1, len(known))
            self.shares[i, j] = len(known) / self.ratio**2
        result = np.full(fine.shape, np.nan)
        for b in range(len(fine)):
            used = self._used(cells, values[b])
            mean = np.average([values[b][cell] for cell in used], weights=[self.shares[cell] for cell in used])
            prior = self._unmix(cells, values[b], np.full(len(names), mean), 0.0)
            for i, j in cells:
                if np.isnan(values[b, i, j]):
                    continue
                reach = self.window // 2
                near = [(m, n) for m, n in cells if abs(m - i) <= reach and abs(n - j) <= reach]
                here = self._pixels(i, j)
                unmixed = self._unmix(near, values[b], prior, 0.01)[np.searchsorted(names, classes[here])]
                before = fine[b][here] if self.unmix == "change" else 0
                result[b][here] = np.where(valid[here], unmixed + before, np.nan)
        return result

    def _pixels(self, i: int, j: int) -> tuple[slice, slice]:
        return slice(i * self.ratio, (i + 1) * self.ratio), slice(j * self.ratio, (j + 1) * self.ratio)

    def _used(self, cells: list[tuple[int, int]], values: np.ndarray) -> list[tuple[int, int]]:
        return [cell for cell in cells if self.shares[cell] >= 0.5 and not np.isnan(values[cell])]

    def _unmix(
        self, cells: list[tuple[int, int]], values: np.ndarray, prior: np.ndarray, smallest: float
    ) -> np.ndarray:
        """What the classes have for some coarse pixels to be what they are."""
        bounded = np.array([values[cell] for cell in cells if not np.isnan(values[cell])])
        low = bounded.min() if self.unmix == "change" else min(0, bounded.min())
        result = np.clip(prior, low, bounded.max())
        used = self._used(cells, values)
        if not used:
            return result
        shares = np.array([self.shares[cell] for cell in used])
        fractions = np.array([self.fractions[cell] for cell in used])
        present = np.average(fractions, axis=0, weights=shares) > smallest
        weight = max(FLOOR, self.regularisation)
        rows = [np.sqrt(shares)[:, None] * fractions[:, present], np.sqrt(weight) * np.eye(present.sum())]
        right = [np.sqrt(shares) * [values[cell] for cell in used], np.sqrt(weight) * prior[present]]
        bounds = (low, max(bounded.max(), low + 1e-12))
        result[present] = lsq_linear(np.vstack(rows), np.concatenate(right), bounds, method="bvls", tol=1e-15).x
        return result
