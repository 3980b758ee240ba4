"""Places that networks learn from: fine and coarse images of some dates on one grid, read by window."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from odc.geo.geobox import GeoBox

from stfusion.errors import UserError
from stfusion.job import Input
from stfusion.networks._normalisation import PERCENTILES, Floats, sample_of, value_range
from stfusion.raster.grids import LATTICE, Box, pixel_ratio
from stfusion.raster.source import AlignedSource, Array, Source, align

Sensor = Literal["fine", "coarse"]
Split = Literal["training", "validation"]

#: Percentiles that the coarse image of a fine one is taken to have, as long as it is not simulated.
_INNER = (2.0, 98.0)
#: A coarse pixel has to be this many fine pixels wide, unless the coarse images lie on the fine grid.
_COARSER = 0.75
#: Files that are open at once at most, and blocks that each keeps at least.
MOST_OPEN, _LEAST_BLOCKS = 256, 4
#: Ratio of the ranges of a fine and a coarse image from which they are said to have different scales.
_SCALES_APART = 20.0


@dataclass(frozen=True)
class Dates:
    """The dates of the pairs, in the order of time, and of the target.

    Where all are the same, earlier or later images are made up from those of the one date.
    """

    references: tuple[date, ...]
    target: date

    @property
    def pretended(self) -> bool:
        """Whether the change between the dates has to be made up."""
        return self.references[0] == self.target

    @property
    def days(self) -> tuple[date, ...]:
        """All dates."""
        return (*self.references, self.target)


#: The samples of dates that are to be made; none: all that can be.
Groups = tuple[Dates, ...] | None


@dataclass(frozen=True)
class PlaceFiles:
    """The files of a place: an image for every date, and what is known of them.

    ``coarse`` is empty where coarse images are to be simulated; ``ratio`` is then the least and the largest ratio
    (None: the usual ones), else the ratio of coarse images that lie on the fine grid. Stored values are multiplied by
    ``scales`` after the scale of their file. Of ``held_out`` groups no target is learnt from.
    """

    name: str
    fine: Mapping[date, Input]
    coarse: Mapping[date, Input] = field(default_factory=dict)
    split: Split | None = None
    ratio: tuple[float, float] | None = None
    scales: Mapping[Sensor, float] = field(default_factory=dict)
    groups: Groups = None
    held_out: tuple[Dates, ...] = ()

    def of(self, sensor: Sensor) -> Mapping[date, Input]:
        """The images of a sensor."""
        return self.fine if sensor == "fine" else self.coarse


class Place(ABC):
    """Images of one place; a coarse image is asked for on the fine grid."""

    name: str
    split: Split | None = None
    #: The samples of dates of the place, and those that are held out on its own ground.
    groups: Groups = None
    held_out: tuple[Dates, ...] = ()
    #: Dates that have a fine image, and those of them that have a coarse one; none: they are to be simulated.
    fine_dates: tuple[date, ...]
    coarse_dates: tuple[date, ...] = ()
    #: Number of bands of the images.
    bands: int
    #: Least and largest ratio: of the coarse images that are there, else of those to be simulated (None: the usual).
    ratio: tuple[float, float] | None = None
    #: Whether it is made up, and has nothing to do with the user's images and their values.
    imagined: bool = False

    def __init__(self) -> None:
        self._ranges: dict[tuple[Sensor, date, int | None], Floats] = {}

    @property
    def grid(self) -> GeoBox | None:
        """The fine grid; None for a place that is nowhere."""
        return None

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the fine grid."""

    @abstractmethod
    def read(self, sensor: Sensor, day: date, box: Box, band: int | None) -> Array:
        """A window (bands, rows, columns) of all bands, or of one (counted from 0); NaN where invalid."""

    @property
    def real(self) -> bool:
        """Whether there are coarse images."""
        return bool(self.coarse_dates)

    def value_range(self, sensor: Sensor, day: date, band: int | None) -> Floats:
        """The range of values of an image (2, bands), estimated from windows when it is first asked for.

        That of a coarse image that is to be simulated is taken from the fine one; NaN where no valid value was seen.
        """
        simulated = sensor == "coarse" and day not in self.coarse_dates
        key: tuple[Sensor, date, int | None] = ("fine" if simulated else sensor), day, band
        if key not in self._ranges:
            self._ranges[key] = self._estimate(*key)
        least, low, high, most = self._ranges[key]
        return np.stack([low, high] if simulated else [least, most])

    def _estimate(self, sensor: Sensor, day: date, band: int | None) -> Floats:
        """The outer and the inner percentiles of an image (4, bands) in rising order."""
        sample = self.sample(sensor, day, band)
        try:
            return value_range(sample, (PERCENTILES[0], *_INNER, PERCENTILES[1]))
        except ValueError:
            return np.full((4, len(sample)), np.nan)

    def sample(self, sensor: Sensor, day: date, band: int | None, box: Box | None = None) -> Array:
        """Some values (bands, n) of an image, or of a window of it."""
        return sample_of(_Image(self.shape, lambda window: self.read(sensor, day, window, band)), box)


@dataclass(frozen=True)
class _Image:
    shape: tuple[int, int]
    read: Callable[[Box], Array]


class OpenImages:
    """Images that are open, of which those used least recently are closed.

    ``memory_bytes`` bound what they keep of resampled blocks, shared by ``count`` images that are resampled.
    """

    def __init__(self, memory_bytes: int, count: int) -> None:
        self._memory, self._share = memory_bytes, memory_bytes // max(1, count)
        self._open: OrderedDict[object, tuple[AlignedSource, int]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: object, part: float, make: Callable[[int], AlignedSource]) -> AlignedSource:
        """The image of a key; if it is not open, it is made with the bytes that it may keep.

        ``part`` is the share (0..1) of the bands of its file that it has.
        """
        with self._lock:
            if key not in self._open:
                share = int(part * self._share)
                image = make(share)
                kept = 0 if image.same_grid else max(share, _LEAST_BLOCKS * LATTICE**2 * 4 * len(image.bands))
                self._open[key] = image, kept
                while len(self._open) > 1 and (len(self._open) > MOST_OPEN or self._kept() > self._memory):
                    self._open.popitem(last=False)
            self._open.move_to_end(key)
            return self._open[key][0]

    def _kept(self) -> int:
        return sum(kept for _, kept in self._open.values())


class RasterPlace(Place):
    """A place whose images are raster files, of which nothing but the windows asked for is read.

    Raises
    ------
    UserError
        An image cannot be used with the others.
    """

    def __init__(self, files: PlaceFiles, images: OpenImages) -> None:
        super().__init__()
        self.name, self.split, self.files = files.name, files.split, files
        self.groups, self.held_out = files.groups, files.held_out
        self._images = images
        if files.coarse and not set(files.coarse) & set(files.fine):
            raise UserError(
                f"No date of {files.name} has both a fine and a coarse image: the fine ones are of "
                f"{_listed(files.fine)}, the coarse ones of {_listed(files.coarse)}; add the missing ones, or leave "
                "the coarse images out to have them simulated."
            )
        self.fine_dates = tuple(sorted(files.fine))
        self.coarse_dates = tuple(sorted(set(files.coarse) & set(files.fine)))
        self._reference = self._source("fine", self.fine_dates[0], None)
        self.bands = len(self._reference.bands)
        ratios = [self._check(sensor, day) for sensor in ("fine", "coarse") for day in self._dates(sensor)]
        self.ratio = files.ratio or self._ratio_of([ratio for ratio in ratios if ratio is not None])

    def _dates(self, sensor: Sensor) -> tuple[date, ...]:
        return self.fine_dates if sensor == "fine" else self.coarse_dates

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the grid, which is that of the first fine image."""
        return self._reference.shape

    @property
    def grid(self) -> GeoBox:
        """The fine grid."""
        return self._reference.grid

    def read(self, sensor: Sensor, day: date, box: Box, band: int | None) -> Array:
        """A window of an image, in the scale of the place; resampled by cubic convolution where the grids differ."""
        values = self._image(sensor, day, band).read(box)
        scale = self.files.scales.get(sensor, 1.0)
        return values if scale == 1 else values * np.float32(scale)

    def _image(self, sensor: Sensor, day: date, band: int | None) -> AlignedSource:
        def make(cache_bytes: int) -> AlignedSource:
            return align(self._source(sensor, day, band), self._reference, "cubic", cache_bytes)

        return self._images.get((id(self), sensor, day, band), 1 if band is None else 1 / self.bands, make)

    def _source(self, sensor: Sensor, day: date, band: int | None) -> Source:
        image = self.files.of(sensor)[day]
        title = f"{sensor.capitalize()} image of {day}"
        if band is not None:
            # A band of its own is read alone, which is what training band by band is fast by.
            bands = image.bands or tuple(range(1, self.bands + 1))
            image = replace(image, bands=(bands[band],))
        return Source(title, image)

    def _check(self, sensor: Sensor, day: date) -> float | None:
        """Whether an image suits the first fine one; gives the ratio of a coarse image on a grid of its own."""
        image = self._image(sensor, day, None)
        source, fine = image.source, self._reference
        if len(source.bands) != self.bands:
            raise UserError(
                f"{fine} has {self.bands} band(s) and {source} has {len(source.bands)}; choose the bands that belong "
                "together."
            )
        if sensor == "fine" or image.same_grid:
            return None
        ratio = round(float(np.mean(pixel_ratio(source.grid, fine.grid))), 6)
        if ratio < _COARSER:
            raise UserError(
                f"{source} is finer than {fine} (a pixel of it is {ratio:.2g} fine pixels wide); swap the fine and the "
                "coarse images."
            )
        return ratio

    @staticmethod
    def _ratio_of(ratios: list[float]) -> tuple[float, float] | None:
        return (min(ratios), max(ratios)) if ratios else None

    def scale_warning(self) -> str | None:
        """A sentence where the values of the first pair differ in scale."""
        if not self.real:
            return None
        day = self.coarse_dates[0]
        fine, coarse = (float(np.abs(self.value_range(sensor, day, None)).max()) for sensor in get_args(Sensor))
        if not max(fine, coarse) > _SCALES_APART * min(fine, coarse):
            return None
        return (
            f"The fine image of {self.name} of {day} has values up to {fine:.4g} and the coarse one up to "
            f"{coarse:.4g}: their scales seem to differ; set the scale in the file or rescale one of them."
        )


def refuse_repeated(places: Sequence[PlaceFiles]) -> None:
    """Refuse an image of two dates, and one that may be learnt in one place and held out in another."""
    seen: dict[Path, tuple[PlaceFiles, date]] = {}
    for place in places:
        for day, image in place.fine.items():
            path = Path(image.path).resolve()
            other, other_day = seen.setdefault(path, (place, day))
            if other is place and other_day != day:
                raise UserError(
                    f"The image '{path.name}' is given for {other_day} and for {day} in {place.name}; leave one of "
                    "them out."
                )
            if other is not place and (place.split is None or other.split != place.split):
                raise UserError(
                    f"The image '{path.name}' is in {other.name} ({other.split or 'no split'}) and in {place.name} "
                    f"({place.split or 'no split'}); what is held out must not be learnt from, so leave it out of one, "
                    "or give both the same split."
                )


def _listed(days: Mapping[date, Input]) -> str:
    """Dates in words, the first few of many."""
    few = [str(day) for day in sorted(days)]
    return ", ".join(few) if len(few) <= 5 else f"{', '.join(few[:4])} and {len(few) - 4} more"
