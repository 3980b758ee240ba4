"""Pythons on this computer that the engine's environment can be made from."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from qgis.core import QgsFeedback

from . import process
from .environment import clean_environment, in_qgis
from .messages import json_object

#: Minor versions of Python 3 that the engine's packages are published for, best first.
MINORS = (13, 12, 11, 10)

#: Where installers put Python on macOS; programs that were not started from a terminal lack these in PATH.
_MACOS_FOLDERS = ("/opt/homebrew/bin", "/usr/local/bin")

_PROBE = Path(__file__).with_name("probe.py")
_PROBE_LIMIT_S = 20.0


@dataclass(frozen=True)
class BasePython:
    """A Python on this computer: its interpreter, version ("3.11"), the pip wheel it comes with, or what is wrong."""

    python: str
    version: str = ""
    pip: str = ""
    problem: str = ""


def find_base_python(given: str = "", feedback: QgsFeedback | None = None) -> Iterator[BasePython]:
    """The Pythons of this computer, best first, each with its ``problem`` if it cannot be used.

    Only ``given`` is looked at when it is there. The Python of QGIS itself is left out. Each is started to see what it
    is, so this belongs in a worker thread.
    """
    seen: set[str] = set()
    for command in [[given]] if given else _guesses():
        found = _ask(command, feedback or QgsFeedback())
        place = os.path.realpath(found.python)
        if place not in seen:
            seen.add(place)
            yield found


def _guesses() -> Iterator[list[str]]:
    """Commands that may start a Python."""
    path = clean_environment().value("PATH")
    if os.name == "nt":
        launcher, plain = shutil.which("py", path=path), shutil.which("python", path=path)
        if launcher:
            yield from ([launcher, f"-3.{minor}"] for minor in MINORS)
        if plain:
            yield [plain]
        return
    folders = [*path.split(os.pathsep), *(folder for folder in _MACOS_FOLDERS if os.path.isdir(folder))]
    for name in (*(f"python3.{minor}" for minor in MINORS), "python3"):
        for folder in dict.fromkeys(folders):
            candidate = os.path.join(folder, name)
            if os.access(candidate, os.X_OK):
                yield [candidate]


def _ask(command: list[str], feedback: QgsFeedback) -> BasePython:
    """Start a Python and judge what it says about itself."""
    if in_qgis(command[0]):
        return BasePython(command[0], problem="is QGIS's own; give another one")
    lines: list[str] = []
    try:
        process.run(
            [*command, "-B", str(_PROBE)], str(_PROBE.parent), clean_environment(), lines.append, feedback,
            limit_s=_PROBE_LIMIT_S, grace_s=0.0,
        )
    except (process.NotStarted, process.TooSlow):
        lines.clear()
    answer = json_object(lines[-1]) if lines else None
    if answer is None:
        return BasePython(command[0], problem="cannot be run")
    major, minor = answer["version"]
    return BasePython(answer["python"], f"{major}.{minor}", answer["pip"], _problem(major, minor, answer))


def _problem(major: int, minor: int, answer: dict[str, object]) -> str:
    if major != 3 or minor not in MINORS:
        return f"is Python {major}.{minor}, and the engine needs 3.{min(MINORS)} to 3.{max(MINORS)}"
    if not answer["wide"]:
        return "is a 32-bit program, and the engine needs a 64-bit one"
    if not answer["pip"]:
        return (
            "cannot make virtual environments because its modules venv and ensurepip are not complete; "
            f"on Debian and Ubuntu run: sudo apt install python{major}.{minor}-venv"
        )
    return ""
