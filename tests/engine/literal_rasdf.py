"""RASDF as Shi, Guo and Zhang (2022) have it, one pixel after the other, in float64: the judge of the fast one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.optimize import lsq_linear

Block = tuple[int, int]


@dataclass
class Literal:
    """The options of RASDF for reflectance in 0..1, with one pair whose first coarse pixel begins at the first fine."""

    ratio: int = 4
    fewest: int = 2
    most: int = 3
    local: bool = True
    coarse_change: bool = True
    near: float = 1.0
    far: float = 4.0
    neighbours: int = 5
    lowest: float = 0.0
    highest: float = 1.0

    def predict(self, fine: Any, coarse: Any, target: Any) -> np.ndarray:
        """Fine (bands, H, W), coarse and target (bands, h, w), NaN where invalid."""
        self.fine, self.coarse = np.asarray(fine, float), np.asarray(coarse, float)
        self.bands, self.height, self.width = self.fine.shape
        self.change = np.asarray(target, float) - self.coarse
        self.members = {block: self._members(block) for block in np.ndindex(*self.coarse.shape[1:])}
        self.complete = [
            block for block, pixels in self.members.items()
            if len(pixels) >= 0.999 * self.ratio**2 and not np.isnan(self.change[(0, *block)])
        ]  # fmt: skip
        self.reliability = self._reliability()
        centres, changes = self._unmix_all()
        models = dict.fromkeys(self.members, (centres, changes))
        residual = self._residual(models)
        if self.local:
            models |= self._unmix_changed(centres, residual)
        self.explained = np.full(self.fine.shape, np.nan)
        for block, pixels in self.members.items():
            if not np.isnan(self.change[(0, *block)]):
                for pixel in pixels:
                    own, delta = models[block]
                    self.explained[(slice(None), *pixel)] = memberships(self._at(pixel), own) @ delta
        return self._finish(self._residual(models), len(centres))

    def _members(self, block: Block) -> list[Block]:
        rows, columns = (
            range(index * self.ratio, min(size, (index + 1) * self.ratio))
            for index, size in zip(block, (self.height, self.width), strict=True)
        )
        return [(y, x) for y in rows for x in columns if not np.isnan(self.fine[0, y, x])]

    def _at(self, pixel: Block) -> np.ndarray:
        return self.fine[(slice(None), *pixel)]

    def _of(self, image: np.ndarray, block: Block) -> np.ndarray:
        return image[(slice(None), *block)]

    def _reliability(self) -> np.ndarray:
        """How well a line through coarse and fine values of a band fits, beside the change."""
        found = np.full(self.coarse.shape, np.nan)
        means = {
            block: np.mean([self._at(p) for p in pixels], axis=0) for block, pixels in self.members.items() if pixels
        }
        for b in range(self.bands):
            slope, intercept = np.polyfit(
                [self.coarse[(b, *o)] for o in self.complete], [means[o][b] for o in self.complete], 1
            )
            errors = {o: slope * self.coarse[(b, *o)] + intercept - mean[b] for o, mean in means.items()}
            own = np.array([errors[o] for o in self.complete])
            change = np.mean([abs(self.change[(b, *o)]) for o in self.complete])
            scale = max(2.0, 2 * change / np.mean(np.abs(own))) * own.std()
            for block, error in errors.items():
                if not np.isnan(self.change[(b, *block)]):
                    found[(b, *block)] = max(1 - abs(error) / scale, 0.1)
        return found

    def _shares(self, blocks: list[Block], centres: np.ndarray) -> np.ndarray:
        return np.array(
            [memberships(np.array([self._at(p) for p in self.members[o]]), centres).mean(axis=0) for o in blocks]
        )

    def _unmix_all(self) -> tuple[np.ndarray, np.ndarray]:
        """The number of classes that explains the coarse change best, their centres and their changes."""
        stable = [o for o in self.complete if not self._is_apart(self.change, o)]
        pixels = self.fine[:, ~np.isnan(self.fine[0])].T
        found = []
        for count in range(self.fewest, self.most + 1):
            centres = fuzzy_centres(pixels, count, 80)
            changes = np.empty((count, self.bands))
            for b in range(self.bands):
                limit = np.quantile([self.reliability[(b, *o)] for o in self.complete], 0.7)
                reliable = [o for o in stable if self.reliability[(b, *o)] >= 0.95 or self.reliability[(b, *o)] > limit]
                used = next((o for o in (reliable, stable) if len(o) > 4 * count), self.complete)
                every = np.array([self.change[(b, *o)] for o in self.complete])
                bounds = every.mean() - 3 * every.std(), every.mean() + 3 * every.std()
                values = [self.change[(b, *o)] for o in used]
                changes[:, b] = lsq_linear(self._shares(used, centres), values, bounds, method="bvls", tol=1e-14).x
            left = {
                o: self._of(self.change, o) - s @ changes
                for o, s in zip(stable, self._shares(stable, centres), strict=True)
            }
            error = sum(
                sum(self.reliability[(b, *o)] * abs(left[o][b]) for o in stable)
                / sum(self.reliability[(b, *o)] * abs(self.change[(b, *o)]) for o in stable)
                for b in range(self.bands)
            )
            found.append((error, centres, changes))
        _, centres, changes = min(found, key=lambda each: each[0])
        return centres, changes

    def _is_apart(self, image: np.ndarray, block: Block) -> bool:
        own = np.array([self._of(image, o) for o in self.complete])
        return bool((np.abs(self._of(image, block) - own.mean(axis=0)) > 2 * own.std(axis=0)).any())

    def _residual(self, models: dict[Block, Any]) -> np.ndarray:
        residual = np.full(self.change.shape, np.nan)
        for block, (centres, changes) in models.items():
            if self.members[block]:
                residual[(slice(None), *block)] = (
                    self._of(self.change, block) - self._shares([block], centres)[0] @ changes
                )
        return residual

    def _unmix_changed(self, centres: np.ndarray, residual: np.ndarray) -> dict[Block, Any]:
        apart = [o for o in self.complete if self._is_apart(residual, o)]
        reliable = {o: self._of(self.reliability, o).mean() for o in self.complete}
        models = {}
        for block in apart:
            if reliable[block] <= 0.8:
                continue
            near, change = self._window(block, 2), self._of(self.change, block)
            scale = np.maximum(np.abs(change), 1e-6 * max(np.abs(self._of(self.change, o)).max() for o in near))
            unlike = np.array([(np.abs(self._of(self.change, o) - change) / scale).sum() for o in near])
            alike = [
                o
                for o, u in zip(near, unlike, strict=True)
                if u < unlike.std() / 2 and o in apart and reliable[o] >= 0.8
            ]
            used = alike if len(alike) >= 9 else self._window(block, 1)
            pixels = np.array([self._at(p) for o in used for p in self.members[o]])
            sampled = pixels[:: math.ceil(len(pixels) / 1024)]
            tries = []
            for own in [*(fuzzy_centres(sampled, count, 50) for count in (2, 3, 4)), centres]:
                if len(own) >= len(used):
                    continue
                shares = self._shares(used, own)
                values = np.array([self._of(self.change, o) for o in used])
                changes = np.empty((len(own), self.bands))
                for b in range(self.bands):
                    y = values[:, b]
                    bounds = y.min() - y.std(), y.max() + y.std()
                    changes[:, b] = lsq_linear(shares, y, bounds, method="bvls", tol=1e-14).x
                weights = np.array([self._of(self.reliability, o) for o in used])
                tries.append(((weights * np.abs(values - shares @ changes)).sum(), own, changes))
            if not tries:
                continue
            _, own, changes = min(tries, key=lambda each: each[0])
            left = change - self._shares([block], own)[0] @ changes
            part = 1 - np.abs(left).sum() / np.abs(change).sum() if change.any() else float(not left.any())
            if part > 0 and (part >= 0.7 or part >= reliable[block]):
                models[block] = own, part * changes
        return models

    def _window(self, block: Block, reach: int) -> list[Block]:
        return [o for o in self.complete if max(abs(o[0] - block[0]), abs(o[1] - block[1])) <= reach]

    def _finish(self, residual: np.ndarray, classes: int) -> np.ndarray:
        """Means over similar pixels, residuals, and what leaves the valid range."""
        mean = np.mean([self._of(self.reliability, o).mean() for o in self.complete])
        reach = self.far - (self.far - self.near) * mean
        self.half = min(max(1, round(reach * self.ratio)), (min(self.height, self.width) - 1) // 2)
        self.count = max(1, round(reach * self.neighbours))
        pixels = self.fine[:, ~np.isnan(self.fine[0])].T
        self.limit = 2 * (pixels / pixels.mean(axis=0)).sum(axis=1).std() / (classes + 1)
        similar = {pixel: self._similar(*pixel) for pixel in np.ndindex(self.height, self.width) if self._has(pixel)}
        weight = np.clip(self._cubic(self.reliability.mean(axis=0)[None])[0], 0.1, 1)
        values = np.full(self.fine.shape, np.nan)
        for pixel, found in similar.items():
            values[(slice(None), *pixel)] = sum(w * self._of(self.explained, p) for w, p in found) / sum(
                w for w, _ in found
            )
        if not self.coarse_change:
            residual = self._left(values)
        spread = self._cubic(residual)
        for pixel, found in similar.items():
            total = sum(w * weight[p] * self._of(spread, p) for w, p in found)
            values[(slice(None), *pixel)] += total / sum(w * weight[p] for w, p in found)
        if self.coarse_change:
            values += self._cubic(self._left(values))
        plain = self.fine + self._cubic(self.change)
        values += self.fine
        outside = (values < self.lowest) | (values > self.highest)
        return np.where(outside, np.clip(plain, self.lowest, self.highest), values)

    def _has(self, pixel: Block) -> bool:
        return not np.isnan(self.explained[(0, *pixel)])

    def _left(self, values: np.ndarray) -> np.ndarray:
        """The coarse change less the mean of the changes of the pixels."""
        left = np.full(self.change.shape, np.nan)
        for block, pixels in self.members.items():
            if pixels:
                left[(slice(None), *block)] = self._of(self.change, block) - np.mean(
                    [self._of(values, p) for p in pixels], axis=0
                )
        return left

    def _similar(self, y: int, x: int) -> list[tuple[float, Block]]:
        """Weights and places of the most similar pixels."""
        fine = self.fine.astype(np.float32)  # which pixels tie must not hang on rounding
        scales = np.float32(1) / np.maximum(np.abs(fine[:, y, x]), np.float32(1e-3))
        found = []
        for i in range(max(0, y - self.half), min(self.height, y + self.half + 1)):
            for j in range(max(0, x - self.half), min(self.width, x + self.half + 1)):
                if self._has((i, j)):
                    key = (np.abs(fine[:, i, j] - fine[:, y, x]) * scales).sum(dtype=np.float32)
                    found.append((key, 1 / (1 + math.hypot(i - y, j - x) / (self.half + 0.5)), (i, j)))
        bound = min(sorted(key for key, _, _ in found)[min(self.count, len(found)) - 1], self.limit)
        return [(weight, place) for key, weight, place in found if key <= bound]

    def _cubic(self, image: np.ndarray) -> np.ndarray:
        """Cubic convolution between the centres of blocks; bilinear where one of the 16 is missing."""
        result = np.full((len(image), self.height, self.width), np.nan)
        for y, x in np.ndindex(self.height, self.width):
            if np.isnan(image[0, y // self.ratio, x // self.ratio]):
                continue
            places = (y + 0.5) / self.ratio - 0.5, (x + 0.5) / self.ratio - 0.5
            for kernel, reach in ((keys, 2), (lambda d: max(0.0, 1 - d), 1)):
                total, weights = np.zeros(len(image)), 0.0
                for i in range(math.floor(places[0]) - reach + 1, math.floor(places[0]) + reach + 1):
                    for j in range(math.floor(places[1]) - reach + 1, math.floor(places[1]) + reach + 1):
                        weight = kernel(abs(places[0] - i)) * kernel(abs(places[1] - j))
                        value = image[:, min(max(i, 0), image.shape[1] - 1), min(max(j, 0), image.shape[2] - 1)]
                        if reach == 2 or not np.isnan(value[0]):
                            total, weights = total + weight * value, weights + weight
                if not np.isnan(total[0]):
                    break
            result[:, y, x] = total / weights
        return result


def keys(distance: float) -> float:
    """The kernel of cubic convolution (Keys 1981)."""
    if distance <= 1:
        return 1.5 * distance**3 - 2.5 * distance**2 + 1
    return -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2 if distance < 2 else 0.0


def memberships(pixels: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Memberships (..., classes) of pixels (..., bands) by fuzzy c-means, exponent 2."""
    squares = np.stack([1e-30 + ((pixels - centre) ** 2).sum(axis=-1) for centre in centres], axis=-1)
    return np.stack([1 / (squares[..., k, None] / squares).sum(axis=-1) for k in range(len(centres))], axis=-1)


def fuzzy_centres(pixels: np.ndarray, count: int, steps: int) -> np.ndarray:
    """Fuzzy c-means that begins at the means of equally many pixels each, in the order of their brightness."""
    brightness = pixels.sum(axis=1)
    ordered = sorted(brightness)
    cuts = [k * len(pixels) // count for k in range(count + 1)]
    groups = [(brightness >= ordered[a]) & (brightness <= ordered[b - 1]) for a, b in pairwise(cuts)]
    centres = np.array([pixels[group].mean(axis=0) for group in groups])
    for _ in range(steps):
        weights = memberships(pixels, centres) ** 2
        before, centres = centres, weights.T @ pixels / weights.sum(axis=0)[:, None]
        if np.max(((centres - before) ** 2).sum(axis=1)) <= 1e-10 * pixels.var(axis=0).sum():
            break
    return centres
