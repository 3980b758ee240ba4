"""Parts on a Dask cluster of two workers, one of which is killed in the middle."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest

from makers import Said, read_raster
from series_scenes import day, series
from stfusion import cluster, job, registry
from stfusion.distribute import run_on_cluster
from stfusion.run import Stop, run

distributed = pytest.importorskip(
    "distributed", reason="the package of --cluster is not installed (core/requirements-cluster.txt)"
)


@pytest.fixture(scope="module")
def address():
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, memory_limit=0
    ) as local:
        yield local.scheduler_address


@pytest.fixture
def order(tmp_path):
    images = series(tmp_path / "in", [0, 24], range(25))
    plain = job.build(registry.get("series", "fuse_series"), {
        **images, "method": "fine_plus_difference", "output": str(tmp_path / "out"),
    }, threads=1)
    return job.parse(plain)


class Hearer(Said):
    """Calls a function with every message."""

    def __init__(self, call):
        super().__init__()
        self.call = call

    def emit(self, kind, **fields):
        super().emit(kind, **fields)
        if kind == "log":
            self.call(fields["message"])


def states(tmp_path: Path) -> list[str]:
    found = json.loads((tmp_path / "out" / "manifest.json").read_text())
    return [one["state"] for one in found["dates"]]


def test_one_worker_is_killed_and_nothing_is_lost(tmp_path, address, order):
    killed: list[int] = []

    def kill(message: str) -> None:
        if not killed and message.startswith(f"{day(3)}: "):
            with distributed.Client(address) as client:
                numbers = client.run(os.getpid)
            killed.append(next(iter(numbers.values())))
            os.kill(killed[0], 9)

    said = Hearer(kill)
    assert run(order, said, Stop(), lambda context: run_on_cluster(context, address, 2048)) == 0, said.lines
    assert killed
    assert states(tmp_path) == ["kept", *["fused"] * 23, "kept"]
    single = tmp_path / "single.tif"
    plain = job.build(registry.get("fuse", "fine_plus_difference"), {
        "fine": order.inputs["fine"].path, "coarse": order.inputs["coarse"].path,
        "target": order.inputs["coarse"].more[4], "output": str(single),
    })
    assert run(job.parse(plain), Said()) == 0
    assert np.array_equal(read_raster(tmp_path / "out" / f"fused_{day(5):%Y%m%d}.tif"), read_raster(single))


def test_a_single_fusion_is_made_in_windows(tmp_path, address):
    images = series(tmp_path / "in", [0], [0, 4])
    plain = job.build(registry.get("fuse", "starfm"), {
        "fine": images["fine"][0], "coarse": images["coarse"][0], "target": images["coarse"][1], "window": 9,
    }, threads=1)
    whole, parted = tmp_path / "whole.tif", tmp_path / "parted.tif"
    assert run(job.parse({**plain, "outputs": {"output": str(whole)}}), Said()) == 0
    order = job.parse({**plain, "outputs": {"output": str(parted)}})
    assert run(order, Said(), Stop(), lambda context: run_on_cluster(context, address, 30)) == 0
    assert np.array_equal(read_raster(whole), read_raster(parted))


def test_what_is_done_is_not_done_again(tmp_path, address, order):
    assert run(order, Said(), Stop(), lambda context: run_on_cluster(context, address, 2048)) == 0
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.tif")}
    said = Said()
    assert run(order, said, Stop(), lambda context: run_on_cluster(context, address, 2048)) == 0
    assert "25 of 25 part(s) are done already." in said.of("log")
    assert before == {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.tif")}


def test_a_cancelled_run_stops_its_workers_and_goes_on(tmp_path, address, order):
    stop = Stop()
    said = Hearer(lambda message: stop.request() if message.startswith(f"{day(3)}: ") else None)
    assert run(order, said, stop, lambda context: run_on_cluster(context, address, 2048)) == 130
    time.sleep(1.0)
    assert not list((tmp_path / "out").glob("*.part"))
    assert run(order, Said(), Stop(), lambda context: run_on_cluster(context, address, 2048)) == 0
    assert len(states(tmp_path)) == 25


def test_a_worker_stops_when_it_is_told_to(tmp_path, order):
    mark = tmp_path / "stop"
    mark.touch()
    plain = job.build(registry.get("simulate", "simulate"), {"output": str(tmp_path / "s"), "size": 20000})
    found = cluster.perform(json.dumps(plain), str(mark))
    assert found["code"] == "cancelled"


def test_no_scheduler_is_said(order, monkeypatch):
    monkeypatch.setattr(cluster, "_CONNECT_S", 1)
    said = Said()
    assert run(order, said, Stop(), lambda context: run_on_cluster(context, "tcp://127.0.0.1:9", 2048)) == 3
    assert "No Dask scheduler answers at 'tcp://127.0.0.1:9'" in said.of("error")[0]
