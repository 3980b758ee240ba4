"""Maps of classes through QGIS: points to be labelled, matching, and how the results look."""

from __future__ import annotations

import json

import numpy as np
import pytest
from qgis import processing
from qgis.core import (
    QgsPalettedRasterRenderer,
    QgsProcessingOutputHtml,
    QgsProcessingOutputLayerDefinition,
    QgsProject,
    QgsSingleBandPseudoColorRenderer,
    QgsVectorLayer,
    QgsWkbTypes,
)

from conftest import read, write

LABELS = np.array([[1, 1, 2, 2, 3, 3]]).repeat(30, 0).repeat(5, 1)


@pytest.fixture
def class_map(tmp_path):
    """Three classes of 30 x 10 pixels, side by side."""
    return write(tmp_path / "map.tif", LABELS[None].astype(np.int16), 30.0)


@pytest.fixture
def load(run, provider, engine):
    """Runs an algorithm and loads its output as a QGIS window does; its results and the layer."""
    from processing.gui.Postprocessing import handleAlgorithmResults

    def load_output(name, path, **values):
        output = QgsProcessingOutputLayerDefinition(str(path))
        output.destinationProject = QgsProject.instance()
        algorithm = provider.algorithm(name).create()
        results, ok = algorithm.run({**values, "OUTPUT": output}, run.context, run.feedback)
        assert ok, run.feedback.textLog()
        assert handleAlgorithmResults(algorithm, run.context, run.feedback, False, results)
        (layer,) = [each for each in QgsProject.instance().mapLayers().values() if str(path) in each.source()]
        return results, layer

    return load_output


def legend(layer):
    """Names and colours of the classes that a layer of classes shows."""
    renderer = layer.renderer()
    assert isinstance(renderer, QgsPalettedRasterRenderer)
    return {int(each.value): (each.label, each.color.name()) for each in renderer.classes()}


def test_points_of_a_design_load_and_can_be_labelled(load, class_map, tmp_path):
    results, layer = load(
        "sampling_design", tmp_path / "points.gpkg", STRATA=class_map, SAMPLES=60, MINIMUM=10,
        DESIGN=str(tmp_path / "design.json"),
    )
    assert results["POINTS"] == 60
    assert json.loads((tmp_path / "design.json").read_text(encoding="utf-8"))["points"] == 60
    assert isinstance(layer, QgsVectorLayer)
    assert (layer.name(), layer.featureCount(), layer.crs().authid()) == ("Sampling design", 60, "EPSG:32611")
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
    assert report["REPORT"] == str(tmp_path / "report" / "report.html")


def test_names_of_the_map_are_what_the_form_of_the_points_offers(load, class_map, tmp_path):
    path = tmp_path / "named.tif"
    load("match_classes", path, CLASS_MAP=class_map, REFERENCE=class_map, CLASS_NAMES="1=wood, 2=<water> & ice, 3=bog")
    _, layer = load("sampling_design", tmp_path / "points.gpkg", STRATA=str(path), SAMPLES=20, MINIMUM=2)
    setup = layer.editorWidgetSetup(layer.fields().lookupField("reference"))
    assert setup.type() == "ValueMap"
    assert setup.config()["map"] == [{"wood": 1}, {"<water> & ice": 2}, {"bog": 3}]


def test_a_matched_map_shows_the_names_and_colours_of_its_classes(load, class_map, tmp_path):
    """And so does a map that was reclassified by the table of the match."""
    clusters = write(tmp_path / "clusters.tif", np.array([0, 12, 10, 11], np.int16)[LABELS][None], 30.0)
    table = str(tmp_path / "match.json")
    results, layer = load(
        "match_classes", tmp_path / "matched.tif", CLASS_MAP=clusters, REFERENCE=class_map, TABLE=table,
        CLASS_NAMES="1=wood, 2=water, 3=bog",
    )
    assert (results["AGREEMENT"], results["ADJUSTED_RAND"], results["UNMATCHED"]) == (1, 1, 0)
    shown = legend(layer)
    assert [name for name, _ in shown.values()] == ["wood", "water", "bog"]
    assert len({colour for _, colour in shown.values()}) == 3
    np.testing.assert_array_equal(read(str(tmp_path / "matched.tif")), LABELS)
    _, again = load("reclassify", tmp_path / "again.tif", CLASS_MAP=clusters, MATCH=table)
    assert legend(again) == shown
    np.testing.assert_array_equal(read(str(tmp_path / "again.tif")), LABELS)


@pytest.fixture
def image(tmp_path):
    """Three classes, dark, middle and bright, in two layers: two bands and one."""
    noise = np.random.default_rng(1).integers(0, 40, (3, *LABELS.shape))
    values = (LABELS[None] * 300 + noise).astype(np.int16)
    return [write(tmp_path / "two.tif", values[:2], 30.0), write(tmp_path / "one.tif", values[2:], 30.0)]


def test_kmeans_of_several_layers_is_styled_and_its_model_applies(load, image, tmp_path):
    paths = {"MODEL": str(tmp_path / "model.json"), "REPORT": str(tmp_path / "report.html")}
    results, layer = load("kmeans", tmp_path / "map.tif", IMAGE=image, CLASSES=3, **paths)
    assert {name: results[name] for name in paths} == paths
    assert results["NUMBER_OF_CLASSES"] == 3
    assert 0.5 < results["SILHOUETTE"] < 1
    assert layer.name() == "K-means classification"
    assert {int(each.value): each.label for each in layer.renderer().classes()} == {
        1: "Class 1", 2: "Class 2", 3: "Class 3"
    }
    shown = legend(layer)
    np.testing.assert_array_equal(read(str(tmp_path / "map.tif")), LABELS)
    again, applied = load("apply_kmeans", tmp_path / "applied.tif", IMAGE=image, MODEL=paths["MODEL"])
    assert again["INERTIA"] == results["INERTIA"]
    assert legend(applied) == shown
    np.testing.assert_array_equal(read(str(tmp_path / "applied.tif")), LABELS)


def test_bands_of_several_layers_are_written_as_numbers(load, image, tmp_path):
    model = tmp_path / "model.json"
    load("kmeans", tmp_path / "map.tif", IMAGE=image, CLASSES=3, IMAGE_BANDS="3,1", MODEL=str(model))
    assert json.loads(model.read_text(encoding="utf-8"))["bands"] == ["Band 3", "Band 1"]


def test_the_certainty_loads_with_a_name_and_a_ramp_of_its_own(run, provider, engine, image, tmp_path):
    from processing.gui.Postprocessing import handleAlgorithmResults

    outputs = {}
    for name in ("OUTPUT", "CERTAINTY"):
        outputs[name] = QgsProcessingOutputLayerDefinition(str(tmp_path / f"{name}.tif"))
        outputs[name].destinationProject = QgsProject.instance()
    algorithm = provider.algorithm("kmeans").create()
    results, ok = algorithm.run({"IMAGE": image, "CLASSES": 3, **outputs}, run.context, run.feedback)
    assert ok, run.feedback.textLog()
    assert handleAlgorithmResults(algorithm, run.context, run.feedback, False, results)
    layers = {each.name(): each for each in QgsProject.instance().mapLayers().values()}
    assert set(layers) == {"K-means classification", "Certainty"}
    assert isinstance(layers["Certainty"].renderer(), QgsSingleBandPseudoColorRenderer)


def test_the_report_is_shown_as_a_page(provider):
    """QGIS puts a file of HTML into the results viewer."""
    for name in ("kmeans", "apply_kmeans"):
        assert isinstance(provider.algorithm(name).outputDefinition("REPORT"), QgsProcessingOutputHtml)


def test_too_many_classes_are_one_sentence(provider, engine, run, tmp_path):
    flat = write(tmp_path / "flat.tif", np.ones((2, 9, 9), np.int16), 30.0)
    values = {"IMAGE": [flat], "CLASSES": 5, "OUTPUT": str(tmp_path / "map.tif"), "MODEL": str(tmp_path / "m.json")}
    _, ok = provider.algorithm("kmeans").create().run(values, run.context, run.feedback)
    assert not ok
    assert "has 1 different pixels (of 81 sampled) and 5 classes are asked for; take fewer" in run.feedback.textLog()
    assert "Traceback" not in run.feedback.textLog()
    assert {path.name for path in tmp_path.iterdir()} == {"flat.tif"}


def test_classes_that_do_not_fit_into_bytes_are_shown_too(load, class_map, tmp_path):
    _, layer = load("reclassify", tmp_path / "large.tif", CLASS_MAP=class_map, TABLE="1=-4, 2=300")
    assert sorted(legend(layer)) == [-4, 3, 300]
    np.testing.assert_array_equal(read(str(tmp_path / "large.tif")), np.array([0, -4, 300, 3])[LABELS])


def test_a_wrong_table_is_one_sentence(provider, engine, run, class_map, tmp_path):
    values = {"CLASS_MAP": class_map, "TABLE": "wood", "OUTPUT": str(tmp_path / "new.tif")}
    _, ok = provider.algorithm("reclassify").create().run(values, run.context, run.feedback)
    assert not ok
    assert "has the part 'wood'; write 'number=word" in run.feedback.textLog()
    assert "Traceback" not in run.feedback.textLog()
    assert not (tmp_path / "new.tif").exists()
