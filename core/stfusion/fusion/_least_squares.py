"""Small bounded least squares, as unmixing solves them by the thousand."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

Floats = npt.NDArray[np.float64]

#: Sweeps at most, and the step, as a share of the distance between the bounds, below which they end.
_SWEEPS, _TOLERANCE = 20_000, 1e-12


@njit(nogil=True, cache=True, error_model="numpy")
def bounded_least_squares(normal: Floats, moments: Floats, low: float, high: float, solution: Floats) -> None:
    """Minimise |A x - y|^2 with low <= x <= high by coordinate descent, which projects every step exactly.

    Where the equations leave x open (a column of zeros, columns that depend on one another), it stays near where it
    begins; no equation is too singular.

    Parameters
    ----------
    normal, moments
        A'A (unknowns, unknowns) and A'y (unknowns).
    low, high
        Bounds of every unknown.
    solution
        (unknowns,), changed in place: where to begin, and the solution.

    """
    tolerance = _TOLERANCE * (high - low)
    for k in range(solution.size):
        solution[k] = min(max(solution[k], low), high)
    for _ in range(_SWEEPS):
        largest = 0.0
        for k in range(solution.size):
            if normal[k, k] > 0:
                slope = moments[k]
                for j in range(solution.size):
                    slope -= normal[k, j] * solution[j]
                better = min(max(solution[k] + slope / normal[k, k], low), high)
                largest = max(largest, abs(better - solution[k]))
                solution[k] = better
        if largest <= tolerance:
            break
