"""Cancel, closed standard input, memory: what happens to a run of the engine as a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from makers import FINE, run_method, write_raster
from stfusion.run import Stop


@pytest.fixture
def long_job(tmp_path: Path) -> list[str]:
    """A command that would run for minutes: a large window on a scene of four million pixels."""
    values = np.random.default_rng(0).random((1, 2000, 2000)).astype(np.float32)
    flags: list[str] = []
    for name in ("fine", "coarse", "target"):
        (tmp_path / "in").mkdir(exist_ok=True)
        flags += [f"--{name}", write_raster(tmp_path / "in" / f"{name}.tif", values + len(name) / 64)]
    command = [sys.executable, "-m", "stfusion", "fuse", "starfm", *flags, "--window", "301", "--json", "--watch-stdin"]
    return [*command, "--out", str(tmp_path / "o.tif")]


def start(command: list[str]) -> subprocess.Popen[str]:
    """Start and wait until the fusion itself is under way."""
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        message = json.loads(line)
        if message["type"] == "progress" and message["value"] > 5:
            return process
    raise AssertionError(process.stderr.read() if process.stderr else "")


@pytest.mark.parametrize("how", ["stdin", "SIGTERM", "SIGINT"])
def test_stops_at_once_and_leaves_nothing(tmp_path: Path, long_job: list[str], how: str) -> None:
    process = start(long_job)
    assert (tmp_path / "o.tif.part").is_dir()
    if how == "stdin":
        assert process.stdin is not None
        process.stdin.close()
    else:
        process.send_signal(getattr(signal, how))
    assert process.wait(timeout=3) == 130
    assert process.stdout is not None
    last = json.loads(process.stdout.read().splitlines()[-1])
    assert last == {"type": "error", "code": "cancelled", "message": "The run was cancelled."}
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


def test_goes_when_the_program_that_started_it_is_killed(tmp_path: Path, long_job: list[str]) -> None:
    """The starter is killed with SIGKILL; the engine sees its standard input close."""
    starter = (
        "import subprocess, sys, time\n"
        "p = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)\n"
        "print(p.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    host = subprocess.Popen([sys.executable, "-c", starter, *long_job], stdout=subprocess.PIPE, text=True)
    assert host.stdout is not None
    engine = int(host.stdout.readline())
    gone = threading.Event()
    for _ in range(200):
        if (tmp_path / "o.tif.part").is_dir():
            break
        gone.wait(0.1)
    host.kill()
    host.wait()
    for _ in range(30):
        if not Path(f"/proc/{engine}").exists() or "Z" in Path(f"/proc/{engine}/stat").read_text().split()[2]:
            break
        gone.wait(0.1)
    else:
        os.kill(engine, signal.SIGKILL)
        raise AssertionError("the engine outlived its host by 3 s")
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


def test_a_run_that_does_not_look_at_the_stop_is_ended(tmp_path: Path) -> None:
    """Work that never checks, such as one long call into a library, is ended after the grace time."""
    folder = tmp_path / "x.part"
    folder.mkdir()
    program = (
        "import time, pathlib\nfrom stfusion.run import Stop\n"
        f"stop = Stop(); stop.watch(pathlib.Path({str(folder)!r})); stop.on_signals()\n"
        "print('ready', flush=True)\n"
        "while True:\n    time.sleep(0.1)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    process.terminate()
    assert process.wait(timeout=5) == 130
    assert not folder.exists()


def test_a_stop_before_the_run(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", np.random.default_rng(0).random((1, 50, 50)).astype(np.float32))
    stop = Stop()
    stop.request()
    outcome = run_method("starfm", stop, fine=path, coarse=path, target=path, window=3, output=str(tmp_path / "o.tif"))
    assert outcome.code == 130
    assert [p.name for p in tmp_path.iterdir()] == ["a.tif"]


def test_memory_stays_below_the_limit(tmp_path: Path) -> None:
    """A six-band scene that would take a gigabyte whole, three images and the result in float32: half is allowed."""
    values = np.random.default_rng(0).integers(500, 3000, (6, 3000, 3000), np.uint16)
    flags: list[str] = []
    for name in ("fine", "coarse", "target"):
        image = values if name == "fine" else values[:, ::16, ::16]
        transform: Any = FINE if name == "fine" else FINE @ FINE.scale(16)
        path = write_raster(tmp_path / f"{name}.tif", image, transform, tiled=True)
        flags += [f"--{name}", path]
    # Not from getrusage: what it says of a child includes the memory of the process that started it.
    measured = (
        "import sys; from stfusion.cli import main; code = main(); "
        "print(*(line for line in open('/proc/self/status') if 'VmHWM' in line)); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", measured, "fuse", "starfm", *flags, "--window", "5", "--memory", "512",
         "--out", str(tmp_path / "o.tif")],
        capture_output=True, text=True, check=True,
    )
    peak_kb = int(done.stdout.rpartition("VmHWM:")[2].split()[0])
    assert peak_kb * 1024 < 512 * 2**20


def test_a_listener_that_is_gone_stops_the_run(tmp_path: Path, long_job: list[str]) -> None:
    """Standard input stays open; only the reader of the lines has gone."""
    process = start(long_job)
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(timeout=3) == 130
    assert [p.name for p in tmp_path.iterdir()] == ["in"]
