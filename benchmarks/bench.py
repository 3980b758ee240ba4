"""``make bench``: what the engine costs, measured on whole processes in one run.

Prints a table and writes it as JSON. Times are user and system seconds of the finished process; figures per pixel,
neighbour and band include the start of the engine, reading and writing.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

ROOT = Path(__file__).resolve().parents[1]
CORE = str(ROOT / "core")


@dataclass(frozen=True)
class Cost:
    """What one run of the engine took."""

    wall_s: float
    fusing_s: float
    cpu_s: float
    peak_mb: float


#: Runs the engine and says its own peak; what the system says of a child includes the memory of its parent.
MEASURED = """
import sys
from stfusion.cli import main
code = main()
print(*(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")), file=sys.stderr)
sys.exit(code)
"""


def engine(*arguments: object) -> Cost:
    """Run the engine to its end."""
    begin = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", MEASURED, *map(str, arguments), "--json"],
        env={**os.environ, "PYTHONPATH": CORE},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    stages: dict[str, float] = {}
    for line in process.stdout:
        message = json.loads(line)
        if message["type"] == "stage":
            stages[message["name"]] = time.perf_counter()
    peak_kb = process.stderr.read().split()[-1]
    _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status):
        raise SystemExit(f"the engine failed: stfusion {' '.join(map(str, arguments))}")
    begins = [*stages.values(), time.perf_counter()]
    fusing = begins[list(stages).index("Fusing") + 1] - stages["Fusing"] if "Fusing" in stages else 0.0
    return Cost(time.perf_counter() - begin, fusing, usage.ru_utime + usage.ru_stime, int(peak_kb) / 1024)


def scene(folder: Path, size: int) -> Path:
    """A simulated scene of this size, made once."""
    path = folder / f"simulated_{size}"
    if not path.exists():
        engine("simulate", "--size", size, "--out", path, "--no-clouds")
    return path


def repeated(folder: Path, path: Path, times: int) -> Path:
    """A scene of ``times`` x ``times`` copies of another one: large, and quick to make."""
    target = folder / f"{path.name}_times_{times}"
    if target.exists():
        return target
    target.mkdir()
    for name in ("fine_1", "coarse_1", "coarse_2"):
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


def starfm(path: Path, output: Path, window: int, **settings: object) -> Cost:
    """STARFM, one pair."""
    flags = [part for key, value in settings.items() for part in (f"--{key}", value)]
    inputs = ["--fine", path / "fine_1.tif", "--coarse", path / "coarse_1.tif", "--target", path / "coarse_2.tif"]
    return engine("fuse", "starfm", *inputs, "--window", window, "--out", output, *flags)


def checksum(path: Path) -> str:
    """Checksum of the values of a raster, block by block."""
    found = hashlib.sha256()
    with rasterio.open(path) as dataset:
        for _, window in dataset.block_windows(1):
            found.update(dataset.read(window=window).tobytes())
    return found.hexdigest()


def median(runs: list[Cost]) -> Cost:
    """The run with the median processor time."""
    return sorted(runs, key=lambda cost: cost.cpu_s)[len(runs) // 2]


def speed(folder: Path, sizes: list[int], repeats: int) -> list[dict[str, Any]]:
    """Cost of STARFM, window 51, 6 bands, on one thread and on two, in turn."""
    rows = []
    for size in sizes:
        path, output = scene(folder, size), folder / "fused.tif"
        starfm(path, output, 51, threads=1)
        runs = [[starfm(path, output, 51, threads=n) for n in (1, 2)] for _ in range(repeats)]
        one, two = (median([pair[k] for pair in runs]) for k in (0, 1))
        rows.append(
            {
                "case": f"STARFM {size} x {size} x 6, window 51, one pair",
                **asdict(one),
                "ns_per_pixel_neighbour_band": one.cpu_s / (size * size * 6 * 51 * 51) * 1e9,
                "two_threads_wall_s": two.wall_s,
                "two_threads_fusing_s": two.fusing_s,
                "speed_up_of_two_threads": statistics.median(a.wall_s / b.wall_s for a, b in runs),
                "speed_up_of_fusing": statistics.median(a.fusing_s / b.fusing_s for a, b in runs),
            }
        )
    return rows


def overhead(folder: Path, repeats: int) -> dict[str, Any]:
    """A run that does almost nothing, from start to finish."""
    path = scene(folder, 64)
    runs = [starfm(path, folder / "fused.tif", 3, threads=1) for _ in range(repeats + 1)][1:]
    return {"case": "overhead: STARFM 64 x 64 x 6, window 3", **asdict(median(runs))}


def memory(folder: Path, limit: int) -> dict[str, Any]:
    """10000 x 10000 x 6 under a memory limit, and again with other tiles: the result has to be the same."""
    path, output = repeated(folder, scene(folder, 1000), 10), folder / "large.tif"
    cost = starfm(path, output, 5, memory=limit)
    values = checksum(output)
    other = starfm(path, output, 5, memory=4 * limit, threads=1)
    return {
        "case": f"STARFM 10000 x 10000 x 6, window 5, {limit} MB",
        **asdict(cost),
        "below_the_limit": cost.peak_mb < limit,
        "same_with_other_tiles": checksum(output) == values,
        "peak_mb_with_other_tiles": other.peak_mb,
    }


def cancel(folder: Path) -> dict[str, Any]:
    """Seconds from the wish to stop until the engine is gone, in the middle of a long run."""
    path, output = scene(folder, 2000), folder / "cancelled.tif"
    command = [sys.executable, "-m", "stfusion", "fuse", "starfm", "--fine", path / "fine_1.tif"]
    command += ["--coarse", path / "coarse_1.tif", "--target", path / "coarse_2.tif", "--out", output]
    process = subprocess.Popen(
        [*map(str, command), "--window", "301", "--json", "--watch-stdin"],
        env={**os.environ, "PYTHONPATH": CORE},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    for line in process.stdout:
        if json.loads(line)["type"] == "progress" and json.loads(line)["value"] > 6:
            break
    begin = time.perf_counter()
    process.stdin.close()
    process.wait()
    left = [name.name for name in folder.glob("cancelled*")]
    return {"case": "cancel in the middle of a run", "wall_s": time.perf_counter() - begin, "files_left": left}


def table(rows: list[dict[str, Any]]) -> str:
    """The rows in words."""
    lines = []
    for row in rows:
        lines.append(row["case"])
        for name, value in row.items():
            if name != "case":
                lines.append(
                    f"    {name.replace('_', ' '):32s} {f'{value:.3f}' if isinstance(value, float) else value}"
                )
    return "\n".join(lines)


def main() -> None:
    """Measure, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "bench", help="scenes and results")
    parser.add_argument("--sizes", type=int, nargs="+", default=[500, 2000])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory", type=int, default=1024, help="limit of the large scene in MB")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    rows = [
        overhead(options.folder, options.repeats),
        *speed(options.folder, options.sizes, options.repeats),
        cancel(options.folder),
        memory(options.folder, options.memory),
    ]
    (options.folder / "bench.json").write_text(json.dumps({"cores": os.cpu_count(), "cases": rows}, indent=2) + "\n")
    print(table(rows))


if __name__ == "__main__":
    main()
