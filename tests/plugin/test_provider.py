import re
from configparser import ConfigParser

from qgis.core import QgsApplication, QgsProcessingParameterDefinition

from conftest import BUILD, ROOT

IDS = {
    "stf:starfm", "stf:copy_fine", "stf:upsampled_coarse", "stf:fine_plus_difference", "stf:simulate", "stf:compare",
    "stf:estarfm", "stf:fit_fc", "stf:fsdaf", "stf:obsum", "stf:rasdf", "stf:spstfm", "stf:ssif", "stf:ubdf",
    "stf:vipstf",
    "stf:stfdcnn", "stf:stfnet", "stf:edcstfn", "stf:gan_stfm", "stf:stfgan", "stf:swinstfm", "stf:opgan", "stf:sr3",
    "stf:stfdiff", "stf:fuse_trained", "stf:import_network", "stf:train", "stf:fine_tune",
    "stf:assess_classification", "stf:assess_fused_classes", "stf:sampling_design", "stf:match_classes",
    "stf:reclassify", "stf:assess_fusion", "stf:wald_protocol", "stf:kmeans", "stf:apply_kmeans", "stf:kmeans_study",
    "stf:align", "stf:import_products", "stf:simulate_coarse", "stf:check_pairs", "stf:cut_patches", "stf:harmonise",
    "stf:simple_mean", "stf:brovey", "stf:gihs", "stf:gsa", "stf:mtf_glp_fs", "stf:pca_fusion", "stf:gram_schmidt",
    "stf:bt_h", "stf:bdsd", "stf:bdsd_pc", "stf:pracs",
    "stf:pnn", "stf:pannet", "stf:drpnn", "stf:msdcnn", "stf:dicnn", "stf:fusionnet", "stf:gppnn",
    "stf:ddif", "stf:ssdiff", "stf:hypersharpening",
    "stf:train_pansharpening", "stf:zpnn", "stf:lambda_pnn",
    "stf:hpf", "stf:sfim", "stf:atwt", "stf:awlp", "stf:wavelet_fusion", "stf:mtf_glp", "stf:mtf_glp_hpm",
    "stf:mtf_glp_cbd",
    "stf:rcs", "stf:lmvm", "stf:bayes_fusion",
    "stf:plan_series", "stf:fuse_series", "stf:prepare_and_fuse", "stf:spectral_index",
    "stf:fill_gaps", "stf:pixel_series",
    "stf:load_results", "stf:check_engine", "stf:install_engine", "stf:remove_engine",
}
ID = re.compile(r"^[a-z][a-z0-9_]*$")


def test_offers_the_published_algorithms(provider):
    assert {algorithm.id() for algorithm in provider.algorithms()} >= IDS


def test_ids_are_permanent_identifiers(provider):
    assert ID.match(provider.id())
    for algorithm in provider.algorithms():
        assert ID.match(algorithm.name())
        assert ID.match(algorithm.groupId())


def test_everything_is_explained(provider):
    for algorithm in provider.algorithms():
        assert algorithm.shortDescription().endswith(".")
        assert len(algorithm.shortHelpString()) > 80
        assert algorithm.helpUrl().startswith("https://")
        assert algorithm.tags()
        for parameter in algorithm.parameterDefinitions():
            assert parameter.help(), f"{algorithm.id()}: {parameter.name()} has no help"
            assert parameter.description()


def test_help_pages_exist(provider):
    for algorithm in provider.algorithms():
        page = algorithm.helpUrl().partition("/blob/main/")[2]
        assert (ROOT / page).is_file(), f"{algorithm.id()}: {page}"


def test_identity(provider):
    assert (provider.id(), provider.name()) == ("stf", "STF")
    assert provider.versionInfo() in provider.longName()
    assert provider.versionInfo() == _metadata()["version"]
    assert not provider.icon().isNull()
    assert not provider.icon().pixmap(32).isNull()
    assert provider.svgIconPath().endswith(".svg")


def test_writes_files_of_these_formats_only(provider):
    assert provider.supportedOutputRasterLayerExtensions() == ["tif"]
    assert provider.defaultRasterFileExtension() == "tif"
    assert provider.supportedOutputVectorLayerExtensions() == ["gpkg", "geojson", "shp"]
    assert provider.defaultVectorFileExtension() == "gpkg"
    assert not provider.supportsNonFileBasedOutput()


def test_warns_while_the_engine_is_missing(provider, starfm):
    assert "Install engine" in provider.warningMessage()
    able, sentence = starfm.canExecute()
    assert not able
    assert "Install engine" in sentence


def test_does_not_warn_with_an_engine(provider, engine, starfm):
    assert provider.warningMessage() == ""
    assert starfm.canExecute() == (True, "")


def test_settings_are_on_the_page_of_the_provider(provider):
    from processing.core.ProcessingConfig import ProcessingConfig

    assert len(ProcessingConfig.getSettings()[provider.name()]) >= 4
    assert not ProcessingConfig.getGroupIcon(provider.name()).isNull()


def test_plugin_leaves_nothing_behind(qgis):
    from processing.core.ProcessingConfig import ProcessingConfig

    from stf_qgis_plugin import classFactory

    registry = QgsApplication.processingRegistry()
    plugin = classFactory(None)
    plugin.initGui()
    assert registry.providerById("stf") is not None
    plugin.unload()
    assert registry.providerById("stf") is None
    assert "STF" not in ProcessingConfig.getSettings()


def test_metadata_is_complete():
    general = _metadata()
    assert (general["qgisminimumversion"], general["qgismaximumversion"]) == ("3.22", "4.99")
    assert general["hasprocessingprovider"] == "yes"
    assert "plugin" not in general["name"].lower()
    assert (BUILD / "stf_qgis_plugin" / general["icon"]).is_file()
    lines = (BUILD / "stf_qgis_plugin" / "core" / "requirements.txt").read_text(encoding="utf-8").splitlines()
    packages = [re.split("[<>=]", line)[0] for line in lines if line and not line.startswith("#")]
    for dependency in (*packages, "separate environment"):
        assert dependency in general["about"]


def test_advanced_parameters_are_folded_away(starfm):
    flag = QgsProcessingParameterDefinition.Flag.FlagAdvanced
    shown = [p.name() for p in starfm.parameterDefinitions() if not p.flags() & flag]
    assert shown == ["FINE", "COARSE", "TARGET", "FINE2", "COARSE2", "WINDOW", "CLASSES", "OUTPUT"]


def _metadata():
    parser = ConfigParser(interpolation=None)
    parser.read(BUILD / "stf_qgis_plugin" / "metadata.txt", encoding="utf-8")
    return parser["general"]
