"""What a program costs: wall and processor seconds of the whole process, and its peak memory."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
CORE = ROOT / "core"

#: Runs a program and writes what it took. In a process of its own, since what the system says of the memory of a child
#: includes what its parent held when it started it; this parent is small.
WATCH = """
import json, resource, subprocess, sys, time
begin = time.perf_counter()
code = subprocess.Popen(sys.argv[2:]).wait()
wall, used = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
with open(sys.argv[1], "w") as file:
    json.dump({"wall_s": wall, "cpu_s": used.ru_utime + used.ru_stime, "peak_mb": used.ru_maxrss / 1024}, file)
sys.exit(code)
"""

#: Runs the engine with tiles of at most the side TILE_SIDE, and notes on standard error how it divided the scene and
#: the peak memory while tiles were computed, for which the peak so far is forgotten at their start. Never for its time:
#: the engine would spend more on its imports.
WATCH_TILES = """
import json, os, sys
from stfusion.cli import main
from stfusion.cost import peak_memory_mb
from stfusion.fusion import _fuse
choose, predict, largest = _fuse.tile_shape, _fuse._predict, int(os.environ["TILE_SIDE"])
def note(**facts):
    print(json.dumps({"note": facts}), file=sys.stderr, flush=True)
def chosen(shape, halo, pixel_bytes, budget, threads):
    tile = tuple(min(side, largest) for side in choose(shape, halo, pixel_bytes, budget, threads))
    note(pixel_bytes=pixel_bytes, tile_pixels=(tile[0] + 2 * halo) * (tile[1] + 2 * halo))
    return tile
def predicted(*given):
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    predict(*given)
    note(fusing_mb=peak_memory_mb())
_fuse.tile_shape, _fuse._predict = chosen, predicted
sys.exit(main())
"""


class FailedError(Exception):
    """A program ended with an error; the message has its last line."""


@dataclass(frozen=True)
class Cost:
    """What a run took; of the engine also the seconds of its tiles alone and, with bounded tiles, what they took.

    ``pixel_bytes`` is the memory that the method counts for a pixel of a tile, ``tile_pixels`` the pixels of a tile
    with its margin, ``fusing_mb`` the peak while tiles were computed.
    """

    wall_s: float
    cpu_s: float
    peak_mb: float
    fusing_s: float = 0.0
    pixel_bytes: int = 0
    tile_pixels: int = 0
    fusing_mb: float = 0.0


def fingerprint() -> str:
    """Checksum of engine, weights and benchmarks: figures of another one are not to be mixed with new ones."""
    found = hashlib.sha256()
    for folder in (CORE / "stfusion", ROOT / "benchmarks"):
        for path in sorted(path for path in folder.rglob("*") if path.suffix in (".py", ".safetensors")):
            found.update(path.read_bytes())
    return found.hexdigest()


def program(command: Sequence[object], environment: Mapping[str, str]) -> tuple[Cost, dict[str, float], str]:
    """Run a program to its end; its cost, when each stage that it names began, and its standard error.

    Raises
    ------
    FailedError
        It ended with an error.
    """
    with tempfile.TemporaryDirectory() as folder:
        costs, said = Path(folder) / "costs.json", Path(folder) / "stderr"
        watch = [sys.executable, "-I", "-S", "-c", WATCH, str(costs), *map(str, command)]
        with said.open("w+", encoding="utf-8") as stderr:
            process = subprocess.Popen(
                watch, env=dict(environment), stdout=subprocess.PIPE, stderr=stderr, text=True, encoding="utf-8"
            )
            stages, errors = _listen(process)
            code = process.wait()
        words = said.read_text(encoding="utf-8")
        if code:
            raise FailedError([f"it ended with code {code}", *words.strip().splitlines(), *errors][-1])
        return Cost(**json.loads(costs.read_text(encoding="utf-8"))), stages, words


def _listen(process: subprocess.Popen[str]) -> tuple[dict[str, float], list[str]]:
    """Seconds at which the stages of the engine began and at which it ended, and its errors."""
    stages: dict[str, float] = {}
    errors = []
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith('{"type": "stage"'):
            stages[json.loads(line)["name"]] = time.perf_counter()
        elif line.startswith('{"type": "error"'):
            errors.append(json.loads(line)["message"])
    stages["end"] = time.perf_counter()
    return stages, errors


def engine(*arguments: object, largest_tile: int = 0, variables: Mapping[str, str] | None = None) -> Cost:
    """Run the engine, such as ``engine("fuse", "starfm", "--fine", path, ...)``; 0 leaves the size of tiles to it.

    ``variables`` are added to its environment.

    Raises
    ------
    FailedError
        It ended with an error.
    """
    environment = {**os.environ, "PYTHONPATH": str(CORE), "TILE_SIDE": str(largest_tile), **(variables or {})}
    start = ("-c", WATCH_TILES) if largest_tile else ("-m", "stfusion")
    cost, stages, words = program([sys.executable, *start, *arguments, "--json"], environment)
    extra: dict[str, Any] = {}
    if "Fusing" in stages:
        names = list(stages)
        extra["fusing_s"] = stages[names[names.index("Fusing") + 1]] - stages["Fusing"]
    for line in words.splitlines():
        if line.startswith('{"note"'):
            extra |= json.loads(line)["note"]
    return Cost(**{**vars(cost), **extra})


def median(runs: Sequence[Cost]) -> Cost:
    """The run with the median processor time."""
    return sorted(runs, key=lambda cost: cost.cpu_s)[len(runs) // 2]
