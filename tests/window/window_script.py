"""Runs inside QGIS: does what a person does with a fusion or a series, and writes what it saw.

Every step is taken by a timer, because the toolbox opens its form in an event loop of its own.
"""

from __future__ import annotations

import json
import os
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import processing
from processing.gui.AlgorithmDialog import AlgorithmDialog
from qgis.core import (
    Qgis,
    QgsContrastEnhancement,
    QgsInterval,
    QgsMultiBandColorRenderer,
    QgsProject,
    QgsRasterLayer,
    QgsSingleBandGrayRenderer,
    QgsTemporalNavigationObject,
    QgsUnitTypes,
)
from qgis.gui import QgsCollapsibleGroupBoxBasic
from qgis.PyQt import sip
from qgis.PyQt.QtCore import QModelIndex, QPoint, Qt, QTimer
from qgis.PyQt.QtTest import QTest
from qgis.PyQt.QtWidgets import QAction, QApplication, QDialog, QDockWidget, QGroupBox, QTextEdit
from qgis.utils import iface

ORDER = json.loads(Path(os.environ["STF_WINDOW_ORDER"]).read_text(encoding="utf-8"))
STRETCH = ((500.0, 6000.0), (300.0, 3000.0), (200.0, 2500.0))
STEP_SECONDS = 90.0
VERDICT: dict[str, object] = {"error": "the script did not come to its end"}

Step = Callable[[], object]


def fuse() -> Iterator[Step]:
    """The form of STARFM, from the toolbox to the result; each yielded condition is waited for."""
    window, canvas = iface.mainWindow(), iface.mapCanvas()
    screen = QApplication.primaryScreen().geometry()
    window.setGeometry(screen)
    layers = {name: QgsRasterLayer(ORDER[name], Path(ORDER[name]).stem) for name in ("TARGET", "COARSE", "FINE")}
    for layer in layers.values():
        QgsProject.instance().addMapLayer(layer)
    show(layers["FINE"])
    canvas.setDestinationCrs(layers["FINE"].crs())
    canvas.setExtent(layers["FINE"].extent())
    yield lambda: not canvas.isDrawing()

    tree, index = find_in_toolbox()
    screenshot("toolbox")
    place = tree.visualRect(index).center()
    # The form runs in an event loop of its own within the double click.
    QTimer.singleShot(0, lambda: double_click(tree.viewport(), place))
    yield form
    dialog = form()
    dialog.setGeometry(screen.adjusted(250, 80, -250, -80))
    inputs = {name: layer.id() for name, layer in layers.items()}
    dialog.setParameters({**inputs, "WINDOW": 31, "OUTPUT": ORDER["OUTPUT"]})
    advanced = sip.cast(dialog.findChild(QGroupBox, "grpAdvanced"), QgsCollapsibleGroupBoxBasic)
    VERDICT["form"] = {"title": dialog.windowTitle(), "folded": advanced.isCollapsed()}
    yield pause(0.5)
    screenshot("form")
    advanced.setCollapsed(False)
    yield pause(0.5)
    screenshot("advanced")
    advanced.setCollapsed(True)

    finished: list[bool] = []
    dialog.algorithmFinished.connect(lambda ok, results: finished.append(ok))
    QTest.mouseClick(dialog.runButton(), Qt.MouseButton.LeftButton)
    yield lambda: finished
    VERDICT["finished"] = finished[0]
    VERDICT["log"] = log_of(dialog)
    yield pause(0.5)
    screenshot("log")
    dialog.close()
    yield lambda: form() is None and not canvas.isDrawing()
    yield pause(1.0)

    screenshot("canvas")
    VERDICT["fine"] = seen(layers["FINE"])
    (fused,) = [layer for layer in QgsProject.instance().mapLayers().values() if layer not in layers.values()]
    VERDICT["fused"] = {**seen(fused), **in_the_project(fused)}
    yield from menu()


def series() -> Iterator[Step]:
    """A series is loaded, played, and looked at over time at a place of the map."""
    canvas, screen = iface.mapCanvas(), QApplication.primaryScreen().geometry()
    iface.mainWindow().setGeometry(screen)
    dialog = processing.createAlgorithmDialog("stf:load_results", {"FOLDER": ORDER["FOLDER"]})
    dialog.show()
    finished: list[bool] = []
    dialog.algorithmFinished.connect(lambda ok, results: finished.append(ok))
    QTest.mouseClick(dialog.runButton(), Qt.MouseButton.LeftButton)
    yield lambda: finished
    VERDICT["log"] = log_of(dialog)
    dialog.close()
    yield pause(1.0)
    (group,) = QgsProject.instance().layerTreeRoot().findGroups()
    VERDICT["group"] = [group.name(), *(node.name() for node in group.children())]
    layer = group.children()[0].layer()
    canvas.setDestinationCrs(layer.crs())
    canvas.setExtent(layer.extent())

    controller = canvas.temporalController()
    times = QgsProject.instance().timeSettings()
    controller.setTemporalExtents(times.temporalRange())
    controller.setFrameDuration(QgsInterval(times.timeStep(), QgsUnitTypes.TemporalUnit.TemporalDays))
    controller.setNavigationMode(QgsTemporalNavigationObject.NavigationMode.Animated)
    VERDICT["frames"] = controller.totalFrameCount()
    pictures = []
    for frame in (0, 2):
        controller.setCurrentFrameNumber(frame)
        yield pause(1.0)
        yield lambda: not canvas.isDrawing()
        pictures.append(canvas.grab().toImage())
        screenshot(f"frame{frame}")
    VERDICT["plays"] = pictures[0] != pictures[1]

    entries()["Pixel time series"].trigger()
    dock = iface.mainWindow().findChild(QDockWidget, "StfPixelSeries")
    yield pause(1.0)
    QTest.mouseClick(canvas.viewport(), Qt.MouseButton.LeftButton, pos=canvas.viewport().rect().center())
    yield lambda: dock.plot.lines
    VERDICT["values"] = {line.title: [value for _, value in line.points] for line in dock.plot.lines}
    yield pause(0.5)
    screenshot("dock")


def show(layer: QgsRasterLayer) -> None:
    """Show the ordered bands of a layer with a stretch of our own."""
    bands, provider = ORDER["bands"], layer.dataProvider()
    stretches = []
    for low, high in STRETCH:
        stretch = QgsContrastEnhancement(provider.dataType(1))
        stretch.setContrastEnhancementAlgorithm(
            QgsContrastEnhancement.ContrastEnhancementAlgorithm.StretchToMinimumMaximum
        )
        stretch.setMinimumValue(low)
        stretch.setMaximumValue(high)
        stretches.append(stretch)
    if len(bands) == 1:
        renderer = QgsSingleBandGrayRenderer(provider, bands[0])
        renderer.setContrastEnhancement(stretches[0])
    else:
        renderer = QgsMultiBandColorRenderer(provider, *bands)
        renderer.setRedContrastEnhancement(stretches[0])
        renderer.setGreenContrastEnhancement(stretches[1])
        renderer.setBlueContrastEnhancement(stretches[2])
    layer.setRenderer(renderer)
    layer.triggerRepaint()


def find_in_toolbox():
    """The toolbox's tree and the place of STARFM in it, scrolled into view."""
    toolbox = iface.mainWindow().findChild(QDockWidget, "ProcessingToolbox")
    toolbox.show()
    toolbox.raise_()
    tree = toolbox.algorithmTree
    model = tree.model()

    def search(parent: QModelIndex, path: tuple[str, ...]) -> QModelIndex:
        for row in range(model.rowCount(parent)):
            index = model.index(row, 0, parent)
            if index.data() == path[0]:
                tree.expand(index)
                return search(index, path[1:]) if path[1:] else index
        raise LookupError(f"The toolbox has no '{path[0]}'")

    index = search(QModelIndex(), ("STF", "Spatiotemporal fusion", "STARFM"))
    tree.scrollTo(index)
    tree.setCurrentIndex(index)
    QApplication.processEvents()
    return tree, index


def double_click(widget, place: QPoint) -> None:
    """Click twice, as a person does."""
    QTest.mouseClick(widget, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, place)
    QTest.mouseDClick(widget, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, place)


def form() -> AlgorithmDialog | None:
    """The open form, if there is one."""
    found = [w for w in QApplication.topLevelWidgets() if isinstance(w, AlgorithmDialog) and w.isVisible()]
    return found[0] if found else None


def log_of(dialog: AlgorithmDialog) -> str:
    """The text of the form's log."""
    return dialog.findChild(QTextEdit, "txtLog").toPlainText()


def seen(layer: QgsRasterLayer) -> dict[str, object]:
    """What a layer shows: its bands and their stretch."""
    renderer = layer.renderer()
    if isinstance(renderer, QgsSingleBandGrayRenderer):
        stretches = [renderer.contrastEnhancement()]
    else:
        stretches = [renderer.redContrastEnhancement(), renderer.greenContrastEnhancement(),
                     renderer.blueContrastEnhancement()]
    return {"bands": renderer.usesBands(), "stretch": [[s.minimumValue(), s.maximumValue()] for s in stretches]}


def in_the_project(layer: QgsRasterLayer) -> dict[str, object]:
    """Where a layer is, what it is called, and its date."""
    temporal = layer.temporalProperties()
    dated = temporal.isActive() and temporal.mode() == Qgis.RasterTemporalMode.FixedTemporalRange
    picture = iface.mapCanvas().grab().toImage()
    middle = picture.height() // 2
    return {
        "name": layer.name(),
        "source": layer.source(),
        "day": temporal.fixedTemporalRange().begin().toUTC().toString("yyyy-MM-dd") if dated else "",
        "on_canvas": iface.mapCanvas().layers()[0] == layer,
        "colours": len({picture.pixel(column, middle) for column in range(picture.width())}),
    }


def entries() -> dict[str, QAction]:
    """The plugin's entries in the Raster menu, by their titles."""
    (submenu,) = [action.menu() for action in iface.rasterMenu().actions() if "STF" in action.text()]
    return {action.text().replace("&", ""): action for action in submenu.actions()}


def menu() -> Iterator[Step]:
    """The plugin's entries in the Raster menu, and the form of the installer."""
    VERDICT["menu"] = sorted(entries())
    entries()["Install engine…"].trigger()
    yield form
    form().setGeometry(QApplication.primaryScreen().geometry().adjusted(350, 250, -350, -250))
    yield pause(0.5)
    screenshot("install")
    form().close()


def pause(seconds: float) -> Step:
    """A condition that holds after some time."""
    end = time.monotonic() + seconds
    return lambda: time.monotonic() > end


def screenshot(name: str) -> None:
    """Keep what the screen shows."""
    QApplication.processEvents()
    QApplication.primaryScreen().grabWindow(0).save(f"{ORDER['screenshots']}-{name}.png")


class Driver:
    """Takes the steps, one after the other, and ends QGIS after the last one or the first that fails."""

    def __init__(self) -> None:
        self._steps = {"fuse": fuse, "series": series}[ORDER["scenario"]]()
        self._holds: Step = pause(2.0)
        self._limit = time.monotonic() + STEP_SECONDS
        self._timer = QTimer()
        self._timer.timeout.connect(self._tick)
        self._timer.start(100)

    def _tick(self) -> None:
        self._timer.stop()
        try:
            if self._holds():
                self._holds = next(self._steps)
                self._limit = time.monotonic() + STEP_SECONDS
            elif time.monotonic() > self._limit:
                raise TimeoutError(f"a step took more than {STEP_SECONDS:g} s")
        except StopIteration:
            self._end("")
        except Exception:  # noqa: BLE001 - whatever it is, the verdict has to say it
            screenshot("error")
            self._end(traceback.format_exc())
        else:
            self._timer.start(100)

    @staticmethod
    def _end(error: str) -> None:
        VERDICT["error"] = error
        Path(ORDER["verdict"]).write_text(json.dumps(VERDICT), encoding="utf-8")
        for widget in QApplication.topLevelWidgets():
            if isinstance(widget, QDialog):
                widget.reject()
        QgsProject.instance().clear()
        QTimer.singleShot(0, lambda: iface.actionExit().trigger())


# Something that lives as long as the window has to hold it.
iface.stf_driver = Driver()
