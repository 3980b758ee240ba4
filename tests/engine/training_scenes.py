"""Makers of small dated scenes to learn from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine

from makers import FINE, write_raster
from stfusion.job import Input
from stfusion.training._data import open_training_data
from stfusion.training._wanted import Wanted

DAYS = ("2021-04-20", "2021-05-22", "2021-06-23")
PLAIN = Wanted(patch=16, varied=False)


def surface(day: int, rows: int, columns: int, bands: int = 2, seed: int = 0) -> np.ndarray:
    """Reflectance (bands, rows, columns) in steps of 1/10000 that changes from day to day."""
    rng = np.random.default_rng([seed, day])
    y, x = np.mgrid[:rows, :columns] / 9
    waves = [np.sin(y + band) * np.cos(x + 0.3 * day) + 0.2 * rng.standard_normal(y.shape) for band in range(bands)]
    return np.rint(3000 + 800 * np.stack(waves) + 150 * day).clip(1).astype(np.uint16)


def coarsened(values: np.ndarray, ratio: int) -> np.ndarray:
    """Means of blocks of fine pixels."""
    bands, rows, columns = values.shape
    blocks = values.reshape(bands, rows // ratio, ratio, columns // ratio, ratio)
    return np.rint(blocks.mean((2, 4))).astype(values.dtype)


def layers(
    folder: Path, name: str, images: Sequence[np.ndarray], days: Sequence[str] = DAYS, ratio: int = 1, **profile
) -> Input:
    """Write an image for every day and give them as one input."""
    folder.mkdir(exist_ok=True, parents=True)
    transform = FINE @ Affine.scale(ratio)
    paths = [
        write_raster(folder / f"{name}_{day}.tif", image, transform, **{"scales": [1e-4] * len(image), **profile})
        for day, image in zip(days, images, strict=False)
    ]
    return Input(paths[0], more=tuple(paths[1:]))


def scene(
    folder: Path, rows: int = 64, columns: int = 96, bands: int = 2, days: int = 3, ratio: int = 4, seed: int = 0
) -> tuple[Input, Input]:
    """Fine layers and their coarse ones."""
    fine = [surface(day, rows, columns, bands, seed) for day in range(days)]
    coarse = [coarsened(image, ratio) for image in fine]
    return layers(folder, "fine", fine), layers(folder, "coarse", coarse, ratio=ratio)


def opened(wanted, fine=None, coarse=None, **more):
    """Training data, and what was said and warned of while they were opened."""
    said, warned = [], []
    data = open_training_data(wanted, fine, coarse, say=said.append, warn=warned.append, **more)
    return data, said, warned


def same(one, other):
    """Whether two samples are the same to the last bit."""
    pairs = [(one.target, other.target), (one.truth, other.truth), (one.valid, other.valid)]
    pairs += [*zip(one.fine, other.fine, strict=True), *zip(one.coarse, other.coarse, strict=True)]
    return one.spot.dates == other.spot.dates and all(np.array_equal(a, b) for a, b in pairs)


def stored(path, box):
    """Reflectance in a window of a file."""
    with rasterio.open(path) as dataset:
        return dataset.read(window=box.window) * 1e-4
