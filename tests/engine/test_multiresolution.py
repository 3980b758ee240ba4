"""Filters, wavelets and local statistics of pansharpening by themselves, and what holds for methods made of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view

import literal_multiresolution as multiresolution
from makers import FINE, quantised, write_raster
from pansharpened import sharpen, write_scene
from sharpening import QUICKBIRD, SPLINE, Scene, filtered, gaussian, scaled, set_a, set_b
from stfusion.pansharpening._filtered import _add_in_proportion, _multiply
from stfusion.pansharpening._smoothing import box_weights, match_locally, regress_locally, smooth, spline_weights
from stfusion.pansharpening._wavelet_fusion import daubechies, scaling

GAINS = {"gains": ",".join(map(str, QUICKBIRD))}
RATIOS = ("sfim", "awlp", "rcs")
ADDED = ("hpf", "atwt", "awlp", "mtf_glp", "mtf_glp_cbd", "mtf_glp_fs")


def known() -> Scene:
    scene = replace(set_b(), border="edge")
    return replace(scene, ms=scene.ms.astype(np.float32).astype(float))


@given(st.integers(0, 2**32), st.integers(0, 12), st.integers(1, 40), st.integers(1, 40), st.floats(0.05, 0.95))
@settings(deadline=None, max_examples=30)
def test_smoothing_is_the_weighted_mean_of_the_pixels_around(seed, reach, rows, columns, gain):
    image = quantised(np.random.default_rng(seed), rows + 2 * reach, columns + 2 * reach)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) * gain) ** 2)
    weights /= weights.sum()
    windows = sliding_window_view(image.astype(float), (2 * reach + 1,) * 2)
    expected = (windows * np.outer(weights, weights)).sum((2, 3))
    np.testing.assert_allclose(smooth(image, weights), expected, rtol=1e-6)


def test_weights_are_those_of_their_names():
    assert box_weights(5).tolist() == [0.2] * 5
    np.testing.assert_allclose(spline_weights(1), SPLINE)
    image = np.random.default_rng(1).random((40, 40))
    twice = filtered(filtered(image, SPLINE, "wrap"), np.insert(SPLINE, [1, 2, 3, 4], 0), "wrap")
    np.testing.assert_allclose(filtered(image, spline_weights(2), "wrap"), twice, atol=1e-14)
    assert len(spline_weights(3)) == 29


def windows_of(image, side):
    return sliding_window_view(image.astype(float), (side, side)).reshape(*np.array(image.shape) - side + 1, -1)


@given(st.integers(0, 2**32), st.integers(1, 5), st.integers(1, 20), st.integers(1, 20), st.integers(1, 3))
@settings(deadline=None, max_examples=30)
def test_matching_gives_every_window_the_band_s_mean_and_deviation(seed, radius, rows, columns, bands):
    rng, side = np.random.default_rng(seed), 2 * radius + 1
    pan = quantised(rng, rows + 2 * radius, columns + 2 * radius)
    expanded = quantised(rng, bands, *pan.shape)
    around, centre = windows_of(pan, side), pan[radius : rows + radius, radius : columns + radius]
    for found, band in zip(match_locally(expanded, pan, side), expanded, strict=True):
        own = windows_of(band, side)
        expected = (centre - around.mean(-1)) * own.std(-1) / around.std(-1) + own.mean(-1)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@given(st.integers(0, 2**32), st.integers(1, 5), st.floats(0, 0.9), st.floats(0, 0.1))
@settings(deadline=None, max_examples=30)
def test_local_regression_is_that_of_every_window(seed, radius, threshold, tie):
    rng, side = np.random.default_rng(seed), 2 * radius + 1
    low, band, pan = quantised(rng, 3, 12 + 2 * radius, 9 + 2 * radius)
    x, y, z = windows_of(low, side), windows_of(band, side), windows_of(pan, side)

    def covariance(a, b):
        return (a * b).mean(-1) - a.mean(-1) * b.mean(-1)

    correlation = covariance(x, y) / (x.std(-1) * y.std(-1))
    clear = abs(correlation - threshold) > 1e-9
    expected = np.where(correlation > threshold, (covariance(x, y) + tie * 0.7) / (x.var(-1) + tie), 0)
    found = regress_locally(low, band, low, side, 0.7, tie, threshold)
    np.testing.assert_allclose(found[clear], np.maximum(expected, 0)[clear], rtol=1e-5, atol=1e-6)
    under = covariance(x, z) + tie
    clear = abs(under) > 1e-5
    expected = np.where(under > 0, (covariance(y, z) + tie * 0.7) / under, 0)
    found = regress_locally(low, band, pan, side, 0.7, tie, -1.0)
    np.testing.assert_allclose(found[clear], np.maximum(expected, 0)[clear], rtol=1e-4, atol=1e-6)


def test_windows_that_do_not_vary_give_the_mean_and_no_gain():
    flat, varied = np.full((9, 9), 0.7, np.float32), quantised(np.random.default_rng(2), 9, 9)
    np.testing.assert_allclose(match_locally(varied[None], flat, 3)[0], windows_of(varied, 3).mean(-1), rtol=1e-6)
    assert (regress_locally(flat, varied, flat, 3, 0.5, 0.0, 0.0) == 0).all()
    assert (regress_locally(varied, flat, varied, 3, 0.5, 0.0, 0.0) == 0).all()
    assert (regress_locally(flat, varied, flat, 3, 0.5, 0.0, -1.0) == 0).all()
    np.testing.assert_allclose(regress_locally(flat, varied, flat, 3, 0.5, 0.1, -1.0), 0.5, rtol=1e-6)


@pytest.mark.parametrize("moments", [1, 2, 3, 4])
def test_wavelets_are_orthonormal_and_see_no_polynomials(moments):
    low = daubechies(moments)
    assert low.sum() == pytest.approx(np.sqrt(2))
    for shift in range(moments):
        assert low[2 * shift :] @ low[: len(low) - 2 * shift] == pytest.approx(float(shift == 0), abs=1e-12)
    high = low[::-1] * (-1) ** np.arange(len(low))
    for power in range(moments):
        assert high @ np.arange(len(low)) ** power == pytest.approx(0, abs=1e-9)
    known = multiresolution.WAVELETS.get({1: "haar", 2: "db2"}.get(moments, ""))
    assert known is None or low == pytest.approx(known, abs=1e-12)
    weights = scaling(low, 3)
    assert len(weights) == 7 * (len(low) - 1) + 1
    assert weights @ weights == pytest.approx(1)


def test_orfeo_toolbox_has_these_values():
    """On cubic convolution in whole numbers, as it was given it."""
    scene, row, column = set_a(), slice(128, 129), slice(128, 129)
    expanded = np.rint(scene.expanded).astype(np.float32)
    pan = scene.pan.astype(np.float32)
    here = pan[128:129, 128:129]
    for radius, wanted in (
        (3, [207.4075, 266.0227, 294.5787, 307.3539]), (9, [203.8116, 261.4105, 289.4715, 302.0251])
    ):
        around = pan[128 - radius : 129 + radius, 128 - radius : 129 + radius]
        low = smooth(around, box_weights(2 * radius + 1))
        found, dark = _multiply(expanded[:, row, column], here, low)
        assert found.ravel() == pytest.approx(wanted, abs=1e-4)
        assert not dark.any()
    part = slice(125, 132)
    found = match_locally(np.ascontiguousarray(expanded[:, part, part]), np.ascontiguousarray(pan[part, part]), 7)
    assert found.ravel() == pytest.approx([196.7351, 250.0374, 284.4014, 350.5210], abs=1e-4)


def test_nothing_is_divided_by_nothing():
    bands = np.array([[[5.0, -2.0]], [[3.0, 1.0]]], np.float32)
    pan, low = np.array([[7.0, 7.0]], np.float32), np.array([[0.0, 2.0]], np.float32)
    found, dark = _multiply(bands, pan, low)
    assert found.tolist() == [[[5, -7]], [[3, 3.5]]]
    assert dark.tolist() == [[True, False]]
    found, dark = _add_in_proportion(bands, pan, low)
    assert found.tolist() == [[[5 + 7 * 5 / 4, 3]], [[3 + 7 * 3 / 4, 6]]]
    assert dark.tolist() == [[False, True]]


@pytest.mark.parametrize("method", RATIOS)
def test_ratios_keep_the_direction_of_the_spectrum(tmp_path, method):
    scene = known()
    found, _ = sharpen(tmp_path, method, write_scene(tmp_path, scene))
    scale = found.sum(0) / scene.expanded.sum(0)
    np.testing.assert_allclose(found, scale * scene.expanded, rtol=1e-5)


@pytest.mark.parametrize("method", [*ADDED, "sfim", "rcs", "mtf_glp_hpm"])
def test_a_constant_panchromatic_image_changes_nothing(tmp_path, method):
    """Also where its value is none that float32 sums up without rounding."""
    scene = replace(known(), pan=np.full((128, 128), 371.3))
    found, _ = sharpen(tmp_path, method, write_scene(tmp_path, scene))
    np.testing.assert_allclose(found, scene.expanded, rtol=1e-4)


@pytest.mark.parametrize(
    "method", [*ADDED, *RATIOS, "wavelet_fusion", "mtf_glp_hpm", "lmvm", "bayes_fusion"]
)
def test_another_unit_changes_the_unit_alone(tmp_path, method):
    scene = known()
    found, _ = sharpen(tmp_path, method, write_scene(tmp_path / "one", scene))
    other, _ = sharpen(tmp_path, method, write_scene(tmp_path / "two", scaled(scene, 2.0**-12)))
    np.testing.assert_allclose(other, found * 2.0**-12, rtol=1e-5)


@pytest.mark.parametrize("ratio", [2, 3, 6])
@pytest.mark.parametrize("method", ["awlp", "atwt", "mtf_glp", "mtf_glp_hpm", "mtf_glp_cbd", "wavelet_fusion", "hpf"])
def test_other_ratios_agree_with_the_judge(tmp_path, method, ratio):
    rng = np.random.default_rng(ratio)
    pan = 300 + 200 * filtered(rng.random((60, 72)), gaussian(0.3, 2), "edge")
    ms = 100 + 400 * filtered(rng.random((60 // ratio, 72 // ratio)), SPLINE, "edge")
    scene = Scene(np.stack([ms, 0.5 * ms[::-1] + 80]).astype(np.float32).astype(float), np.rint(pan), ratio)
    found, _ = sharpen(tmp_path, method, write_scene(tmp_path, scene))
    np.testing.assert_allclose(found, getattr(multiresolution, method)(scene), rtol=1e-5, atol=2e-3)


def test_bayes_warns_where_the_bands_explain_little(tmp_path):
    scene = known()
    rng = np.random.default_rng(4)
    wild = replace(scene, pan=np.rint(rng.uniform(100, 900, scene.pan.shape)))
    _, warned = sharpen(tmp_path, "bayes_fusion", write_scene(tmp_path / "wild", wild))
    assert any("of the variance of" in line for line in warned)
    _, warned = sharpen(tmp_path, "bayes_fusion", write_scene(tmp_path / "tame", scene))
    assert not warned


def test_bayes_takes_bands_that_are_copies(tmp_path):
    """Their covariance has no inverse; the copies share what the one band had."""
    scene = known()
    twice = replace(scene, ms=np.concatenate([scene.ms, scene.ms[:1]]))
    once, _ = sharpen(tmp_path, "bayes_fusion", write_scene(tmp_path / "once", scene))
    found, _ = sharpen(tmp_path, "bayes_fusion", write_scene(tmp_path / "twice", twice))
    np.testing.assert_allclose(found[:4], once, rtol=1e-3)
    np.testing.assert_array_equal(found[4], found[0])


def test_dark_pixels_are_counted(tmp_path):
    scene = known()
    pan = scene.pan.copy()
    pan[20:60, 20:60] = 0
    found, warned = sharpen(tmp_path, "rcs", write_scene(tmp_path, replace(scene, pan=pan)), radius=2)
    np.testing.assert_allclose(found[:, 30:50, 30:50], scene.expanded[:, 30:50, 30:50], rtol=1e-5)
    assert any("keep the value of the multispectral image" in line for line in warned)


def test_wavelets_begin_where_multispectral_pixels_do(tmp_path):
    """A panchromatic image without its first rows and columns gives the same result on the rest."""
    scene = known()
    whole, _ = sharpen(tmp_path, "wavelet_fusion", write_scene(tmp_path, scene))
    paths = write_scene(tmp_path / "cut", scene)
    cut = scene.pan[3:, 5:].astype(np.float32)
    paths["pan"] = write_raster(tmp_path / "cut" / "pan.tif", cut, FINE @ FINE.translation(5, 3))
    found, _ = sharpen(tmp_path / "cut", "wavelet_fusion", paths)
    gains = [found_band.std() for found_band in (found[0], whole[0, 3:, 5:])]
    assert gains[0] == pytest.approx(gains[1], rel=0.05)
    detail = [image - scene.expanded[:, 3:, 5:] for image in (found, whole[:, 3:, 5:])]
    inner = np.s_[:, 12:-12, 12:-12]
    assert np.corrcoef(detail[0][inner].ravel(), detail[1][inner].ravel())[0, 1] > 0.999
