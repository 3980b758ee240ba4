"""HDF4 (as MODIS has it), which QGIS's GDAL reads and the engine's does not: written as GeoTIFFs for the engine."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from osgeo import gdal
from qgis.core import QgsProcessingException, QgsProcessingFeedback

from ..engine.process import Cancelled

_HDF4, _SUBDATASET = b"\x0e\x03\x13\x01", re.compile(r'HDF4_\w+:[^"]*"?([^"]+\.\w+)"?:')
#: Endings of images and archives that are given on from beside a container.
_IMAGES = (".hdf", ".h5", ".nc", ".tif", ".tiff", ".tar", ".gz", ".tgz", ".zip", ".img", ".vrt", ".jp2")
_OPTIONS = ("TILED=YES", "COMPRESS=DEFLATE", "PREDICTOR=2", "ZLEVEL=1", "BIGTIFF=IF_SAFER")


def in_container(source: str) -> bool:
    """Whether a file or subdataset is of a kind that the engine cannot read."""
    if source.startswith("HDF4_"):
        return True
    try:
        with open(source, "rb") as file:
            return file.read(len(_HDF4)) == _HDF4
    except OSError:
        return False


def hand_over(
    job: dict[str, Any], folder: Path, feedback: QgsProcessingFeedback, files: Mapping[str, str] | None = None
) -> None:
    """Put GeoTIFFs into a job in place of what the engine cannot read; they are written into ``folder``.

    A subdataset becomes one file, a container one for each of its fields: ``NAME.FIELD.tif``, NAME being that of the
    container without its ending, so that product and date can still be told. What is in a folder with containers goes
    to the input of files that ``files`` has for that of the folder. May be called in a worker thread.

    Raises
    ------
    QgsProcessingException
        A field cannot be read or written, or the user cancelled.
    """
    for role, taker in (files or {}).items():
        if any(map(in_container, _below(job["inputs"].get(role, {}).get("path")))):
            listed = job["inputs"].setdefault(taker, {"path": []})
            listed["path"] = [*_listed(listed["path"]), *_expanded(Path(job["inputs"].pop(role)["path"]))]
    for given in job["inputs"].values():
        for key in ("path", "mask"):
            paths = _listed(given.get(key))
            if any(map(in_container, paths)):
                found = [new for path in paths for new in _instead(path, folder, feedback)]
                given[key] = found if len(found) > 1 or not isinstance(given[key], str) else found[0]


def _listed(paths: str | Sequence[str] | None) -> Sequence[str]:
    return [paths] if isinstance(paths, str) else paths or []


def _below(path: str | Sequence[str] | None) -> list[str]:
    """The files below a folder; none of what is no folder."""
    return [str(file) for file in Path(path).rglob("*") if file.is_file()] if isinstance(path, str) else []


def _expanded(folder: Path) -> Iterator[str]:
    """What is in a folder, one by one: folders without containers as a whole, of the files those that are images."""
    for path in sorted(folder.iterdir()):
        if path.is_dir() and any(map(in_container, _below(str(path)))):
            yield from _expanded(path)
        elif path.is_dir() or path.suffix.lower() in _IMAGES:
            yield str(path)


def _instead(source: str, folder: Path, feedback: QgsProcessingFeedback) -> Iterator[str]:
    if not in_container(source):
        yield source
        return
    fields = _fields(source)
    for number, (field, subdataset) in enumerate(fields.items()):
        target = folder / f"{_stem(source)}.{field}.tif"
        feedback.setProgressText(f"Reading '{field}' of '{_stem(source)}' for the engine…")
        if not target.exists():
            _translate(subdataset, target, (100.0 * number / len(fields), 100.0 / len(fields)), feedback)
        yield str(target)


def _stem(source: str) -> str:
    match = _SUBDATASET.match(source)
    return Path(match[1] if match else source).stem


def _fields(source: str) -> Mapping[str, str]:
    """The subdatasets by the names of the fields; the file itself where it is an image."""
    dataset = _open(source)
    found = {}
    for name, description in dataset.GetSubDatasets():
        # HDF-EOS has the field at the end; a plain data set has a number there and its name in the description.
        field = name.rpartition(":")[2]
        words = re.match(r"\[[^]]*\]\s+(\S+)", description)
        found[_plain(words[1] if field.isdecimal() and words else field)] = name
    return found or {_plain(_last(source)): source}


def _last(source: str) -> str:
    field = source.rpartition(":")[2] if _SUBDATASET.match(source) else ""
    return f"field_{field}" if field.isdecimal() else field or "image"


def _plain(field: str) -> str:
    return re.sub(r"\W+", "_", field.strip('"')).strip("_")


def _open(source: str) -> gdal.Dataset:
    try:
        dataset, reason = gdal.OpenEx(source, gdal.OF_RASTER | gdal.OF_READONLY), gdal.GetLastErrorMsg()
    except RuntimeError as error:
        dataset, reason = None, str(error)
    if dataset is None:
        raise QgsProcessingException(
            f"'{_stem(source)}' is an HDF4 file that QGIS cannot read either ({reason or 'no driver'}); download it "
            "again, or write its fields as GeoTIFFs elsewhere."
        )
    return dataset


def _translate(source: str, target: Path, span: Sequence[float], feedback: QgsProcessingFeedback) -> None:
    """Write a subdataset as a GeoTIFF that has its final name only when it is whole."""
    begin, length = span

    def tell(done: float, _message: str, _data: object) -> int:
        feedback.setProgress(begin + length * done)
        return 0 if feedback.isCanceled() else 1

    part = target.with_suffix(".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        options = [option for option in _OPTIONS if option != "PREDICTOR=2" or not _floating(source)]
        written, reason = gdal.Translate(
            str(part), _open(source), format="GTiff", creationOptions=options, callback=tell
        ), gdal.GetLastErrorMsg()
    except (RuntimeError, OSError) as error:
        written, reason = None, str(error)
    whole = written is not None and not feedback.isCanceled()
    del written  # closes the file
    if whole:
        os.replace(part, target)
        return
    part.unlink(missing_ok=True)
    if feedback.isCanceled():
        raise Cancelled()
    raise QgsProcessingException(
        f"'{target.stem}' cannot be written to '{target.parent}' ({reason}); download the file again if it is not "
        "whole, or make room."
    )


def _floating(source: str) -> bool:
    """Whether the numbers are not whole, for which the predictor is another one."""
    return _open(source).GetRasterBand(1).DataType in (gdal.GDT_Float32, gdal.GDT_Float64)
