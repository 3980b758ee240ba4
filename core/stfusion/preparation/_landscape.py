"""The landscape of the simulator: reflectance as a function of position, date and band.

It can be asked for any window, also outside the scene: the same place always looks the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from scipy.spatial import cKDTree

Floats = NDArray[np.float32]

DATES = (date(2021, 4, 20), date(2021, 5, 22), date(2021, 6, 23))
BANDS = ("blue", "green", "red", "NIR", "SWIR 1", "SWIR 2")
#: Mean sides of a field in fine pixels, along and across the direction of ploughing.
FIELD_SIDES = (22.0, 13.0)
#: Brightness of bare ground on these dates, linear between them: rain before the second, drought before the third.
GROUND_BRIGHTNESS = (1.0, 0.94, 1.04)


class LandCover(NamedTuple):
    """Spectra under full and no vegetation (in the order of ``BANDS``) and the course of the vegetated fraction.

    ``growth`` is the day of year and the width in days of green-up, the same of senescence, and the lowest and
    highest vegetated fraction.
    """

    vegetated: tuple[float, ...]
    bare: tuple[float, ...]
    growth: tuple[float, float, float, float, float, float]

    def fraction(self, day: NDArray[np.float64]) -> NDArray[np.float64]:
        """Vegetated fraction 0..1 on a day of the year: a double logistic curve."""
        green_up, up_width, senescence, down_width, low, high = self.growth
        rise = 1 / (1 + np.exp((green_up - day) / up_width))
        fall = 1 / (1 + np.exp((senescence - day) / down_width))
        return low + (high - low) * (rise - fall)


LOAM = (0.066, 0.094, 0.124, 0.192, 0.276, 0.228)
DARK_SOIL = (0.054, 0.078, 0.102, 0.158, 0.236, 0.192)
ASPHALT = (0.094, 0.108, 0.118, 0.142, 0.168, 0.158)
LAKE = (0.041, 0.046, 0.031, 0.021, 0.011, 0.007)
EVERGREEN = (-400.0, 20.0, 900.0, 20.0)
COVERS = {
    "winter cereal": LandCover((0.028, 0.064, 0.037, 0.43, 0.205, 0.1), LOAM, (88, 9, 176, 8, 0.14, 0.95)),
    "oilseed": LandCover((0.042, 0.108, 0.071, 0.455, 0.2, 0.102), LOAM, (78, 8, 163, 7, 0.16, 0.94)),
    "maize": LandCover((0.031, 0.069, 0.04, 0.41, 0.215, 0.108), DARK_SOIL, (154, 7, 268, 9, 0.03, 0.93)),
    "meadow": LandCover((0.034, 0.071, 0.046, 0.35, 0.226, 0.124), LOAM, (102, 15, 296, 18, 0.36, 0.88)),
    "broad-leaved wood": LandCover(
        (0.021, 0.047, 0.026, 0.375, 0.168, 0.072), (0.038, 0.054, 0.064, 0.15, 0.188, 0.132),
        (119, 6, 292, 11, 0.12, 0.96),
    ),
    "coniferous wood": LandCover(
        (0.016, 0.031, 0.019, 0.228, 0.098, 0.044), (0.027, 0.038, 0.042, 0.135, 0.115, 0.068),
        (*EVERGREEN, 0.0, 0.92),
    ),
    "settlement": LandCover(
        (0.055, 0.08, 0.07, 0.27, 0.22, 0.15), (0.108, 0.128, 0.144, 0.194, 0.226, 0.212), (112, 14, 290, 16, 0.1, 0.3)
    ),
    "road": LandCover(ASPHALT, ASPHALT, (*EVERGREEN, 0.0, 0.0)),
    "water": LandCover(LAKE, LAKE, (*EVERGREEN, 0.0, 0.0)),
}
KINDS = tuple(COVERS)
VEGETATED = np.array([cover.vegetated for cover in COVERS.values()], np.float32)
BARE = np.array([cover.bare for cover in COVERS.values()], np.float32)
ROAD, WATER = KINDS.index("road"), KINDS.index("water")
CROPS = ("winter cereal", "oilseed", "maize", "meadow")
CROP_SHARES = (0.32, 0.18, 0.28, 0.22)


class SmoothNoise:
    """Random function of position, mean 0 and variance 1, smooth over ``spacing`` fine pixels; it repeats far away."""

    NODES = 256
    #: Standard deviation of a cubic B-spline over white noise, 151/315 for each axis.
    SPREAD = 151 / 315

    def __init__(self, rng: np.random.Generator, spacing: float) -> None:
        self._nodes = rng.standard_normal((self.NODES, self.NODES), np.float32)
        self._spacing = spacing

    def __call__(self, rows: NDArray[Any], cols: NDArray[Any]) -> Floats:
        """Values at positions in fine pixels; ``rows`` and ``cols`` are broadcast."""
        places = np.broadcast_arrays(rows / self._spacing, cols / self._spacing)
        values: Floats = map_coordinates(self._nodes, places, order=3, mode="grid-wrap", prefilter=False)
        return values / np.float32(self.SPREAD)


@dataclass(frozen=True)
class Ground:
    """What does not change with the date in a window (rows, cols): field number, kind, flood plain, cloud, texture."""

    field: NDArray[np.int64]
    kind: NDArray[np.uint8]
    flooded: NDArray[np.bool_]
    cloud: NDArray[np.bool_]
    patches: Floats
    grain: Floats


class Landscape:
    """Fields with a kind, a growth and a soil of their own, woods, settlements, roads, a river and a lake.

    After the first of ``DATES`` the river floods a plain, and it stays flooded.
    """

    def __init__(self, size: int, seed: int, margin: int, dates: Sequence[date] = DATES) -> None:
        rng = np.random.default_rng([seed, 0])
        self._size = size
        self._angle = rng.uniform(0.2, 1.2)
        self._patches, self._grain = SmoothNoise(rng, 5.0), SmoothNoise(rng, 1.3)
        self._outline = SmoothNoise(rng, 19.0)
        self._river_phase = rng.uniform(0, 2 * np.pi)
        self._tree, along, across = self._sites(rng, margin)
        rows, cols = self._to_scene(along, across)
        self._kind = self._choose_kinds(rng, rows, cols)
        self._soil = np.clip(rng.normal(1.0, 0.12, len(rows)), 0.65, 1.4).astype(np.float32)
        delay, vigour = rng.normal(0.0, 7.0, len(rows)), np.clip(rng.normal(1.0, 0.06, len(rows)), 0.75, 1.15)
        self._fraction = np.stack([self._fractions(when, delay, vigour) for when in dates])
        days, known = ([when.toordinal() for when in each] for each in (dates, DATES))
        self._brightness = np.interp(days, known, GROUND_BRIGHTNESS)
        self._is_flooded = [when > DATES[0] for when in dates]

    def _sites(self, rng: np.random.Generator, margin: int) -> tuple[cKDTree, NDArray[Any], NDArray[Any]]:
        """Fields are the cells, in the maximum metric, of a jittered lattice that is turned against the scene."""
        reach = self._size * math.sqrt(0.5) + margin * 2
        axes = [np.arange(-reach, reach, side) for side in FIELD_SIDES]
        lattice = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 2) / FIELD_SIDES
        sites = lattice + rng.uniform(-0.35, 0.35, lattice.shape)
        return cKDTree(sites), sites[:, 0] * FIELD_SIDES[0], sites[:, 1] * FIELD_SIDES[1]

    def _to_fields(self, rows: NDArray[Any], cols: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Positions along and across the fields, in fine pixels from the scene's centre."""
        y, x = rows - self._size / 2, cols - self._size / 2
        sine, cosine = math.sin(self._angle), math.cos(self._angle)
        return x * cosine + y * sine, y * cosine - x * sine

    def _to_scene(self, along: NDArray[Any], across: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Rows and columns: the inverse of :meth:`_to_fields`."""
        sine, cosine = math.sin(self._angle), math.cos(self._angle)
        return along * sine + across * cosine + self._size / 2, along * cosine - across * sine + self._size / 2

    @staticmethod
    def _choose_kinds(rng: np.random.Generator, rows: NDArray[Any], cols: NDArray[Any]) -> NDArray[np.uint8]:
        """Kind of every field: woods and settlements lie together, crops are drawn one by one."""
        wooded, built = SmoothNoise(rng, 38.0)(rows, cols), SmoothNoise(rng, 26.0)(rows, cols)
        kind = rng.choice([KINDS.index(crop) for crop in CROPS], len(rows), p=CROP_SHARES)
        kind[wooded > 0.9] = KINDS.index("broad-leaved wood")
        kind[wooded > 1.5] = KINDS.index("coniferous wood")
        kind[(built > 1.5) & (wooded <= 0.9)] = KINDS.index("settlement")
        return kind.astype(np.uint8)

    def _fractions(self, when: date, delay: NDArray[Any], vigour: NDArray[Any]) -> Floats:
        """Vegetated fraction of every field on a date."""
        day = when.timetuple().tm_yday - delay
        curves = np.stack([cover.fraction(day) for cover in COVERS.values()])
        fractions: Floats = (curves[self._kind, np.arange(len(day))] * vigour).astype(np.float32)
        return fractions

    def _inside(self, rows: NDArray[Any], cols: NDArray[Any], centre: tuple[float, float], radius: float) -> Any:
        """Whether positions lie inside a patch of irregular outline; centre and radius in parts of the scene."""
        distance = np.hypot(rows - centre[0] * self._size, cols - centre[1] * self._size) / (radius * self._size)
        return distance < 1 + 0.2 * self._outline(rows, cols)

    def ground(self, rows: NDArray[Any], cols: NDArray[Any], workers: int = 1) -> Ground:
        """The window of rows and columns, given as a column and a row of fine pixel numbers (they may lie outside)."""
        along, across = self._to_fields(rows, cols)
        places = np.stack([along / FIELD_SIDES[0], across / FIELD_SIDES[1]], -1)
        field = self._tree.query(places.reshape(-1, 2), p=np.inf, workers=workers)[1].reshape(along.shape)
        kind = self._kind[field]
        lanes = np.abs((along + 9 * np.sin(across / 70)) % 173 - 86) < 0.8
        lanes |= np.abs((across + 6 * np.sin(along / 90)) % 131 - 65) < 1.2
        kind[lanes] = ROAD
        turn = 2 * np.pi * cols / self._size
        course = self._size * (0.4 + 0.09 * np.sin(1.3 * turn + self._river_phase)) + 6 * np.sin(cols / 29)
        kind[np.abs(rows - course) < 3 + np.sin(cols / 83)] = WATER
        kind[self._inside(rows, cols, (0.77, 0.24), 0.055)] = WATER
        return Ground(
            field=field,
            kind=kind,
            flooded=self._inside(rows, cols, (0.42, 0.62), 0.085),
            cloud=self._inside(rows, cols, (0.74, 0.7), 0.09),
            patches=self._patches(rows, cols),
            grain=self._grain(rows, cols),
        )

    def vegetation(self, ground: Ground, epoch: int) -> Floats:
        """Vegetated fraction 0..1 (rows, cols) on the date with this index."""
        fraction = self._fraction[epoch][ground.field] * (1 + np.float32(0.06) * ground.patches)
        fraction[ground.kind >= ROAD] = 0
        clipped: Floats = np.clip(fraction, 0, 1)
        return clipped

    def reflectance(self, ground: Ground, vegetation: Floats, epoch: int, band: int) -> Floats:
        """Surface reflectance (rows, cols) of a band: a linear mixture of plants and ground."""
        bare = BARE[:, band][ground.kind] * (1 + np.float32(0.05) * ground.grain)
        fields = ground.kind < ROAD
        bare[fields] *= self._soil[ground.field[fields]] * np.float32(self._brightness[epoch])
        plants = VEGETATED[:, band][ground.kind] * (1 + np.float32(0.04) * ground.patches)
        surface: Floats = bare + vegetation * (plants - bare)
        if self._is_flooded[epoch]:
            surface = np.where(ground.flooded, np.float32(0.85 * LAKE[band]) + np.float32(0.15) * surface, surface)
        return surface
