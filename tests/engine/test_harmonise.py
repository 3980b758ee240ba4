"""Harmonise images: units, bands, extents, stretches, histograms and regressions by their definitions, bad input."""

from __future__ import annotations

import csv
import re

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st

from makers import FINE, Outcome, read_raster, run_method, write_raster
from real_data import real_scene
from stfusion.preparation import _written
from stfusion.preparation._adjustment import Line, matched, regression, stretch


def harmonise(folder, images, code=0, **values) -> Outcome:
    outcome = run_method("harmonise", images=images, output=str(folder / "out"), **values)
    assert outcome.code == code, outcome.said.lines
    return outcome


def table(folder) -> list[dict[str, str]]:
    with (folder / "out" / "harmonisation.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def field(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).gamma(4.0, 0.05, shape).astype(np.float32)


def test_units_bands_and_their_order(tmp_path):
    stored = np.random.default_rng(1).integers(1, 9000, (3, 20, 30)).astype(np.int16)
    stored[:, 4, 5] = -9999
    names = ("green", "red", "NIR")
    path = write_raster(tmp_path / "L8_20200301.tif", stored, nodata=-9999, descriptions=names)
    harmonise(tmp_path, [path], image_bands=[3, 1], scale=1e-4, offset=-0.1)
    with rasterio.open(tmp_path / "out" / "L8_20200301.tif") as found:
        assert found.descriptions == ("NIR", "green")
        assert found.dtypes == ("float32", "float32")
        values = found.read()
        assert found.tags()["ACQUISITION_DATETIME"] == "2020-03-01"
    assert np.isnan(values[:, 4, 5]).all()
    values[:, 4, 5] = stored[[2, 0], 4, 5] * 1e-4 - 0.1
    assert np.allclose(values, stored[[2, 0]] * 1e-4 - 0.1, atol=1e-6)


def test_kelvin_to_degrees_in_the_type_that_is_stored(tmp_path):
    kelvin = (280 + 20 * field(2, 1, 12, 12)).astype(np.float32)
    harmonise(tmp_path, [write_raster(tmp_path / "lst.tif", kelvin)], offset=-273.15, type="stored", name="celsius")
    assert np.allclose(read_raster(tmp_path / "out" / "celsius.tif"), kelvin - 273.15, atol=1e-4)


def test_sixteen_bits_have_their_scale(tmp_path):
    path = write_raster(tmp_path / "image.tif", field(3, 2, 9, 9))
    harmonise(tmp_path, [path], type="int16")
    with rasterio.open(tmp_path / "out" / "image.tif") as found:
        assert (found.dtypes[0], found.nodata, found.scales) == ("int16", -32768, (0.0001, 0.0001))
        assert np.allclose(found.read() * 0.0001, field(3, 2, 9, 9), atol=5.1e-5)


@pytest.mark.parametrize("together", [True, False])
def test_a_stretch_takes_percentiles_to_the_range(tmp_path, together):
    images = [field(4, 1, 40, 50), 2 * field(5, 1, 40, 50) + 1]
    paths = [write_raster(tmp_path / f"a_2020010{day}.tif", image) for day, image in enumerate(images, 1)]
    harmonise(tmp_path, paths, adjust="stretch", low=5.0, high=95.0, from_value=10.0, to_value=20.0, together=together)
    for number, image in enumerate(images):
        source = np.concatenate([each.ravel() for each in images]) if together else image
        low, high = np.percentile(source, (5, 95))
        found = read_raster(tmp_path / "out" / f"a_2020010{number + 1}.tif")
        assert np.allclose(found, 10 + 10 * (image - low) / (high - low), atol=1e-4)


def test_a_stretch_to_a_reference(tmp_path):
    image, wanted = field(6, 1, 40, 50), 3 - 2 * field(7, 1, 60, 30)
    harmonise(
        tmp_path, [write_raster(tmp_path / "a.tif", image)], adjust="stretch",
        reference=[write_raster(tmp_path / "r.tif", wanted)],
    )
    found = read_raster(tmp_path / "out" / "a.tif")
    assert np.percentile(found, (2, 98)) == pytest.approx(np.percentile(wanted, (2, 98)), abs=1e-4)


def test_histograms_become_those_of_the_reference(tmp_path):
    image, wanted = field(8, 2, 90, 80), np.sqrt(field(9, 2, 70, 100)) + 1
    harmonise(
        tmp_path, [write_raster(tmp_path / "a.tif", image)], adjust="histogram",
        reference=[write_raster(tmp_path / "r.tif", wanted)],
    )
    found = read_raster(tmp_path / "out" / "a.tif")
    shares = (0, 1, 10, 50, 90, 99, 100)
    for band in range(2):
        assert np.percentile(found[band], shares) == pytest.approx(np.percentile(wanted[band], shares), abs=0.01)
        order = np.argsort(image[band].ravel())
        assert (np.diff(found[band].ravel()[order]) >= -1e-6).all()


@pytest.mark.parametrize("way", ["ols", "rma", "robust"])
def test_regressions_find_a_linear_relation_through_gaps_and_tiles(tmp_path, way, monkeypatch):
    coarse = field(10, 2, 30, 40)
    coarse[:, 3:9, 5:12] = -5
    fine = np.kron(np.where(coarse == -5, 0.2, coarse), np.ones((1, 4, 4), np.float32))
    fine = np.stack([1.7 * fine[0] - 0.2, 0.4 * fine[1] + 3]).astype(np.float32)
    fine[:, 50:60, 50:90] = -5
    paths = [
        write_raster(tmp_path / "coarse_20200101.tif", coarse, FINE @ Affine.scale(4), nodata=-5.0),
        write_raster(tmp_path / "fine_20200103.tif", fine, nodata=-5.0),
    ]
    harmonise(tmp_path, [paths[0]], adjust=way, reference=[paths[1]])
    lines = table(tmp_path)
    assert [float(line["slope"]) for line in lines] == pytest.approx([1.7, 0.4], rel=1e-4)
    assert [float(line["offset"]) for line in lines] == pytest.approx([-0.2, 3], abs=1e-4)
    assert [float(line["correlation"]) for line in lines] == pytest.approx([1, 1], abs=1e-5)
    found = read_raster(tmp_path / "out" / "coarse_20200101.tif")
    assert np.isnan(found[0, 4, 6])
    assert np.allclose(found[1, 20:], 0.4 * coarse[1, 20:] + 3, atol=1e-4)
    monkeypatch.setattr(_written, "tile_shape", lambda *given: (7, 11))
    again = run_method("harmonise", images=[paths[0]], reference=[paths[1]], adjust=way, output=str(tmp_path / "tiles"))
    assert again.code == 0
    assert np.array_equal(read_raster(tmp_path / "tiles" / "coarse_20200101.tif"), found, equal_nan=True)


def test_a_robust_regression_bears_clouds_and_rma_keeps_the_spread():
    rng = np.random.default_rng(11)
    x = rng.normal(0.3, 0.1, 5000).astype(np.float32)
    y = (1.2 * x + 0.01 + rng.normal(0, 0.01, 5000)).astype(np.float32)
    cloudy = y.copy()
    cloudy[:400] = 0.9
    assert regression(x, cloudy, "robust").slope == pytest.approx(1.2, abs=0.02)
    assert abs(regression(x, cloudy, "ols").slope - 1.2) > 0.05
    noisy = (x + rng.normal(0, 0.1, 5000)).astype(np.float32)
    assert regression(noisy, y, "rma")(noisy).std() == pytest.approx(y.std(), rel=1e-4)
    assert regression(x, -y, "rma").slope < 0
    assert regression(x, y, "ols") == pytest.approx(np.polyfit(x.astype(float), y.astype(float), 1), rel=1e-6)


@given(st.floats(-5, 5), st.floats(0.1, 9), st.floats(-5, 5), st.floats(0.1, 9))
@settings(max_examples=50, deadline=None)
def test_a_stretch_is_exact_at_its_ends(low, width, bottom, range_):
    line = stretch(low, low + width, bottom, bottom + range_)
    ends = line(np.array([low, low + width], np.float32))
    assert np.allclose(ends, [bottom, bottom + range_], atol=1e-4)


def test_curves_go_on_beyond_their_ends_and_take_ties():
    values = np.array([1, 1, 1, 2, 3], np.float32)
    curve = matched(values, np.array([10, 11, 12, 20, 30], np.float32))
    found = curve(np.array([0, 1, 2, 3, 5, np.nan], np.float32))
    assert found[1] == pytest.approx(11.25, abs=0.5)
    assert found[1] - found[0] == pytest.approx(1)
    assert found[4] - found[3] == pytest.approx(2)
    assert np.isnan(found[5])
    assert Line(2, 1)(np.float32([1, np.nan]))[0] == 3


def test_masked_pixels_take_no_part_and_become_nodata(tmp_path):
    image, mask = field(12, 1, 30, 30), np.zeros((30, 30), np.uint8)
    mask[:10] = 4
    image[0, :10] = 99
    path = write_raster(tmp_path / "a_20200101.tif", image)
    harmonise(
        tmp_path, [path], adjust="stretch", masks=[write_raster(tmp_path / "m_20200101.tif", mask)],
        low=0.0, high=100.0,
    )
    found = read_raster(tmp_path / "out" / "a_20200101.tif")[0]
    assert np.isnan(found[:10]).all()
    assert (found[10:].min(), found[10:].max()) == pytest.approx((0, 1), abs=1e-6)


def test_the_common_extent(tmp_path):
    one, other = field(13, 1, 40, 50), field(14, 1, 40, 50)
    paths = [
        write_raster(tmp_path / "a_20200101.tif", one),
        write_raster(tmp_path / "a_20200102.tif", other, FINE @ Affine.translation(7, -5)),
    ]
    low = write_raster(tmp_path / "low.tif", field(15, 1, 8, 8), FINE @ Affine.translation(10.5, 2) @ Affine.scale(4))
    harmonise(tmp_path, paths, crop=True, reference=[low])
    with rasterio.open(tmp_path / "out" / "a_20200101.tif") as found:
        # Of the coarse image that reaches from column 10.5 to 42.5, pixels 11 to 41 are wholly inside.
        assert found.transform == FINE @ Affine.translation(11, 2)
        assert found.shape == (32, 31)
        assert np.array_equal(found.read(), one[:, 2:34, 11:42])
    with rasterio.open(tmp_path / "out" / "a_20200102.tif") as found:
        assert found.transform == FINE @ Affine.translation(11, 2)
        assert np.array_equal(found.read(), other[:, 7:39, 4:35])


def test_viirs_of_salton_gets_the_radiometry_of_landsat(tmp_path):
    folder = real_scene("stf_salton_hls_viirs")
    fine = sorted(str(path) for path in folder.glob("HLS*.tif"))
    coarse = [path.replace("HLS70m", "VIIRS490m") for path in fine]
    harmonise(tmp_path, coarse, adjust="ols", reference=fine, type="stored")
    biases = {}
    for name, place in (("before", folder), ("after", tmp_path / "out")):
        differences = []
        for path in fine:
            low = read_raster(place / path.rsplit("/", 1)[1].replace("HLS70m", "VIIRS490m"))[0].astype(float)
            high = read_raster(path)[0].astype(float).reshape(20, 7, 20, 7)
            valid = (low != -9999) & (high != -9999).all((1, 3))
            differences.append(low[valid] - high.mean((1, 3))[valid])
        biases[name] = abs(np.concatenate(differences).mean()), np.concatenate(differences).std()
    assert biases["before"][0] > 100
    assert biases["after"][0] < 2
    assert biases["after"][1] < biases["before"][1]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"adjust": "histogram"}, "to those of a reference, and none is given"),
        ({"adjust": "stretch", "from_value": 1.0}, "are both 1; give a range"),
        ({"adjust": "stretch", "low": 50.0, "high": 50.0}, "is 50 and .* 50; the first has to be smaller"),
        ({"adjust": "stretch", "images": ["flat_20200101.tif"]}, "does not vary .* so that no adjustment"),
        ({"adjust": "stretch", "images": ["empty_20200101.tif"]}, r"has 0 valid pixel\(s\), which is too few"),
        ({"adjust": "ols", "reference": ["two_20200101.tif"]}, r"1 band\(s\) and .* has 2; choose the bands"),
        ({"adjust": "ols", "reference": ["good_20210101.tif"]}, "a reference at most 16 days away"),
        ({"adjust": "ols", "reference": ["away_20200101.tif"]}, "do not overlap"),
        ({"crop": True, "reference": ["away_20200101.tif"]}, "no pixel that lies inside all other images"),
        ({"crop": True, "reference": ["degrees_20200101.tif"]}, "EPSG:4326; use 'Align images' before"),
        ({"scale": float("nan")}, "has to be a number"),
    ],
)
def test_bad_input_is_named_in_a_sentence(tmp_path, change, sentence):
    image = field(16, 1, 20, 20)
    for name in ("good_20200101", "good_20210101"):
        write_raster(tmp_path / f"{name}.tif", image)
    write_raster(tmp_path / "flat_20200101.tif", np.full((20, 20), 3, np.float32))
    write_raster(tmp_path / "empty_20200101.tif", np.full((20, 20), -1, np.float32), nodata=-1.0)
    write_raster(tmp_path / "two_20200101.tif", field(17, 2, 20, 20))
    write_raster(tmp_path / "away_20200101.tif", image, Affine.translation(1e6, 0) @ FINE)
    write_raster(tmp_path / "degrees_20200101.tif", image, Affine(0.001, 0, 15, 0, -0.001, 47), crs="EPSG:4326")
    values = {"images": ["good_20200101.tif"], **change}
    values = {key: [str(tmp_path / name) for name in v] if isinstance(v, list) else v for key, v in values.items()}
    outcome = run_method("harmonise", output=str(tmp_path / "out"), **values)
    assert outcome.code == 2
    assert re.search(sentence, outcome.error), outcome.error
    assert not (tmp_path / "out").exists()


def test_a_regression_of_what_does_not_correlate_is_warned_of(tmp_path):
    paths = [write_raster(tmp_path / f"{name}.tif", field(seed, 1, 60, 60)) for seed, name in ((18, "a"), (19, "b"))]
    outcome = harmonise(tmp_path, [paths[0]], adjust="ols", reference=[paths[1]])
    assert any("the regression says little" in line for line in outcome.said.of("warning"))
