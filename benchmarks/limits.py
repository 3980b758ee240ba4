"""What holds for every method, shown with STARFM: overhead, cancel, and a large scene under a memory limit."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

from cases import ROLES, case
from measure import CORE, Cost, engine, median


def measure(folder: Path, limit: int, repeats: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows, by what they are about."""
    yield "overhead: STARFM 64 x 64 x 6, window 3", overhead(folder, repeats)
    yield "cancel in the middle of a run", cancel(folder)
    yield f"STARFM 10000 x 10000 x 6, window 5, {limit} MB", memory(folder, limit)


def starfm(path: Path, output: Path, window: int, **settings: object) -> Cost:
    """STARFM, one pair."""
    flags = [part for key, value in settings.items() for part in (f"--{key}", value)]
    return engine("fuse", "starfm", *_inputs(path), "--window", window, "--out", output, *flags)


def _inputs(path: Path) -> list[object]:
    roles = ("fine", "coarse", "target")
    return [part for role in roles for part in (f"--{role}", path / f"{ROLES[role]}.tif")]


def overhead(folder: Path, repeats: int) -> dict[str, Any]:
    """A run that does almost nothing, from start to finish."""
    runs = [starfm(case(64), folder / "fused.tif", 3, threads=1) for _ in range(repeats + 1)][1:]
    return asdict(median(runs))


def memory(folder: Path, limit: int) -> dict[str, Any]:
    """A large scene under a memory limit, and again with other tiles: the result has to be the same."""
    path, output = repeated(folder, case(1000), 10), folder / "large.tif"
    cost = starfm(path, output, 5, memory=limit)
    values = checksum(output)
    other = starfm(path, output, 5, memory=4 * limit, threads=1)
    return {
        **asdict(cost),
        "below_the_limit": cost.peak_mb < limit,
        "same_with_other_tiles": checksum(output) == values,
        "peak_mb_with_other_tiles": other.peak_mb,
    }


def repeated(folder: Path, path: Path, times: int, roles: Sequence[str] = ("fine", "coarse", "target")) -> Path:
    """A scene of ``times`` x ``times`` copies of another one: large, and quick to make. An image is made once."""
    target = folder / f"{path.name}_times_{times}"
    target.mkdir(exist_ok=True)
    for name in (ROLES[role] for role in roles):
        if (target / f"{name}.tif").exists():
            continue
        with rasterio.open(path / f"{name}.tif") as small:
            values = small.read()
            profile = {k: small.profile[k] for k in ("driver", "dtype", "count", "crs", "transform", "nodata")}
        rows, columns = values.shape[1:]
        profile |= {"height": rows * times, "width": columns * times, "tiled": True, "BIGTIFF": "IF_SAFER"}
        with rasterio.open(target / f"{name}.tif", "w", **profile) as large:
            row = np.tile(values, (1, 1, times))
            for k in range(times):
                large.write(row, window=((k * rows, (k + 1) * rows), (0, columns * times)))
    return target


def checksum(path: Path) -> str:
    """Checksum of the values of a raster, block by block."""
    found = hashlib.sha256()
    with rasterio.open(path) as dataset:
        for _, window in dataset.block_windows(1):
            found.update(dataset.read(window=window).tobytes())
    return found.hexdigest()


def cancel(folder: Path) -> dict[str, Any]:
    """Seconds from the wish to stop until the engine is gone, in the middle of a long run."""
    path, output = case(2000), folder / "cancelled.tif"
    command = [sys.executable, "-m", "stfusion", "fuse", "starfm", *_inputs(path), "--out", output]
    process = subprocess.Popen(
        [*map(str, command), "--window", "301", "--json", "--watch-stdin"],
        env={**os.environ, "PYTHONPATH": str(CORE)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line)["type"] == "progress" and json.loads(line)["value"] > 6:
            break
    begin = time.perf_counter()
    process.stdin.close()
    process.wait()
    left = [name.name for name in folder.glob("cancelled*")]
    return {"wall_s": time.perf_counter() - begin, "files_left": left}
