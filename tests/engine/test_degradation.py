"""Simulated coarse images against a literal degradation, and made-up changes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from makers import write_raster
from stfusion.job import Input
from stfusion.raster.grids import Box
from stfusion.raster.source import Source, align
from stfusion.training._change import changed
from stfusion.training._degradation import RANGES, Sensor, draw_sensor

FINER = 16


def image(bands, rows, columns, seed=0):
    return np.random.default_rng(seed).random((bands, rows, columns)).astype(np.float32)


def literal(values, sensor, row, column):
    """What a coarse pixel sees of one band: the blurred scene, cut into small squares, averaged over the pixel."""
    sigma = sensor.blur * sensor.ratio
    small = np.repeat(np.repeat(values, FINER, 0), FINER, 1).astype(np.float64)
    weights = []
    for axis, index in enumerate((row, column)):
        place = (np.arange(small.shape[axis]) + 0.5) / FINER
        first = sensor.phase[axis] + (index + sensor.shift[axis]) * sensor.ratio
        points = first + (np.arange(200) + 0.5) / 200 * sensor.ratio
        if sigma:
            away = np.abs(place - points[:, None])
            weight = np.exp(-0.5 * (away / sigma) ** 2).sum(axis=0)
        else:
            weight = ((place >= first) & (place < first + sensor.ratio)).astype(float)
        weights.append(weight / weight.sum())
    return weights[0] @ small @ weights[1]


SENSORS = [
    Sensor(ratio=4),
    Sensor(ratio=5.5, phase=(1.25, 3.5)),
    Sensor(ratio=4, blur=0.5),
    Sensor(ratio=6.25, blur=0.3, phase=(2.0, 0.5), shift=(0.25, -0.375)),
]


@pytest.mark.parametrize("sensor", SENSORS)
def test_a_coarse_pixel_is_what_a_literal_sensor_sees(sensor):
    margin = sensor.margin
    values = image(1, 12 + 2 * margin, 20 + 2 * margin)
    seen = sensor.see(values, margin)[0]
    firsts = [int(np.floor((margin + 0.5 - phase) / sensor.ratio - 0.5)) - 1 for phase in sensor.phase]
    for row, column in [(0, 0), (2, 3), (seen.shape[0] - 1, seen.shape[1] - 1)]:
        wanted = literal(values[0], sensor, firsts[0] + row, firsts[1] + column)
        # The Gaussian is cut at three standard deviations.
        assert seen[row, column] == pytest.approx(wanted, abs=2e-3 if sensor.blur else 1e-6)


def test_plain_means_are_those_of_blocks():
    values, sensor = image(2, 96, 96), Sensor(ratio=4)
    seen = sensor.see(values, 16)
    means = values.reshape(2, 24, 4, 24, 4).mean((2, 4))
    assert seen == pytest.approx(means[:, 2:22, 2:22], abs=1e-6)


def test_the_fine_grid_gets_what_the_engine_resamples(tmp_path):
    """The cubic convolution is that of a fusion, to the rounding of float32."""
    values, sensor = image(2, 96, 80), Sensor(ratio=8)
    fine = Source("Fine", Input(write_raster(tmp_path / "fine.tif", values)))
    means = values.reshape(2, 12, 8, 10, 8).mean((2, 4))
    transform = fine.grid.affine * fine.grid.affine.scale(8)
    coarse = Source("Coarse", Input(write_raster(tmp_path / "coarse.tif", means, transform)))
    margin = sensor.margin
    wanted = align(coarse, fine, "cubic").read(Box(margin, 96 - margin, margin, 80 - margin))
    assert sensor.refine(sensor.see(values, margin), (96, 80), margin) == pytest.approx(wanted, abs=1e-6)


@given(st.integers(0, 2**32), st.floats(1, 32), st.integers(1, 40), st.integers(1, 40))
@settings(deadline=None, max_examples=40)
def test_a_constant_image_stays_constant_whatever_the_sensor(seed, ratio, rows, columns):
    sensor = draw_sensor(np.random.default_rng(seed), (ratio, ratio), 1)
    margin = sensor.margin
    values = np.full((1, rows + 2 * margin, columns + 2 * margin), 0.3, np.float32)
    for drift in (-RANGES.drift, RANGES.drift):
        seen = sensor.see(values, margin, (drift, drift))
        assert sensor.refine(seen, values.shape[1:], margin) == pytest.approx(0.3, abs=1e-5)


@given(st.integers(0, 2**32))
@settings(deadline=None, max_examples=20)
def test_the_margin_is_all_that_is_seen(seed):
    """More pixels around what is read change nothing."""
    sensor = draw_sensor(np.random.default_rng(seed), (2, 6), 1)
    margin, more = sensor.margin, 5
    wide = image(1, 20 + 2 * (margin + more), 20 + 2 * (margin + more))
    farther = Sensor(sensor.ratio, sensor.blur, tuple(phase + more for phase in sensor.phase), sensor.shift)
    inner = wide[:, more:-more, more:-more]
    for drift in ((RANGES.drift, -RANGES.drift), (0, 0)):
        seen, seen_farther = sensor.see(inner, margin, drift), farther.see(wide, margin + more, drift)
        assert seen == pytest.approx(seen_farther, abs=1e-9)


def test_invalid_pixels_take_no_part():
    sensor, margin = Sensor(ratio=4), 16
    values = np.full((1, 64, 64), 0.5, np.float32)
    values[0, 20, 20:23] = np.nan
    values[0, 32:36, 32:35] = np.nan
    fine = sensor.refine(sensor.see(values, margin), (64, 64), margin)[0]
    gaps = np.isnan(fine)
    assert gaps[16:20, 16:20].all()
    assert np.count_nonzero(gaps) == 16
    assert fine[~gaps] == pytest.approx(0.5, abs=1e-6)


def test_images_of_a_sample_share_all_but_a_little():
    rng = np.random.default_rng(3)
    sensor = draw_sensor(rng, (8, 8), 2)
    values = image(2, 48 + 2 * sensor.margin, 48 + 2 * sensor.margin)
    one, other = (sensor.expose(values, sensor.margin, rng) for _ in range(2))
    assert one.shape == (2, 48, 48)
    assert 0 < np.abs(one - other).mean() < 0.03
    elsewhere = draw_sensor(rng, (8, 8), 2).expose(values, sensor.margin, rng)
    assert np.abs(one - elsewhere).mean() > np.abs(one - other).mean()


@given(st.integers(0, 2**32))
@settings(max_examples=50)
def test_sensors_keep_to_their_ranges(seed):
    sensor = draw_sensor(np.random.default_rng(seed), (4, 32), 3)
    assert 4 <= sensor.ratio <= 32
    assert sensor.blur == 0 or RANGES.blur[0] <= sensor.blur <= RANGES.blur[1]
    assert max(map(abs, sensor.shift)) <= RANGES.shift
    assert len(sensor.gain) == len(sensor.offset) == 3
    assert all(0 <= phase <= sensor.ratio for phase in sensor.phase)


@pytest.mark.parametrize("bands", [1, 4])
def test_a_made_up_change_changes_a_part_and_keeps_gaps(bands):
    values = image(bands, 60, 70)
    values[:, 5:9, 5:9] = np.nan
    kept = values.copy()
    for seed in range(10):
        other = changed(values, np.random.default_rng(seed))
        assert np.array_equal(values, kept, equal_nan=True)
        assert np.array_equal(np.isnan(other), np.isnan(values))
        difference = np.abs(other - values)[:, ~np.isnan(values[0])]
        assert 0.003 < difference.mean() < 1
        assert other == pytest.approx(changed(values, np.random.default_rng(seed)), nan_ok=True)


def test_a_change_is_as_large_as_its_unit():
    values = image(1, 40, 40)
    small = changed(values, np.random.default_rng(1)) - values
    large = changed(2 * values, np.random.default_rng(1), 2.0) - 2 * values
    assert large == pytest.approx(2 * small, abs=1e-3)
