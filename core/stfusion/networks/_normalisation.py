"""Normalisation: physical values to the range that networks work in, and back.

Networks for given bands keep what their training images had ("stored"). Networks that serve any sensor band by band
take the range of the images at hand, in training as in use ("scene").
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from stfusion.raster.grids import Box
from stfusion.raster.source import Array

Floats = npt.NDArray[np.float64]

#: Percentiles that are taken for the least and the largest value, apart from outliers.
PERCENTILES = (0.1, 99.9)
#: Share of the range of a scene that is added on either side: the unknown image may exceed those that are known.
WIDENED = 0.1
#: A range smaller than this share of the values is no range.
_CONSTANT = 1e-6
#: Windows along each side of an image, and their side, from which its range is estimated.
_WINDOWS, _SIDE = 8, 32


class Readable(Protocol):
    """An image that can be read by window, (bands, rows, columns) with NaN where invalid."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        ...

    def read(self, box: Box) -> Array:
        """The pixels of a window."""
        ...


@dataclass(frozen=True)
class Normalisation:
    """z = (v - offset) / scale for every band, so that z lies in 0..1, or in -1..1 for symmetric networks.

    Offsets and scales of the kind "scene" belong to one scene and its dates; a checkpoint of that kind has none of
    them, since every scene has its own.
    """

    kind: Literal["scene", "stored"]
    offset: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()

    def apply(self, values: npt.NDArray[Any]) -> Array:
        """Normalised values of physical ones (bands, rows, columns); NaN stays NaN."""
        offset, scale = self._columns(values)
        normalised: Array = ((values - offset) / scale).astype(np.float32)
        return normalised

    def undo(self, values: npt.NDArray[Any]) -> Array:
        """Physical values of normalised ones (bands, rows, columns)."""
        offset, scale = self._columns(values)
        physical: Array = (values * scale + offset).astype(np.float32)
        return physical

    def band(self, index: int) -> Normalisation:
        """That of a single band, counted from 0."""
        return self.bands(slice(index, index + 1))

    def bands(self, some: slice) -> Normalisation:
        """That of some bands."""
        return Normalisation(self.kind, self.offset[some], self.scale[some])

    def _columns(self, values: npt.NDArray[Any]) -> tuple[Floats, Floats]:
        if len(values) != len(self.scale):
            raise ValueError(f"a normalisation of {len(self.scale)} band(s) is none for {len(values)}")
        offset, scale = (np.array(part).reshape(-1, *(1,) * (values.ndim - 1)) for part in (self.offset, self.scale))
        return offset, scale


def from_samples(
    samples: Sequence[npt.NDArray[Any]], symmetric: bool, kind: Literal["scene", "stored"] = "scene"
) -> Normalisation:
    """The normalisation of images by some of their values, (bands, n) of each image, NaN where invalid.

    "stored": the percentiles of all values together are the range. "scene": the least and the largest percentile of
    the images, widened; the images are those that are known when the scene is fused: the fine and the coarse images of
    the pairs, and the coarse image of the target date.

    Raises
    ------
    ValueError
        A band has no valid value.
    """
    if kind == "stored":
        return from_ranges([value_range(np.concatenate(samples, axis=1))], symmetric, kind)
    return from_ranges([value_range(sample) for sample in samples], symmetric, kind)


def value_range(sample: npt.NDArray[Any], percentiles: tuple[float, ...] = PERCENTILES) -> Floats:
    """The least and the largest value of every band (2, bands) apart from outliers, of a sample (bands, n).

    Other ``percentiles`` give as many rows.

    Raises
    ------
    ValueError
        A band has no valid value.
    """
    valid = [band[np.isfinite(band)] for band in sample]
    if not all(band.size for band in valid):
        raise ValueError("a band without a valid value has no range")
    return np.stack([np.percentile(band.astype(np.float64), percentiles) for band in valid], axis=1)


def from_ranges(ranges: Sequence[Floats], symmetric: bool, kind: Literal["scene", "stored"]) -> Normalisation:
    """The normalisation of images by the range (2, bands) that each of them has."""
    low = np.min([lows for lows, _ in ranges], axis=0)
    high = np.max([highs for _, highs in ranges], axis=0)
    size = high - low
    constant = size <= _CONSTANT * np.maximum(np.abs(low), np.abs(high))
    size = np.where(constant, 1.0, size)
    if kind == "scene":
        low, size = low - WIDENED * size, (1 + 2 * WIDENED) * size
    if symmetric:
        low, size = low + size / 2, size / 2
    return Normalisation(kind, tuple(low.tolist()), tuple(size.tolist()))


def sample_of(image: Readable, box: Box | None = None) -> Array:
    """Some values (bands, n) of an image, or of a window of it, from small windows that are spread over it evenly."""
    box = box or Box(0, image.shape[0], 0, image.shape[1])
    parts = [image.read(window) for window in _spread(box)]
    return np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)


def _spread(box: Box) -> Iterator[Box]:
    tops, lefts = _places(box.top, box.bottom), _places(box.left, box.right)
    for top in tops:
        for left in lefts:
            yield Box(top, min(top + _SIDE, box.bottom), left, min(left + _SIDE, box.right))


def _places(first: int, last: int) -> list[int]:
    """Where windows begin between two pixels: side by side where there is little room, else evenly spread."""
    if last - first <= _WINDOWS * _SIDE:
        return list(range(first, last, _SIDE))
    return [int(place) for place in np.linspace(first, last - _SIDE, _WINDOWS)]
