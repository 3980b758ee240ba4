"""A simulated year with clouds, as ``series.py`` fuses it.

NDVI x 10 000 of a fine sensor on nine dates, five of them cloudy, with masks, and of a coarse one every 16 days; and
what the fine sensor would have seen on all of these dates without clouds.
"""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from scenes import write
from stfusion.preparation._landscape import BANDS, Ground, Landscape, SmoothNoise
from stfusion.preparation._simulation import COARSE, FINE, ORIGIN_METRES, PIXEL_METRES, Sensor

SIZE, RATIO, SEED = 160, 8, 3
DATES = [date(2021, 1, 1) + timedelta(16 * step) for step in range(23)]
#: The dates that have a fine image, by their number, and the share of it that clouds hide.
CLOUDS = {2: 0.0, 6: 0.3, 8: 0.0, 10: 0.45, 12: 0.7, 14: 0.25, 16: 0.0, 19: 0.4, 21: 0.0}
#: Fine pixels that a coarse pixel sees beyond its own, a multiple of the ratio.
HALO = 2 * RATIO
#: NDVI of a cloud, its number in the masks, and fine pixels over which its outline changes.
CLOUD_INDEX, CLOUD_NUMBER, CLOUD_SPACING = 0.03, 4, 30.0


def simulate(folder: Path) -> None:
    """Write the stacks ``fine``, ``masks``, ``coarse`` and ``truth`` into the folder."""
    landscape = Landscape(SIZE, SEED, HALO + RATIO, DATES)
    places = np.arange(-HALO, SIZE + HALO)
    ground = landscape.ground(places[:, None], places[None, :])
    for epoch, day in enumerate(DATES):
        rng = np.random.default_rng([SEED, epoch])
        truth = _index(landscape, ground, epoch, FINE, 1, rng)
        _write(folder, "truth", day, truth)
        _write(folder, "coarse", day, _index(landscape, ground, epoch, COARSE, RATIO, rng))
        if epoch in CLOUDS:
            hidden = _clouds(rng, CLOUDS[epoch])
            _write(folder, "fine", day, np.where(hidden, CLOUD_INDEX + 0.1 * (truth - CLOUD_INDEX), truth))
            _write(folder, "masks", day, hidden)


def _index(
    landscape: Landscape, ground: Ground, epoch: int, sensor: Sensor, factor: int, rng: np.random.Generator
) -> NDArray[Any]:
    """NDVI (rows, columns) as a sensor sees it."""
    vegetation = landscape.vegetation(ground, epoch)
    margin = HALO // factor
    seen = {}
    for name in ("red", "NIR"):
        band = BANDS.index(name)
        surface = landscape.reflectance(ground, vegetation, epoch, band)
        clear = sensor.response(surface, factor, band)[margin:-margin, margin:-margin]
        seen[name] = clear + sensor.noise * rng.standard_normal(clear.shape)
    index: NDArray[Any] = (seen["NIR"] - seen["red"]) / (seen["NIR"] + seen["red"])
    return index


def _clouds(rng: np.random.Generator, share: float) -> NDArray[np.bool_]:
    """Where clouds hide this share of the fine image."""
    places = np.arange(SIZE)
    cover = SmoothNoise(rng, CLOUD_SPACING)(places[:, None], places[None, :])
    hidden: NDArray[np.bool_] = cover > np.quantile(cover, 1 - share)
    return hidden


def _write(folder: Path, name: str, day: date, values: NDArray[Any]) -> None:
    """An index x 10 000 as int16, or a mask."""
    is_mask = values.dtype == bool
    numbers = np.uint8(CLOUD_NUMBER) * values if is_mask else np.rint(10_000 * values).astype(np.int16)
    pixel = PIXEL_METRES * SIZE / len(values)
    about = {
        "crs": "EPSG:32633", "nodata": None if is_mask else -32768, "scale": 1.0 if is_mask else 1e-4, "offset": 0.0,
        "names": ("mask" if is_mask else "NDVI",), "date": f"{day:%Y:%m:%d}",
    }
    (folder / name).mkdir(parents=True, exist_ok=True)
    transform = Affine(pixel, 0.0, ORIGIN_METRES[0], 0.0, -pixel, ORIGIN_METRES[1])
    write(folder / name / f"{name}_{day:%Y%m%d}.tif", numbers[None], transform, about)
