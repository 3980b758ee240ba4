"""Simulated coarse images: point spreads by their definitions, displacements, noise by place, gaps, bad input."""

from __future__ import annotations

import re

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter1d

from makers import FINE, read_raster, run_method, write_raster
from stfusion.job import Input
from stfusion.preparation import _reduced
from stfusion.preparation._windows import measure
from stfusion.raster import resolution
from stfusion.raster.source import Source
from test_shift import landscape, seen_coarsely

RATIO = 4


def simulate(folder, image, code=0, settings=None, name="coarse.tif", **values):
    path = str(folder / name)
    values = {"ratio": RATIO, **values}
    outcome = run_method("simulate_coarse", settings=settings, fine=str(image), output=path, **values)
    assert outcome.code == code, outcome.said.lines
    return read_raster(path) if code == 0 else outcome.error


@pytest.fixture
def image(tmp_path):
    values = np.random.default_rng(1).random((2, 50, 61)).astype(np.float32)
    return write_raster(tmp_path / "fine_20210409.tif", values, descriptions=("red", "NIR"), nodata=-1.0)


def test_a_box_is_the_mean(tmp_path, image):
    found = simulate(tmp_path, image)
    fine = read_raster(image)[:, :48, :60]
    assert np.allclose(found, fine.reshape(2, 12, 4, 15, 4).mean((2, 4)), atol=1e-6)
    with rasterio.open(tmp_path / "coarse.tif") as coarse:
        assert coarse.transform == FINE @ Affine.scale(RATIO)
        assert coarse.descriptions == ("red", "NIR")
        assert coarse.tags()["ACQUISITION_DATETIME"] == "2021-04-09"


def test_a_whole_displacement_is_the_mean_of_other_pixels(tmp_path, image):
    fine = read_raster(image)
    found = simulate(tmp_path, image, shift_rows=0.5, shift_columns=-0.25)
    # What is seen lies two rows further up and one column further to the right.
    wanted = fine[:, 2:46, 1:61].reshape(2, 11, 4, 15, 4).mean((2, 4))
    assert np.allclose(found[:, 1:], wanted, atol=1e-6)
    assert np.allclose(found[:, 0], fine[:, :2, 1:61].reshape(2, 2, 15, 4).mean((1, 3)), atol=1e-6)


def test_a_displacement_of_a_part_of_a_pixel_shares_the_edge_pixels(tmp_path, image):
    found = simulate(tmp_path, image, shift_rows=-0.1)
    weights = np.array([0.6, 1, 1, 1, 0.4])
    fine = read_raster(image)[:, :, :60].reshape(2, 50, 15, 4).mean(3)
    wanted = [(weights[:, None] * fine[:, top : top + 5]).sum(1) / 4 for top in range(0, 48, 4)]
    assert np.allclose(found, np.stack(wanted, 1), atol=1e-6)


@pytest.mark.parametrize(("spread", "fwhm"), [("gaussian", 1.5), ("blurred_box", 0.8), ("blurred_box", 0.0)])
def test_gaussians_have_their_width(tmp_path, spread, fwhm):
    """Against sums on a grid ten times as fine, which stand for integrals."""
    values, ratio = np.random.default_rng(2).random((160, 160)).astype(np.float32), 8
    found = simulate(tmp_path, write_raster(tmp_path / "f.tif", values), ratio=ratio, spread=spread, fwhm=fwhm)[0]
    finer, sigma = 10, (fwhm or 1.0) * ratio / 2.354820045
    if spread == "gaussian":
        centres = np.arange(20) * ratio + (ratio - 1) / 2
        weights = np.exp(-0.5 * ((np.arange(160) - centres[:, None]) / sigma) ** 2)
    else:
        box = np.zeros((20, 160 * finer))
        for row in range(20):
            box[row, row * ratio * finer : (row + 1) * ratio * finer] = 1
        blurred = gaussian_filter1d(box, sigma * finer, axis=1, mode="constant", truncate=6)
        weights = blurred.reshape(20, 160, finer).sum(2)
    weights /= weights.sum(1, keepdims=True)
    inner = np.s_[6:-6, 6:-6]
    wanted = (weights @ values @ weights.T)[inner]
    assert np.allclose(found[inner], wanted, atol=2e-3 if spread == "blurred_box" else 3e-4)


def test_gains_are_those_of_the_bands():
    """A wave at the Nyquist frequency of the coarse pixels comes through with the gain, as toolboxes construct it."""
    ratio = 6
    which = resolution.gaussian_filter(ratio, resolution.mtf_sigma(0.3, ratio), 0.0)
    places = which.start + np.arange(len(which.weights)) - (ratio - 1) / 2
    assert (which.weights * np.cos(np.pi / ratio * places)).sum() == pytest.approx(0.28226, abs=3e-4)


def test_gains_of_two_bands_differ(tmp_path, image):
    both = simulate(tmp_path, image, spread="gaussian", gains="0.1,0.6")
    for band, gain in enumerate(("0.1", "0.6")):
        alone = simulate(tmp_path, image, name="alone.tif", spread="gaussian", gains=gain, fine_bands=[band + 1])
        assert np.allclose(both[band], alone[0], atol=2e-4)
    assert both[0, 2:-2].std() < both[1, 2:-2].std()


@settings(max_examples=60, deadline=None)
@given(
    ratio=st.integers(2, 20), sigma=st.floats(0, 3), shift=st.floats(-4, 4),
    make=st.sampled_from([resolution.spread_filter, resolution.gaussian_filter]),
)
def test_filters_keep_the_mean_and_see_the_place_that_is_asked_for(ratio, sigma, shift, make):
    # Narrower than 0.6 fine pixels, a sampled Gaussian is no longer one.
    which = make(ratio, (sigma + 0.3) * ratio if make is resolution.gaussian_filter else sigma * ratio, shift * ratio)
    assert which.weights.sum() == pytest.approx(1, abs=1e-12)
    centre = (which.weights * (which.start + np.arange(len(which.weights)))).sum()
    assert centre == pytest.approx((ratio - 1) / 2 + shift * ratio, abs=0.02)
    assert which.start <= which.own
    assert which.own + ratio <= which.stop


def test_align_finds_the_displacement(tmp_path):
    fine = landscape(3, 384)
    path = write_raster(tmp_path / "fine.tif", fine)
    simulate(tmp_path, path, ratio=8, shift_rows=0.6, shift_columns=-1.3, noise=0.1, spread="blurred_box")
    sources = [Source(name, Input(str(tmp_path / f"{name}.tif"))) for name in ("coarse", "fine")]
    found = measure(*sources, 3.0).found
    assert found.moved
    assert (found.rows, found.columns) == pytest.approx((-0.6, 1.3), abs=0.1)
    # And it is the very image that an exact displacement of a periodic one gives, but at the edges.
    exact = seen_coarsely(fine, 0.6 * 8, -1.3 * 8, 8)
    plain = simulate(tmp_path, path, ratio=8, shift_rows=0.6, shift_columns=-1.3)[0]
    assert np.corrcoef(plain[3:-3, 3:-3].ravel(), exact[3:-3, 3:-3].ravel())[0, 1] > 0.999


def test_noise_is_a_function_of_the_seed_the_date_and_the_place(tmp_path, image, monkeypatch):
    flat = write_raster(tmp_path / "flat_20210409.tif", np.full((1, 800, 800), 5.0, np.float32))
    noisy = simulate(tmp_path, flat, noise=0.25)[0]
    assert noisy.std() == pytest.approx(0.25, rel=0.02)
    assert noisy.mean() == pytest.approx(5, abs=0.005)
    assert abs(np.corrcoef(noisy[1:].ravel(), noisy[:-1].ravel())[0, 1]) < 0.02
    monkeypatch.setattr(_reduced, "tile_shape", lambda *given: (37, 50))
    assert np.array_equal(simulate(tmp_path, flat, noise=0.25, settings={"threads": 3})[0], noisy)
    other = simulate(tmp_path, flat, noise=0.25, settings={"seed": 1})[0]
    assert abs(np.corrcoef(noisy.ravel(), other.ravel())[0, 1]) < 0.02
    later = write_raster(tmp_path / "flat_20210410.tif", np.full((1, 800, 800), 5.0, np.float32))
    assert abs(np.corrcoef(noisy.ravel(), simulate(tmp_path, later, noise=0.25)[0].ravel())[0, 1]) < 0.02


def test_gaps_take_no_part(tmp_path):
    values = np.random.default_rng(4).random((64, 64)).astype(np.float32)
    values[8:16, 8:14] = -1
    found = simulate(tmp_path, write_raster(tmp_path / "gaps.tif", values, nodata=-1.0), spread="blurred_box")[0]
    # Of the pixels to the right, half of the fine ones are valid.
    assert np.array_equal(np.argwhere(found == -1), [(2, 2), (3, 2)])
    assert found[found != -1].min() > 0


def test_integers_keep_their_type(tmp_path):
    values = np.random.default_rng(5).integers(1, 5000, (1, 32, 32)).astype(np.int16)
    path = write_raster(tmp_path / "dn.tif", values, nodata=0, scales=(0.0001,))
    found = simulate(tmp_path, path, noise=0.01)
    assert found.dtype == np.int16
    means = values[0].reshape(8, 4, 8, 4).mean((1, 3))
    assert (found[0] - means).std() == pytest.approx(100, rel=0.3)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"ratio": 64}, "50 pixels.*less than one coarse pixel of 64 x 64"),
        ({"ratio": 1}, "has to be between 2 and 256"),
        ({"noise": -1.0}, "has to be at least 0"),
        ({"spread": "gaussian", "gains": "0.1,0.2,0.3"}, r"3 band\(s\) and the image has 2"),
        ({"shift_rows": 9.0}, "has to be between -4 and 4"),
    ],
)
def test_bad_input_is_named_in_a_sentence(tmp_path, image, values, sentence):
    error = simulate(tmp_path, image, code=2, **values)
    assert re.search(sentence, error), error
    assert not (tmp_path / "coarse.tif").exists()


def test_an_image_without_valid_pixels_is_refused(tmp_path):
    path = write_raster(tmp_path / "empty.tif", np.zeros((32, 32), np.uint8), nodata=0)
    assert "has no valid pixel to reduce" in simulate(tmp_path, path, code=2)
