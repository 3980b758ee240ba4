"""Metrics against scikit-image, known values and their definitions written out, and where they are not defined."""

import json
from functools import reduce
from operator import add

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import structural_similarity

from measured import assess
from stfusion.assessment._measure import Facts, Terms, conclude, measure
from stfusion.assessment._metrics import METRICS


def pair(seed=0, shape=(3, 24, 31), hole=0.0):
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0.02, 0.4, shape)
    predicted = truth + rng.normal(0.005, 0.02, shape)
    if hole:
        predicted[:, rng.random(shape[1:]) < hole] = np.nan
    return predicted, truth


def literal_ssim(guess, fact, valid):
    """The definition, window by window."""
    offsets = np.arange(-5, 6)
    kernel = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * 1.5**2))
    kernel /= kernel.sum()
    data_range = fact[valid].max() - fact[valid].min()
    values = []
    for row in range(5, fact.shape[0] - 5):
        for col in range(5, fact.shape[1] - 5):
            window = slice(row - 5, row + 6), slice(col - 5, col + 6)
            if valid[window].all():
                x, y = guess[window], fact[window]
                mean_x, mean_y = (kernel * x).sum(), (kernel * y).sum()
                var_x, var_y = (kernel * (x - mean_x) ** 2).sum(), (kernel * (y - mean_y) ** 2).sum()
                cov = (kernel * (x - mean_x) * (y - mean_y)).sum()
                c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
                values.append(
                    (2 * mean_x * mean_y + c1) * (2 * cov + c2)
                    / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))
                )
    return np.mean(values)


def test_ssim_is_that_of_scikit_image():
    predicted, truth = pair()
    ours = assess(predicted, truth)["ssim"]
    theirs = [
        structural_similarity(
            fact, guess, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=np.ptp(fact)
        )
        for guess, fact in zip(predicted, truth, strict=True)
    ]
    np.testing.assert_allclose(ours.bands, theirs, rtol=1e-12)
    assert ours.mean == pytest.approx(np.mean(theirs), rel=1e-12)


def test_whole_images_follow_the_definitions():
    predicted, truth = pair()
    found = assess(predicted, truth, Terms(ratio=16))
    for band, (guess, fact) in enumerate(zip(predicted, truth, strict=True)):
        assert found["rmse"].bands[band] == pytest.approx(np.sqrt(((guess - fact) ** 2).mean()), rel=1e-12)
        assert found["mae"].bands[band] == pytest.approx(np.abs(guess - fact).mean(), rel=1e-12)
        assert found["r"].bands[band] == pytest.approx(np.corrcoef(guess.ravel(), fact.ravel())[0, 1], rel=1e-12)
    assert found["rmse"].mean == pytest.approx(np.mean(found["rmse"].bands))
    assert found.valid == 1
    assert found.reasons == ()


def test_masked_images_follow_the_definitions_on_the_valid_pixels():
    predicted, truth = pair(hole=0.01)
    truth[1, 3, 4] = np.nan
    valid = np.isfinite(predicted).all(0) & np.isfinite(truth).all(0)
    found = assess(predicted, truth)
    assert 0 < valid.mean() < 1
    assert found.valid == valid.mean()
    for band, (guess, fact) in enumerate(zip(predicted, truth, strict=True)):
        assert found["rmse"].bands[band] == pytest.approx(np.sqrt(((guess - fact)[valid] ** 2).mean()), rel=1e-12)
        assert found["mae"].bands[band] == pytest.approx(np.abs(guess - fact)[valid].mean(), rel=1e-12)
        assert found["r"].bands[band] == pytest.approx(np.corrcoef(guess[valid], fact[valid])[0, 1], rel=1e-12)
        assert found["ssim"].bands[band] == pytest.approx(literal_ssim(guess, fact, valid), rel=1e-10)


def test_known_values():
    truth = np.zeros((1, 12, 12))
    truth[0, :, 6:] = 0.2
    found = assess(truth + 0.05, truth)
    assert found["rmse"].bands == pytest.approx((0.05,))
    assert found["mae"].bands == pytest.approx((0.05,))
    assert found["r"].bands == pytest.approx((1.0,))
    same = assess(truth, truth)
    assert (same["rmse"].mean, same["mae"].mean) == (0, 0)
    assert same["r"].mean == pytest.approx(1)
    assert same["ssim"].mean == pytest.approx(1)


def test_a_large_mean_keeps_the_digits_of_a_small_variance():
    predicted, truth = pair()
    near, far = assess(predicted, truth), assess(predicted + 1e6, truth + 1e6)
    assert far["r"].bands == pytest.approx(near["r"].bands, rel=1e-6)
    assert far["rmse"].bands == pytest.approx(near["rmse"].bands, rel=1e-6)


def test_nothing_valid_is_unknown_and_never_zero():
    predicted, truth = pair()
    found = assess(np.full_like(predicted, np.nan), truth)
    for name in METRICS:
        assert np.isnan(found[name].bands).all()
        assert np.isnan(found[name].mean)
    assert found.valid == 0
    assert len(found.reasons) == 8 * 3 + 2
    assert "RMSE of band 1 is unknown: no pixel is valid in both images." in found.reasons


@pytest.mark.parametrize("shape", [(1, 10, 40), (1, 4, 4), (1, 1, 1), (1, 5, 11)])
def test_an_image_smaller_than_the_window_has_no_ssim(shape):
    predicted, truth = pair(shape=shape)
    found = assess(predicted, truth)
    assert np.isnan(found["ssim"].mean)
    assert found["rmse"].mean > 0
    assert any(reason.startswith("SSIM of band 1 is unknown") for reason in found.reasons)


def test_a_constant_band_has_no_correlation_and_no_mean_correlation():
    predicted, truth = pair()
    predicted[1] = 0.3
    found = assess(predicted, truth, Terms(ratio=16))
    assert np.isnan(found["r"].bands).tolist() == [False, True, False]
    assert np.isnan(found["r"].mean)
    assert found.reasons == ("r of band 2 is unknown: one of the images is constant.",)
    truth[1] = 0.3
    assert np.isnan(assess(predicted, truth)["ssim"].bands[1])


def test_json_has_null_for_the_unknown():
    predicted, truth = pair()
    predicted[1] = 0.3
    plain = json.loads(json.dumps(assess(predicted, truth).as_dict(), allow_nan=False))
    assert plain["r"]["mean"] is None
    assert plain["r"]["bands"][1] is None
    assert plain["rmse"]["bands"][0] > 0
    assert set(plain) == {*METRICS, "valid", "reasons"}


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1), hole=st.floats(0, 0.5), rows=st.integers(1, 26), cols=st.integers(1, 26),
    factor=st.floats(0.01, 1e4),
)
def test_invariants(seed, hole, rows, cols, factor):
    predicted, truth = pair(seed, (2, rows, cols), hole)
    found = assess(predicted, truth)
    for rmse, mae in zip(found["rmse"].bands, found["mae"].bands, strict=True):
        assert np.isnan(rmse) or mae <= rmse * (1 + 1e-12)
    for name in ("r", "ssim", "uiqi", "edge", "variance"):
        values = np.array(found[name].bands)
        assert (np.isnan(values) | (np.abs(values) <= 1 + 1e-12)).all()
    # What lies under the mask of one image changes nothing in the other.
    hidden = np.where(np.isnan(predicted), 1e9, truth)
    for name in METRICS:
        np.testing.assert_array_equal(assess(predicted, hidden)[name].bands, found[name].bands)
    # A change of unit scales errors and leaves the rest; mirroring changes nothing.
    scaled = assess(predicted * factor, truth * factor)
    np.testing.assert_allclose(scaled["rmse"].bands, np.array(found["rmse"].bands) * factor, rtol=1e-9)
    np.testing.assert_allclose(scaled["ssim"].bands, found["ssim"].bands, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(scaled["r"].bands, found["r"].bands, rtol=1e-9, atol=1e-12)
    mirrored = assess(predicted[:, ::-1, ::-1], truth[:, ::-1, ::-1])
    np.testing.assert_allclose(mirrored["ssim"].bands, found["ssim"].bands, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(mirrored["rmse"].bands, found["rmse"].bands, rtol=1e-9)


def pattern(bands):
    """Integer images of 64 x 64 pixels whose scores against one another are known from other programs."""
    i, j = np.mgrid[:64, :64]
    blocks = 100 * ((i // 8 + j // 8) % 2)
    truth = [200 + 37 * b + ((7 * i + 13 * j + 5 * b) % 64) * (b + 1) + blocks for b in range(bands)]
    noise = [(3 * i + 5 * j + 11 * b) % 17 - 8 for b in range(bands)]
    return np.array(truth, float), np.array(noise, float)


@pytest.mark.parametrize(
    ("bands", "scores"),
    [
        (3, {"sam": 0.761207, "ergas": 0.363952, "uiqi": 0.996858, "rmse": 4.898979, "r": 0.996859, "ssim": 0.997466}),
        (4, {"sam": 0.677755, "ergas": 0.339348, "uiqi": 0.997266, "rmse": 4.898973, "r": 0.997268, "ssim": 0.997755}),
        (5, {"sam": 0.630970, "ergas": 0.319139, "uiqi": 0.997595, "rmse": 4.899089, "r": 0.997597, "ssim": 0.998000}),
        (8, {"sam": 0.505458, "ergas": 0.274989, "uiqi": 0.998256, "rmse": 4.899057, "r": 0.998258, "ssim": 0.998517}),
    ],
)
def test_scores_that_are_known(bands, scores):
    """With windows of 32 pixels for the quality index and 2047 as the range of the data for SSIM."""
    truth, noise = pattern(bands)
    found = assess(truth + noise, truth, Terms(ratio=4, window=32, data_range=2047.0))
    for name, value in scores.items():
        # The root mean square error was pooled over the bands.
        ours = np.sqrt(np.mean(np.square(found[name].bands))) if name == "rmse" else found[name].mean
        assert ours == pytest.approx(value, abs=6e-7), name


@pytest.mark.parametrize(
    ("change", "scores"),
    [
        (lambda truth: truth * 1.1, {"sam": 0, "ergas": 2.541148, "uiqi": 0.990971, "r": 1}),
        (lambda truth: truth + 50, {"sam": 1.382184, "ergas": 3.463473, "uiqi": 0.991710, "r": 1, "edge": 0}),
        (
            lambda truth: np.broadcast_to(truth.mean((1, 2), keepdims=True), truth.shape),
            {"sam": 4.012318, "ergas": 4.554507, "uiqi": 0, "edge": -1, "variance": -1},
        ),
        (lambda truth: truth, {"sam": 0, "ergas": 0, "uiqi": 1, "ssim": 1, "r": 1, "edge": 0, "variance": 0}),
    ],
    ids=["gain", "offset", "mean", "same"],
)
def test_changes_with_known_scores(change, scores):
    truth, _ = pattern(4)
    found = assess(change(truth), truth, Terms(ratio=4, window=32))
    for name, value in scores.items():
        assert found[name].mean == pytest.approx(value, abs=6e-7), name


def test_angle_and_relative_error_by_hand():
    """One spectrum at right angles, one zero, one at the angle whose cosine is 0.96."""
    truth = np.array([[(1, 2, 2), (2, 0, 0)], [(0, 0, 0), (3, 4, 0)]], float).transpose(2, 0, 1)
    predicted = np.array([[(1, 2, 2), (0, 2, 0)], [(1, 1, 1), (4, 3, 0)]], float).transpose(2, 0, 1)
    found = assess(predicted, truth, Terms(ratio=4))
    assert found["sam"].mean == pytest.approx(35.420068, abs=1e-6)
    assert found["ergas"].mean == pytest.approx(22.047928, abs=1e-6)
    assert np.sqrt(np.mean(np.square(found["rmse"].bands))) == pytest.approx(1.040833, abs=1e-6)


def test_constant_images():
    truth = np.full((2, 20, 20), 500.0)
    same, other = assess(truth, truth, Terms(ratio=4)), assess(truth * 1.1, truth, Terms(ratio=4))
    for name in ("rmse", "mae", "bias", "ergas", "sam", "edge", "variance"):
        assert same[name].mean == 0, name
    assert same["uiqi"].mean == 1
    assert other["ergas"].mean == pytest.approx(2.5)
    assert other["uiqi"].mean == pytest.approx(0.995475, abs=1e-6)
    assert other["sam"].mean == pytest.approx(0, abs=1e-9)
    assert np.isnan([same["r"].mean, other["r"].mean, same["ssim"].mean]).all()


def literal_windows(guess, fact, valid, size, value):
    """The mean of a value of every window without gaps."""
    found = []
    for row in range(guess.shape[0] - size + 1):
        for col in range(guess.shape[1] - size + 1):
            window = slice(row, row + size), slice(col, col + size)
            if valid[window].all():
                found.append(value(guess[window], fact[window]))
    return np.mean(found)


def literal_quality(x, y):
    covariance = ((x - x.mean()) * (y - y.mean())).mean()
    return 4 * covariance * x.mean() * y.mean() / ((x.var() + y.var()) * (x.mean() ** 2 + y.mean() ** 2))


def literal_edge(x, y):
    edge = [abs(a[0, 0] - a[1, 1]) + abs(a[0, 1] - a[1, 0]) for a in (x, y)]
    return (edge[0] - edge[1]) / (edge[0] + edge[1])


def test_metrics_of_windows_follow_their_definitions_around_gaps():
    predicted, truth = pair(hole=0.01)
    valid = np.isfinite(predicted).all(0)
    found = assess(predicted, truth)
    for band, (guess, fact) in enumerate(zip(predicted, truth, strict=True)):
        def mean(size, value, guess=guess, fact=fact):
            return pytest.approx(literal_windows(guess, fact, valid, size, value), rel=1e-9)

        assert found["uiqi"].bands[band] == mean(8, literal_quality)
        assert found["variance"].bands[band] == mean(8, lambda x, y: (x.var() - y.var()) / (x.var() + y.var()))
        assert found["edge"].bands[band] == mean(2, literal_edge)
        assert found["bias"].bands[band] == pytest.approx((guess - fact)[valid].mean(), rel=1e-12)


def test_smoothing_is_seen_as_missing_edges_and_texture():
    _, truth = pair()
    smooth = truth.copy()
    smooth[:, 1:-1, 1:-1] = sum(truth[:, i : i + 22, j : j + 29] for i in range(3) for j in range(3)) / 9
    found = assess(smooth, truth)
    assert found["edge"].mean < -0.3
    assert found["variance"].mean < -0.3
    rough = assess(truth, smooth)
    assert rough["edge"].mean == pytest.approx(-found["edge"].mean)
    assert rough["variance"].mean == pytest.approx(-found["variance"].mean)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 40), cols=st.integers(1, 40), tile=st.integers(3, 17))
def test_parts_add_up_to_the_whole(seed, rows, cols, tile):
    """Whatever the parts, every pixel and every window is counted once."""
    predicted, truth = pair(seed, (2, rows, cols), hole=0.02)
    valid = np.isfinite(predicted).all(0)
    terms = Terms(ratio=16)
    whole = assess(predicted, truth, terms)
    places = [(row, col) for row in range(0, rows, tile) for col in range(0, cols, tile)]
    own = {(row, col): (slice(row, row + tile), slice(col, col + tile)) for row, col in places}
    facts = reduce(add, (Facts.of(truth[(slice(None), *own[place])], valid[own[place]]) for place in places))
    sums = []
    for row, col in places:
        reach = slice(row, row + tile + terms.reach), slice(col, col + tile + terms.reach)
        shape = min(tile, rows - row), min(tile, cols - col)
        images = (image[(slice(None), *reach)] for image in (predicted, truth))
        sums.append(measure(*images, valid[reach], shape, facts, terms))
    found = conclude(reduce(add, sums), facts, rows * cols, terms)
    assert found.reasons == whole.reasons
    assert found.valid == whole.valid
    for name in METRICS:
        np.testing.assert_allclose(found[name].bands, whole[name].bands, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(found[name].mean, whole[name].mean, rtol=1e-9, atol=1e-12)


def test_errors_in_reflectance():
    predicted, truth = pair()
    plain, found = assess(predicted, truth), assess(predicted * 10000, truth * 10000, Terms(unit=10000))
    for name, metric in METRICS.items():
        assert metric.in_unit == (name in ("rmse", "mae", "bias"))
        np.testing.assert_allclose(found[name].bands, plain[name].bands, rtol=1e-9, atol=1e-12)


def test_one_band_has_no_angle_and_an_unknown_ratio_no_relative_error():
    predicted, truth = pair(shape=(1, 20, 20))
    found = assess(predicted, truth)
    assert found.reasons == (
        "SAM (°) is unknown: an angle needs two bands.", "ERGAS is unknown: the ratio of the pixel sizes is not known."
    )
    assert found["sam"].bands == found["ergas"].bands == ()
