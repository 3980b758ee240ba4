"""SPSTFM and SSIF as their equations say, patch by patch in float64: the judges of the fast ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


def omp(signal: np.ndarray, atoms: np.ndarray, sparsity: int) -> np.ndarray:
    """The code (atoms) of a signal over the columns of ``atoms``: a least-squares fit after each choice."""
    chosen: list[int] = []
    code = np.zeros(atoms.shape[1])
    rest = signal
    while len(chosen) < min(sparsity, atoms.shape[1]):
        products = np.abs(atoms.T @ rest)
        best = int(np.argmax(products))
        if products[best] <= 1e-6 * np.linalg.norm(signal) or best in chosen:
            break
        chosen.append(best)
        fitted = np.linalg.lstsq(atoms[:, chosen], signal, rcond=None)[0]
        rest = signal - atoms[:, chosen] @ fitted
        code[:] = 0
        code[chosen] = fitted
    return code


def ksvd_round(signals: np.ndarray, atoms: np.ndarray, codes: np.ndarray) -> None:
    """Renew atoms (values, atoms) and codes (atoms, signals) of signals (values, signals), one atom after the other."""
    used = (codes != 0).any(axis=1)
    for k in np.flatnonzero(used):
        users = codes[k] != 0
        codes_without = codes[:, users].copy()
        codes_without[k] = 0
        error = signals[:, users] - atoms @ codes_without
        atoms[:, k] = error @ codes[k, users]
        atoms[:, k] /= np.linalg.norm(atoms[:, k])
        codes[k, users] = error.T @ atoms[:, k]
    misses = ((signals - atoms @ codes) ** 2).sum(axis=0)
    for k in np.flatnonzero(~used):
        worst = int(np.argmax(misses))
        if misses[worst] > 0:
            atoms[:, k] = signals[:, worst] / np.linalg.norm(signals[:, worst])
            misses[worst] = 0


def ksvd(signals: np.ndarray, count: int, sparsity: int, iterations: int, seed: int) -> np.ndarray:
    """Atoms (values, atoms) for signals (values, signals)."""
    signals = signals[:, np.linalg.norm(signals, axis=0) > 0]
    first = np.random.default_rng(seed).permutation(signals.shape[1])[:count]
    atoms = signals[:, first] / np.linalg.norm(signals[:, first], axis=0)
    for _ in range(iterations):
        codes = np.stack([omp(signal, atoms, sparsity) for signal in signals.T], axis=1)
        ksvd_round(signals, atoms, codes)
    return atoms


def filled(patch: np.ndarray) -> np.ndarray:
    """A patch as a vector, its mean in place of invalid values."""
    values = patch.ravel().astype(float)
    valid = values[~np.isnan(values)]
    values[np.isnan(values)] = valid.mean() if valid.size else 0.0
    return values


def begins(size: int, side: int, stride: int) -> list[int]:
    """First pixels of the patches along an axis."""
    return sorted({*range(0, size - side + 1, stride), size - side})


@dataclass
class Literal:
    """The options of both methods for reflectance in 0..1, and one seed."""

    patch: int = 5
    stride: int = 3
    atoms: int = 8
    patches: int = 40
    sparsity: int = 2
    iterations: int = 2
    measured_gain: bool = True
    detail: str = "refitted"
    change_threshold: float = 0.2
    intermediate: int = 0
    modulation: str = "high_pass"
    contrast_limit: float = 1.0
    seed: int = 0

    def spstfm(self, fine: np.ndarray, coarse: np.ndarray, target: np.ndarray) -> np.ndarray:
        """Fine and coarse (2, bands, rows, columns) and target (bands, rows, columns), NaN where invalid."""
        fine, coarse, target = (image.astype(float) for image in (fine, coarse, target))
        places = self._places(
            [(coarse[1] - coarse[0])[:, None], (fine[1] - fine[0] - coarse[1] + coarse[0])[:, None]], target.shape[1:]
        )
        return np.stack([self._two_pairs(fine[:, b], coarse[:, b], target[b], places) for b in range(len(target))])

    def ssif(self, fine: np.ndarray, coarse: np.ndarray, target: np.ndarray) -> np.ndarray:
        """Fine, coarse and target (bands, rows, columns), NaN where invalid."""
        fine, coarse, target = (image.astype(float) for image in (fine, coarse, target))
        low, predicted = coarse, target
        for width in [self.intermediate, 1] if self.intermediate > 1 else [1]:
            high = np.stack([box_mean(band, width) for band in fine])
            slopes = np.stack([slope(band) for band in low])
            places = self._places([slopes, (high - low)[:, None]], target.shape[1:])
            predicted = np.stack(
                [self._layer(high[b], low[b], slopes[b], predicted[b], places) for b in range(len(fine))]
            )
            low = high
        return predicted

    def _places(self, images: list[np.ndarray], shape: tuple[int, int]) -> list[tuple[int, int]]:
        """Where the patches for training begin, in the order of drawing."""
        needed = -(-self.patches * 5 // 4)
        rows, columns = shape[0] - self.patch + 1, shape[1] - self.patch + 1
        count = min(2 * needed, rows * columns)
        drawn = np.random.default_rng(self.seed).choice(rows * columns, count, replace=False)
        places = [(int(place) // columns, int(place) % columns) for place in drawn]
        return [p for p in places if all(np.isnan(self._cut(i, *p)).mean() <= 0.15 for i in images)][:needed]

    def _cut(self, image: np.ndarray, y: int, x: int) -> np.ndarray:
        return image[..., y : y + self.patch, x : x + self.patch]

    def _learn(self, low: list[np.ndarray], residual: list[np.ndarray], joint: bool) -> tuple[Any, ...]:
        """Atoms (values, atoms), their detail (values, atoms), and the scale of every value of a signal."""
        train = [n for n in range(len(low)) if n % 5 != 4]
        held = [n for n in range(len(low)) if n % 5 == 4]
        planes = low[0].size // self.patch**2
        split = np.stack([low[n] for n in train]).reshape(len(train), planes, -1)
        deviation = split.std(axis=(0, 2))
        scale = np.repeat([1 / d if d > 0 else 0.0 for d in deviation], self.patch**2)
        signals = np.stack(low, axis=1) * scale[:, None]
        if joint:
            whole = np.stack([a + b for a, b in zip(low, residual, strict=True)], axis=1)
            spread = whole[:, train].std()
            stacked = np.vstack([signals, whole / spread if spread > 0 else whole * 0])
        else:
            stacked = signals
        both = ksvd(stacked[:, train], self.atoms, self.sparsity, self.iterations, self.seed)
        norms = np.linalg.norm(both[: len(signals)], axis=0)
        both = both[:, norms > 1e-9] / norms[norms > 1e-9]
        atoms, fine = both[: len(signals)], both[len(signals) :]
        codes = np.stack([omp(signal, atoms, self.sparsity) for signal in signals.T], axis=1)
        true = np.stack(residual, axis=1)
        if self.detail == "joint" and joint:
            detail = spread * fine - deviation[0] * atoms
        else:
            known = codes[:, train]
            energy = known @ known.T
            damping = 0.3 * np.trace(energy) / max(len(energy), 1) * np.eye(len(energy))
            detail = (np.linalg.pinv(energy + damping) @ known @ true[:, train].T).T
        if self.measured_gain:
            said = detail @ codes[:, held]
            gain = (said * true[:, held]).sum() / (said**2).sum() if said.any() else 0.0
            detail = detail * min(max(gain, 0.0), 1.0)
        return atoms, detail, scale

    def _two_pairs(self, fine: Any, coarse: Any, target: Any, places: Any) -> np.ndarray:
        between, grown = coarse[1] - coarse[0], fine[1] - fine[0]
        low, residual = [], []
        for place in places:
            change = filled(self._cut(between, *place))
            low.append(change - change.mean())
            residual.append(filled(self._cut(grown - between, *place)))
        atoms, detail, scale = self._learn(low, residual, joint=True)
        changes = [target - coarse[0], target - coarse[1]]
        corners = [
            (y, x)
            for y in begins(target.shape[0], self.patch, self.stride)
            for x in begins(target.shape[1], self.patch, self.stride)
        ]
        mean = {
            (k, *corner): np.abs(part[~np.isnan(part)]).mean() if (~np.isnan(part)).any() else 0.0
            for k in range(2)
            for corner in corners
            for part in [self._cut(changes[k], *corner)]
        }
        largest = max(mean.values()) or 1.0
        total, count = np.zeros(target.shape), np.zeros(target.shape)
        for y, x in corners:
            said = []
            for k in range(2):
                signal = filled(self._cut(changes[k], y, x))
                code = omp((signal - signal.mean()) * scale, atoms, self.sparsity)
                said.append(self._cut(fine[k] + changes[k], y, x) + (detail @ code).reshape(self.patch, self.patch))
            v1, v3 = mean[0, y, x] / largest, mean[1, y, x] / largest
            w1 = 0.5 if v1 + v3 == 0 else v3 / (v1 + v3)
            if v1 - v3 > self.change_threshold:
                w1 = 0.0
            elif v3 - v1 > self.change_threshold:
                w1 = 1.0
            both = w1 * said[0] + (1 - w1) * said[1]
            both = np.where(np.isnan(said[0]), said[1], np.where(np.isnan(said[1]), said[0], both))
            self._cut(total, y, x)[...] += np.where(np.isnan(both), 0, both)
            self._cut(count, y, x)[...] += ~np.isnan(both)
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)

    def _layer(self, high: Any, low: Any, slopes: Any, target: Any, places: Any) -> np.ndarray:
        signals = [np.concatenate([filled(plane) for plane in self._cut(slopes, *place)]) for place in places]
        residual = [filled(self._cut(high - low, *place)) for place in places]
        atoms, detail, scale = self._learn(signals, residual, joint=False)

        def sharpened(image: np.ndarray) -> np.ndarray:
            planes = slope(image)
            total, count = np.zeros(image.shape), np.zeros(image.shape)
            for y in begins(image.shape[0], self.patch, self.stride):
                for x in begins(image.shape[1], self.patch, self.stride):
                    signal = np.concatenate([filled(plane) for plane in self._cut(planes, y, x)]) * scale
                    code = omp(signal, atoms, self.sparsity)
                    self._cut(total, y, x)[...] += (detail @ code).reshape(self.patch, self.patch)
                    self._cut(count, y, x)[...] += 1
            return image + total / count

        first, second = sharpened(low), sharpened(target)
        if self.modulation == "constant":
            return high + second - first
        with np.errstate(all="ignore"):
            ratio = np.clip(second / first, 0, self.contrast_limit or np.inf)
        return np.where(first >= 0.01, second + ratio * (high - first), high + second - first)


def slope(image: np.ndarray) -> np.ndarray:
    """Central differences down and along (2, rows, columns), one-sided at the borders."""
    result = np.empty((2, *image.shape))
    for axis in range(2):
        moved = np.moveaxis(image, axis, 0)
        out = np.moveaxis(result[axis], axis, 0)
        for i in range(len(moved)):
            before, after = max(i - 1, 0), min(i + 1, len(moved) - 1)
            out[i] = (moved[after] - moved[before]) / (after - before)
    return result


def box_mean(image: np.ndarray, width: int) -> np.ndarray:
    """Mean of the valid pixels of the square around each valid pixel."""
    half = width // 2
    result = np.full(image.shape, np.nan)
    for y, x in np.argwhere(~np.isnan(image)):
        result[y, x] = np.nanmean(image[max(0, y - half) : y + half + 1, max(0, x - half) : x + half + 1])
    return result
