"""The plugin: registers the provider and, in a window, the entries of the Raster menu and the dock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qgis import processing
from qgis.core import QgsApplication
from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtWidgets import QAction

from .provider import StfProvider

if TYPE_CHECKING:
    from qgis.gui import QgisInterface

    from .gui.pixel_series import PixelSeriesDock

MENU = "STF - Spatiotemporal Fusion"
ENTRIES = {
    "Load job results…": "stf:load_results",
    "Install engine…": "stf:install_engine",
    "Check engine…": "stf:check_engine",
}
PIXEL_SERIES = "Pixel time series"


class StfPlugin:
    """What QGIS loads; ``iface`` is None where there is no window, as in qgis_process."""

    def __init__(self, iface: QgisInterface | None) -> None:
        self._iface = iface
        self._provider: StfProvider | None = None
        self._actions: list[QAction] = []
        self._dock: PixelSeriesDock | None = None

    def initProcessing(self) -> None:
        """Register the provider (all that qgis_process asks for)."""
        self._provider = StfProvider()
        QgsApplication.processingRegistry().addProvider(self._provider)
        # Models find their algorithms only now that the provider is known.
        self._provider.refreshAlgorithms()

    def initGui(self) -> None:
        """Register the provider and add the menu entries and the button of the dock."""
        self.initProcessing()
        if self._iface is None:
            return
        series = self._add_entry(PIXEL_SERIES)
        series.triggered.connect(self._open_dock)
        self._iface.addRasterToolBarIcon(series)
        for title, algorithm in ENTRIES.items():
            self._add_entry(title).triggered.connect(
                lambda _checked=False, algorithm=algorithm: self._open(algorithm)
            )

    def _add_entry(self, title: str) -> QAction:
        action = QAction(self._provider.icon(), title, self._iface.mainWindow())
        self._iface.addPluginToRasterMenu(MENU, action)
        self._actions.append(action)
        return action

    def unload(self) -> None:
        """Take back everything that was added."""
        for action in self._actions:
            self._iface.removePluginRasterMenu(MENU, action)
            self._iface.removeRasterToolBarIcon(action)
        self._actions.clear()
        if self._dock is not None:
            self._dock.put_away()
            self._iface.removeDockWidget(self._dock)
            self._dock.deleteLater()
            self._dock = None
        if self._provider is not None:
            QgsApplication.processingRegistry().removeProvider(self._provider)
            self._provider = None

    def _open_dock(self) -> None:
        """Show the dock, with its map tool in hand; widgets are imported only where there is a window."""
        from .gui.pixel_series import PixelSeriesDock

        if self._dock is None:
            self._dock = PixelSeriesDock(self._iface.mapCanvas(), self._iface.mainWindow())
            self._iface.addDockWidget(Qt.DockWidgetArea.BottomDockWidgetArea, self._dock)
        self._dock.setUserVisible(True)
        self._dock.pick.trigger()

    @staticmethod
    def _open(algorithm: str) -> None:
        dialog = processing.createAlgorithmDialog(algorithm, {})
        if dialog is not None:
            dialog.show()
