"""A real QGIS window: STARFM is run from the toolbox; a series is loaded, played and looked at over time."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
PYTHON = ROOT / ".venv" / "bin" / "python"
DATA = Path(os.environ.get("STF_DATA") or ROOT.parent / "shared" / "data")
SECONDS = 180

SETTINGS = """[PythonPlugins]
processing=true
stf_qgis_plugin=true

[Processing]
Configuration\\STF_ENGINE_PYTHON={python}

[qgis]
checkVersion=false
"""


@pytest.fixture
def salton(tmp_path) -> dict[str, object]:
    """HLS and VIIRS, near infrared alone, shown in gray; copies, since QGIS writes statistics beside what it shows."""
    folder = DATA / "stf_salton_hls_viirs"
    if not folder.is_dir():
        pytest.skip(f"the real scene is not in {folder}; set STF_DATA to the folder of the scenes")
    names = {
        "FINE": "HLS70m_NIR_20201002.tif",
        "COARSE": "VIIRS490m_NIR_20201002.tif",
        "TARGET": "VIIRS490m_NIR_20201110.tif",
    }
    return {
        **{role: str(shutil.copy(folder / name, tmp_path / name)) for role, name in names.items()},
        "bands": [1],
        "day": "2020-11-10",
    }


@pytest.fixture
def simulated(tmp_path) -> dict[str, object]:
    """Six bands, shown as near infrared, red and green; the dates are those that the simulator writes."""
    folder = tmp_path / "scene"
    subprocess.run(
        [str(PYTHON), "-m", "stfusion", "simulate", "--size", "240", "--out", str(folder)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "core")}, check=True, timeout=120,
    )
    return {
        "FINE": str(folder / "fine_1.tif"),
        "COARSE": str(folder / "coarse_1.tif"),
        "TARGET": str(folder / "coarse_2.tif"),
        "bands": [4, 3, 2],
        "day": "",
    }


def run_qgis(home: Path, script: Path, order: dict[str, object]) -> dict[str, object]:
    """Run a script in a QGIS window with a profile of its own and give its verdict."""
    program = shutil.which("qgis")
    if program is None:
        pytest.fail("qgis is missing; run 'make qgis' first")
    if not os.environ.get("DISPLAY"):
        pytest.fail("there is no screen; run 'make test', or put xvfb-run before the command")
    profile = home / "config" / "profiles" / "default"
    shutil.copytree(BUILD / "stf_qgis_plugin", profile / "python" / "plugins" / "stf_qgis_plugin")
    (profile / "QGIS").mkdir()
    (profile / "QGIS" / "QGIS3.ini").write_text(SETTINGS.format(python=PYTHON), encoding="utf-8")
    runtime = home / "runtime"
    runtime.mkdir(mode=0o700)
    (home / "order.json").write_text(json.dumps(order), encoding="utf-8")
    environment = {
        **os.environ, "QGIS_CUSTOM_CONFIG_PATH": str(home / "config"), "XDG_RUNTIME_DIR": str(runtime),
        "QT_QPA_PLATFORM": "xcb", "STF_WINDOW_ORDER": str(home / "order.json"),
    }
    with (home / "qgis.log").open("wb") as log:
        window = subprocess.Popen(
            [program, "--nologo", "--noversioncheck", "--code", str(script)],
            env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )
        try:
            code = window.wait(SECONDS)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            if window.poll() is None:
                os.killpg(window.pid, signal.SIGKILL)
                window.wait()
    verdict = Path(str(order["verdict"]))
    if not verdict.exists():
        last = (home / "qgis.log").read_text(encoding="utf-8", errors="replace")[-3000:]
        pytest.fail(f"QGIS gave no verdict within {SECONDS} s; its last words:\n{last}")
    return {**json.loads(verdict.read_text(encoding="utf-8")), "code": code}


@pytest.mark.parametrize("scene", ["salton", "simulated"])
def test_fuses_from_the_toolbox(scene, request, tmp_path):
    screenshots = BUILD / "screenshots"
    screenshots.mkdir(parents=True, exist_ok=True)
    order = {
        **request.getfixturevalue(scene),
        "scenario": "fuse",
        "OUTPUT": str(tmp_path / "fused.tif"),
        "screenshots": str(screenshots / scene),
        "verdict": str(tmp_path / "verdict.json"),
    }
    verdict = run_qgis(tmp_path, Path(__file__).with_name("window_script.py"), order)

    assert not verdict["error"], verdict["error"]
    assert verdict["form"]["title"] == "STARFM"
    assert verdict["form"]["folded"], "the advanced parameters are not folded away"
    assert verdict["finished"], verdict["log"]
    fused, fine = verdict["fused"], verdict["fine"]
    assert Path(fused["source"]) == tmp_path / "fused.tif"
    assert fused["on_canvas"]
    assert fused["colours"] > 20, "the canvas does not show an image"
    assert fused["bands"] == fine["bands"] == order["bands"]
    assert fused["stretch"] == fine["stretch"]
    assert fused["day"] == (order["day"] or fused["day"])
    assert fused["day"]
    assert fused["name"] == f"STARFM {fused['day']}"
    assert verdict["menu"] == ["Check engine…", "Install engine…", "Load job results…", "Pixel time series"]
    assert verdict["code"] == 0, "QGIS did not end by itself"
    for name in ("toolbox", "form", "advanced", "log", "canvas", "install"):
        assert Path(f"{order['screenshots']}-{name}.png").stat().st_size > 5000


def test_series_is_loaded_played_and_read(tmp_path):
    days = ("2020-10-01", "2020-10-09", "2020-10-17")
    folder = tmp_path / "maize"
    folder.mkdir()
    script = (
        "import sys; from osgeo import gdal, osr; import numpy as np\n"
        "crs = osr.SpatialReference(); crs.ImportFromEPSG(32611)\n"
        "for number, path in enumerate(sys.argv[1:]):\n"
        "    file = gdal.GetDriverByName('GTiff').Create(path, 9, 9, 1, gdal.GDT_Int16)\n"
        "    file.SetGeoTransform((600000, 30, 0, 3700000, 0, -30)); file.SetProjection(crs.ExportToWkt())\n"
        "    file.GetRasterBand(1).WriteArray(np.full((9, 9), 1000 * (number + 1)))\n"
        "    file = None\n"
    )
    paths = [str(folder / f"fused_{day.replace('-', '')}.tif") for day in days]
    subprocess.run([sys.executable, "-c", script, *paths], check=True, timeout=60)
    rows = [{"date": day, "action": "fuse"} for day in (*days, "2020-10-25")]
    (folder / "plan.json").write_text(json.dumps({"dates": rows}), encoding="utf-8")
    screenshots = BUILD / "screenshots"
    screenshots.mkdir(parents=True, exist_ok=True)
    order = {
        "scenario": "series", "FOLDER": str(folder), "screenshots": str(screenshots / "series"),
        "verdict": str(tmp_path / "verdict.json"),
    }
    verdict = run_qgis(tmp_path, Path(__file__).with_name("window_script.py"), order)

    assert not verdict["error"], verdict["error"]
    assert "lacks 1 of its 4 dates (2020-10-25)" in verdict["log"]
    assert verdict["group"] == ["maize", *(f"maize {day}" for day in days)]
    assert verdict["frames"] == 3
    assert verdict["plays"], "two dates look the same"
    assert verdict["values"] == {"maize": [1000.0, 2000.0, 3000.0]}
    assert verdict["code"] == 0, "QGIS did not end by itself"
