"""The judges of pansharpening, judged by published numbers, by other programs' values, and by what has to be so."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

import literal_full_resolution as toolboxes
import literal_multiresolution as multiresolution
import literal_substitution as substitution
from measured import assess
from sharpening import Scene, enlarge, gaussian, hat, keys, scaled, set_a, set_b, sigma, toolbox_filter
from stfusion.assessment._measure import Terms

SCORES = ("sam", "ergas", "uiqi", "q2n", "scc")
B = set_b()
PLACE = (slice(None), 64, 64)


def scores(fused: np.ndarray, scene: Scene = B) -> list[float]:
    found = assess(fused, scene.truth, Terms(4, window=32, metrics=SCORES))
    return [found[name].mean for name in SCORES]


def test_scenes_have_the_published_values():
    a = set_a()
    assert (a.ms.mean(), a.pan.mean()) == pytest.approx((384.25, 435.996155), abs=1e-6)
    assert set_a(8).ms.mean() == 521.25
    assert B.truth.mean((1, 2)) == pytest.approx([358.3115, 434.5194, 496.9186, 571.7717], abs=5e-5)
    assert B.pan.mean() == pytest.approx(483.0502, abs=5e-5)
    assert B.pan[64, 64] == 270
    assert B.expanded[PLACE] == pytest.approx([287.126, 304.697, 345.537, 441.190], abs=5e-4)


#: The published table: SAM, ERGAS, the quality index of 32 x 32 windows, Q4, SCC, and the values of a pixel.
TABLE = {
    "expanded": (lambda b: b.expanded, 1.8131, 3.1330, .7822, .7961, .8560, 287.13, 304.70, 345.54, 441.19),
    "brovey": (substitution.brovey, 1.8131, 1.6070, .9703, .9643, .9711, 224.94, 238.71, 270.70, 345.64),
    "gihs": (substitution.gihs, 2.3092, 1.7727, .9637, .9612, .9625, 212.49, 230.06, 270.90, 366.55),
    "gihs, matched": (
        lambda b: substitution.gihs(b, match=True), 2.0439, 1.9822, .9188, .9247, .9667, 264.47, 282.04, 322.88, 418.53
    ),
    "pca_fusion": (substitution.pca_fusion, 1.7733, 1.9112, .9244, .9286, .9748, 271.56, 283.54, 321.70, 417.52),
    "gram_schmidt": (substitution.gram_schmidt, 1.7654, 1.9408, .9219, .9266, .9747, 269.93, 282.10, 320.48, 415.42),
    "gsa": (substitution.gsa, 1.9238, 1.1564, .9748, .9802, .9695, 235.57, 226.46, 256.87, 359.92),
    "hpf, 5": (
        lambda b: multiresolution.hpf(b, 5), 2.2296, 1.4156, .9646, .9712, .9572, 222.89, 240.46, 281.30, 376.95
    ),
    "hpf, 9": (multiresolution.hpf, 2.3650, 1.4708, .9671, .9735, .9596, 213.03, 230.60, 271.44, 367.09),
    "sfim, 5": (
        lambda b: multiresolution.sfim(b, 5), 1.8131, 1.2902, .9691, .9732, .9659, 231.94, 246.13, 279.13, 356.39
    ),
    "sfim, 9": (multiresolution.sfim, 1.8131, 1.2552, .9735, .9771, .9683, 225.30, 239.08, 271.13, 346.18),
    "atwt": (multiresolution.atwt, 1.9339, 1.2390, .9697, .9756, .9691, 239.04, 241.00, 276.97, 378.12),
    "awlp": (multiresolution.awlp, 1.8131, 1.1560, .9763, .9801, .9712, 222.77, 236.41, 268.09, 342.31),
    "mtf_glp": (multiresolution.mtf_glp, 1.9918, 1.2377, .9741, .9787, .9681, 219.65, 214.32, 247.13, 345.94),
    "mtf_glp_hpm": (multiresolution.mtf_glp_hpm, 2.1382, 1.2912, .9722, .9769, .9650, 207.51, 207.45, 244.08, 342.94),
    "mtf_glp_cbd": (multiresolution.mtf_glp_cbd, 1.8277, 1.1413, .9754, .9804, .9708, 237.30, 227.86, 256.79, 353.06),
    "mtf_glp_fs": (multiresolution.mtf_glp_fs, 1.7817, 1.1296, .9760, .9807, .9718, 236.22, 228.40, 257.78, 351.10),
    "rcs": (lambda b: multiresolution.rcs(b, 3), 1.8131, 1.1849, .9748, .9787, .9692, 228.51, 242.49, 274.99, 351.12),
    "lmvm": (multiresolution.lmvm, 2.2372, 2.2802, .8834, .8941, .9335, 268.52, 270.21, 325.80, 440.19),
}


#: Methods that the table lacks, or variants of those that it has.
MORE = {
    "simple_mean": substitution.simple_mean,
    "brovey, fitted": lambda b: substitution.brovey(b, substitution.fitted_weights(b)),
    "bt_h": substitution.bt_h,
    "bt_h, shares": lambda b: substitution.bt_h(b, "shares"),
    "bdsd": lambda b: substitution.bdsd(b, 64),
    "bdsd_pc": substitution.bdsd_pc,
    "pracs": substitution.pracs,
    "hpf, matched": lambda b: multiresolution.hpf(b, matched=True),
    "wavelet_fusion": multiresolution.wavelet_fusion,
    "wavelet_fusion, db2": lambda b: multiresolution.wavelet_fusion(b, "db2"),
    "wavelet_fusion, add": lambda b: multiresolution.wavelet_fusion(b, rule="add"),
    "mtf_glp_hpm, regression": lambda b: multiresolution.mtf_glp_hpm(b, True),
    "mtf_glp_cbd, local": lambda b: multiresolution.mtf_glp_cbd(b, 21, 0.2),
    "bayes_fusion": multiresolution.bayes_fusion,
}
EVERY = {**{name: row[0] for name, row in TABLE.items()}, **MORE}


@cache
def fused(name: str) -> np.ndarray:
    return EVERY[name](B)


@pytest.mark.parametrize("name", TABLE)
def test_the_published_table_is_reproduced(name):
    wanted = TABLE[name][1:]
    assert scores(fused(name)) == pytest.approx(wanted[:5], abs=5.1e-5)
    assert fused(name)[PLACE] == pytest.approx(wanted[5:], abs=5.1e-3)


def test_gsa_finds_the_published_weights():
    found = substitution.gsa_weights(B)
    assert found[:4] == pytest.approx([0.10767, 0.29847, 0.35138, 0.25193], abs=5.1e-6)
    assert found[4] == pytest.approx(-3.874, abs=5.1e-4)


@pytest.mark.parametrize("name", [name for name in MORE if name != "simple_mean"])
def test_the_other_methods_beat_interpolation_too(name):
    assert scores(fused(name))[1] < 0.95 * TABLE["expanded"][2]


@pytest.mark.parametrize("name", EVERY)
def test_another_unit_changes_the_unit_alone(name):
    np.testing.assert_allclose(EVERY[name](scaled(B, 1e-4)), 1e-4 * fused(name), rtol=1e-7)


@pytest.mark.parametrize("name", ["brovey", "brovey, fitted", "sfim, 5", "sfim, 9", "awlp", "rcs"])
def test_ratios_keep_the_spectral_angle(name):
    assert scores(fused(name))[0] == pytest.approx(scores(B.expanded)[0], rel=1e-9)


@pytest.mark.parametrize("name", ["gihs, matched", "pca_fusion", "gram_schmidt", "gsa"])
def test_substitution_of_the_same_mean_keeps_the_means(name):
    assert fused(name).mean((1, 2)) == pytest.approx(B.expanded.mean((1, 2)), rel=1e-9)


def test_a_pan_that_is_the_intensity_changes_nothing():
    weights = np.array([0.1, 0.3, 0.35, 0.25])
    same = replace(B, pan=B.expanded.mean(0))
    for method in (substitution.brovey, substitution.gihs, substitution.gram_schmidt):
        np.testing.assert_allclose(method(same), B.expanded, rtol=1e-9)
    other = replace(B, pan=np.tensordot(weights, B.expanded, 1) + 12)
    coarse = np.tensordot(weights, B.ms, 1) + 12
    assert substitution.gsa_weights(other, coarse) == pytest.approx([*weights, 12])
    np.testing.assert_allclose(substitution.gsa(other, coarse), B.expanded, rtol=1e-9)


@pytest.mark.parametrize(
    "name", ["hpf, 9", "hpf, matched", "sfim, 9", "rcs", "atwt", "awlp", "mtf_glp", "mtf_glp_hpm", "mtf_glp_cbd",
             "mtf_glp_hpm, regression", "mtf_glp_cbd, local", "mtf_glp_fs", "wavelet_fusion, add"],
)
def test_a_constant_pan_adds_no_detail(name):
    flat = replace(B, pan=np.full_like(B.pan, 300.0))
    np.testing.assert_allclose(EVERY[name](flat), B.expanded, rtol=1e-9)


def test_haze_is_kept_and_what_is_above_it_keeps_its_direction():
    haze = B.expanded.min((1, 2), keepdims=True)
    clear = substitution.bt_h(B) - haze
    scale = clear.sum(0) / (B.expanded - haze).sum(0)
    np.testing.assert_allclose(clear, scale * (B.expanded - haze), atol=1e-8)


@pytest.mark.parametrize("kind", multiresolution.WAVELETS)
def test_wavelets_are_orthonormal_and_a_pan_like_the_band_changes_nothing(kind):
    whole = multiresolution.transform(32, multiresolution.WAVELETS[kind])
    assert whole @ whole.T == pytest.approx(np.eye(32), abs=1e-12)
    one = replace(B, ms=B.ms[:1], pan=2 * B.expanded[0] + 5)
    np.testing.assert_allclose(multiresolution.wavelet_fusion(one, kind), one.expanded, rtol=1e-9)


def test_haars_details_are_what_blocks_lose_to_their_means():
    first = fused("wavelet_fusion")[0]
    blocks = (32, 4, 32, 4)
    assert first.reshape(blocks).mean((1, 3)) == pytest.approx(B.expanded[0].reshape(blocks).mean((1, 3)), rel=1e-9)
    found, wanted = (
        (image.reshape(blocks) - image.reshape(blocks).mean((1, 3), keepdims=True)).ravel() for image in (first, B.pan)
    )
    np.testing.assert_allclose(found, wanted * B.expanded[0].std() / B.pan.std(), atol=1e-8)


def test_bayes_is_where_its_posterior_is_largest():
    intercept, slopes, variance, inverse = multiresolution.bayes_terms(B)
    weight = 0.9999

    def loss(image):
        away = image - B.expanded
        spectral = np.einsum("aij,ab,bij->ij", away, inverse, away)
        return weight * (B.pan - intercept - np.tensordot(slopes, image, 1)) ** 2 / variance + (1 - weight) * spectral

    found = multiresolution.bayes_fusion(B, weight)
    rng = np.random.default_rng(1)
    for step in (1e-2, 1e-1, 1):
        assert (loss(found + rng.normal(0, step, found.shape)) >= loss(found) - 1e-9).all()


def test_orfeo_toolbox_has_these_values():
    """It was given cubic convolution rounded to whole numbers, as GDAL writes it."""
    a = set_a()
    a.__dict__["expanded"] = np.rint(a.expanded)
    place = (slice(None), 128, 128)
    assert a.expanded[place] == pytest.approx([276, 354, 392, 409])
    found = {radius: multiresolution.rcs(a, radius)[place] for radius in (3, 9)}
    assert found[3] == pytest.approx([207.4075, 266.0227, 294.5787, 307.3539], abs=1e-4)
    assert found[9] == pytest.approx([203.8116, 261.4105, 289.4715, 302.0251], abs=1e-4)
    assert multiresolution.lmvm(a)[place] == pytest.approx([196.7351, 250.0374, 284.4014, 350.5210], abs=1e-4)


@pytest.mark.parametrize(("kernel", "wanted"), [(keys, [248, 319, 353, 368]), (hat, [245, 315, 353, 374])])
def test_gdal_has_these_values(kernel, wanted):
    """It rounds what it interpolates before it sharpens it: without that some values come out one away."""
    a = set_a()
    assert a.pan[128, 128] == 322
    a.__dict__["expanded"] = np.rint([enlarge(band, 4, kernel) for band in a.ms])
    assert np.rint(substitution.brovey(a)[:, 128, 128]).tolist() == wanted


@pytest.mark.parametrize(
    ("gain", "deviation", "centre", "ported", "total", "response"),
    [
        (0.14, 2.587934, 0.02376368, 0.02378781, 0.997953, 0.12674),
        (0.15, 2.542122, 0.02462790, 0.02465203, 0.998024, 0.13626),
        (0.30, 2.025151, 0.03880659, 0.03883072, 0.998740, 0.28226),
        (0.35, 1.891067, 0.04450476, 0.04452888, 0.998899, 0.33188),
        (0.50, 1.536603, 0.06740571, 0.06742958, 0.999269, 0.48276),
    ],
)
def test_filters_have_the_published_weights(gain, deviation, centre, ported, total, response):
    """The total is that of the window which is turned; the ported weight of the one which is not, clipped at 0."""
    weights = gaussian(gain, 4)
    assert sigma(gain, 4) == pytest.approx(deviation, abs=5.1e-7)
    assert weights[20] ** 2 == pytest.approx(centre, abs=5.1e-9)
    assert (weights * np.cos(np.pi / 4 * np.arange(-20, 21))).sum() == pytest.approx(response, abs=5.1e-6)
    assert toolbox_filter(gain, 4).sum() == pytest.approx(total, abs=5.1e-7)
    port = np.maximum(toolbox_filter(gain, 4, turned=False), 0)
    assert port[20, 20] / port.sum() == pytest.approx(ported, abs=5.1e-9)
    assert toolbox_filter(gain, 4) / total == pytest.approx(np.outer(weights, weights), abs=6e-5)


def test_the_toolboxes_interpolator_has_the_published_values():
    image = np.zeros((16, 16))
    image[8, 8] = 1
    found = toolboxes.interpolated(image)
    assert np.unravel_index(found.argmax(), found.shape) == (34, 34)
    assert found.sum() == pytest.approx(15.999999987, abs=5.1e-10)
    row = [1.0, 0.890028, 0.610668, 0.274609, 0, -0.138398, -0.145397, -0.077786]
    assert found[34, 34:42] == pytest.approx(row, abs=5.1e-7)
    flat = toolboxes.interpolated(np.full((16, 16), 7.0))
    assert flat.min() == pytest.approx(6.9999999915, abs=5.1e-11)
    assert flat.max() == pytest.approx(7, abs=1e-9)
    ramp = toolboxes.interpolated(np.tile(np.arange(32.0), (32, 1)))[64]
    assert ramp[50:80] == pytest.approx((np.arange(50, 80) - 2) / 4, abs=1e-6)
    assert (ramp[26], ramp[34]) == pytest.approx((6, 8), abs=1e-6)


def test_cubic_convolution_is_exact_for_ramps_and_statistics_leave_invalid_pixels_out():
    ramp = np.add.outer(np.arange(12.0), 3 * np.arange(12.0))
    found = enlarge(ramp, 3)[6:-6, 6:-6]
    places = (np.arange(6, 30) + 0.5) / 3 - 0.5
    assert found == pytest.approx(np.add.outer(places, 3 * places))
    valid = np.ones(B.pan.shape, bool)
    valid[:40] = False
    some = Scene(B.ms, np.where(valid, B.pan, 1e6), valid=valid)
    assert some.mean(some.pan) == B.pan[40:].mean()
    assert some.cov(some.pan, B.expanded[0]) == pytest.approx(np.cov(B.pan[40:].ravel(), B.expanded[0, 40:].ravel(),
                                                                     bias=True)[0, 1])
