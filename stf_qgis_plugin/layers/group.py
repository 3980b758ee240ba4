"""A stack of images in the project: a group of layers with one look, each with its date for the temporal controller."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from statistics import median
from typing import ClassVar

from qgis.core import (
    QgsContrastEnhancement,
    QgsDateTimeRange,
    QgsLayerTreeGroup,
    QgsLayerTreeLayer,
    QgsMapLayer,
    QgsMultiBandColorRenderer,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingLayerPostProcessorInterface,
    QgsProject,
    QgsRasterLayer,
    QgsRasterRenderer,
    QgsSingleBandGrayRenderer,
    QgsUnitTypes,
    QgsVectorLayer,
)

from .outcome import VECTORS, Image, Stack, Stretch
from .result import day_range, set_day

#: The property of a group that says what it was made of.
PLACE = "stf/place"
#: The properties of a layer that name its mask, and the values of that which leave a pixel in.
MASK, CLEAR = "stf/mask", "stf/clear"


def load_on_completion(context: QgsProcessingContext, stack: Stack, renderer: QgsRasterRenderer | None = None) -> None:
    """Have a stack opened as a group where results are opened; ``renderer`` goes before the stack's own stretch.

    QGIS opens the first image itself, and the others are added beside it, in the main thread. May be called in any.
    """
    first, project = next(stack.all), context.project()
    if project is None:
        return
    details = QgsProcessingContext.LayerDetails(_name(stack, first), project)
    details.setPostProcessor(GroupFinisher(stack, renderer))
    context.addLayerToLoadOnCompletion(first.path, details)


class GroupFinisher(QgsProcessingLayerPostProcessorInterface):
    """Makes the group of a stack once its first layer is in the project."""

    #: QGIS holds no reference.
    _waiting: ClassVar[set[GroupFinisher]] = set()

    def __init__(self, stack: Stack, renderer: QgsRasterRenderer | None) -> None:
        super().__init__()
        self._stack, self._renderer = stack, renderer
        self._waiting.add(self)

    def postProcessLayer(
        self, layer: QgsMapLayer, context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> None:
        """Make the group."""
        show(context.project(), self._stack, self._renderer, layer)
        self._waiting.discard(self)


def show(
    project: QgsProject, stack: Stack, renderer: QgsRasterRenderer | None = None, first: QgsMapLayer | None = None
) -> QgsLayerTreeGroup:
    """The group of a stack on top of the layer panel; one that is there already gets what it lacks.

    ``first`` is the layer of the first image where that is in the project.
    """
    root = project.layerTreeRoot()
    group = next((each for each in root.findGroups(True) if each.customProperty(PLACE) == stack.place), None)
    if group is None:
        group = root.insertGroup(0, stack.title)
        # The panel unfolds what is changed to unfolded, and a group that was empty is not.
        group.setExpanded(False)
    _fill(project, group, stack, renderer, first)
    group.setExpanded(True)
    days = sorted({image.day for image in stack.all if image.day})
    if days:
        _set_time(project, days)
    return group


def _fill(
    project: QgsProject, group: QgsLayerTreeGroup, stack: Stack, renderer: QgsRasterRenderer | None,
    first: QgsMapLayer | None,
) -> None:
    group.setCustomProperty(PLACE, stack.place)
    there = {node.layer().source(): node for node in group.children() if isinstance(node, QgsLayerTreeLayer)
             and node.layer()}
    for position, image in enumerate(stack.images):
        is_first = first is not None and first.source() == image.path
        if image.path in there:
            continue
        layer = first if is_first else _open(stack, image)
        _finish(layer, stack, image, renderer)
        before = project.layerTreeRoot().findLayer(layer.id())
        if not is_first:
            project.addMapLayer(layer, False)
        group.insertLayer(position, layer).setExpanded(False)
        # Only then: the project drops a layer that is nowhere in the panel.
        if before is not None:
            before.parent().removeChildNode(before)
    inner_groups = {each.customProperty(PLACE): each for each in group.findGroups()}
    for inner in stack.inner:
        made = inner_groups.get(inner.place) or group.addGroup(inner.title)
        _fill(project, made, inner, renderer if inner.shown else None, first)
        made.setExpanded(False)
        made.setItemVisibilityChecked(inner.shown)


def _open(stack: Stack, image: Image) -> QgsMapLayer:
    if image.path.lower().endswith(VECTORS):
        return QgsVectorLayer(image.path, _name(stack, image), "ogr")
    options = QgsRasterLayer.LayerOptions()
    # A default style would read each image for its statistics.
    options.loadDefaultStyle = stack.stretch is None
    return QgsRasterLayer(image.path, _name(stack, image), "gdal", options)


def _name(stack: Stack, image: Image) -> str:
    return f"{stack.title} {image.day}" if image.day else Path(image.path).stem


def _finish(layer: QgsMapLayer, stack: Stack, image: Image, renderer: QgsRasterRenderer | None) -> None:
    layer.setName(_name(stack, image))
    if image.mask:
        layer.setCustomProperty(MASK, image.mask)
        layer.setCustomProperty(CLEAR, image.clear)
    if isinstance(layer, QgsRasterLayer) and layer.isValid():
        if Path(image.path).with_suffix(".qml").is_file():
            layer.loadDefaultStyle()
        elif renderer is not None and max(renderer.usesBands(), default=0) <= layer.bandCount():
            layer.setRenderer(renderer.clone())
        elif stack.stretch is not None and max(stack.stretch.bands) <= layer.bandCount():
            layer.setRenderer(_renderer(layer, stack.stretch))
        if image.day:
            set_day(layer, image.day)


def _renderer(layer: QgsRasterLayer, stretch: Stretch) -> QgsRasterRenderer:
    """Gray or colours with a fixed stretch, so that playing does not flicker."""
    provider, enhancements = layer.dataProvider(), []
    for number, band in enumerate(stretch.bands):
        least, greatest = stretch.ranges[number]
        enhancement = QgsContrastEnhancement(provider.dataType(band))
        enhancement.setContrastEnhancementAlgorithm(
            QgsContrastEnhancement.ContrastEnhancementAlgorithm.StretchToMinimumMaximum
        )
        enhancement.setMinimumValue(least)
        enhancement.setMaximumValue(greatest)
        enhancements.append(enhancement)
    if len(stretch.bands) == 1:
        renderer = QgsSingleBandGrayRenderer(provider, *stretch.bands)
        renderer.setContrastEnhancement(*enhancements)
        return renderer
    renderer = QgsMultiBandColorRenderer(provider, *stretch.bands)
    renderer.setRedContrastEnhancement(enhancements[0])
    renderer.setGreenContrastEnhancement(enhancements[1])
    renderer.setBlueContrastEnhancement(enhancements[2])
    return renderer


def _set_time(project: QgsProject, days: list[str]) -> None:
    """Give the project the range of the dates and their usual distance, for the temporal controller, if it has none."""
    settings = project.timeSettings()
    if not settings.temporalRange().isInfinite():
        return
    begin, end = day_range(days[0]).begin(), day_range(days[-1]).end()
    settings.setTemporalRange(QgsDateTimeRange(begin, end, True, False))
    numbers = [date.fromisoformat(day).toordinal() for day in days]
    gaps = [numbers[index + 1] - numbers[index] for index in range(len(numbers) - 1)]
    settings.setTimeStepUnit(QgsUnitTypes.TemporalUnit.TemporalDays)
    settings.setTimeStep(median(gaps) if gaps else 1)
