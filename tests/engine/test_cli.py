"""The command line: one job, whichever way it comes in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from makers import read_raster, write_raster
from stfusion.cli import main


@pytest.fixture
def flags(tmp_path: Path) -> list[str]:
    rng = np.random.default_rng(0)
    given = []
    for name in ("fine", "coarse", "target"):
        write_raster(tmp_path / f"{name}_20210522.tif", rng.random((2, 40, 40)).astype(np.float32))
        given += [f"--{name}", f"{name}_20210522.tif"]
    return [*given, "--window", "5"]


def engine(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "stfusion", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )


def test_flags_exported_job_and_moved_job_give_the_same(tmp_path: Path, flags: list[str]) -> None:
    """Paths of an exported job are absolute; relative ones in a job are relative to its folder."""
    assert engine(tmp_path, "fuse", "starfm", *flags, "--out", "one.tif").returncode == 0
    done = engine(tmp_path, "fuse", "starfm", *flags, "--out", "two.tif", "--export-job", "job.json")
    assert done.returncode == 0
    assert not (tmp_path / "two.tif").exists()
    assert engine(Path("/"), "run", str(tmp_path / "job.json")).returncode == 0
    plain = json.loads((tmp_path / "job.json").read_text())
    plain["inputs"] = {k: {**v, "path": Path(v["path"]).name} for k, v in plain["inputs"].items()}
    plain["outputs"]["output"] = "three.tif"
    (tmp_path / "moved.json").write_text(json.dumps(plain))
    assert engine(Path("/"), "run", str(tmp_path / "moved.json")).returncode == 0
    one = read_raster(tmp_path / "one.tif")
    for name in ("two", "three"):
        np.testing.assert_array_equal(read_raster(tmp_path / f"{name}.tif"), one)


def test_json_lines(tmp_path: Path, flags: list[str]) -> None:
    done = engine(tmp_path, "fuse", "starfm", *flags, "--out", "o.tif", "--json")
    messages = [json.loads(line) for line in done.stdout.splitlines()]
    kinds = [message["type"] for message in messages]
    assert kinds[0] == "hello"
    assert kinds[-1] == "result"
    assert kinds.count("stage") == 4
    assert messages[-1]["outputs"] == {"output": str(tmp_path / "o.tif"), "date": "2021-05-22"}
    costs = {message["name"]: message["value"] for message in messages if message["type"] == "metric"}
    assert costs["Processor seconds"] > 0.1
    assert 50 < costs["Peak memory in MB"] < 1000
    progress = [message["value"] for message in messages if message["type"] == "progress"]
    assert progress == sorted(progress)
    assert progress[-1] == 100


def test_what_a_library_prints_does_not_spoil_the_lines(tmp_path: Path, flags: list[str]) -> None:
    program = (
        "import os, sys\nfrom stfusion import cli\nimport stfusion.run as r\n"
        "hello = cli.JsonReporter.hello\n"
        "def noisy(self, device):\n"
        "    os.write(1, b'noise of a C library\\n'); print('noise of Python'); hello(self, device)\n"
        "cli.JsonReporter.hello = noisy\nsys.exit(cli.main(sys.argv[1:]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "fuse", "starfm", *flags, "--out", "o.tif", "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert all(json.loads(line) for line in done.stdout.splitlines())
    assert "noise of a C library" in done.stderr


def test_words_for_a_person(tmp_path: Path, flags: list[str]) -> None:
    done = engine(tmp_path, "fuse", "starfm", *flags, "--out", "o.tif")
    assert f"output: {tmp_path / 'o.tif'}" in done.stdout.splitlines()
    done = engine(tmp_path, "fuse", "starfm", *flags, "--out", "o.tif", "--fine-date", "x")
    assert done.returncode == 2


def test_a_bad_date_and_a_bad_band_list(tmp_path: Path, flags: list[str]) -> None:
    done = engine(tmp_path, "fuse", "starfm", *flags, "--out", "o.tif", "--target-date", "22.5.2021")
    assert done.returncode == 2
    assert "The date of 'Coarse image of the target date' is '22.5.2021'; write it as YYYY-MM-DD." in done.stderr
    done = engine(tmp_path, "fuse", "starfm", *flags, "--out", "o.tif", "--fine-bands", "red")
    assert done.returncode == 2
    assert "'red' is no list of band numbers such as 1,2,3" in done.stderr


def test_info_and_check(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "--json"]) == 0
    info = json.loads(capsys.readouterr().out)
    assert info["protocol"] == 1
    assert "starfm" in [method["id"] for method in info["methods"]]
    assert main(["check", "--json"]) == 0
    check = json.loads(capsys.readouterr().out)
    assert check["ok"]
    assert check["devices"][0]["name"] == "cpu"
    assert main(["check"]) == 0
    assert "Device cpu: computed correctly" in capsys.readouterr().out


def test_a_reader_that_goes_is_no_fault() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "stfusion", "info", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    assert process.wait() == 1


def test_a_missing_package_is_named(tmp_path: Path, flags: list[str]) -> None:
    """A user's own Python may lack a package: exit code 3."""
    program = (
        "import sys\nsys.modules['rasterio'] = None\nfrom stfusion import cli\nsys.exit(cli.main(sys.argv[1:]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "fuse", "starfm", *flags, "--out", "o.tif"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    assert "lacks a working package 'rasterio'" in done.stderr
    assert "run 'Install engine' in QGIS" in done.stderr


def test_a_device_that_computes_wrongly_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    from stfusion import _proof, environment

    monkeypatch.setattr(_proof, "_axpy", lambda a, x, y, out: out.fill(0))
    report = environment.check()
    assert not report["ok"]
    assert any("it computed a wrong result" in line for line in environment.sentences(report))


def simulated_card(tmp_path: Path, spoil: str = "") -> dict[str, object]:
    """The report on a graphics card that numba simulates."""
    program = f"import json\nfrom stfusion import _proof, _proof_cuda\n{spoil}\nprint(json.dumps(_proof.cuda()))\n"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "NUMBA_ENABLE_CUDASIM": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    (card,) = json.loads(done.stdout)
    return card


def test_a_graphics_card_is_proved_by_a_computation(tmp_path: Path) -> None:
    card = simulated_card(tmp_path)
    assert card["ok"]
    assert str(card["name"]).startswith("cuda:0")


def test_a_graphics_card_that_fails_is_reported_with_its_reason(tmp_path: Path) -> None:
    card = simulated_card(tmp_path, "def fail(name): raise OSError('no kernel image')\n_proof_cuda._run = fail")
    assert not card["ok"]
    assert card["reason"] == "OSError: no kernel image"
