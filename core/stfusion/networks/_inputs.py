"""What a network is given of a scene: windows of its images, without gaps, normalised."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from stfusion.fusion._scene import Scene
from stfusion.networks._batch import Batch, FusionBatch
from stfusion.networks._lattice import read_mirrored
from stfusion.networks._normalisation import Normalisation
from stfusion.raster.grids import Box
from stfusion.raster.source import AlignedSource, Array

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Inputs(ABC):
    """The normalised images of a patch, each (bands, rows, columns) without NaN.

    ``known`` (rows, columns) is False where the prediction would be a guess and is to be left out.
    """

    box: Box
    known: Mask

    @staticmethod
    @abstractmethod
    def batch(items: Sequence[tuple[Any, int | None]]) -> Batch:
        """Patches as a batch; each with the number of the band that the network is given, or all of them."""


class Reader(ABC):
    """Reads patches of a scene for a network.

    ``shape`` are rows and columns, ``bands`` and ``pairs`` the numbers of bands of the prediction and of pairs of
    images that it is made from; ``scaling`` is the normalisation of the prediction.
    """

    def __init__(self, shape: tuple[int, int], bands: int, pairs: int, scaling: Normalisation) -> None:
        self.shape, self.bands, self.pairs = shape, bands, pairs
        self._scaling = scaling

    @abstractmethod
    def read(self, box: Box) -> Inputs | None:
        """The images of a patch, which may reach beyond the scene; none where no pixel can be known."""

    def undo(self, values: Array) -> Array:
        """Predicted values (bands, rows, columns) in the unit of the images."""
        return self._scaling.undo(values)

    def undo_spread(self, values: Array) -> Array:
        """Standard deviations of predicted values (bands, rows, columns) in the unit of the images."""
        return values * np.asarray(self._scaling.scale, np.float32)[:, None, None]


@dataclass(frozen=True)
class FusionInputs(Inputs):
    """The images of the pairs and of the target date."""

    fine: Sequence[Array]
    coarse: Sequence[Array]
    target: Array

    @staticmethod
    def batch(items: Sequence[tuple[FusionInputs, int | None]]) -> FusionBatch:
        """Patches as a batch; each with the number of the band that the network is given, or all of them."""
        first, _ = items[0]
        return FusionBatch(
            tuple(stacked([(one.fine[k], band) for one, band in items]) for k in range(len(first.fine))),
            tuple(stacked([(one.coarse[k], band) for one, band in items]) for k in range(len(first.coarse))),
            stacked([(one.target, band) for one, band in items]),
        )


class FusionReader(Reader):
    """Reads patches of a scene to fuse; ``fine`` and ``coarse`` are the images of the pairs, one for each."""

    def __init__(
        self, scene: Scene, fine: Sequence[AlignedSource], coarse: Sequence[AlignedSource], scaling: Normalisation
    ) -> None:
        super().__init__(scene.shape, scene.bands, len(fine), scaling)
        self._fine, self._coarse, self._target = fine, coarse, scene.target

    def read(self, box: Box) -> FusionInputs | None:
        """The images of a patch, which may reach beyond the scene; none where no pixel can be known.

        A pixel where one pair has a gap takes the other pair's images; where none is left, every image is filled by
        the median of its band, and the prediction is to be left out.
        """
        fine = [self._read(image, box) for image in self._fine]
        coarse = [self._read(image, box) for image in self._coarse]
        target = self._read(self._target, box)
        pairs = [list(images) for images in zip(fine, coarse, strict=True)] if coarse else [[image] for image in fine]
        valid = [~np.logical_or.reduce([np.isnan(image[0]) for image in images]) for images in pairs]
        _serve_gaps(pairs, valid)
        known: Mask = np.logical_or.reduce(valid) & ~np.isnan(target[0])
        if not known.any():
            return None
        images = [*fine, *coarse, target]
        for image in images:
            fill(image, known)
        scaled = [self._scaling.apply(image) for image in images]
        count = len(fine)
        return FusionInputs(box, known, scaled[:count], scaled[count:-1], scaled[-1])

    def _read(self, image: AlignedSource, box: Box) -> Array:
        return read_mirrored(image.read, box, self.shape)


def _serve_gaps(pairs: Sequence[Sequence[Array]], valid: Sequence[Mask]) -> None:
    """Give pixels where one of two pairs has a gap the images of the other."""
    if len(pairs) > 1:
        for own, other in ((0, 1), (1, 0)):
            gap = ~valid[own] & valid[other]
            for image, spare in zip(pairs[own], pairs[other], strict=True):
                image[:, gap] = spare[:, gap]


def fill(image: Array, known: Mask) -> None:
    """Give all other pixels of an image the median of its band."""
    if not known.all():
        image[:, ~known] = np.median(image[:, known], axis=1)[:, None]


def stacked(images: Sequence[tuple[Array, int | None]]) -> Tensor:
    """Images of one shape as a tensor, each with all of its bands or the one of a number."""
    return torch.from_numpy(np.stack([image if band is None else image[band : band + 1] for image, band in images]))
