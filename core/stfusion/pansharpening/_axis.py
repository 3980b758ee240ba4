"""Where rows, or columns, of the result of pansharpening lie in the multispectral image."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from stfusion.raster.interpolation import Taps, interpolation

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Axis:
    """How rows, or columns, of the result and of the multispectral image lie beside one another.

    ``ratio`` is the number of the former in one of the latter, ``offset`` the place where the first of the result
    begins, in pixels of the multispectral image from where that begins. ``count`` and ``low`` are their numbers.
    """

    ratio: float
    offset: float
    count: int
    low: int
    resampling: str

    @cached_property
    def places(self) -> Floats:
        """Where the centres of all pixels of the result lie, in multispectral pixels."""
        return self._places(np.arange(self.count, dtype=np.float64))

    def owners(self, begin: int, end: int) -> npt.NDArray[np.int64]:
        """The multispectral pixels that pixels of the result lie in, of which there need not be such."""
        return np.floor(self.places[self._inside(begin, end)] + 0.5).astype(np.int64)

    def taps(self, begin: int, end: int, side: int = 1) -> Taps:
        """What pixels of the result are interpolated from; those beyond it are repeated.

        Of a larger ``side``, so many pixels together.
        """
        if side == 1:
            inside = self._inside(begin, end)
            return Taps(self._taps.first[inside], self._taps.weights[inside])
        middles = np.arange(begin, end, side, dtype=np.float64) + (side - 1) / 2
        return interpolation(self._places(np.clip(middles, 0, self.count - 1)), self.resampling)

    @cached_property
    def _taps(self) -> Taps:
        return interpolation(self.places, self.resampling)

    def _inside(self, begin: int, end: int) -> npt.NDArray[np.int64]:
        """Pixels of the result; the outermost ones instead of those beyond it."""
        return np.clip(np.arange(begin, end), 0, self.count - 1)

    def _places(self, pixels: Floats) -> Floats:
        found: Floats = (pixels + 0.5) / self.ratio + self.offset - 0.5
        return found

    def centres(self, begin: int, end: int) -> Floats:
        """Where centres of multispectral pixels lie, in pixels of the result."""
        return (np.arange(begin, end, dtype=np.float64) + 0.5 - self.offset) * self.ratio - 0.5

    @property
    def common(self) -> tuple[int, int]:
        """The multispectral pixels whose centres lie in the result: the first one, and the one after the last."""
        begin = math.ceil(self.offset - 0.5)
        end = math.ceil(self.offset + self.count / self.ratio - 0.5)
        return max(begin, 0), min(end, self.low)

    def covered(self) -> tuple[int, int]:
        """The pixels of the result whose centres lie in the multispectral image."""
        return max(self.begin(0), 0), min(self.begin(self.low), self.count)

    def begin(self, low: int) -> int:
        """The first pixel of the result whose centre lies in a multispectral pixel, or beyond it."""
        return math.ceil((low - self.offset) * self.ratio - 0.5)
