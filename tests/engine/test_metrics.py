"""Metrics against scikit-image, against their definitions written out, and where they are not defined."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import structural_similarity

from stfusion.assessment._metrics import METRICS, assess


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
    ours = assess(predicted, truth).ssim
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
    found = assess(predicted, truth)
    for band, (guess, fact) in enumerate(zip(predicted, truth, strict=True)):
        assert found.rmse.bands[band] == pytest.approx(np.sqrt(((guess - fact) ** 2).mean()), rel=1e-12)
        assert found.mae.bands[band] == pytest.approx(np.abs(guess - fact).mean(), rel=1e-12)
        assert found.r.bands[band] == pytest.approx(np.corrcoef(guess.ravel(), fact.ravel())[0, 1], rel=1e-12)
    assert found.rmse.mean == pytest.approx(np.mean(found.rmse.bands))
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
        assert found.rmse.bands[band] == pytest.approx(np.sqrt(((guess - fact)[valid] ** 2).mean()), rel=1e-12)
        assert found.mae.bands[band] == pytest.approx(np.abs(guess - fact)[valid].mean(), rel=1e-12)
        assert found.r.bands[band] == pytest.approx(np.corrcoef(guess[valid], fact[valid])[0, 1], rel=1e-12)
        assert found.ssim.bands[band] == pytest.approx(literal_ssim(guess, fact, valid), rel=1e-10)


def test_known_values():
    truth = np.zeros((1, 12, 12))
    truth[0, :, 6:] = 0.2
    found = assess(truth + 0.05, truth)
    assert found.rmse.bands == pytest.approx((0.05,))
    assert found.mae.bands == pytest.approx((0.05,))
    assert found.r.bands == pytest.approx((1.0,))
    same = assess(truth, truth)
    assert (same.rmse.mean, same.mae.mean) == (0, 0)
    assert same.r.mean == pytest.approx(1)
    assert same.ssim.mean == pytest.approx(1)


def test_a_large_mean_keeps_the_digits_of_a_small_variance():
    predicted, truth = pair()
    near, far = assess(predicted, truth), assess(predicted + 1e6, truth + 1e6)
    assert far.r.bands == pytest.approx(near.r.bands, rel=1e-6)
    assert far.rmse.bands == pytest.approx(near.rmse.bands, rel=1e-6)


def test_nothing_valid_is_unknown_and_never_zero():
    predicted, truth = pair()
    found = assess(np.full_like(predicted, np.nan), truth)
    for name in METRICS:
        assert np.isnan(getattr(found, name).bands).all()
        assert np.isnan(getattr(found, name).mean)
    assert found.valid == 0
    assert len(found.reasons) == 12
    assert "RMSE of band 1 is unknown: no pixel is valid in both images." in found.reasons


@pytest.mark.parametrize("shape", [(1, 10, 40), (1, 4, 4), (1, 1, 1), (1, 5, 11)])
def test_an_image_smaller_than_the_window_has_no_ssim(shape):
    predicted, truth = pair(shape=shape)
    found = assess(predicted, truth)
    assert np.isnan(found.ssim.mean)
    assert found.rmse.mean > 0
    assert any(reason.startswith("SSIM of band 1 is unknown") for reason in found.reasons)


def test_a_constant_band_has_no_correlation_and_no_mean_correlation():
    predicted, truth = pair()
    predicted[1] = 0.3
    found = assess(predicted, truth)
    assert np.isnan(found.r.bands).tolist() == [False, True, False]
    assert np.isnan(found.r.mean)
    assert found.reasons == ("R of band 2 is unknown: one of the images is constant.",)
    truth[1] = 0.3
    assert np.isnan(assess(predicted, truth).ssim.bands[1])


def test_json_has_null_for_the_unknown():
    predicted, truth = pair()
    predicted[1] = 0.3
    plain = json.loads(json.dumps(assess(predicted, truth).as_dict(), allow_nan=False))
    assert plain["r"]["mean"] is None
    assert plain["r"]["bands"][1] is None
    assert plain["rmse"]["bands"][0] > 0
    assert set(plain) == {*METRICS, "valid", "reasons"}


def test_shapes_have_to_agree():
    with pytest.raises(ValueError, match="cannot be compared"):
        assess(np.zeros((1, 4, 4)), np.zeros((1, 4, 5)))
    with pytest.raises(ValueError, match="cannot be compared"):
        assess(np.zeros((4, 4)), np.zeros((4, 4)))


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1), hole=st.floats(0, 0.5), rows=st.integers(1, 26), cols=st.integers(1, 26),
    factor=st.floats(0.01, 1e4),
)
def test_invariants(seed, hole, rows, cols, factor):
    predicted, truth = pair(seed, (2, rows, cols), hole)
    found = assess(predicted, truth)
    for rmse, mae in zip(found.rmse.bands, found.mae.bands, strict=True):
        assert np.isnan(rmse) or mae <= rmse * (1 + 1e-12)
    for name in ("r", "ssim"):
        values = np.array(getattr(found, name).bands)
        assert (np.isnan(values) | (np.abs(values) <= 1)).all()
    # What lies under the mask of one image changes nothing in the other.
    hidden = np.where(np.isnan(predicted), 1e9, truth)
    for name in METRICS:
        np.testing.assert_array_equal(getattr(assess(predicted, hidden), name).bands, getattr(found, name).bands)
    # A change of unit scales errors and leaves the rest; mirroring changes nothing.
    scaled = assess(predicted * factor, truth * factor)
    np.testing.assert_allclose(scaled.rmse.bands, np.array(found.rmse.bands) * factor, rtol=1e-9)
    np.testing.assert_allclose(scaled.ssim.bands, found.ssim.bands, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(scaled.r.bands, found.r.bands, rtol=1e-9, atol=1e-12)
    mirrored = assess(predicted[:, ::-1, ::-1], truth[:, ::-1, ::-1])
    np.testing.assert_allclose(mirrored.ssim.bands, found.ssim.bands, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(mirrored.rmse.bands, found.rmse.bands, rtol=1e-9)
