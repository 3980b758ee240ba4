"""Reading: a raster file by window in physical units, on its own grid or resampled to another one on the fly."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from datetime import date
from functools import cached_property
from pathlib import PurePath
from typing import Any, NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt
import rasterio
from odc.geo.geobox import GeoBox
from odc.geo.overlap import compute_reproject_roi
from rasterio.enums import ColorInterp, MaskFlags, Resampling
from rasterio.errors import RasterioError
from rasterio.warp import reproject

from stfusion.errors import UserError
from stfusion.job import Input
from stfusion.raster.dates import find_date
from stfusion.raster.grids import LATTICE, Box, covered, pixel_ratio, place_in, same_extent, thinned

Array = npt.NDArray[np.float32]

#: Where target pixels are larger than those of the source, blocks are smaller, down to a least side, so that they read
#: about so many source pixels along a side.
_SMALLEST, _MOST_READ = 16, 1024
_SAMPLE_SIDE = 512
#: In whose place GDAL takes a plane for two grids that have no coordinate system.
_PLANE = "EPSG:3857"


class Sample(NamedTuple):
    """Part of the pixels of an image, (bands, rows, columns): as they are stored, and as :meth:`Source.read` has it."""

    stored: npt.NDArray[Any]
    values: Array


class Source:
    """A raster file read by window as float32 in physical units (stored value x scale + offset), NaN where invalid.

    A pixel is valid where all chosen bands are finite, differ from the nodata value, are inside the file's own mask and
    are not masked by the user's mask. ``clear`` are the values of that mask, or of a mask itself, that mean clear.

    Raises
    ------
    UserError
        The file is missing or is no raster, or has no such band.
    """

    def __init__(self, title: str, image: Input) -> None:
        self.title = title
        self.path = image.path
        self._dataset = _open(title, image.path)
        self.bands = self._check_bands(image.bands)
        self.override = image.nodata
        profile = self._dataset
        self.grid = GeoBox((profile.height, profile.width), profile.transform, profile.crs)
        self.dtype = np.result_type(*(np.dtype(profile.dtypes[b - 1]) for b in self.bands))
        if self.dtype.kind not in "iuf":
            raise UserError(f"{self} holds values of type {self.dtype}; choose an image of whole or real numbers.")
        self.scales = np.array([profile.scales[b - 1] for b in self.bands])
        self.offsets = np.array([profile.offsets[b - 1] for b in self.bands])
        self.names = [profile.descriptions[b - 1] for b in self.bands]
        self.date = date.fromisoformat(image.date) if image.date else find_date(image.path, profile.tags())
        self._lock = threading.Lock()
        self._mask = self._open_mask(image)
        self.clear = image.clear_values

    def _check_bands(self, bands: tuple[int, ...] | None) -> tuple[int, ...]:
        count = self._dataset.count
        for band in bands or ():
            if band > count:
                raise UserError(f"{self} has no band {band}; choose from its bands 1 to {count}.")
        return bands or tuple(range(1, count + 1))

    def _open_mask(self, image: Input) -> AlignedSource | None:
        if image.mask is None:
            return None
        # Zero is often the mask's own nodata value, and still means "not masked": no value of a mask is missing.
        mask = Source(f"Mask of the {self.title.lower()}", Input(image.mask, bands=(1,), nodata=np.nan))
        return AlignedSource(mask, self.grid, "nearest", fill=float(image.clear_values[0]))

    def __str__(self) -> str:
        return f"{self.title} '{PurePath(self.path).name}'"

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return int(self.grid.shape[0]), int(self.grid.shape[1])

    @property
    def stored_in_rows(self) -> bool:
        """Whether the file holds whole rows together, rather than tiles."""
        return bool(self._dataset.block_shapes[0][1] == self._dataset.width)

    @property
    def crs_name(self) -> str:
        """The coordinate system in words."""
        crs = self.grid.crs
        if crs is None:
            return "no coordinate system"
        return f"EPSG:{crs.epsg}" if crs.epsg else str(crs.proj.name)

    @property
    def nodata(self) -> float | None:
        """The stored value that means 'no data': the user's, else the header's (of the first chosen band)."""
        if self.override is not None:
            return self.override
        value = self._dataset.nodatavals[self.bands[0] - 1]
        return None if value is None else float(value)

    @property
    def colours(self) -> dict[int, tuple[int, int, int]]:
        """Red, green and blue by stored value of the first chosen band's colour table; empty where it has none."""
        band = self.bands[0]
        if self._dataset.colorinterp[band - 1] != ColorInterp.palette:
            return {}
        return {value: (red, green, blue) for value, (red, green, blue, _) in self._dataset.colormap(band).items()}

    def read(self, box: Box) -> Array:
        """The window as an array (bands, rows, columns)."""
        return self._physical(*self.read_stored(box))

    def read_stored(self, box: Box) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
        """The window as it is stored (bands, rows, columns), and where it is invalid (rows, columns)."""
        stored, outside = self._raw(window=box.window)
        invalid = self._invalid(stored, outside)
        if self._mask is not None:
            invalid |= masked(self._mask.read(box)[0], self.clear)
        return stored, invalid

    @cached_property
    def sample(self) -> Sample:
        """The whole image thinned to at most 512 rows and columns; the user's mask is not applied."""
        shape = (len(self.bands), *(min(n, _SAMPLE_SIDE) for n in self.shape))
        stored, outside = self._raw(out_shape=shape)
        return Sample(stored, self._physical(stored, self._invalid(stored, outside)))

    def thinned(self, side: int, box: Box | None = None) -> tuple[Array, GeoBox]:
        """A window, or the whole image, thinned to at most ``side`` rows and columns, and the grid of what is left.

        Overviews are read where the file has some. The user's mask is applied.
        """
        box, grid = thinned(self.grid, side, box)
        shape = (len(self.bands), *grid.shape)
        stored, outside = self._raw(window=box.window, out_shape=shape)
        values = self._physical(stored, self._invalid(stored, outside))
        if self._mask is not None:
            values[:, masked(self._mask.thinned(side, box)[0], self.clear)] = np.nan
        return values, grid

    def check_end(self) -> None:
        """Read the last pixel, which lies at the end of usual files: one that broke off is found before the work.

        Files within archives, whose ends are known, and remote ones are not read.

        Raises
        ------
        UserError
            The file ends before.
        """
        rows, columns = self.shape
        if not self.path.startswith("/vsi"):
            self._raw(window=Box(rows - 1, rows, columns - 1, columns).window)

    def _raw(self, **where: Any) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_] | None]:
        """A part of the file as it is stored, and where it lies outside the file's own mask."""
        try:
            with self._lock:
                return self._dataset.read(self.bands, **where), self._outside(**where)
        except RasterioError as error:
            raise UserError(
                f"{self} cannot be read to its end ({error.__cause__ or error}), as if its download had broken off; "
                "download or copy it again."
            ) from error

    def _outside(self, **where: Any) -> npt.NDArray[np.bool_] | None:
        """Pixels outside the file's own mask or alpha band, where it has one."""
        own = {MaskFlags.per_dataset, MaskFlags.alpha}
        if not any(own & set(flags) for flags in self._dataset.mask_flag_enums):
            return None
        outside: npt.NDArray[np.bool_] = (self._dataset.read_masks(self.bands, **where) == 0).any(axis=0)
        return outside

    def _invalid(self, stored: npt.NDArray[Any], outside: npt.NDArray[np.bool_] | None) -> npt.NDArray[np.bool_]:
        invalid = np.zeros(stored.shape[1:], bool) if outside is None else outside
        for index, band in enumerate(self.bands):
            nodata = self._dataset.nodatavals[band - 1] if self.override is None else self.override
            if nodata is not None:
                # A float32 file stores the nearest float32 to the header's decimal nodata value.
                invalid |= stored[index] == (np.float32(nodata) if stored.dtype == np.float32 else nodata)
        if stored.dtype.kind == "f":
            # A number that float32 cannot hold counts as infinite.
            with np.errstate(over="ignore"):
                invalid |= ~np.isfinite(stored.astype(np.float32, copy=False)).all(axis=0)
        return invalid

    def _physical(self, stored: npt.NDArray[Any], invalid: npt.NDArray[np.bool_]) -> Array:
        values: Array = stored.astype(np.float32)
        for index in range(len(self.bands)):
            if self.scales[index] != 1 or self.offsets[index] != 0:
                values[index] = stored[index] * self.scales[index] + self.offsets[index]
        if invalid.any():
            values[:, invalid] = np.nan
        return values


class AlignedSource:
    """A source on another grid: resampled block by block on the fly, or read as it is where the pixels are the same.

    ``fill`` is the value where the source has none (NaN, or a clear value for masks).

    Raises
    ------
    UserError
        One of the two has no coordinate system, or they do not overlap.
    """

    def __init__(
        self, source: Source, grid: GeoBox, resampling: str, fill: float = np.nan, cache_bytes: int = 2**26
    ) -> None:
        self.source = source
        self.grid = grid
        self.fill = fill
        self._resampling = Resampling[resampling]
        self._cache: OrderedDict[tuple[int, int], Array] = OrderedDict()
        self._cache_bytes = cache_bytes
        self._lock = threading.Lock()
        self.same_grid = source.grid == grid
        self._place = place_in(grid, source.grid)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the grid."""
        return int(self.grid.shape[0]), int(self.grid.shape[1])

    @property
    def bands(self) -> tuple[int, ...]:
        """The bands of the source, so that what is aligned can be a source again."""
        return self.source.bands

    @property
    def resamples(self) -> bool:
        """Whether values are made between the pixels of the source."""
        return self._place is None

    def overlaps(self) -> bool:
        """Whether any pixel of the grid lies on the source."""
        if self.same_grid:
            return True
        there = covered(self.source.grid, self.grid).common(Box(0, self.shape[0], 0, self.shape[1]))
        return min(there.shape) > 0

    def read(self, box: Box) -> Array:
        """The window as an array (bands, rows, columns) on the grid; the same values whatever the window."""
        if self.same_grid:
            return self.source.read(box)
        if self._place is not None:
            return self._window(box, self._place)
        values, side = np.empty((len(self.source.bands), *box.shape), np.float32), self._side
        for row in range(box.top // side, -(-box.bottom // side)):
            for column in range(box.left // side, -(-box.right // side)):
                top, left = row * side, column * side
                block = self._block(row, column)
                inside = Box(
                    max(box.top, top),
                    min(box.bottom, top + block.shape[1]),
                    max(box.left, left),
                    min(box.right, left + block.shape[2]),
                )
                values[
                    :, inside.top - box.top : inside.bottom - box.top, inside.left - box.left : inside.right - box.left
                ] = block[:, inside.top - top : inside.bottom - top, inside.left - left : inside.right - left]
        return values

    def _window(self, box: Box, place: Box) -> Array:
        """A window that is one of the source, or reaches beyond it."""
        wanted = box.moved(place.top, place.left)
        inside = wanted.common(Box(0, self.source.shape[0], 0, self.source.shape[1]))
        values = np.full((len(self.source.bands), *box.shape), self.fill, np.float32)
        if min(inside.shape) > 0:
            rows, columns = inside.within(wanted)
            values[:, rows, columns] = self.source.read(inside)
        return values

    def thinned(self, side: int, box: Box | None = None) -> Array:
        """A window, or all, of what lies on the grid, thinned as :meth:`Source.thinned` does, by nearest neighbour."""
        if self.same_grid:
            return self.source.thinned(side, box)[0]
        grid = thinned(self.grid, side, box)[1]
        values = np.full((len(self.source.bands), *grid.shape), self.fill, np.float32)
        rows, columns = compute_reproject_roi(self.source.grid, grid, padding=1).roi_src
        own = Box(rows.start, rows.stop, columns.start, columns.stop)
        if min(own.shape) > 0:
            read, left = self.source.thinned(side, own)
            reproject(
                read, values, src_transform=left.affine, src_crs=left.crs or _PLANE, src_nodata=np.nan,
                dst_transform=grid.affine, dst_crs=grid.crs or _PLANE, dst_nodata=self.fill,
                resampling=Resampling.nearest, init_dest_nodata=False,
            )
        return values

    def _block(self, row: int, column: int) -> Array:
        """A block of the lattice, resampled once and kept for its neighbours."""
        with self._lock:
            if (row, column) in self._cache:
                self._cache.move_to_end((row, column))
                return self._cache[row, column]
        block = self._resample(row * self._side, column * self._side)
        most = max(4, self._cache_bytes // (self._side**2 * 4 * len(self.source.bands)))
        with self._lock:
            self._cache[row, column] = block
            while len(self._cache) > most:
                self._cache.popitem(last=False)
        return block

    def _resample(self, top: int, left: int) -> Array:
        rows, columns = min(self._side, self.shape[0] - top), min(self._side, self.shape[1] - left)
        grid = self.grid[top : top + rows, left : left + columns]
        values = np.full((len(self.source.bands), rows, columns), self.fill, np.float32)
        overlap = compute_reproject_roi(self.source.grid, grid, padding=self._reach)
        below, right = overlap.roi_src
        box = Box(below.start, below.stop, right.start, right.stop)
        if min(box.shape) > 0:
            read = self.source.read(box)
            # GDAL's fast kernels take no nodata value; both give the same values where all is valid.
            gaps = {"src_nodata": np.nan, "dst_nodata": self.fill} if np.isnan(read).any() else {}
            reproject(
                read,
                values,
                src_transform=self.source.grid[overlap.roi_src].affine,
                src_crs=self.source.grid.crs or _PLANE,
                dst_transform=grid.affine,
                dst_crs=grid.crs or _PLANE,
                resampling=self._resampling,
                init_dest_nodata=False,
                **gaps,
            )
        return values

    @cached_property
    def _ratio(self) -> float:
        """Source pixels along a target pixel, at least 1."""
        return max(1.0, *pixel_ratio(self.grid, self.source.grid))

    @cached_property
    def _reach(self) -> int:
        """Source pixels that the resampling kernels may reach: four, or four target pixels where these are larger."""
        return 4 + int(4 * self._ratio)

    @cached_property
    def _side(self) -> int:
        """Side of the blocks: of so few target pixels that their source pixels are few as well."""
        return max(_SMALLEST, min(LATTICE, int(_MOST_READ / self._ratio)))


def masked(mask: Array, clear: Sequence[int]) -> npt.NDArray[np.bool_]:
    """Where the values of a mask are none of those that mean clear."""
    return np.isin(mask, clear, invert=True)


def align(source: Source, onto: Source, resampling: str, cache_bytes: int = 2**26) -> AlignedSource:
    """The source on the grid of another one.

    Raises
    ------
    UserError
        The grids differ and one of the two has no coordinate system, or they do not overlap. Two without any may
        differ where they cover the same extent.
    """
    bare = source.grid.crs is None or onto.grid.crs is None
    if source.grid != onto.grid and bare and not same_extent(source.grid, onto.grid):
        _refuse_without_crs(source, onto)
    image = AlignedSource(source, onto.grid, resampling, cache_bytes=cache_bytes)
    if not image.overlaps():
        raise UserError(
            f"{source} and {onto} do not overlap ({source.crs_name} and {onto.crs_name}); choose images of the same "
            "place, or check their coordinate systems."
        )
    return image


def _refuse_without_crs(source: Source, onto: Source) -> NoReturn:
    if source.grid.crs is None and onto.grid.crs is None:
        raise UserError(
            f"{source} ({source.shape[1]} x {source.shape[0]} pixels) and {onto} ({onto.shape[1]} x {onto.shape[0]}) "
            "have no coordinate system and different grids; assign a projection to both, or use 'Align images' with "
            "'Same extent' where they cover the same place."
        )
    without, other = (source, onto) if source.grid.crs is None else (onto, source)
    raise UserError(
        f"{without} has no coordinate system and {other} has {other.crs_name}; assign a projection to the first."
    )


def _open(title: str, path: str) -> Any:
    try:
        return rasterio.open(path)
    except RasterioError as error:
        name = PurePath(path).name or path
        if "No such file" in str(error) or "does not exist" in str(error):
            raise UserError(f"{title} '{path}' does not exist; choose an existing raster file.") from error
        raise UserError(
            f"{title} '{name}' cannot be read as a raster ({error}); download it again if that broke off, or "
            "export it to GeoTIFF first."
        ) from error
