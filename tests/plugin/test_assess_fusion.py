"""Assess fused image in QGIS: styled layers, the report, and numbers that a model goes on with; run by the engine."""

from __future__ import annotations

import os

import numpy as np
import pytest
from qgis.core import (
    QgsProcessingModelAlgorithm,
    QgsProcessingModelChildAlgorithm,
    QgsProcessingModelChildParameterSource,
    QgsProcessingModelOutput,
    QgsProcessingModelParameter,
    QgsProcessingOutputLayerDefinition,
    QgsProcessingParameterRasterLayer,
    QgsProject,
    QgsSingleBandPseudoColorRenderer,
)

from conftest import FINE_PIXEL, read, write


@pytest.fixture
def images(scene, tmp_path):
    """The fine image as the truth, and one that is 100 more."""
    fused = write(tmp_path / "image.tif", (read(scene.fine) + 100).astype(np.int16), FINE_PIXEL)
    return {"PREDICTED": fused, "REFERENCE": scene.fine}


def test_layers_arrive_styled_and_numbers_with_them(provider, engine, run, images, tmp_path):
    from processing.gui.Postprocessing import handleAlgorithmResults

    algorithm = provider.algorithm("assess_fusion").create()
    outputs = {}
    for name in ("ERROR", "ANGLE"):
        outputs[name] = QgsProcessingOutputLayerDefinition(str(tmp_path / f"{name}.tif"))
        outputs[name].destinationProject = QgsProject.instance()
    given = {**images, **outputs, "OUTPUT": str(tmp_path / "report")}
    results, ok = algorithm.run(given, run.context, run.feedback)
    assert ok, run.feedback.textLog()
    assert results["RMSE"] == pytest.approx(100)
    assert results["BIAS"] == pytest.approx(100)
    assert os.path.getsize(results["REPORT"]) > 50_000
    assert handleAlgorithmResults(algorithm, run.context, run.feedback, False, results)
    layers = {layer.name(): layer for layer in QgsProject.instance().mapLayers().values()}
    assert set(layers) == {"Error image", "Spectral angle image"}
    for layer in layers.values():
        assert isinstance(layer.renderer(), QgsSingleBandPseudoColorRenderer), layer.renderer()
    error = layers["Error image"].renderer()
    assert error.classificationMin() == pytest.approx(-error.classificationMax())
    assert len(error.shader().rasterShaderFunction().colorRampItemList()) == 5
    assert layers["Spectral angle image"].renderer().classificationMin() == 0


def test_a_model_goes_on_with_a_number(provider, engine, run, images, tmp_path):
    """The error becomes the value of a raster."""
    model = QgsProcessingModelAlgorithm("Error", "Tests")
    for name in images:
        model.addModelParameter(QgsProcessingParameterRasterLayer(name, name), QgsProcessingModelParameter(name))
    source = QgsProcessingModelChildParameterSource
    assess = QgsProcessingModelChildAlgorithm("stf:assess_fusion")
    assess.setChildId("assess")
    for name in images:
        assess.addParameterSources(name, [source.fromModelParameter(name)])
    assess.addParameterSources("OUTPUT", [source.fromStaticValue(str(tmp_path / "report"))])
    model.addChildAlgorithm(assess)
    constant = QgsProcessingModelChildAlgorithm("native:createconstantrasterlayer")
    constant.setChildId("constant")
    constant.addParameterSources("EXTENT", [source.fromModelParameter("REFERENCE")])
    constant.addParameterSources("TARGET_CRS", [source.fromStaticValue("EPSG:32611")])
    constant.addParameterSources("PIXEL_SIZE", [source.fromStaticValue(480)])
    constant.addParameterSources("NUMBER", [source.fromChildOutput("assess", "RMSE")])
    made = QgsProcessingModelOutput("Error")
    made.setChildId("constant")
    made.setChildOutputName("OUTPUT")
    constant.setModelOutputs({"Error": made})
    model.addChildAlgorithm(constant)
    model.updateDestinationParameters()
    results, ok = model.run({**images, "constant:Error": str(tmp_path / "error.tif")}, run.context, run.feedback)
    assert ok, run.feedback.textLog()
    assert np.unique(read(results["constant:Error"])) == pytest.approx(100)
