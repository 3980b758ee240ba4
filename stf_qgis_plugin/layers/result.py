"""How a result looks in the project: the look of the fine image it was made from, and its date."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from processing.gui.RenderingStyles import RenderingStyles
from qgis.core import (
    Qgis,
    QgsDateTimeRange,
    QgsLayerTreeGroup,
    QgsMapLayer,
    QgsMultiBandColorRenderer,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingLayerPostProcessorInterface,
    QgsRasterLayer,
    QgsRasterMinMaxOrigin,
    QgsRasterRenderer,
    QgsSingleBandGrayRenderer,
    QgsSingleBandPseudoColorRenderer,
)
from qgis.PyQt.QtCore import QDateTime, Qt

Setter = Callable[[Any, int], None]
_BAND_SETTERS: dict[type[QgsRasterRenderer], Sequence[tuple[Callable[[Any], int], Setter]]] = {
    QgsMultiBandColorRenderer: (
        (QgsMultiBandColorRenderer.redBand, QgsMultiBandColorRenderer.setRedBand),
        (QgsMultiBandColorRenderer.greenBand, QgsMultiBandColorRenderer.setGreenBand),
        (QgsMultiBandColorRenderer.blueBand, QgsMultiBandColorRenderer.setBlueBand),
    ),
    QgsSingleBandGrayRenderer: ((QgsSingleBandGrayRenderer.grayBand, QgsSingleBandGrayRenderer.setGrayBand),),
    QgsSingleBandPseudoColorRenderer: (
        (QgsSingleBandPseudoColorRenderer.band, QgsSingleBandPseudoColorRenderer.setBand),
    ),
}


def look(layer: QgsRasterLayer, bands: Sequence[int]) -> QgsRasterRenderer | None:
    """The layer's renderer for an image whose bands are the layer's ``bands`` (from 1; all when empty).

    None where the layer shows a band that the image lacks, or has no renderer that suits another image.
    Its stretch is fixed, so that both images stay comparable wherever the canvas moves.
    """
    renderer = layer.renderer().clone() if layer.renderer() else None
    setters = _BAND_SETTERS.get(type(renderer))
    if renderer is None or setters is None:
        return None
    numbers = {band: number for number, band in enumerate(bands, 1)} if bands else None
    for get, put in setters:
        band = get(renderer)
        if numbers is None or band < 1:  # -1: the colour is not used
            continue
        if band not in numbers:
            return None
        put(renderer, numbers[band])
    renderer.setMinMaxOrigin(QgsRasterMinMaxOrigin())
    return renderer


def day_range(day: str) -> QgsDateTimeRange:
    """The range of one day (ISO date, UTC), without the next one's beginning."""
    begin = QDateTime.fromString(f"{day}T00:00:00Z", Qt.DateFormat.ISODate)
    return QgsDateTimeRange(begin, begin.addDays(1), True, False)


def set_day(layer: QgsRasterLayer, day: str) -> None:
    """Give a layer the fixed temporal range of one day (ISO date, UTC)."""
    temporal = layer.temporalProperties()
    temporal.setMode(Qgis.RasterTemporalMode.FixedTemporalRange)
    temporal.setFixedTemporalRange(day_range(day))
    temporal.setIsActive(True)


def stack(root: QgsLayerTreeGroup, ids: Sequence[str]) -> None:
    """Put the layers of one group of the layer panel in this order, from top to bottom; some may not be there."""
    above = None
    for node in filter(None, map(root.findLayer, ids)):
        group, placed = node.parent(), node
        siblings = group.children()
        if above in siblings[siblings.index(node) :]:
            placed = node.clone()
            group.insertChildNode(siblings.index(above) + 1, placed)
            group.removeChildNode(node)
        above = placed


class Finisher(QgsProcessingLayerPostProcessorInterface):
    """Gives a loaded result its look (that of the fine image, or the one that the engine wrote), its date and place.

    ``loaded`` is shared by the finishers of a run: the ids of the layers by output, once they are there. The first
    output is to lie on top; QGIS loads layers in the order of their paths.

    QGIS calls it in the main thread when the layer is in the project. A style that the user set for the output in the
    toolbox ("rendering style for outputs") is left alone.
    """

    #: QGIS holds no reference, and a model's algorithm is gone before its layers are loaded.
    _waiting: ClassVar[set[Finisher]] = set()

    def __init__(
        self, algorithm: str, output: str, renderer: QgsRasterRenderer | None, day: str | None, loaded: dict[str, str]
    ) -> None:
        super().__init__()
        self._output = (algorithm, output)
        self._renderer = renderer
        self._day = day
        self._loaded = loaded
        self._waiting.add(self)

    def postProcessLayer(
        self, layer: QgsMapLayer, context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> None:
        """Finish one layer."""
        renderer, self._renderer = self._renderer, None
        if not RenderingStyles.getStyle(*self._output):
            if renderer is None:
                layer.loadDefaultStyle()  # that of the QML file beside it, if the engine wrote one
            elif max(renderer.usesBands(), default=0) <= layer.bandCount():
                layer.setRenderer(renderer)
            layer.triggerRepaint()
        if self._day:
            set_day(layer, self._day)
        self._loaded[self._output[1]] = layer.id()
        stack(context.project().layerTreeRoot(), list(self._loaded.values()))
        self._waiting.discard(self)
