"""Where samples of a sharpening are from: a scene reduced by Wald's protocol, a data set of patches, landscapes.

In all of them the truth is a multispectral image; what is to be sharpened has larger pixels, and the panchromatic image
has the pixels of the truth.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from stfusion.pansharpening._scene import Scene
from stfusion.raster.gaps import fill_gaps
from stfusion.raster.grids import Box
from stfusion.raster.interpolation import enlarged, interpolation
from stfusion.raster.resolution import REACH, mtf_filter, read_beyond, reduce
from stfusion.raster.source import Array
from stfusion.training._landscapes import COUNT, LandscapePlace

Grid = Literal["gis", "toolbox"]
Use = Literal["training", "validation"]

#: Coarse pixels beside a patch that the interpolation takes.
_TAPS = 3
#: Windows, and their side, that the values of a source are known from.
_WINDOWS, _SIDE = 64, 32


@dataclass(frozen=True)
class Images:
    """The images of a patch in the unit of the data, each (bands, rows, columns).

    ``truth`` and ``pan`` are NaN where they are invalid; ``multispectral`` and ``expanded`` are filled.
    """

    truth: Array
    pan: Array
    multispectral: Array
    expanded: Array


@dataclass(frozen=True)
class Part:
    """What is learnt from, or held out, of a source: some of its images, and a part of each."""

    source: SharpeningSource
    use: Use
    items: range
    box: Box

    def lattice(self, side: int) -> Iterator[tuple[int, Box]]:
        """The patches side by side that fit, of all images."""
        for item in self.items:
            for top in range(self.box.top, self.box.bottom - side + 1, side):
                for left in range(self.box.left, self.box.right - side + 1, side):
                    yield item, Box(top, top + side, left, left + side)

    def draw(self, side: int, rng: np.random.Generator) -> tuple[int, Box]:
        """A patch anywhere that begins with a multispectral pixel."""
        ratio = self.source.ratio
        rows, columns = self.box.shape
        top = self.box.top + ratio * int(rng.integers((rows - side) // ratio + 1))
        left = self.box.left + ratio * int(rng.integers((columns - side) // ratio + 1))
        item = self.items[int(rng.integers(len(self.items)))]
        return item, Box(top, top + side, left, left + side)

    def count(self, side: int) -> int:
        """Number of different patches side by side."""
        rows, columns = self.box.shape
        return len(self.items) * max(1, rows * columns // side**2)


class SharpeningSource(ABC):
    """Images of one sensor: ``count`` of them, each with ``shape`` (rows, columns) pixels of the truth.

    ``ratio`` are the pixels along one of the image that is to be sharpened, ``grid`` says where that is interpolated,
    ``pan_bands`` are the bands of the panchromatic image, or of what is in its place.
    """

    name: str
    bands: int
    pan_bands: int = 1
    ratio: int
    count: int = 1
    shape: tuple[int, int]
    grid: Grid = "gis"
    kind: str

    @abstractmethod
    def read(self, item: int, box: Box) -> Images:
        """The images of a patch, which begins and ends with a multispectral pixel."""

    def parts(self, share: float, side: int) -> list[Part]:
        """What is learnt from, and a share (0..1) that is held out: the last images, or of one image its last strip.

        The strip is apart by what the filters reach; without room for both, all is for training.
        """
        rows, columns = (length // self.ratio * self.ratio for length in self.shape)
        whole = Box(0, rows, 0, columns)
        if min(rows, columns) < side:
            return []
        if self.count > 1:
            held = min(max(round(share * self.count), 1), self.count - 1)
            learnt = self.count - held
            return [Part(self, "training", range(learnt), whole),
                    Part(self, "validation", range(learnt, self.count), whole)]
        length, gap = max(rows, columns), (REACH + _TAPS) * self.ratio
        held = -(-max(round(share * length), side) // self.ratio) * self.ratio
        learnt = length - held - gap
        if learnt < side:
            return [Part(self, "training", range(1), whole)]

        def strip(first: int, last: int) -> Box:
            return Box(0, rows, first, last) if columns >= rows else Box(first, last, 0, columns)

        return [Part(self, "training", range(1), strip(0, learnt)),
                Part(self, "validation", range(1), strip(length - held, length))]

    def sample(self, part: Part) -> tuple[Array, Array]:
        """Some values of the truth (bands, n) and of the panchromatic image (bands, n), of a part."""
        rng = np.random.default_rng(0)
        side = min(_SIDE // self.ratio * self.ratio or self.ratio, *part.box.shape)
        found = [self.read(*part.draw(side, rng)) for _ in range(_WINDOWS)]
        return (np.concatenate([images.truth.reshape(self.bands, -1) for images in found], axis=1),
                np.concatenate([images.pan.reshape(self.pan_bands, -1) for images in found], axis=1))


class ReducedScene(SharpeningSource):
    """The user's own scene by Wald's protocol: both images reduced by their ratio, the multispectral one the truth.

    ``gains`` are those of the bands' sensor at the Nyquist frequency, ``pan_gain`` that of the panchromatic one.
    """

    kind = "a scene by Wald's protocol"

    def __init__(self, name: str, scene: Scene, gains: tuple[float, ...], pan_gain: float) -> None:
        self.name, self._scene = name, scene
        self.bands, self.ratio, self.pan_bands = scene.bands, scene.ratio, len(scene.pan.bands)
        self._gains, self._pan_gain = gains, pan_gain
        common = scene.common
        self._top, self._left = common.top, common.left
        self.shape = common.shape

    def read(self, item: int, box: Box) -> Images:
        """The images of a patch, reduced when they are read."""
        own = box.moved(self._top, self._left)
        low = self._scene.low
        multispectral, expanded = degraded(low.read, own, low.shape, self._gains, self.ratio, self.grid)
        reduced = [guide.reduce_pan(own, self._pan_gain) for guide in self._scene.guides]
        pan = np.stack([
            image if valid is None else np.where(valid, image, np.float32(np.nan)) for image, valid in reduced
        ])
        return Images(low.read(own), pan, multispectral, expanded)


class Landscapes(SharpeningSource):
    """Simulated landscapes: the panchromatic image is a weighted sum of the bands, other weights for each."""

    kind = "simulated landscapes"
    count = COUNT

    def __init__(self, bands: int, ratio: int, gain: float, seed: int) -> None:
        self.name, self.bands, self.ratio = "simulated landscapes", bands, ratio
        self._places = [LandscapePlace(number, bands, seed) for number in range(COUNT)]
        weights = np.random.default_rng([seed, 1]).uniform(0.2, 1, (COUNT, bands))
        self._weights = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
        self._gain = gain
        self.shape = self._places[0].shape

    def read(self, item: int, box: Box) -> Images:
        """The images of a patch of the first date."""
        place = self._places[item]

        def read(part: Box) -> Array:
            return place.read("fine", place.fine_dates[0], part, None)

        truth = read(box)
        coarse = degraded(read, box, self.shape, (self._gain,) * self.bands, self.ratio, self.grid)
        return Images(truth, np.tensordot(self._weights[item], truth, 1)[None], *coarse)


def degraded(
    read: Callable[[Box], Array], box: Box, shape: tuple[int, int], gains: tuple[float, ...], ratio: int, grid: Grid
) -> tuple[Array, Array]:
    """An image in a window as a sensor with these gains and larger pixels sees it, and that interpolated again.

    ``read`` gives windows of the image of some ``shape``. Pixels without enough valid ones are filled from beside them.
    """
    filters = [mtf_filter(gain, ratio) for gain in gains]
    beside = _TAPS * ratio
    part = Box(
        box.top - beside + filters[0].start, box.bottom + beside + filters[0].stop - ratio,
        box.left - beside + filters[0].start, box.right + beside + filters[0].stop - ratio,
    )
    bands = zip(read_beyond(read, part, shape), filters, strict=True)
    coarse = np.stack([reduce(band, which, ratio) for band, which in bands]).astype(np.float32)
    # A gap of one band is one of all.
    coarse[:, np.isnan(coarse).any(axis=0)] = np.nan
    if np.isnan(coarse).any():
        coarse = fill_gaps(coarse, max(coarse.shape))
    return coarse[:, _TAPS:-_TAPS, _TAPS:-_TAPS], interpolated(coarse, box.shape, ratio, grid, _TAPS)


def interpolated(coarse: Array, shape: tuple[int, int], ratio: int, grid: Grid, beside: int) -> Array:
    """A coarse image, with so many pixels ``beside`` the window, in the ``shape`` fine pixels of the window."""
    shift = 0.5 if grid == "toolbox" and ratio % 2 == 0 else 0.0
    rows, columns = (
        interpolation((np.arange(count) + 0.5 - shift) / ratio - 0.5, "cubic").since(-beside) for count in shape
    )
    return enlarged(coarse, rows, columns)
