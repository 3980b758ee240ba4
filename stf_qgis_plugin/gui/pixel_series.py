"""Pixel time series: a dock that shows what dated layers have at a place of the map over time."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from math import isfinite
from pathlib import Path

from qgis.core import (
    QgsApplication,
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransform,
    QgsCoordinateTransformContext,
    QgsCsException,
    QgsDataProvider,
    QgsLayerTreeGroup,
    QgsLayerTreeLayer,
    QgsPointXY,
    QgsProject,
    QgsProviderRegistry,
    QgsRasterDataProvider,
    QgsRasterLayer,
    QgsTask,
)
from qgis.gui import QgsDockWidget, QgsMapCanvas, QgsMapToolEmitPoint, QgsVertexMarker
from qgis.PyQt import sip
from qgis.PyQt.QtWidgets import QAction, QComboBox, QFileDialog, QLabel, QToolBar, QVBoxLayout, QWidget

from ..layers import sources
from ..layers.group import CLEAR, MASK
from .plot import Line, TimePlot

_HINT = (
    "Click on the map: every group of dated layers becomes a line.\n"
    "'Fuse a time series' and 'Load job results' make such groups."
)
_LOOSE = "Other layers"


@dataclass(frozen=True)
class Stack:
    """The dated layers of a group, in the order of time."""

    title: str
    layers: tuple[QgsRasterLayer, ...]


@dataclass(frozen=True)
class Sample:
    """A value to be read: a data provider of its own, and the place in its coordinates (None: it has none there).

    ``mask`` is the file of a mask (empty: none), whose values ``clear`` leave a pixel in.
    """

    line: int
    day: date
    provider: QgsRasterDataProvider
    place: QgsPointXY | None
    mask: str
    clear: tuple[int, ...]


def stacks_of(project: QgsProject) -> list[Stack]:
    """The groups of the layer panel that are visible and have dated raster layers; others lie in no group."""
    root = project.layerTreeRoot()
    found = []
    for group in (*root.findGroups(True), root):
        if group is root or group.isVisible():
            layers = sorted(_dated(group), key=sources.day)
            if layers:
                found.append(Stack(_LOOSE if group is root else group.name(), tuple(layers)))
    return found


def _dated(group: QgsLayerTreeGroup) -> Iterator[QgsRasterLayer]:
    for node in group.children():
        layer = node.layer() if isinstance(node, QgsLayerTreeLayer) else None
        if isinstance(layer, QgsRasterLayer) and layer.isValid() and sources.day(layer):
            yield layer


class Reading(QgsTask):
    """Reads values in the background, from providers that are nobody else's; ``done`` gets a line for each stack."""

    def __init__(
        self, titles: Sequence[str], samples: Sequence[Sample], band: int, done: Callable[[list[Line]], None]
    ) -> None:
        super().__init__("Pixel time series", QgsTask.Flag.CanCancel)
        self._titles, self._samples, self._band, self._done = titles, samples, band, done
        self._values: list[float | None] = []

    def run(self) -> bool:
        """Read, in a worker thread."""
        for number, sample in enumerate(self._samples):
            if self.isCanceled():
                return False
            self._values.append(self._read(sample))
            self.setProgress(100.0 * (number + 1) / len(self._samples))
        return True

    def _read(self, sample: Sample) -> float | None:
        if sample.place is None or self._band > sample.provider.bandCount():
            return None
        value, valid = sample.provider.sample(sample.place, self._band)
        return value if valid and isfinite(value) and not _is_masked(sample) else None

    def finished(self, ok: bool) -> None:
        """Hand the lines over, in the main thread."""
        if ok:
            points: list[list[tuple[date, float | None]]] = [[] for _ in self._titles]
            for number, sample in enumerate(self._samples):
                points[sample.line].append((sample.day, self._values[number]))
            self._done([Line(title, tuple(points[number])) for number, title in enumerate(self._titles)])
        self._samples = ()


def _is_masked(sample: Sample) -> bool:
    """Whether the mask leaves the place out; beyond the mask nothing is, as in the engine."""
    if not sample.mask:
        return False
    mask = QgsProviderRegistry.instance().createProvider("gdal", sample.mask, QgsDataProvider.ProviderOptions())
    if mask is None or not mask.isValid():
        return False
    place = _moved(sample.place, sample.provider.crs(), mask.crs(), QgsCoordinateTransformContext())
    if place is None or not mask.extent().contains(place):
        return False
    value, valid = mask.sample(place, 1)
    return not valid or value not in sample.clear


def samples_of(stacks: Sequence[Stack], place: QgsPointXY, crs: QgsCoordinateReferenceSystem) -> Iterator[Sample]:
    """What is to be read at a place that is given in a coordinate system."""
    for number, stack in enumerate(stacks):
        for layer in stack.layers:
            provider = layer.dataProvider().clone()
            if not sip.ispyowned(provider):
                sip.transferback(provider)
            clear = tuple(map(int, str(layer.customProperty(CLEAR, "0")).split(",")))
            yield Sample(
                number, date.fromisoformat(sources.day(layer)), provider, _moved(place, crs, layer.crs()),
                str(layer.customProperty(MASK, "")), clear,
            )


def _moved(
    place: QgsPointXY, crs: QgsCoordinateReferenceSystem, other: QgsCoordinateReferenceSystem,
    context: QgsCoordinateTransformContext | None = None,
) -> QgsPointXY | None:
    """A place in another coordinate system; by the project's ways, which are for the main thread, or by others."""
    try:
        return QgsCoordinateTransform(crs, other, context or QgsProject.instance().transformContext()).transform(place)
    except QgsCsException:
        return None


def write_csv(path: Path, lines: Sequence[Line], place: QgsPointXY, crs: str, band: int) -> None:
    """Write a row for each value; one that is missing is empty.

    Raises
    ------
    OSError
        The file cannot be written.
    """
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("stack", "date", "x", "y", "crs", "band", "value"))
        for line in lines:
            for day, value in line.points:
                row = (line.title, day.isoformat(), place.x(), place.y(), crs, band)
                writer.writerow((*row, "" if value is None else f"{value:.9g}"))


class PixelSeriesDock(QgsDockWidget):
    """The dock: a map tool, the band, the export and the plot."""

    def __init__(self, canvas: QgsMapCanvas, parent: QWidget | None = None) -> None:
        super().__init__("Pixel time series", parent)
        self.setObjectName("StfPixelSeries")
        self._canvas = canvas
        self._place: QgsPointXY | None = None
        self._crs = QgsCoordinateReferenceSystem()
        self._reading: Reading | None = None
        self._marker: QgsVertexMarker | None = None
        bar = QToolBar()
        self.pick = bar.addAction("Pick a place")
        self.pick.setCheckable(True)
        self.pick.triggered.connect(lambda: canvas.setMapTool(self.tool))
        self.tool = QgsMapToolEmitPoint(canvas)
        self.tool.setAction(self.pick)
        self.tool.canvasClicked.connect(lambda place, _button: self.read(place))
        bar.addWidget(QLabel(" Band "))
        self.band = QComboBox()
        self.band.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
        self.band.activated.connect(lambda _index: self.read(self._place))
        bar.addWidget(self.band)
        self.export: QAction = bar.addAction("Export as CSV…")
        self.export.triggered.connect(self._ask_and_write)
        self.export.setEnabled(False)
        self.status = QLabel()
        bar.addWidget(self.status)
        self.plot = TimePlot()
        self.plot.show_lines((), _HINT)
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(bar)
        layout.addWidget(self.plot)
        self.setWidget(content)
        self.closed.connect(self.put_away)
        canvas.destinationCrsChanged.connect(self._follow)

    def read(self, place: QgsPointXY | None) -> None:
        """Show the values at a place of the canvas; what is being read for another one is given up."""
        if place is None:
            return
        self._stop()
        # A copy: that of the click is gone after it.
        self._place, self._crs = QgsPointXY(place), self._canvas.mapSettings().destinationCrs()
        stacks = stacks_of(QgsProject.instance())
        self._mark(place)
        self._offer_bands(stacks)
        self.export.setEnabled(False)
        if not stacks:
            self.plot.show_lines((), _HINT)
            self.status.setText(" There are no dated layers.")
            return
        self.status.setText(" Reading…")
        band = max(self.band.currentIndex(), 0) + 1
        titles = [stack.title for stack in stacks]
        self._reading = Reading(titles, list(samples_of(stacks, place, self._crs)), band, self._show)
        QgsApplication.taskManager().addTask(self._reading)

    def put_away(self) -> None:
        """Leave the map as it was."""
        self._stop()
        self._canvas.unsetMapTool(self.tool)
        if self._marker is not None:
            self._canvas.scene().removeItem(self._marker)
            self._marker = None

    def write(self, path: Path) -> None:
        """Write what is shown."""
        try:
            write_csv(path, self.plot.lines, self._place, self._crs.authid(), self.band.currentIndex() + 1)
        except OSError as error:
            self.status.setText(f" '{path}' cannot be written ({error.strerror}); choose another place.")
        else:
            self.status.setText(f" Wrote {path}.")

    def _show(self, lines: list[Line]) -> None:
        self._reading = None
        self.plot.show_lines(lines, "No layer has a value there.")
        values = sum(len(line.values) for line in lines)
        self.export.setEnabled(values > 0)
        self.status.setText(f" {self._place.toString(6)}: {values} values")

    def _stop(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def _follow(self) -> None:
        """The place stays where it is on the ground when the map gets another coordinate system."""
        if self._place is not None:
            crs = self._canvas.mapSettings().destinationCrs()
            self._place, self._crs = _moved(self._place, self._crs, crs), crs
            if self._place is None:
                self.put_away()
                self.export.setEnabled(False)
            elif self._marker is not None:
                self._mark(self._place)

    def _mark(self, place: QgsPointXY) -> None:
        if self._marker is None:
            self._marker = QgsVertexMarker(self._canvas)
        self._marker.setCenter(place)

    def _offer_bands(self, stacks: Sequence[Stack]) -> None:
        """The bands of the stack that has the most, by their names; the choice stays."""
        chosen = max(self.band.currentIndex(), 0)
        most = max((stack.layers[0] for stack in stacks), key=lambda layer: layer.bandCount(), default=None)
        self.band.clear()
        if most is not None:
            self.band.addItems([most.bandName(number) for number in range(1, most.bandCount() + 1)])
            self.band.setCurrentIndex(min(chosen, most.bandCount() - 1))

    def _ask_and_write(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Export as CSV", "", "CSV files (*.csv)")
        if path:
            self.write(Path(path if path.lower().endswith(".csv") else f"{path}.csv"))
