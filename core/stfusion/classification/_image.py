"""The bands of one or several layers as one image, read as they are stored where that is possible."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt

from stfusion.errors import UserError
from stfusion.job import Input
from stfusion.raster.grids import Box
from stfusion.raster.source import AlignedSource, Source, align
from stfusion.raster.statistics import part_shape
from stfusion.raster.views import resampling_note
from stfusion.run import Context

Floats = npt.NDArray[np.float64]
#: Values (bands, rows, columns) of a window, and where it is valid (rows, columns).
Part = tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]

#: Types whose every value is a float32, so that nothing is lost by scaling the stored values instead of the physical.
_EXACT = ("int8", "uint8", "int16", "uint16", "float32")
#: Bands of an image that is read in parts of the usual size; with more bands the parts have fewer rows.
_USUAL_BANDS = 16


class Image:
    """The bands of layers on one grid, in their order; a pixel is valid where it is in all layers.

    ``numbers`` are the bands' numbers among all bands of the layers, 1, 2 and so on where they are not given.
    ``names`` are the bands' names, no two alike, "Band n" where the file has none. What :meth:`read` gives is
    ``scales`` (bands) times itself plus ``offsets`` in the image's unit. ``part`` is rows and columns of the parts to
    read it in. Parts are kept in ``memory`` bytes until they are read a second time.
    """

    def __init__(
        self, layers: Sequence[AlignedSource], numbers: Sequence[int] | None = None, memory: int = 0
    ) -> None:
        self._layers = layers
        self._kept: dict[Box, Part] = {}
        self._room = memory
        self._lock = threading.Lock()
        sources = [layer.source for layer in layers]
        self.grid = layers[0].grid
        self.shape = layers[0].shape
        names = [name for source in sources for name in source.names]
        rows, columns = part_shape(layers[0])
        self.part = max(1, rows * _USUAL_BANDS // max(_USUAL_BANDS, len(names))), columns
        self.title = ", ".join(dict.fromkeys(str(source) for source in sources))
        self.numbers = list(numbers or range(1, len(names) + 1))
        self.names = list(_distinct(name or f"Band {number}" for name, number in zip(names, self.numbers, strict=True)))
        self._stored = sources[0].dtype.name in _EXACT and all(
            layer.same_grid and layer.source.dtype == sources[0].dtype for layer in layers
        )
        self.scales: Floats = np.ones(len(names))
        self.offsets: Floats = np.zeros(len(names))
        if self._stored:
            self.scales = np.concatenate([source.scales for source in sources])
            self.offsets = np.concatenate([source.offsets for source in sources])

    def read(self, box: Box) -> Part:
        """A window (bands, rows, columns) as stored or in the image's unit, and where it is valid (rows, columns)."""
        with self._lock:
            kept = self._kept.pop(box, None)
        if kept is not None:
            return kept
        found = self._read(box)
        size = sum(array.nbytes for array in found)
        with self._lock:
            if size <= self._room:
                self._room -= size
                self._kept[box] = found
        return found

    def _read(self, box: Box) -> Part:
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


def _distinct(names: Iterable[str]) -> Iterator[str]:
    """The names, those that come again with a number."""
    seen = Counter[str]()
    for name in names:
        seen[name] += 1
        yield name if seen[name] == 1 else f"{name} ({seen[name]})"


def open_image(context: Context, role: str, memory: int, about: list[str]) -> tuple[Image, Source]:
    """The bands of the layers of a role on the grid of the first, and that one.

    ``memory`` is that of :class:`Image`. Sentences in ``about`` say what had to be done to the layers.

    Raises
    ------
    UserError
        A layer cannot be used, or has no place in common with the first.
    """
    given, resampling = context.job.inputs[role], str(context.options["resampling"])
    paths = [given.path, *(given.more or ())]
    bands = [(place, band) for place, path in enumerate(paths) for band in Source("Layer", Input(path)).bands]
    numbers = given.bands or tuple(range(1, len(bands) + 1))
    if max(numbers) > len(bands):
        raise UserError(
            f"Band {max(numbers)} is asked for, and the layers have {len(bands)} in all; choose from the bands 1 to "
            f"{len(bands)}."
        )
    chosen = [bands[number - 1] for number in numbers]
    first = min(place for place, _ in chosen)
    sources = []
    for place, same in groupby(chosen, key=lambda each: each[0]):
        part = replace(given, path=paths[place], more=None, bands=tuple(band for _, band in same))
        sources.append((place, Source("Layer", part if place == first else replace(part, mask=None))))
    onto = next(source for place, source in sources if place == first)
    layers = [align(source, onto, resampling) for _, source in sources]
    about += dict.fromkeys(
        resampling_note(layer.source, onto, resampling) for layer in layers if not layer.same_grid
    )
    return Image(layers, numbers, memory), onto
