"""Where the engine is: its code inside the plugin, its interpreter in the settings or in the installed environment."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from qgis.core import QgsProcessingException

from .. import settings

#: The file in the engine folder that says which environment is in use.
POINTER = "engine.json"


class EngineMissing(QgsProcessingException):
    """There is no engine to run; the sentence names the remedy."""


@dataclass(frozen=True)
class Engine:
    """An interpreter that has the engine's packages, and the folder of the engine's code."""

    python: str
    core: str


def plugin_folder() -> Path:
    """The folder that QGIS loaded the plugin from."""
    return Path(__file__).resolve().parent.parent


def core_folder() -> Path:
    """The engine's code, which the plugin carries."""
    return plugin_folder() / "core"


def pointer_file() -> Path:
    """The file that the installer writes last about its environment.

    It has ``python``, ``folder`` and ``requirements``, and ``networks`` where these have the networks' packages.
    """
    return Path(settings.engine_folder()) / POINTER


def requirement_files(networks: bool = False) -> tuple[Path, ...]:
    """The files that say which packages the engine needs, with or without those of the networks."""
    names = ("requirements.txt", "requirements-networks.txt")
    return tuple(core_folder() / name for name in names[: 2 if networks else 1])


def requirements(networks: bool = False) -> tuple[str, ...]:
    """The packages that the engine needs, as pip writes them."""
    lines = [line for file in requirement_files(networks) for line in file.read_text(encoding="utf-8").splitlines()]
    return tuple(line.strip() for line in lines if line.strip() and not line.startswith("#"))


def installed() -> dict[str, Any] | None:
    """What the installer wrote about the environment in use; None when none is installed."""
    try:
        plain = json.loads(pointer_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    complete = isinstance(plain, dict) and {"python", "folder", "requirements"} <= plain.keys()
    return plain if complete else None


def find(needs: str = "base") -> Engine:
    """The engine to run: the interpreter of the settings if there is one, else the installed environment.

    ``needs`` are the packages that a method needs: "base", or "networks" as well.

    Raises
    ------
    EngineMissing
        Neither exists, or the installed environment was made for other packages.
    """
    chosen = settings.engine_python()
    if chosen:
        remedy = f"correct it in {settings.PAGE}, or clear it there and run 'Install engine'"
        return Engine(_existing(chosen, remedy), str(core_folder()))
    pointer = installed()
    if pointer is None:
        raise EngineMissing(
            "The STF engine is not installed; run 'Install engine' in the toolbox, "
            f"or give an existing Python in {settings.PAGE}."
        )
    networks = bool(pointer.get("networks"))
    if pointer["requirements"] != list(requirements(networks)):
        raise EngineMissing(
            "The STF engine was installed for another version of the plugin; run 'Install engine' in the toolbox again."
        )
    if needs == "networks" and not networks:
        raise EngineMissing(
            "The STF engine was installed without the packages of the networks; run 'Install engine' in the toolbox "
            "again, with 'Packages of the networks'."
        )
    return Engine(_existing(str(pointer["python"]), "run 'Install engine' in the toolbox again"), str(core_folder()))


def is_installed() -> bool:
    """Whether :func:`find` has an engine to offer, for every click in the toolbox: at once, starting no process."""
    pointer = pointer_file()
    modified = pointer.stat().st_mtime_ns if pointer.exists() else 0
    return _is_installed(settings.engine_python(), str(pointer), modified)


@lru_cache(maxsize=1)
def _is_installed(chosen: str, pointer: str, modified: int) -> bool:
    """The answer for one state of the settings and of the pointer file."""
    try:
        find()
    except EngineMissing:
        return False
    return True


def _existing(python: str, remedy: str) -> str:
    if not (os.path.isfile(python) and os.access(python, os.X_OK)):
        raise EngineMissing(f"The Python of the STF engine, '{python}', is not there or cannot be run; {remedy}.")
    return python
