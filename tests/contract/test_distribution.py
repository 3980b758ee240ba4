"""The engine as a distribution (``pip install ./core``) and the plugin as a zip."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from stfusion import __version__

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
import gate  # noqa: E402
import package  # noqa: E402


def test_pip_install_gives_the_command(tmp_path: Path) -> None:
    """The packages that it needs are there already, so that nothing is downloaded."""
    source = shutil.copytree(
        ROOT / "core", tmp_path / "core", ignore=shutil.ignore_patterns("*.egg-info", "build", "__pycache__")
    )
    target = tmp_path / "installed"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation",
         "--target", target, source],
        check=True,
    )
    environment = {**os.environ, "PYTHONPATH": str(target)}
    done = subprocess.run(
        [target / "bin" / "stfusion", "info", "--json"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=True,
    )
    info = json.loads(done.stdout)
    assert info["engine"] == __version__
    assert "starfm" in [method["id"] for method in info["methods"]]
    requirements = (next(target.glob("stfusion-*.dist-info")) / "METADATA").read_text(encoding="utf-8")
    assert "Requires-Dist: rasterio" in requirements
    assert "Provides-Extra: networks" in requirements
    assert "Provides-Extra: cluster" in requirements
    assert (target / "stfusion" / "py.typed").exists()
    weights = Path("stfusion", "networks", "weights")
    assert {file.name for file in (target / weights).iterdir()} == {f.name for f in (ROOT / "core" / weights).iterdir()}


@pytest.fixture(scope="module")
def archive() -> Path:
    package.stage()
    package.pack()
    return package.archive()


def test_the_zip_carries_the_engine_and_no_more(archive: Path) -> None:
    with zipfile.ZipFile(archive) as zipped:
        names = set(zipped.namelist())
        files = [*(ROOT / "core").rglob("*.py"), *(ROOT / "core").rglob("*.safetensors")]
        ours = {f"stf_qgis_plugin/{file.relative_to(ROOT).as_posix()}" for file in files}
        assert ours <= names
        assert zipped.read("stf_qgis_plugin/LICENSE") == (ROOT / "LICENSE").read_bytes()
        assert zipped.read("stf_qgis_plugin/core/requirements.txt") == (ROOT / "core/requirements.txt").read_bytes()
    assert list(gate.contents(archive)) == []


def test_the_zip_is_reproducible(archive: Path) -> None:
    before = archive.read_bytes()
    package.pack()
    assert archive.read_bytes() == before


def test_staging_removes_what_is_gone(archive: Path) -> None:
    leftover = package.STAGE / "core" / "stfusion" / "leftover.py"
    leftover.write_text("", encoding="utf-8")
    package.stage()
    assert not leftover.exists()


def test_the_versions_agree() -> None:
    assert list(gate.versions()) == []


def test_the_gate_sees_what_does_not_belong(tmp_path: Path) -> None:
    """A gate that finds nothing anywhere would be no gate."""
    bad = tmp_path / "bad.zip"
    with zipfile.ZipFile(bad, "w") as zipped:
        zipped.writestr("stf_qgis_plugin/core/__pycache__/x.pyc", b"")
        zipped.writestr("elsewhere/kernel.so", b"")
    found = "\n".join(gate.contents(bad))
    assert "x.pyc does not belong" in found
    assert "kernel.so does not belong" in found
    assert "elsewhere/kernel.so lies outside" in found
    assert "metadata.txt is missing" in found

    (tmp_path / "metadata.txt").write_text("[general]\nname=My plugin\nversion=1.0\nicon=none.svg\n", encoding="utf-8")
    found = "\n".join(gate.metadata(tmp_path))
    assert "lacks 'about'" in found
    assert "not of the form X.Y.Z" in found
    assert "none.svg" in found

    key = "AKIA" + "QWERTYUIOPASDFGH"
    (tmp_path / "keys.py").write_text(f'assert True\nAWS = "{key}"\n', encoding="utf-8")
    assert "keys.py:2: detect-secrets" in "\n".join(gate.secrets(tmp_path))
    assert "B101" in "\n".join(gate.tool(tmp_path, "bandit", "--quiet", "--recursive"))
