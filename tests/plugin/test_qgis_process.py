"""The provider in qgis_process, as a script or a server calls it, with a profile of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess

import numpy as np
import pytest

from conftest import BUILD, ROOT, read, write

SETTINGS = """[PythonPlugins]
stf_qgis_plugin=true

[Processing]
Configuration\\STF_ENGINE_PYTHON={python}
"""


@pytest.fixture
def qgis_process(tmp_path):
    """Runs qgis_process with the staged plugin, and gives what came of it.

    The program proper is called where a distribution wraps it: Debian's wrapper adds an option that it refuses.
    """
    program = shutil.which("qgis_process.bin") or shutil.which("qgis_process")
    if program is None:
        pytest.fail("qgis_process is missing; run 'make qgis' first")
    profile = tmp_path / "config" / "profiles" / "default"
    (profile / "python" / "plugins").mkdir(parents=True)
    shutil.copytree(BUILD / "stf_qgis_plugin", profile / "python" / "plugins" / "stf_qgis_plugin")
    (profile / "QGIS").mkdir()
    python = ROOT / ".venv" / "bin" / "python"
    (profile / "QGIS" / "QGIS3.ini").write_text(SETTINGS.format(python=python), encoding="utf-8")

    def call(*arguments):
        environment = {
            **os.environ, "QT_QPA_PLATFORM": "offscreen", "XDG_RUNTIME_DIR": str(tmp_path),
            "QGIS_CUSTOM_CONFIG_PATH": str(tmp_path / "config"),
        }
        return subprocess.run(
            [program, *arguments], env=environment, capture_output=True, text=True, timeout=300, check=False
        )

    return call


def run_starfm(qgis_process, scene, window):
    """STARFM on the small scene."""
    inputs = (f"FINE={scene.fine}", f"COARSE={scene.coarse}", f"TARGET={scene.target}")
    return qgis_process("run", "stf:starfm", "--", *inputs, f"WINDOW={window}", f"OUTPUT={scene.out}")


def test_lists_the_algorithms(qgis_process):
    done = qgis_process("list")
    assert done.returncode == 0, done.stderr
    for name in ("starfm", "simulate", "compare", "check_engine", "install_engine", "remove_engine"):
        assert f"stf:{name}" in done.stdout


def test_explains_an_algorithm(qgis_process):
    done = qgis_process("help", "stf:starfm")
    assert "STARFM adds the change seen by the coarse sensor to the fine image." in done.stdout
    assert "Side of the moving window in fine pixels, odd" in done.stdout
    assert "One of: threshold, class." in done.stdout


def test_fuses(qgis_process, scene):
    done = qgis_process(
        "run", "--json", "stf:starfm", "--", f"FINE={scene.fine}", f"COARSE={scene.coarse}", f"TARGET={scene.target}",
        "FINE_BANDS=3", "FINE_BANDS=1", "COARSE_BANDS=3", "COARSE_BANDS=1",
        "TARGET_DATE=2020-03-02", "SAMPLING=class", "WINDOW=11", f"OUTPUT={scene.out}",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads(done.stdout[done.stdout.index("{"):])["results"]
    assert results["OUTPUT"] == scene.out
    fused, fine = read(scene.out), read(scene.fine)
    assert fused.shape == (2, *fine.shape[1:])
    assert np.median(fused[0].astype(int) - fine[2]) == pytest.approx(250, abs=25)


def test_compares(qgis_process, scene, tmp_path):
    """The engine starts processes of its own under QGIS, and the report is a result."""
    done = qgis_process(
        "run", "--json", "stf:compare", "--", f"FINE={scene.fine}", f"COARSE={scene.coarse}", f"TARGET={scene.target}",
        f"REFERENCE={scene.fine}", "METHODS=copy_fine,fine_plus_difference", f"OUTPUT={tmp_path / 'report'}",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads(done.stdout[done.stdout.index("{"):])["results"]
    assert results["REPORT"] == str(tmp_path / "report" / "report.html")
    found = json.loads((tmp_path / "report" / "results.json").read_text(encoding="utf-8"))
    assert list(found["methods"]) == ["copy_fine", "fine_plus_difference"]
    assert found["methods"]["copy_fine"]["rmse"]["mean"] == 0
    assert os.path.getsize(results["REPORT"]) > 50_000


def test_assesses(qgis_process, scene, tmp_path):
    """The numbers are results."""
    done = qgis_process(
        "run", "--json", "stf:assess_fusion", "--", f"PREDICTED={scene.fine}", f"REFERENCE={scene.fine}",
        "FUSED_BANDS=1", "FUSED_BANDS=2", "REFERENCE_BANDS=1", "REFERENCE_BANDS=2", f"OUTPUT={tmp_path / 'report'}",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads(done.stdout[done.stdout.index("{"):])["results"]
    assert (results["RMSE"], results["SSIM"], results["SAM"]) == (0, 1, 0)
    assert os.path.getsize(results["REPORT"]) > 20_000


def test_classifies_several_layers(qgis_process, scene, tmp_path):
    files = {"OUTPUT": tmp_path / "map.tif", "MODEL": tmp_path / "model.json", "REPORT": tmp_path / "report.html"}
    done = qgis_process(
        "run", "--json", "stf:kmeans", "--", f"IMAGE={scene.fine}", f"IMAGE={scene.coarse}", "IMAGE_BANDS=1,2,3,6",
        "CLASSES=4", *(f"{name}={path}" for name, path in files.items()),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads(done.stdout[done.stdout.index("{"):])["results"]
    assert {name: results[name] for name in files} == {name: str(path) for name, path in files.items()}
    assert set(np.unique(read(str(files["OUTPUT"])))) == {1, 2, 3, 4}
    assert len(json.loads(files["MODEL"].read_text(encoding="utf-8"))["bands"]) == 4
    done = qgis_process(
        "run", "--json", "stf:apply_kmeans", "--", f"IMAGE={scene.fine}", f"MODEL={files['MODEL']}",
        f"OUTPUT={tmp_path / 'other.tif'}",
    )
    assert done.returncode != 0
    assert "has 3 bands and the model has 4" in done.stdout + done.stderr


def test_draws_points_and_assesses_a_map_with_them(qgis_process, tmp_path):
    """A vector layer as output and, by its place in a file, as input; numbers are results."""
    labels = np.array([[1, 1, 2, 2, 3, 3]]).repeat(30, 0).repeat(5, 1)
    class_map, points = write(tmp_path / "map.tif", labels[None].astype(np.int16), 30.0), str(tmp_path / "points.gpkg")
    done = qgis_process(
        "run", "--json", "stf:sampling_design", "--", f"STRATA={class_map}", "SAMPLES=30", "MINIMUM=2",
        "ALLOCATION=equal", f"OUTPUT={points}",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads(done.stdout[done.stdout.index("{"):])["results"]
    assert (results["OUTPUT"], results["POINTS"]) == (points, 30)
    done = qgis_process(
        "run", "--json", "stf:assess_classification", "--", f"CLASS_MAP={class_map}",
        f"SAMPLES={points}|layername=points", "SAMPLES_FIELD=stratum", f"OUTPUT={tmp_path / 'report'}",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads(done.stdout[done.stdout.index("{"):])["results"]
    assert (results["OVERALL_ACCURACY"], results["ESTIMATED_ACCURACY"]) == (1, 1)
    assert results["REPORT"] == str(tmp_path / "report" / "report.html")


def test_a_missing_engine_is_one_sentence(qgis_process, scene, tmp_path):
    settings = tmp_path / "config" / "profiles" / "default" / "QGIS" / "QGIS3.ini"
    settings.write_text(SETTINGS.format(python=tmp_path / "gone"), encoding="utf-8")
    done = run_starfm(qgis_process, scene, window=11)
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert f"The Python of the STF engine, '{tmp_path / 'gone'}', is not there or cannot be run" in said
    assert "Traceback" not in said


def test_the_engines_refusal_is_one_sentence(qgis_process, scene):
    done = run_starfm(qgis_process, scene, window=499)
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert "The window of 499 pixels is larger than Fine image of the pair" in said
    assert "Traceback" not in said


def test_says_what_is_wrong_and_fails(qgis_process, scene):
    done = run_starfm(qgis_process, scene, window=10)
    assert done.returncode != 0
    assert "'Window (fine pixels)' is 10, an even number; take 11." in done.stdout + done.stderr
    assert not os.path.exists(scene.out)
