"""A folder of downloads as they come: Landsat archives whose extents differ, and MODIS tiles on their own grid."""

from __future__ import annotations

import math
import shutil
from datetime import datetime
from pathlib import Path

import numpy as np
from affine import Affine
from rasterio.warp import Resampling, reproject, transform, transform_bounds

from products import GRID_30, GRID_463, SINUSOIDAL, UTM, landsat, modis_fields, tarred
from test_shift import landscape

#: Pixels of 30 m along the ground that there are values for; the scenes of the dates are windows of it, by their first
#: row and column and their rows and columns.
GROUND = 512
WINDOWS = {
    "20200501": (20, 30, 440, 430), "20200504": (10, 42, 450, 440), "20200509": (30, 20, 446, 452),
}
DAYS = [f"202005{number:02d}" for number in range(1, 10)]
#: A Landsat date with a cloud, where it is in the scene, and the MODIS dates of noise and under clouds.
CLOUDY, CLOUD = "20200504", (slice(100, 160), slice(200, 280))
NOISE, OVERCAST = "20200506", "20200507"
BANDS = {"red": 0.08, "NIR": 0.3}
_CLEAR, _CLOUD = 21824, 22280


def truth(day: str) -> np.ndarray:
    """Reflectance of red and NIR of the ground (bands, rows, columns)."""
    still, change = landscape(1, GROUND), landscape(2, GROUND)
    now = still + 0.1 * DAYS.index(day) * change
    signs = zip(BANDS.values(), (-1, 1), strict=True)
    return np.stack([(level * (1 + sign * 0.15 * now)).astype(np.float32) for level, sign in signs])


def downloads(folder: Path) -> Path:
    """Write the folders landsat (tar files) and modis (files of fields) of a place; the folder."""
    for day, (top, left, rows, columns) in WINDOWS.items():
        inside = truth(day)[:, top : top + rows, left : left + columns]
        stored = np.rint((inside + 0.2) / 2.75e-5).astype(np.uint16)
        qa = np.full(inside.shape[1:], _CLEAR, np.uint16)
        if day == CLOUDY:
            qa[CLOUD] = _CLOUD
            stored[:, CLOUD[0], CLOUD[1]] = 40000
        product = f"LC08_L2SP_044033_{day}_20200915_02_T1"
        landsat(
            folder / product, qa, product, "45", day=f"{day[:4]}-{day[4:6]}-{day[6:]}",
            values={"4": stored[0], "5": stored[1]}, grid=GRID_30 * Affine.translation(left, top),
        )
        (folder / "landsat").mkdir(exist_ok=True)
        tarred(folder / product, folder / "landsat" / f"{product}.tar")
        shutil.rmtree(folder / product)
    for day in DAYS:
        _modis(folder / "modis", day)
    return folder


def _modis(folder: Path, day: str) -> None:
    grid, shape = _tile()
    values = np.zeros((2, *shape), np.float32)
    reproject(
        truth(day), values, src_transform=GRID_30, src_crs=UTM, dst_transform=grid, dst_crs=SINUSOIDAL,
        resampling=Resampling.average, src_nodata=-9.0, dst_nodata=-2.0,
    )
    stored = np.where(values < -1, -28672, np.rint(values * 1e4)).astype(np.int16)
    rng = np.random.default_rng(5)
    if day == NOISE:
        stored[stored > -28672] = rng.permutation(stored[stored > -28672])
    state = np.full((shape[0] // 2, shape[1] // 2), 8, np.uint16)
    if day == OVERCAST:
        state[:] = 9
    number = datetime.strptime(day, "%Y%m%d").timetuple().tm_yday
    product = f"MOD09GA.A{day[:4]}{number:03d}.h08v05.061.2020278033838"
    modis_fields(folder, state, product, {"1": stored[0], "2": stored[1]}, grid)


def _tile() -> tuple[Affine, tuple[int, int]]:
    """The part of a MODIS tile around the ground: its grid, and an even number of rows and columns."""
    left, top = GRID_30.c, GRID_30.f
    bounds = transform_bounds(UTM, SINUSOIDAL, left, top - 30 * GROUND, left + 30 * GROUND, top)
    pixel = GRID_463.a
    first = [math.floor((bounds[0] - GRID_463.c) / pixel) - 4, math.floor((GRID_463.f - bounds[3]) / pixel) - 4]
    size = [math.ceil((bounds[n] - bounds[m]) / pixel / 2) * 2 + 8 for n, m in ((3, 1), (2, 0))]
    return GRID_463 * Affine.translation(first[0], first[1]), (size[0], size[1])


def longitudes(columns: tuple[int, int], rows: tuple[int, int]) -> str:
    """The extent of some columns and rows of the ground in longitude and latitude, a pixel less on every side."""
    across = [GRID_30 * (column, row) for column, row in zip(columns, rows, strict=True)]
    xs, ys = transform(UTM, "EPSG:4326", *zip(*across, strict=True))
    return f"{min(xs)},{max(xs)},{min(ys)},{max(ys)} [EPSG:4326]"
