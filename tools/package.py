"""Puts the plugin together.

``stage`` makes build/stf_qgis_plugin, ``zip`` makes dist/stf_qgis_plugin-VERSION.zip of it. The folder is brought up
to date in place, so that compiled kernels beside it stay valid. The zip's bytes depend on nothing but the files.
"""

from __future__ import annotations

import argparse
import shutil
import zipfile
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NAME = "stf_qgis_plugin"
STAGE = ROOT / "build" / NAME

#: Where the plugin's files come from: the folder in the plugin by the folder in the repository.
FOLDERS = {NAME: ".", "core": "core", "resources": "resources"}
FILES = ("LICENSE", "metadata.txt")
_LEFT_OUT = {"__pycache__", "tests", "build"}


def version() -> str:
    """The plugin's version, as metadata.txt says it."""
    metadata = ConfigParser(interpolation=None)
    metadata.read(ROOT / "metadata.txt", encoding="utf-8")
    return metadata["general"]["version"]


def archive() -> Path:
    """The path of the zip."""
    return ROOT / "dist" / f"{NAME}-{version()}.zip"


def sources() -> dict[Path, Path]:
    """The files of the plugin: the source by the path within the plugin."""
    found = {Path(name): ROOT / name for name in FILES}
    for folder, place in FOLDERS.items():
        for file in _files(ROOT / folder):
            found[Path(place) / file.relative_to(ROOT / folder)] = file
    return found


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name in _LEFT_OUT or path.name.startswith(".") or path.suffix in (".egg-info", ".pyc"):
            continue
        if path.is_dir():
            yield from _files(path)
        else:
            yield path


def stage() -> None:
    """Bring build/stf_qgis_plugin up to date."""
    wanted = {STAGE / name: source for name, source in sources().items()}
    for old in [path for path in STAGE.rglob("*") if path.is_file() and path.parent.name != "__pycache__"]:
        if old not in wanted:
            old.unlink()
    for target, source in wanted.items():
        if not target.exists() or _stamp(target) != _stamp(source):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def pack() -> None:
    """Make the zip of what is staged."""
    archive().parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(archive(), "w", zipfile.ZIP_DEFLATED, compresslevel=9) as zipped:
        for name in sorted(sources(), key=Path.as_posix):
            entry = zipfile.ZipInfo(f"{NAME}/{name.as_posix()}", date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o100644 << 16
            entry.create_system = 3
            zipped.writestr(entry, (STAGE / name).read_bytes(), compresslevel=9)
    print(f"{archive().relative_to(ROOT)}: {archive().stat().st_size / 2**20:.2f} MiB")


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=("stage", "zip"))
    action = parser.parse_args().action
    stage()
    if action == "zip":
        pack()


if __name__ == "__main__":
    main()
