"""The coarse grid: blocks against brute force, and how they are laid over native, displaced and resampled images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st

from makers import CRS, FINE, write_raster
from stfusion.errors import UserError
from stfusion.fusion._blocks import MARGIN, Blocks, CoarseScene
from stfusion.fusion._scene import Pair, Scene
from stfusion.job import Input
from stfusion.raster.grids import Box
from stfusion.raster.source import AlignedSource, Source

#: Blocks of 5 x 5 pixels, the first of which reach beyond the scene by 2 rows and 3 columns.
GRID = Blocks(5, -2, -3, (6, 5), (27, 20))


def block_of(y: int, x: int, grid: Blocks = GRID) -> tuple[int, int]:
    return (y - grid.top) // grid.ratio, (x - grid.left) // grid.ratio


@st.composite
def windows(draw: Any) -> Box:
    """Any window of the grid's fine pixels."""
    top, left = draw(st.integers(0, 26)), draw(st.integers(0, 19))
    return Box(top, draw(st.integers(top + 1, 27)), left, draw(st.integers(left + 1, 20)))


@given(window=windows(), seed=st.integers(0, 99))
def test_sums_means_and_spread_equal_brute_force(window: Box, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.random((2, *window.shape))
    values[:, rng.random(window.shape) < 0.3] = np.nan
    covered = GRID.covering(window)
    members: dict[tuple[int, int], list[np.ndarray]] = {}
    for y, x in np.ndindex(window.shape):
        members.setdefault(block_of(window.top + y, window.left + x), []).append(values[:, y, x])
    assert set(members) == {(covered.top + i, covered.left + j) for i, j in np.ndindex(covered.shape)}
    means, counts = GRID.means(values, window)
    sums = GRID.sums(np.nan_to_num(values), window)
    for (i, j), own in members.items():
        valid = [pixel for pixel in own if not np.isnan(pixel[0])]
        place = i - covered.top, j - covered.left
        assert counts[place] == len(valid)
        expected = np.mean(valid, axis=0) if valid else [np.nan, np.nan]
        np.testing.assert_allclose(means[(slice(None), *place)], expected)
        np.testing.assert_allclose(sums[(slice(None), *place)], np.sum(valid, axis=0) if valid else 0, atol=1e-12)
    spread = GRID.spread(means, covered, window)
    for y, x in np.ndindex(window.shape):
        i, j = block_of(window.top + y, window.left + x)
        np.testing.assert_array_equal(spread[:, y, x], means[:, i - covered.top, j - covered.left])


def test_pixels_of_blocks_are_cut_at_the_scene() -> None:
    assert GRID.pixels(Box(0, 2, 0, 1)) == Box(0, 8, 0, 2)
    assert GRID.pixels(Box(5, 6, 4, 5)) == Box(23, 27, 17, 20)
    assert GRID.offset(Box(0, 2, 0, 1), Box(0, 8, 0, 2)) == (-2, -3)


def test_parts_cover_every_block_once() -> None:
    grid = Blocks(16, -5, 0, (70, 40), (1110, 640))
    seen = np.zeros(grid.shape, int)
    for blocks, pixels in grid.parts():
        seen[blocks.top : blocks.bottom, blocks.left : blocks.right] += 1
        assert pixels == grid.pixels(blocks)
    assert (seen == 1).all()


def test_upsampling_is_cubic_convolution() -> None:
    """Keys' kernel (a = -1/2), a pixel at a time, with the outermost blocks repeated."""
    values = np.random.default_rng(1).random((1, *GRID.shape)).astype(np.float32)

    def kernel(d: float) -> float:
        return (1.5 * d - 2.5) * d * d + 1 if d <= 1 else ((2.5 - 0.5 * d) * d - 4) * d + 2 if d < 2 else 0.0

    expected = np.zeros(GRID.fine_shape)
    for y, x in np.ndindex(GRID.fine_shape):
        row, column = (y + 0.5 - GRID.top) / 5 - 0.5, (x + 0.5 - GRID.left) / 5 - 0.5
        for i in range(int(np.floor(row)) - 1, int(np.floor(row)) + 3):
            for j in range(int(np.floor(column)) - 1, int(np.floor(column)) + 3):
                weight = kernel(abs(i - row)) * kernel(abs(j - column))
                expected[y, x] += weight * values[0, min(max(i, 0), 5), min(max(j, 0), 4)]
    fine = GRID.upsample(values, Box(0, 6, 0, 5), Box(0, 27, 0, 20))
    np.testing.assert_allclose(fine[0], expected, atol=1e-6)


def test_upsampling_around_gaps_and_in_windows() -> None:
    """A plane stays one wherever the blocks around are known; a gap is its own block only."""
    grid = Blocks(4, -1, -2, (9, 8), (33, 28))
    i, j = np.mgrid[:9, :8]
    values = (0.2 + 0.03 * i - 0.01 * j).astype(np.float32)[None]
    values[:, 4, 4] = np.nan
    whole = grid.upsample(values, Box(0, 9, 0, 8), Box(0, 33, 0, 28))
    missing = grid.spread(np.isnan(values), Box(0, 9, 0, 8), Box(0, 33, 0, 28))
    np.testing.assert_array_equal(np.isnan(whole), missing)
    y, x = np.mgrid[:33, :28]
    plane = 0.2 + 0.03 * ((y + 1.5) / 4 - 0.5) - 0.01 * ((x + 2.5) / 4 - 0.5)
    far = np.zeros((33, 28), bool)
    far[7:9, 6:] = True
    np.testing.assert_allclose(whole[0][far & (x < 24)], plane[far & (x < 24)], atol=1e-6)
    window = Box(10, 21, 13, 20)
    blocks = grid.covering(window).grown(MARGIN, grid.shape)
    part = values[:, blocks.top : blocks.bottom, blocks.left : blocks.right]
    np.testing.assert_array_equal(grid.upsample(part, blocks, window), whole[:, 10:21, 13:20])


class Said:
    """A context with a ratio."""

    def __init__(self, ratio: int) -> None:
        self.options = {"ratio": ratio}


def scene(folder: Path, fine_shape: tuple[int, int], coarse: np.ndarray, transform: Affine, crs: str = CRS) -> Scene:
    fine = Source("Fine image", Input(write_raster(folder / "fine.tif", np.zeros((1, *fine_shape), np.float32))))
    source = Source("Coarse image", Input(write_raster(folder / "coarse.tif", coarse, transform, crs)))
    image = AlignedSource(source, fine.grid, "nearest")
    return Scene(fine, [Pair(AlignedSource(fine, fine.grid, "nearest"), image)], image)


def lay(*arguments: Any, ratio: int = 0) -> CoarseScene:
    context: Any = Said(ratio)
    return CoarseScene(scene(*arguments), context)


def everything(coarse: CoarseScene) -> np.ndarray:
    return coarse.target(Box(0, coarse.blocks.shape[0], 0, coarse.blocks.shape[1]))


@pytest.mark.parametrize("ratio", [2, 7, 33])
@pytest.mark.parametrize(("top", "left"), [(0, 0), (-1, 0), (0, -1), (-1, -1)])
def test_a_nested_grid_is_used_as_it_is(tmp_path: Path, ratio: int, top: int, left: int) -> None:
    """Whatever its origin, and however far it reaches beyond the fine image; invalid coarse pixels stay invalid."""
    values = np.random.default_rng(2).random((1, 7, 6)).astype(np.float32)
    values[0, 3, 2] = np.nan
    # One coarse pixel more than needed above and to the left.
    transform = FINE @ Affine.translation(left - ratio, top - ratio) @ Affine.scale(ratio)
    shape = 4 * ratio + 1, 3 * ratio + 1
    laid = lay(tmp_path, shape, values, transform)
    rows, columns = -(-(shape[0] - top) // ratio), -(-(shape[1] - left) // ratio)
    assert laid.blocks == Blocks(ratio, top, left, (rows, columns), shape)
    np.testing.assert_array_equal(everything(laid), values[:, 1 : 1 + rows, 1 : 1 + columns])


def test_beyond_the_coarse_image_there_is_nothing(tmp_path: Path) -> None:
    values = np.random.default_rng(3).random((1, 3, 3)).astype(np.float32)
    laid = lay(tmp_path, (20, 16), values, FINE @ Affine.translation(4, 4) @ Affine.scale(4))
    assert laid.blocks == Blocks(4, 0, 0, (5, 4), (20, 16))
    expected = np.full((1, 5, 4), np.nan, np.float32)
    expected[:, 1:4, 1:4] = values
    np.testing.assert_array_equal(everything(laid), expected)


@pytest.mark.parametrize(("scale", "shift", "ratio"), [(3.4, 0.0, 0), (6.0, 0.3, 0), (4.0, 0.0, 8)])
def test_other_grids_are_averaged_by_area(tmp_path: Path, scale: float, shift: float, ratio: int) -> None:
    """A plane keeps its values at the centres of the blocks, whatever the pixels it is made of."""
    place = Affine.translation(-12 + shift, -12 + shift) @ Affine.scale(scale)
    i, j = np.mgrid[:40, :40]
    x, y = place @ (j + 0.5, i + 0.5)
    laid = lay(tmp_path, (60, 50), (0.01 * x - 0.02 * y)[None].astype(np.float32), FINE @ place, ratio=ratio)
    blocks = laid.blocks
    assert blocks.ratio == (ratio or round(scale))
    assert (blocks.top, blocks.left) == (0, 0)
    i, j = np.mgrid[: blocks.shape[0], : blocks.shape[1]]
    x, y = blocks.ratio * (j + 0.5), blocks.ratio * (i + 0.5)
    np.testing.assert_allclose(everything(laid)[0], 0.01 * x - 0.02 * y, atol=0.015 * scale)


def test_other_coordinate_systems_are_warped(tmp_path: Path) -> None:
    """Degrees instead of metres: the ratio is the nearest whole one."""
    values = np.full((1, 40, 40), 0.25, np.float32)
    degrees = Affine(0.004, 0.0, 14.95, 0.0, -0.0027, 46.99)
    laid = lay(tmp_path, (60, 50), values, degrees, "EPSG:4326")
    assert laid.blocks.ratio == 10
    np.testing.assert_allclose(everything(laid), 0.25)


def test_coarse_images_on_the_fine_grid_are_averaged_back(tmp_path: Path) -> None:
    """Partial blocks at the far edges have the mean of what there is; NaN does not count."""
    values = np.random.default_rng(4).random((2, 23, 18)).astype(np.float32)
    values[:, 3:6, 2] = values[:, 8:12, 4:8] = np.nan
    laid = lay(tmp_path, (23, 18), values, FINE, ratio=4)
    assert laid.blocks == Blocks(4, 0, 0, (6, 5), (23, 18))
    means = everything(laid)
    for i, j in np.ndindex(6, 5):
        own = values[:, 4 * i : 4 * i + 4, 4 * j : 4 * j + 4].reshape(2, -1)
        own = own[:, ~np.isnan(own[0])]
        expected = own.mean(axis=1) if own.size else [np.nan, np.nan]
        np.testing.assert_allclose(means[:, i, j], expected, rtol=1e-6)
    np.testing.assert_array_equal(laid.pair(0, Box(2, 5, 1, 3)), means[:, 2:5, 1:3])


@pytest.mark.parametrize(("scale", "words"), [(1.0, "ratio of 1, and at least 2"), (1.3, "ratio of 1.3, and at")])
def test_a_ratio_below_two_is_refused(tmp_path: Path, scale: float, words: str) -> None:
    with pytest.raises(UserError, match=words):
        lay(tmp_path, (20, 20), np.zeros((1, 20, 20), np.float32), FINE @ Affine.scale(scale))


def test_too_few_coarse_pixels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"\(20 x 31 pixels\) covers 2 x 4 coarse pixels"):
        lay(tmp_path, (31, 20), np.zeros((1, 4, 4), np.float32), FINE @ Affine.scale(10))
