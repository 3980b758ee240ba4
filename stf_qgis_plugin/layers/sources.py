"""What the engine, another process, can read of a layer: its file, and the date that it was given in QGIS."""

from __future__ import annotations

from pathlib import Path

from qgis.core import Qgis, QgsProviderRegistry, QgsRasterLayer
from qgis.PyQt.QtCore import Qt

_IN_MEMORY = ("/vsimem/", "MEM:", "<")
_SECONDS_OF_A_DAY = 86400


def obstacle(layer: QgsRasterLayer) -> str | None:
    """Why the engine cannot read the layer, as the end of a sentence with the remedy; None when it can."""
    if not layer.isValid():
        return "cannot be opened; repair its data source or choose another layer."
    provider = layer.providerType()
    if provider != "gdal":
        return f"comes from '{provider}' and is no file; export it to a GeoTIFF (Export > Save As) and choose that."
    source = layer.source()
    if not source or source.startswith(_IN_MEMORY) or "/vsimem/" in source:
        return "exists in memory only; export it to a GeoTIFF (Export > Save As) and choose that."
    parts = QgsProviderRegistry.instance().decodeUri("gdal", source)
    if parts.get("openOptions") or parts.get("credentialOptions"):
        return "is opened with options that only QGIS knows; export it to a GeoTIFF (Export > Save As) and choose that."
    return None


def path(layer: QgsRasterLayer) -> str:
    """The layer's file as an absolute path; subdatasets and GDAL's virtual paths stay as they are."""
    source = str(layer.source())
    return str(Path(source).absolute()) if Path(source).exists() else source


def day(layer: QgsRasterLayer) -> str | None:
    """The ISO date of a layer whose fixed temporal range is one day or an instant; None for any other layer."""
    temporal = layer.temporalProperties()
    if not temporal.isActive() or temporal.mode() != Qgis.RasterTemporalMode.FixedTemporalRange:
        return None
    begin, end = temporal.fixedTemporalRange().begin(), temporal.fixedTemporalRange().end()
    if not begin.isValid() or not end.isValid() or begin.secsTo(end) > _SECONDS_OF_A_DAY:
        return None
    return str(begin.date().toString(Qt.DateFormat.ISODate))
