"""Spectral indices: against their formulas written out, orders of bands, units, gaps, stacks, tiles, bad input."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio

from makers import FINE, Outcome, quantised, read_raster, run_method, write_raster
from stfusion.raster import tiles
from stfusion.series._indices import BANDS, INDICES, ORDERS

#: The formulas as they are usually written.
JUDGE = {
    "ndvi": lambda b, g, r, n, s1, s2: (n - r) / (n + r),
    "evi": lambda b, g, r, n, s1, s2: 2.5 * (n - r) / (n + 6 * r - 7.5 * b + 1),
    "evi2": lambda b, g, r, n, s1, s2: 2.5 * (n - r) / (n + 2.4 * r + 1),
    "savi": lambda b, g, r, n, s1, s2: 1.5 * (n - r) / (n + r + 0.5),
    "ndwi": lambda b, g, r, n, s1, s2: (g - n) / (g + n),
    "mndwi": lambda b, g, r, n, s1, s2: (g - s1) / (g + s1),
    "ndmi": lambda b, g, r, n, s1, s2: (n - s1) / (n + s1),
    "nbr": lambda b, g, r, n, s1, s2: (n - s2) / (n + s2),
    "ndsi": lambda b, g, r, n, s1, s2: (g - s1) / (g + s1),
}


def make(folder, images, code=0, settings=None, **values) -> Outcome:
    outcome = run_method("spectral_index", settings=settings, images=images, output=str(folder / "out"), **values)
    assert outcome.code == code, outcome.said.lines
    return outcome


@pytest.fixture
def values():
    found = quantised(np.random.default_rng(1), 6, 40, 50) + np.float32(1 / 64)
    # The denominator of EVI is positive over soil and plants, where blue is darkest.
    found[0] /= 16
    return found


def test_every_index_is_judged():
    assert set(JUDGE) == set(INDICES)


@pytest.mark.parametrize("index", INDICES)
@pytest.mark.parametrize("unit", [1, 10000])
def test_the_formulas(tmp_path, values, index, unit):
    stored = np.rint(values * unit).astype(np.int16) if unit > 1 else values
    image = write_raster(tmp_path / "a_20210409.tif", stored, nodata=-9999)
    make(tmp_path, image, index=index, order="blue_to_swir")
    wanted = JUDGE[index](*(stored.astype(np.float64) / unit))
    found = read_raster(tmp_path / "out" / "a_20210409.tif")
    assert found.dtype == np.float32
    assert np.allclose(found[0], wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("order", ORDERS)
def test_orders_of_sensors(tmp_path, values, order):
    places = ORDERS[order]
    bands = dict(zip(BANDS, values, strict=True))
    stored = np.stack([np.full((40, 50), 7, np.float32) if name is None else bands[name] for name in places])
    make(tmp_path, write_raster(tmp_path / "a.tif", stored), order=order)
    assert np.allclose(read_raster(tmp_path / "out" / "a.tif")[0], JUDGE["ndvi"](*values), atol=1e-6)


def test_bands_are_found_by_name_and_by_number(tmp_path, values):
    stored = values[[4, 3, 2]]
    named = write_raster(tmp_path / "a.tif", stored, descriptions=("swir_1", "nir", "Red"))
    make(tmp_path, named)
    found = read_raster(tmp_path / "out" / "a.tif")
    assert np.allclose(found[0], JUDGE["ndvi"](*values), atol=1e-6)
    bare = write_raster(tmp_path / "b.tif", stored)
    run_method("spectral_index", images=bare, output=str(tmp_path / "own"), numbers="red=3, nir=2")
    assert np.array_equal(read_raster(tmp_path / "own" / "b.tif"), found)
    # Bands that are chosen count from 1 again.
    run_method("spectral_index", images=bare, output=str(tmp_path / "two"), image_bands=[3, 2], order="red_nir")
    assert np.array_equal(read_raster(tmp_path / "two" / "b.tif"), found)


def test_a_stack_with_masks_keeps_its_dates_and_grid(tmp_path, values):
    (tmp_path / "in").mkdir()
    (tmp_path / "masks").mkdir()
    for day in ("20210409", "20210411"):
        write_raster(tmp_path / "in" / f"fine_{day}.tif", values, descriptions=BANDS)
    mask = np.zeros((40, 50), np.uint8)
    mask[:5] = 1
    write_raster(tmp_path / "masks" / "cloud_20210411.tif", mask)
    (results,) = make(tmp_path, str(tmp_path / "in"), masks=[str(tmp_path / "masks")], name="ndvi").said.of("result")
    assert results["images"] == 2
    wanted = JUDGE["ndvi"](*values.astype(np.float64))
    with rasterio.open(tmp_path / "out" / "ndvi_20210411.tif") as image:
        assert image.transform == FINE
        assert image.descriptions == ("NDVI",)
        assert image.tags()["ACQUISITION_DATETIME"] == "2021-04-11"
        found = image.read(1)
    assert np.isnan(found[:5]).all()
    assert np.allclose(found[5:], wanted[5:], atol=1e-6)
    assert not np.isnan(read_raster(tmp_path / "out" / "ndvi_20210409.tif")).any()


def test_gaps_of_other_bands_do_no_harm(tmp_path, values):
    values[0, :3], values[2, 5] = -1, -1
    make(tmp_path, write_raster(tmp_path / "a.tif", values, nodata=-1, descriptions=BANDS))
    gaps = np.isnan(read_raster(tmp_path / "out" / "a.tif")[0])
    assert gaps[5].all()
    assert gaps.sum() == 50


def test_a_denominator_that_is_not_positive_is_no_data_and_said(tmp_path, values):
    values[2:4, 0, :4] = 0
    values[2, 1, 0], values[3, 1, 0] = -0.3, 0.1
    outcome = make(tmp_path, write_raster(tmp_path / "a.tif", values, descriptions=BANDS))
    gaps = np.isnan(read_raster(tmp_path / "out" / "a.tif")[0])
    assert np.argwhere(gaps).tolist() == [[0, 0], [0, 1], [0, 2], [0, 3], [1, 0]]
    assert outcome.said.of("result")[0]["undefined"] == 5
    assert "5 valid pixel(s) have no NDVI" in outcome.said.of("warning")[0]


def test_tiles_and_threads_change_nothing(tmp_path, monkeypatch):
    image = write_raster(tmp_path / "a.tif", quantised(np.random.default_rng(2), 4, 300, 200) + np.float32(0.1))
    make(tmp_path, image, order="blue_green_red_nir", index="evi")
    whole = read_raster(tmp_path / "out" / "a.tif")
    monkeypatch.setattr(tiles, "_LARGEST", 64)
    run_method(
        "spectral_index", settings={"threads": 2}, images=image, output=str(tmp_path / "tiled"), index="evi",
        order="blue_green_red_nir",
    )
    assert np.array_equal(read_raster(tmp_path / "tiled" / "a.tif"), whole, equal_nan=True)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "no band of Image 'a.tif' is called 'red'"),
        ({"order": "red_nir", "index": "nbr"}, "'red_nir' has no such band"),
        ({"order": "landsat_8"}, "'NIR', which is to be number 5, and Image 'a.tif' has 4 band(s)"),
        ({"numbers": "red=3; nir=4"}, "'Numbers of bands' (numbers) has 'red=3; nir=4'"),
        ({"numbers": "violet=3"}, "has 'violet=3'"),
        ({"numbers": "red=0"}, "has 'red=0'"),
        ({"numbers": "red=3, nir=9"}, "is to be number 9"),
    ],
)
def test_bad_input(tmp_path, values, words):
    image = write_raster(tmp_path / "a.tif", np.ones((4, 8, 8), np.float32))
    assert words in make(tmp_path, image, code=2, **values).error
    assert not (tmp_path / "out").exists()
