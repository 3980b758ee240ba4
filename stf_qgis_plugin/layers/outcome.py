"""What a job left on the disk: its images with their dates, and what is missing of them. Nothing of a project here."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path
from typing import Any

from osgeo import gdal
from qgis.core import QgsProcessingException

from ..core.stfusion.raster.dates import find_date

MANIFEST, PLAN, JOB = "manifest.json", "plan.json", "job.json"
VECTORS = (".gpkg", ".geojson", ".shp")
#: Images that a folder is looked through for, and the virtual raster of all of them, which is none of them.
_RASTERS, _WHOLE = (".tif", ".tiff", ".vrt", ".img", ".jp2"), "stack.vrt"
_UNCERTAINTY = "uncertainty"
#: Where 'Prepare and fuse' has its series, and the index of that.
_SERIES, _INDEX = "series", "index"
#: Images, and rows and columns of each, that a stretch is made of; the shares of pixels that it cuts off.
_SAMPLES, _SIDE, _CUT = 12, 128, 0.02


@dataclass(frozen=True)
class Image:
    """A raster or vector file, its date (ISO), if it has one, and its mask, if it was used with one.

    ``clear`` are the values of the mask that leave a pixel in, such as "0,1".
    """

    path: str
    day: str | None = None
    mask: str = ""
    clear: str = ""


@dataclass(frozen=True)
class Stretch:
    """The bands that are shown (from 1), and the least and the greatest value of each."""

    bands: tuple[int, ...]
    ranges: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Stack:
    """Images that belong together, in the order of time: a group of layers, with groups in it.

    ``place`` is what it was read from, and tells it from another one of the same title.
    """

    title: str
    place: str
    images: tuple[Image, ...]
    inner: tuple[Stack, ...] = ()
    shown: bool = True
    stretch: Stretch | None = None

    @property
    def all(self) -> Iterator[Image]:
        """Its images, and those of the groups in it."""
        yield from self.images
        for stack in self.inner:
            yield from stack.all


@dataclass(frozen=True)
class Outcome:
    """What was found, the dates or files that are missing, and a sentence about them."""

    stack: Stack
    missing: tuple[str, ...] = ()
    warning: str = ""
    undated: tuple[str, ...] = ()


def read(given: Path, inputs: bool = False) -> Outcome:
    """What is there of a job.

    Parameters
    ----------
    given
        A folder of images, such as that of a series, or a file in it; or the ``job.json`` of any job.
    inputs
        Whether the fine and coarse images of a series are wanted too.

    Raises
    ------
    QgsProcessingException
        There is nothing to load.
    """
    inside = given / _SERIES
    if (inside / PLAN).is_file():
        # 'Prepare and fuse' has the series in a folder beside those of its other steps.
        found = read(inside, inputs)
        # The index of a series was asked for instead of its bands.
        shown = _folder(given / _INDEX).stack if (given / _INDEX).is_dir() else found.stack
        return replace(found, stack=replace(shown, title=given.absolute().name, inner=found.stack.inner))
    folder = given if given.is_dir() else given.parent
    is_series = (folder / PLAN).is_file() or (folder / MANIFEST).is_file()
    if given.is_dir() or (is_series and given.name in (MANIFEST, PLAN, JOB)):
        found = _series(folder, inputs) if is_series else _folder(folder)
    else:
        found = _job(given, inputs)
    if not any(found.stack.all):
        raise QgsProcessingException(found.warning or f"'{given}' has no images; choose the folder of a series.")
    return replace(found, undated=tuple(Path(image.path).name for image in found.stack.all if not image.day))


def with_stretch(stack: Stack) -> Stack:
    """The stack with one stretch for all its images; groups in it share it where they have its bands."""
    common = _stretch([image.path for image in stack.images]) if len(stack.images) > 1 else None
    inner = [with_stretch(each) for each in stack.inner]
    shared = [
        replace(each, stretch=common) if each.shown and each.stretch and common and each.stretch.bands == common.bands
        else each for each in inner
    ]
    return replace(stack, stretch=common, inner=tuple(shared))


def _series(folder: Path, inputs: bool) -> Outcome:
    plan, job = _plain(folder / (PLAN if (folder / PLAN).is_file() else MANIFEST)), _plain(folder / JOB, needed=False)
    job = job or _plain(folder / MANIFEST, needed=False).get(JOB.removesuffix(".json"), {})
    title, options = folder.absolute().name, job.get("options", {})
    days = [str(row["date"]) for row in plan.get("dates", []) if row.get("action") != "skip"]
    stacks = {
        place: tuple(
            Image(str(path), day) for day in days
            if (path := place / f"{options.get('name', 'fused')}_{day.replace('-', '')}.tif").is_file()
        )
        for place in (folder.absolute(), folder.absolute() / _UNCERTAINTY)
    }
    images, uncertainty = stacks.values()
    inner = []
    if uncertainty:
        inner.append(Stack(_UNCERTAINTY.capitalize(), str(folder / _UNCERTAINTY), uncertainty, shown=False))
    if inputs:
        inner += _inputs(job.get("inputs", {}), folder)
    there = {image.day for image in images}
    missing = tuple(day for day in days if day not in there)
    warning = (
        f"The series '{title}' lacks {len(missing)} of its {len(days)} dates ({', '.join(missing)}); run 'Fuse a time "
        "series' again into this folder to add them." if missing else ""
    )
    # Without an image of its own there is no series, whatever went into it.
    stack = Stack(title, str(folder.absolute()), images, tuple(inner) if images else ())
    return Outcome(stack, missing, warning)


def _inputs(given: Mapping[str, Any], folder: Path) -> Iterator[Stack]:
    for sensor in ("fine", "coarse"):
        role = given.get(f"{sensor}_masks", {})
        masks = {image.day: image.path for image in _given(role, folder)}
        images = [
            replace(image, mask=masks[image.day], clear=str(role.get("clear") or "0")) if image.day in masks else image
            for image in _given(given.get(sensor, {}), folder)
        ]
        if images:
            yield Stack(f"{sensor.capitalize()} images", f"{folder}|{sensor}", _in_time(images))


def _given(role: Mapping[str, Any], folder: Path) -> Iterator[Image]:
    """The images of an input that are there: files, or those in folders."""
    paths = role.get("path", [])
    for path in (folder / each for each in ([paths] if isinstance(paths, str) else paths)):
        if path.is_dir():
            yield from _folder(path).stack.images
        elif path.is_file():
            yield _dated(path)


def _folder(folder: Path) -> Outcome:
    paths = [path for path in folder.absolute().iterdir() if path.suffix.lower() in _RASTERS and path.name != _WHOLE]
    return Outcome(Stack(folder.absolute().name, str(folder.absolute()), _in_time(map(_dated, sorted(paths)))))


def _job(path: Path, inputs: bool) -> Outcome:
    outputs = _plain(path).get("outputs")
    if not isinstance(outputs, dict) or not outputs:
        raise QgsProcessingException(
            f"'{path}' is neither a job nor a manifest; choose the job.json of a run, or the folder of a series."
        )
    places = [_place(path.parent, str(output)) for output in outputs.values()]
    missing = tuple(place.name for place in places if not place.exists())
    warning = f"The job '{path.name}' has not written {', '.join(missing)}; run it first." if missing else ""
    folders = [read(place, inputs) for place in places if place.is_dir()]
    if len(folders) == 1 and len(places) == 1:
        return folders[0]
    title = path.absolute().parent.name if path.name == JOB else path.name.removesuffix(".json").removesuffix(".job")
    files = [place.absolute() for place in places if place.suffix.lower() in (*_RASTERS, *VECTORS) and place.is_file()]
    images = tuple(Image(str(file)) if file.suffix.lower() in VECTORS else _dated(file) for file in files)
    inner = tuple(found.stack for found in folders)
    words = " ".join(filter(None, (warning, *(found.warning for found in folders))))
    return Outcome(Stack(title, str(path.absolute()), images, inner), missing, words)


def _place(folder: Path, output: str) -> Path:
    """Where an output is: where the job says, or else beside the job, when both came from another machine."""
    place, beside = folder / output, folder / output.replace("\\", "/").rpartition("/")[2]
    return beside if beside.exists() and not place.exists() else place


def _plain(path: Path, needed: bool = True) -> dict[str, Any]:
    """The object in a JSON file; what is not needed may be absent or broken."""
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        if needed:
            raise QgsProcessingException(f"'{path}' cannot be read ({error}); choose another job or folder.") from error
        return {}
    return plain if isinstance(plain, dict) else {}


def _in_time(images: Iterator[Image] | Sequence[Image]) -> tuple[Image, ...]:
    return tuple(sorted(images, key=lambda image: (image.day or "", image.path)))


def _dated(path: Path) -> Image:
    """A file with its date, from its tags or its name, as the engine finds it."""
    dataset = _open(str(path))
    day = find_date(str(path), dataset.GetMetadata() if dataset else {})
    return Image(str(path.absolute()), day.isoformat() if day else None)


def _open(path: str) -> gdal.Dataset | None:
    """The raster, or None; GDAL raises or not as whoever was here first told it."""
    try:
        return gdal.OpenEx(path, gdal.OF_RASTER | gdal.OF_READONLY)
    except RuntimeError:
        return None


def _stretch(paths: Sequence[str]) -> Stretch | None:
    """The stretch of some of the images, evenly spread in time, read thinned: near infrared, red and green, or gray."""
    step = max(1, -(-len(paths) // _SAMPLES))
    datasets = [dataset for dataset in map(_open, paths[::step]) if dataset]
    if not datasets:
        return None
    bands = (4, 3, 2) if datasets[0].RasterCount >= 4 else (1,)
    ranges = []
    for number in bands:
        values = sorted(
            value for dataset in datasets if dataset.RasterCount >= number
            for value in _values(dataset.GetRasterBand(number))
        )
        if not values:
            return None
        cut = int(_CUT * len(values))
        ranges.append((values[cut], values[-1 - cut]))
    return Stretch(bands, tuple(ranges))


def _values(band: gdal.Band) -> Iterator[float]:
    """Valid values of a band, thinned, in the unit in which QGIS shows them."""
    columns, rows = min(band.XSize, _SIDE), min(band.YSize, _SIDE)
    data = band.ReadRaster(0, 0, band.XSize, band.YSize, columns, rows, gdal.GDT_Float64)
    nodata, scale, offset = band.GetNoDataValue(), band.GetScale() or 1.0, band.GetOffset() or 0.0
    for value in array("d", data or b""):
        if isfinite(value) and value != nodata:
            yield value * scale + offset
