"""OBSUM and its objects against their literal equations, in cases with a known answer, and its invariants."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from literal_obsum import Literal, grow_together
from makers import FINE, Outcome, quantised, read_raster, run_method, write_raster
from real_data import real_scene
from stfusion.fusion._objects import segment

SETTINGS = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
Images = tuple[np.ndarray, np.ndarray, np.ndarray]


def run(folder: Path, images: Images, side: int, maps: dict[str, np.ndarray] | None = None, **options: Any) -> Outcome:
    """Write fine (bands, H, W), coarse and target (bands, R, C) of pixels ``side`` times as large, and run OBSUM."""
    native = FINE @ Affine.scale(side)
    paths = {
        name: write_raster(folder / f"{name}.tif", values, transform)
        for name, values, transform in zip(("fine", "coarse", "target"), images, (FINE, native, native), strict=True)
    }
    for name, values in (maps or {}).items():
        paths[name] = write_raster(folder / f"{name}.tif", values, nodata=-1)
    return run_method("obsum", output=str(folder / "fused.tif"), **paths, **options)


def fuse(folder: Path, images: Images, side: int, maps: dict[str, np.ndarray] | None = None, **options: Any) -> Any:
    """Run OBSUM and read the result."""
    outcome = run(folder, images, side, maps, **options)
    assert outcome.code == 0, outcome.said.lines
    return read_raster(folder / "fused.tif")


def scene(seed: int, bands: int, shape: tuple[int, int], ratio: int, gaps: bool) -> Images:
    """Random images whose fine size need not be a multiple of the ratio, some pixels missing."""
    rng = np.random.default_rng(seed)
    fine = quantised(rng, bands, *shape)
    coarse = quantised(rng, bands, *(-(-n // ratio) for n in shape))
    target = coarse + (rng.integers(-60, 60, coarse.shape) / 1024).astype(np.float32)
    if gaps:
        for image in (fine, coarse, target):
            image[:, rng.random(image.shape[1:]) < 0.08] = np.nan
    return fine, coarse, target


def patches(rng: np.random.Generator, shape: tuple[int, int], side: int, count: int) -> np.ndarray:
    """A map of squares with numbers below ``count``."""
    squares = rng.integers(0, count, (shape[0] // side + 1, shape[1] // side + 1))
    return np.kron(squares, np.ones((side, side), int))[: shape[0], : shape[1]].astype(np.int32)


@SETTINGS
@given(
    seed=st.integers(0, 2**32 - 1),
    bands=st.integers(1, 3),
    shape=st.tuples(st.integers(13, 19), st.integers(13, 19)),
    ratio=st.integers(2, 5),
    gaps=st.booleans(),
    chosen=st.fixed_dictionaries(
        {
            "coarse_window": st.sampled_from([3, 5]),
            "selected": st.sampled_from([0.0, 5.0, 40.0, 100.0]),
            "window": st.sampled_from([3, 7]),
            "neighbours": st.integers(1, 12),
        }
    ),
)
def test_equals_the_literal_equations(
    tmp_path: Path, seed: int, bands: int, shape: tuple[int, int], ratio: int, gaps: bool, chosen: Any
) -> None:
    images = scene(seed, bands, shape, ratio, gaps)
    rng = np.random.default_rng(seed)
    maps = {"class_map": patches(rng, shape, 3, 4), "object_map": patches(rng, shape, 4, 9)}
    maps["class_map"][:2, :2] = [[0, 1], [2, 3]]
    literal = Literal(maps["class_map"], maps["object_map"], ratio, cell=-(-16 // ratio) * ratio, **chosen)
    expected = literal.predict(*images)
    fused = fuse(tmp_path, images, ratio, maps, largest_object=16, **chosen)
    np.testing.assert_array_equal(np.isnan(fused), np.isnan(expected))
    np.testing.assert_allclose(fused, expected, rtol=1e-5, atol=1e-6)


@SETTINGS
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    scale=st.sampled_from([0.0, 0.3, 2.0]),
    smallest=st.integers(1, 9),
    gaps=st.booleans(),
)
def test_segmentation_equals_the_literal_one(
    seed: int, shape: tuple[int, int], scale: float, smallest: int, gaps: bool
) -> None:
    rng = np.random.default_rng(seed)
    guide = rng.random((2, *shape)).astype(np.float32)
    if gaps:
        guide[:, rng.random(shape) < 0.2] = np.nan
    labels, count = segment(guide, scale, smallest)
    np.testing.assert_array_equal(labels, grow_together(guide, scale, smallest))
    assert count == labels.max(initial=-1) + 1


def test_fields_are_found_whole() -> None:
    rng = np.random.default_rng(4)
    fields = patches(rng, (60, 60), 12, 1000)
    guide = (rng.permutation(1000)[fields] / 50 + rng.random((1, 60, 60)) / 100).astype(np.float32)
    labels, count = segment(guide, 0.5, 20)
    assert count == 25
    assert all(len(np.unique(labels[fields == field])) == 1 for field in np.unique(fields))


@pytest.mark.parametrize("mapped", [0, 10])
def test_what_no_object_map_says_is_segmented(tmp_path: Path, mapped: int) -> None:
    """Standard deviations are the unit of the guide, so that bands count alike; ``mapped`` columns have numbers."""
    images = scene(5, 2, (24, 24), 4, gaps=True)
    guide = (images[0] / np.nanstd(images[0].astype(float), axis=(1, 2))[:, None, None]).astype(np.float32)
    numbers = patches(np.random.default_rng(6), (24, 24), 6, 3)
    numbers[:, mapped:] = -1
    guide[:, numbers >= 0] = np.nan
    segmented = grow_together(guide, 0.4, 6)
    objects = np.where(numbers >= 0, numbers + segmented.max() + 1, segmented)
    classes = patches(np.random.default_rng(5), (24, 24), 5, 3)
    options = {"window": 7, "neighbours": 5, "coarse_window": 5}
    expected = Literal(classes, objects, 4, **options).predict(*images)
    maps = {"class_map": classes} | ({"object_map": numbers} if mapped else {})
    fused = fuse(tmp_path, images, 4, maps, object_scale=0.4, smallest_object=6, **options)
    np.testing.assert_allclose(fused, expected, rtol=1e-5, atol=1e-6)


def blocky(rng: np.random.Generator, values: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Squares of the given values, (1, H, W), with noise, and the number of the value of each pixel."""
    numbers = np.kron(rng.integers(0, len(values), (8, 8)), np.ones((side, side), int))
    return (values[numbers] + rng.integers(0, 8, numbers.shape) / 1024).astype(np.float32)[None], numbers


def averages(image: np.ndarray, ratio: int) -> np.ndarray:
    bands, rows, columns = image.shape
    return image.reshape(bands, rows // ratio, ratio, columns // ratio, ratio).mean((2, 4)).astype(np.float32)


def test_no_change_returns_the_fine_image(tmp_path: Path) -> None:
    fine, coarse, _ = scene(1, 2, (40, 40), 8, gaps=False)
    np.testing.assert_array_equal(fuse(tmp_path, (fine, coarse, coarse), 8), fine)


def test_uniform_change_is_added(tmp_path: Path) -> None:
    fine, coarse, _ = scene(2, 2, (40, 40), 8, gaps=False)
    fused = fuse(tmp_path, (fine, coarse, coarse + np.float32(1 / 16)), 8)
    np.testing.assert_allclose(fused, fine + 1 / 16, atol=1e-6)


def test_one_class_changes(tmp_path: Path) -> None:
    """Mixed coarse pixels, two classes, one of which changes: unmixing finds it, and the other does not move."""
    rng = np.random.default_rng(3)
    fine, numbers = blocky(rng, np.array([0.1, 0.4]), 6)
    truth = fine + np.float32(0.25) * (numbers == 1)
    images = (fine, averages(fine, 8), averages(truth, 8))
    fused = fuse(tmp_path, images, 8, classes=2, smallest_object=10)
    np.testing.assert_allclose(fused, truth, atol=2e-5)


def test_a_field_may_change_unlike_its_class(tmp_path: Path) -> None:
    """One field of many is harvested; it is as large as two coarse pixels, and known to be one object."""
    rng = np.random.default_rng(6)
    fine, _ = blocky(rng, np.array([0.1, 0.4]), 8)
    objects = np.kron(np.arange(16).reshape(4, 4), np.ones((16, 16), int)).astype(np.int32)
    truth = fine + np.float32(0.2) * (objects == 5)
    images = (fine, averages(fine, 8), averages(truth, 8))
    fused = fuse(tmp_path, images, 8, {"object_map": objects}, classes=2, coarse_window=5)
    harvested = objects == 5
    assert fused[0, harvested].mean() - fine[0, harvested].mean() > 0.15
    assert np.abs(fused - truth).mean() < 0.5 * np.abs(fine - truth).mean()


def test_result_does_not_depend_on_tiles_or_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit for bit, with blocks that neither begin at the image nor end with it, and gaps."""
    from stfusion.fusion import _fuse

    rng = np.random.default_rng(7)
    fine = quantised(rng, 3, 200, 177)
    fine[:, 40:60, 50:90] = np.nan
    names = {"fine": write_raster(tmp_path / "fine.tif", fine)}
    for name in ("coarse", "target"):
        coarse = quantised(rng, 3, 22, 20)
        coarse[:, 7, 9] = np.nan
        grid = FINE @ Affine.translation(-4, -7) @ Affine.scale(10)
        names[name] = write_raster(tmp_path / f"{name}.tif", coarse, grid)

    def run(tile: tuple[int, int], threads: int) -> np.ndarray:
        monkeypatch.setattr(_fuse, "tile_shape", lambda *_: tile)
        path = str(tmp_path / "fused.tif")
        outcome = run_method(
            "obsum", settings={"threads": threads}, output=path, window=15, largest_object=45, coarse_window=5, **names
        )
        assert outcome.code == 0
        return read_raster(path)

    whole = run((200, 177), 1)
    assert 0 < np.isnan(whole).mean() < 0.1
    for tile, threads in (((64, 64), 2), ((37, 101), 1), ((200, 19), 2)):
        np.testing.assert_array_equal(run(tile, threads), whole)


def invariants(folder: Path, images: Images, **options: Any) -> np.ndarray:
    """Classes are given, so that k-means does not see another order of the pixels."""
    classes = np.zeros(images[0].shape[1:], np.int32)
    return fuse(folder, images, 8, {"class_map": classes}, window=7, neighbours=5, **options)


def smooth(seed: int) -> Images:
    """Differences that are all different, so that no order of equals decides."""
    rng = np.random.default_rng(seed)
    fine = rng.random((3, 48, 64)).astype(np.float32)
    coarse, target = rng.random((2, 3, 6, 8)).astype(np.float32)
    return fine, coarse, target


def test_mirroring_and_permuting_bands(tmp_path: Path) -> None:
    images = smooth(11)
    straight = invariants(tmp_path, images)
    mirrored = tuple(np.ascontiguousarray(image[:, ::-1]) for image in images)
    np.testing.assert_allclose(invariants(tmp_path, mirrored), straight[:, ::-1], atol=2e-6)
    turned = tuple(np.ascontiguousarray(image.swapaxes(1, 2)) for image in images)
    np.testing.assert_allclose(invariants(tmp_path, turned), straight.swapaxes(1, 2), atol=2e-6)
    permuted = tuple(image[[2, 0, 1]] for image in images)
    np.testing.assert_allclose(invariants(tmp_path, permuted), straight[[2, 0, 1]], atol=2e-6)


def test_scaling_reflectance(tmp_path: Path) -> None:
    images = smooth(12)
    straight = invariants(tmp_path, images)
    scaled = invariants(tmp_path, tuple(image * np.float32(1024) for image in images))
    np.testing.assert_allclose(scaled / 1024, straight, atol=1e-6)


def test_shifting_by_cells_shifts_the_result(tmp_path: Path) -> None:
    """What is far enough from the new edge is the same: four coarse pixels of the window, and the interpolations."""
    rng = np.random.default_rng(13)
    fine = rng.random((1, 64, 160)).astype(np.float32)
    coarse, target = rng.random((2, 1, 8, 20)).astype(np.float32)
    target[:, :, 10], target[:, :, 11] = coarse[:, :, 10] + 2, coarse[:, :, 11] - 2  # the bounds, in both
    options = {"largest_object": 16, "coarse_window": 3, "window": 5, "neighbours": 4, "object_scale": 0.0}
    options |= {"smallest_object": 1}
    classes = {"class_map": patches(rng, (64, 160), 3, 2)}
    whole = fuse(tmp_path, (fine, coarse, target), 8, classes, **options)
    part = fuse(
        tmp_path, (fine[:, :, 16:], coarse[:, :, 2:], target[:, :, 2:]), 8,
        {"class_map": np.ascontiguousarray(classes["class_map"][:, 16:])}, **options,
    )  # fmt: skip
    np.testing.assert_allclose(part[:, :, 64:], whole[:, :, 80:], atol=1e-6)


def test_a_coarse_gap_masks_its_pixels_only(tmp_path: Path) -> None:
    fine, coarse, target = scene(14, 1, (64, 64), 8, gaps=False)
    target[:, 3, 4] = np.nan
    missing = np.isnan(fuse(tmp_path, (fine, coarse, target), 8)[0])
    expected = np.zeros((64, 64), bool)
    expected[24:32, 32:40] = True
    np.testing.assert_array_equal(missing, expected)


def test_a_constant_band_does_not_decide_objects(tmp_path: Path) -> None:
    fine, coarse, target = scene(15, 2, (40, 40), 8, gaps=False)
    fine[1] = 0.25
    fused = fuse(tmp_path, (fine, coarse, target), 8)
    assert np.isfinite(fused).all()


BAD = [
    ({"classes": 100}, "different pixels"),
    ({"window": 501}, "window of 501 pixels is larger than"),
    ({"object_map": np.zeros((2, 40, 40), np.int32)}, "has 2 band(s) of type int32, and a map has one of whole"),
    ({"object_map": np.zeros((40, 40), np.float32)}, "has 1 band(s) of type float32, and a map has one of whole"),
    ({"ratio": 1}, "at least 2 is needed"),
]


@pytest.mark.parametrize(("spoilt", "sentence"), BAD)
def test_bad_input(tmp_path: Path, spoilt: dict[str, Any], sentence: str) -> None:
    images = scene(16, 1, (40, 40), 8, gaps=False)
    images[0][:] = np.round(images[0] * 64) / 64
    maps = {name: value for name, value in spoilt.items() if isinstance(value, np.ndarray)}
    options = {name: value for name, value in spoilt.items() if name not in maps}
    outcome = run(tmp_path, images, 8, maps, **options)
    assert outcome.code == 2
    assert sentence in outcome.error
    assert not (tmp_path / "fused.tif").exists()


def test_boreas_beats_the_baselines(tmp_path: Path) -> None:
    """July from August on the boreal forest: better than .0090, the fine image plus the coarse difference."""
    folder = real_scene("stf_boreas_2001_envi")
    inputs = {"fine": "tm20010812", "coarse": "modis20010812", "target": "modis20010711"}
    outcome = run_method(
        "obsum", **{role: str(folder / name) for role, name in inputs.items()}, ratio=16,
        output=str(tmp_path / "fused.tif"),
    )  # fmt: skip
    assert outcome.code == 0
    truth, fused = read_raster(folder / "tm20010711") / 1e4, read_raster(tmp_path / "fused.tif") / 1e4
    assert np.sqrt(((fused - truth) ** 2).mean(axis=(1, 2))).mean() < 0.0082
