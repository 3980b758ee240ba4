"""The local thin-plate spline against scipy's through all centres, and its behaviour at edges and gaps."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.interpolate import RBFInterpolator

from stfusion.fusion._blocks import Blocks
from stfusion.fusion._spline import Spline
from stfusion.raster.grids import Box


def lay(ratio: int, shape: tuple[int, int], top: int = 0, left: int = 0, cut: int = 0) -> Blocks:
    """Blocks whose first ones reach beyond the scene by ``top`` and ``left`` pixels, and the last ones by ``cut``."""
    fine = shape[0] * ratio - top - cut, shape[1] * ratio - left - cut
    return Blocks(ratio, -top, -left, shape, fine)


def interpolate(blocks: Blocks, values: np.ndarray, window: Box | None = None) -> np.ndarray:
    """Interpolate a whole grid of values (n, block rows, block columns), or a window of it."""
    window = window or Box(0, blocks.shape[0], 0, blocks.shape[1])
    spline = Spline(blocks)
    around = spline.around(window)
    return spline.interpolate(values[:, around.top : around.bottom, around.left : around.right], window)


def through_all(blocks: Blocks, values: np.ndarray) -> np.ndarray:
    """scipy's spline through all centres that have a value, on all fine pixels."""
    s = blocks.ratio
    places = np.argwhere(~np.isnan(values[0]))
    centres = places * s + (s - 1) / 2 + [blocks.top, blocks.left]
    spline = RBFInterpolator(centres, values[:, places[:, 0], places[:, 1]].T, kernel="thin_plate_spline")
    pixels = np.argwhere(np.ones(blocks.fine_shape))
    return spline(pixels.astype(float)).T.reshape(len(values), *blocks.fine_shape)


@pytest.mark.parametrize(
    "blocks",
    [lay(4, (9, 9)), lay(5, (4, 9), top=2, left=3, cut=1), lay(16, (3, 5)), lay(2, (7, 6), top=1), lay(33, (3, 3))],
    ids=str,
)
def test_through_all_centres_it_is_the_exact_spline(blocks: Blocks) -> None:
    values = np.random.default_rng(1).random((2, *blocks.shape)).astype(np.float32)
    np.testing.assert_allclose(interpolate(blocks, values), through_all(blocks, values), atol=2e-6)


def test_gaps_are_left_out_and_stay_gaps() -> None:
    blocks = lay(5, (8, 9), top=2, cut=2)
    values = np.random.default_rng(2).random((1, *blocks.shape)).astype(np.float32)
    gaps = np.random.default_rng(3).random(blocks.shape) < 0.3
    values[:, gaps] = np.nan
    window = Box(0, blocks.shape[0], 0, blocks.shape[1])
    missing = blocks.spread(gaps, window, blocks.pixels(window))
    expected = np.where(missing, np.nan, through_all(blocks, values))
    np.testing.assert_allclose(interpolate(blocks, values), expected, atol=2e-6)


def test_far_centres_hardly_matter() -> None:
    """Noise is the worst case: the local spline differs from the one through all centres by a few per cent of it."""
    blocks = lay(4, (24, 21))
    values = np.random.default_rng(4).standard_normal((1, *blocks.shape)).astype(np.float32)
    difference = interpolate(blocks, values) - through_all(blocks, values)
    assert np.sqrt((difference**2).mean()) < 0.01
    assert np.abs(difference).max() < 0.1


def test_centres_and_planes_are_kept() -> None:
    """With an odd ratio a pixel lies on each centre; a plane is its own spline, at edges and across gaps too."""
    blocks = lay(3, (12, 13))
    y, x = np.mgrid[:36, :39]
    plane = (0.3 + 0.01 * y - 0.02 * x).astype(np.float32)
    values = plane[1::3, 1::3].copy()[None]
    values[0, 4:6, 3] = np.nan
    fine = interpolate(blocks, values)
    np.testing.assert_allclose(fine[0, 1::3, 1::3], values[0], atol=1e-6)
    np.testing.assert_allclose(fine[0], np.where(np.isnan(fine[0]), np.nan, plane), atol=1e-6)


def test_a_window_has_the_bits_of_the_whole() -> None:
    blocks = lay(3, (20, 22), top=1, left=2)
    values = np.random.default_rng(5).random((3, *blocks.shape)).astype(np.float32)
    values[:, np.random.default_rng(6).random(blocks.shape) < 0.05] = np.nan
    whole = interpolate(blocks, values)
    for window in (Box(0, 3, 0, 22), Box(7, 13, 5, 6), Box(15, 20, 11, 22)):
        pixels = blocks.pixels(window)
        part = whole[:, pixels.top : pixels.bottom, pixels.left : pixels.right]
        np.testing.assert_array_equal(interpolate(blocks, values, window), part)


def test_points_on_a_line_keep_their_own_values() -> None:
    blocks = lay(4, (3, 3))
    values = np.full((1, 3, 3), np.nan, np.float32)
    values[0, 1] = (1.0, 2.0, 5.0)
    fine = interpolate(blocks, values)
    np.testing.assert_array_equal(fine[0, 4:8], np.repeat([[1.0, 2.0, 5.0]], 4, axis=1).repeat(4, axis=0))
    assert np.isnan(fine[0, :4]).all()
