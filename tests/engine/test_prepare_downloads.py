"""Prepare and fuse from true downloads: archives of different extents, an area, indices, bad dates, and in parts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from downloaded import CLOUD, CLOUDY, DAYS, NOISE, OVERCAST, WINDOWS, downloads, longitudes, truth
from in_process import InProcess
from makers import read_raster, run_method, write_raster
from products import GRID_30, UTM
from stfusion import job, registry
from stfusion.alone import Outcome
from test_distribute import command

GOOD = [day for day in DAYS if day not in (NOISE, OVERCAST)]
#: What all Landsat scenes have in common.
TOP, BOTTOM, LEFT, RIGHT = 30, 460, 42, 460


@pytest.fixture
def here(monkeypatch) -> InProcess:
    return InProcess(monkeypatch)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return downloads(tmp_path_factory.mktemp("downloads"))


def chained(folder: Path, out: Path, **values):
    return run_method("prepare_and_fuse", output=str(out), **given(folder, **values))


def given(folder: Path, **values):
    return {
        "method": "fine_plus_difference", "processes": 1, "fine_folder": str(folder / "landsat"),
        "coarse_folder": str(folder / "modis"), "fine_bands": "red,NIR", "coarse_bands": "red,NIR", **values,
    }


def values_of(path: Path) -> tuple[np.ndarray, Affine]:
    """Reflectance, NaN where there is none, and the grid."""
    with rasterio.open(path) as dataset:
        stored = dataset.read().astype(float)
        scales = np.array(dataset.scales)[:, None, None]
        return np.where(dataset.read_masks() == 0, np.nan, stored * scales), dataset.transform


def test_scenes_of_different_extents_become_a_series(folder, tmp_path, here):
    done = chained(folder, tmp_path / "out")
    assert done.code == 0, done.said.lines
    (result,) = done.said.of("result")
    assert {key: result[key] for key in ("bad_fine", "bad_coarse", "failed")} == {
        "bad_fine": 0, "bad_coarse": 2, "failed": 0,
    }
    told = done.said.of("log")
    assert "The fine images have different grids, and are brought to one." in told
    assert f"Align images: All 3 images get {RIGHT - LEFT} x {BOTTOM - TOP} pixels of EPSG:32610." in told
    series = tmp_path / "out" / "series"
    assert [path.stem for path in sorted(series.glob("*.tif"))] == [f"fused_{day}" for day in GOOD]
    assert (series / "stack.vrt").is_file()
    for day in GOOD:
        values, grid = values_of(series / f"fused_{day}.tif")
        assert grid == GRID_30 * Affine.translation(LEFT, TOP)
        expected = truth(day)[:, TOP:BOTTOM, LEFT:RIGHT]
        assert np.sqrt(np.nanmean((values - expected) ** 2)) < 0.25 * expected[1].std()
    # What is cut is as it was imported, to the bit.
    for day, (top, left, _, _) in WINDOWS.items():
        whole = read_raster(tmp_path / "out" / "fine" / f"LC08_{day}.tif")
        cut = read_raster(tmp_path / "out" / "gridded" / f"LC08_{day}.tif")
        assert np.array_equal(cut, whole[:, TOP - top : BOTTOM - top, LEFT - left : RIGHT - left])
    # The cloud of the Landsat scene is left out.
    top, left = WINDOWS[CLOUDY][:2]
    kept = values_of(series / f"fused_{CLOUDY}.tif")[0]
    rows, columns = (slice(cut.start + first - begin, cut.stop + first - begin)
                     for cut, first, begin in zip(CLOUD, (top, left), (TOP, LEFT), strict=True))
    assert np.isnan(kept[:, rows, columns]).all()
    assert np.isnan(kept).sum() == 2 * 60 * 80


def test_an_area_limits_the_work_to_its_pixels(folder, tmp_path, here):
    done = chained(folder, tmp_path / "out", area=longitudes((150, 350), (150, 330)), coarse_bands="red,NIR")
    assert done.code == 0, done.said.lines
    assert not (tmp_path / "out" / "gridded").exists()
    for path in (*(tmp_path / "out" / "fine").glob("*.tif"), *(tmp_path / "out" / "series").glob("*.tif")):
        with rasterio.open(path) as dataset:
            left, top = ~GRID_30 * (dataset.transform.c, dataset.transform.f)
            assert (left, top) == (round(left), round(top))
            # Lines of longitude and latitude are slanted in the grid: some pixels more.
            assert 140 <= top <= 150
            assert 140 <= left <= 150
            assert 200 <= dataset.width <= 220
            assert 180 <= dataset.height <= 200
    whole = next((folder / "modis").glob("*b01_1.tif"))
    coarse = next((tmp_path / "out" / "coarse").glob("*.tif"))
    assert read_raster(coarse)[0].size < 0.5 * read_raster(whole).size


def test_an_area_that_scenes_cover_in_part_is_that_of_all_together(folder, tmp_path, here):
    west, south = GRID_30 * (24, 200)
    east, north = GRID_30 * (200, 60)
    done = chained(folder, tmp_path / "out", area=f"{west},{east},{south},{north}")
    assert done.code == 0, done.said.lines
    whole = {path.name: read_raster(path) for path in (tmp_path / "out" / "gridded").glob("*.tif")}
    assert {image.shape for image in whole.values()} == {(2, 140, 176)}
    assert (whole[f"LC08_{CLOUDY}.tif"][:, :, :18] == -9999).all()
    assert (whole["LC08_20200509.tif"] != -9999).all()


def test_an_area_elsewhere_is_refused_with_both_extents(folder, tmp_path, here):
    done = chained(folder, tmp_path / "out", area="10,11,45,46 [EPSG:4326]")
    assert done.code == 2
    assert done.error.startswith("No image lies in the area: Landsat 8 level 2 'LC08_L2SP_044033_20200501")
    assert "is of 600900 to 613800 in x and 4186200 to 4199400 in y (EPSG:32610), where the area is " in done.error
    assert done.error.endswith("; so are 2 more; give another area, or other images.")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"area": "1,2"}, "The area '1,2' is not understood"),
        ({"area": "1,2,3,4", "same_extent": True}, "'Same extent' is for images that have no place"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(folder, tmp_path, here, values, words):
    done = chained(folder, tmp_path / "out", **values)
    assert done.code == 2
    assert words in done.error
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def bands(folder, tmp_path_factory) -> Path:
    """A run for a part, with its bands."""
    out = tmp_path_factory.mktemp("bands") / "out"
    with pytest.MonkeyPatch.context() as patch:
        InProcess(patch)
        assert chained(folder, out, area=longitudes((150, 350), (150, 330))).code == 0
    return out


def by_hand(tmp_path: Path, name: str, method: str, /, **values) -> Path:
    done = run_method(method, output=str(tmp_path / name), **values)
    assert done.code == 0, done.said.lines
    return tmp_path / name


def paths(folder: Path) -> list[str]:
    return [str(path) for path in sorted(folder.glob("*.tif"))]


def same(one: Path, other: Path) -> bool:
    """Whether two folders have the same values under the same dates."""
    found = [{path.stem[-8:]: read_raster(path) for path in each.glob("*.tif")} for each in (one, other)]
    return found[0].keys() == found[1].keys() and all(
        np.array_equal(values, found[1][day], equal_nan=True) for day, values in found[0].items()
    )


def test_index_then_blend_is_the_steps_by_hand(folder, bands, tmp_path, here):
    area = longitudes((150, 350), (150, 330))
    done = chained(folder, tmp_path / "out", area=area, index="ndvi", index_order="before")
    assert done.code == 0, done.said.lines
    good = [path for path in paths(bands / "aligned") if path[-12:-4] in GOOD]
    fine = by_hand(tmp_path, "fine", "spectral_index", index="ndvi", images=paths(bands / "fine"))
    coarse = by_hand(tmp_path, "coarse", "spectral_index", index="ndvi", images=good)
    series = by_hand(
        tmp_path, "series", "fuse_series", method="fine_plus_difference", processes=1, fine=paths(fine),
        coarse=paths(coarse),
    )
    assert len(paths(series)) == len(GOOD)
    assert same(tmp_path / "out" / "series", series)


def test_blend_then_index_is_the_steps_by_hand(folder, bands, tmp_path, here):
    area = longitudes((150, 350), (150, 330))
    done = chained(folder, tmp_path / "out", area=area, index="ndvi", index_order="after")
    assert done.code == 0, done.said.lines
    index = by_hand(tmp_path, "index", "spectral_index", index="ndvi", images=paths(bands / "series"))
    assert [Path(path).stem for path in paths(tmp_path / "out" / "index")] == [f"ndvi_{day}" for day in GOOD]
    assert same(tmp_path / "out" / "index", index)
    assert same(tmp_path / "out" / "series", bands / "series")
    # The other order gives other values.
    assert not same(tmp_path / "out" / "index", tmp_path / "out" / "series")


def test_the_index_is_made_of_what_there_is_when_a_date_fails(folder, tmp_path, here):
    here.faults[f"fused_{GOOD[1]}.tif"] = Outcome("It is broken; mend it.", "user")
    values = {"area": longitudes((150, 350), (150, 330)), "index": "ndvi", "index_order": "after"}
    assert chained(folder, tmp_path / "out", **values).code == 5
    assert len(paths(tmp_path / "out" / "index")) == len(GOOD) - 1
    assert chained(folder, tmp_path / "out", **values).code == 0
    assert len(paths(tmp_path / "out" / "index")) == len(GOOD)


def test_no_index_is_made_where_all_dates_fail(folder, tmp_path, here):
    for day in GOOD:
        here.faults[f"fused_{day}.tif"] = Outcome("It is broken; mend it.", "user")
    values = {"area": longitudes((150, 350), (150, 330)), "index": "ndvi", "index_order": "after"}
    done = chained(folder, tmp_path / "out", **values)
    assert done.code == 5
    assert done.error.startswith("7 of 7 dates failed: ")
    assert not (tmp_path / "out" / "index").exists()


def test_masks_whose_clear_values_are_said_are_used(folder, tmp_path, here):
    top, left, rows, columns = WINDOWS["20200501"]
    values = np.zeros((1, rows, columns), np.uint8)
    values[:, :, :200], values[:, :, 300:] = 1, 4
    mask = write_raster(tmp_path / "fmask_20200501.tif", values, GRID_30 * Affine.translation(left, top), UTM)
    done = chained(folder, tmp_path / "out", fine_masks=[mask], clear="0,1", index="ndvi")
    assert done.code == 0, done.said.lines
    stored = read_raster(tmp_path / "out" / "fine" / "LC08_20200501.tif")
    assert (stored[:, :, :300] != -9999).all()
    assert (stored[:, :, 300:] == -9999).all()


def test_an_index_of_bands_without_names_is_refused_with_the_remedy(folder, bands, tmp_path, here):
    done = chained(folder, tmp_path / "out", index="mndwi")
    assert done.code == 2
    assert "MNDWI needs the band 'green', and no band of Fine image 'LC08_20200501.tif' is called 'green'" in done.error
    assert not (tmp_path / "out" / "aligned").exists()


def test_parts_of_the_dates_make_the_series_of_one_run(folder, bands, tmp_path, here, capsys):
    values = given(
        folder, area=longitudes((150, 350), (150, 330)), index="ndvi", index_order="after",
        output=str(tmp_path / "out"),
    )
    path = tmp_path / "job.json"
    path.write_text(json.dumps(job.build(registry.get("series", "prepare_and_fuse"), values)), encoding="utf-8")
    assert command("plan", path) == 0
    assert not here.ran
    assert not (tmp_path / "out" / "series" / f"fused_{GOOD[0]}.tif").exists()
    assert "count: 7" in capsys.readouterr().out
    assert command("run", path, "--part", "1/2") == 0
    assert command("merge", path) == 2
    assert "3 of 7 part(s) are not done: 2020-05-02; " in capsys.readouterr().err
    assert command("run", path, "--part", "2/2") == 0
    assert command("merge", path) == 0
    said = capsys.readouterr().out
    assert all(f"{word}: " in said for word in ("check_report", "bad_coarse", "stack", "moved"))
    assert same(tmp_path / "out" / "series", bands / "series")
    assert len(paths(tmp_path / "out" / "index")) == len(GOOD)
    # A run of the whole finds all of it done.
    here.ran.clear()
    done = run_method("prepare_and_fuse", **values)
    assert (done.code, here.ran) == (0, [])
    assert "Fuse a time series: done already." in done.said.of("log")


def test_a_run_of_the_whole_goes_on_where_a_part_stopped(folder, tmp_path, here):
    values = given(folder, area=longitudes((150, 350), (150, 330)), output=str(tmp_path / "out"))
    path = tmp_path / "job.json"
    path.write_text(json.dumps(job.build(registry.get("series", "prepare_and_fuse"), values)), encoding="utf-8")
    assert [command("plan", path), command("run", path, "--part", "1/2")] == [0, 0]
    first = list(here.ran)
    here.ran.clear()
    assert run_method("prepare_and_fuse", **values).code == 0
    assert sorted(first + here.ran) == [f"fused_{day}.tif" for day in GOOD]
