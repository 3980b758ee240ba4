"""Maps of classes through QGIS: points to be labelled, matching, and how the results look."""

from __future__ import annotations

import json

import numpy as np
import pytest
from qgis import processing
from qgis.core import QgsProcessingOutputLayerDefinition, QgsProject, QgsVectorLayer, QgsWkbTypes

from conftest import write

LABELS = np.array([[1, 1, 2, 2, 3, 3]]).repeat(30, 0).repeat(5, 1)


@pytest.fixture
def class_map(tmp_path):
    """Three classes of 30 x 10 pixels, side by side."""
    return write(tmp_path / "map.tif", LABELS[None].astype(np.int16), 30.0)


def test_points_of_a_design_load_and_can_be_labelled(provider, engine, run, class_map, tmp_path):
    from processing.gui.Postprocessing import handleAlgorithmResults

    path = str(tmp_path / "points.gpkg")
    output = QgsProcessingOutputLayerDefinition(path)
    output.destinationProject = QgsProject.instance()
    algorithm = provider.algorithm("sampling_design").create()
    values = {"STRATA": class_map, "SAMPLES": 60, "MINIMUM": 10, "OUTPUT": output,
              "DESIGN": str(tmp_path / "design.json")}
    results, ok = algorithm.run(values, run.context, run.feedback)
    assert ok, run.feedback.textLog()
    assert results["POINTS"] == 60
    assert json.loads((tmp_path / "design.json").read_text(encoding="utf-8"))["points"] == 60
    assert handleAlgorithmResults(algorithm, run.context, run.feedback, False, results)
    (layer,) = QgsProject.instance().mapLayers().values()
    assert isinstance(layer, QgsVectorLayer)
    assert (layer.name(), layer.featureCount(), layer.crs().authid()) == ("Points", 60, "EPSG:32611")
    assert QgsWkbTypes.displayString(layer.wkbType()) == "Point"
    assert [field.name() for field in layer.fields()][-4:] == ["reference", "id", "stratum", "weight"]
    place = layer.fields().lookupField("reference")
    assert layer.fields()[place].isNumeric()
    assert layer.startEditing()
    for feature in layer.getFeatures():
        assert feature["reference"] is None or feature["reference"].isNull()
        assert layer.changeAttributeValue(feature.id(), place, int(feature["stratum"]))
    assert layer.commitChanges()
    report = processing.run("stf:assess_classification", {
        "CLASS_MAP": class_map, "SAMPLES": layer, "OUTPUT": str(tmp_path / "report"),
    })
    assert (report["OVERALL_ACCURACY"], report["ESTIMATED_ACCURACY"]) == (1, 1)
