"""Compare methods: the processes of its methods, which end with it, and its memory."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from makers import write_raster
from stfusion import alone, job
from stfusion.run import Stop


def test_a_process_that_dies_is_a_failure_with_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alone, "_work", _die)
    order = job.parse({"operation": "simulate", "method": "simulate", "outputs": {"output": str(tmp_path / "s")}})
    outcome = alone.run_alone(order, Stop(), lambda kind, fields: None)
    assert not outcome.done
    assert outcome.error == "Its process ended with code 7 without saying why; memory may have run out."


def _die(connection: Any) -> None:
    os._exit(7)


@pytest.fixture
def long_comparison(tmp_path: Path) -> list[str]:
    """A comparison that would run for minutes: a large window on a million pixels."""
    values = np.random.default_rng(0).random((1, 1200, 1200)).astype(np.float32)
    flags: list[str] = []
    (tmp_path / "in").mkdir()
    for name in ("fine", "coarse", "target", "reference"):
        flags += [f"--{name}", write_raster(tmp_path / "in" / f"{name}.tif", values + len(name) / 64)]
    return [
        sys.executable, "-m", "stfusion", "compare", *flags, "--methods", "starfm", "--options", "window=301", "--json",
        "--watch-stdin", "--out", str(tmp_path / "report"),
    ]


@pytest.mark.parametrize("how", ["stdin", "SIGTERM", "SIGKILL"])
def test_stops_with_its_method_and_leaves_nothing(tmp_path: Path, long_comparison: list[str], how: str) -> None:
    process = subprocess.Popen(long_comparison, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    for line in process.stdout:
        message = json.loads(line)
        if message["type"] == "progress" and message["value"] > 6:
            break
    children = {int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()}
    assert children
    if how == "stdin":
        process.stdin.close()
    else:
        process.send_signal(getattr(signal, how))
    code = process.wait(timeout=10)
    for _ in range(100):
        if not any(_alive(pid) for pid in children):
            break
        time.sleep(0.1)
    else:
        for pid in children:
            os.kill(pid, signal.SIGKILL)
        raise AssertionError("the method outlived the comparison by 10 s")
    if how != "SIGKILL":
        assert code == 130
        last = json.loads(process.stdout.read().splitlines()[-1])
        assert last == {"type": "error", "code": "cancelled", "message": "The run was cancelled."}
        assert [p.name for p in tmp_path.iterdir()] == ["in"]


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_memory_stays_below_the_limit(tmp_path: Path) -> None:
    """Two million pixels of four bands: the true image and one prediction alone are 144 MB in float64."""
    values = np.random.default_rng(0).integers(500, 3000, (4, 1500, 1500), np.uint16)
    flags: list[str] = []
    for name in ("fine", "coarse", "target", "reference"):
        flags += [f"--{name}", write_raster(tmp_path / f"{name}.tif", values + len(name), tiled=True)]
    done = subprocess.run(
        [sys.executable, "-m", "stfusion", "compare", *flags, "--methods", "copy_fine,fine_plus_difference", "--json",
         "--memory", "400", "--out", str(tmp_path / "report")],
        capture_output=True, text=True, check=True,
    )
    messages = [json.loads(line) for line in done.stdout.splitlines()]
    (peak,) = [m["value"] for m in messages if m["type"] == "metric" and m["name"] == "Peak memory in MB"]
    assert peak < 400
    methods = json.loads((tmp_path / "report" / "results.json").read_text(encoding="utf-8"))["methods"]
    assert all(found["peak_memory_mb"] < 400 for found in methods.values())
