"""Filling gaps, so that filters and interpolations find values beside them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stfusion.fusion._compile import compiled

Array = npt.NDArray[np.float32]


def fill_gaps(values: Array, reach: int) -> Array:
    """The bands (bands, rows, columns) with their invalid pixels (NaN in the first band) filled from beside them.

    Step by step, as far as ``reach`` pixels from the valid ones, a pixel gets the mean of its neighbours that have a
    value already; all others become 0. What a pixel gets depends on the pixels within ``reach`` of it alone.
    """
    filled = values.copy()
    invalid = np.isnan(values[0])
    filled[:, invalid] = 0.0
    _grow(filled, np.where(invalid, np.int32(-1), np.int32(0)), reach)
    return filled


@compiled
def _grow(values: Array, steps: npt.NDArray[np.int32], reach: int) -> None:
    """Fill ``values`` in place; ``steps`` holds 0 where they are valid and -1 where they are to be filled."""
    _, rows, columns = values.shape
    queue = np.empty((rows * columns, 2), np.int32)
    end = 0
    for i in range(rows):
        for j in range(columns):
            if steps[i, j] == 0 and _borders(steps, i, j):
                queue[end, 0], queue[end, 1] = i, j
                end += 1
    begin = 0
    for step in range(1, reach + 1):
        last = end
        for place in range(begin, last):
            i, j = queue[place]
            for m in range(max(i - 1, 0), min(i + 2, rows)):
                for n in range(max(j - 1, 0), min(j + 2, columns)):
                    if steps[m, n] == -1:
                        steps[m, n] = step
                        queue[end, 0], queue[end, 1] = m, n
                        end += 1
        for place in range(last, end):
            _take_mean(values, steps, queue[place, 0], queue[place, 1])
        begin = last


@compiled
def _borders(steps: npt.NDArray[np.int32], i: int, j: int) -> bool:
    """Whether a pixel has a neighbour that is to be filled."""
    rows, columns = steps.shape
    for m in range(max(i - 1, 0), min(i + 2, rows)):
        for n in range(max(j - 1, 0), min(j + 2, columns)):
            if steps[m, n] == -1:
                return True
    return False


@compiled
def _take_mean(values: Array, steps: npt.NDArray[np.int32], i: int, j: int) -> None:
    """Give a pixel the mean of its neighbours of earlier steps."""
    bands, rows, columns = values.shape
    for b in range(bands):
        total, count = 0.0, 0
        for m in range(max(i - 1, 0), min(i + 2, rows)):
            for n in range(max(j - 1, 0), min(j + 2, columns)):
                if 0 <= steps[m, n] < steps[i, j]:
                    total += values[b, m, n]
                    count += 1
        values[b, i, j] = total / count
