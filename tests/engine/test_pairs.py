"""How the predictions of two pairs become one."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from stfusion.fusion._blocks import Blocks
from stfusion.fusion._pairs import combine, mean_square_change
from stfusion.raster.grids import Box

BLOCKS, WHOLE = Blocks(4, 0, 0, (6, 7), (24, 28)), Box(0, 24, 0, 28)


def coarse_scene(change: np.ndarray) -> Any:
    """A stand-in for a scene's coarse images, of which that of the pair is 0."""
    return SimpleNamespace(
        blocks=BLOCKS,
        target=lambda box: change[:, box.top : box.bottom, box.left : box.right],
        pair=lambda number, box: np.zeros((len(change), *box.shape), np.float32),
    )


def test_a_change_that_is_the_same_everywhere() -> None:
    change = np.broadcast_to(np.float32([[[0.25]], [[-0.5]]]), (2, 6, 7))
    found = mean_square_change(coarse_scene(change), 0, WHOLE)
    np.testing.assert_allclose(found, np.full((24, 28), (0.0625 + 0.25) / 2), rtol=1e-6)


def test_changes_of_both_signs_do_not_cancel() -> None:
    signs = (-1.0) ** np.add.outer(np.arange(6), np.arange(7))
    found = mean_square_change(coarse_scene((0.5 * signs[None]).astype(np.float32)), 0, WHOLE)
    np.testing.assert_allclose(found, 0.25, rtol=1e-6)


def test_gaps_do_not_count_and_windows_of_pixels_agree() -> None:
    rng = np.random.default_rng(1)
    change = rng.random((2, 6, 7)).astype(np.float32)
    change[:, 2, 3] = np.nan
    whole = mean_square_change(coarse_scene(change), 0, WHOLE)
    assert np.isnan(whole[8:12, 12:16]).all()
    assert np.isnan(whole).sum() == 16
    part = mean_square_change(coarse_scene(change), 0, Box(5, 13, 9, 26))
    np.testing.assert_array_equal(part, whole[5:13, 9:26])


@pytest.mark.parametrize("unit", [1.0, 10_000.0])
def test_the_mean_of_pairs_whose_errors_grow_with_the_change(unit: float) -> None:
    """Three times the change: a ninth of the weight. A pair without any change is taken as it is."""
    one, other = (np.full((2, 1, 2), value * unit, np.float32) for value in (0.1, 0.2))
    changes = [np.float32([[0.01, 0.0]]) * np.float32(unit**2), np.float32([[0.09, 0.09]]) * np.float32(unit**2)]
    combined = combine([one, other], changes, unit) / unit
    np.testing.assert_allclose(combined, np.broadcast_to([[[0.11, 0.1]]], (2, 1, 2)), rtol=1e-5)


def test_what_one_pair_does_not_know_the_other_serves() -> None:
    one = np.float32([[[np.nan, 0.1, 0.1, np.nan]]])
    other = np.float32([[[0.2, np.nan, 0.2, np.nan]]])
    change = np.float32([[0.01, 0.01, np.nan, 0.01]])
    combined = combine([one, other], [change, np.full((1, 4), 0.01, np.float32)], 1.0)
    np.testing.assert_array_equal(combined, np.float32([[[0.2, 0.1, 0.2, np.nan]]]))
