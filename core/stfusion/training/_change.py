"""A made-up change of an image: its classes change their reflectance, each in its way, more here and less there."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stfusion.networks._normalisation import Floats
from stfusion.raster.source import Array

#: Number of classes (least, largest), pixels that they are found from, and how often they are improved.
_CLASSES, _PIXELS, _ROUNDS = (3, 8), 1000, 6
#: Share of the classes that change; standard deviations of their gain and of their offset, as a share of the range.
_ACTIVE, _GAIN, _OFFSET = 0.6, 0.2, 0.1
#: Nodes of a smooth field along the longer side (least, largest), and the standard deviation of a change everywhere.
_NODES, _EVERYWHERE = (3, 9), 0.02
#: Share of the images with an area that becomes like one of the classes, such as by a flood or a fire.
_CONVERTED = 0.3


def changed(image: Array, rng: np.random.Generator, unit: float = 1.0) -> Array:
    """An image (bands, rows, columns) as it might be on another date; NaN stays NaN.

    ``unit`` is the range of the values.
    """
    centres, labels = _classes(image, rng)
    count, bands = centres.shape
    active = rng.random((count, 1)) < _ACTIVE
    gain = active * rng.normal(0, _GAIN, (count, bands))
    offset = active * rng.normal(0, _OFFSET * unit, (count, bands))
    # The change of a pixel is that of its class, and goes along with what sets it apart from its class.
    shift = np.moveaxis((offset + gain * centres)[labels], -1, 0)
    inner = np.moveaxis(gain[labels], -1, 0) * (image - np.moveaxis(centres[labels], -1, 0))
    amount = np.clip(0.6 + 0.5 * _field(labels.shape, rng), 0, 1)
    change = amount * (shift + inner) + _EVERYWHERE * unit * _field(labels.shape, rng)
    if rng.random() < _CONVERTED:
        area = np.clip(4 * (_field(labels.shape, rng) - 0.8), 0, 1)
        become = centres[rng.integers(count)][:, None, None] - np.moveaxis(centres[labels], -1, 0)
        change = (1 - area) * change + area * become
    result: Array = (image + change).astype(np.float32)
    return result


def _classes(image: Array, rng: np.random.Generator) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Centres (classes, bands) of the classes of an image by k-means, and the class of every pixel."""
    pixels = np.moveaxis(image, 0, -1).reshape(-1, len(image))
    valid = pixels[~np.isnan(pixels).any(axis=1)]
    some = valid[rng.integers(len(valid), size=_PIXELS)].astype(np.float64)
    spread = some.std(axis=0) + 1e-6
    centres = some[rng.integers(_PIXELS, size=int(rng.integers(_CLASSES[0], _CLASSES[1] + 1)))]
    for _ in range(_ROUNDS):
        labels = _nearest(some, centres, spread)
        sums = np.zeros_like(centres)
        np.add.at(sums, labels, some)
        sizes = np.bincount(labels, minlength=len(centres))[:, None]
        centres = np.where(sizes > 0, sums / np.maximum(sizes, 1), centres)
    return centres, _nearest(np.nan_to_num(pixels), centres, spread).reshape(image.shape[1:])


def _nearest(pixels: npt.NDArray[np.floating], centres: Floats, spread: Floats) -> npt.NDArray[np.int64]:
    """The centre next to every pixel (n, bands), in standard deviations; by products rather than differences."""
    scaled = (centres / spread).astype(np.float32)
    distance = (scaled**2).sum(axis=1) - 2 * (pixels / spread).astype(np.float32) @ scaled.T
    nearest: npt.NDArray[np.int64] = distance.argmin(axis=1)
    return nearest


def _field(shape: tuple[int, ...], rng: np.random.Generator) -> Floats:
    """A smooth random field (rows, columns) with a standard deviation near 1."""
    nodes = int(rng.integers(_NODES[0], _NODES[1] + 1))
    rows, columns = (_between(nodes, size) for size in shape)
    field: Floats = rows @ rng.standard_normal((nodes, nodes)) @ columns.T
    return field


def _between(nodes: int, size: int) -> Floats:
    """The weights (size, nodes) of nodes that are evenly spread along an axis: raised cosines, of unit variance."""
    away = np.abs(np.linspace(0, nodes - 1, size)[:, None] - np.arange(nodes))
    weights = np.where(away < 1, 0.5 + 0.5 * np.cos(np.pi * away), 0.0)
    normed: Floats = weights / np.sqrt((weights**2).sum(axis=1, keepdims=True))
    return normed
