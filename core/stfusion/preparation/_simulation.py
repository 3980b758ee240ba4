"""The simulator at work: a fine and a coarse sensor image the landscape on three dates.

Everything is computed in strips of rows, which bounds the memory. Noise is drawn row by row from a stream of its own
for every image and band, so that the height of a strip changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.windows import Window
from scipy.ndimage import gaussian_filter

from stfusion.folder import whole_folder
from stfusion.preparation._landscape import BANDS, DATES, Floats, Landscape
from stfusion.run import Context

PIXEL_METRES = 30.0
ORIGIN_METRES = (500_000.0, 5_300_000.0)
DN_PER_REFLECTANCE = 10_000
NODATA = 0
#: Fine pixels in a strip, which bound the memory.
STRIP_PIXELS = 2**21


@dataclass(frozen=True)
class Sensor:
    """How a sensor turns surface reflectance into its own.

    ``blur`` is the standard deviation of its Gaussian point spread in its own pixels, ``gain`` and ``offset`` are its
    linear response per band, ``noise`` is the standard deviation of its noise in reflectance.
    """

    name: str
    blur: float
    gain: tuple[float, ...]
    offset: tuple[float, ...]
    noise: float

    def response(self, surface: Floats, factor: int, band: int) -> Floats:
        """Noise-free reflectance (rows / factor, cols / factor) of a surface (rows, cols)."""
        seen = gaussian_filter(surface, self.blur * factor, mode="nearest")
        rows, cols = seen.shape
        blocks = seen.reshape(rows // factor, factor, cols // factor, factor).mean((1, 3))
        response: Floats = blocks * np.float32(self.gain[band]) + np.float32(self.offset[band])
        return response


FINE = Sensor("fine", 0.45, (1.0,) * 6, (0.0,) * 6, 0.002)
COARSE = Sensor(
    "coarse", 0.4, (1.02, 0.985, 1.015, 0.98, 1.01, 0.99), (0.0015, -0.001, 0.001, -0.002, 0.0015, -0.001), 0.0012
)


@dataclass(frozen=True)
class Plan:
    """What is to be made: side of the fine images and of a coarse pixel in fine pixels, bands, cloud hole and seed."""

    size: int
    ratio: int
    bands: int
    clouds: bool
    seed: int

    @property
    def blocks(self) -> int:
        """Side of the coarse images in coarse pixels: they cover the fine ones, and reach beyond them if need be."""
        return -(-self.size // self.ratio)

    @property
    def halo(self) -> int:
        """Fine pixels around a strip that its coarse pixels see: the filter reaches four standard deviations."""
        return math.ceil(4 * COARSE.blur) * self.ratio

    def strips(self) -> Iterator[tuple[int, int]]:
        """First and last (exclusive) fine row of every strip, in whole coarse pixels."""
        covered = self.blocks * self.ratio
        height = max(1, STRIP_PIXELS // (covered + 2 * self.halo) // self.ratio) * self.ratio
        for top in range(0, covered, height):
            yield top, min(top + height, covered)


class Image:
    """An image of one sensor and date that is written strip by strip, from the top down."""

    def __init__(self, folder: Path, plan: Plan, sensor: Sensor, epoch: int) -> None:
        self._sensor, self._plan = sensor, plan
        self._factor = plan.ratio if sensor is COARSE else 1
        side = plan.blocks if sensor is COARSE else plan.size
        self._noise = [
            np.random.default_rng([plan.seed, 1 + (sensor is COARSE), epoch, band]) for band in range(plan.bands)
        ]
        pixel, (left, top) = PIXEL_METRES * self._factor, ORIGIN_METRES
        self.dataset = rasterio.open(
            folder / f"{sensor.name}_{epoch + 1}.tif", "w", driver="GTiff", width=side, height=side, count=plan.bands,
            dtype="uint16", nodata=NODATA, crs="EPSG:32633", transform=Affine(pixel, 0.0, left, 0.0, -pixel, top),
            tiled=True, blockxsize=256, blockysize=256, compress="deflate", predictor=2, BIGTIFF="IF_SAFER",
        )
        self.dataset.update_tags(TIFFTAG_DATETIME=DATES[epoch].strftime("%Y:%m:%d 10:30:00"))
        self.dataset.descriptions = BANDS[: plan.bands]

    def expose(self, surface: Floats, band: int, top: int, hole: NDArray[np.bool_] | None = None) -> None:
        """Image a strip of the surface that has the plan's halo on all sides; a hole (of its shape) stays empty.

        ``top`` is the strip's first fine row without the halo.
        """
        margin = self._plan.halo // self._factor
        seen = self._sensor.response(surface, self._factor, band)[margin:-margin, margin:-margin]
        seen = seen + self._noise[band].standard_normal(seen.shape, np.float32) * np.float32(self._sensor.noise)
        numbers = np.clip(np.rint(seen * DN_PER_REFLECTANCE), NODATA + 1, DN_PER_REFLECTANCE).astype(np.uint16)
        if hole is not None:
            numbers[hole[margin:-margin, margin:-margin]] = NODATA
        first, (rows, cols) = top // self._factor, self.dataset.shape
        numbers = numbers[: rows - first, :cols]
        self.dataset.write(numbers, band + 1, window=Window(0, first, cols, len(numbers)))


def run(context: Context) -> dict[str, Any]:
    """Make the scene that the job orders; ``output`` in the result is its folder.

    Raises
    ------
    UserError
        The folder exists and is not empty, or cannot be written.
    """
    options = context.options
    size, ratio, bands = (int(options[name]) for name in ("size", "ratio", "bands"))
    plan = Plan(size, ratio, bands, bool(options["clouds"]), context.job.seed)
    folder = context.job.outputs["output"]
    with whole_folder(folder, context.stop) as part, ExitStack() as files:
        images = [[Image(part, plan, sensor, epoch) for sensor in (FINE, COARSE)] for epoch in range(len(DATES))]
        for image in chain.from_iterable(images):
            files.enter_context(image.dataset)
        _expose(context, plan, images)
    return {"output": folder}


def _expose(context: Context, plan: Plan, images: list[list[Image]]) -> None:
    """Fill the images, fine and coarse for every date, from the top down."""
    context.reporter.stage("Imaging the landscape", 1, 1)
    landscape = Landscape(plan.size, plan.seed, margin=plan.halo + plan.ratio)
    covered = plan.blocks * plan.ratio
    cols = np.arange(-plan.halo, covered + plan.halo)[None, :]
    for top, bottom in plan.strips():
        rows = np.arange(top - plan.halo, bottom + plan.halo)[:, None]
        ground = landscape.ground(rows, cols, context.threads)
        for epoch, (fine, coarse) in enumerate(images):
            vegetation = landscape.vegetation(ground, epoch)
            for band in range(plan.bands):
                context.stop.check()
                surface = landscape.reflectance(ground, vegetation, epoch, band)
                fine.expose(surface, band, top, ground.cloud if plan.clouds and epoch == 0 else None)
                coarse.expose(surface, band, top)
            done = top + (bottom - top) * (epoch + 1) / len(images)
            context.reporter.progress(100 * done / covered)
