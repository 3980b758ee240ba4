"""The forms and jobs of the declared methods; the engine is replaced by a function that keeps the job."""

from __future__ import annotations

import json
import os
import re
import shutil

import pytest
from osgeo import gdal
from qgis.core import (
    Qgis,
    QgsCoordinateReferenceSystem,
    QgsProcessing,
    QgsProcessingException,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterNumber,
    QgsProject,
    QgsRasterLayer,
    QgsRectangle,
    QgsReferencedRectangle,
)
from qgis.PyQt.QtCore import QDate

from conftest import BUILD, write

METHODS = json.loads((BUILD / "stf_qgis_plugin" / "resources" / "methods.json").read_text(encoding="utf-8"))["methods"]
TYPES = {
    "raster": "raster", "mask": "raster", "bands": "band", "date": "datetime", "integer": "number", "number": "number",
    "boolean": "boolean", "choice": "enum", "text": "string", "extent": "extent", "raster_out": "rasterDestination",
    "folder_out": "folderDestination", "rasters": "multilayer", "vector": "vector", "field": "field", "file": "file",
    "files": "multilayer", "folder": "file",
    "vector_out": "vectorDestination", "file_out": "fileDestination",
}
ADVANCED = QgsProcessingParameterDefinition.Flag.FlagAdvanced
OPTIONAL = QgsProcessingParameterDefinition.Flag.FlagOptional


@pytest.fixture
def jobs(engine, monkeypatch):
    """The jobs that would have been run; each "run" copies the fine image to the output."""
    from stf_qgis_plugin.engine import runner

    taken = []

    def run_job(engine, job, feedback, folder, keep):
        assert os.path.isdir(folder)
        taken.append(job)
        shutil.copyfile(job["inputs"]["fine"]["path"], job["outputs"]["output"])
        return {"output": job["outputs"]["output"]}

    monkeypatch.setattr(runner, "run_job", run_job)
    return taken


@pytest.fixture
def values(scene):
    return {"FINE": scene.fine, "COARSE": scene.coarse, "TARGET": scene.target, "OUTPUT": scene.out}


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method["id"])
def test_form_is_the_declaration(provider, method):
    algorithm = provider.algorithm(method["id"])
    assert algorithm.displayName() == method["title"]
    assert algorithm.group() == method["group"]
    assert method["description"] in algorithm.shortHelpString()
    assert method["doi"] in algorithm.shortHelpString()
    assert [p.name() for p in algorithm.parameterDefinitions()] == [
        *(declared["name"].upper() for declared in method["parameters"]),
        *(["LOAD"] if any(output["images"] for output in method["outputs"]) else []), "SEED", "EXPORT_JOB",
    ]
    for declared in method["parameters"]:
        parameter = algorithm.parameterDefinition(declared["name"].upper())
        # Bands of several rasters are those of no layer, and written as text.
        listed = declared["kind"] == "bands" and declared["parent"] is None
        assert parameter.type() == TYPES["text" if listed else declared["kind"]]
        assert parameter.description() == declared["title"]
        assert parameter.help().startswith(declared["help"])
        assert bool(parameter.flags() & ADVANCED) == declared["advanced"]
        assert not (declared["required"] and parameter.flags() & OPTIONAL)
        assert parameter.defaultValue() == (declared["default"] if declared["default"] != "" else "")
        if declared["kind"] in ("integer", "number"):
            assert parameter.minimum() == (-QgsProcessingParameterNumber("N").maximum() if declared["minimum"] is None
                                           else declared["minimum"]) or declared["minimum"] is None
            assert declared["maximum"] is None or parameter.maximum() == declared["maximum"]
        if declared["kind"] == "choice":
            assert parameter.usesStaticStrings()
            assert parameter.options() == declared["choices"]
            assert all(choice in parameter.help() for choice in declared["choices"])
        if declared["kind"] == "bands" and not listed:
            assert parameter.allowMultiple()
            assert parameter.parentLayerParameterName() == declared["parent"].upper()


def test_export_of_the_job_is_off_by_default(starfm):
    export = starfm.parameterDefinition("EXPORT_JOB")
    assert not export.createByDefault()
    assert export.flags() & OPTIONAL


def test_job_holds_what_was_given(starfm, run, jobs, values):
    values.update({
        "FINE_BANDS": [3, 1], "COARSE_BANDS": [3, 1], "FINE_NODATA": -5.5, "TARGET_DATE": "2020-03-01", "WINDOW": 31,
        "SAMPLING": "class", "JOINT": True, "FINE_MASK": values["FINE"], "CLEAR": "0,1",
        "SEED": 7,
    })
    _, ok = starfm.run(values, run.context, run.feedback)
    assert ok, run.feedback.textLog()
    (job,) = jobs
    assert (job["operation"], job["method"], job["seed"], job["schema"]) == ("fuse", "starfm", 7, 1)
    assert job["memory_mb"] >= 256
    assert job["inputs"] == {
        "fine": {"path": values["FINE"], "mask": values["FINE"], "clear": "0,1", "bands": [3, 1], "nodata": -5.5},
        "coarse": {"path": values["COARSE"], "clear": "0,1", "bands": [3, 1]},
        "target": {"path": values["TARGET"], "clear": "0,1", "bands": [3, 1], "date": "2020-03-01"},
    }
    assert job["options"]["window"] == 31
    assert job["options"]["sampling"] == "class"
    assert job["options"]["joint"] is True
    assert job["options"]["fine_uncertainty"] == 0.005
    assert job["outputs"] == {"output": values["OUTPUT"]}


def test_empty_fields_are_left_out(starfm, run, jobs, values):
    values.update({"FINE_BANDS": [], "TARGET_DATE": QDate(), "FINE_NODATA": None, "FINE2": "", "FINE_MASK": None})
    _, ok = starfm.run(values, run.context, run.feedback)
    assert ok, run.feedback.textLog()
    assert jobs[0]["inputs"] == {role: {"path": values[role.upper()]} for role in ("fine", "coarse", "target")}


def test_files_and_folders_reach_the_job(provider, run, tmp_path):
    files = [str(tmp_path / "a.tar"), str(tmp_path / "b.h5")]
    values = {
        "PRODUCTS": files, "FOLDER": str(tmp_path), "OUTPUT": str(tmp_path / "stack"),
        "EXPORT_JOB": str(tmp_path / "job.json"),
    }
    _, ok = provider.algorithm("import_products").create().run(values, run.context, run.feedback)
    assert ok, run.feedback.textLog()
    job = json.loads((tmp_path / "job.json").read_text(encoding="utf-8"))
    assert job["inputs"] == {"products": {"path": files}, "folder": {"path": str(tmp_path)}}
    assert job["outputs"] == {"output": str(tmp_path / "stack")}


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("600000,630000,4190000,4200000 [EPSG:32610]", "600000.0,630000.0,4190000.0,4200000.0 [EPSG:32610]"),
        (
            QgsReferencedRectangle(QgsRectangle(-1.5, 2, 3, 4.25), QgsCoordinateReferenceSystem("EPSG:4326")),
            "-1.5,3.0,2.0,4.25 [EPSG:4326]",
        ),
        (None, ""),
    ],
)
def test_an_extent_reaches_the_job_as_qgis_writes_it(provider, run, tmp_path, given, text):
    values = {
        "FOLDER": str(tmp_path), "OUTPUT": str(tmp_path / "stack"), "EXPORT_JOB": str(tmp_path / "job.json"),
        "AREA": given,
    }
    _, ok = provider.algorithm("import_products").create().run(values, run.context, run.feedback)
    assert ok, run.feedback.textLog()
    job = json.loads((tmp_path / "job.json").read_text(encoding="utf-8"))
    assert job["options"].get("area", "") == text


def test_the_extent_of_a_layer_is_an_area(provider, run, scene, tmp_path):
    values = {
        "FOLDER": str(tmp_path), "OUTPUT": str(tmp_path / "stack"), "EXPORT_JOB": str(tmp_path / "job.json"),
        "AREA": scene.fine,
    }
    _, ok = provider.algorithm("import_products").create().run(values, run.context, run.feedback)
    assert ok, run.feedback.textLog()
    area = json.loads((tmp_path / "job.json").read_text(encoding="utf-8"))["options"]["area"]
    layer = QgsRasterLayer(scene.fine)
    box = layer.extent()
    numbers = [float(number) for number in area.partition(" ")[0].split(",")]
    assert numbers == [box.xMinimum(), box.xMaximum(), box.yMinimum(), box.yMaximum()]
    assert area.endswith(f"[{layer.crs().authid()}]")


def test_settings_reach_the_job(starfm, run, jobs, values):
    from processing.core.ProcessingConfig import ProcessingConfig

    from stf_qgis_plugin import settings

    ProcessingConfig.setSettingValue(settings.MEMORY_MB, 700)
    ProcessingConfig.setSettingValue(settings.THREADS, 1)
    try:
        starfm.run(values, run.context, run.feedback)
    finally:
        ProcessingConfig.setSettingValue(settings.MEMORY_MB, 2048)
        ProcessingConfig.setSettingValue(settings.THREADS, 0)
    assert (jobs[0]["memory_mb"], jobs[0]["threads"]) == (700, 1)


def test_date_comes_from_the_layer_when_none_is_given(starfm, run, jobs, values):
    from stf_qgis_plugin.layers.result import set_day

    target = QgsRasterLayer(values["TARGET"], "July")
    set_day(target, "2020-07-11")
    starfm.run({**values, "TARGET": target}, run.context, run.feedback)
    starfm.run({**values, "TARGET": target, "TARGET_DATE": "2020-07-12"}, run.context, run.feedback)
    assert [job["inputs"]["target"]["date"] for job in jobs] == ["2020-07-11", "2020-07-12"]
    assert "date" not in jobs[0]["inputs"]["fine"]


def test_relative_paths_become_absolute(starfm, run, jobs, values, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    starfm.run({**values, "FINE": os.path.basename(values["FINE"])}, run.context, run.feedback)
    run.context.temporaryLayerStore().removeAllMapLayers()
    assert jobs[0]["inputs"]["fine"]["path"] == values["FINE"]


@pytest.mark.parametrize(("change", "words"), [
    ({"FINE": "/nowhere/x.tif"}, ["Fine image of the pair", "/nowhere/x.tif", "missing or no raster"]),
    ({"WINDOW": 50}, ["Window", "50", "even", "51"]),
    ({"FINE_BANDS": [1, 9]}, ["Bands of the fine images", "fine_20200101", "no band 9", "1 to 3"]),
    ({"COARSE_BANDS": [0]}, ["Bands of the coarse images", "no band 0"]),
])
def test_refuses(starfm, run, jobs, values, change, words):
    assert_refused(starfm, run, jobs, {**values, **change}, words)


def test_refuses_to_overwrite_an_input(starfm, run, jobs, values):
    values["OUTPUT"] = os.path.join(os.path.dirname(values["FINE"]), ".", os.path.basename(values["FINE"]))
    assert_refused(starfm, run, jobs, values, ["Fused image", "also the input 'Fine image of the pair'", "another"])


def test_refuses_what_is_no_file(starfm, run, jobs, values):
    web = QgsRasterLayer("type=xyz&url=http://127.0.0.1/{z}/{x}/{y}.png&zmax=2&zmin=0", "Tiles", "wms")
    assert web.isValid()
    assert_refused(starfm, run, jobs, {**values, "FINE": web}, ["'Tiles'", "wms", "export it to a GeoTIFF"])


def test_refuses_what_is_in_memory(starfm, run, jobs, values):
    gdal.Translate("/vsimem/stf.tif", values["FINE"])
    layer = QgsRasterLayer("/vsimem/stf.tif", "Scratch")
    assert layer.isValid()
    assert_refused(starfm, run, jobs, {**values, "FINE": layer}, ["'Scratch'", "in memory only", "export it"])
    gdal.Unlink("/vsimem/stf.tif")


def test_refuses_options_of_opening(starfm, run, jobs, values):
    layer = QgsRasterLayer(f"{values['FINE']}|option:NUM_THREADS=2", "Opened")
    assert_refused(starfm, run, jobs, {**values, "FINE": layer}, ["'Opened'", "options", "export it"])


def test_refuses_a_layer_whose_file_is_gone(starfm, run, jobs, values, tmp_path):
    shutil.copyfile(values["FINE"], tmp_path / "moved.tif")
    layer = QgsRasterLayer(str(tmp_path / "moved.tif"), "Moved")
    QgsProject.instance().addMapLayer(layer)
    os.remove(tmp_path / "moved.tif")
    layer.setDataSource(str(tmp_path / "moved.tif"), "Moved", "gdal")
    assert_refused(starfm, run, jobs, {**values, "FINE": layer}, ["Fine image of the pair", "Moved"])


def assert_refused(algorithm, run, jobs, values, words):
    """The form refuses with one sentence, and a model, which does not ask the form, is refused when it prepares."""
    ok, sentence = algorithm.checkParameterValues(values, run.context)
    assert not ok
    for word in words:
        assert word in sentence
    assert sentence.count(". ") == 0
    assert sentence.endswith(".")
    with pytest.raises(QgsProcessingException, match=re.escape(sentence)):
        algorithm.prepareAlgorithm(values, run.context, run.feedback)
    _, ok = algorithm.run(values, run.context, run.feedback)
    assert not ok
    assert sentence in run.feedback.textLog()
    assert not jobs


def test_missing_engine_is_an_error(starfm, run, values):
    _, ok = starfm.run(values, run.context, run.feedback)
    assert not ok
    assert "Install engine" in run.feedback.textLog()


def test_subdatasets_are_handed_over_as_they_are(starfm, run, jobs, values, tmp_path):
    package = str(tmp_path / "images.gpkg")
    gdal.Translate(package, values["FINE"], outputType=gdal.GDT_Byte, format="GPKG", bandList=[1],
                   creationOptions=["RASTER_TABLE=fine"])
    gdal.Translate(package, values["FINE"], outputType=gdal.GDT_Byte, format="GPKG", bandList=[1],
                   creationOptions=["RASTER_TABLE=other", "APPEND_SUBDATASET=YES"])
    source = f"GPKG:{package}:fine"
    from stf_qgis_plugin.layers import sources

    layer = QgsRasterLayer(source, "Sub")
    assert layer.isValid()
    assert sources.obstacle(layer) is None
    assert sources.path(layer) == source


def test_relative_paths_are_those_of_qgis(provider, run, jobs, starfm, values, tmp_path, monkeypatch):
    """The engine works in a temporary folder, where a result would be lost."""
    from stf_qgis_plugin.algorithms.parameters import Given

    monkeypatch.chdir(tmp_path)
    found, ok = starfm.run({**values, "OUTPUT": "here.tif"}, run.context, run.feedback)
    assert ok, run.feedback.textLog()
    assert jobs[0]["outputs"]["output"] == found["OUTPUT"] == str(tmp_path / "here.tif")
    assert (tmp_path / "here.tif").is_file()
    (tmp_path / "downloads").mkdir()
    imports = provider.algorithm("import_products")
    given = Given(imports, {"FOLDER": "downloads", "PRODUCTS": ["downloads", "/vsicurl/https://x/y.tar"],
                            "OUTPUT": "out"}, run.context)
    read = {declared.name: given.value(declared) for declared in imports._method.parameters
            if declared.name in ("folder", "products", "output")}
    assert read == {
        "folder": str(tmp_path / "downloads"), "output": str(tmp_path / "out"),
        "products": [str(tmp_path / "downloads"), "/vsicurl/https://x/y.tar"],
    }


def test_export_writes_the_job_and_runs_nothing(starfm, run, jobs, values, tmp_path):
    path = tmp_path / "order.json"
    results, ok = starfm.run({**values, "EXPORT_JOB": str(path)}, run.context, run.feedback)
    assert ok, run.feedback.textLog()
    assert not jobs
    assert results == {"EXPORT_JOB": str(path)}
    assert not run.context.layersToLoadOnCompletion()
    job = json.loads(path.read_text(encoding="utf-8"))
    assert job["outputs"] == {"output": values["OUTPUT"]}
    assert "stfusion run" in run.feedback.textLog()


def test_exported_job_does_not_write_to_the_temporary_folder(starfm, run, values, tmp_path):
    from qgis.core import QgsProcessingOutputLayerDefinition

    path = tmp_path / "order.json"
    output = QgsProcessingOutputLayerDefinition(QgsProcessing.TEMPORARY_OUTPUT)
    output.destinationProject = QgsProject.instance()
    _, ok = starfm.run({**values, "OUTPUT": output, "EXPORT_JOB": str(path)}, run.context, run.feedback)
    assert ok, run.feedback.textLog()
    assert not run.context.layersToLoadOnCompletion()
    assert json.loads(path.read_text(encoding="utf-8"))["outputs"] == {"output": str(tmp_path / "order.tif")}


def test_export_to_a_place_that_is_not_there_is_refused(starfm, run, values):
    _, ok = starfm.run({**values, "EXPORT_JOB": "/nowhere/order.json"}, run.context, run.feedback)
    assert not ok
    assert "'/nowhere/order.json' cannot be written" in run.feedback.textLog()


def test_several_runs_do_not_mix(provider, run, jobs, values, tmp_path):
    """What the batch dialog does: the same algorithm, run once for each row."""
    from qgis import processing

    starfm = provider.algorithm("starfm")
    assert starfm.flags() & starfm.Flag.FlagSupportsBatch
    assert starfm.flags() & starfm.Flag.FlagCanCancel
    rows = [{**values, "WINDOW": window, "OUTPUT": str(tmp_path / f"{window}.tif")} for window in (31, 41)]
    outputs = [processing.run("stf:starfm", row)["OUTPUT"] for row in rows]
    assert outputs == [row["OUTPUT"] for row in rows]
    assert [job["options"]["window"] for job in jobs] == [31, 41]
    assert all(os.path.exists(path) for path in outputs)


def test_simulation_takes_a_folder(provider, run, engine, monkeypatch, tmp_path):
    from stf_qgis_plugin.engine import runner

    taken = []
    monkeypatch.setattr(runner, "run_job", lambda engine, job, *rest: taken.append(job) or job["outputs"])
    results, ok = provider.algorithm("simulate").create().run(
        {"SIZE": 96, "OUTPUT": str(tmp_path / "scene")}, run.context, run.feedback
    )
    assert ok, run.feedback.textLog()
    assert taken[0]["options"]["size"] == 96
    assert results == {"OUTPUT": str(tmp_path / "scene")}


def test_comparison_shows_its_report(provider, run, engine, monkeypatch, tmp_path, scene):
    """An HTML output that is among the results is what QGIS's form puts into the results viewer."""
    from qgis.core import QgsProcessingOutputHtml

    from stf_qgis_plugin.engine import runner

    taken = []
    report = str(tmp_path / "report" / "report.html")
    monkeypatch.setattr(
        runner, "run_job", lambda engine, job, *rest: taken.append(job) or {**job["outputs"], "report": report}
    )
    compare = provider.algorithm("compare").create()
    assert isinstance(compare.outputDefinition("REPORT"), QgsProcessingOutputHtml)
    shown = [p.name() for p in compare.parameterDefinitions() if not p.flags() & ADVANCED]
    assert shown == [
        "FINE", "COARSE", "TARGET", "REFERENCE", "FINE2", "COARSE2", "CLASS_MAP", "METHODS", "KEEP", "OUTPUT"
    ]
    values = {
        "FINE": scene.fine, "COARSE": scene.coarse, "TARGET": scene.target, "REFERENCE": scene.fine,
        "METHODS": "starfm", "OPTIONS": "window=11", "KEEP": True, "OUTPUT": str(tmp_path / "report"),
    }
    results, ok = compare.run(values, run.context, run.feedback)
    assert ok, run.feedback.textLog()
    assert results == {"OUTPUT": str(tmp_path / "report"), "REPORT": report}
    assert taken[0]["inputs"]["reference"] == {"path": scene.fine}
    assert {"methods": "starfm", "options": "window=11", "keep": True}.items() <= taken[0]["options"].items()


def test_layers_with_a_range_longer_than_a_day_have_no_date(scene):
    from qgis.core import QgsDateTimeRange
    from qgis.PyQt.QtCore import QDateTime, Qt

    from stf_qgis_plugin.layers import sources

    layer = QgsRasterLayer(scene.target, "Composite")
    assert sources.day(layer) is None
    begin = QDateTime.fromString("2020-07-11T00:00:00Z", Qt.DateFormat.ISODate)
    layer.temporalProperties().setMode(Qgis.RasterTemporalMode.FixedTemporalRange)
    layer.temporalProperties().setFixedTemporalRange(QgsDateTimeRange(begin, begin.addDays(16)))
    layer.temporalProperties().setIsActive(True)
    assert sources.day(layer) is None
    layer.temporalProperties().setFixedTemporalRange(QgsDateTimeRange(begin, begin))
    assert sources.day(layer) == "2020-07-11"


def test_image_of_another_size_is_left_to_the_engine(starfm, run, jobs, values, tmp_path):
    """Alignment is the engine's; QGIS's own warning about coordinate systems must not appear."""
    import numpy as np

    values["COARSE"] = write(tmp_path / "wide.tif", np.ones((3, 5, 9), np.int16), 480.0)
    assert starfm.checkParameterValues(values, run.context) == (True, "")
    assert not starfm.flags() & starfm.Flag.FlagRequiresMatchingCrs
