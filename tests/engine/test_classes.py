"""Classes of the fine image: k-means against scikit-learn's, the user's map, and counts on the coarse grid."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sklearn.cluster import KMeans

from makers import FINE, run_method, write_raster
from stfusion.errors import UserError
from stfusion.fusion._blocks import Blocks
from stfusion.fusion._classes import Classes, cluster, count_classes, nearest
from stfusion.job import Input
from stfusion.raster.grids import Box
from stfusion.raster.source import AlignedSource, Source
from stfusion.run import Stop


def error(pixels: np.ndarray, centres: np.ndarray) -> float:
    """Sum of squared distances of pixels (bands, n) to the nearest of the centres."""
    return float(((pixels[:, None] - centres.T[..., None]) ** 2).sum(axis=0).min(axis=0).sum())


@pytest.mark.parametrize("classes", [1, 3, 6])
def test_k_means_is_as_good_as_scikit_learn(classes: int) -> None:
    rng = np.random.default_rng(classes)
    pixels = (rng.random((6, 4))[rng.integers(0, 6, 3000)] + rng.normal(0, 0.05, (3000, 4))).T.astype(np.float32)
    centres = cluster(pixels, classes, 0, "The image")
    best = KMeans(classes, n_init=10, random_state=0).fit(pixels.T)
    assert error(pixels, centres) < 1.01 * best.inertia_
    assert np.all(np.diff(centres.sum(axis=1)) >= 0)
    np.testing.assert_array_equal(cluster(pixels, classes, 0, "The image"), centres)


def test_as_many_classes_as_different_pixels() -> None:
    pixels = np.float32([[0.1, 0.2, 0.2, 0.5], [0.3, 0.3, 0.3, 0.1]])
    np.testing.assert_allclose(cluster(pixels, 3, 0, "The image"), [[0.1, 0.3], [0.2, 0.3], [0.5, 0.1]])
    with pytest.raises(UserError, match=r"The image has 3 different pixels .* and 4 classes"):
        cluster(pixels, 4, 0, "The image")


def test_nearest_centre() -> None:
    rng = np.random.default_rng(1)
    values, centres = rng.random((3, 20, 30)).astype(np.float32), rng.random((5, 3)).astype(np.float32)
    values[:, 4, 5] = np.nan
    expected = ((values[:, None] - centres.T[..., None, None]) ** 2).sum(axis=0).argmin(axis=0)
    expected[4, 5] = -1
    np.testing.assert_array_equal(nearest(values, centres), expected)


def test_counts_of_classes() -> None:
    """Blocks that reach beyond the scene, and a window that cuts others."""
    grid = Blocks(5, -2, -3, (4, 5), (18, 22))
    found = np.random.default_rng(2).integers(-1, 3, (18, 22)).astype(np.int16)
    window = Box(4, 17, 6, 22)
    counts = count_classes(found[4:17, 6:22], 3, grid, window)
    covered = grid.covering(window)
    for i, j in np.ndindex(covered.shape):
        rows, columns = -2 + 5 * (covered.top + i), -3 + 5 * (covered.left + j)
        inside = found[max(4, rows) : min(17, rows + 5), max(6, columns) : min(22, columns + 5)]
        np.testing.assert_array_equal(counts[:, i, j], [(inside == k).sum() for k in range(3)])


def classes_of(folder: Path, class_map: np.ndarray, fine: np.ndarray, **profile: Any) -> tuple[Classes, np.ndarray]:
    """The classes of a fine image by a user's map, and what they say of the whole of it."""
    source = Source("Fine image", Input(write_raster(folder / "fine.tif", fine)))
    named = Source("Class map", Input(write_raster(folder / "map.tif", class_map, **profile)))
    scene: Any = SimpleNamespace(classes=AlignedSource(named, source.grid, "nearest"), pairs=[])
    context: Any = SimpleNamespace(stop=Stop(), options={})
    classes = Classes(scene, context)
    return classes, classes.read(Box(0, fine.shape[1], 0, fine.shape[2]), fine)


def test_codes_of_a_map_are_put_in_order(tmp_path: Path) -> None:
    codes = np.array([[7, 3, 200], [3, 7, 7]], np.uint8)
    fine = np.full((1, 2, 3), 0.5, np.float32)
    fine[:, 1, 1] = np.nan
    classes, found = classes_of(tmp_path, codes, fine)
    assert classes.count == 3
    np.testing.assert_array_equal(found, [[1, 0, 2], [0, -1, 1]])


def test_gaps_of_a_map_are_the_last_class(tmp_path: Path) -> None:
    codes = np.array([[7, 3, 0], [3, 0, 7]], np.uint8)
    classes, found = classes_of(tmp_path, codes, np.full((1, 2, 3), 0.5, np.float32), nodata=0)
    assert classes.count == 3
    np.testing.assert_array_equal(found, [[1, 0, 2], [0, 2, 1]])


def test_a_map_that_does_not_reach_everywhere(tmp_path: Path) -> None:
    codes = np.array([[5, 5], [9, 9]], np.uint8)
    classes, found = classes_of(tmp_path, codes, np.full((1, 3, 3), 0.5, np.float32))
    assert classes.count == 3
    np.testing.assert_array_equal(found, [[0, 0, 2], [1, 1, 2], [2, 2, 2]])


def test_a_map_of_heights_is_refused(tmp_path: Path) -> None:
    heights = np.arange(40 * 40, dtype=np.int16).reshape(40, 40)
    with pytest.raises(UserError, match=r"'map.tif' has more than 1000 different values"):
        classes_of(tmp_path, heights, np.full((1, 40, 40), 0.5, np.float32))


def test_a_map_without_classes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"'map.tif' has no class where the fine image lies"):
        classes_of(tmp_path, np.zeros((4, 4), np.uint8), np.full((1, 4, 4), 0.5, np.float32), nodata=0)


def test_a_map_of_real_numbers_is_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    images = {name: rng.random((1, 12, 12)).astype(np.float32) for name in ("fine", "class_map")}
    images |= {name: rng.random((1, 3, 3)).astype(np.float32) for name in ("coarse", "target")}
    grids = {name: FINE @ FINE.scale(4) if name in ("coarse", "target") else FINE for name in images}
    paths = {name: write_raster(tmp_path / f"{name}.tif", image, grids[name]) for name, image in images.items()}
    outcome = run_method("fsdaf", output=str(tmp_path / "fused.tif"), **paths)
    assert "Class map 'class_map.tif' has 1 band(s) of type float32" in outcome.error
