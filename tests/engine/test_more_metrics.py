"""The metrics of an assessed image: known values of other programs, independent programs, definitions, flat images."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from sewar import full_ref
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from sklearn.metrics import r2_score

import literal_full_resolution as literal
from measured import assess
from stfusion.assessment._measure import Facts, Terms, conclude, measure
from stfusion.assessment._metrics import ALL, METRICS, MORE, OTHER
from test_metrics import pair, pattern

EVERYTHING = Terms(4, peak=2047.0, metrics=tuple(ALL))
ROUNDED = Terms(4, window=32, data_range=2047.0, peak=2047.0, whole_numbers=True, metrics=tuple(ALL))


def shifted(truth):
    return (truth + np.roll(truth, 1, 2)) / 2


@pytest.mark.parametrize(
    ("bands", "change", "scores"),
    [
        (4, None, {"q2n": 0.997263, "scc": 0.998532, "scc_laplace": 0.992446, "rmse_pooled": 4.898973,
                   "psnr_pooled": 52.420255, "psnr_cube": 42.628169}),
        (8, None, {"q2n": 0.998254, "scc": 0.999377, "scc_laplace": 0.995609, "rmse_pooled": 4.899057,
                   "psnr_pooled": 52.420106}),
        (3, None, {"q2n": 0.996853, "scc": 0.998096, "scc_laplace": 0.990865, "rmse_pooled": 4.898979,
                   "psnr_pooled": 52.420244}),
        (5, None, {"q2n": 0.997593, "scc": 0.998839, "scc_laplace": 0.993590, "rmse_pooled": 4.899089,
                   "psnr_pooled": 52.420050}),
        (4, shifted, {"sam": 2.886150, "ergas": 2.396878, "uiqi": 0.835381, "q2n": 0.846227, "scc": 0.920291,
                      "scc_laplace": 0.683680, "rmse_pooled": 39.362101, "psnr_pooled": 34.320791, "r": 0.847816}),
        (4, lambda truth: truth[::-1], {
            "sam": 23.252556, "ergas": 11.901779, "uiqi": 0.573659, "q2n": 0.431891, "scc": 0.768023,
            "scc_laplace": 0.328845, "rmse_pooled": 165.899066, "psnr_pooled": 21.825478, "r": 0.645232,
        }),
        (4, lambda truth: truth, {"q2n": 1, "scc": 1, "scc_laplace": 1, "r2": 1, "lbp": 0, "lbp_bits": 1, "rrmse": 0}),
        (4, lambda truth: truth * 1.1, {"q2n": 0.906915, "scc": 1, "lbp": 0}),
        (4, lambda truth: truth + 50, {"q2n": 0.861961, "scc": 1, "lbp": 0}),
        (4, lambda truth: np.broadcast_to(truth.mean((1, 2), keepdims=True), truth.shape), {"q2n": 0, "r2": 0}),
    ],
    ids=["4", "8", "3", "5", "shift", "order", "same", "gain", "offset", "mean"],
)
def test_scores_that_are_known(bands, change, scores):
    truth, noise = pattern(bands)
    found = assess(truth + noise if change is None else change(truth), truth, ROUNDED)
    for name, value in scores.items():
        assert found[name].mean == pytest.approx(value, abs=6e-7), name


def test_scores_are_those_of_other_packages():
    predicted, truth = pair()
    found = assess(predicted, truth, Terms(4, window=7, peak=0.9, metrics=tuple(ALL)))
    images = [np.moveaxis(image.astype(np.float64), 0, 2) for image in (truth, predicted)]
    theirs = {
        "sam": np.rad2deg(full_ref.sam(*images)), "rmse_pooled": full_ref.rmse(*images),
        "psnr_pooled": full_ref.psnr(*images, MAX=0.9),
        "ergas": full_ref.ergas(*images, r=1 / 4), "ergas_inverse": full_ref.ergas(*images, r=4),
        # The quality index is the similarity of plain windows without its constants.
        "uiqi": np.mean([
            structural_similarity(fact, guess, win_size=7, K1=0, K2=0, data_range=1, use_sample_covariance=False)
            for fact, guess in zip(truth.astype(np.float64), predicted.astype(np.float64), strict=True)
        ]),
    }
    for name, value in theirs.items():
        assert found[name].mean == pytest.approx(value, rel=1e-9), name


def test_an_image_that_is_not_of_whole_blocks_is_mirrored():
    i, j = np.mgrid[:70, :70]
    truth, noise = np.empty((2, 4, 70, 70))
    for b in range(4):
        truth[b] = 200 + 37 * b + ((7 * i + 13 * j + 5 * b) % 64) * (b + 1) + 100 * ((i // 8 + j // 8) % 2)
        noise[b] = (3 * i + 5 * j + 11 * b) % 17 - 8
    found = assess(truth + noise, truth, ROUNDED)
    expected = {"sam": 0.678476, "uiqi": 0.997262, "q2n": 0.997265}
    assert {name: found[name].mean for name in expected} == pytest.approx(expected, abs=6e-7)


def test_flat_images_are_judged_by_their_levels_and_zero_corners_are_left_out():
    truth = np.full((4, 64, 64), 500.0)
    same, other = assess(truth, truth, ROUNDED), assess(truth * 1.1, truth, ROUNDED)
    assert same["q2n"].mean == 1
    assert other["q2n"].mean == pytest.approx(0.995475, abs=1e-6)
    assert np.isnan([same["scc"].mean, other["scc"].mean, same["scc_laplace"].mean]).all()
    assert "SCC is unknown: one of the images has no edge." in same.reasons
    truth, noise = pattern(4)
    gap = np.zeros(truth.shape, bool)
    gap[:, :8, :8] = True
    holed = assess(np.where(gap, np.nan, truth + noise), truth, ROUNDED)
    assert holed["sam"].mean == pytest.approx(0.676442, abs=6e-7)
    assert holed["ergas"].mean == pytest.approx(0.338540, abs=6e-7)


def test_independent_programs_agree():
    predicted, truth = pair(shape=(3, 50, 70))
    found = assess(predicted, truth, Terms(peak=0.9, metrics=tuple(ALL)))
    for band, (guess, fact) in enumerate(zip(predicted, truth, strict=True)):
        assert found["psnr"].bands[band] == pytest.approx(peak_signal_noise_ratio(fact, guess, data_range=0.9))
        assert found["r2"].bands[band] == pytest.approx(r2_score(fact.ravel(), guess.ravel()), rel=1e-9)
    assert found["psnr_pooled"].mean == pytest.approx(peak_signal_noise_ratio(truth, predicted, data_range=0.9))
    assert found["psnr_cube"].mean == pytest.approx(peak_signal_noise_ratio(truth, predicted, data_range=truth.max()))


def literal_pattern(image, row, column):
    """The local binary pattern of a pixel: its neighbours clockwise from the upper left."""
    around = ((-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1))
    return [image[row + i, column + j] >= image[row, column] for i, j in around]


def literal_windows(predicted, truth, valid):
    """Metrics of 3 x 3 windows that are valid throughout: SCC, and the others for every band."""
    inside = ndimage.binary_erosion(valid, np.ones((3, 3)))
    sobel = np.array([
        [np.hypot(ndimage.sobel(band, 0), ndimage.sobel(band, 1))[inside] for band in image]
        for image in (np.nan_to_num(predicted), np.nan_to_num(truth))
    ])
    kernel = np.full((3, 3), -1.0)
    kernel[1, 1] = 8
    rows = []
    for guess, fact in zip(np.nan_to_num(predicted), np.nan_to_num(truth), strict=True):
        laplace = [ndimage.convolve(image, kernel)[inside] for image in (guess, fact)]
        codes, bits = [], []
        for row, column in np.argwhere(inside):
            p, t = (literal_pattern(image, row, column) for image in (guess, fact))
            a, b = (sum(2**k for k, bit in enumerate(bits) if bit) for bits in (p, t))
            codes.append((a - b) / (a + b) if a + b else 0)
            bits.append(np.mean([x == y for x, y in zip(p, t, strict=True)]))
        rows.append((np.corrcoef(*laplace)[0, 1], np.mean(codes), np.mean(bits)))
    p, t = sobel
    return (p * t).sum() / np.sqrt((p**2).sum() * (t**2).sum()), np.array(rows)


def test_metrics_of_small_windows_follow_their_definitions_around_gaps():
    predicted, truth = pair(hole=0.02)
    valid = np.isfinite(predicted).all(0)
    found = assess(predicted, truth, EVERYTHING)
    scc, rows = literal_windows(predicted, truth, valid)
    assert found["scc"].mean == pytest.approx(scc, rel=1e-9)
    for name, expected in zip(("scc_laplace", "lbp", "lbp_bits"), rows.T, strict=True):
        np.testing.assert_allclose(found[name].bands, expected, rtol=1e-9, atol=1e-12)


def test_q2n_follows_its_definition_around_gaps():
    predicted, truth = pair(shape=(6, 96, 128))
    predicted[:, 40, 50] = np.nan
    valid = np.isfinite(predicted).all(0)
    assert assess(predicted, truth, EVERYTHING)["q2n"].mean == pytest.approx(
        literal.q2n(truth, predicted, valid), rel=1e-9
    )


def test_definitions_of_published_tables():
    """One window for the whole band, pooled errors, radians, and the two ways in which ERGAS is turned round."""
    predicted, truth = pair(hole=0.1)
    predicted = predicted * 1.1
    valid = np.isfinite(predicted).all(0)
    found = assess(predicted, truth, Terms(16, data_range=1.0, peak=1.0, metrics=tuple(ALL)))
    p, t = predicted[:, valid], truth[:, valid]
    error, means = ((p - t) ** 2).mean(1), {"p": p.mean(1), "t": t.mean(1)}
    ergas = {name: 100 / 16 * np.sqrt((error / mean**2).mean()) for name, mean in means.items()}
    cosine = (p * t).sum(0) / np.sqrt((p**2).sum(0) * (t**2).sum(0))
    expected = {
        "rmse_pooled": np.sqrt(error.mean()), "sam_radians": np.arccos(cosine).mean(), "ergas": ergas["t"],
        "ergas_predicted": ergas["p"], "ergas_inverse": ergas["t"] * 256,
        "rrmse": np.mean(100 * np.sqrt(error) / means["t"]), "mae": np.abs(p - t).mean(),
        "psnr_pooled": 20 * np.log10(1 / np.sqrt(error.mean())),
    }
    assert {name: found[name].mean for name in expected} == pytest.approx(expected, rel=1e-9)
    for band, (x, y) in enumerate(zip(p, t, strict=True)):
        covariance = np.cov(x, y, ddof=0)[0, 1]
        spread, power, product = x.var() + y.var(), x.mean() ** 2 + y.mean() ** 2, x.mean() * y.mean()
        assert found["uiqi_global"].bands[band] == pytest.approx(4 * covariance * product / spread / power, rel=1e-9)
        assert found["ssim_global"].bands[band] == pytest.approx(
            (2 * product + 1e-4) * (2 * covariance + 9e-4) / ((power + 1e-4) * (spread + 9e-4)), rel=1e-9
        )


def test_equal_images_have_no_finite_ratio_of_signal_to_noise():
    _, truth = pair()
    found = assess(truth, truth, EVERYTHING)
    assert np.isnan(found["psnr"].mean)
    assert "PSNR (dB) of band 1 is unknown: the images are equal, and it is infinite." in found.reasons


def test_unknown_metrics_have_reasons():
    predicted, truth = pair(shape=(2, 20, 20))
    found = assess(predicted, truth, Terms(metrics=tuple(ALL)))
    for name in ("psnr", "psnr_pooled", "ergas", "ergas_inverse"):
        assert np.isnan(found[name].mean)
        assert any(reason.startswith(ALL[name].title) for reason in found.reasons), name
    flat = assess(predicted, np.full_like(truth, 0.0), EVERYTHING)
    assert np.isnan([flat[name].mean for name in ("r2", "rrmse", "ergas", "scc", "sam")]).all()
    nothing = assess(np.full_like(predicted, np.nan), truth, EVERYTHING)
    assert all(np.isnan(nothing[name].mean) for name in ALL)
    assert len(nothing.reasons) == sum(1 if metric.spectral else 2 for metric in ALL.values())


def test_metrics_have_names_of_their_own():
    assert len({metric.title for metric in ALL.values()}) == len(ALL) == len(METRICS) + len(MORE) + len(OTHER)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 70), cols=st.integers(1, 70), step=st.sampled_from([32, 64]))
def test_zones_are_the_images_under_masks_and_parts_add_up(seed, rows, cols, step):
    """Pixelwise metrics of a zone are those of the image with the others masked; zones add up to the whole."""
    predicted, truth = pair(seed, (3, rows, cols), hole=0.01)
    zones = np.random.default_rng(seed).integers(0, 3, (rows, cols)).astype(np.int32)
    valid = np.isfinite(predicted).all(0)
    facts = Facts.of(truth, valid)
    parts = []
    for top in range(0, rows, step):
        for left in range(0, cols, step):
            if min(rows - top, cols - left) < 32 and (top or left):
                return  # the runner makes no such tiles
            reach = np.s_[top : top + step + EVERYTHING.reach, left : left + step + EVERYTHING.reach]
            own = min(step, rows - top), min(step, cols - left)
            images = (image[(slice(None), *reach)].astype(np.float32) for image in (predicted, truth))
            parts.append(measure(*images, valid[reach], own, facts, EVERYTHING, zones[reach], 3))
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    whole = conclude(total.whole, facts, rows * cols, EVERYTHING)
    plain = assess(predicted.astype(np.float32), truth.astype(np.float32), EVERYTHING)
    for name in ALL:
        np.testing.assert_allclose(whole[name].mean, plain[name].mean, rtol=1e-9, atol=1e-9, err_msg=name)
    for number in range(3):
        here = np.where(zones == number, predicted, np.nan).astype(np.float32)
        alone = assess(here, truth.astype(np.float32), EVERYTHING)
        found = conclude(total.zone(number), facts, rows * cols, EVERYTHING)
        for name in ("rmse", "mae", "bias", "r", "r2", "sam", "ergas", "psnr", "rrmse", "rmse_pooled"):
            np.testing.assert_allclose(found[name].mean, alone[name].mean, rtol=1e-7, atol=1e-9, err_msg=name)
        assert found.valid == alone.valid
