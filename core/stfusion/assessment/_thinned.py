"""A thinned image, gathered from parts: every so many rows and columns of the whole."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from stfusion.raster.source import Box

#: Rows and columns of a thinned image at most.
THINNED = 400
Values = TypeVar("Values", bound=np.generic)


class Lattice(NamedTuple):
    """Pixels at every ``step`` of the rows and columns, and how many rows and columns these are."""

    step: int
    shape: tuple[int, int]

    @classmethod
    def of(cls, shape: tuple[int, int], most: int = THINNED) -> Lattice:
        """The finest lattice of an image (rows, columns) that is no larger than ``most`` rows and columns."""
        step = -(-max(shape) // most)
        return cls(step, (-(-shape[0] // step), -(-shape[1] // step)))

    def thin(self, box: Box, values: NDArray[Values]) -> NDArray[Values]:
        """The values of a part (..., rows, columns) that lie on the lattice."""
        return values[..., -box.top % self.step :: self.step, -box.left % self.step :: self.step]

    def put(self, whole: NDArray[Any], box: Box, values: NDArray[Any]) -> None:
        """Put the thinned values of a part in their place in the thinned image."""
        top, left = -(-box.top // self.step), -(-box.left // self.step)
        whole[..., top : top + values.shape[-2], left : left + values.shape[-1]] = values
