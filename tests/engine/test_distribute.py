"""Jobs in parts for several machines: lists, shares, what is put together, scripts, roots, and images on a server."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.shutil import copy as copy_raster

from in_process import InProcess
from makers import FINE, Said, quantised, read_raster, write_raster
from series_scenes import day, series
from stfusion import job, registry
from stfusion.alone import Outcome
from stfusion.cli import main
from stfusion.parts import Part
from stfusion.run import Stop, run

SIDE = 105


@pytest.fixture
def here(monkeypatch) -> InProcess:
    return InProcess(monkeypatch)


@pytest.fixture
def scene(tmp_path):
    rng = np.random.default_rng(3)
    found = {}
    for name in ("fine", "coarse", "target", "fine2", "coarse2"):
        if name.startswith("fine"):
            found[name] = write_raster(tmp_path / f"{name}.tif", quantised(rng, 2, SIDE, SIDE), nodata=np.nan)
        else:
            coarse = quantised(rng, 2, 7, 7)
            found[name] = write_raster(tmp_path / f"{name}.tif", coarse, FINE @ Affine.scale(15), nodata=np.nan)
    return found


def written(path: Path, method: str, /, operation: str = "fuse", **values) -> Path:
    """A job file."""
    plain = job.build(registry.get(operation, method), values, threads=1)
    path.write_text(json.dumps(plain))
    return path


def command(*words: str) -> int:
    return main([str(word) for word in words])


def tags(path: Path) -> dict[str, str]:
    with rasterio.open(path) as dataset:
        return dataset.tags()


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("starfm", {"window": 31}), ("estarfm", {"window": 21}), ("fit_fc", {}), ("fsdaf", {}), ("vipstf", {}),
        ("rasdf", {}), ("obsum", {}), ("ubdf", {}), ("spstfm", {"patches": 50, "atoms": 16, "iterations": 1}),
    ],
)
def test_a_fusion_in_parts_is_that_of_the_whole(tmp_path, scene, here, method, options):
    roles = {role.id for role in registry.get("fuse", method).roles}
    images = {name: path for name, path in scene.items() if name in roles}
    whole, parted = tmp_path / "whole.tif", tmp_path / "parted.tif"
    said = Said()
    assert run(job.load(written(tmp_path / "w.json", method, **images, **options, output=str(whole))), said) == 0
    path = written(tmp_path / "p.json", method, **images, **options, output=str(parted))
    assert command("plan", path, "--side", "64") == 0
    assert [command("run", path, "--part", f"{k}/4") for k in range(1, 5)] == [0] * 4
    assert len(here.ran) == 4
    assert command("merge", path) == 0
    assert np.array_equal(read_raster(whole), read_raster(parted), equal_nan=True)
    assert tags(whole) == tags(parted)
    assert not (tmp_path / "parted.tif.parts").exists()


@pytest.mark.parametrize(("method", "options"), [("edcstfn", {}), ("stfdiff", {"samples": 2, "steps": 1})])
def test_a_network_in_parts_is_that_of_the_whole(tmp_path, scene, here, method, options):
    pytest.importorskip("torch", reason="the packages of the networks are not installed")
    images = {name: scene[name] for name in ("fine", "coarse", "target")}
    names = [output.id for output in registry.get("fuse", method).outputs]

    def outputs(folder: str) -> dict[str, str]:
        (tmp_path / folder).mkdir()
        return {name: str(tmp_path / folder / f"{name}.tif") for name in names}

    whole, parted = outputs("whole"), outputs("parted")
    assert run(job.load(written(tmp_path / "w.json", method, **images, **options, **whole)), Said()) == 0
    path = written(tmp_path / "p.json", method, **images, **options, **parted)
    assert command("plan", path, "--side", "64") == 0
    assert command("run", path, "--part", "1/1") == 0
    assert command("merge", path) == 0
    for name in names:
        assert np.array_equal(read_raster(whole[name]), read_raster(parted[name]), equal_nan=True)


def test_a_share_skips_what_is_done(tmp_path, scene, here, capsys):
    path = written(tmp_path / "p.json", "copy_fine", **{k: scene[k] for k in ("fine", "coarse", "target")},
                   output=str(tmp_path / "o.tif"))
    command("plan", path, "--side", "40")
    assert command("run", path, "--part", "2/4") == 0
    assert here.ran == ["output_rows0_columns40.tif", "output_rows40_columns80.tif"]
    assert command("run", path, "--part", "2/4") == 0
    assert len(here.ran) == 2
    assert command("merge", path) == 2
    words = "7 of 9 part(s) are not done: Rows 0 to 40, columns 0 to 40;"
    assert words in capsys.readouterr().err
    assert command("run", path, "--part", "1/1") == 0
    assert len(here.ran) == 9
    assert command("merge", path) == 0


def test_a_part_that_fails_is_named_and_the_others_of_its_share_run(tmp_path, scene, here, capsys):
    path = written(tmp_path / "p.json", "copy_fine", **{k: scene[k] for k in ("fine", "coarse", "target")},
                   output=str(tmp_path / "o.tif"))
    command("plan", path, "--side", "100")
    here.faults["output_rows0_columns0.tif"] = Outcome("It is broken.", "user")
    assert command("run", path, "--part", "1/1") == 2
    assert "1 of 4 part(s) failed: Rows 0 to 100, columns 0 to 100 (It is broken)" in capsys.readouterr().err
    assert command("merge", path) == 2
    assert "part(s) failed" in capsys.readouterr().err
    assert command("run", path, "--part", "1/1") == 0
    assert len(here.ran) == 5
    assert command("merge", path) == 0


def test_a_series_in_parts_is_that_of_one_run(tmp_path, here):
    images = series(tmp_path / "in", [0, 8], range(0, 10, 2))
    path = written(
        tmp_path / "s.json", "fuse_series", operation="series", **images, method="fine_plus_difference",
        output=str(tmp_path / "out"),
    )
    assert command("plan", path) == 0
    assert (tmp_path / "out" / "plan.html").is_file()
    assert [command("run", path, "--part", f"{k}/2") for k in (2, 1)] == [0, 0]
    assert here.ran == [f"fused_{day(n):%Y%m%d}.tif" for n in (2, 6, 0, 4, 8)]
    assert command("merge", path) == 0
    found = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert [one["state"] for one in found["dates"]] == ["kept", "fused", "fused", "fused", "kept"]
    assert (tmp_path / "out" / "stack.vrt").is_file()
    assert command("run", path) == 0
    assert len(here.ran) == 5


def test_a_list_is_needed_and_has_to_be_of_the_job(tmp_path, scene, here, capsys):
    images = {name: scene[name] for name in ("fine", "coarse", "target")}
    path = written(tmp_path / "p.json", "copy_fine", **images, output=str(tmp_path / "o.tif"))
    assert command("run", path, "--part", "1/2") == 2
    assert "run 'stfusion plan' with the job first" in capsys.readouterr().err
    command("plan", path)
    written(path, "fine_plus_difference", **images, output=str(tmp_path / "o.tif"))
    assert command("merge", path) == 2
    assert "lists the parts of another job" in capsys.readouterr().err


@pytest.mark.parametrize("share", ["0/2", "3/2", "1", "a/b", "1/0", "-1/2"])
def test_a_share_that_is_none_is_refused(tmp_path, scene, share, capsys):
    path = written(tmp_path / "p.json", "copy_fine", **{k: scene[k] for k in ("fine", "coarse", "target")},
                   output=str(tmp_path / "o.tif"))
    assert command("run", path, f"--part={share}") == 2
    assert "write --part K/N, such as 1/4 to 4/4" in capsys.readouterr().err


def test_other_jobs_have_no_parts(tmp_path, capsys):
    path = written(tmp_path / "p.json", "simulate", operation="simulate", output=str(tmp_path / "o"))
    assert command("plan", path) == 2
    assert "'Simulate a scene' cannot be made in parts" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("window", "words"),
    [
        ([0, 4, 0], "has to be the first row"), ([4, 4, 0, 1], "has to be the first row"),
        ([0, 4.5, 0, 1], "has to be the first row"), ([0, 400, 0, 10], "ends at row 400 and column 10"),
    ],
)
def test_windows_that_cannot_be(tmp_path, scene, window, words):
    plain = job.build(registry.get("fuse", "copy_fine"), {
        **{name: scene[name] for name in ("fine", "coarse", "target")}, "output": str(tmp_path / "o.tif"),
    })
    said = Said()
    try:
        assert run(job.parse({**plain, "window": window}), said, Stop()) == 2
        (message,) = said.of("error")
    except job.UserError as error:
        message = str(error)
    assert words in message


def test_parts_that_differ_have_marks_that_differ(scene):
    plain = job.build(registry.get("fuse", "copy_fine"), {
        **{name: scene[name] for name in ("fine", "coarse", "target")}, "output": "o.tif",
    })
    mask = {**plain["inputs"], "fine": {**plain["inputs"]["fine"], "mask": scene["coarse"]}}
    others = [
        {"window": [0, 1, 0, 1]}, {"window": [0, 1, 0, 2]}, {"seed": 1}, {"options": {"resampling": "nearest"}},
        {"method": "upsampled_coarse"}, {"inputs": mask},
        {"inputs": {**plain["inputs"], "target": {**plain["inputs"]["target"], "date": "2020-01-01"}}},
    ]
    marks = {Part("a", "A", job.parse({**plain, **other})).mark for other in ({}, *others)}
    assert len(marks) == 8
    same = [{"threads": 3}, {"memory_mb": 999}, {"outputs": {"output": "elsewhere.tif"}}]
    assert {Part("b", "B", job.parse({**plain, **other})).mark for other in same} <= marks


def test_only_images_have_windows(tmp_path):
    plain = {"operation": "simulate", "method": "simulate", "outputs": {"output": str(tmp_path / "o")}}
    with pytest.raises(job.UserError, match="only fusions and pansharpening are made in parts"):
        job.parse({**plain, "window": [0, 1, 0, 1]})


def test_the_script_for_slurm(tmp_path, scene, capsys):
    values = {name: "{data}/" + Path(scene[name]).name for name in ("fine", "coarse", "target")}
    path = written(tmp_path / "my job.json", "copy_fine", **values, output="{data}/o.tif")
    assert command("plan", path, "--side", "40", "--tasks", "4", "--root", f"data={tmp_path}") == 0
    script = tmp_path / "my job.slurm.sh"
    text = script.read_text()
    assert "#SBATCH --array=1-4" in text
    assert "#SBATCH --mem=2048M" in text
    assert "#SBATCH --cpus-per-task=1" in text
    shell = shutil.which("sh")
    assert shell
    assert subprocess.run([shell, "-n", script], check=False).returncode == 0
    # What a task of the array does, with a command that shows its words instead of the engine.
    (tmp_path / "stfusion").write_text('#!/bin/sh\nprintf "%s|" "$@"\n')
    (tmp_path / "stfusion").chmod(0o755)
    environment = {
        "PATH": f"{tmp_path}:/usr/bin:/bin", "SLURM_SUBMIT_DIR": str(tmp_path), "SLURM_ARRAY_TASK_ID": "2",
        "SLURM_ARRAY_TASK_COUNT": "4",
    }
    done = subprocess.run([shell, script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == f"run|my job.json|--part|2/4|--root|data={tmp_path}|"


def test_a_cluster_without_its_package_is_said(tmp_path, scene, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "distributed", None)
    path = written(tmp_path / "p.json", "copy_fine", **{k: scene[k] for k in ("fine", "coarse", "target")},
                   output=str(tmp_path / "o.tif"))
    assert command("run", path, "--cluster", "tcp://127.0.0.1:8786") == 3
    assert "--cluster needs; install the packages of core/requirements-cluster.txt" in capsys.readouterr().err


def test_roots_make_a_job_run_elsewhere(tmp_path, scene):
    flags = [word for name in ("fine", "coarse", "target") for word in (f"--{name}", scene[name])]
    order = tmp_path / "job.json"
    assert command(
        "fuse", "copy_fine", *flags, "--out", tmp_path / "o.tif", "--root", f"data={tmp_path}", "--export-job", order
    ) == 0
    plain = json.loads(order.read_text())
    assert plain["inputs"]["fine"]["path"] == "{data}/fine.tif"
    assert plain["outputs"]["output"] == "{data}/o.tif"
    other = shutil.copytree(tmp_path, tmp_path / "server")
    assert command("run", other / "job.json", "--root", f"data={other}/") == 0
    assert (other / "o.tif").is_file()
    assert not (tmp_path / "o.tif").exists()


def test_a_root_that_is_not_given_is_named(tmp_path, capsys):
    images = {"fine": "{data}/fine.tif", "coarse": "{data}/coarse.tif", "target": "{data}/target.tif"}
    path = written(tmp_path / "job.json", "copy_fine", **images, output="o.tif")
    assert command("run", path) == 2
    assert "has the root 'data', which is not given; add --root data=FOLDER" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        command("run", path, "--root", "data")


def test_roots_reach_masks_lists_and_servers():
    plain = {
        "inputs": {"fine": {"path": ["{a}/1.tif", "x/{a}.tif"], "mask": "{b}/m.tif", "bands": [1]}},
        "outputs": {"output": "{a}/o"},
    }
    roots = {"a": "/vsis3/bucket/", "b": "https://host/data"}
    found = job.with_roots(plain, lambda text: job._rooted(text, roots))
    assert found["inputs"]["fine"] == {
        "path": ["/vsis3/bucket/1.tif", "x/{a}.tif"], "mask": "https://host/data/m.tif", "bands": [1],
    }
    assert found["outputs"] == {"output": "/vsis3/bucket/o"}
    assert job.with_roots(found, lambda text: job.folded(text, roots)) == plain


class _Ranges(BaseHTTPRequestHandler):
    """Serves the files of a folder by ranges, and counts the bytes by name."""

    folder: Path
    sent: dict[str, int]

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self._answer(send=False)

    def do_GET(self):
        self._answer(send=True)

    def _answer(self, send: bool):
        path = self.folder / self.path.lstrip("/").partition("?")[0]
        if not path.is_file():
            self.send_error(404)
            return
        data = path.read_bytes()
        asked = self.headers.get("Range")
        first, last = (0, len(data) - 1) if not asked else (
            int(n) if n else len(data) - 1 for n in asked.removeprefix("bytes=").split("-")
        )
        part = data[first : last + 1]
        self.send_response(206 if asked else 200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(part)))
        if asked:
            self.send_header("Content-Range", f"bytes {first}-{first + len(part) - 1}/{len(data)}")
        self.end_headers()
        if send:
            self.sent[path.name] = self.sent.get(path.name, 0) + len(part)
            self.wfile.write(part)


@pytest.fixture
def server(tmp_path):
    handler = type("Handler", (_Ranges,), {"folder": tmp_path / "served", "sent": {}})
    (tmp_path / "served" / "bucket").mkdir(parents=True)
    served = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=served.serve_forever, daemon=True)
    thread.start()
    yield handler, f"127.0.0.1:{served.server_port}"
    served.shutdown()
    served.server_close()
    thread.join()


@pytest.mark.parametrize("store", ["web", "bucket"])
def test_images_on_a_server_are_read_by_window(tmp_path, server, monkeypatch, store):
    handler, host = server
    address = f"/vsicurl/http://{host}/bucket" if store == "web" else "/vsis3/bucket"
    for name, value in {
        "AWS_S3_ENDPOINT": host, "AWS_HTTPS": "NO", "AWS_VIRTUAL_HOSTING": "FALSE", "AWS_NO_SIGN_REQUEST": "YES",
    }.items():
        monkeypatch.setenv(name, value)
    rng = np.random.default_rng(0)
    plain_file = write_raster(tmp_path / "fine.tif", quantised(rng, 1, 1024, 1024))
    copy_raster(plain_file, handler.folder / "bucket" / "fine_20210420.tif", driver="COG", BLOCKSIZE=256)
    for name in ("coarse_20210420", "coarse_20210424"):
        write_raster(handler.folder / "bucket" / f"{name}.tif", quantised(rng, 1, 64, 64), FINE @ Affine.scale(16))
    monkeypatch.setenv("GDAL_DISABLE_READDIR_ON_OPEN", "EMPTY_DIR")
    plain = job.build(registry.get("fuse", "fine_plus_difference"), {
        "fine": f"{address}/fine_20210420.tif", "coarse": f"{address}/coarse_20210420.tif",
        "target": f"{address}/coarse_20210424.tif", "output": str(tmp_path / "part.tif"), "resampling": "nearest",
    })
    said = Said()
    assert run(job.parse({**plain, "window": [256, 512, 512, 768]}, tmp_path), said) == 0, said.lines
    assert read_raster(tmp_path / "part.tif").shape == (1, 256, 256)
    assert said.of("result")[0]["date"] == "2021-04-24"
    whole = (handler.folder / "bucket" / "fine_20210420.tif").stat().st_size
    # The overview of half the size, which tells the range of values, and the window.
    assert 0 < handler.sent["fine_20210420.tif"] < 0.5 * whole
