"""Making the engine's own Python environment, outside QGIS, and removing it again."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from qgis.core import QgsApplication, QgsFeedback, QgsProcessingException, QgsProcessingFeedback
from qgis.PyQt.QtCore import QLockFile

from .. import settings
from ..algorithms.declarations import snapshot
from . import locator, packages, process, runner
from .environment import cache_folder, clean_environment
from .interpreters import MINORS, BasePython, find_base_python

__all__ = ["InstallError", "Plan", "find_base_python", "free_mb", "install", "plan", "uninstall"]


@dataclass(frozen=True)
class Size:
    """Sizes of the engine's packages on Linux, where they are largest, in MB.

    ``needed`` is the free space without which nothing is begun: for the old environment, the new one and pip's
    temporary files together.
    """

    download: int
    disk: int
    needed: int


BASE = Size(230, 850, 2048)
#: With PyTorch for a processor, as it comes on Windows and macOS; and as it comes on Linux, with all of CUDA.
NETWORKS = Size(480, 1900, 4096)
NETWORKS_CUDA = Size(3300, 8500, 14336)

_PREFIX = "env-"


class InstallError(QgsProcessingException):
    """The engine cannot be installed or removed; the sentence names the remedy."""


@dataclass(frozen=True)
class Plan:
    """What an installation will do, to be shown before it is agreed to."""

    base: BasePython
    folder: str
    free_mb: int
    requirements: tuple[str, ...]
    choice: packages.Choice

    def sentences(self) -> list[str]:
        """The plan in words, a line each."""
        origin = (
            f"the folder '{self.choice.wheels_folder}'; nothing is downloaded" if self.choice.wheels_folder
            else f"the Python package index: about {size(self.choice).download} MB are downloaded"
        )
        return [
            f"Folder: {self.folder}, which has {self.free_mb} MB free; the engine takes about "
            f"{size(self.choice).disk} MB.",
            f"Python: {self.base.python} (version {self.base.version}). It stays as it is, and so does QGIS's own.",
            f"Packages: {', '.join(self.requirements)}, and the packages that these need.",
            f"They come from {origin}.",
        ]


def size(choice: packages.Choice) -> Size:
    """How large the packages of a choice are; another index is taken to have PyTorch without CUDA."""
    if not choice.networks:
        return BASE
    return NETWORKS_CUDA if sys.platform == "linux" and not choice.torch_index else NETWORKS


def plan(
    base_python: str = "", choice: packages.Choice | None = None, feedback: QgsFeedback | None = None
) -> Plan:
    """What :func:`install` would do. It starts each Python it finds, so call it from a worker thread.

    Raises
    ------
    InstallError
        There is no suitable Python, no space, no folder of wheels, or the target folder is not suitable.
    """
    folder, choice = _target(), choice or packages.Choice()
    if choice.wheels_folder and not os.path.isdir(choice.wheels_folder):
        raise InstallError(f"The folder of wheels '{choice.wheels_folder}' does not exist; choose another.")
    space, needed = free_mb(folder), size(choice).needed
    if space < needed:
        raise InstallError(
            f"The engine's folder '{folder}' has {space} MB free and the installation needs {needed} MB; free some "
            f"space, or choose another folder in {settings.PAGE}."
        )
    return Plan(_base(base_python, feedback), str(folder), space, locator.requirements(choice.networks), choice)


def install(
    feedback: QgsProcessingFeedback, base_python: str = "", choice: packages.Choice | None = None
) -> locator.Engine:
    """Make a new environment, prove that it works, and only then use it in place of the one before.

    ``base_python`` is the interpreter to make it from (the best one found when empty), ``choice`` says which packages
    are installed, and from where. Call it from a worker thread.

    Raises
    ------
    QgsProcessingException
        The installation failed or was cancelled: nothing of it is left, and the environment before it is still in use.
    """
    folder = _target()
    with _locked(folder):
        _sweep(folder)
        order = plan(base_python, choice, feedback)
        for sentence in order.sentences():
            feedback.pushInfo(sentence)
        try:
            environment = _new_environment(folder)
            engine = _make(order, environment, feedback)
            _prove(engine, feedback)
            _use(engine, environment, order)
        except OSError as error:
            raise InstallError(
                f"The engine cannot be installed in '{folder}' ({error.strerror}); choose another folder in "
                f"{settings.PAGE}."
            ) from error
        finally:
            _sweep(folder)
    feedback.setProgress(100)
    return engine


def uninstall() -> None:
    """Remove the installed environment and everything that the engine compiled.

    Raises
    ------
    InstallError
        Another QGIS window is installing, or files are in use.
    """
    folder = _target()
    if not folder.is_dir():
        return
    with _locked(folder):
        locator.pointer_file().unlink(missing_ok=True)
        _sweep(folder)
        shutil.rmtree(cache_folder(), ignore_errors=True)
        left = [*folder.glob(f"{_PREFIX}*")]
    if left:
        raise InstallError(f"The folder '{left[0]}' is in use; close the other QGIS windows and try again.")


def free_mb(folder: Path) -> int:
    """Free space in MB on the disk of a folder, which need not exist yet."""
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    return shutil.disk_usage(existing).free // 2**20


def _target() -> Path:
    """The engine's folder; never one that an update of the plugin or a copy of the QGIS profile takes along."""
    folder = Path(settings.engine_folder()).absolute()
    for owner in (locator.plugin_folder(), Path(QgsApplication.qgisSettingsDirPath(), "python").absolute()):
        if owner == folder or owner in folder.parents:
            raise InstallError(
                f"The engine's folder '{folder}' is inside '{owner}', which QGIS manages; choose another in "
                f"{settings.PAGE}."
            )
    return folder


def _base(given: str, feedback: QgsFeedback | None) -> BasePython:
    refused: list[str] = []
    for found in find_base_python(given, feedback):
        if not found.problem:
            return found
        refused.append(f"'{found.python}' {found.problem}")
    wanted = f"3.{min(MINORS)} to 3.{max(MINORS)}"
    if not refused:
        raise InstallError(
            f"No Python {wanted} was found on this computer; install one from python.org or with the system's package "
            "manager, or name its interpreter."
        )
    raise InstallError(f"No suitable Python {wanted} was found: {'; '.join(refused)}.")


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep other QGIS windows from installing into the same folder; a window that is gone holds no lock."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InstallError(
            f"The engine's folder '{folder}' cannot be made ({error.strerror}); choose another in {settings.PAGE}."
        ) from error
    lock = QLockFile(str(folder / "install.lock"))
    lock.setStaleLockTime(0)
    if not lock.tryLock(0):
        if lock.error() == QLockFile.LockError.LockFailedError:
            raise InstallError("Another QGIS window is installing the engine; wait until it is done.")
        raise InstallError(f"The engine's folder '{folder}' is not writable; choose another in {settings.PAGE}.")
    try:
        yield
    finally:
        lock.unlock()


def _sweep(folder: Path) -> None:
    """Remove every environment but the one in use; what is still open on Windows goes the next time."""
    pointer = locator.installed()
    for environment in folder.glob(f"{_PREFIX}*"):
        if pointer is None or environment != Path(pointer["folder"]):
            shutil.rmtree(environment, ignore_errors=True)


def _new_environment(folder: Path) -> Path:
    """A folder for a new environment, named after the engine's version."""
    number = 1
    while (folder / f"{_PREFIX}{snapshot().engine}-{number}").exists():
        number += 1
    environment = folder / f"{_PREFIX}{snapshot().engine}-{number}"
    environment.mkdir()
    return environment


def _make(order: Plan, environment: Path, feedback: QgsProcessingFeedback) -> locator.Engine:
    """Make the virtual environment and fill it with the packages."""
    feedback.setProgressText("Making the environment")
    said: list[str] = []
    command = [order.base.python, "-m", "venv", "--without-pip", str(environment)]
    ended = process.run(
        command, str(environment), clean_environment(), said.append, feedback, grace_s=0.0, merged=True
    )
    python = environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if ended.code != 0 or not python.exists():
        raise InstallError(
            f"'{order.base.python}' cannot make a virtual environment ('{said[-1] if said else 'it said nothing'}'); "
            "name another Python."
        )
    feedback.setProgressText("Installing the packages")
    packages.install(order.base, str(python), order.choice, feedback)
    return locator.Engine(str(python), str(locator.core_folder()))


def _prove(engine: locator.Engine, feedback: QgsProcessingFeedback) -> None:
    """Let the new environment compute something before it is used."""
    feedback.setProgressText("Checking the engine")
    shutil.rmtree(cache_folder(), ignore_errors=True)  # compiled for the environment before
    report = runner.query(engine, "check", feedback)
    if not report["ok"]:
        reasons = [f"{name} is missing" for name in report.get("missing", [])]
        reasons += [f"{device['name']}: {device['reason']}" for device in report.get("devices", []) if not device["ok"]]
        raise InstallError(f"The new environment does not compute as it should ({'; '.join(reasons)}); "
                           "run 'Install engine' again with another Python.")


def _use(engine: locator.Engine, environment: Path, order: Plan) -> None:
    """Point to the new environment, in one step."""
    pointer = locator.pointer_file()
    unfinished = environment / pointer.name
    content = {
        "python": engine.python, "folder": str(environment), "requirements": list(order.requirements),
        "networks": order.choice.networks,
    }
    unfinished.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    os.replace(unfinished, pointer)
