"""Groups of patches in HDF5: the images of the references and of the target, one sample after the other."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from types import TracebackType

import h5py
import numpy as np

from stfusion.preparation._settings import Group
from stfusion.raster.grids import Box
from stfusion.raster.source import AlignedSource, Array, Source

#: The images of a sample, each (samples, bands, rows, columns); those of the second reference are NaN without one.
_IMAGES = ("target_fine", "target_coarse", "fine_1", "coarse_1", "fine_2", "coarse_2")
#: The texts of a sample.
_TEXTS = ("patch", "target", "reference_1", "reference_2")


class GroupFile:
    """A file of groups that grows sample by sample; coarse images lie on the fine grid, invalid pixels are NaN."""

    def __init__(self, path: Path) -> None:
        self._file = h5py.File(path, "w")
        self._count = 0

    def __enter__(self) -> GroupFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(
        self, patch: str, group: Group, fine: Mapping[date, Source], coarse: Mapping[date, AlignedSource], box: Box
    ) -> None:
        """Add a group of a patch."""
        days = [group.target, *group.references]
        images = [image for day in days for image in (fine[day].read(box), coarse[day].read(box))]
        images += [np.full_like(images[0], np.nan)] * (len(_IMAGES) - len(images))
        texts = [patch, *(day.isoformat() for day in days)]
        texts += [""] * (len(_TEXTS) - len(texts))
        if not self._count:
            self._create(images[0])
        for name, image in zip(_IMAGES, images, strict=True):
            self._file[name].resize(self._count + 1, axis=0)
            self._file[name][self._count] = image
        for name, text in zip(_TEXTS, texts, strict=True):
            self._file[name].resize(self._count + 1, axis=0)
            self._file[name][self._count] = text
        self._count += 1

    def _create(self, image: Array) -> None:
        for name in _IMAGES:
            self._file.create_dataset(
                name, (0, *image.shape), np.float32, maxshape=(None, *image.shape), chunks=(1, *image.shape),
                compression="gzip", compression_opts=1,
            )
        for name in _TEXTS:
            self._file.create_dataset(name, (0,), h5py.string_dtype(), maxshape=(None,))
