"""Models, run by the engine: STARFM with QGIS's own raster calculator, and steps that hand on stacks of images."""

from __future__ import annotations

import gc

import numpy as np
import pytest
from qgis.core import (
    QgsProcessingModelAlgorithm,
    QgsProcessingModelChildAlgorithm,
    QgsProcessingModelChildParameterSource,
    QgsProcessingModelOutput,
    QgsProcessingModelParameter,
    QgsProcessingOutputLayerDefinition,
    QgsProcessingParameterMultipleLayers,
    QgsProcessingParameterRasterLayer,
    QgsProject,
)

from conftest import read, write

INPUTS = {"FINE": "Landsat", "COARSE": "MODIS before", "TARGET": "MODIS after"}


@pytest.fixture
def model(provider) -> QgsProcessingModelAlgorithm:
    """Fuses, then subtracts the fine image's first band from the result's: the change that was predicted."""
    model = QgsProcessingModelAlgorithm("Change", "Tests")
    for name, title in INPUTS.items():
        model.addModelParameter(QgsProcessingParameterRasterLayer(name, title), QgsProcessingModelParameter(name))
    source = QgsProcessingModelChildParameterSource

    fuse = QgsProcessingModelChildAlgorithm("stf:starfm")
    fuse.setChildId("fuse")
    fuse.setDescription("STARFM")
    for name in INPUTS:
        fuse.addParameterSources(name, [source.fromModelParameter(name)])
    fuse.addParameterSources("WINDOW", [source.fromStaticValue(11)])
    fuse.addParameterSources("TARGET_DATE", [source.fromStaticValue("2020-03-02")])
    fused = QgsProcessingModelOutput("Predicted image")
    fused.setChildId("fuse")
    fused.setChildOutputName("OUTPUT")
    fuse.setModelOutputs({"Predicted image": fused})
    model.addChildAlgorithm(fuse)

    subtract = QgsProcessingModelChildAlgorithm("qgis:rastercalculator")
    subtract.setChildId("subtract")
    subtract.addParameterSources("LAYERS", [source.fromChildOutput("fuse", "OUTPUT"),
                                            source.fromModelParameter("FINE")])
    difference = "\"'Fused image' from algorithm 'STARFM'@1\" - \"Landsat@1\""
    subtract.addParameterSources("EXPRESSION", [source.fromStaticValue(difference)])
    change = QgsProcessingModelOutput("Change")
    change.setChildId("subtract")
    change.setChildOutputName("OUTPUT")
    subtract.setModelOutputs({"Change": change})
    model.addChildAlgorithm(subtract)
    model.updateDestinationParameters()
    return model


@pytest.fixture
def values(scene, tmp_path):
    return {
        "FINE": scene.fine, "COARSE": scene.coarse, "TARGET": scene.target,
        "fuse:Predicted image": str(tmp_path / "fused.tif"), "subtract:Change": str(tmp_path / "change.tif"),
    }


def test_model_runs_from_end_to_end(model, engine, run, values, tmp_path):
    """The model is written to a file and read again first, as a person's models are."""
    model.toFile(str(tmp_path / "change.model3"))
    stored = QgsProcessingModelAlgorithm()
    assert stored.fromFile(str(tmp_path / "change.model3"))
    assert stored.canExecute()[0]
    results, ok = stored.run(values, run.context, run.feedback)
    assert ok, run.feedback.textLog()
    expected = read(values["fuse:Predicted image"])[0].astype(float) - read(values["FINE"])[0]
    found = read(results["subtract:Change"])
    assert found.shape == expected.shape
    assert np.array_equal(found, expected)
    assert np.abs(found).max() > 0


def test_layer_that_a_model_loads_is_finished(model, engine, run, values):
    """It is, although the algorithm in the model is gone by then."""
    from processing.gui.Postprocessing import handleAlgorithmResults

    output = QgsProcessingOutputLayerDefinition(values["fuse:Predicted image"])
    output.destinationProject = QgsProject.instance()
    results, ok = model.run({**values, "fuse:Predicted image": output}, run.context, run.feedback)
    assert ok, run.feedback.textLog()
    gc.collect()
    assert handleAlgorithmResults(model, run.context, run.feedback, False, results)
    (layer,) = QgsProject.instance().mapLayers().values()
    assert layer.name() == "Predicted image"
    assert layer.temporalProperties().isActive()


def test_model_is_told_what_is_wrong(model, engine, run, values, tmp_path):
    """A model does not ask the form, so the check is made again when the run is prepared."""
    child = model.childAlgorithm("fuse")
    child.addParameterSources("WINDOW", [QgsProcessingModelChildParameterSource.fromStaticValue(10)])
    model.setChildAlgorithm(child)
    _, ok = model.run(values, run.context, run.feedback)
    assert not ok
    assert "an even number; take 11." in run.feedback.textLog()
    assert not (tmp_path / "fused.tif").exists()


def test_a_stack_that_a_step_wrote_is_handed_on(provider, engine, run, tmp_path):
    """The folder of an index, as layers for the next step."""
    stack = []
    for day, infrared in (("20200301", 3000), ("20200317", 5000)):
        values = np.stack([np.full((8, 8), 1000), np.full((8, 8), infrared)]).astype(np.int16)
        stack.append(write(tmp_path / f"fine_{day}.tif", values, 30.0))
    model = QgsProcessingModelAlgorithm("Index", "Tests")
    model.addModelParameter(QgsProcessingParameterMultipleLayers("FINE", "Fine"), QgsProcessingModelParameter("FINE"))
    source = QgsProcessingModelChildParameterSource
    index = QgsProcessingModelChildAlgorithm("stf:spectral_index")
    index.setChildId("index")
    index.addParameterSources("IMAGES", [source.fromModelParameter("FINE")])
    index.addParameterSources("ORDER", [source.fromStaticValue("names")])
    index.addParameterSources("NUMBERS", [source.fromStaticValue("red=1, nir=2")])
    index.addParameterSources("OUTPUT", [source.fromStaticValue(str(tmp_path / "index"))])
    model.addChildAlgorithm(index)
    read_off = QgsProcessingModelChildAlgorithm("stf:pixel_series")
    read_off.setChildId("points")
    read_off.addParameterSources("FINE", [source.fromChildOutput("index", "LAYERS")])
    read_off.addParameterSources("COORDINATES", [source.fromStaticValue("600045,3699955")])
    read_off.addParameterSources("OUTPUT", [source.fromStaticValue(str(tmp_path / "points.csv"))])
    model.addChildAlgorithm(read_off)
    model.updateDestinationParameters()
    _, ok = model.run({"FINE": stack}, run.context, run.feedback)
    assert ok, run.feedback.textLog()
    text = (tmp_path / "points.csv").read_text(encoding="utf-8")
    assert "2020-03-01" in text
    assert "2020-03-17" in text
