"""The Processing provider "stf"."""

from __future__ import annotations

from qgis.core import QgsProcessingProvider
from qgis.PyQt.QtGui import QIcon

from . import settings
from .algorithms.check_engine import CheckEngine
from .algorithms.declarations import icon_path, snapshot
from .algorithms.install_engine import InstallEngine
from .algorithms.load_results import LoadResults
from .algorithms.method_algorithm import MethodAlgorithm
from .algorithms.remove_engine import RemoveEngine
from .algorithms.shipped_model import shipped_models
from .engine import locator


class StfProvider(QgsProcessingProvider):
    """Offers an algorithm for each method, one that loads results, those that look after the engine, and models."""

    def id(self) -> str:
        """The permanent id."""
        return "stf"

    def name(self) -> str:
        """The name in the toolbox."""
        return "STF"

    def longName(self) -> str:
        """The name with the version."""
        return f"STF - Spatiotemporal Fusion ({self.versionInfo()})"

    def versionInfo(self) -> str:
        """The version of the plugin, which is the engine's."""
        return str(snapshot().engine)

    def icon(self) -> QIcon:
        """The icon in the toolbox."""
        return QIcon(icon_path())

    def svgIconPath(self) -> str:
        """The icon in the toolbox."""
        return icon_path()

    def warningMessage(self) -> str:
        """A word at the top of the toolbox's node while the engine is missing."""
        if locator.is_installed():
            return ""
        return "The STF engine is not installed: run 'Install engine' once."

    def load(self) -> bool:
        """Register the settings and the algorithms."""
        settings.register(self.name(), self.icon())
        return super().load()

    def unload(self) -> None:
        """Take the settings back."""
        settings.unregister()

    def loadAlgorithms(self) -> None:
        """Add the algorithms."""
        for method in snapshot().methods:
            self.addAlgorithm(MethodAlgorithm(method))
        self.addAlgorithm(LoadResults())
        self.addAlgorithm(CheckEngine())
        self.addAlgorithm(InstallEngine())
        self.addAlgorithm(RemoveEngine())
        for model in shipped_models():
            self.addAlgorithm(model)

    def supportsNonFileBasedOutput(self) -> bool:
        """Whether results can live elsewhere than in files: the engine writes files."""
        return False

    def supportedOutputRasterLayerExtensions(self) -> list[str]:
        """The engine writes GeoTIFF."""
        return ["tif"]

    def supportedOutputVectorLayerExtensions(self) -> list[str]:
        """The formats in which the engine writes points; the first is the default."""
        return ["gpkg", "geojson", "shp"]
