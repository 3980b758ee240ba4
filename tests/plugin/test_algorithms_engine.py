"""Check engine and Install engine; what they call is replaced, for the engine's own tests cover it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from qgis.core import QgsProcessingAlgorithm, QgsProcessingException

from conftest import ROOT

REPORT = {
    "engine": "0.1.0", "protocol": 1, "python": "3.11.2", "executable": "/env/bin/python",
    "packages": {"numpy": "2.0.0", "numba": "0.60.0"}, "missing": [], "nvidia_driver": True, "ok": True,
    "devices": [{"name": "cpu", "ok": True, "seconds": 0.5}, {"name": "cuda:0 X", "ok": False, "reason": "no room"}],
}


@pytest.fixture
def check(provider):
    return provider.algorithm("check_engine").create()


@pytest.fixture
def install(provider):
    return provider.algorithm("install_engine").create()


def _answer(monkeypatch, **changes):
    from stf_qgis_plugin.engine import runner

    monkeypatch.setattr(runner, "query", lambda engine, word, feedback=None: {**REPORT, **changes})


def test_check_reports_versions_and_devices(check, engine, run, monkeypatch):
    _answer(monkeypatch)
    results, ok = check.run({}, run.context, run.feedback)
    assert ok, run.feedback.textLog()
    assert results == {
        "ENGINE": "0.1.0", "PYTHON": "3.11.2", "PACKAGES": "numpy 2.0.0, numba 0.60.0", "DEVICES": "cpu", "OK": True,
    }
    assert {output.name() for output in check.outputDefinitions()} == set(results)
    log = run.feedback.textLog()
    for words in ("numpy 2.0.0", "cpu: computed correctly in 0.500 s", "cuda:0 X: not used, because no room"):
        assert words in log


def test_check_says_that_a_driver_is_not_enough(check, engine, run, monkeypatch):
    _answer(monkeypatch, devices=REPORT["devices"][:1])
    check.run({}, run.context, run.feedback)
    assert "no CUDA device was found" in run.feedback.textLog()


@pytest.mark.parametrize(("changes", "words"), [
    ({"missing": ["numba"], "devices": [], "ok": False}, "lacks packages: numba; run 'Install engine'"),
    ({"ok": False, "devices": [{"name": "cpu", "ok": False, "reason": "wrong result"}]}, "did not compute"),
])
def test_check_fails_with_an_engine_that_does_not_work(check, engine, run, monkeypatch, changes, words):
    _answer(monkeypatch, **changes)
    _, ok = check.run({}, run.context, run.feedback)
    assert not ok
    assert words in run.feedback.textLog()


def test_check_fails_without_an_engine(check, run):
    _, ok = check.run({}, run.context, run.feedback)
    assert not ok
    assert "Install engine" in run.feedback.textLog()


def test_check_of_the_real_engine(check, engine, run):
    results, ok = check.run({}, run.context, run.feedback)
    assert ok, run.feedback.textLog()
    assert results["OK"] is True
    assert "cpu" in results["DEVICES"]
    assert "numba" in results["PACKAGES"]


def test_install_shows_what_where_and_how_big(install):
    from stf_qgis_plugin import settings
    from stf_qgis_plugin.engine import installer, locator, packages

    text = install.shortHelpString()
    assert settings.engine_folder() in text
    assert f"{installer.BASE.download} MB are downloaded" in text
    assert f"{installer.BASE.disk} MB stay on the disk" in text
    assert f"{installer.size(packages.Choice(networks=True)).download} MB" in text
    for requirement in locator.requirements():
        assert requirement.split(">")[0] in text


def test_install_refuses_without_consent(install, run, monkeypatch):
    from stf_qgis_plugin.engine import installer

    monkeypatch.setattr(installer, "install", lambda *args: pytest.fail("installed without consent"))
    assert install.parameterDefinition("CONSENT").defaultValue() is False
    for values in ({}, {"CONSENT": False}):
        ok, sentence = install.checkParameterValues(values, run.context)
        assert not ok
        assert "tick 'I agree" in sentence
        with pytest.raises(QgsProcessingException, match="tick 'I agree"):
            install.processAlgorithm(values, run.context, run.feedback)


def test_install_hands_on_what_was_chosen(install, run, monkeypatch, tmp_path):
    from stf_qgis_plugin.engine import installer
    from stf_qgis_plugin.engine.locator import Engine
    from stf_qgis_plugin.engine.packages import Choice

    taken = []

    def fake(feedback, base_python="", choice=None):
        taken.append((base_python, choice))
        return Engine("/env/bin/python", "/core")

    monkeypatch.setattr(installer, "install", fake)
    given = {"BASE_PYTHON": "/usr/bin/python3", "WHEELS": str(tmp_path), "NETWORKS": True, "TORCH_INDEX": "https://x "}
    for values in ({}, given):
        results, ok = install.create().run({"CONSENT": True, **values}, run.context, run.feedback)
        assert ok, run.feedback.textLog()
        assert results == {"PYTHON": "/env/bin/python"}
    assert taken == [("", Choice()), ("/usr/bin/python3", Choice(True, str(tmp_path), "https://x"))]


def test_remove_refuses_without_consent_and_removes_with_it(provider, run, monkeypatch):
    from stf_qgis_plugin.engine import installer

    remove, removed = provider.algorithm("remove_engine").create(), []
    monkeypatch.setattr(installer, "uninstall", lambda: removed.append(True))
    for values in ({}, {"CONSENT": False}):
        ok, sentence = remove.checkParameterValues(values, run.context)
        assert not ok
        assert "tick 'Remove the engine" in sentence
        with pytest.raises(QgsProcessingException, match="tick 'Remove"):
            remove.processAlgorithm(values, run.context, run.feedback)
    assert not removed
    _, ok = remove.create().run({"CONSENT": True}, run.context, run.feedback)
    assert ok, run.feedback.textLog()
    assert removed == [True]


def test_engine_algorithms_can_be_cancelled_but_make_no_batch(check, install):
    for algorithm in (check, install):
        assert algorithm.flags() & QgsProcessingAlgorithm.Flag.FlagCanCancel
        assert not algorithm.flags() & QgsProcessingAlgorithm.Flag.FlagSupportsBatch


def test_exported_job_makes_the_same_raster(starfm, engine, run, scene, tmp_path):
    """What the form runs and what a server runs from its job are the same, bit for bit."""
    values = {"FINE": scene.fine, "COARSE": scene.coarse, "TARGET": scene.target, "WINDOW": 11, "OUTPUT": scene.out}
    results, ok = starfm.run(values, run.context, run.feedback)
    assert ok, run.feedback.textLog()
    order = tmp_path / "order.json"
    again = str(tmp_path / "again.tif")
    exported, ok = starfm.create().run({**values, "OUTPUT": again, "EXPORT_JOB": str(order)}, run.context, run.feedback)
    assert ok, run.feedback.textLog()
    assert not Path(again).exists()
    assert json.loads(Path(exported["EXPORT_JOB"]).read_text(encoding="utf-8"))["method"] == "starfm"

    environment = {**os.environ, "PYTHONPATH": str(ROOT / "core")}
    done = subprocess.run(
        [str(engine), "-m", "stfusion", "run", str(order)],
        env=environment, capture_output=True, text=True, timeout=300, check=False,
    )
    assert done.returncode == 0, done.stderr
    assert Path(again).read_bytes() == Path(results["OUTPUT"]).read_bytes()
