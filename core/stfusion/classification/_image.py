"""The bands of one or several layers as one image, read as they are stored where that is possible."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from stfusion.raster.source import AlignedSource, Box
from stfusion.raster.statistics import part_shape

Floats = npt.NDArray[np.float64]

#: Types whose every value is a float32, so that nothing is lost by scaling the stored values instead of the physical.
_EXACT = ("int8", "uint8", "int16", "uint16", "float32")


class Image:
    """The bands of layers on one grid, in their order; a pixel is valid where it is in all layers.

    ``names`` are the bands' names, "Band n" where the file has none. What :meth:`read` gives is ``scales`` (bands)
    times itself plus ``offsets`` in the image's unit. ``part`` is rows and columns of the parts to read it in.
    """

    def __init__(self, layers: Sequence[AlignedSource]) -> None:
        self._layers = layers
        sources = [layer.source for layer in layers]
        self.grid = layers[0].grid
        self.shape = layers[0].shape
        self.part = part_shape(layers[0])
        self.title = ", ".join(str(source) for source in sources)
        names = [name for source in sources for name in source.names]
        self.names = [name or f"Band {number}" for number, name in enumerate(names, 1)]
        self._stored = sources[0].dtype.name in _EXACT and all(
            layer.same_grid and layer.source.dtype == sources[0].dtype for layer in layers
        )
        self.scales: Floats = np.ones(len(names))
        self.offsets: Floats = np.zeros(len(names))
        if self._stored:
            self.scales = np.concatenate([source.scales for source in sources])
            self.offsets = np.concatenate([source.offsets for source in sources])

    def read(self, box: Box) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
        """A window (bands, rows, columns) as stored or in the image's unit, and where it is valid (rows, columns)."""
        parts, valid = [], np.ones(box.shape, bool)
        for layer in self._layers:
            if self._stored:
                values, invalid = layer.source.read_stored(box)
            else:
                values = layer.read(box)
                invalid = np.isnan(values[0])
            parts.append(values)
            valid &= ~invalid
        return parts[0] if len(parts) == 1 else np.concatenate(parts), valid
