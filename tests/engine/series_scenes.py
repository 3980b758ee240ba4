"""Makers of small time series: a few fine images and many coarse ones, dated by their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path

import numpy as np
from affine import Affine

from makers import FINE, write_raster

FIRST = date(2021, 4, 20)
SIDE, RATIO = 48, 8


def day(number: int) -> date:
    return FIRST + timedelta(days=number)


def surface(number: int, bands: int = 1) -> np.ndarray:
    """A fine image of a day: a pattern whose values grow steadily."""
    rng = np.random.default_rng(7)
    base = rng.random((bands, SIDE, SIDE)).astype(np.float32) * 0.2
    rows = np.linspace(0.1, 0.4, SIDE, dtype=np.float32)[:, None]
    return (base + rows * (1 + 0.02 * number)).astype(np.float32)


def coarse_of(image: np.ndarray) -> np.ndarray:
    bands, rows, columns = image.shape
    return image.reshape(bands, rows // RATIO, RATIO, columns // RATIO, RATIO).mean(axis=(2, 4))


def series(
    folder: Path, fine: Sequence[int], coarse: Sequence[int], bands: int = 1,
    gaps: Mapping[int, float] | None = None,
) -> dict[str, list[str]]:
    """Write fine and coarse images of days, counted from the first; ``gaps`` are the shares of fine rows left out."""
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, list[str]] = {"fine": [], "coarse": []}
    for number in fine:
        image = surface(number, bands)
        image[:, : int((gaps or {}).get(number, 0) * SIDE)] = np.nan
        found["fine"].append(write_raster(folder / f"fine_{day(number):%Y%m%d}.tif", image, nodata=np.nan))
    for number in coarse:
        image = coarse_of(surface(number, bands)).astype(np.float32)
        path = folder / f"coarse_{day(number):%Y%m%d}.tif"
        found["coarse"].append(write_raster(path, image, FINE @ Affine.scale(RATIO), nodata=np.nan))
    return found
