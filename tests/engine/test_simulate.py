"""The simulated scene: what is in it, how the two sensors relate, and what happens when it cannot be made."""

from datetime import date

import numpy as np
import pytest
import rasterio
from scipy.ndimage import binary_dilation, gaussian_filter

from makers import run_method
from stfusion.preparation import _landscape, _simulation
from stfusion.run import Stop

SIZE, RATIO = 192, 16
NAMES = [f"{sensor}_{epoch}.tif" for sensor in ("coarse", "fine") for epoch in (1, 2, 3)]


def order(folder, seed=0, stop=None, **options):
    return run_method(
        "simulate", stop, {"seed": seed}, output=str(folder), **{"size": SIZE, "ratio": RATIO, **options}
    )


def simulate(folder, seed=0, **options):
    outcome = order(folder, seed, **options)
    assert outcome.code == 0, outcome.said.lines
    return folder


def read(folder, name):
    """Reflectance (bands, rows, cols), NaN where there is no data."""
    with rasterio.open(folder / f"{name}.tif") as source:
        return np.where(source.read() == source.nodata, np.nan, source.read() / 1e4)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    return simulate(tmp_path_factory.mktemp("simulated") / "scene")


def test_same_seed_same_files_other_seed_other_scene(scene, tmp_path):
    again, other = simulate(tmp_path / "again"), simulate(tmp_path / "other", seed=1)
    assert sorted(path.name for path in again.iterdir()) == NAMES
    for name in NAMES:
        assert (again / name).read_bytes() == (scene / name).read_bytes()
        assert (other / name).read_bytes() != (scene / name).read_bytes()


def test_height_of_the_strips_changes_nothing(scene, tmp_path, monkeypatch):
    monkeypatch.setattr(_simulation, "STRIP_PIXELS", 3 * RATIO * SIZE)
    narrow = simulate(tmp_path / "narrow")
    for name in NAMES:
        np.testing.assert_array_equal(read(narrow, name[:-4]), read(scene, name[:-4]))


def test_grids_nest_and_dates_and_bands_are_named(scene):
    with rasterio.open(scene / "fine_2.tif") as fine, rasterio.open(scene / "coarse_2.tif") as coarse:
        assert fine.crs == coarse.crs == rasterio.crs.CRS.from_epsg(32633)
        assert fine.bounds == coarse.bounds
        assert coarse.res == (RATIO * fine.res[0], RATIO * fine.res[1])
        assert fine.dtypes == ("uint16",) * 6
        assert fine.nodata == coarse.nodata == 0
        assert fine.descriptions == _landscape.BANDS
    for sensor in ("fine", "coarse"):
        for epoch, day in enumerate(("2021:04:20", "2021:05:22", "2021:06:23"), start=1):
            with rasterio.open(scene / f"{sensor}_{epoch}.tif") as source:
                assert source.tags()["TIFFTAG_DATETIME"].startswith(day)


def test_coarse_is_the_blurred_block_mean_of_fine_with_the_response_of_its_sensor(scene):
    sensor = _simulation.COARSE
    fine, coarse = read(scene, "fine_2"), read(scene, "coarse_2")
    for band in range(6):
        blurred = gaussian_filter(fine[band], sensor.blur * RATIO)
        blocks = blurred.reshape(SIZE // RATIO, RATIO, SIZE // RATIO, RATIO).mean((1, 3))
        expected = blocks * sensor.gain[band] + sensor.offset[band]
        # Two blocks from the border, the filter sees the scene alone.
        error = (coarse[band] - expected)[2:-2, 2:-2]
        assert np.abs(error).max() < 5 * sensor.noise
        assert error.std() < 1.5 * sensor.noise
        without_response = (coarse[band] - blocks)[2:-2, 2:-2]
        assert abs(without_response.mean()) > abs(error.mean())


def test_flood_is_seen_by_both_sensors(scene):
    nir_before, nir_after = read(scene, "fine_1")[3], read(scene, "fine_2")[3]
    row, col = round(0.42 * SIZE), round(0.62 * SIZE)
    assert nir_after[row - 4 : row + 5, col - 4 : col + 5].max() < 0.1
    assert np.median(nir_before[row - 4 : row + 5, col - 4 : col + 5]) > 0.15
    drop = read(scene, "coarse_1")[3] - read(scene, "coarse_2")[3]
    assert drop[row // RATIO, col // RATIO] == drop.max() > 0.05


def test_classes_follow_their_own_phenology(scene):
    # The landscape itself, made with the margin that the simulation gives it, tells the kinds of the fine pixels.
    place = np.arange(SIZE)
    ground = _landscape.Landscape(SIZE, 0, margin=3 * RATIO).ground(place[:, None], place[None, :])
    clear = ~binary_dilation(ground.flooded | ground.cloud, iterations=2)
    index = []
    for epoch in (1, 2, 3):
        red, nir = read(scene, f"fine_{epoch}")[[2, 3]]
        index.append((nir - red) / (nir + red))

    def course(kind):
        return np.array([np.median(ndvi[clear & (ground.kind == _landscape.KINDS.index(kind))]) for ndvi in index])

    first, second = np.diff(course("maize"))
    assert second > 2 * first > 0
    assert (np.diff(course("winter cereal")) > 0).tolist() == [True, False]
    assert np.diff(course("oilseed"))[1] < np.diff(course("winter cereal"))[1] < -0.1
    assert (course("water") < 0).all()
    assert np.ptp(course("road")) < 0.05


def test_cloud_hole_is_in_all_bands_of_the_first_fine_image_alone(scene, tmp_path):
    missing = np.isnan(read(scene, "fine_1"))
    assert 0.01 < missing.mean() < 0.1
    assert (missing == missing[0]).all()
    for name in ("fine_2", "fine_3", "coarse_1", "coarse_2", "coarse_3"):
        assert not np.isnan(read(scene, name)).any()
    clear = read(simulate(tmp_path / "clear", clouds=False), "fine_1")
    assert not np.isnan(clear).any()
    np.testing.assert_array_equal(clear[~missing], read(scene, "fine_1")[~missing])


@pytest.mark.parametrize(("size", "ratio", "bands", "blocks"), [(64, 2, 1, 32), (100, 7, 4, 15), (70, 64, 6, 2)])
def test_options_are_respected(tmp_path, size, ratio, bands, blocks):
    folder = simulate(tmp_path / "scene", size=size, ratio=ratio, bands=bands)
    assert read(folder, "fine_3").shape == (bands, size, size)
    assert read(folder, "coarse_3").shape == (bands, blocks, blocks)


def test_progress_runs_from_start_to_end(tmp_path):
    values = order(tmp_path / "scene").said.of("progress")
    assert values == sorted(values)
    assert values[0] < 50
    assert values[-1] == 100


def test_empty_folder_is_used_and_a_full_one_refused(tmp_path):
    folder = tmp_path / "scene"
    folder.mkdir()
    simulate(folder)
    before = (folder / "fine_1.tif").read_bytes()
    for taken in (folder, folder / "fine_1.tif"):
        outcome = order(taken, seed=1)
        assert outcome.code == 2
        assert outcome.error == f"'{taken}' exists and is not an empty folder; choose a new one."
    assert (folder / "fine_1.tif").read_bytes() == before
    assert sorted(path.name for path in folder.iterdir()) == NAMES


def test_unwritable_place_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    outcome = order(tmp_path / "file" / "scene")
    assert outcome.code == 2
    assert "cannot be written" in outcome.error
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_cancel_leaves_nothing(tmp_path):
    class Impatient(Stop):
        """Stops at the tenth question."""

        questions = 0

        def check(self):
            self.questions += 1
            if self.questions == 10:
                assert (tmp_path / "scene.part").is_dir()
                self._event.set()
            super().check()

    outcome = order(tmp_path / "scene", stop=Impatient())
    assert outcome.code == 130
    assert list(tmp_path.iterdir()) == []


def test_a_landscape_does_not_depend_on_which_dates_it_is_made_for():
    places = np.arange(SIZE)[:, None], np.arange(SIZE)[None, :]
    looks = []
    for dates, epoch in ((_landscape.DATES, 1), ([date(2021, 1, 1), date(2021, 12, 31), _landscape.DATES[1]], 2)):
        landscape = _landscape.Landscape(SIZE, 0, 3 * RATIO, dates)
        ground = landscape.ground(*places)
        looks.append(landscape.reflectance(ground, landscape.vegetation(ground, epoch), epoch, 3))
    np.testing.assert_array_equal(*looks)
