"""The models that come with the plugin: found in the toolbox, and run by the engine from end to end."""

from __future__ import annotations

import json

import numpy as np
import pytest
from osgeo import gdal
from qgis.core import QgsApplication, QgsProcessingModelAlgorithm

from conftest import FINE_PIXEL, read, write

MAPS = {"starfm": "STARFM", "fit_fc": "Fit-FC", "fsdaf": "FSDAF", "fine_plus_difference": "Fine + coarse difference"}


@pytest.fixture
def study(provider) -> QgsProcessingModelAlgorithm:
    """The study of fusion methods by their K-means classes."""
    return QgsApplication.processingRegistry().algorithmById("stf:kmeans_study")


def test_models_are_algorithms_of_the_toolbox(study, engine):
    assert (study.displayName(), study.group()) == ("K-means study of fusion methods", "Models")
    assert study.canExecute() == (True, "")
    assert {"fusion", "kmeans", "accuracy"} <= set(study.tags())
    for child in study.childAlgorithms().values():
        parameters = {definition.name() for definition in child.algorithm().parameterDefinitions()}
        assert set(child.parameterSources()) <= parameters, child.description()
    assert study.create().validate() == (True, [])


def test_models_say_that_the_engine_is_missing(study):
    able, sentence = study.canExecute()
    assert not able
    assert "Install engine" in sentence


def test_study_runs_from_end_to_end(study, engine, run, scene, tmp_path):
    true = read(scene.fine).astype(int) + np.random.default_rng(1).normal(250, 60, (3, 64, 64))
    given = {
        "FINE": scene.fine, "COARSE": scene.coarse, "TARGET": scene.target, "CLASSES": 3,
        "REFERENCE": write(tmp_path / "true.tif", true.astype(np.int16), FINE_PIXEL),
        "classes:Classes of the true image": str(tmp_path / "classes.tif"),
        "study:Folder of the report": str(tmp_path / "report"),
    }
    given |= {f"map_{name}:Classes of {title}": str(tmp_path / f"{name}.tif") for name, title in MAPS.items()}
    _, ok = study.create().run(given, run.context, run.feedback)
    assert ok, run.feedback.textLog()

    found = json.loads((tmp_path / "report" / "results.json").read_text(encoding="utf-8"))
    assert set(found["images"]) == set(MAPS.values())
    assert found["settings"]["Number of classes"] == 3
    assert (tmp_path / "report" / "report.html").stat().st_size > 10_000
    # The maps and the study have the same classes: the scores are those of the maps that are loaded.
    truth = read(str(tmp_path / "classes.tif"))
    for name, title in MAPS.items():
        agreeing = (read(str(tmp_path / f"{name}.tif")) == truth).mean()
        assert found["images"][title]["frozen"]["overall_accuracy"] == pytest.approx(agreeing)
    assert gdal.Open(str(tmp_path / "starfm.tif")).GetRasterBand(1).GetColorTable() is not None
