"""Thinned images, gathered from parts: every so many rows and columns of the whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stfusion.raster.grids import Box

#: Rows and columns of a thinned image at most, where nothing else is asked for.
MOST = 400


class Thinned:
    """Images of one shape (rows, columns) by name, on a regular lattice of pixels.

    ``blank`` is what a pixel holds before it is known: a number, or an array of one for each band. ``most`` is the
    number of rows and columns that a thinned image has at most.
    """

    def __init__(
        self, names: Iterable[str], shape: tuple[int, int], blank: NDArray[Any], most: int | None = None
    ) -> None:
        self._step = step = -(-max(shape) // (most or MOST))
        size = -(-shape[0] // step), -(-shape[1] // step)
        self.images = {name: np.tile(blank[..., None, None], size) for name in names}

    def pick(self, box: Box, image: NDArray[Any]) -> NDArray[Any]:
        """The pixels of the lattice of an image (..., rows, columns) whose first pixel is that of the window."""
        (rows, columns), step = box.shape, self._step
        return image[..., -box.top % step : rows : step, -box.left % step : columns : step].copy()

    def keep(self, box: Box, found: Mapping[str, NDArray[Any]]) -> None:
        """Keep what was picked in a window of the images by name."""
        top, left = -(-box.top // self._step), -(-box.left // self._step)
        for name, values in found.items():
            rows, columns = values.shape[-2:]
            self.images[name][..., top : top + rows, left : left + columns] = values
