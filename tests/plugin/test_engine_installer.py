"""Installing the engine: real virtual environments and a real pip, with a tiny wheel in place of the packages."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from qgis.core import QgsNetworkAccessManager, QgsProcessingException
from qgis.PyQt.QtCore import QLockFile
from qgis.PyQt.QtNetwork import QNetworkProxy

import fake_engine
from recording import Recorder

CHECK = f"""
import json, sys
import tiny
print(json.dumps({{"engine": {fake_engine.VERSION!r}, "protocol": {fake_engine.PROTOCOL}, "missing": tiny.MISSING,
                   "devices": [], "ok": not tiny.MISSING, "prefix": [sys.prefix, sys.base_prefix]}}))
"""


def write_wheel(folder: Path, code: str) -> None:
    """A wheel of a package ``tiny`` that holds ``code``."""
    with zipfile.ZipFile(folder / "tiny-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tiny.py", code)
        info = "tiny-1.0.dist-info"
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "".join(f"{name},,\n" for name in (*wheel.namelist(), f"{info}/RECORD")))


def fake_python(folder: Path, **answer: object) -> str:
    """An interpreter that says of itself what it is told to."""
    plain = {"python": "/fake/python3", "version": [3, 11], "wide": True, "pip": "/fake/pip.whl", **answer}
    path = folder / "python3"
    path.write_text(f"#!/bin/sh\necho '{json.dumps(plain)}'\n", encoding="utf-8")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def site(stf, tmp_path, monkeypatch) -> SimpleNamespace:
    """An engine that needs the package ``tiny`` alone, and a folder of wheels that has it."""
    core, wheels = tmp_path / "core", tmp_path / "wheels"
    (core / "stfusion").mkdir(parents=True)
    wheels.mkdir()
    (core / "requirements.txt").write_text("# The only one.\ntiny==1.0\n", encoding="utf-8")
    (core / "stfusion" / "__main__.py").write_text(CHECK, encoding="utf-8")
    write_wheel(wheels, "MISSING = []\n")
    monkeypatch.setattr(stf.locator, "core_folder", lambda: core)

    def install(feedback: Recorder | None = None, wheels: Path = wheels, networks: bool = False):
        choice = stf.packages.Choice(networks=networks, wheels_folder=str(wheels))
        return stf.installer.install(feedback or Recorder(), choice=choice)

    def environments() -> list[str]:
        return sorted(path.name for path in stf.folder.glob("env-*"))

    return SimpleNamespace(core=core, wheels=wheels, install=install, environments=environments)


class TestInstall:
    """From nothing to an engine, and from one engine to the next."""

    def test_install(self, stf, site):
        feedback = Recorder()
        engine = site.install(feedback)
        assert stf.locator.find() == engine
        assert stf.locator.is_installed()
        answer = stf.runner.query(engine, "check")
        assert answer["prefix"][0] == str(stf.folder / site.environments()[0])
        assert answer["prefix"][0] != answer["prefix"][1]
        assert feedback.progress == sorted(feedback.progress)
        assert feedback.progress[-1] == 100
        assert any("tiny==1.0" in text for text in feedback.texts("info"))
        assert any("Successfully installed tiny-1.0" in text for text in feedback.texts("console"))
        assert not list(site.core.rglob("__pycache__"))

    def test_again_replaces_the_one_before(self, stf, site):
        first = site.install()
        (first_name,) = site.environments()
        second = site.install()
        assert stf.locator.find() == second
        assert first_name not in site.environments()
        assert not Path(first.python).exists()

    def test_the_packages_of_the_networks_are_installed_where_they_are_wanted(self, stf, site):
        site.install()
        with pytest.raises(stf.locator.EngineMissing, match="with 'Packages of the networks'"):
            stf.locator.find("networks")
        (site.core / "requirements-networks.txt").write_text("tiny>=0.5\n", encoding="utf-8")
        feedback = Recorder()
        engine = site.install(feedback, networks=True)
        assert stf.locator.find("networks") == stf.locator.find() == engine
        assert any("tiny>=0.5" in text for text in feedback.texts("info"))

    def test_an_installation_that_was_killed_is_swept(self, stf, site):
        (stf.folder / "env-0.0.1-1" / "lib").mkdir(parents=True)
        site.install()
        assert "env-0.0.1-1" not in site.environments()

    @pytest.mark.parametrize("stage", ["Making the environment", "Installing the packages", "Processing",
                                       "Checking the engine"])
    def test_cancel_leaves_nothing(self, stf, site, stage):
        feedback = Recorder(cancel_on=stage)
        with pytest.raises(QgsProcessingException, match="Cancelled"):
            site.install(feedback)
        assert site.environments() == []
        assert not stf.locator.is_installed()

    def test_cancel_keeps_the_one_before(self, stf, site):
        engine = site.install()
        with pytest.raises(QgsProcessingException, match="Cancelled"):
            site.install(Recorder(cancel_on="Installing the packages"))
        assert stf.locator.find() == engine
        assert stf.runner.query(engine, "check")["ok"]

    def test_failing_pip_keeps_the_one_before(self, stf, site, tmp_path):
        engine = site.install()
        empty = tmp_path / "empty"
        empty.mkdir()
        with pytest.raises(QgsProcessingException, match=rf"no ready-made package of 'tiny==1\.0'.*'{empty}'"):
            site.install(wheels=empty)
        assert stf.locator.find() == engine
        assert stf.runner.query(engine, "check")["ok"]
        assert len(site.environments()) == 1

    def test_failing_proof_keeps_the_one_before(self, stf, site):
        engine = site.install()
        write_wheel(site.wheels, "MISSING = ['numpy']\n")
        with pytest.raises(stf.installer.InstallError, match="numpy is missing"):
            site.install()
        assert stf.locator.find() == engine
        assert stf.runner.query(engine, "check")["ok"]

    def test_an_index_that_cannot_be_reached(self, stf, site, monkeypatch):
        (site.core / "requirements.txt").write_text("stf-no-such-package\n", encoding="utf-8")
        monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
        monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
        monkeypatch.setenv("PIP_RETRIES", "1")
        with pytest.raises(QgsProcessingException, match="package index cannot be reached; check the network"):
            stf.installer.install(Recorder())
        assert site.environments() == []

    def test_uninstall(self, stf, site):
        site.install()
        (stf.folder / "mine.txt").write_text("the user's", encoding="utf-8")
        stf.installer.uninstall()
        assert not stf.locator.is_installed()
        assert [path.name for path in stf.folder.iterdir()] == ["mine.txt"]

    def test_uninstall_nothing(self, stf):
        stf.installer.uninstall()
        assert not stf.folder.exists()


class TestRefusals:
    """What is refused before anything is made."""

    def refused(self, stf, site, **arguments) -> str:
        with pytest.raises(stf.installer.InstallError) as raised:
            stf.installer.install(Recorder(), **arguments)
        assert site.environments() == []
        return str(raised.value)

    def test_no_space(self, stf, site, monkeypatch):
        monkeypatch.setattr(stf.installer, "free_mb", lambda folder: 2047)
        message = self.refused(stf, site)
        assert str(stf.folder) in message
        assert "2047 MB free" in message
        assert "2048 MB" in message

    def test_another_window_is_installing(self, stf, site):
        stf.folder.mkdir()
        lock = QLockFile(str(stf.folder / "install.lock"))
        assert lock.tryLock(0)
        assert "Another QGIS window" in self.refused(stf, site)
        lock.unlock()
        site.install()

    def test_no_python(self, stf, site, monkeypatch, tmp_path):
        monkeypatch.setenv("PATH", str(tmp_path))
        assert "No Python 3.10 to 3.13 was found" in self.refused(stf, site)

    @pytest.mark.parametrize(("answer", "words"), [
        ({"version": [3, 9]}, "is Python 3.9, and the engine needs 3.10 to 3.13"),
        ({"version": [3, 14]}, "is Python 3.14"),
        ({"pip": ""}, "sudo apt install python3.11-venv"),
        ({"wide": False}, "32-bit"),
    ])
    def test_an_unsuitable_python(self, stf, site, monkeypatch, tmp_path, answer, words):
        monkeypatch.setenv("PATH", str(Path(fake_python(tmp_path, **answer)).parent))
        message = self.refused(stf, site)
        assert words in message
        assert "'/fake/python3'" in message

    def test_a_given_python_that_cannot_be_run(self, stf, site):
        assert "'/nowhere/python' cannot be run" in self.refused(stf, site, base_python="/nowhere/python")

    def test_the_python_of_qgis(self, stf, site, monkeypatch, tmp_path):
        monkeypatch.setenv("OSGEO4W_ROOT", str(tmp_path))
        assert "is QGIS's own" in self.refused(stf, site, base_python=fake_python(tmp_path))

    def test_no_folder_of_wheels(self, stf, site):
        choice = stf.packages.Choice(wheels_folder="/nowhere")
        assert "'/nowhere' does not exist" in self.refused(stf, site, choice=choice)

    def test_inside_the_plugin(self, stf, site, monkeypatch):
        monkeypatch.setattr(stf.settings, "engine_folder", lambda: str(stf.locator.plugin_folder() / "engine_files"))
        assert "which QGIS manages" in self.refused(stf, site)
        assert not (stf.locator.plugin_folder() / "engine_files").exists()

    def test_a_folder_that_cannot_be_made(self, stf, site, monkeypatch, tmp_path):
        (tmp_path / "file").write_text("", encoding="utf-8")
        monkeypatch.setattr(stf.settings, "engine_folder", lambda: str(tmp_path / "file" / "engine"))
        assert "cannot be made" in self.refused(stf, site)


class TestPlan:
    """What is shown before the user agrees."""

    def test_download(self, stf, site):
        order = stf.installer.plan()
        text = "\n".join(order.sentences())
        for part in (str(stf.folder), f"{order.free_mb} MB free", order.base.python, "tiny==1.0",
                     f"about {stf.installer.BASE.download} MB are downloaded"):
            assert part in text
        assert not stf.folder.exists()

    def test_folder_of_wheels(self, stf, site):
        text = "\n".join(stf.installer.plan(choice=stf.packages.Choice(wheels_folder=str(site.wheels))).sentences())
        assert f"'{site.wheels}'; nothing is downloaded" in text

    def test_the_size_tells_what_is_installed(self, stf, site, monkeypatch):
        (site.core / "requirements-networks.txt").write_text("tiny>=0.5\n", encoding="utf-8")
        choice, sizes = stf.packages.Choice, (stf.installer.NETWORKS_CUDA, stf.installer.NETWORKS)
        monkeypatch.setattr(stf.installer, "free_mb", lambda folder: 2**20)
        for index, size in zip(("", "https://pytorch.example/cpu"), sizes, strict=True):
            monkeypatch.setattr("sys.platform", "linux")
            text = "\n".join(stf.installer.plan(choice=choice(networks=True, torch_index=index)).sentences())
            assert f"about {size.download} MB are downloaded" in text
            assert f"about {size.disk} MB" in text
            assert "tiny>=0.5" in text
        monkeypatch.setattr("sys.platform", "win32")
        assert stf.installer.size(choice(networks=True)) == stf.installer.NETWORKS

    def test_another_index_serves_pytorch_alone(self, stf):
        choice = stf.packages.Choice
        assert choice(networks=True, torch_index="https://x").sources() == ["--extra-index-url", "https://x"]
        assert choice(torch_index="https://x").sources() == []
        assert choice(True, "wheels", "https://x").sources() == ["--no-index", "--find-links", "wheels"]

    def test_the_real_requirements(self, stf):
        assert {"numpy", "numba", "rasterio"} <= {name.split(">")[0] for name in stf.installer.plan().requirements}


class TestPip:
    """pip's way to the network, and its failures in words."""

    @pytest.fixture
    def proxy(self, qgis):
        manager = QgsNetworkAccessManager.instance()
        before = manager.fallbackProxy()
        yield lambda proxy: manager.setFallbackProxyAndExcludes(proxy, ["intranet"], [])
        manager.setFallbackProxyAndExcludes(before, [], [])

    def test_the_proxy_of_qgis(self, stf, proxy, monkeypatch):
        monkeypatch.setenv("HTTPS_PROXY", "http://another:1")
        proxy(QNetworkProxy(QNetworkProxy.ProxyType.HttpProxy, "proxy.example", 3128, "me", "a@b"))
        environment = stf.packages._pip_environment(Recorder())
        assert environment.value("https_proxy") == "http://me:a%40b@proxy.example:3128"
        assert not environment.contains("HTTPS_PROXY")
        assert environment.value("no_proxy") == "intranet"

    def test_a_socks_proxy_is_said_not_to_be_used(self, stf, proxy):
        proxy(QNetworkProxy(QNetworkProxy.ProxyType.Socks5Proxy, "proxy.example", 1080))
        feedback = Recorder()
        assert not stf.packages._pip_environment(feedback).contains("https_proxy")
        assert "SOCKS" in feedback.texts("warning")[0]

    def test_only_settings_of_the_connection(self, stf, monkeypatch):
        monkeypatch.setenv("PIP_TARGET", "/somewhere")
        monkeypatch.setenv("PIP_INDEX_URL", "https://mirror.example/simple")
        environment = stf.packages._pip_environment(Recorder())
        assert environment.value("PIP_INDEX_URL") == "https://mirror.example/simple"
        assert not environment.contains("PIP_TARGET")

    @pytest.mark.parametrize(("line", "words"), [
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "disk"),
        ("SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED]", "certificate"),
        ("ProxyError('Cannot connect to proxy.', OSError('Tunnel connection failed: 407", "proxy"),
        ("NewConnectionError: [Errno -3] Temporary failure in name resolution", "cannot be reached"),
        ("ERROR: Could not install packages: [WinError 32] The process cannot access the file", "locked"),
        ("ERROR: something new.", "pip failed and said 'ERROR: something new'"),
    ])
    def test_failures_in_words(self, stf, line, words):
        after = "ERROR: No matching distribution found for numpy" if "ERROR" not in line else "the end"
        assert words in stf.packages.explain(["Collecting numpy", line, after], "")

    def test_no_output_at_all(self, stf):
        assert "said 'nothing'" in stf.packages.explain([], "")
