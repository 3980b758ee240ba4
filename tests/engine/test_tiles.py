"""The tile runner by itself: which tiles there are, and what happens when one fails."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from makers import Said, write_raster
from stfusion import job
from stfusion.errors import OutOfMemory, UserError
from stfusion.raster.grids import Box
from stfusion.raster.source import Array
from stfusion.raster.tiles import Tile, run_tiles, tile_shape, tiles
from stfusion.run import Context


@given(st.integers(1, 900), st.integers(1, 900), st.integers(20, 500), st.integers(20, 500), st.integers(0, 60))
def test_tiles_cover_every_pixel_once_and_read_the_halo(
    rows: int, columns: int, height: int, width: int, halo: int
) -> None:
    covered = 0
    for inner, outer in tiles((rows, columns), (height, width), halo):
        covered += inner.shape[0] * inner.shape[1]
        assert outer.top == max(0, inner.top - halo)
        assert outer.bottom == min(rows, inner.bottom + halo)
        assert outer.left == max(0, inner.left - halo)
        assert outer.right == min(columns, inner.right + halo)
    assert covered == rows * columns


@given(
    st.integers(100, 50_000), st.integers(100, 50_000), st.integers(0, 100), st.integers(20, 500), st.integers(1, 64)
)
def test_tiles_fit_into_the_budget(rows: int, columns: int, halo: int, pixel_bytes: int, threads: int) -> None:
    budget = 2**28
    try:
        height, width = tile_shape((rows, columns), halo, pixel_bytes, budget, threads)
    except OutOfMemory:
        assert (2 * halo + 64) ** 2 * pixel_bytes * threads > budget * 0.9
        return
    assert (height + 2 * halo) * (width + 2 * halo) * pixel_bytes * threads <= budget


@pytest.fixture
def context(tmp_path: Path) -> Context:
    path = write_raster(tmp_path / "a.tif", np.ones((1, 8, 8), np.float32))
    inputs = {role: {"path": path} for role in ("fine", "coarse", "target")}
    plain = {"operation": "fuse", "method": "starfm", "inputs": inputs, "outputs": {"output": "o.tif"}, "threads": 2}
    return Context(job.parse(plain), Said())


def zeros(tile: Tile) -> Array:
    return np.zeros((1, *tile.inner.shape), np.float32)


def test_the_error_of_the_tile_that_failed_is_reported_and_ends_the_others(context: Context) -> None:
    """The second tile fails while the first, whose result is awaited, would go on for ever."""
    failed = threading.Event()

    def compute(tile: Tile) -> Array:
        if tile.inner.top == 0:
            failed.wait(10)
            while True:
                tile.advance(0.0)
        failed.set()
        raise UserError("the second tile")

    with pytest.raises(UserError, match="the second tile"):
        run_tiles(context, (4, 2), (2, 2), 0, compute, lambda box, values: None)


def test_an_error_of_writing_ends_the_tiles(context: Context) -> None:
    def write(box: Box, values: Array) -> None:
        raise UserError("the disk is full")

    def compute(tile: Tile) -> Array:
        while tile.inner.top > 0:
            tile.advance(0.0)
        return zeros(tile)

    with pytest.raises(UserError, match="the disk is full"):
        run_tiles(context, (6, 2), (2, 2), 0, compute, write)


def test_results_are_written_in_order(context: Context) -> None:
    written: list[Box] = []
    run_tiles(context, (50, 7), (3, 4), 0, zeros, lambda box, values: written.append(box))
    assert written == [inner for inner, _ in tiles((50, 7), (3, 4), 0)]
