"""The plugin: registers the provider and, in a window, the entries of the Raster menu."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qgis import processing
from qgis.core import QgsApplication
from qgis.PyQt.QtWidgets import QAction

from .provider import StfProvider

if TYPE_CHECKING:
    from qgis.gui import QgisInterface

MENU = "STF - Spatiotemporal Fusion"
ENTRIES = {"Install engine…": "stf:install_engine", "Check engine…": "stf:check_engine"}


class StfPlugin:
    """What QGIS loads; ``iface`` is None where there is no window, as in qgis_process."""

    def __init__(self, iface: QgisInterface | None) -> None:
        self._iface = iface
        self._provider: StfProvider | None = None
        self._actions: list[QAction] = []

    def initProcessing(self) -> None:
        """Register the provider (all that qgis_process asks for)."""
        self._provider = StfProvider()
        QgsApplication.processingRegistry().addProvider(self._provider)
        # Models find their algorithms only now that the provider is known.
        self._provider.refreshAlgorithms()

    def initGui(self) -> None:
        """Register the provider and add the menu entries."""
        self.initProcessing()
        if self._iface is None:
            return
        for title, algorithm in ENTRIES.items():
            action = QAction(self._provider.icon(), title, self._iface.mainWindow())
            action.triggered.connect(lambda _checked=False, algorithm=algorithm: self._open(algorithm))
            self._iface.addPluginToRasterMenu(MENU, action)
            self._actions.append(action)

    def unload(self) -> None:
        """Take back everything that was added."""
        for action in self._actions:
            self._iface.removePluginRasterMenu(MENU, action)
        self._actions.clear()
        if self._provider is not None:
            QgsApplication.processingRegistry().removeProvider(self._provider)
            self._provider = None

    @staticmethod
    def _open(algorithm: str) -> None:
        dialog = processing.createAlgorithmDialog(algorithm, {})
        if dialog is not None:
            dialog.show()
