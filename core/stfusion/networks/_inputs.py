"""What a network is given of a scene: windows of its images, without gaps, normalised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from stfusion.fusion._scene import Scene
from stfusion.networks._lattice import read_mirrored
from stfusion.networks._network import Batch
from stfusion.networks._normalisation import Normalisation
from stfusion.raster.source import AlignedSource, Array, Box

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Inputs:
    """The normalised images of a patch, each (bands, rows, columns) without NaN; ``known`` says where it is a guess."""

    box: Box
    fine: Sequence[Array]
    coarse: Sequence[Array]
    target: Array
    known: Mask


class Reader:
    """Reads patches of a scene for a network; ``fine`` and ``coarse`` are the images of the pairs, one for each."""

    def __init__(
        self, scene: Scene, fine: Sequence[AlignedSource], coarse: Sequence[AlignedSource], scaling: Normalisation
    ) -> None:
        self.shape, self.bands, self.pairs = scene.shape, scene.bands, len(fine)
        self._fine, self._coarse, self._target = fine, coarse, scene.target
        self._scaling = scaling

    def read(self, box: Box) -> Inputs | None:
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
            _fill(image, known)
        scaled = [self._scaling.apply(image) for image in images]
        count = len(fine)
        return Inputs(box, scaled[:count], scaled[count:-1], scaled[-1], known)

    def undo(self, values: Array) -> Array:
        """Predicted values (bands, rows, columns) in the unit of the images."""
        return self._scaling.undo(values)

    def undo_spread(self, values: Array) -> Array:
        """Standard deviations of predicted values (bands, rows, columns) in the unit of the images."""
        return values * np.asarray(self._scaling.scale, np.float32)[:, None, None]

    def _read(self, image: AlignedSource, box: Box) -> Array:
        return read_mirrored(image.read, box, self.shape)


def _serve_gaps(pairs: Sequence[Sequence[Array]], valid: Sequence[Mask]) -> None:
    """Give pixels where one of two pairs has a gap the images of the other."""
    if len(pairs) > 1:
        for own, other in ((0, 1), (1, 0)):
            gap = ~valid[own] & valid[other]
            for image, spare in zip(pairs[own], pairs[other], strict=True):
                image[:, gap] = spare[:, gap]


def _fill(image: Array, known: Mask) -> None:
    """Give all other pixels of an image the median of its band."""
    if not known.all():
        image[:, ~known] = np.median(image[:, known], axis=1)[:, None]


def as_batch(inputs: Sequence[tuple[Inputs, int | None]]) -> Batch:
    """Patches as a batch; each with the number of the band that the network is given, or all of them."""

    def stacked(images: Sequence[tuple[Array, int | None]]) -> Tensor:
        return torch.from_numpy(np.stack([image if band is None else image[band : band + 1] for image, band in images]))

    first, _ = inputs[0]
    return Batch(
        tuple(stacked([(one.fine[k], band) for one, band in inputs]) for k in range(len(first.fine))),
        tuple(stacked([(one.coarse[k], band) for one, band in inputs]) for k in range(len(first.coarse))),
        stacked([(one.target, band) for one, band in inputs]),
    )
