"""Makers of small dated scenes to learn from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from affine import Affine

from makers import FINE, write_raster
from stfusion.job import Input

DAYS = ("2021-04-20", "2021-05-22", "2021-06-23")


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
