"""Quality without a reference: known values, the definitions written out, parts, gaps, flat images."""

from functools import reduce
from operator import add

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import literal_full_resolution as literal
from stfusion.assessment._full_resolution import HALF, Evidence, centred, correlation
from stfusion.assessment._hypercomplex import moments, product, q2n
from stfusion.raster.resolution import gaussian, mtf_sigma, smooth
from test_metrics import pattern

#: Gains of the bands in the known example.
GAINS = (0.34, 0.32, 0.30, 0.22)


@pytest.fixture(scope="module")
def example():
    """A multispectral image of 64 x 64 pixels, enlarged four times, a panchromatic one, and their fusion."""
    ms, _ = pattern(4)
    i, j = np.mgrid[:256, :256]
    pan = 300 + 2.0 * ((5 * i + 11 * j) % 97) + 80 * ((i // 16 + j // 16) % 2)
    enlarged = np.array([literal.interpolated(band) for band in ms])
    padded = np.pad(pan, 2, "symmetric")
    box = sum(padded[a : a + 256, b : b + 256] for a in range(5) for b in range(5)) / 25
    fused = enlarged + 0.5 * (pan - box)
    low = literal.interpolated(literal.shrunk(pan))
    assert (enlarged.mean(), enlarged.std()) == pytest.approx((384.25, 102.903188), abs=1e-5)
    assert (fused.std(), pan.mean(), low.std()) == pytest.approx((105.356670, 435.996155, 40.120598), abs=1e-5)
    return fused, enlarged, pan, low


def filtered(fused):
    return np.array([
        smooth(np.pad(band, 20, "edge"), gaussian(gain, 4)) for band, gain in zip(fused, GAINS, strict=False)
    ])


def evidence(fused, enlarged, pan=None, low=None, rounded=False):
    found = Evidence.none(len(fused))
    # In float64, since rounding hangs on the last digit of values that end in .5.
    sharp = [None if image is None else image[None] for image in (pan, low)]
    found.compare(fused, enlarged, filtered(fused), *sharp, rounded)
    return found


def test_values_of_the_research_toolboxes(example):
    found = evidence(*example, rounded=True).indices()
    # The toolboxes' filter is a window of the Gaussian in the frequency plane: .140030 and .569094.
    expected = {"d_lambda": 0.099747, "d_s": 0.338240, "qnr": 0.595751, "d_lambda_k": 0.140164}
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=6e-7)
    assert found["hqnr"] == pytest.approx((1 - 0.140164) * (1 - 0.338240), abs=1e-6)


def test_local_correlation_of_the_research_toolboxes(example):
    """They fill up with zeros, before the means are taken away and again after."""
    fused, _, pan, _ = example

    def padded(image):
        return np.pad(image, (HALF - 1, HALF))

    p = centred(padded(pan))
    values = [correlation(padded(centred(padded(band))), padded(p)) for band in fused]
    values = np.nan_to_num(np.clip(values, -1, 1))
    assert 1 - np.mean(values) == pytest.approx(0.295036, abs=1e-6)


def test_indices_are_those_of_the_definitions(example):
    fused, enlarged, pan, low = example
    found = evidence(fused, enlarged, pan, low).indices()
    blurred = np.array([literal.blurred(band, gain) for band, gain in zip(fused, GAINS, strict=True)])
    d_lambda, d_s = literal.d_lambda(fused, enlarged), literal.d_s(fused, enlarged, pan, low)
    khan = 1 - literal.q2n(enlarged, blurred)
    expected = {
        "d_lambda": d_lambda, "d_s": d_s, "qnr": (1 - d_lambda) * (1 - d_s), "d_lambda_k": khan,
        "hqnr": (1 - khan) * (1 - d_s),
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-9)


def test_local_correlation_is_that_of_its_definition():
    rng = np.random.default_rng(4)
    pan = rng.uniform(0, 1, (20, 23)).astype(np.float32)
    fused = (pan + rng.normal(0, 0.4, (2, 20, 23))).astype(np.float32)
    fused[:, 5, 6] = np.nan
    pan[15:, 15:] = 0.5
    found = Evidence.none(2)
    found.correlate(fused, pan[None])
    expected = literal.d_rho(fused.astype(float), pan.astype(float))
    assert 0.1 < expected < 0.9
    assert found.indices()["d_rho"] == pytest.approx(expected, rel=1e-9)


def test_the_product_of_hypercomplex_numbers():
    assert product(np.arange(1.0, 5), np.arange(5.0, 9)).tolist() == [-60, 12, 30, -24]
    found = product(np.arange(1.0, 9), np.arange(8.0, 0, -1))
    assert found.tolist() == [-104, 14, 12, -10, 152, -42, -4, 74]
    assert np.linalg.norm(found) == pytest.approx(204)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), bands=st.integers(1, 9))
def test_q2n_is_that_of_the_textbook_product(seed, bands):
    """Of one band it is the index of Wang and Bovik with the variances of a sample."""
    rng = np.random.default_rng(seed)
    reference = rng.uniform(50, 400, (bands, 32, 64))
    fused = reference + rng.normal(5, 60, reference.shape)
    values, flat = q2n(moments(reference, fused, np.ones((1, 2), bool)))
    assert flat == 0
    assert values.mean() == pytest.approx(literal.q2n(reference, fused), rel=1e-9)


def test_a_block_that_is_invalid_in_one_image_counts_in_none(example):
    fused, enlarged, pan, low = (image.copy() for image in example)
    valid = np.ones(pan.shape, bool)
    for place, image in zip(((3, 3), (40, 100), (130, 7), (200, 200)), (fused, enlarged, pan, low), strict=True):
        image[(..., *place)] = np.nan
        valid[place] = False
    found = evidence(fused, enlarged, pan, low)
    assert found.blocks.tolist() == [60, 60]
    values = found.indices()
    assert values["d_lambda"] == pytest.approx(literal.d_lambda(fused, enlarged, valid), rel=1e-9)
    assert values["d_s"] == pytest.approx(literal.d_s(fused, enlarged, pan, low, valid), rel=1e-9)


def test_parts_add_up(example):
    fused, enlarged, pan, low = (np.atleast_3d(image.T).T for image in example)
    seen = filtered(fused)
    parts = []
    for top, left in ((0, 0), (0, 96), (160, 0), (160, 96)):
        part = Evidence.none(4)
        place = np.s_[:, top : 256 if top else 160, left : 256 if left else 96]
        part.compare(*(image[place] for image in (fused, enlarged, seen, pan, low)), False)
        parts.append(part)
    found, whole = reduce(add, parts).indices(), evidence(*example).indices()
    assert np.isnan(found.pop("d_rho"))
    assert np.isnan(whole.pop("d_rho"))
    assert found == pytest.approx(whole, rel=1e-12)


def test_what_is_not_given_is_unknown_and_what_is_given_has_a_reason(example):
    fused, enlarged, _, _ = example
    found = evidence(fused, enlarged)
    values = found.indices()
    assert {name for name, value in values.items() if np.isnan(value)} == {"d_s", "qnr", "hqnr", "d_rho"}
    assert found.reasons(coarse=True, pan=False) == []
    small = evidence(fused[:1, :20], enlarged[:1, :20])
    assert np.isnan([*small.indices().values()]).all()
    assert "no block of 32 x 32 pixels" in small.reasons(coarse=True, pan=False)[0]
    assert "two bands" in evidence(fused[:1], enlarged[:1]).reasons(coarse=True, pan=False)[0]
    assert "D_rho" in small.reasons(coarse=False, pan=True)[0]


def test_flat_images_have_no_division_by_zero():
    """Both flat and alike: nothing is lost."""
    flat = np.full((3, 64, 64), 500.0)
    found = evidence(flat, flat, flat[0], flat[0]).indices()
    assert (found["d_lambda"], found["d_s"], found["qnr"]) == (0, 0, 1)
    assert found["hqnr"] == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize(("gain", "sigma", "centre"), [(0.14, 2.587934, 0.02376368), (0.5, 1.536603, 0.06740571)])
def test_the_filter_of_a_sensor(gain, sigma, centre):
    assert mtf_sigma(gain, 4) == pytest.approx(sigma, abs=1e-6)
    weights = gaussian(gain, 4)
    assert weights[len(weights) // 2] ** 2 == pytest.approx(centre, abs=2e-6)
