"""Writing: a Cloud Optimized GeoTIFF that appears under its name only when it is whole."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path, PurePath
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from odc.geo.geobox import GeoBox
from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError
from rasterio.shutil import copy as copy_raster
from rasterio.windows import Window

from stfusion import __version__
from stfusion.errors import UserError
from stfusion.folder import missing_folder
from stfusion.raster.grids import Box
from stfusion.raster.source import Array, Source
from stfusion.run import Context, Stop

_BLOCK = 512


@dataclass(frozen=True)
class Encoding:
    """How values are stored: data type, nodata value, and scale and offset of every band."""

    dtype: np.dtype[Any]
    nodata: float
    scales: npt.NDArray[np.float64]
    offsets: npt.NDArray[np.float64]

    @classmethod
    def like(cls, source: Source) -> Encoding:
        """The encoding of an image; one without a usable nodata value gets NaN, or an extreme of its integers."""
        dtype = np.dtype(source.dtype)
        nodata = source.nodata
        if dtype.kind == "f":
            return cls(dtype, np.nan if nodata is None else nodata, source.scales, source.offsets)
        limits = np.iinfo(dtype)
        if nodata is None or not (limits.min <= nodata <= limits.max) or nodata != round(nodata):
            nodata = float(limits.max if limits.min == 0 else limits.min)
        return cls(dtype, nodata, source.scales, source.offsets)

    def encode(self, values: Array) -> tuple[npt.NDArray[Any], int]:
        """Values (bands, rows, columns) as stored, NaN as nodata, and how many had to be clipped to the data type.

        A value that would be stored as the nodata value is moved by the smallest step, so that it stays valid.
        """
        stored = np.empty(values.shape, self.dtype)
        # Band by band, since each needs several copies in float64.
        clipped = sum(self._encode_band(band, values[band], stored[band]) for band in range(len(values)))
        return stored, clipped

    def _encode_band(self, band: int, values: Array, stored: npt.NDArray[Any]) -> int:
        invalid = np.isnan(values)
        scaled = (values - self.offsets[band]) / self.scales[band]
        if self.dtype.kind == "f":
            nodata = self.dtype.type(self.nodata)
            stored[:] = scaled
            stored[stored == nodata] = np.nextafter(nodata, self.dtype.type(np.inf))
            stored[invalid] = nodata
            return 0
        limits = np.iinfo(self.dtype)
        scaled = np.rint(scaled)
        clipped = int(np.count_nonzero((scaled < limits.min) | (scaled > limits.max)))
        scaled = np.clip(scaled, limits.min, limits.max)
        scaled[scaled == self.nodata] += 1 if self.nodata < limits.max else -1
        scaled[invalid] = self.nodata
        stored[:] = scaled
        return clipped


@dataclass(frozen=True)
class Content:
    """What a raster holds: how its values are stored, and the names of its bands.

    ``colours`` (red, green, blue) by stored value make it a map of classes, in one band of whole numbers. ``units`` are
    those of all bands.
    """

    encoding: Encoding
    names: Sequence[str | None]
    colours: Mapping[int, tuple[int, int, int]] | None = None
    units: str = ""

    @classmethod
    def like(cls, source: Source) -> Content:
        """The same as an image."""
        return cls(Encoding.like(source), source.names)

    @classmethod
    def of_classes(
        cls, name: str, colours: Mapping[int, tuple[int, int, int]], nodata: float | None = None
    ) -> Content:
        """A map of the classes that have a colour, in bytes where they fit, else in 16 or 32 bits.

        ``nodata`` is no data where it fits and is no class; else it is 0, or the end of the range that is farther.
        """
        for kind in ("uint8", "int16", "int32"):
            dtype = np.dtype(kind)
            low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
            fitting = [v for v in (nodata, 0.0, float(low or high)) if v is not None and low <= v <= high]
            free = [value for value in fitting if value.is_integer() and value not in colours]
            if free and low <= min(colours) and max(colours) <= high:
                return cls(Encoding(dtype, free[0], np.ones(1), np.zeros(1)), (name,), colours)
        raise ValueError(f"Classes {min(colours)} to {max(colours)} do not fit into 32 bits.")

    @classmethod
    def of_numbers(cls, names: Sequence[str | None]) -> Content:
        """Real numbers in float32; NaN is no data."""
        return cls(Encoding(np.dtype(np.float32), np.nan, np.ones(len(names)), np.zeros(len(names))), names)


class Output:
    """A raster being written next to its final path, in the folder ``<path>.part``.

    It has the grid and the content of the image that it is ``like``, where none are given; with a ``window``, that part
    of the grid alone, while places are counted in the whole one. Use as a context manager; :meth:`finish` makes the
    Cloud Optimized GeoTIFF and gives it its name. Left without it, nothing stays behind.

    Raises
    ------
    UserError
        The folder is missing or not writable, or the disk is full.
    """

    def __init__(
        self, path: str, like: Source, tags: Mapping[str, str], stop: Stop, content: Content | None = None,
        grid: GeoBox | None = None, window: Box | None = None,
    ) -> None:
        self.path = Path(path)
        whole = grid or like.grid
        self._window = window or Box(0, int(whole.shape[0]), 0, int(whole.shape[1]))
        self._grid = whole[self._window.top : self._window.bottom, self._window.left : self._window.right]
        self._content = content or Content.like(like)
        self.encoding = self._content.encoding
        self.clipped = 0
        self._folder = self.path.with_name(self.path.name + ".part")
        self._tags = tags
        self._lock = threading.Lock()
        rows, columns = self._grid.shape
        self._bytes = int(rows) * int(columns) * len(self._content.names) * self.encoding.dtype.itemsize
        self._make_folder(stop)
        try:
            self._tiles = self._create()
        except (RasterioError, CPLE_BaseError) as error:
            raise self._full(error) from error

    def _make_folder(self, stop: Stop) -> None:
        parent = self.path.parent
        try:
            if not parent.is_dir():
                raise missing_folder(self.path)
            if self.path.is_dir():
                raise UserError(f"The output '{self.path}' is a folder; give the name of a file.")
            shutil.rmtree(self._folder, ignore_errors=True)
            stop.watch(self._folder)
            self._folder.mkdir()
        except OSError as error:
            raise UserError(
                f"The output '{self.path}' cannot be written ({error.strerror}); choose another folder."
            ) from error
        # The tiles, and the final file with its overviews, stand side by side for a moment.
        needed, free = int(2.4 * self._bytes), shutil.disk_usage(parent).free
        if free < needed:
            raise UserError(
                f"The output '{self.path}' needs {needed / 1e6:.0f} MB while it is written and the disk has "
                f"{free / 1e6:.0f} MB free; make room or choose another disk."
            )

    def _create(self) -> Any:
        rows, columns = self._grid.shape
        tiles = rasterio.open(
            self._folder / "tiles.tif",
            "w",
            driver="GTiff",
            height=rows,
            width=columns,
            count=len(self._content.names),
            dtype=self.encoding.dtype,
            crs=self._grid.crs,
            transform=self._grid.affine,
            nodata=self.encoding.nodata,
            tiled=True,
            blockxsize=_BLOCK,
            blockysize=_BLOCK,
            INTERLEAVE="BAND",
            BIGTIFF="IF_SAFER",
        )
        if self._content.colours is not None and self.encoding.dtype == np.uint8:
            tiles.write_colormap(1, self._content.colours)
        return tiles

    def __enter__(self) -> Output:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._tiles.closed:
            self._tiles.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def write(self, box: Box, values: Array) -> None:
        """Write a window of values (bands, rows, columns) in physical units, NaN where invalid."""
        stored, clipped = self.encoding.encode(values)
        with self._lock:
            self.clipped += clipped
        self.write_stored(box, stored)

    def write_stored(self, box: Box, stored: npt.NDArray[Any]) -> None:
        """Write a window of values (bands, rows, columns) as they are stored."""
        place = Window(box.left - self._window.left, box.top - self._window.top, box.shape[1], box.shape[0])
        with self._lock:
            try:
                self._tiles.write(stored, window=place)
            except (RasterioError, CPLE_BaseError) as error:
                raise self._full(error) from error

    def finish(
        self, threads: int, style: str | None = None, table: str | None = None, optimized: bool = True
    ) -> None:
        """Close, convert to a Cloud Optimized GeoTIFF, make sure that it can be read, and give it its name.

        Where it need not be ``optimized``, it stays as the tiles were written: neither compressed nor with overviews.
        ``style`` is the text of a QML file to lie beside it, where QGIS looks for how to show it, and ``table`` that of
        the file where GDAL looks for names of classes and an attribute table.
        """
        for number, name in enumerate(self._content.names, 1):
            if name:
                self._tiles.set_band_description(number, name)
        self._tiles.scales = tuple(self.encoding.scales)
        self._tiles.offsets = tuple(self.encoding.offsets)
        if self._content.units:
            self._tiles.units = (self._content.units,) * len(self._content.names)
        self._tiles.update_tags(**self._tags)
        final = self._folder / "cog.tif"
        try:
            self._tiles.close()
            if (self._folder / "tiles.tif").stat().st_size < self._bytes:
                raise self._full("the tiles are incomplete")
            if optimized:
                self._optimize(final, threads)
            else:
                final = self._folder / "tiles.tif"
            self._check(final)
            beside = {self.path.with_suffix(".qml"): style, self.path.with_name(f"{self.path.name}.aux.xml"): table}
            texts = {path: text for path, text in beside.items() if text is not None}
            for path, text in texts.items():
                (self._folder / path.name).write_text(text, encoding="utf-8")
            for path in texts:
                os.replace(self._folder / path.name, path)
            os.replace(final, self.path)
        except (RasterioError, CPLE_BaseError, OSError) as error:
            raise self._full(error) from error

    def _optimize(self, final: Path, threads: int) -> None:
        classes = self._content.colours is not None
        copy_raster(
            self._folder / "tiles.tif",
            final,
            driver="COG",
            COMPRESS="DEFLATE",
            PREDICTOR="NO" if classes else "YES",
            LEVEL=1,
            OVERVIEW_RESAMPLING="MODE" if classes else "AVERAGE",
            BIGTIFF="IF_SAFER",
            NUM_THREADS=str(threads),
        )

    def _check(self, path: Path) -> None:
        """Read the last pixel of every band: the full-resolution blocks stand last in the file."""
        with rasterio.open(path) as dataset:
            dataset.read(window=Box(dataset.height - 1, dataset.height, dataset.width - 1, dataset.width).window)

    def _full(self, reason: object) -> UserError:
        return UserError(
            f"The output '{self.path}' could not be written ({reason}); the disk may be full: make room or choose "
            "another disk."
        )


def provenance(context: Context, day: date | None) -> dict[str, str]:
    """Tags that say where a result comes from (method, options, seed, engine, input files), and its date if known."""
    job = context.job
    tags = {
        "STF_METHOD": f"{job.operation} {job.method}",
        "STF_OPTIONS": json.dumps(dict(job.options), sort_keys=True),
        "STF_SEED": str(job.seed),
        "STF_ENGINE": f"stfusion {__version__}",
        "STF_INPUTS": json.dumps({role: PurePath(image.path).name for role, image in job.inputs.items()}),
    }
    if day is not None:
        tags["TIFFTAG_DATETIME"] = day.strftime("%Y:%m:%d 00:00:00")
        tags["ACQUISITION_DATETIME"] = day.isoformat()
    return tags
