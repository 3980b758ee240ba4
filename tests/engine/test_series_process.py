"""Fuse a time series: its processes end with it, whatever ends it, and what was done is not lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from affine import Affine

from makers import FINE, write_raster
from series_scenes import day

SIDE = 400


@pytest.fixture
def long_series(tmp_path: Path) -> list[str]:
    """A series whose dates take some seconds each: a large window."""
    rng = np.random.default_rng(0)
    (tmp_path / "in").mkdir()
    images: dict[str, list[str]] = {"fine": [], "coarse": []}
    fine = rng.random((1, SIDE, SIDE)).astype(np.float32)
    for number in range(6):
        name = tmp_path / "in" / f"coarse_{day(number):%Y%m%d}.tif"
        images["coarse"].append(write_raster(name, fine[:, ::20, ::20] + number / 64, FINE @ Affine.scale(20)))
    images["fine"].append(write_raster(tmp_path / "in" / f"fine_{day(0):%Y%m%d}.tif", fine))
    return [
        sys.executable, "-m", "stfusion", "series", "fuse", "starfm", "--fine", *images["fine"], "--coarse",
        *images["coarse"], "--options", "window=61", "--threads", "2", "--json", "--watch-stdin", "--out",
        str(tmp_path / "out"),
    ]


def children_of(number: int) -> set[int]:
    """The processes that the threads of a process have started."""
    return {int(pid) for file in Path(f"/proc/{number}/task").glob("*/children") for pid in file.read_text().split()}


@pytest.mark.parametrize("how", ["stdin", "SIGTERM", "SIGKILL"])
def test_ends_with_its_dates_and_goes_on_later(tmp_path: Path, long_series: list[str], how: str) -> None:
    process = subprocess.Popen(long_series, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    for line in process.stdout:
        message = json.loads(line)
        # Two dates are done, the kept one among them, and others are on their way.
        if message["type"] == "log" and message["message"].startswith(f"{day(1)}: "):
            break
    children = children_of(process.pid)
    assert children
    if how == "stdin":
        process.stdin.close()
    else:
        process.send_signal(getattr(signal, how))
    process.stdout.read()
    assert process.wait() == (-9 if how == "SIGKILL" else 130)
    process.stdin.close()
    end = time.monotonic() + 30
    while time.monotonic() < end and (alive := [pid for pid in children if _runs(pid)]):
        time.sleep(0.1)
    assert not alive
    assert not list((tmp_path / "out").rglob("*.part"))
    # A date that ended when nobody listened any more has no record, and is done again.
    recorded = {f"fused_{path.stem}.tif" for path in (tmp_path / "out" / "parts").glob("*.json")}
    done = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.tif") if path.name in recorded}
    assert f"fused_{day(1):%Y%m%d}.tif" in done
    assert len(done) < 6
    again = subprocess.run(
        [word for word in long_series if word != "--watch-stdin"], capture_output=True, text=True, check=False
    )
    assert again.returncode == 0, again.stdout
    assert len(list((tmp_path / "out").glob("*.tif"))) == 6
    assert all((tmp_path / "out" / name).stat().st_mtime_ns == time_ns for name, time_ns in done.items())


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path) -> None:
    """No file may grow beyond 30 KiB, as on a disk that is full: descriptions have room, and images have none."""
    resource = pytest.importorskip("resource", reason="the system knows no limits of files")
    images = {"fine": [], "coarse": []}
    for number in (0, 4):
        values = np.random.default_rng(number).random((1, 200, 200)).astype(np.float32)
        path = tmp_path / f"coarse_{day(number):%Y%m%d}.tif"
        images["coarse"].append(write_raster(path, values[:, ::20, ::20], FINE @ Affine.scale(20)))
        images["fine"] = images["fine"] or [write_raster(tmp_path / f"fine_{day(number):%Y%m%d}.tif", values)]
    done = subprocess.run(
        [
            sys.executable, "-m", "stfusion", "series", "fuse", "fine_plus_difference", "--fine", *images["fine"],
            "--coarse", *images["coarse"], "--threads", "1", "--json", "--out", str(tmp_path / "out"),
        ],
        capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (30 * 1024, 30 * 1024)),
    )
    last = json.loads(done.stdout.splitlines()[-1])
    assert (done.returncode, last["code"]) == (5, "incomplete")
    assert "2 of 2 dates failed" in last["message"]
    assert "the disk may be full: make room or choose another disk" in last["message"]
    assert not [path for path in (tmp_path / "out").rglob("*") if path.suffix in (".tif", ".part")]


def _runs(number: int) -> bool:
    """Whether a process runs; one that ended and that nobody has asked about does not."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="processes are looked up in /proc")
