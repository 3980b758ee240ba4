"""What classification and assessment cost, beside programs that do the same, or the least that it takes.

The start of a program, measured on a tiny case, is set apart from its work on a large one.
"""

from __future__ import annotations

import json
import shutil
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray

import peer_kmeans
import peer_read
from measure import Cost, FailedError, engine, median, program
from peer_kmeans import RESTARTS, SAMPLE
from peers import ALONE, plain_environment

#: Rows and columns of the large and the tiny case.
LARGE, TINY = 4096, 16
#: Side of a field, number of classes, and the share of pixels that the map may have wrong.
FIELD, CLASSES, WRONG = 16, 9, 0.1
#: Bands of the image that is classified, and the standard deviation within a field.
BANDS, TEXTURE = 6, 300
#: Variables that keep a program of the Insight Toolkit, on which Orfeo ToolBox is built, to one thread.
ONE_THREAD = ALONE | {"ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1"}


@dataclass(frozen=True)
class Task:
    """What is done, and the program that does it beside ours.

    ``case`` makes the files of a size in a folder. ``ours`` has the arguments of the engine and ``theirs`` the command,
    each for a folder of files and a path to write to; ``same`` tells, for a folder of files and both paths, whether
    both wrote the same, or as good. Ours has ``threads`` (0: all), theirs one. ``extension`` is that of the path, and
    ``large`` the size of the large case (0: :data:`LARGE`).
    """

    title: str
    peer: str
    needs: str
    case: Callable[[int, Path], None]
    ours: Callable[[Path, Path], Sequence[object]]
    theirs: Callable[[Path, Path], Sequence[object]]
    same: Callable[[Path, Path, Path], bool]
    threads: int = 1
    extension: str = ""
    large: int = 0


def measure(folder: Path, repeats: int, tasks: Sequence[Task] | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
    """A row for every task, ours and theirs in turn, on one thread each where the task says nothing else."""
    for task in TASKS if tasks is None else tasks:
        row: dict[str, Any] = {"title": task.title, "peer": task.peer, "size": task.large or LARGE}
        try:
            if shutil.which(task.needs) is None:
                raise FailedError(f"{task.needs} is not on the path; install it with the system's package manager")
            row |= _in_turn(task, folder / "classification" / task.case.__name__, repeats)
        except FailedError as why:
            row |= {"failed": str(why)}
        yield f"{task.title} | {task.peer}", row


def _in_turn(task: Task, folder: Path, repeats: int) -> dict[str, Any]:
    """Medians of both and of their ratios; the work is the large case less the tiny one."""
    large = task.large or LARGE
    cases = {size: folder / str(size) for size in (large, TINY)}
    for size, path in cases.items():
        path.mkdir(parents=True, exist_ok=True)
        task.case(size, path)
    # The first run compiles the kernels into numba's cache.
    _ours(task, cases[TINY], folder)
    runs = [
        [run(task, cases[size], folder) for size in (TINY, large) for run in (_ours, _theirs)] for _ in range(repeats)
    ]
    results = [folder / f"{whose}{task.extension}" for whose in ("ours", "theirs")]
    if not task.same(cases[large], *results):
        raise FailedError("the two results differ")
    costs = [median([turn[place] for turn in runs]) for place in range(4)]
    names = ("our_start", "their_start", "ours", "theirs")
    return {
        **{name: asdict(cost) for name, cost in zip(names, costs, strict=True)},
        "whole_ratio": statistics.median(theirs.cpu_s / ours.cpu_s for _, _, ours, theirs in runs),
        "cpu_ratio": statistics.median(_ratio(turn, "cpu_s") for turn in runs),
        "wall_ratio": statistics.median(_ratio(turn, "wall_s") for turn in runs),
    }


def _ratio(turn: Sequence[Cost], what: str) -> float:
    """Their work by ours."""
    our_start, their_start, ours, theirs = (getattr(cost, what) for cost in turn)
    # A work too short to be told from the start counts as a hundredth of a second.
    return float(max(0.01, theirs - their_start) / max(0.01, ours - our_start))


def _ours(task: Task, case: Path, folder: Path) -> Cost:
    output = folder / f"ours{task.extension}"
    shutil.rmtree(output, ignore_errors=True)
    return engine(*task.ours(case, output), "--threads", task.threads)


def _theirs(task: Task, case: Path, folder: Path) -> Cost:
    output = folder / f"theirs{task.extension}"
    output.unlink(missing_ok=True)
    cost, _, _ = program(task.theirs(case, output), plain_environment() | ONE_THREAD)
    if not output.exists():
        raise FailedError("it left no result")
    return cost


def class_maps(size: int, folder: Path) -> None:
    """A class map and its reference in bytes, always the same: fields, some pixels of which the map has wrong."""
    random = np.random.default_rng(7)
    fields = random.integers(1, CLASSES + 1, (size // FIELD, size // FIELD), np.uint8)
    reference = fields.repeat(FIELD, 0).repeat(FIELD, 1)
    other = random.integers(1, CLASSES + 1, reference.shape, np.uint8)
    mapped = np.where(random.random(reference.shape) < WRONG, other, reference)
    for name, values in (("map", mapped), ("reference", reference)):
        with rasterio.open(folder / f"{name}.tif", "w", **_profile(size, 1, "uint8"), compress="deflate") as sink:
            sink.write(values, 1)


def class_image(size: int, folder: Path) -> None:
    """An image of six bands in 16 bits, always the same: fields of classes, with a texture that makes them overlap."""
    random = np.random.default_rng(7)
    means = random.integers(200, 5000, (CLASSES, BANDS))
    fields = random.integers(0, CLASSES, (size // FIELD, size // FIELD)).repeat(FIELD, 0).repeat(FIELD, 1)
    with rasterio.open(folder / "image.tif", "w", **_profile(size, BANDS, "uint16")) as sink:
        for band in range(BANDS):
            values = means[fields, band] + random.normal(0, TEXTURE, fields.shape)
            sink.write(np.clip(values, 1, 65_535).astype(np.uint16), band + 1)


def fused_image(size: int, folder: Path) -> None:
    """An image and one that was fused, always the same: fields with a texture, and noise on it."""
    class_image(size, folder)
    random = np.random.default_rng(8)
    with rasterio.open(folder / "image.tif") as source:
        image = source.read()
    profile = _profile(size, BANDS, "uint16") | {"nodata": None, "compress": "deflate", "predictor": 2}
    for name, noise in (("reference", 0), ("fused", TEXTURE // 3)):
        with rasterio.open(folder / f"{name}.tif", "w", **profile) as sink:
            for band, values in enumerate(image, 1):
                error = random.normal(0, noise, values.shape) if noise else 0
                sink.write(np.clip(values + error, 1, 65_535).astype(np.uint16), band)


def _profile(size: int, bands: int, dtype: str) -> dict[str, Any]:
    """How the rasters are stored."""
    return {
        "driver": "GTiff", "width": size, "height": size, "count": bands, "dtype": dtype, "nodata": 0,
        "crs": "EPSG:32633", "transform": Affine(30, 0, 500_000, 0, -30, 5_200_000), "tiled": True,
        "blockxsize": 512, "blockysize": 512,
    }


def as_compact(case: Path, ours: Path, theirs: Path) -> bool:
    """Whether our within-class sum of squares is at most a hundredth above theirs."""
    with rasterio.open(case / "image.tif") as source:
        image = source.read().reshape(BANDS, -1)
    sums = []
    for path in (ours, theirs):
        with rasterio.open(path) as source:
            labels = source.read(1).ravel()
        sums.append(sum(_within(band.astype(np.float64), labels) for band in image))
    return sums[0] <= 1.01 * sums[1]


def _within(values: NDArray[np.float64], labels: NDArray[np.uint8]) -> float:
    """The sum of squares of values about the mean of their class."""
    counts, totals = np.bincount(labels), np.bincount(labels, values)
    return float((values**2).sum() - (totals**2 / np.maximum(counts, 1)).sum())


def same_matrix(case: Path, ours: Path, theirs: Path) -> bool:
    """Whether our report and a table of Orfeo ToolBox, whose rows are the reference, have the same matrix."""
    found = json.loads((ours / "results.json").read_text(encoding="utf-8"))["matrix"]["counts"]
    lines = [line for line in theirs.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    table = [[int(float(cell)) for cell in line.split(",")] for line in lines]
    return [list(column) for column in zip(*table, strict=True)] == found


def same_bias(case: Path, ours: Path, theirs: Path) -> bool:
    """Whether our report has the mean difference that reading found."""
    found = json.loads((ours / "results.json").read_text(encoding="utf-8"))["whole"]["bias"]["mean"]
    return bool(np.isclose(found, float(theirs.read_text(encoding="utf-8")), rtol=1e-6))


TASKS = (
    Task(
        f"K-means classification: six bands, {CLASSES} classes",
        "scikit-learn, a plain script",
        sys.executable,
        class_image,
        lambda case, output: (
            "classify", "kmeans", "--image", case / "image.tif", "--classes", CLASSES, "--sample", SAMPLE,
            "--restarts", RESTARTS, "--standardisation", "none", "--memory", 1024, "--out", output,
        ),
        lambda case, output: (sys.executable, peer_kmeans.__file__, case / "image.tif", CLASSES, output),
        as_compact,
    ),
    Task(
        "Assess classification: two rasters of bytes",
        "Orfeo ToolBox, ComputeConfusionMatrix (C++)",
        "otbcli_ComputeConfusionMatrix",
        class_maps,
        lambda case, output: (
            "assess", "classification", "--class-map", case / "map.tif", "--reference", case / "reference.tif",
            "--out", output,
        ),
        lambda case, output: (
            "otbcli_ComputeConfusionMatrix", "-in", case / "map.tif", "-ref", "raster", "-ref.raster.in",
            case / "reference.tif", "-ref.raster.nodata", 0, "-format", "confusionmatrix", "-out", output,
        ),
        same_matrix,
    ),
    Task(
        "Assess fused image: six bands, all metrics, on all threads",
        "reading both files, no more (rasterio)",
        sys.executable,
        fused_image,
        lambda case, output: (
            "assess", "fusion", "--predicted", case / "fused.tif", "--reference", case / "reference.tif",
            "--out", output,
        ),
        lambda case, output: (
            sys.executable, peer_read.__file__, case / "fused.tif", case / "reference.tif", output,
        ),
        same_bias,
        threads=0,
    ),
)
