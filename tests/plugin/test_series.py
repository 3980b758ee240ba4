"""Time series through QGIS: the plan and the fusion of all dates, from lists of files."""

from __future__ import annotations

import json

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransform,
    QgsRasterLayer,
    QgsRectangle,
    QgsReferencedRectangle,
)

from conftest import read


def test_a_series_is_fused_and_described(provider, engine, run, scene, tmp_path):
    folder = tmp_path / "series"
    given = {
        "METHOD": "fine_plus_difference", "FINE": [scene.fine], "COARSE": [scene.coarse, scene.target],
        "OUTPUT": str(folder),
    }
    algorithm = provider.algorithm("fuse_series").create()
    able, problem = algorithm.checkParameterValues(given, run.context)
    assert able, problem
    results, ok = algorithm.run(given, run.context, run.feedback)
    assert ok, run.feedback.textLog()
    assert (results["FUSED"], results["KEPT"], results["FAILED"]) == (1, 1, 0)
    assert results["REPORT"] == str(folder / "report.html")
    assert "2020-03-01 fuse: 2020-01-01" in run.feedback.textLog()
    assert read(results["STACK"]).shape == (6, 64, 64)
    found = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert [one["state"] for one in found["dates"]] == ["kept", "fused"]


def test_a_plan_counts_its_dates(provider, engine, run, scene, tmp_path):
    given = {
        "METHOD": "starfm", "FINE": [scene.fine], "COARSE": [scene.coarse, scene.target], "EXISTING": "fuse",
        "OUTPUT": str(tmp_path / "plan"),
    }
    results, ok = provider.algorithm("plan_series").create().run(given, run.context, run.feedback)
    assert ok, run.feedback.textLog()
    assert (results["FUSED"], results["KEPT"], results["SKIPPED"]) == (1, 0, 1)


def test_the_whole_way_for_an_extent_on_the_map(provider, engine, run, scene, tmp_path):
    layer = QgsRasterLayer(scene.fine)
    whole, degrees = layer.extent(), QgsCoordinateReferenceSystem("EPSG:4326")
    half = QgsRectangle(whole.xMinimum(), whole.yMinimum(), whole.center().x(), whole.yMaximum())
    box = QgsCoordinateTransform(layer.crs(), degrees, run.context.transformContext()).transformBoundingBox(half)
    given = {
        "METHOD": "fine_plus_difference", "FINE": [scene.fine], "COARSE": [scene.coarse, scene.target], "SHIFT": "no",
        "BAD_DATES": "keep", "AREA": QgsReferencedRectangle(box, degrees), "INDEX": "ndvi", "INDEX_ORDER": "after",
        "INDEX_BANDS": "green_red_nir", "OUTPUT": str(tmp_path / "run"),
    }
    algorithm = provider.algorithm("prepare_and_fuse").create()
    able, problem = algorithm.checkParameterValues(given, run.context)
    assert able, problem
    results, ok = algorithm.run(given, run.context, run.feedback)
    assert ok, run.feedback.textLog()
    assert (results["FUSED"], results["KEPT"]) == (1, 1)
    # What is opened is the index, of the pixels that the extent touches.
    assert [path.rpartition("/")[2] for path in results["LAYERS"]] == ["ndvi_20200101.tif", "ndvi_20200301.tif"]
    shapes = {read(path).shape for path in results["LAYERS"]}
    assert len(shapes) == 1
    (shape,) = shapes
    assert shape[0] == 64
    assert 32 <= shape[1] <= 34
