"""Bounded least squares for many small problems at once, in numpy alone: that takes less than loading numba."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]

#: Steps for every unknown that are more than enough, and how often all may change without a gain.
_STEPS, _PATIENCE = 20, 3
#: What is taken for a rounding error, relative.
_ROUNDING = 1e-11


def solve_bounded(normal: Floats, moments: Floats, low: Floats, high: Floats) -> Floats:
    """Minimise |A x - y|^2 with low <= x <= high, exactly, by pivoting on blocks (Judice and Pires 1994).

    Every unknown is free, or at one of its bounds. In every step the problems whose unknowns do not agree with that
    exchange all that do not, or only the last one after several exchanges without a gain, which is sure to end.

    Parameters
    ----------
    normal, moments
        A'A (problems, unknowns, unknowns), none singular, and A'y (problems, unknowns).
    low, high
        Bounds (problems,) of the unknowns of a problem.

    Returns
    -------
    solutions
        (problems, unknowns).
    """
    count, size = moments.shape
    low, high = (np.broadcast_to(bound[:, None], moments.shape) for bound in (low, high))
    solutions = np.empty_like(moments)
    free, upper = np.ones(moments.shape, np.bool_), np.zeros(moments.shape, np.bool_)
    fewest, patience = np.full(count, size + 1), np.full(count, _PATIENCE)
    left = np.arange(count)
    for _ in range(_STEPS * size):
        found, wrong, above = _step(normal[left], moments[left], low[left], high[left], free[left], upper[left])
        solutions[left] = np.clip(found, low[left], high[left])
        wrong_count = wrong.sum(axis=1)
        gained = wrong_count < fewest[left]
        fewest[left] = np.where(gained, wrong_count, fewest[left])
        patience[left] = np.where(gained, _PATIENCE, patience[left] - 1)
        last = size - 1 - wrong[:, ::-1].argmax(axis=1)
        only_last = np.arange(size) == last[:, None]
        exchanged = wrong & (only_last | (patience[left] >= 0)[:, None])
        upper[left] = np.where(exchanged & free[left], above, upper[left])
        free[left] ^= exchanged
        left = left[wrong_count > 0]
        if len(left) == 0:
            break
    return solutions


def _step(
    normal: Floats, moments: Floats, low: Floats, high: Floats, free: Booleans, upper: Booleans
) -> tuple[Floats, Booleans, Booleans]:
    """The best values of the free unknowns, the others at bounds; which should exchange, and which are too high."""
    held = np.where(free, 0.0, np.where(upper, high, low))
    matrix = np.where(free[:, :, None] & free[:, None, :], normal, 0.0)
    diagonal = np.arange(moments.shape[1])
    matrix[:, diagonal, diagonal] += ~free
    right = np.where(free, moments - np.matmul(normal, held[:, :, None])[:, :, 0], held)
    found = np.linalg.solve(matrix, right[:, :, None])[:, :, 0]
    slopes = moments - np.matmul(normal, found[:, :, None])[:, :, 0]
    step = _ROUNDING * (high - low)
    slope = _ROUNDING * np.abs(normal).max(axis=(1, 2))[:, None] * np.maximum(np.abs(low), np.abs(high))
    above = found > high + step
    leaving = ~free & np.where(upper, slopes < -slope, slopes > slope)
    return found, (free & ((found < low - step) | above)) | leaving, above
