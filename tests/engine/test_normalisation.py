"""Normalisation of images for networks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stfusion.networks._normalisation import WIDENED, Normalisation, from_ranges, from_samples, sample_of, value_range
from stfusion.raster.grids import Box


class Image:
    """An image in memory that remembers what was read of it."""

    def __init__(self, values):
        self.values, self.windows = values, []
        self.shape = values.shape[1:]

    def read(self, box):
        self.windows.append(box)
        return self.values[:, box.top : box.bottom, box.left : box.right]


def values(*shape, low=0.0, high=1.0, seed=0):
    return np.random.default_rng(seed).uniform(low, high, shape).astype(np.float32)


@given(
    st.floats(-1e4, 1e4), st.floats(1e-2, 1e4), st.booleans(), st.sampled_from(["scene", "stored"]),
)
def test_what_is_applied_is_undone(low, size, symmetric, kind):
    image = values(3, 20, 20) * size + low
    normalisation = from_samples([image.reshape(3, -1)], symmetric, kind)
    back = normalisation.undo(normalisation.apply(image))
    assert np.abs(back - image).max() <= 1e-5 * max(abs(low), size)


@pytest.mark.parametrize(("symmetric", "ends"), [(False, (0, 1)), (True, (-1, 1))])
def test_the_percentiles_of_stored_values_are_the_ends(symmetric, ends):
    sample = values(2, 50_000, low=3, high=7)
    low, high = np.percentile(sample[1], (0.1, 99.9))
    one = from_samples([sample[:, :20_000], sample[:, 20_000:]], symmetric, "stored")
    assert one.apply(np.array([[[0.0, 0.0]], [[low, high]]]))[1, 0] == pytest.approx(ends, abs=1e-5)


def test_a_scene_covers_every_image_and_more():
    dark, bright = values(1, 1000, high=0.1), values(1, 10, low=0.8, high=0.9, seed=1)
    one = from_samples([dark, bright], False)
    low, high = np.percentile(dark, 0.1), np.percentile(bright, 99.9)
    assert one.kind == "scene"
    assert one.offset[0] == pytest.approx(low - WIDENED * (high - low))
    assert one.scale[0] == pytest.approx((1 + 2 * WIDENED) * (high - low))


def test_the_unit_of_a_scene_does_not_matter():
    sample, image = values(2, 1000), values(2, 8, 8, seed=1)
    one, other = from_samples([sample], True), from_samples([sample * 10_000 - 300], True)
    assert other.apply(image * 10_000 - 300) == pytest.approx(one.apply(image), abs=1e-4)


def test_invalid_values_do_not_count():
    sample = values(1, 1000)
    with_gaps = np.concatenate([sample, np.full((1, 5000), np.nan, np.float32)], axis=1)
    assert from_samples([with_gaps], False) == from_samples([sample], False)


def test_a_band_without_valid_values_has_no_range():
    with pytest.raises(ValueError, match="no range"):
        value_range(np.array([[1.0, 2.0], [np.nan, np.nan]]))


def test_a_constant_band_stays_finite():
    one = from_samples([np.full((1, 10), 0.3, np.float32)], False, "stored")
    assert one.apply(np.full((1, 2, 2), 0.3, np.float32)) == pytest.approx(0, abs=1e-6)


def test_bands_have_to_be_as_many():
    with pytest.raises(ValueError, match="2 band"):
        from_samples([values(2, 10)], False).apply(values(3, 4, 4))


def test_a_band_alone_is_normalised_as_with_the_others():
    one, image = from_samples([values(3, 100)], False, "stored"), values(3, 4, 4, seed=1)
    assert one.band(1).apply(image[1:2]) == pytest.approx(one.apply(image)[1:2])
    assert from_ranges([value_range(values(3, 100))], False, "stored") == one
    assert Normalisation("scene").offset == ()


def test_a_sample_of_a_large_image_reads_little_and_everywhere():
    image = Image(values(1, 2000, 3000))
    sample = sample_of(image)
    assert sample.shape == (1, 8 * 8 * 32 * 32)
    assert max(box.bottom for box in image.windows) == 2000
    assert min(box.left for box in image.windows) == 0
    assert max(box.right for box in image.windows) == 3000


def test_a_sample_of_a_small_image_or_window_has_all_of_it():
    image = Image(values(2, 70, 90))
    assert np.sort(sample_of(image)[0]) == pytest.approx(np.sort(image.values[0].ravel()))
    assert sample_of(image, Box(10, 20, 5, 45)).shape == (2, 400)
