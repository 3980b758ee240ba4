"""Where the engine is looked for, what it is told of QGIS's environment, and the settings page."""

from __future__ import annotations

import json
import os
import sys

import pytest

from recording import Recorder


def install_pointer(stf, **changes) -> None:
    """What the installer leaves behind, with this Python as the environment's."""
    plain = {"python": sys.executable, "folder": str(stf.folder / "env-1"),
             "requirements": list(stf.locator.requirements()), **changes}
    stf.folder.mkdir(exist_ok=True)
    stf.locator.pointer_file().write_text(json.dumps(plain), encoding="utf-8")


def missing(stf) -> str:
    with pytest.raises(stf.locator.EngineMissing) as raised:
        stf.locator.find()
    assert not stf.locator.is_installed()
    return str(raised.value)


class TestFind:
    """The setting first, then the installed environment."""

    def test_nothing_installed(self, stf):
        assert "run 'Install engine'" in missing(stf)
        assert stf.settings.PAGE in missing(stf)

    def test_installed(self, stf):
        install_pointer(stf)
        assert stf.locator.find() == stf.locator.Engine(sys.executable, str(stf.locator.core_folder()))
        assert stf.locator.is_installed()

    def test_the_setting_wins(self, stf, monkeypatch):
        install_pointer(stf)
        monkeypatch.setattr(stf.settings, "engine_python", lambda: "/bin/sh")
        assert stf.locator.find().python == "/bin/sh"

    def test_the_setting_is_wrong(self, stf, monkeypatch):
        install_pointer(stf)
        monkeypatch.setattr(stf.settings, "engine_python", lambda: "/nowhere/python")
        assert "'/nowhere/python', is not there" in missing(stf)
        assert stf.settings.PAGE in missing(stf)

    def test_the_environment_is_gone(self, stf):
        install_pointer(stf, python="/nowhere/python")
        assert "run 'Install engine' in the toolbox again" in missing(stf)

    def test_made_for_other_packages(self, stf):
        install_pointer(stf, requirements=["numpy<1"])
        assert "installed for another version of the plugin" in missing(stf)

    @pytest.mark.parametrize("text", ["", "{", "[]", '{"python": "x"}'])
    def test_a_broken_pointer(self, stf, text):
        stf.folder.mkdir()
        stf.locator.pointer_file().write_text(text, encoding="utf-8")
        assert "not installed" in missing(stf)

    def test_is_installed_follows_and_starts_nothing(self, stf, monkeypatch):
        monkeypatch.setattr(stf.process, "QProcess", None)
        assert not stf.locator.is_installed()
        install_pointer(stf)
        assert stf.locator.is_installed()
        stf.locator.pointer_file().unlink()
        assert not stf.locator.is_installed()


class TestEnvironment:
    """What an engine started from QGIS sees."""

    REMOVED = (
        "PYTHONHOME", "PYTHONEXECUTABLE", "PYTHONSTARTUP", "VIRTUAL_ENV", "CONDA_PREFIX", "PIP_TARGET", "UV_PYTHON",
        "QGIS_PREFIX_PATH", "QT_PLUGIN_PATH", "GDAL_DATA", "GDAL_DRIVER_PATH", "PROJ_LIB", "LD_LIBRARY_PATH",
        "DYLD_LIBRARY_PATH",
    )

    @staticmethod
    def seen(stf) -> dict[str, str]:
        """The environment of a real Python, as it sees it itself."""
        lines: list[str] = []
        command = [sys.executable, "-c", "import json, os; print(json.dumps(dict(os.environ)))"]
        ended = stf.process.run(command, "/", stf.environment.clean_environment(), lines.append, Recorder())
        assert ended.code == 0
        found: dict[str, str] = json.loads(lines[-1])
        return found

    def test_removed(self, stf, monkeypatch):
        for name in self.REMOVED:
            monkeypatch.setenv(name, "/opt/other")
        assert not set(self.REMOVED) & set(self.seen(stf))

    def test_kept(self, stf, monkeypatch):
        kept = {"HTTPS_PROXY": "proxy:3128", "HOME": "/home/someone", "TEMP": "/var/tmp", "CUDA_VISIBLE_DEVICES": "1"}
        for name, value in kept.items():
            monkeypatch.setenv(name, value)
        assert kept.items() <= self.seen(stf).items()

    def test_set(self, stf):
        seen = self.seen(stf)
        assert seen["PYTHONPATH"] == str(stf.locator.core_folder())
        for name in ("PYTHONNOUSERSITE", "PYTHONSAFEPATH", "PYTHONUTF8", "PYTHONUNBUFFERED"):
            assert seen[name] == "1"
        for name in ("PYTHONPYCACHEPREFIX", "NUMBA_CACHE_DIR"):
            assert seen[name].startswith(str(stf.folder))
        assert seen["NUMBA_CACHE_DIR"].endswith(f"numba-{stf.snapshot().engine}")

    def test_folders_and_certificates_of_qgis(self, stf, monkeypatch, tmp_path):
        root = tmp_path / "QGIS 4.0"
        monkeypatch.setenv("OSGEO4W_ROOT", str(root))
        monkeypatch.setenv("PATH", os.pathsep.join([str(root / "bin"), "/usr/bin", f"{root} other", ""]))
        monkeypatch.setenv("SSL_CERT_FILE", str(root / "bin" / "cacert.pem"))
        monkeypatch.setenv("CURL_CA_BUNDLE", "/etc/company.pem")
        seen = self.seen(stf)
        assert seen["PATH"] == os.pathsep.join(["/usr/bin", f"{root} other"])
        assert "SSL_CERT_FILE" not in seen
        assert seen["CURL_CA_BUNDLE"] == "/etc/company.pem"

    def test_a_bundle_and_a_system_prefix(self, stf, monkeypatch):
        monkeypatch.setenv("QGIS_PREFIX_PATH", "/Applications/QGIS.app/Contents/MacOS")
        assert stf.environment.in_qgis("/Applications/QGIS.app/Contents/Resources/certs/ca.pem")
        monkeypatch.setenv("QGIS_PREFIX_PATH", "/usr")
        assert not stf.environment.in_qgis("/usr/bin")


class TestSettings:
    """The page in the Processing options."""

    @pytest.fixture
    def page(self, stf, monkeypatch):
        from processing.core.ProcessingConfig import ProcessingConfig
        from qgis.PyQt.QtGui import QIcon

        monkeypatch.setattr(ProcessingConfig, "settings", dict(ProcessingConfig.settings))
        monkeypatch.setattr(ProcessingConfig, "settingIcons", dict(ProcessingConfig.settingIcons))
        stf.settings.register("STF", QIcon())
        yield ProcessingConfig
        for key in stf.settings._DEFAULTS:
            if key in ProcessingConfig.settings:
                ProcessingConfig.setSettingValue(key, stf.settings._DEFAULTS[key])

    def test_defaults(self, stf, page):
        assert len(page.getSettings()["STF"]) == 5
        assert stf.settings.engine_python() == ""
        assert stf.settings.memory_mb() == 2048
        assert stf.settings.threads() == 0
        assert stf.settings.keep_job_files() is False

    def test_values_as_the_dialog_gives_them(self, stf, page):
        page.setSettingValue(stf.settings.MEMORY_MB, "1024")
        page.setSettingValue(stf.settings.THREADS, "3")
        page.setSettingValue(stf.settings.KEEP_JOB_FILES, True)
        page.setSettingValue(stf.settings.ENGINE_PYTHON, sys.executable)
        page.readSettings()
        assert stf.settings.memory_mb() == 1024
        assert stf.settings.threads() == 3
        assert stf.settings.keep_job_files() is True
        assert stf.settings.engine_python() == sys.executable

    @pytest.mark.parametrize(("name", "value"), [("MEMORY_MB", "100"), ("MEMORY_MB", "much"), ("THREADS", "-1")])
    def test_values_that_are_refused(self, stf, page, name, value):
        with pytest.raises(ValueError, match="whole number of at least"):
            page.setSettingValue(getattr(stf.settings, name), value)

    def test_unregister(self, stf, page):
        stf.settings.unregister()
        assert "STF" not in page.getSettings()
        assert stf.settings.memory_mb() == 2048


def test_the_default_folder_is_outside_the_plugin_and_the_profile(stf, monkeypatch):
    monkeypatch.undo()
    folder = stf.settings.engine_folder()
    assert os.path.isabs(folder)
    assert folder.endswith("stf_qgis")
    assert not folder.startswith((str(stf.locator.plugin_folder()), os.environ["QGIS_CUSTOM_CONFIG_PATH"]))
