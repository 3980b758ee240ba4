"""Align images: their new grids, what is mended and what is left, images without a coordinate system, bad input."""

from __future__ import annotations

import csv
import re

import numpy as np
import pytest
import rasterio
from affine import Affine
from scipy.ndimage import uniform_filter

from makers import CRS, FINE, Outcome, read_raster, run_method, write_raster
from real_data import real_scene
from test_shift import RATIO, SIZE, landscape, seen_coarsely

COARSE = FINE * Affine.scale(RATIO)
MOVED = (4.0, -10.0)


def align(folder, images, reference, **values) -> Outcome:
    return run_method("align", images=images, reference=reference, output=str(folder / "aligned"), **values)


def results(outcome: Outcome) -> dict:
    assert outcome.code == 0, outcome.said.of("error")
    (found,) = outcome.said.of("result")
    return found


def table(folder) -> list[dict[str, str]]:
    with (folder / "aligned" / "alignment.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture
def scene(tmp_path):
    """A fine image, and a coarse one of what lies ``MOVED`` fine pixels down and to the right of its place."""
    fine = landscape(1, SIZE * RATIO)
    write_raster(tmp_path / "fine_20200301.tif", fine)
    write_raster(tmp_path / "coarse_20200303.tif", seen_coarsely(fine, *MOVED), COARSE)
    return fine


def paths(folder, *names: str) -> list[str]:
    return [str(folder / name) for name in names]


def test_a_displaced_image_is_mended(tmp_path, scene):
    images, reference = paths(tmp_path, "coarse_20200303.tif"), paths(tmp_path, "fine_20200301.tif")
    found = results(align(tmp_path, images, reference))
    assert found["moved"] == 1
    assert (found["rows"], found["columns"]) == pytest.approx((-MOVED[0], -MOVED[1]), abs=0.05 * RATIO)
    path = tmp_path / "aligned" / "coarse_20200303.tif"
    with rasterio.open(path) as mended:
        assert mended.transform == COARSE
        assert mended.shape == (SIZE, SIZE)
        assert mended.tags()["ACQUISITION_DATETIME"] == "2020-03-03"
        values = mended.read(1)
    truth = scene.reshape(SIZE, RATIO, SIZE, RATIO).mean((1, 3))
    inner = np.s_[4:-4, 4:-4]
    before = read_raster(tmp_path / "coarse_20200303.tif")[0]
    assert np.corrcoef(before[inner].ravel(), truth[inner].ravel())[0, 1] < 0.9
    assert np.corrcoef(values[inner].ravel(), truth[inner].ravel())[0, 1] > 0.98
    (line,) = table(tmp_path)
    assert line["sure"] == "True"
    assert float(line["correlation_after"]) > float(line["correlation_before"]) + 0.1


def test_the_own_grid_keeps_the_values_and_mends_the_place(tmp_path, scene):
    images = paths(tmp_path, "coarse_20200303.tif")
    results(align(tmp_path, images, paths(tmp_path, "fine_20200301.tif"), grid="own"))
    with rasterio.open(tmp_path / "aligned" / "coarse_20200303.tif") as mended:
        assert np.array_equal(mended.read(), read_raster(images[0]))
        across = ~COARSE @ mended.transform
        assert (across.f, across.c) == pytest.approx((-MOVED[0] / RATIO, -MOVED[1] / RATIO), abs=0.05)


@pytest.mark.parametrize("shift", ["report", "no"])
def test_what_is_only_reported_or_not_asked_stays(tmp_path, scene, shift):
    images = paths(tmp_path, "coarse_20200303.tif")
    outcome = align(tmp_path, images, paths(tmp_path, "fine_20200301.tif"), shift=shift)
    assert results(outcome)["moved"] == 0
    assert np.array_equal(read_raster(tmp_path / "aligned" / "coarse_20200303.tif"), read_raster(images[0]))
    assert any("when moved by" in line for line in outcome.said.of("log")) == (shift == "report")
    assert bool(table(tmp_path)[0]["rows"]) == (shift == "report")


def test_a_false_match_moves_nothing_and_that_is_said(tmp_path, scene):
    other = seen_coarsely(landscape(99, SIZE * RATIO), 0, 0)
    path = write_raster(tmp_path / "other_20200303.tif", other, COARSE)
    outcome = align(tmp_path, [path], paths(tmp_path, "fine_20200301.tif"))
    assert results(outcome)["moved"] == 0
    assert np.array_equal(read_raster(tmp_path / "aligned" / "other_20200303.tif")[0], other)
    assert any("no displacement can be told, since" in line for line in outcome.said.of("log"))


def test_all_images_are_moved_alike_or_each_by_its_own(tmp_path, scene):
    for day, rows in ((3, 4.0), (4, 6.0), (5, 8.0)):
        image = seen_coarsely(scene, rows, -10.0)
        write_raster(tmp_path / f"coarse_2020030{day}.tif", image, COARSE)
    other = seen_coarsely(landscape(98, SIZE * RATIO), 0, 0)
    write_raster(tmp_path / "coarse_20200306.tif", other, COARSE)
    images = paths(tmp_path, *(f"coarse_2020030{day}.tif" for day in (3, 4, 5, 6)))
    reference = paths(tmp_path, "fine_20200301.tif")
    assert results(align(tmp_path, images, reference))["moved"] == 4
    alike = np.array([[line["moved_rows"], line["moved_columns"]] for line in table(tmp_path)], float)
    assert np.allclose(alike, (-6, 10), atol=0.05 * RATIO)
    assert np.ptp(alike, axis=0).max() == 0
    assert results(align(tmp_path / "aligned", images, reference, common=False))["moved"] == 3
    own = [float(line["moved_rows"]) for line in table(tmp_path / "aligned")]
    assert np.allclose(own, (-4, -6, -8, 0), atol=0.05 * RATIO)


def test_the_reference_that_is_nearest_in_time_is_taken(tmp_path, scene):
    write_raster(tmp_path / "fine_20200501.tif", landscape(97, SIZE * RATIO))
    results(align(tmp_path, paths(tmp_path, "coarse_20200303.tif"),
                  paths(tmp_path, "fine_20200501.tif", "fine_20200301.tif")))
    assert table(tmp_path)[0]["reference"] == "fine_20200301.tif"


def test_nested_pixels_begin_where_the_reference_does(tmp_path):
    write_raster(tmp_path / "fine.tif", np.random.default_rng(0).random((50, 61)).astype(np.float32))
    # Pixels of 7.9 fine ones, elsewhere, and reaching beyond.
    rough = Affine(237.0, 0, 499_000.0, 0, -237.0, 5_200_900.0)
    path = write_raster(tmp_path / "coarse.tif", np.full((20, 20), 7, np.int16), rough, nodata=-1, scales=(0.1,))
    results(align(tmp_path, [path], paths(tmp_path, "fine.tif"), shift="no"))
    with rasterio.open(tmp_path / "aligned" / "coarse.tif") as nested:
        assert nested.transform == FINE * Affine.scale(8)
        assert nested.shape == (7, 8)
        assert (nested.dtypes[0], nested.nodata, nested.scales[0]) == ("int16", -1, 0.1)
        assert (nested.read() == 7).all()
    results(align(tmp_path / "aligned", [path], paths(tmp_path, "fine.tif"), shift="no", ratio=5, name="low"))
    with rasterio.open(tmp_path / "aligned" / "aligned" / "low.tif") as nested:
        assert (nested.transform, nested.shape) == (FINE * Affine.scale(5), (10, 13))


def test_another_coordinate_system_onto_the_grid_of_the_reference(tmp_path):
    write_raster(tmp_path / "fine.tif", np.ones((40, 40), np.float32))
    degrees = Affine(0.004, 0, 14.98, 0, -0.004, 46.97)
    path = write_raster(tmp_path / "coarse.tif", np.full((10, 10), 3, np.float32), degrees, crs="EPSG:4326")
    results(align(tmp_path, [path], paths(tmp_path, "fine.tif"), shift="no", grid="reference", resampling="bilinear"))
    with rasterio.open(tmp_path / "aligned" / "coarse.tif") as found:
        assert (found.transform, found.shape, found.crs.to_string()) == (FINE, (40, 40), CRS)
        assert (found.read() == 3).all()


def written_windows(tmp_path, dtype=np.int16, **profile) -> tuple[np.ndarray, list[str]]:
    """An image of 40 x 50 pixels, and the paths of two windows of it that differ in place and in size."""
    whole = np.random.default_rng(1).integers(1, 9000, (2, 40, 50)).astype(dtype)
    boxes = {"a_20200301": (0, 30, 5, 50), "b_20200302": (8, 40, 0, 41)}
    return whole, [
        write_raster(tmp_path / f"{name}.tif", whole[:, top:bottom, left:right],
                     FINE * Affine.translation(left, top), nodata=0, **profile)
        for name, (top, bottom, left, right) in boxes.items()
    ]


def test_windows_of_one_grid_get_their_common_extent_bit_for_bit(tmp_path):
    whole, images = written_windows(tmp_path, scales=(1e-4, 1e-4), descriptions=("red", "NIR"))
    done = align(tmp_path, images, images[:1], grid="common", shift="no")
    assert results(done)["moved"] == 0
    for name in ("a_20200301", "b_20200302"):
        with rasterio.open(tmp_path / "aligned" / f"{name}.tif") as dataset:
            assert dataset.transform == FINE * Affine.translation(5, 8)
            assert (dataset.descriptions, dataset.scales, dataset.dtypes[0]) == (("red", "NIR"), (1e-4, 1e-4), "int16")
            assert np.array_equal(dataset.read(), whole[:, 8:30, 5:41])
    assert done.said.of("log") == ["All 2 images get 36 x 22 pixels of EPSG:32633."]
    assert not done.said.of("warning")


def test_windows_of_one_grid_get_all_that_they_cover(tmp_path):
    whole, images = written_windows(tmp_path)
    results(align(tmp_path, images, images[:1], grid="union", shift="no"))
    first, second = (read_raster(tmp_path / "aligned" / f"{name}.tif") for name in ("a_20200301", "b_20200302"))
    assert first.shape == second.shape == whole.shape
    assert np.array_equal(first[:, :30, 5:], whole[:, :30, 5:])
    assert not first[:, 30:].any()
    assert not first[:, :, :5].any()
    assert np.array_equal(second[:, 8:, :41], whole[:, 8:, :41])


def test_what_has_other_pixels_is_resampled_to_the_common_ones_and_that_is_said(tmp_path):
    whole, images = written_windows(tmp_path)
    other = write_raster(
        tmp_path / "c_20200303.tif", whole, FINE * Affine.translation(0.5, 0.0), nodata=0
    )
    done = align(tmp_path, [*images, other], images[:1], grid="common", shift="no", resampling="bilinear")
    results(done)
    (said,) = (text for text in done.said.of("log") if "resampled" in text)
    assert said.startswith("Image 'c_20200303.tif' is resampled by bilinear to the grid of ")
    found = read_raster(tmp_path / "aligned" / "c_20200303.tif")
    mean = (whole[:, 8:30, 4:40].astype(float) + whole[:, 8:30, 5:41]) / 2
    assert np.abs(found - mean).max() <= 0.51


def test_images_with_nothing_in_common_are_refused_and_with_little_warned_of(tmp_path):
    whole, _ = written_windows(tmp_path)
    parts = {"d_20200301": (0, 20, 0, 50), "e_20200302": (14, 40, 0, 50), "f_20200303": (21, 40, 0, 50)}
    images = [
        write_raster(tmp_path / f"{name}.tif", whole[:, top:bottom], FINE * Affine.translation(left, top), nodata=0)
        for name, (top, bottom, left, right) in parts.items()
    ]
    done = align(tmp_path, images[:2], images[1:2], grid="common", shift="no")
    assert done.said.of("warning") == [
        "All 2 images get 50 x 6 pixels of EPSG:32633, which is 23% of Image 'e_20200302.tif'; leave out images that "
        "cover little of the others, or choose an area."
    ]
    done = align(tmp_path / "none", images, images[1:2], grid="common", shift="no")
    assert done.error.startswith("Image 'f_20200303.tif' has no pixel in common with all of the images before it")


@pytest.mark.parametrize("crs", [None, CRS])
def test_images_without_a_coordinate_system_can_cover_the_same_extent(tmp_path, scene, crs):
    fine = write_raster(tmp_path / "bare_20200301.tif", scene, FINE if crs else Affine.identity(), crs=crs)
    coarse = write_raster(tmp_path / "low_20200301.tif", seen_coarsely(scene, 0, 0), Affine.identity(), crs=None)
    refused = align(tmp_path, [coarse], [fine])
    assert refused.code == 2
    assert "coordinate system" in refused.error
    results(align(tmp_path, [coarse], [fine], same_extent=True))
    with rasterio.open(tmp_path / "aligned" / "low_20200301.tif") as found, rasterio.open(fine) as onto:
        assert found.crs == onto.crs
        assert found.transform == onto.transform * Affine.scale(RATIO)
        assert np.array_equal(found.read(), read_raster(coarse))
    # What comes out can be fused without more ado.
    outcome = run_method(
        "fine_plus_difference", fine=fine, coarse=str(tmp_path / "aligned" / "low_20200301.tif"),
        target=str(tmp_path / "aligned" / "low_20200301.tif"), output=str(tmp_path / "fused.tif"),
    )
    assert outcome.code == 0, outcome.said.of("error")


def test_masked_clouds_take_no_part(tmp_path, scene):
    cloudy, cloud = scene.copy(), np.zeros(scene.shape, np.uint8)
    cloud[100:400, 40:300] = 1
    cloudy[cloud == 1] = 30 + landscape(96, SIZE * RATIO)[cloud == 1]
    write_raster(tmp_path / "cloudy_20200301.tif", cloudy)
    write_raster(tmp_path / "mask_20200301.tif", cloud)
    found = results(align(
        tmp_path, paths(tmp_path, "coarse_20200303.tif"), paths(tmp_path, "cloudy_20200301.tif"),
        reference_masks=paths(tmp_path, "mask_20200301.tif"),
    ))
    assert (found["rows"], found["columns"]) == pytest.approx((-MOVED[0], -MOVED[1]), abs=0.1 * RATIO)


def test_boreas_is_found_and_mended(tmp_path):
    folder = real_scene("stf_boreas_2001_envi")
    days = ("20010524", "20010711", "20010812")
    outcome = align(tmp_path, [str(folder / f"modis{day}") for day in days], [str(folder / f"tm{day}") for day in days])
    found = results(outcome)
    assert found["moved"] == 3
    assert found["rows"] == pytest.approx(9.0, abs=1.0)
    assert found["columns"] == pytest.approx(17.35, abs=1.0)
    for day in days:
        fine, before = (read_raster(folder / f"{sensor}{day}").astype(float) for sensor in ("tm", "modis"))
        after = read_raster(tmp_path / "aligned" / f"modis_{day}.tif").astype(float)
        valid = after[0] != -32768
        assert valid.mean() > 0.9
        for band in range(3):
            low = uniform_filter(fine[band], 16)[valid]
            better, worse = (np.corrcoef(image[band][valid], low)[0, 1] for image in (after, before))
            assert better > worse + 0.02
        assert better > worse + 0.12  # the near infrared, which has the most detail


def test_salton_is_left_where_it_is(tmp_path):
    folder = real_scene("stf_salton_hls_viirs")
    fine = sorted(str(path) for path in folder.glob("HLS*.tif"))
    coarse = [path.replace("HLS70m", "VIIRS490m") for path in fine]
    assert results(align(tmp_path, coarse, fine))["moved"] == 0
    assert {line["sure"] for line in table(tmp_path)} == {"True"}
    name = "VIIRS490m_NIR_20201002.tif"
    assert np.array_equal(read_raster(tmp_path / "aligned" / name), read_raster(folder / name))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"images": ["missing.tif"]}, "does not exist; choose an existing raster file"),
        ({"images": ["two_20200303.tif"]}, "2 band.*1, so that they cannot be compared; choose the bands"),
        ({"images": ["coarse_20200303.tif", "coarse_2020063.tif"]}, "would all be written as 'coarse_20200303.tif'"),
        ({"reference": ["fine_20200301.tif", "coarse_20200303.tif"]}, "have different grids, and references"),
        ({"images": ["away_20200303.tif"]}, "do not overlap"),
        ({"ratio": 256, "reference": ["small.tif"]}, "give a larger reference or another 'Ratio'"),
        ({"largest_shift": 99.0}, "has to be between 1 and 16"),
        ({"masks": ["undated.tif"]}, "no date"),
    ],
)
def test_bad_input_is_named_in_a_sentence(tmp_path, scene, change, sentence):
    coarse = read_raster(tmp_path / "coarse_20200303.tif")
    write_raster(tmp_path / "coarse_2020063.tif", coarse, COARSE)
    write_raster(tmp_path / "two_20200303.tif", np.concatenate([coarse, coarse]), COARSE)
    write_raster(tmp_path / "away_20200303.tif", coarse, Affine.translation(1e6, 0) * COARSE)
    write_raster(tmp_path / "small.tif", scene[:64, :64])
    write_raster(tmp_path / "undated.tif", np.zeros((8, 8), np.uint8), COARSE)
    values = {"images": ["coarse_20200303.tif"], "reference": ["fine_20200301.tif"], **change}
    values = {key: paths(tmp_path, *value) if isinstance(value, list) else value for key, value in values.items()}
    outcome = align(tmp_path, **values)
    assert outcome.code == 2
    assert re.search(sentence, outcome.error), outcome.error
    assert not (tmp_path / "aligned").exists()
    assert not (tmp_path / "aligned.part").exists()
