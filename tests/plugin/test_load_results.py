"""Load job results: a group of dated layers with one look, and what is missing of a series."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from qgis.core import Qgis, QgsDateTimeRange, QgsProject, QgsRasterLayer, QgsSingleBandGrayRenderer
from qgis.PyQt.QtCore import QCoreApplication

from conftest import write

DAYS = ("2020-10-01", "2020-10-09", "2020-10-17", "2020-10-25")


@pytest.fixture
def series(tmp_path):
    """The folder of a series of four dates of one band, whose values grow by 1000 from date to date."""
    folder = tmp_path / "maize"
    (folder / "uncertainty").mkdir(parents=True)
    for number, day in enumerate(DAYS):
        ramp = np.arange(64, dtype=np.int16).reshape(1, 8, 8) + 1000 * number
        write(folder / f"red_{day.replace('-', '')}.tif", ramp, 30.0)
        write(folder / "uncertainty" / f"red_{day.replace('-', '')}.tif", ramp // 10, 30.0)
    (folder / "stack.vrt").write_text("no image of a date", encoding="utf-8")
    rows = [{"date": day, "action": "keep" if day == DAYS[0] else "fuse"} for day in DAYS]
    rows.append({"date": "2020-11-02", "action": "skip"})
    (folder / "plan.json").write_text(json.dumps({"dates": rows}), encoding="utf-8")
    inputs = {"fine": {"path": [write(tmp_path / "landsat_20201001.tif", ramp, 30.0)]},
              "coarse": {"path": str(tmp_path / "modis")}}
    (tmp_path / "modis").mkdir()
    for day in DAYS:
        write(tmp_path / "modis" / f"modis_{day}.tif", ramp[:, :2, :2], 120.0)
    write(tmp_path / "modis" / "undated.tif", ramp[:, :2, :2], 120.0)
    job = {"operation": "series", "method": "fuse_series", "options": {"name": "red"}, "inputs": inputs,
           "outputs": {"output": "/gone/from/the/server"}}
    (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
    return folder


@pytest.fixture
def load(provider, run):
    """Runs the algorithm and opens its results as a QGIS window does; the groups in the layer panel."""
    from processing.gui.Postprocessing import handleAlgorithmResults

    def load_results(**given):
        run.context.layersToLoadOnCompletion().clear()
        run.context.setLayersToLoadOnCompletion({})
        algorithm = provider.algorithm("load_results").create()
        able, problem = algorithm.checkParameterValues(given, run.context)
        assert able, problem
        results, ok = algorithm.run(given, run.context, run.feedback)
        assert ok, run.feedback.textLog()
        assert handleAlgorithmResults(algorithm, run.context, run.feedback, False, results)
        # Layers that are nowhere in the panel go when QGIS comes to it.
        QCoreApplication.processEvents()
        return results

    return load_results


def groups():
    return {group.name(): group for group in QgsProject.instance().layerTreeRoot().findGroups(True)}


def names(group):
    return [node.layer().name() for node in group.children() if hasattr(node, "layer")]


def days_of(group):
    spans = [node.layer().temporalProperties() for node in group.children() if hasattr(node, "layer")]
    assert all(span.isActive() and span.mode() == Qgis.RasterTemporalMode.FixedTemporalRange for span in spans)
    return [span.fixedTemporalRange().begin().toUTC().toString("yyyy-MM-dd") for span in spans]


def stretches(group):
    shown = [node.layer().renderer().contrastEnhancement() for node in group.children() if hasattr(node, "layer")]
    return {(round(each.minimumValue()), round(each.maximumValue())) for each in shown}


def test_series_becomes_a_group_of_dated_layers(load, series):
    results = load(FOLDER=str(series))
    assert results["COUNT"] == 8
    assert results["MISSING"] == ""
    found = groups()
    assert set(found) == {"maize", "Uncertainty"}
    assert names(found["maize"]) == [f"maize {day}" for day in DAYS]
    assert len(QgsProject.instance().mapLayers()) == 8
    assert days_of(found["maize"]) == list(DAYS)
    assert [node.isVisible() for node in found["maize"].children()] == [True] * 4 + [False]


def test_all_dates_have_one_stretch(load, series):
    load(FOLDER=str(series))
    # Values are 0 to 63, 1000 to 1063, ... 3063; two in a hundred are cut off on either side.
    assert stretches(groups()["maize"]) == {(5, 3058)}
    assert stretches(groups()["Uncertainty"]) == {(0, 305)}


def test_project_gets_the_range_and_the_step_once(load, series):
    load(FOLDER=str(series))
    settings = QgsProject.instance().timeSettings()
    span = settings.temporalRange()
    assert span.begin().toUTC().toString("yyyy-MM-dd") == DAYS[0]
    assert span.end().toUTC().toString("yyyy-MM-dd") == "2020-10-26"
    assert settings.timeStep() == 8
    QgsProject.instance().clear()
    own = QgsDateTimeRange(span.begin().addYears(-1), span.end())
    QgsProject.instance().timeSettings().setTemporalRange(own)
    load(FOLDER=str(series))
    assert QgsProject.instance().timeSettings().temporalRange() == own


def test_missing_dates_are_named_and_the_others_loaded(load, series, run):
    (series / "red_20201009.tif").unlink()
    (series / "red_20201025.tif").unlink()
    results = load(FOLDER=str(series))
    assert results["MISSING"] == "2020-10-09, 2020-10-25"
    assert "lacks 2 of its 4 dates (2020-10-09, 2020-10-25)" in run.feedback.textLog()
    assert days_of(groups()["maize"]) == ["2020-10-01", "2020-10-17"]


def test_loaded_again_it_gets_what_it_lacks(load, series, tmp_path):
    os.rename(series / "red_20201009.tif", tmp_path / "aside.tif")
    load(FOLDER=str(series))
    before = {layer.id() for layer in QgsProject.instance().mapLayers().values()}
    os.rename(tmp_path / "aside.tif", series / "red_20201009.tif")
    load(FOLDER=str(series))
    after = {layer.id() for layer in QgsProject.instance().mapLayers().values()}
    assert before < after
    assert len(after - before) == 1
    assert days_of(groups()["maize"]) == list(DAYS)
    assert len(QgsProject.instance().layerTreeRoot().children()) == 1


def test_inputs_are_loaded_as_groups_in_the_group(load, series, run):
    load(FOLDER=str(series), INPUTS=True)
    found = groups()
    assert days_of(found["Fine images"]) == ["2020-10-01"]
    assert names(found["Coarse images"]) == ["undated", *(f"Coarse images {day}" for day in DAYS)]
    assert "undated.tif" in run.feedback.textLog()
    assert found["Coarse images"].parent() is found["maize"] or found["Coarse images"].parent().name() == "maize"


def test_inputs_know_the_masks_that_they_were_used_with(load, series, tmp_path):
    job = json.loads((series / "job.json").read_text(encoding="utf-8"))
    (tmp_path / "masks").mkdir()
    path = write(tmp_path / "masks" / "mask_20201001.tif", np.zeros((1, 8, 8), np.int16), 30.0)
    job["inputs"]["fine_masks"] = {"path": str(tmp_path / "masks"), "clear": "0,1"}
    (series / "job.json").write_text(json.dumps(job), encoding="utf-8")
    load(FOLDER=str(series), INPUTS=True)
    layers = {name: [node.layer() for node in group.findLayers()] for name, group in groups().items()}
    assert [(each.customProperty("stf/mask"), each.customProperty("stf/clear")) for each in layers["Fine images"]] == [
        (path, "0,1")
    ]
    assert {each.customProperty("stf/mask") for each in layers["Coarse images"]} == {None}


def test_job_beside_the_series_is_the_series_wherever_it_was_made(load, series):
    assert load(JOB=str(series / "job.json"))["COUNT"] == 8


def test_series_of_a_whole_run_has_the_name_of_the_run(load, series, tmp_path):
    run = tmp_path / "whole"
    run.mkdir()
    series.rename(run / "series")
    load(FOLDER=str(run))
    assert len(groups()["whole"].findLayers()) >= len(DAYS)


def test_index_of_a_whole_run_is_opened_in_place_of_its_bands(load, series, tmp_path):
    run = tmp_path / "whole"
    (run / "index").mkdir(parents=True)
    for day in DAYS[:2]:
        write(run / "index" / f"ndvi_{day.replace('-', '')}.tif", np.ones((1, 8, 8), np.float32), 30.0)
    series.rename(run / "series")
    results = load(FOLDER=str(run))
    assert names(groups()["whole"]) == [f"whole {day}" for day in DAYS[:2]]
    assert sum("/index/" in path for path in results["LAYERS"]) == 2
    assert not any("/series/red" in path for path in results["LAYERS"])


def test_any_folder_of_dated_images(load, series, tmp_path):
    load(FOLDER=str(tmp_path / "modis"))
    assert names(groups()["modis"])[1:] == [f"modis {day}" for day in DAYS]


def test_job_with_one_result(load, scene, tmp_path):
    job = tmp_path / "july.json"
    order = {"operation": "fuse", "method": "starfm", "outputs": {"output": "fine_20200101.tif", "other": "gone.tif"}}
    job.write_text(json.dumps(order), encoding="utf-8")
    results = load(JOB=str(job))
    assert results["MISSING"] == "gone.tif"
    assert days_of(groups()["july"]) == ["2020-01-01"]


def test_result_beside_the_job_of_another_machine(load, scene, tmp_path):
    job = tmp_path / "job.json"
    job.write_text(json.dumps({"outputs": {"output": "D:\\server\\fine_20200101.tif"}}), encoding="utf-8")
    assert load(JOB=str(job))["LAYERS"] == [scene.fine]


@pytest.mark.parametrize(("text", "words"), [
    ("{", "cannot be read"),
    ("[]", "neither a job nor a manifest"),
    ('{"outputs": {"output": "a.tif"}}', "has not written a.tif"),
])
def test_what_is_no_result_is_refused(provider, run, tmp_path, text, words):
    (tmp_path / "x.json").write_text(text, encoding="utf-8")
    _, ok = provider.algorithm("load_results").create().run(
        {"JOB": str(tmp_path / "x.json")}, run.context, run.feedback
    )
    assert not ok
    assert words in run.feedback.textLog()


def test_series_without_any_image_names_its_dates(provider, run, series):
    for path in series.glob("red_*.tif"):
        path.unlink()
    for path in (series / "uncertainty").glob("red_*.tif"):
        path.unlink()
    _, ok = provider.algorithm("load_results").create().run({"FOLDER": str(series)}, run.context, run.feedback)
    assert not ok
    assert "lacks 4 of its 4 dates" in run.feedback.textLog()


@pytest.mark.parametrize("given", [{}, {"FOLDER": "a", "JOB": "b.json"}, {"FOLDER": "/not/there"}])
def test_one_thing_that_exists_is_wanted(provider, run, given):
    able, problem = provider.algorithm("load_results").create().checkParameterValues(given, run.context)
    assert not able
    assert problem.endswith(".")


@pytest.fixture
def fuse(provider, engine, run, series, monkeypatch):
    """Runs 'Fuse a time series' with an engine that has done it already, and opens what QGIS would open."""
    from processing.gui.Postprocessing import handleAlgorithmResults

    from stf_qgis_plugin.engine import runner

    def fuse_series(fine, **given):
        monkeypatch.setattr(runner, "run_job", lambda *rest: {"output": str(series), "failed": 0})
        algorithm = provider.algorithm("fuse_series").create()
        values = {"FINE": fine, "COARSE": fine, "OUTPUT": str(series), **given}
        results, ok = algorithm.run(values, run.context, run.feedback)
        assert ok, run.feedback.textLog()
        assert handleAlgorithmResults(algorithm, run.context, run.feedback, False, results)

    return fuse_series


def test_series_that_was_fused_is_opened(fuse, scene):
    fuse([scene.fine])
    assert days_of(groups()["maize"]) == list(DAYS)
    assert stretches(groups()["maize"]) == {(5, 3058)}


def test_series_is_not_opened_unless_wanted(fuse, scene):
    fuse([scene.fine], LOAD=False)
    assert not QgsProject.instance().mapLayers()


def test_series_looks_like_the_fine_image_of_the_project(fuse, scene):
    fine = QgsRasterLayer(scene.fine, "Fine")
    renderer = QgsSingleBandGrayRenderer(fine.dataProvider(), 1)
    renderer.setContrastEnhancement(_enhancement(fine, 7, 77))
    fine.setRenderer(renderer)
    QgsProject.instance().addMapLayer(fine)
    fuse([fine])
    assert stretches(groups()["maize"]) == {(7, 77)}


def _enhancement(layer, least, greatest):
    from qgis.core import QgsContrastEnhancement

    enhancement = QgsContrastEnhancement(layer.dataProvider().dataType(1))
    enhancement.setMinimumValue(least)
    enhancement.setMaximumValue(greatest)
    return enhancement
