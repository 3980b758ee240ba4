"""The demo: its scenes are read rightly, its methods are compared fairly, and it fails with a sentence."""

import json
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from makers import read_raster, run_method, write_raster
from real_data import DATA
from stfusion.errors import EnvironmentFault, UserError

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))
demo, scenes = import_module("demo"), import_module("scenes")

REAL = [name for name, scene in scenes.SCENES.items() if scene.folder]

#: Stands for qgis_process: runs the engine itself on the values that it is given, or fails.
FAKE_QGIS = """#!{python}
import sys, os
if os.environ.get("FAKE_FAILS"):
    print("no such algorithm")
    sys.exit(1)
given = dict(word.split("=", 1) for word in sys.argv[sys.argv.index("--") + 1:])
assert sys.argv[1:3] == ["run", "stf:compare"] and given["OPTIONS"] == "starfm.logarithmic=true"
assert "PYTHONPATH" not in os.environ and os.environ["QT_QPA_PLATFORM"] == "offscreen"
profile = os.path.join(os.environ["QGIS_CUSTOM_CONFIG_PATH"], "profiles", "default")
assert os.path.isfile(os.path.join(profile, "python", "plugins", "stf_qgis_plugin", "metadata.txt"))
assert "STF_ENGINE_PYTHON={python}" in open(os.path.join(profile, "QGIS", "QGIS3.ini")).read()
assert given.pop("KEEP") == "true"
sys.path.insert(0, {core!r})
from stfusion.cli import main
if __name__ == "__main__":
    sys.exit(main(["compare", "--keep", *(f"--{{name.lower()}}={{value}}" for name, value in given.items())]))
"""


@pytest.fixture
def averaged(tmp_path, monkeypatch):
    """A scene without coarse images, in a folder of data of its own."""
    folder = tmp_path / "data" / "place"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(3)
    for day in ("20200501", "20200601"):
        values = rng.integers(5100, 30000, (2, 20, 26)).astype(np.uint16)
        values[:, 0, 0] = 0
        values[:, 8:12, 8:12] = 0
        write_raster(folder / f"image_{day}.tif", values, Affine(30, 0, 600, 0, -30, 900))
    scene = scenes.Scene(
        "Averages", "place", ("image_20200501.tif",), "image_20200601.tif", ratio=4, unit=1.0,
        header={"scale": 2e-5, "offset": -0.1, "nodata": 0}, crop=(0, 4, 18),
    )
    monkeypatch.setitem(scenes.SCENES, "averaged", scene)
    monkeypatch.setenv("STF_DATA", str(tmp_path / "data"))
    return scene


@pytest.fixture
def staged(tmp_path, monkeypatch):
    """A plugin that has been put together, and a folder of programs with a qgis_process."""
    (tmp_path / "build" / "stf_qgis_plugin").mkdir(parents=True)
    (tmp_path / "build" / "stf_qgis_plugin" / "metadata.txt").write_text("[general]\n")
    program = tmp_path / "bin" / "qgis_process"
    program.parent.mkdir()
    program.write_text(FAKE_QGIS.format(python=sys.executable, core=str(ROOT / "core")))
    program.chmod(0o755)
    monkeypatch.setattr(demo, "ROOT", tmp_path)
    monkeypatch.setenv("PATH", str(program.parent))
    return tmp_path


def test_block_means_leave_out_what_is_invalid_and_keep_partial_blocks():
    values = np.arange(2 * 5 * 7, dtype=float).reshape(2, 5, 7)
    values[:, 0:2, 0:2] = np.nan
    values[0, 4, 6] = np.nan
    values[1, 2, 2] = np.nan
    found = scenes.block_means(values, 2)
    assert found.shape == (2, 3, 4)
    for band in range(2):
        for row in range(3):
            for col in range(4):
                block = values[band, 2 * row : 2 * row + 2, 2 * col : 2 * col + 2]
                expected = np.nan if np.isnan(block).all() else np.nanmean(block)
                np.testing.assert_allclose(found[band, row, col], expected)


def test_a_scene_without_coarse_images_gets_averages_on_a_nested_grid(averaged, tmp_path):
    files = scenes.prepare("averaged", tmp_path)
    original = read_raster(tmp_path / "data" / "place" / "image_20200601.tif")
    with rasterio.open(files.truth) as truth, rasterio.open(files.inputs["target"]) as target:
        np.testing.assert_array_equal(truth.read(), original[:, 0:18, 4:22])
        assert (truth.scales, truth.offsets, truth.nodata) == ((2e-5,) * 2, (-0.1,) * 2, 0)
        assert (target.scales, target.offsets, target.nodata) == ((2e-5,) * 2, (-0.1,) * 2, 0)
        assert truth.transform == Affine(30, 0, 600 + 4 * 30, 0, -30, 900)
        assert target.transform == Affine(120, 0, 600 + 4 * 30, 0, -120, 900)
        assert target.shape == (5, 5)
        assert truth.tags()["TIFFTAG_DATETIME"].startswith("2020:06:01")
        coarse = target.read()
    np.testing.assert_allclose(coarse[:, 0, 0], np.rint(original[:, 0:4, 4:8].mean((1, 2))))
    assert (coarse[:, 2, 1] == 0).all(), "a block without a valid pixel has no mean"
    assert set(files.inputs) == {"fine", "coarse", "target"}


def test_the_simulated_scene_needs_no_data(tmp_path, monkeypatch):
    monkeypatch.setenv("STF_DATA", str(tmp_path / "nowhere"))
    for _ in range(2):
        files = scenes.prepare("simulated", tmp_path)
    assert all(path.is_file() for path in (*files.inputs.values(), files.truth))


@pytest.mark.parametrize("name", REAL)
def test_missing_data_say_where_they_must_be(name, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("STF_DATA", str(tmp_path))
    with pytest.raises(UserError, match="let STF_DATA name the folder"):
        scenes.prepare(name, tmp_path / "work")
    monkeypatch.setattr(sys, "argv", ["demo.py", "--scene", name, "--out", str(tmp_path / "demo")])
    assert demo.main() == 2
    assert str(tmp_path / scenes.SCENES[name].folder) in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("name", REAL)
def test_real_scenes_are_read_as_reflectance_with_dates(name, tmp_path, monkeypatch):
    scene = scenes.SCENES[name]
    monkeypatch.setenv("STF_DATA", str(DATA))
    if not (DATA / scene.folder).is_dir():
        pytest.skip(f"the real scene {scene.folder} is not in {DATA} (set STF_DATA)")
    files = scenes.prepare(name, tmp_path)
    grid = demo.opened(files.inputs["fine"]).grid
    truth = demo.read(files.truth, grid, scene.unit)
    for path in files.inputs.values():
        image = demo.read(path, grid, scene.unit)
        assert image.shape == truth.shape
        assert np.isfinite(image).mean() > 0.9
        # Bahia is made of vegetation indices, which reach higher than reflectance.
        assert 0.01 < np.nanmedian(image) < (0.9 if "bahia" in name else 0.5)
        assert demo.day(path) is not None
    assert demo.day(files.truth) == demo.day(files.inputs["target"])
    assert max(scene.shown) <= truth.shape[0]


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_baselines_of_the_boreal_forest_are_the_published_ones(tmp_path, monkeypatch):
    """With both pairs they come from August, 32 days away; the copy of the image of May is far off."""
    if not (DATA / scenes.SCENES["boreas"].folder).is_dir():
        pytest.skip(f"the boreal scene is not in {DATA} (set STF_DATA)")
    monkeypatch.setenv("STF_DATA", str(DATA))
    files = scenes.prepare("boreas", tmp_path)
    paths = {role: str(path) for role, path in (*files.inputs.items(), ("reference", files.truth))}
    may = {role: path for role, path in paths.items() if not role.endswith("2")}
    for given, methods, expected in (
        (may, "copy_fine", {"copy_fine": [0.00581, 0.01504, 0.04175]}),
        (paths, "copy_fine,fine_plus_difference", {
            "copy_fine": [0.00748, 0.00626, 0.01678], "fine_plus_difference": [0.00456, 0.00516, 0.01726]
        }),
    ):
        folder = tmp_path / f"report {len(given)}"
        assert run_method("compare", methods=methods, unit=10_000.0, output=str(folder), **given).code == 0
        found = json.loads((folder / "results.json").read_text(encoding="utf-8"))["methods"]
        for method, errors in expected.items():
            assert found[method]["rmse"]["bands"] == pytest.approx(errors, rel=0.002)


def test_demo_from_end_to_end_with_a_fake_qgis(staged, monkeypatch, capsys):
    monkeypatch.setenv("PYTHONPATH", "somewhere")
    monkeypatch.setattr(sys, "argv", ["demo.py", "--out", str(staged / "demo"), "--set", "logarithmic=true"])
    assert demo.main() == 0
    said = capsys.readouterr().out
    summary = json.loads((staged / "demo" / "summary.json").read_text())
    methods = summary["methods"]
    assert set(methods) == {"starfm", "copy_fine", "upsampled_coarse", "fine_plus_difference"}
    fine, truth = (read_raster(staged / "demo" / "simulated" / "scene" / f"fine_{n}.tif") / 1e4 for n in (1, 2))
    fused = read_raster(staged / "demo" / "fused.tif") / 1e4
    valid = (fine > 0).all(0)
    for method, image in (("starfm", fused), ("copy_fine", fine)):
        expected = np.sqrt(((image - truth)[:, valid] ** 2).mean(1))
        assert methods[method]["rmse"]["bands"] == pytest.approx(list(expected), rel=1e-5)
    assert summary["valid"] == valid.mean()
    assert (summary["shape"], summary["date"], summary["ratio"]) == ([480, 480], "2021-05-22", 16)
    for name in ("fused.tif", "simulated.png", "report.html"):
        assert (staged / "demo" / name).stat().st_size > 10_000
    assert methods["fine_plus_difference"]["title"] in said
    assert f"{methods['copy_fine']['rmse']['mean']:.4f}" in said
    assert "than" in said
    assert "baseline" in said


def test_a_failed_run_leaves_no_old_result_and_shows_the_log(staged, monkeypatch, capsys):
    out = staged / "demo"
    out.mkdir()
    (out / "summary.json").write_text("{}")
    monkeypatch.setenv("FAKE_FAILS", "1")
    monkeypatch.setattr(sys, "argv", ["demo.py", "--out", str(out)])
    assert demo.main() == EnvironmentFault.exit_code
    said = capsys.readouterr().err
    assert "no such algorithm" in said
    assert "qgis_process ended with code 1" in said
    assert not (out / "summary.json").exists()


def test_what_is_missing_is_named(staged, monkeypatch, tmp_path):
    files = scenes.Files({"fine": tmp_path / "fine.tif"}, tmp_path / "truth.tif")
    monkeypatch.setattr(demo, "ROOT", tmp_path / "elsewhere")
    with pytest.raises(EnvironmentFault, match="make build"):
        demo.compare(files, {}, tmp_path / "report", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "no programs"))
    with pytest.raises(EnvironmentFault, match="install QGIS"):
        demo.compare(files, {}, tmp_path / "report", tmp_path)


def test_two_pairs_become_two_roles_each(tmp_path, monkeypatch):
    folder = tmp_path / "place"
    folder.mkdir()
    names = ("f20200101", "c20200101", "f20200301", "c20200301", "t20200201", "c20200201")
    for name in names:
        write_raster(folder / f"{name}.tif", np.ones((1, 4, 4), np.uint16))
    scene = replace(
        scenes.SCENES["boreas"], folder="place", fine=("f20200101.tif", "f20200301.tif"), truth="t20200201.tif",
        coarse=("c20200101.tif", "c20200301.tif"), target="c20200201.tif",
    )
    monkeypatch.setitem(scenes.SCENES, "pairs", scene)
    monkeypatch.setenv("STF_DATA", str(tmp_path))
    files = scenes.prepare("pairs", tmp_path / "work")
    assert {role: path.stem for role, path in files.inputs.items()} == {
        "fine": "f20200101", "coarse": "c20200101", "fine2": "f20200301", "coarse2": "c20200301", "target": "c20200201"
    }
