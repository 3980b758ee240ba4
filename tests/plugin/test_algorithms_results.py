"""Results in the project: the look of the fine image, a readable name, the date."""

from __future__ import annotations

import shutil

import pytest
from qgis.core import (
    Qgis,
    QgsApplication,
    QgsColorRampShader,
    QgsContrastEnhancement,
    QgsMultiBandColorRenderer,
    QgsProcessingContext,
    QgsProcessingOutputLayerDefinition,
    QgsProject,
    QgsRasterLayer,
    QgsRasterMinMaxOrigin,
    QgsRasterShader,
    QgsSingleBandGrayRenderer,
    QgsSingleBandPseudoColorRenderer,
)


@pytest.fixture
def fine(scene):
    """The fine image, shown as bands 3, 2, 1 with a stretch that follows the canvas."""
    layer = QgsRasterLayer(scene.fine, "Fine")
    renderer = QgsMultiBandColorRenderer(layer.dataProvider(), 3, 2, 1)
    for put, low in ((renderer.setRedContrastEnhancement, 300), (renderer.setGreenContrastEnhancement, 200),
                     (renderer.setBlueContrastEnhancement, 100)):
        put(_stretch(layer, low, low + 4000))
    origin = QgsRasterMinMaxOrigin()
    origin.setExtent(QgsRasterMinMaxOrigin.Extent.UpdatedCanvas)
    renderer.setMinMaxOrigin(origin)
    layer.setRenderer(renderer)
    return layer


def _stretch(layer, low, high):
    stretch = QgsContrastEnhancement(layer.dataProvider().dataType(1))
    stretch.setContrastEnhancementAlgorithm(
        QgsContrastEnhancement.ContrastEnhancementAlgorithm.StretchToMinimumMaximum
    )
    stretch.setMinimumValue(low)
    stretch.setMaximumValue(high)
    return stretch


def _shown(renderer):
    stretches = (renderer.redContrastEnhancement(), renderer.greenContrastEnhancement(),
                 renderer.blueContrastEnhancement())
    return (
        (renderer.redBand(), renderer.greenBand(), renderer.blueBand()),
        [(stretch.minimumValue(), stretch.maximumValue()) for stretch in stretches],
    )


def test_look_keeps_bands_and_stretch(fine):
    from stf_qgis_plugin.layers.result import look

    assert _shown(look(fine, [])) == ((3, 2, 1), [(300, 4300), (200, 4200), (100, 4100)])


def test_stretch_of_the_look_does_not_follow_the_canvas(fine):
    from stf_qgis_plugin.layers.result import look

    assert look(fine, []).minMaxOrigin() == QgsRasterMinMaxOrigin()
    assert fine.renderer().minMaxOrigin().extent() == QgsRasterMinMaxOrigin.Extent.UpdatedCanvas


def test_look_follows_the_choice_of_bands(fine):
    from stf_qgis_plugin.layers.result import look

    assert _shown(look(fine, [2, 1, 3]))[0] == (3, 1, 2)
    assert look(fine, [3, 2]) is None


def test_look_of_a_gray_image(fine):
    from stf_qgis_plugin.layers.result import look

    renderer = QgsSingleBandGrayRenderer(fine.dataProvider(), 3)
    renderer.setContrastEnhancement(_stretch(fine, 7, 77))
    fine.setRenderer(renderer)
    found = look(fine, [3])
    assert found.grayBand() == 1
    assert (found.contrastEnhancement().minimumValue(), found.contrastEnhancement().maximumValue()) == (7, 77)


def test_look_of_a_colour_ramp(fine):
    from stf_qgis_plugin.layers.result import look

    shader = QgsRasterShader(0, 10)
    shader.setRasterShaderFunction(QgsColorRampShader(0, 10))
    fine.setRenderer(QgsSingleBandPseudoColorRenderer(fine.dataProvider(), 2, shader))
    assert look(fine, [1, 2]).band() == 2
    assert look(fine, [2]).band() == 1


def _to_load(path, name=""):
    """An output that a QGIS window loads."""
    output = QgsProcessingOutputLayerDefinition(str(path))
    output.destinationProject = QgsProject.instance()
    output.destinationName = name
    return output


@pytest.fixture
def load(engine, monkeypatch, provider):
    """Runs a method, for whose outputs copies of the fine image stand in, and loads them as a QGIS window does."""
    from processing.gui.Postprocessing import handleAlgorithmResults

    from stf_qgis_plugin.engine import runner

    def load_result(run, scene, answer=None, name="", method="starfm", **values):
        def run_job(engine, job, feedback, folder, keep):
            for path in job["outputs"].values():
                shutil.copyfile(job["inputs"]["fine"]["path"], path)
            return {**job["outputs"], **(answer or {})}

        monkeypatch.setattr(runner, "run_job", run_job)
        given = {"FINE": scene.fine, "COARSE": scene.coarse, "TARGET": scene.target,
                 "OUTPUT": _to_load(scene.out, name), **values}
        algorithm = provider.algorithm(method).create()
        results, ok = algorithm.run(given, run.context, run.feedback)
        assert ok, run.feedback.textLog()
        assert handleAlgorithmResults(algorithm, run.context, run.feedback, False, results)
        (layer,) = [layer for layer in QgsProject.instance().mapLayers().values() if layer.source() == scene.out]
        return layer

    return load_result


def test_result_looks_like_the_fine_image(run, scene, fine, load):
    layer = load(run, scene, FINE=fine)
    assert _shown(layer.renderer()) == _shown(fine.renderer())


def test_result_carries_the_date_of_the_engine(run, scene, load):
    layer = load(run, scene, {"date": "2020-03-01"})
    temporal = layer.temporalProperties()
    assert temporal.isActive()
    assert temporal.mode() == Qgis.RasterTemporalMode.FixedTemporalRange
    span = temporal.fixedTemporalRange()
    assert span.begin().toUTC().toString("yyyy-MM-dd HH:mm") == "2020-03-01 00:00"
    assert span.begin().secsTo(span.end()) == 86400
    assert span.includeBeginning()
    assert not span.includeEnd()
    assert layer.name() == "STARFM 2020-03-01"


def test_result_carries_the_date_that_was_given(run, scene, load):
    layer = load(run, scene, TARGET_DATE="2020-03-02")
    assert layer.name() == "STARFM 2020-03-02"
    assert layer.temporalProperties().isActive()


def test_result_without_a_date(run, scene, load):
    layer = load(run, scene)
    assert layer.name() == "STARFM"
    assert not layer.temporalProperties().isActive()


def test_name_that_a_model_gives_is_kept(run, scene, load):
    assert load(run, scene, {"date": "2020-03-01"}, name="Maize in July").name() == "Maize in July"


def test_rendering_style_of_the_user_is_kept(run, scene, fine, load, tmp_path, monkeypatch):
    from processing.gui.RenderingStyles import RenderingStyles

    style = QgsRasterLayer(scene.fine, "Style")
    style.setRenderer(QgsSingleBandGrayRenderer(style.dataProvider(), 2))
    style.saveNamedStyle(str(tmp_path / "user.qml"))
    monkeypatch.setattr(RenderingStyles, "styles", {"stf:starfm": {"OUTPUT": str(tmp_path / "user.qml")}})
    layer = load(run, scene, {"date": "2020-03-01"}, FINE=fine)
    assert isinstance(layer.renderer(), QgsSingleBandGrayRenderer)
    assert layer.renderer().grayBand() == 2
    assert layer.temporalProperties().isActive()


def test_finisher_is_let_go_after_its_work(run, scene, load):
    from stf_qgis_plugin.layers.result import Finisher

    load(run, scene, {"date": "2020-03-01"})
    assert not Finisher._waiting


@pytest.mark.parametrize("name", ["after", "zenith"])
@pytest.mark.parametrize("group", ["", "Results"])
def test_result_lies_above_what_belongs_to_it(run, scene, fine, load, tmp_path, settings_of_processing, name, group):
    """Whatever the order in which QGIS loads them, which is that of their paths; the result alone has a look given."""
    settings_of_processing("RESULTS_GROUP_NAME", group)
    QgsProject.instance().addMapLayer(QgsRasterLayer(scene.coarse, "Another"))
    uncertainty = _to_load(tmp_path / f"{name}.tif")
    layer = load(run, scene, method="stfdiff", FINE=fine, SAMPLES=2, UNCERTAINTY=uncertainty)
    QgsApplication.processEvents()
    found = QgsProject.instance().layerTreeRoot().layerOrder()
    beside = next(other for other in found if other.name() == "Uncertainty")
    assert found.index(layer) + 1 == found.index(beside)
    assert sorted(other.name() for other in found) == ["Another", "STFDiff", "Uncertainty"]
    assert _shown(layer.renderer()) == _shown(fine.renderer())
    assert _shown(beside.renderer()) != _shown(fine.renderer())


@pytest.fixture
def settings_of_processing():
    """Changes settings of Processing for one test."""
    from processing.core.ProcessingConfig import ProcessingConfig

    before = {}

    def change(name, value):
        setting = getattr(ProcessingConfig, name)
        before[setting] = ProcessingConfig.getSetting(setting)
        ProcessingConfig.setSettingValue(setting, value)

    yield change
    for setting, value in before.items():
        ProcessingConfig.setSettingValue(setting, value)


def test_nothing_is_finished_where_nothing_is_loaded(starfm, run, scene, engine, monkeypatch):
    from stf_qgis_plugin.engine import runner
    from stf_qgis_plugin.layers.result import Finisher

    monkeypatch.setattr(runner, "run_job", lambda engine, job, *rest: dict(job["outputs"]))
    values = {"FINE": scene.fine, "COARSE": scene.coarse, "TARGET": scene.target, "OUTPUT": scene.out}
    _, ok = starfm.run(values, QgsProcessingContext(), run.feedback)
    assert ok, run.feedback.textLog()
    assert not Finisher._waiting
