"""Small bounded least squares, as unmixing solves them by the thousand."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stfusion.fusion._compile import compiled

Floats = npt.NDArray[np.float64]

#: Steps at most for every unknown, and how much an unknown at its bound has to gain by leaving it, both relative.
_STEPS, _GAIN = 10, 1e-12
#: What is added to the diagonal, as a share of its largest value: nothing to be seen in x, but no equation is singular.
_FLOOR = 1e-12


@compiled
def bounded_least_squares(normal: Floats, moments: Floats, low: float, high: float, solution: Floats) -> None:
    """Minimise |A x - y|^2 with low <= x <= high by an active set: exact steps, and bounds taken up and left in turn.

    Where the equations leave x open (a column of zeros, columns that depend on one another), it stays near where it
    begins; no equation is too singular. The method is that of Stark and Parker (1995).

    Parameters
    ----------
    normal, moments
        A'A (unknowns, unknowns) and A'y (unknowns).
    low, high
        Bounds of every unknown.
    solution
        (unknowns,), changed in place: where to begin, and the solution.

    """
    count = solution.size
    free = np.ones(count, np.bool_)
    slopes, step, factor = np.empty(count), np.empty(count), np.empty((count, count))
    largest = 0.0
    for k in range(count):
        solution[k] = min(max(solution[k], low), high)
        largest = max(largest, normal[k, k])
    for _ in range(_STEPS * count):
        _slopes(normal, moments, solution, slopes)
        _step(normal, _FLOOR * largest, free, slopes, factor, step)
        blocked = _advance(low, high, step, solution)
        if blocked >= 0:
            free[blocked] = False
            continue
        _slopes(normal, moments, solution, slopes)
        leaving, most = -1, _GAIN * largest * (high - low)
        for k in range(count):
            gain = slopes[k] if solution[k] == low else -slopes[k]
            if not free[k] and gain > most:
                leaving, most = k, gain
        if leaving < 0:
            break
        free[leaving] = True


@compiled
def _slopes(normal: Floats, moments: Floats, solution: Floats, slopes: Floats) -> None:
    """A'(y - A x): how fast the error falls along every unknown."""
    for k in range(slopes.size):
        slopes[k] = moments[k]
        for j in range(slopes.size):
            slopes[k] -= normal[k, j] * solution[j]


@compiled
def _step(
    normal: Floats, floor: float, free: npt.NDArray[np.bool_], slopes: Floats, factor: Floats, step: Floats
) -> None:
    """From here to the best values of the free unknowns, by Cholesky's factors; 0 for the others."""
    count = step.size
    for k in range(count):
        for j in range(k + 1):
            both = free[k] and free[j]
            value = normal[k, j] if both else 0.0
            for m in range(j):
                value -= factor[k, m] * factor[j, m]
            if j < k:
                factor[k, j] = value / factor[j, j]
            else:
                factor[k, k] = np.sqrt(max(value + floor, floor)) if free[k] and floor > 0 else 1.0
        value = slopes[k] if free[k] and floor > 0 else 0.0
        for m in range(k):
            value -= factor[k, m] * step[m]
        step[k] = value / factor[k, k]
    for k in range(count - 1, -1, -1):
        for m in range(k + 1, count):
            step[k] -= factor[m, k] * step[m]
        step[k] /= factor[k, k]


@compiled
def _advance(low: float, high: float, step: Floats, solution: Floats) -> int:
    """Go as far along a step as the bounds allow; the unknown that is stopped by its bound first, or -1."""
    blocked, share = -1, 1.0
    for k in range(step.size):
        room = high - solution[k] if step[k] > 0 else low - solution[k]
        if step[k] != 0 and room / step[k] < share:
            blocked, share = k, room / step[k]
    for k in range(step.size):
        solution[k] = min(max(solution[k] + share * step[k], low), high)
    if blocked >= 0:
        solution[blocked] = high if step[blocked] > 0 else low
    return blocked
