"""STF: spatiotemporal fusion of satellite images in QGIS."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qgis.gui import QgisInterface

    from .plugin import StfPlugin


def classFactory(iface: QgisInterface | None) -> StfPlugin:
    """Make the plugin; ``iface`` is None in qgis_process."""
    from .plugin import StfPlugin

    return StfPlugin(iface)
