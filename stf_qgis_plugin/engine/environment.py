"""The environment variables of the engine: those of QGIS, without what belongs to QGIS and its Python alone."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from qgis.core import QgsApplication
from qgis.PyQt.QtCore import QProcessEnvironment

from .. import settings
from ..algorithms.declarations import snapshot
from . import locator

#: Variables that lead another Python, GDAL, PROJ or loader into the libraries of QGIS, by the start of their names.
_REMOVED = (
    "PYTHON", "VIRTUAL_ENV", "CONDA_", "PIP_", "UV_", "QGIS_", "QT_", "GDAL_", "PROJ_", "OSGEO4W_ROOT",
    "LD_LIBRARY_PATH", "LD_PRELOAD", "DYLD_",
)
#: Variables that are right for every program unless they point into the QGIS installation.
_CERTIFICATES = ("CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")

#: Prefixes that QGIS shares with the rest of the system where it comes from a package manager.
_SYSTEM = (Path("/"), Path("/usr"), Path("/usr/local"))


def clean_environment() -> QProcessEnvironment:
    """The environment for every Python that the plugin starts; see the module's own description."""
    environment = QProcessEnvironment.systemEnvironment()
    names: list[str] = environment.keys()
    for name in names:
        if name.upper().startswith(_REMOVED):
            environment.remove(name)
    for name in _CERTIFICATES:
        if environment.contains(name) and in_qgis(environment.value(name)):
            environment.remove(name)
    folders = environment.value("PATH").split(os.pathsep)
    environment.insert("PATH", os.pathsep.join(folder for folder in folders if folder and not in_qgis(folder)))

    environment.insert("PYTHONPATH", str(locator.core_folder()))
    for name in ("PYTHONNOUSERSITE", "PYTHONSAFEPATH", "PYTHONUTF8", "PYTHONUNBUFFERED"):
        environment.insert(name, "1")
    # Compiled files go to the user's own folder: never into the plugin, and kept even if the packages are read-only.
    environment.insert("PYTHONPYCACHEPREFIX", str(cache_folder() / "python"))
    # numba looks at a kernel's own file only, not at what it calls: another version must not find these.
    environment.insert("NUMBA_CACHE_DIR", str(cache_folder() / f"numba-{snapshot().engine}"))
    return environment


def cache_folder() -> Path:
    """What the engine compiled; it can be removed at any time."""
    return Path(settings.engine_folder()) / "cache"


def in_qgis(path: str) -> bool:
    """Whether a path is inside the QGIS installation, where that has folders of its own."""
    place = Path(path)
    return any(root == place or root in place.parents for root in _qgis_folders())


def _qgis_folders() -> set[Path]:
    given = (
        os.environ.get("OSGEO4W_ROOT"), os.environ.get("QGIS_PREFIX_PATH"), QgsApplication.prefixPath(), sys.prefix
    )
    folders = {_bundle(Path(path)) for path in given if path}
    return folders.difference(_SYSTEM)


def _bundle(folder: Path) -> Path:
    """The whole application bundle that a folder is in on macOS, else the folder."""
    return next((parent for parent in (folder, *folder.parents) if parent.suffix == ".app"), folder)
