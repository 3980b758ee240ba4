"""The two images of a pansharpening job beside one another: windows of them, as methods need them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
from odc.geo.geobox import GeoBox

from stfusion.pansharpening._axis import Axis
from stfusion.raster.gaps import fill_gaps
from stfusion.raster.grids import Box
from stfusion.raster.interpolation import Taps, enlarged, reach_of, shrinking, shrunk, weighted_means
from stfusion.raster.resolution import ENOUGH, REACH, gaussian, read_beyond
from stfusion.raster.source import AlignedSource, Array, Source

Booleans = npt.NDArray[np.bool_]


class Patch:
    """What a method reads of a window of the result, each array (bands, rows, columns) when it is first asked for.

    The arrays have a ``margin`` more pixels on every side, and values everywhere: where the images have none, those
    of the pixels beside them. ``valid`` says, for the window itself, where both have one (None: everywhere).
    """

    def __init__(self, scene: Scene, box: Box, margin: int) -> None:
        self._scene = scene
        self.box = box
        self.margin = margin
        self._pan: tuple[Array, Booleans | None] | None = None
        self._beyond = -1

    @property
    def pan(self) -> Array:
        """The panchromatic image (rows, columns)."""
        return self.pan_around(0)

    def pan_around(self, reach: int) -> Array:
        """The panchromatic image (rows, columns) with so many pixels more on every side than its margin.

        It is read once when what reaches farthest is asked for first.
        """
        if self._pan is None or reach > self._beyond:
            self._pan, self._beyond = self._scene.read_pan(self.box, self.margin + reach), reach
        cut = self._beyond - reach
        values = self._pan[0]
        return values[cut : values.shape[0] - cut, cut : values.shape[1] - cut]

    @cached_property
    def expanded(self) -> Array:
        """The multispectral image on the pixels of the result."""
        return self._expanded[0]

    @cached_property
    def valid(self) -> Booleans | None:
        """Where both images have a value (rows, columns), or None where that is everywhere."""
        pan = self._pan or self._scene.read_pan(self.box, self.margin)
        found = [part for _, part in (pan, self._expanded) if part is not None]
        return np.logical_and.reduce(found) if found else None

    def low_passed(self, gain: float) -> Array:
        """The panchromatic image (rows, columns) as the sensor of that gain would see it, on the result's pixels."""
        return self._scene.low_passed(self.box, self.margin, gain)

    def smoothed(self, gain: float) -> Array:
        """The same before it is sampled in the sensor's pixels, without the margin."""
        return self._scene.smooth_pan(self.box, gain)

    def there_and_back(self, values: Array) -> Array:
        """Arrays of this patch (bands, rows, columns) taken to multispectral pixels and back, without the margin.

        The margin has to be :attr:`Scene.there_and_back_reach` at least.
        """
        return self._scene.there_and_back(self.box, self.margin, values)

    def inner(self, values: Array) -> Array:
        """An array of this patch without its margin."""
        margin = self.margin
        return values[..., margin : values.shape[-2] - margin, margin : values.shape[-1] - margin]

    @cached_property
    def _expanded(self) -> tuple[Array, Booleans | None]:
        return self._scene.expand(self.box, self.margin)


class CoarsePatch:
    """What a method reads of a window of multispectral pixels that lie in the result, (bands, rows, columns)."""

    def __init__(self, scene: Scene, box: Box) -> None:
        self._scene = scene
        self.box = box
        self._pan_valid: Booleans | None = None

    @cached_property
    def bands(self) -> Array:
        """The multispectral image, NaN where it has no value."""
        return self._scene.low.read(self.box)

    def smoothed(self, gains: tuple[float, ...]) -> Array:
        """The multispectral image as sensors of these gains would see it with pixels larger by the ratio."""
        return self._scene.smooth_low(self.box, gains)

    def pan(self, gain: float) -> Array:
        """The panchromatic image (rows, columns) as the sensor of that gain would see it."""
        values, self._pan_valid = self._scene.reduce_pan(self.box, gain)
        return values

    @property
    def valid(self) -> Booleans | None:
        """Where the bands have a value, and the panchromatic image if it has been asked for; None: everywhere."""
        gaps = np.isnan(self.bands[0])
        if not gaps.any():
            return self._pan_valid
        valid: Booleans = ~gaps
        return valid if self._pan_valid is None else self._pan_valid & valid


@dataclass(frozen=True)
class Scene:
    """A multispectral and a panchromatic image, and how their pixels lie beside one another.

    ``low`` is the multispectral image in pixels that run as those of the result do; ``warped`` is there where they do
    not by themselves, and has them on the result's pixels. ``top`` and ``left`` are the first row and column of the
    panchromatic image that the result has. Where that has several bands, methods see the one that ``guide`` is the
    number of, from 0.
    """

    multispectral: Source
    pan: Source
    grid: GeoBox
    top: int
    left: int
    low: AlignedSource
    rows: Axis
    columns: Axis
    warped: AlignedSource | None = None
    guide: int = 0

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the result."""
        return self.rows.count, self.columns.count

    @property
    def bands(self) -> int:
        """Bands of the multispectral image."""
        return len(self.multispectral.bands)

    @property
    def ratio(self) -> int:
        """Pixels of the result along a multispectral one, as a whole number."""
        return round((self.rows.ratio + self.columns.ratio) / 2)

    @property
    def levels(self) -> int:
        """Levels of a dyadic transform that go, as nearly as can be, from one resolution to the other."""
        return max(1, round(math.log2(self.ratio)))

    @property
    def common(self) -> Box:
        """The multispectral pixels whose centres lie in the result."""
        return Box(*self.rows.common, *self.columns.common)

    @property
    def guides(self) -> list[Scene]:
        """The scene once for every band of the panchromatic image."""
        return [replace(self, guide=number) for number in range(len(self.pan.bands))]

    def read(self, box: Box, margin: int = 0) -> Patch:
        """A window of both images, with a margin around it."""
        return Patch(self, box, margin)

    def read_coarse(self, box: Box) -> CoarsePatch:
        """A window of multispectral pixels, of those in :attr:`common`."""
        return CoarsePatch(self, box)

    def read_pan(self, box: Box, margin: int) -> tuple[Array, Booleans | None]:
        """The panchromatic image with a margin, filled; and where the window itself has a value."""
        values, valid = _filled(self._pan_around, box, margin)
        return values[0], valid

    def expand(self, box: Box, margin: int) -> tuple[Array, Booleans | None]:
        """The multispectral image on the result's pixels with a margin, filled; and where it has a value."""
        if self.warped is not None:
            return _filled(self._warped_around, box, margin)
        rows, columns = self._taps(box, margin)
        part = Box(rows.start, rows.stop, columns.start, columns.stop)
        values = read_beyond(self.low.read, part, self.low.shape)
        valid = self._low_validity(box, part, values)
        return self._filled_and_enlarged(values, part, rows, columns, margin), valid

    def nested(self, box: Box, margin: int, side: int) -> Array:
        """The multispectral image with a margin, filled, in pixels of ``side`` x ``side`` of the result's.

        The first of them begins where the window with its margin does; where its own pixels are these, they are what
        is given.
        """
        if self.warped is not None:
            values, _ = _filled(self._warped_around, box, margin)
            bands, rows, columns = values.shape
            means: Array = values.reshape(bands, rows // side, side, columns // side, side).mean((2, 4))
            return means
        down, across = self._taps(box, margin, side)
        part = Box(down.start, down.stop, across.start, across.stop)
        values = read_beyond(self.low.read, part, self.low.shape)
        return self._filled_and_enlarged(values, part, down, across, margin)

    def _filled_and_enlarged(self, values: Array, part: Box, rows: Taps, columns: Taps, margin: int) -> Array:
        """The values of some multispectral pixels interpolated, with the gaps among them filled."""
        if np.isnan(values[0]).any():
            reach = reach_of(self.rows.resampling) + -(-2 * margin // self.ratio) + 1
            wide = _grown(part, reach)
            values = fill_gaps(read_beyond(self.low.read, wide, self.low.shape), reach)[_inside(part, wide)]
        return enlarged(values, rows.since(part.top), columns.since(part.left))

    def reduce_pan(self, box: Box, gain: float) -> tuple[Array, Booleans | None]:
        """The panchromatic image in a window of multispectral pixels as the sensor of that gain would see it.

        The window lies in :attr:`common`. A pixel is valid where enough of what it covers is (None: everywhere).
        """
        rows, columns = (
            weighted_means(axis.centres(*ends), gaussian(gain, axis.ratio))
            for axis, ends in ((self.rows, (box.top, box.bottom)), (self.columns, (box.left, box.right)))
        )
        part = Box(rows.start, rows.stop, columns.start, columns.stop)
        values = self._pan_around(part)
        valid = None
        if np.isnan(values).any():
            valid = self._reduced_validity(box, part, ~np.isnan(values))
            reach = (REACH + 3) * self.ratio + 1
            wide = _grown(part, reach)
            values = fill_gaps(self._pan_around(wide), reach)[_inside(part, wide)]
        return shrunk(values, rows.since(part.top), columns.since(part.left))[0], valid

    def smooth_low(self, box: Box, gains: tuple[float, ...]) -> Array:
        """The multispectral image in a window of its own pixels, each band filtered by the gain of its sensor."""
        values, _ = _filled(lambda part: read_beyond(self.low.read, part, self.low.shape), box, self._filter_reach)
        return np.concatenate(
            [shrunk(band[None], *self._around(box, gain)) for band, gain in zip(values, gains, strict=True)]
        )

    def smooth_pan(self, box: Box, gain: float) -> Array:
        """The panchromatic image (rows, columns) on its own pixels, as the sensor of that gain would see it."""
        values, _ = _filled(self._pan_around, box, self._filter_reach)
        found: Array = shrunk(values, *self._around(box, gain))[0]
        return found

    @property
    def _filter_reach(self) -> int:
        """How far the filters of sensors reach, in the pixels that they are applied to; one more than they need."""
        return math.ceil(REACH * max(self.rows.ratio, self.columns.ratio)) + 1

    def _around(self, box: Box, gain: float) -> tuple[Taps, Taps]:
        """The filter of a sensor around every pixel of a window, in an array with that margin."""
        down, across = (
            weighted_means(np.arange(count, dtype=np.float64) + self._filter_reach, gaussian(gain, axis.ratio))
            for axis, count in zip((self.rows, self.columns), box.shape, strict=True)
        )
        return down, across

    def low_passed(self, box: Box, margin: int, gain: float) -> Array:
        """The panchromatic image reduced to the multispectral pixels and interpolated, (rows, columns)."""
        rows, columns = self._taps(box, margin)
        reduced, _ = self.reduce_pan(self._inside_common(rows, columns), gain)
        found: Array = self._interpolated(reduced[None], rows, columns)[0]
        return found

    @property
    def there_and_back_reach(self) -> int:
        """The margin that :meth:`Patch.there_and_back` needs."""
        return math.ceil((2 + reach_of(self.rows.resampling) + 1) * max(self.rows.ratio, self.columns.ratio)) + 1

    def there_and_back(self, box: Box, margin: int, values: Array) -> Array:
        """Arrays of a window and its margin shrunk by cubic convolution and interpolated again; see :class:`Patch`."""
        rows, columns = self._taps(box, 0)
        inside = self._inside_common(rows, columns)
        down, across = (
            shrinking(axis.centres(*ends), axis.ratio).since(start - margin)
            for axis, ends, start in (
                (self.rows, (inside.top, inside.bottom), box.top), (self.columns, (inside.left, inside.right), box.left)
            )
        )
        return self._interpolated(shrunk(values, down, across), rows, columns)

    def _inside_common(self, rows: Taps, columns: Taps) -> Box:
        """The multispectral pixels of :attr:`common` that taps take, the outermost of them where they take none."""
        common = self.common
        top, bottom = np.clip((rows.start, rows.stop - 1), common.top, common.bottom - 1)
        left, right = np.clip((columns.start, columns.stop - 1), common.left, common.right - 1)
        return Box(int(top), int(bottom) + 1, int(left), int(right) + 1)

    def _interpolated(self, values: Array, rows: Taps, columns: Taps) -> Array:
        """What was computed for :meth:`_inside_common`, by the taps; the outermost pixels are repeated."""
        inside = self._inside_common(rows, columns)
        top, left = min(rows.start, inside.top), min(columns.start, inside.left)
        beyond = (
            (0, 0),
            (inside.top - top, max(rows.stop - inside.bottom, 0)),
            (inside.left - left, max(columns.stop - inside.right, 0)),
        )
        found: Array = enlarged(np.pad(values, beyond, "edge"), rows.since(top), columns.since(left))
        return found

    def _taps(self, box: Box, margin: int, side: int = 1) -> tuple[Taps, Taps]:
        """What the rows and columns of a window with its margin are interpolated from."""
        return (
            self.rows.taps(box.top - margin, box.bottom + margin, side),
            self.columns.taps(box.left - margin, box.right + margin, side),
        )

    def _low_validity(self, box: Box, part: Box, values: Array) -> Booleans | None:
        """Where the multispectral pixel that a pixel of the result lies in has a value; None: everywhere."""
        own = self.rows.owners(box.top, box.bottom), self.columns.owners(box.left, box.right)
        beyond = [(place < 0) | (place >= n) for place, n in zip(own, self.low.shape, strict=True)]
        gaps = np.isnan(values[0])
        if not gaps.any() and not any(each.any() for each in beyond):
            return None
        down, across = (np.clip(place, 0, n - 1) for place, n in zip(own, self.low.shape, strict=True))
        # Pixels beyond the image are valid nowhere; the part reaches as far as the taps, so that those inside it are.
        down, across = np.clip(down - part.top, 0, gaps.shape[0] - 1), np.clip(across - part.left, 0, gaps.shape[1] - 1)
        valid: Booleans = ~(gaps[np.ix_(down, across)] | beyond[0][:, None] | beyond[1])
        return valid

    def _reduced_validity(self, box: Box, part: Box, valid: Booleans) -> Booleans:
        """Whether enough of what every multispectral pixel of a window covers is valid."""
        covers = []
        for axis, ends, start in (
            (self.rows, (box.top, box.bottom), part.top), (self.columns, (box.left, box.right), part.left)
        ):
            side = max(1, round(axis.ratio))
            first = np.rint(axis.centres(*ends) - (side - 1) / 2).astype(np.int64) - start
            covers.append(Taps(first, np.full((len(first), side), 1 / side, np.float32)))
        enough: Booleans = shrunk(valid.astype(np.float32), *covers)[0] >= ENOUGH
        return enough

    def _pan_around(self, box: Box) -> Array:
        """A window of the panchromatic image (1, rows, columns), that may reach beyond the result."""
        return read_beyond(self._pan_inside, box, self.shape)

    def _warped_around(self, box: Box) -> Array:
        return read_beyond((self.warped or self.low).read, box, self.shape)

    def _pan_inside(self, box: Box) -> Array:
        around = Box(box.top + self.top, box.bottom + self.top, box.left + self.left, box.right + self.left)
        return self.pan.read(around)[self.guide : self.guide + 1]


def _filled(read: Callable[[Box], Array], box: Box, margin: int) -> tuple[Array, Booleans | None]:
    """A window (bands, rows, columns) with its margin, filled; and where the window itself has a value."""
    outer = _grown(box, margin)
    values = read(outer)
    gaps = np.isnan(values[0])
    if not gaps.any():
        return values, None
    # A filter that reaches over the margin looks no farther than this from a pixel that is valid.
    reach = margin + 1
    wide = _grown(outer, reach)
    return fill_gaps(read(wide), reach)[_inside(outer, wide)], ~gaps[box.within(outer)]


def _grown(box: Box, by: int) -> Box:
    """A window with so many more pixels on every side, that may reach beyond the image."""
    return Box(box.top - by, box.bottom + by, box.left - by, box.right + by)


def _inside(box: Box, outer: Box) -> tuple[slice, slice, slice]:
    """What takes a window of an array (bands, rows, columns) of a larger one."""
    return slice(None), *box.within(outer)
