"""PRACS: F_k = E_k + w_k L_k D_k, D_k what the bands do not explain of a mixture of P and band k.

B_k is E_k with the mean and standard deviation of P, and not below 0; H_k = c_k P + (1 - c_k) B_k with c_k the
correlation of B_k and of the regression I of P on the bands; I_k is the regression of H_k. Regressions are those of
images that were taken to multispectral pixels and back, on B and a constant; each is linear in what is regressed, so
that the moments of one pass give all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from stfusion.fusion._compile import compiled
from stfusion.fusion._fuse import Tally
from stfusion.pansharpening._moments import Moments, fine_moments
from stfusion.pansharpening._scene import Patch, Scene
from stfusion.pansharpening._sharpen import STATISTICS, sharpen
from stfusion.raster.source import Array
from stfusion.run import Context

Floats = npt.NDArray[np.float64]

#: The factors of the details for 8 bits and for more.
_EIGHT_BITS, _MORE_BITS = 1.95, 0.95
#: A regression nearer to 0 than this divides nothing; the local weight stays within these bounds.
_NOTHING, _BOUND = 1e-10, 10.0


def run(context: Context) -> dict[str, Any]:
    """Sharpen by partial replacement."""
    return sharpen(context, _prepare)


def _prepare(scene: Scene, context: Context) -> _Replacement:
    first = fine_moments(context, scene, lambda patch: [patch.expanded, patch.pan], (0.0, STATISTICS / 3))
    spreads = first.std
    scales = np.divide(spreads[-1], spreads[:-1], out=np.zeros(scene.bands), where=spreads[:-1] > 0)
    shifts = first.mean[-1] - scales * first.mean[:-1]
    match = scales.astype(np.float32)[:, None, None], shifts.astype(np.float32)[:, None, None]

    def variables(patch: Patch) -> list[Array]:
        bands = np.maximum(patch.expanded * match[0] + match[1], np.float32(0))
        there = patch.there_and_back(np.concatenate([bands, patch.pan[None]]))
        return [patch.inner(bands), there, patch.inner(patch.expanded), patch.inner(patch.pan)]

    moments = fine_moments(
        context, scene, variables, (STATISTICS / 3, STATISTICS), scene.there_and_back_reach, 3 * scene.bands + 2
    )
    strength = float(context.options["strength"])
    eight = scene.multispectral.dtype.itemsize == 1
    return _Replacement(scales, shifts, moments, strength or (_EIGHT_BITS if eight else _MORE_BITS))


class _Replacement:
    """The coefficients of the method, and what it makes of a patch."""

    notes: ClassVar[Mapping[str, str]] = MappingProxyType({})
    margin = 0

    def __init__(self, scales: Floats, shifts: Floats, moments: Moments, strength: float) -> None:
        count = len(scales)
        covariance, mean = moments.covariance, moments.mean
        own, low = slice(0, count), slice(count, 2 * count + 1)
        expanded = slice(2 * count + 1, 3 * count + 1)
        inverse = np.linalg.pinv(covariance[own, own], rcond=1e-10, hermitian=True)
        # Slopes of the regressions, on the bands, of every band and of the panchromatic image, taken there and back.
        slopes = covariance[low, own] @ inverse
        shares = _correlations(slopes[-1], covariance[own, own], covariance[own, own])
        # Of the mixture of a band and the panchromatic image, whose moments are as mixed.
        mixed = shares[:, None] * slopes[-1] + (1 - shares[:, None]) * slopes[:-1]
        means_low = shares * mean[2 * count] + (1 - shares) * mean[count : 2 * count]
        means_high = shares * mean[-1] + (1 - shares) * mean[own]
        spreads = moments.std[expanded]
        weights = np.array([
            _correlations(mixed[k], covariance[own, own], covariance[own, expanded], spreads)[k] for k in range(count)
        ])
        mean_spread = spreads.mean()
        weights *= strength * spreads / mean_spread if mean_spread > 0 else 0.0
        local = _correlations(slopes[-1], covariance[own, own], covariance[own, expanded], spreads)
        constants = means_low - mixed @ mean[own]
        # Detail: (H - mean H) - (regression - mean of the regression)
        offsets = means_low - means_high
        table = np.stack([scales, shifts, shares, constants, offsets, weights, local])
        self._table, self._slopes = table.astype(np.float32), mixed.astype(np.float32)

    def sharpen(self, patch: Patch, tally: Tally) -> Array:
        """The bands of a patch."""
        found: Array = _replaced(patch.expanded, patch.pan, self._table, self._slopes)
        return found


def _correlations(slopes: Floats, bands: Floats, shared: Floats, spreads: Floats | None = None) -> Floats:
    """Correlations of a sum of the bands with variables whose covariances with the bands are ``shared``."""
    spread = np.sqrt(max(float(slopes @ bands @ slopes), 0.0))
    whole = spread * (np.sqrt(np.diagonal(bands)) if spreads is None else spreads)
    found: Floats = np.divide(slopes @ shared, whole, out=np.zeros(shared.shape[1]), where=whole > 0)
    return found


@compiled
def _replaced(expanded: Array, pan: Array, table: Array, slopes: Array) -> Array:
    count, rows, columns = expanded.shape
    scales, shifts, shares, constants, offsets, weights, local = table
    found = np.empty_like(expanded)
    bands, regression = np.empty((count, columns), np.float32), np.empty(columns, np.float32)
    for i in range(rows):
        for b in range(count):
            for j in range(columns):
                bands[b, j] = max(expanded[b, i, j] * scales[b] + shifts[b], np.float32(0.0))
        for k in range(count):
            regression[:] = constants[k]
            for b in range(count):
                for j in range(columns):
                    regression[j] += slopes[k, b] * bands[b, j]
            for j in range(columns):
                value, low = expanded[k, i, j], regression[j]
                high = shares[k] * pan[i, j] + (np.float32(1.0) - shares[k]) * bands[k, j]
                quotient = value / low if abs(low) > np.float32(_NOTHING) else np.float32(1.0)
                near = np.float32(1.0) - abs(np.float32(1.0) - local[k] * quotient)
                near = min(max(near, np.float32(-_BOUND)), np.float32(_BOUND))
                found[k, i, j] = value + weights[k] * near * (high - low + offsets[k])
    return found
