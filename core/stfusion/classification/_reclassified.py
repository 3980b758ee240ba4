"""Renaming classes: the new label of every pixel, by a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Lookup:
    """The new labels of arrays of old ones, floats with NaN for no class; NaN for what is not in the table."""

    def __init__(self, names: Mapping[int, int]) -> None:
        self._old = np.array(sorted(names), np.float64)
        self._new = np.array([names[label] for label in sorted(names)], np.float64)

    def __call__(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """The new labels."""
        place = np.minimum(np.searchsorted(self._old, values), len(self._old) - 1)
        return np.where(self._old[place] == values, self._new[place], np.nan)
