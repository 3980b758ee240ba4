"""Data sets of patches for sharpening in HDF5: those of PanCollection, older ones, and hyperspectral ones."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from stfusion.errors import UserError
from stfusion.raster.grids import Box
from stfusion.raster.source import Array
from stfusion.training._sharpening_sources import Grid, Images, SharpeningSource, interpolated

#: The names of the truth, of the multispectral image, of it interpolated, and of the panchromatic image.
_KEYS = (
    ("gt", "ms", "lms", "pan"), ("I_GT", "I_MS_LR", "I_MS", "I_PAN"), ("GT", "LRHSI", "HSI_up", "RGB"),
)


class Patches(SharpeningSource):
    """The patches of a file: (patches, bands, rows, columns) each, the panchromatic ones with or without bands.

    Hyperspectral files have a few bands in place of the panchromatic one. The interpolated image is taken from the file
    where it is there, since networks learn its place; else it is interpolated on the ``grid``.

    Raises
    ------
    UserError
        The file cannot be read, lacks an image, or its images do not go together.
    """

    kind = "a data set of patches"

    def __init__(self, path: str, grid: Grid) -> None:
        self.name, self.grid = Path(path).name, grid
        try:
            self._file = h5py.File(path, "r")
        except OSError as error:
            raise UserError(
                f"The data set '{path}' cannot be read as HDF5 ({error}); choose a file such as PanCollection has."
            ) from error
        keys = next((keys for keys in _KEYS if keys[0] in self._file), None)
        if keys is None:
            raise UserError(
                f"The data set '{path}' has no true images ('gt', 'I_GT' or 'GT') but "
                f"{', '.join(map(repr, self._file)) or 'nothing'}; choose one of reduced resolution."
            )
        self._keys = keys
        truth, multispectral, pan = (self._shape(key) for key in (keys[0], keys[1], keys[3]))
        self.count, self.bands, *size = truth
        self.pan_bands = pan[1]
        self.shape = size[0], size[1]
        self.ratio = size[0] // max(multispectral[2], 1)
        self._check(path, truth, multispectral, pan)
        self._lock = threading.Lock()

    def _shape(self, key: str) -> tuple[int, int, int, int]:
        """The shape of the images of a key, with bands."""
        if not isinstance(self._file.get(key), h5py.Dataset):
            raise UserError(f"The data set '{self.name}' has no '{key}'; choose a whole one.")
        shape = self._file[key].shape
        if len(shape) == 3:
            return shape[0], 1, shape[1], shape[2]
        if len(shape) != 4:
            raise UserError(
                f"'{key}' of the data set '{self.name}' has the shape {shape} and not patches, bands, rows and "
                "columns; choose another file."
            )
        return shape[0], shape[1], shape[2], shape[3]

    def _check(self, path: str, truth: tuple[int, ...], multispectral: tuple[int, ...], pan: tuple[int, ...]) -> None:
        fits = (
            truth[0] == multispectral[0] == pan[0] > 0 and truth[1] == multispectral[1]
            and truth[2:] == pan[2:] and self.ratio >= 2
            and all(fine == self.ratio * coarse for fine, coarse in zip(truth[2:], multispectral[2:], strict=True))
        )
        interpolated_shape = self._shape(self._keys[2]) if self._keys[2] in self._file else truth
        if not fits or interpolated_shape != truth:
            raise UserError(
                f"The images of the data set '{path}' do not go together: the truth has the shape {truth}, the "
                f"multispectral image {multispectral} and the panchromatic one {pan} (patches, bands, rows, columns); "
                "the rows and columns of the first and the last have to be the same, and a whole number of times those "
                "of the second."
            )

    def read(self, item: int, box: Box) -> Images:
        """The images of a patch, or of a part of it."""
        rows, columns = slice(box.top, box.bottom), slice(box.left, box.right)
        ratio = self.ratio
        coarse_rows = slice(box.top // ratio, box.bottom // ratio)
        coarse_columns = slice(box.left // ratio, box.right // ratio)
        true, low, wide, sharp = self._keys
        with self._lock:
            truth, multispectral, pan = (self._read(key, item) for key in (true, low, sharp))
            expanded = self._read(wide, item) if wide in self._file else None
        if expanded is None:
            expanded = interpolated(np.pad(multispectral, ((0, 0), (3, 3), (3, 3)), "edge"), self.shape, ratio,
                                    self.grid, 3)
        return Images(
            truth[:, rows, columns], pan[:, rows, columns], multispectral[:, coarse_rows, coarse_columns],
            expanded[:, rows, columns],
        )

    def _read(self, key: str, item: int) -> Array:
        values: Any = self._file[key][item]
        image: Array = np.asarray(values, np.float32)
        return image if image.ndim == 3 else image[None]
