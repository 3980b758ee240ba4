"""QGIS without a window, the staged plugin in it, and small scenes; the user's own QGIS profile is never touched."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from osgeo import gdal, osr

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
if "QGIS_CUSTOM_CONFIG_PATH" not in os.environ:
    os.environ["QGIS_CUSTOM_CONFIG_PATH"] = tempfile.mkdtemp(prefix="stf-tests-")
if not (BUILD / "stf_qgis_plugin" / "metadata.txt").exists():
    pytest.exit("build/stf_qgis_plugin is missing; run 'make build' first", returncode=1)
sys.path.insert(0, str(BUILD))
gdal.UseExceptions()

from qgis.core import QgsApplication, QgsProcessingContext, QgsProcessingFeedback, QgsProject  # noqa: E402

FINE_PIXEL, RATIO, COARSE_SIZE = 30.0, 8, 8


#: Lives as long as the process: layers that tests hold to the very end need it when they are deleted.
APPLICATION = QgsApplication([], True)


@pytest.fixture(scope="session", autouse=True)
def qgis() -> QgsApplication:
    """QGIS with Processing."""
    APPLICATION.initQgis()
    sys.path.append(f"{QgsApplication.pkgDataPath()}/python/plugins")
    from processing.core.Processing import Processing

    Processing.initialize()
    return APPLICATION


@pytest.fixture
def stf(qgis, tmp_path, monkeypatch) -> SimpleNamespace:
    """The modules that look after the engine, with an engine folder of their own."""
    from stf_qgis_plugin import settings
    from stf_qgis_plugin.algorithms.declarations import snapshot
    from stf_qgis_plugin.engine import environment, installer, interpreters, locator, packages, process, runner

    monkeypatch.setattr(settings, "engine_folder", lambda: str(tmp_path / "engine"))
    return SimpleNamespace(
        settings=settings, snapshot=snapshot, environment=environment, installer=installer, interpreters=interpreters,
        locator=locator, packages=packages, process=process, runner=runner, folder=tmp_path / "engine",
    )


@pytest.fixture
def provider(qgis):
    """The provider, registered as the plugin does it where there is no window."""
    from stf_qgis_plugin import classFactory

    plugin = classFactory(None)
    plugin.initProcessing()
    yield QgsApplication.processingRegistry().providerById("stf")
    plugin.unload()


@pytest.fixture
def starfm(provider):
    """A fresh algorithm stf:starfm."""
    return provider.algorithm("starfm").create()


@pytest.fixture
def engine(provider) -> Iterator[Path]:
    """The engine environment of the repository, set as the existing interpreter."""
    from processing.core.ProcessingConfig import ProcessingConfig

    from stf_qgis_plugin import settings

    python = ROOT / ".venv" / "bin" / "python"
    if not python.exists():
        pytest.fail(f"{python} is missing; run 'make engine' first")
    ProcessingConfig.setSettingValue(settings.ENGINE_PYTHON, str(python))
    yield python
    ProcessingConfig.setSettingValue(settings.ENGINE_PYTHON, "")


@pytest.fixture
def run() -> Iterator[SimpleNamespace]:
    """A context with the project, and a feedback that keeps what it was told."""
    context = QgsProcessingContext()
    context.setProject(QgsProject.instance())
    yield SimpleNamespace(context=context, feedback=QgsProcessingFeedback(False))
    QgsProject.instance().clear()


@pytest.fixture
def scene(tmp_path) -> SimpleNamespace:
    """Paths of a small pair and a target image: 3 fine bands of 64 x 64, coarse ones of 8 x 8, EPSG:32611."""
    random = np.random.default_rng(5)
    classes = random.integers(0, 4, (COARSE_SIZE * 2, COARSE_SIZE * 2)).repeat(RATIO // 2, 0).repeat(RATIO // 2, 1)
    fine = np.stack([random.uniform(0.05, 0.4, 4)[classes] for _ in range(3)])
    fine = (fine * 10000 + random.normal(0, 30, fine.shape)).astype(np.int16)
    coarse = fine.reshape(3, COARSE_SIZE, RATIO, COARSE_SIZE, RATIO).mean((2, 4)).astype(np.int16)
    target = (coarse + 250).astype(np.int16)
    return SimpleNamespace(
        fine=write(tmp_path / "fine_20200101.tif", fine, FINE_PIXEL),
        coarse=write(tmp_path / "coarse_20200101.tif", coarse, FINE_PIXEL * RATIO),
        target=write(tmp_path / "coarse_20200301.tif", target, FINE_PIXEL * RATIO),
        out=str(tmp_path / "fused.tif"),
    )


def write(path: Path, image: np.ndarray, pixel: float) -> str:
    """Write an image (bands, rows, columns) as a GeoTIFF in EPSG:32611."""
    bands, rows, columns = image.shape
    file = gdal.GetDriverByName("GTiff").Create(str(path), columns, rows, bands, gdal.GDT_Int16)
    file.SetGeoTransform((600000.0, pixel, 0.0, 3700000.0, 0.0, -pixel))
    crs = osr.SpatialReference()
    crs.ImportFromEPSG(32611)
    file.SetProjection(crs.ExportToWkt())
    file.WriteArray(image)
    for number in range(1, bands + 1):
        file.GetRasterBand(number).SetNoDataValue(-9999)
    file.FlushCache()
    return str(path)


def read(path: str) -> np.ndarray:
    """The values of a raster."""
    return gdal.Open(path).ReadAsArray()
