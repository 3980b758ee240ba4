"""The page of STF in the Processing options: its settings, and their values with the right types."""

from __future__ import annotations

from collections.abc import Callable

from processing.core.ProcessingConfig import ProcessingConfig, Setting
from qgis.PyQt.QtCore import QCoreApplication, QStandardPaths
from qgis.PyQt.QtGui import QIcon

ENGINE_PYTHON = "STF_ENGINE_PYTHON"
ENGINE_FOLDER = "STF_ENGINE_FOLDER"
MEMORY_MB = "STF_MEMORY_MB"
THREADS = "STF_THREADS"
KEEP_JOB_FILES = "STF_KEEP_JOB_FILES"

#: Where a person finds the settings; error sentences name it.
PAGE = "Settings ▸ Options ▸ Processing ▸ Providers ▸ STF"

#: The least memory that the engine accepts in a job.
MINIMUM_MEMORY_MB = 256

_DEFAULTS: dict[str, str | int | bool] = {
    ENGINE_PYTHON: "",
    ENGINE_FOLDER: "",
    MEMORY_MB: 2048,
    THREADS: 0,
    KEEP_JOB_FILES: False,
}


def register(provider_name: str, icon: QIcon) -> None:
    """Add the settings to the Processing options, and read the values that were saved."""
    ProcessingConfig.settingIcons[provider_name] = icon
    for setting in _settings(provider_name):
        ProcessingConfig.addSetting(setting)
    ProcessingConfig.readSettings()


def unregister() -> None:
    """Take the settings off the Processing options; their saved values stay."""
    for key in _DEFAULTS:
        ProcessingConfig.removeSetting(key)


def engine_python() -> str:
    """Path of an existing interpreter that runs the engine; empty when the installed engine is to be used."""
    return str(_value(ENGINE_PYTHON)).strip()


def engine_folder() -> str:
    """Folder of the installed engine and its caches: the user's choice, or one in the user's data folder.

    It is outside the plugin and outside the QGIS profile, so that an update of either leaves the engine alone.
    """
    location = QStandardPaths.writableLocation(QStandardPaths.StandardLocation.GenericDataLocation)
    return str(_value(ENGINE_FOLDER)).strip() or f"{location}/stf_qgis"


def memory_mb() -> int:
    """Memory limit of the engine in MB."""
    return int(_value(MEMORY_MB))


def threads() -> int:
    """Threads of the engine; 0 means all."""
    return int(_value(THREADS))


def keep_job_files() -> bool:
    """Whether the job file of each run is kept beside its result."""
    return bool(_value(KEEP_JOB_FILES))


def _value(key: str) -> str | int | bool:
    """The value of a setting; its default when it was cleared or the page is not registered."""
    value = ProcessingConfig.getSetting(key)
    return _DEFAULTS[key] if value in (None, "") else value


def _settings(group: str) -> list[Setting]:
    return [
        Setting(
            group, ENGINE_PYTHON, _translate("Existing Python with the engine's packages"), _DEFAULTS[ENGINE_PYTHON],
            valuetype=Setting.FILE, placeholder=_translate("Leave blank for the installed engine"),
        ),
        # The default is blank and not the folder itself: the options dialog refuses folders that do not exist yet.
        Setting(
            group, ENGINE_FOLDER, _translate("Folder of the installed engine"), _DEFAULTS[ENGINE_FOLDER],
            valuetype=Setting.FOLDER, placeholder=_translate("Leave blank for default"),
        ),
        Setting(
            group, MEMORY_MB, _translate("Memory limit (MB)"), _DEFAULTS[MEMORY_MB],
            valuetype=Setting.INT, validator=_at_least(MINIMUM_MEMORY_MB),
        ),
        Setting(
            group, THREADS, _translate("Threads (0: all)"), _DEFAULTS[THREADS],
            valuetype=Setting.INT, validator=_at_least(0),
        ),
        Setting(
            group, KEEP_JOB_FILES, _translate("Keep the job file of each run beside its result"),
            _DEFAULTS[KEEP_JOB_FILES],
        ),
    ]


def _at_least(minimum: int) -> Callable[[object], None]:
    """A check of what a person typed, in the form that the options dialog expects: a ValueError says what is wrong."""

    def check(value: object) -> None:
        text = str(value).strip()
        if not text.isdecimal() or int(text) < minimum:
            raise ValueError(_translate("'{0}' is not a whole number of at least {1}").format(text, minimum))

    return check


def _translate(text: str) -> str:
    return QCoreApplication.translate("StfSettings", text)
