"""The baselines: exact by definition, on coarse images of their own grid, with gaps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from affine import Affine

from makers import FINE, read_raster, run_method, write_raster

COARSE = FINE @ Affine.scale(8)
BASELINES = ("copy_fine", "upsampled_coarse", "fine_plus_difference")


@pytest.fixture
def scene(tmp_path: Path) -> dict[str, np.ndarray]:
    """Fine and coarse images (bands, rows, columns) on the fine grid, with a gap in each; written as they are."""
    rng = np.random.default_rng(0)
    images = {name: rng.random((2, 40, 48)).astype(np.float32) for name in ("fine", "coarse", "target")}
    for place, image in enumerate(images.values()):
        image[:, 3 + 8 * place, 5] = np.nan
    for name, image in images.items():
        write_raster(tmp_path / f"{name}.tif", image)
    return images


def run(folder: Path, method: str) -> np.ndarray:
    paths = {name: str(folder / f"{name}.tif") for name in ("fine", "coarse", "target")}
    outcome = run_method(method, output=str(folder / "fused.tif"), **paths)
    assert outcome.code == 0, outcome.said.lines
    return read_raster(folder / "fused.tif")


def test_each_is_its_definition(tmp_path: Path, scene: dict[str, np.ndarray]) -> None:
    np.testing.assert_array_equal(run(tmp_path, "copy_fine"), scene["fine"])
    np.testing.assert_array_equal(run(tmp_path, "upsampled_coarse"), scene["target"])
    expected = scene["fine"] + (scene["target"] - scene["coarse"])
    np.testing.assert_array_equal(run(tmp_path, "fine_plus_difference"), expected)
    assert np.isnan(expected).sum() == 6


def test_no_change_leaves_the_fine_image(tmp_path: Path, scene: dict[str, np.ndarray]) -> None:
    write_raster(tmp_path / "target.tif", scene["coarse"])
    valid = ~np.isnan(scene["coarse"])
    np.testing.assert_array_equal(run(tmp_path, "fine_plus_difference")[valid], scene["fine"][valid])


def test_uniform_change_is_exact_on_a_coarse_grid(tmp_path: Path) -> None:
    fine = np.random.default_rng(1).random((1, 40, 48)).astype(np.float32)
    write_raster(tmp_path / "fine.tif", fine)
    for name, value in (("coarse", 0.25), ("target", 0.375)):
        write_raster(tmp_path / f"{name}.tif", np.full((1, 5, 6), value, np.float32), COARSE)
    np.testing.assert_allclose(run(tmp_path, "fine_plus_difference"), fine + 0.125, atol=1e-6)
    np.testing.assert_allclose(run(tmp_path, "upsampled_coarse"), np.full((1, 40, 48), 0.375), atol=1e-6)


@pytest.mark.parametrize("method", BASELINES)
def test_result_does_not_depend_on_the_tiles(
    tmp_path: Path, scene: dict[str, np.ndarray], method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stfusion.fusion import _fuse

    whole = run(tmp_path, method)
    monkeypatch.setattr(_fuse, "tile_shape", lambda *_: (7, 11))
    np.testing.assert_array_equal(run(tmp_path, method), whole)
