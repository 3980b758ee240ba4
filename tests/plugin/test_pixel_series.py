"""Pixel time series: values of dated layers at a place, the plot and the export."""

from __future__ import annotations

import csv
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from qgis.core import (
    QgsApplication,
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransform,
    QgsPointXY,
    QgsProject,
    QgsRasterLayer,
    QgsRectangle,
)
from qgis.gui import QgsMapCanvas
from qgis.PyQt.QtCore import QCoreApplication, QPoint, QPointF, Qt
from qgis.PyQt.QtGui import QImage, QPainter
from qgis.PyQt.QtTest import QTest

from conftest import write
from recording import wait_until

DAYS = ("2020-10-01", "2020-10-09", "2020-10-17")
CORNER, PIXEL = (600000.0, 3700000.0), 30.0


@pytest.fixture
def project(qgis, tmp_path):
    """Groups "fused" (three dates, two bands, one gap), "coarse" (120 m) and a hidden one; a layer has no date."""
    from stf_qgis_plugin.layers.result import set_day

    found = QgsProject.instance()
    root = found.layerTreeRoot()

    def add(group, name, image, pixel, day):
        layer = QgsRasterLayer(write(tmp_path / f"{name}.tif", image, pixel), name)
        assert layer.isValid()
        if day:
            set_day(layer, day)
        found.addMapLayer(layer, False)
        group.addLayer(layer)

    fused, coarse, hidden = (root.addGroup(name) for name in ("fused", "coarse", "hidden"))
    for number, day in reversed(list(enumerate(DAYS))):
        image = np.arange(128, dtype=np.int16).reshape(2, 8, 8) + 1000 * number
        if number == 1:
            image[:, 2, 3] = -9999
        add(fused, f"fused{number}", image, PIXEL, day)
        add(coarse, f"coarse{number}", image[:1, :2, :2], 4 * PIXEL, day)
        add(hidden, f"hidden{number}", image, PIXEL, day)
    add(fused, "undated", image, PIXEL, None)
    hidden.setItemVisibilityChecked(False)
    yield found
    found.clear()


@pytest.fixture
def dock(project):
    """The dock on a canvas in the coordinate system of the layers."""
    from stf_qgis_plugin.gui.pixel_series import PixelSeriesDock

    canvas = QgsMapCanvas()
    canvas.setDestinationCrs(QgsCoordinateReferenceSystem("EPSG:32611"))
    made = PixelSeriesDock(canvas)
    yield made
    made.put_away()
    made.deleteLater()


def at(row, column):
    """The centre of a fine pixel."""
    return QgsPointXY(CORNER[0] + (column + 0.5) * PIXEL, CORNER[1] - (row + 0.5) * PIXEL)


def read(dock, place):
    """The values by the titles of the lines, once they are there."""
    dock.read(place)

    def done():
        QCoreApplication.processEvents()
        return dock._reading is None

    assert wait_until(done)
    return {line.title: [value for _, value in line.points] for line in dock.plot.lines}


def test_every_visible_group_is_a_line_with_gaps(dock):
    assert read(dock, at(2, 3)) == {"fused": [19.0, None, 2019.0], "coarse": [0.0, 1000.0, 2000.0]}
    assert [day for day, _ in dock.plot.lines[0].points] == [date.fromisoformat(day) for day in DAYS]
    assert dock.export.isEnabled()


def test_click_on_the_map(dock, tmp_path):
    """The place outlives the click that gave it."""
    canvas = dock._canvas
    canvas.resize(400, 400)
    canvas.setExtent(QgsRectangle(CORNER[0], CORNER[1] - 240, CORNER[0] + 240, CORNER[1]))
    canvas.show()
    dock.pick.trigger()
    spot = canvas.getCoordinateTransform().transform(at(5, 6))
    QTest.mouseClick(canvas.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(round(spot.x()), round(spot.y())))
    assert wait_until(lambda: QCoreApplication.processEvents() or dock._reading is None)
    assert dock.plot.lines[0].values == [46.0, 1046.0, 2046.0]
    dock.write(tmp_path / "place.csv")
    row = (tmp_path / "place.csv").read_text(encoding="utf-8").splitlines()[1].split(",")
    assert (float(row[2]), float(row[3])) == pytest.approx((at(5, 6).x(), at(5, 6).y()), abs=2.0)


def test_band_is_chosen(dock):
    read(dock, at(0, 0))
    assert dock.band.count() == 2
    dock.band.setCurrentIndex(1)
    assert read(dock, at(0, 1)) == {"fused": [65.0, 1065.0, 2065.0], "coarse": [None, None, None]}
    assert dock.band.currentIndex() == 1


def test_outside_of_all_layers_there_is_nothing(dock):
    found = read(dock, QgsPointXY(0.0, 0.0))
    assert set(found["fused"]) == {None}
    assert not dock.export.isEnabled()
    assert "0 values" in dock.status.text()


def test_canvas_has_another_coordinate_system(dock):
    geographic = QgsCoordinateReferenceSystem("EPSG:4326")
    there = QgsCoordinateTransform(QgsCoordinateReferenceSystem("EPSG:32611"), geographic, QgsProject.instance())
    dock._canvas.setDestinationCrs(geographic)
    assert read(dock, there.transform(at(5, 6)))["fused"] == [46.0, 1046.0, 2046.0]


def test_the_map_gets_another_coordinate_system_after_the_click(dock, tmp_path):
    """The place stays on the ground, in what is read for another band and in what is exported."""
    read(dock, at(5, 6))
    dock._canvas.setDestinationCrs(QgsCoordinateReferenceSystem("EPSG:4326"))
    assert dock._marker.center().x() == pytest.approx(dock._place.x())
    dock.band.setCurrentIndex(1)
    assert read(dock, dock._place)["fused"] == [110.0, 1110.0, 2110.0]
    dock.write(tmp_path / "place.csv")
    row = (tmp_path / "place.csv").read_text(encoding="utf-8").splitlines()[1].split(",")
    assert row[4] == "EPSG:4326"
    assert -180 < float(row[2]) < -100


def test_stacks_of_different_coordinate_systems(dock, project, tmp_path):
    """A geographic stack beside the projected ones: each is read at its own coordinates of the place, scaled."""
    from osgeo import gdal

    from stf_qgis_plugin.layers.result import set_day

    path = str(tmp_path / "degrees.tif")
    source = write(tmp_path / "metres.tif", np.arange(64, dtype=np.int16).reshape(1, 8, 8), PIXEL)
    made = gdal.Warp(path, source, dstSRS="EPSG:4326", resampleAlg="near", width=64, height=64)
    made.GetRasterBand(1).SetScale(0.5)
    made = None
    layer = QgsRasterLayer(path, "degrees")
    set_day(layer, DAYS[0])
    project.addMapLayer(layer, False)
    project.layerTreeRoot().addGroup("degrees").addLayer(layer)
    found = read(dock, at(5, 6))
    assert found["degrees"] == [23.0]
    assert found["fused"] == [46.0, 1046.0, 2046.0]


def test_a_mask_of_a_layer_makes_gaps(dock, project, tmp_path):
    """As 'Load job results' gives it to the images that a series was made of."""
    from stf_qgis_plugin.layers.group import CLEAR, MASK

    mask = np.zeros((1, 8, 8), np.int16)
    mask[0, 5, 6], mask[0, 5, 7] = 4, 1
    layer = project.mapLayersByName("fused1")[0]
    layer.setCustomProperty(MASK, write(tmp_path / "mask.tif", mask, PIXEL))
    assert read(dock, at(5, 6))["fused"] == [46.0, None, 2046.0]
    assert read(dock, at(5, 7))["fused"] == [47.0, None, 2047.0]
    assert read(dock, at(4, 4))["fused"] == [36.0, 1036.0, 2036.0]
    layer.setCustomProperty(CLEAR, "0,1")
    assert read(dock, at(5, 7))["fused"] == [47.0, 1047.0, 2047.0]


def test_a_layer_is_removed_while_the_dock_is_open(dock, project):
    read(dock, at(5, 6))
    project.removeMapLayer(project.mapLayersByName("fused1")[0])
    assert dock.plot.lines[0].values == [46.0, 1046.0, 2046.0]
    dock.band.activated.emit(0)
    assert wait_until(lambda: QCoreApplication.processEvents() or dock._reading is None)
    assert dock.plot.lines[0].values == [46.0, 2046.0]


def test_the_last_click_counts(dock):
    dock.read(at(0, 0))
    dock.read(at(1, 1))
    assert read(dock, at(5, 6))["fused"] == [46.0, 1046.0, 2046.0]
    wait_until(lambda: QCoreApplication.processEvents() or not QgsApplication.taskManager().count())
    assert dock.plot.lines[0].values == [46.0, 1046.0, 2046.0]


def test_layers_that_are_removed_while_they_are_read(dock, project):
    dock.read(at(5, 6))
    project.clear()
    assert wait_until(lambda: QCoreApplication.processEvents() or dock._reading is None)
    assert dock.plot.lines[0].values == [46.0, 1046.0, 2046.0]


def test_without_dated_layers_the_dock_says_so(dock, project):
    project.clear()
    dock.read(at(0, 0))
    assert "no dated layers" in dock.status.text()


def test_export(dock, tmp_path):
    read(dock, at(2, 3))
    dock.write(tmp_path / "place.csv")
    with (tmp_path / "place.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["stack"], row["date"], row["value"]) for row in rows[:3]] == [
        ("fused", "2020-10-01", "19"), ("fused", "2020-10-09", ""), ("fused", "2020-10-17", "2019"),
    ]
    assert {(float(row["x"]), row["crs"], row["band"]) for row in rows} == {(at(2, 3).x(), "EPSG:32611", "1")}
    dock.write(Path("/not/there/place.csv"))
    assert "cannot be written" in dock.status.text()


def test_leaves_the_map_as_it_was(dock):
    dock.pick.trigger()
    assert dock._canvas.mapTool() is dock.tool
    assert dock.pick.isChecked()
    read(dock, at(0, 0))
    dock.put_away()
    assert dock._canvas.mapTool() is not dock.tool
    assert not dock.pick.isChecked()
    assert dock._marker is None


def test_plot_draws_lines_and_finds_values(qgis):
    from stf_qgis_plugin.gui.plot import Line, TimePlot

    days = [date(2020, 10, day) for day in (1, 5, 9, 13)]
    line = Line("fused", tuple(zip(days, (0.1, None, 0.3, 0.2), strict=True)))
    assert [len(piece) for piece in line.pieces()] == [1, 2]
    plot = TimePlot()
    plot.resize(600, 300)
    plot.show_lines([line, Line("empty", ((days[0], None),))])
    image = QImage(600, 300, QImage.Format.Format_RGB32)
    painter = QPainter(image)
    plot.render(painter)
    painter.end()
    spot = plot.place(days[2], 0.3)
    assert image.pixelColor(int(spot.x()), int(spot.y())).name() == "#0072b2"
    gap = plot.place(days[1], 0.2)
    assert image.pixelColor(int(gap.x()), int(gap.y())).name() != "#0072b2"
    assert plot.nearest(spot + QPointF(3, 3))[1:] == (days[2], 0.3)
    assert plot.nearest(QPointF(1, 1)) is None


def test_plot_of_one_value_and_of_none(qgis):
    from stf_qgis_plugin.gui.plot import Line, TimePlot

    plot = TimePlot()
    for lines in ([Line("one", ((date(2020, 1, 1), 0.0),))], []):
        plot.show_lines(lines, "nothing")
        assert not plot.grab().isNull()


@pytest.mark.parametrize(("least", "greatest", "expected"), [
    (0.0, 1.0, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]), (-1100.0, 2050.0, [-1000.0, 0.0, 1000.0, 2000.0]),
])
def test_ticks_are_round(qgis, least, greatest, expected):
    from stf_qgis_plugin.gui.plot import ticks

    assert ticks(least, greatest, 5) == expected
