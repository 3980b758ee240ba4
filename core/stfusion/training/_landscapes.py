"""Simulated landscapes as places to learn from: made in memory, with coarse images still to be simulated."""

from __future__ import annotations

import threading
from datetime import date

import numpy as np
import numpy.typing as npt

from stfusion.preparation._landscape import BANDS, DATES, Landscape
from stfusion.preparation._simulation import DN_PER_REFLECTANCE, FINE
from stfusion.raster.grids import Box
from stfusion.raster.source import Array
from stfusion.training._places import Place, Sensor

#: How many there are, their side in fine pixels, and the largest factor by which their fields are larger or smaller.
COUNT, SIDE, ZOOM = 8, 512, 2.0
#: Bands that a landscape can have.
MOST_BANDS = len(BANDS)


class LandscapePlace(Place):
    """A landscape that the seed and the number determine; it is made when it is first read."""

    imagined = True
    fine_dates = DATES

    def __init__(self, number: int, bands: int, seed: int) -> None:
        super().__init__()
        self.name = f"simulated landscape {number + 1}"
        self.bands = bands
        self._entropy = [seed, number]
        self._side = SIDE
        self._images: dict[date, npt.NDArray[np.int16]] = {}
        self._lock = threading.Lock()

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self._side, self._side

    def read(self, sensor: Sensor, day: date, box: Box, band: int | None) -> Array:
        """A window of the fine image of a date."""
        with self._lock:
            if not self._images:
                self._images = self._make()
        bands = slice(None) if band is None else slice(band, band + 1)
        stored = self._images[day][bands, box.top : box.bottom, box.left : box.right]
        return stored * np.float32(1 / DN_PER_REFLECTANCE)

    def _make(self) -> dict[date, npt.NDArray[np.int16]]:
        """The fine images of all dates, as whole numbers would store them."""
        rng = np.random.default_rng(self._entropy)
        zoom = ZOOM ** rng.uniform(-1, 1)
        margin = int(np.ceil(4 * FINE.blur))
        size = int(np.ceil(zoom * self._side))
        landscape = Landscape(size, int(rng.integers(2**31)), margin=2 * margin)
        places = np.arange(-margin, self._side + margin) * zoom
        ground = landscape.ground(places[:, None], places[None, :])
        made = {}
        for epoch, day in enumerate(DATES):
            vegetation = landscape.vegetation(ground, epoch)
            surfaces = (landscape.reflectance(ground, vegetation, epoch, band) for band in range(self.bands))
            seen = np.stack([FINE.response(surface, 1, band) for band, surface in enumerate(surfaces)])
            seen = seen[:, margin:-margin, margin:-margin]
            seen = seen + rng.standard_normal(seen.shape, np.float32) * np.float32(FINE.noise)
            made[day] = np.rint(seen * DN_PER_REFLECTANCE).astype(np.int16)
        return made
