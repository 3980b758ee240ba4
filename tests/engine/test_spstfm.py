"""SPSTFM against its literal equations, in cases with a known answer, and its invariants."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from literal_dictionary import Literal
from makers import FINE, Outcome, quantised, read_raster, run_method, write_raster
from real_data import real_scene
from stfusion.fusion import _fuse

SETTINGS = settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
SMALL: dict[str, Any] = {"patch": 5, "stride": 3, "atoms": 8, "patches": 40, "sparsity": 2, "iterations": 2}


def run(folder: Path, fine: np.ndarray, coarse: np.ndarray, target: np.ndarray, **values: Any) -> Outcome:
    """Write (2, bands, rows, columns) and (bands, rows, columns), and run SPSTFM."""
    images = {"fine": fine[0], "coarse": coarse[0], "fine2": fine[1], "coarse2": coarse[1], "target": target}
    paths = {name: write_raster(folder / f"{name}.tif", image) for name, image in images.items()}
    return run_method("spstfm", output=str(folder / "fused.tif"), **paths, **{**SMALL, **values})


def fuse(folder: Path, *images: np.ndarray, **values: Any) -> np.ndarray:
    outcome = run(folder, *images, **values)
    assert outcome.code == 0, outcome.said.lines
    return read_raster(folder / "fused.tif")


def scene(seed: int, bands: int, shape: tuple[int, int], gaps: bool) -> tuple[np.ndarray, ...]:
    """Random images; with gaps, single pixels of every image and a block of one are missing."""
    rng = np.random.default_rng(seed)
    fine = quantised(rng, 2, bands, *shape)
    coarse = fine + (rng.integers(-40, 40, fine.shape) / 1024).astype(np.float32)
    target = coarse.mean(axis=0) + (rng.integers(-60, 60, coarse[0].shape) / 1024).astype(np.float32)
    if gaps:
        for image in (*fine, *coarse, target):
            image[:, rng.random(shape) < 0.02] = np.nan
        (fine[1] if seed % 2 else coarse[0])[:, 2:9, 3:10] = np.nan
    return fine, coarse, target


@SETTINGS
@given(
    seed=st.integers(0, 2**32 - 1),
    bands=st.integers(1, 2),
    shape=st.tuples(st.integers(16, 21), st.integers(16, 21)),
    gaps=st.booleans(),
    chosen=st.fixed_dictionaries(
        {
            "patch": st.sampled_from([3, 5]),
            "stride": st.integers(1, 3),
            "sparsity": st.integers(1, 3),
            "iterations": st.integers(0, 2),
            "measured_gain": st.booleans(),
            "detail": st.sampled_from(["refitted", "joint"]),
            "change_threshold": st.sampled_from([0.0, 0.05, 0.2, 1.0]),
        }
    ),
)
def test_equals_the_literal_equations(
    tmp_path: Path, seed: int, bands: int, shape: tuple[int, int], gaps: bool, chosen: dict[str, Any]
) -> None:
    images = scene(seed, bands, shape, gaps)
    expected = Literal(**{**SMALL, **chosen}).spstfm(*images)
    fused = fuse(tmp_path, *images, **chosen)
    np.testing.assert_array_equal(np.isnan(fused), np.isnan(expected))
    np.testing.assert_allclose(fused, expected, rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize("pair", [0, 1])
def test_no_change_since_a_pair_returns_its_fine_image(tmp_path: Path, pair: int) -> None:
    fine, coarse, _ = scene(1, 2, (20, 22), gaps=False)
    np.testing.assert_array_equal(fuse(tmp_path, fine, coarse, coarse[pair]), fine[pair])


@pytest.mark.parametrize("pair", [0, 1])
def test_uniform_change_is_added(tmp_path: Path, pair: int) -> None:
    """A change that is the same everywhere has no detail; the other pair, much further away, does not count."""
    fine, coarse, _ = scene(2, 2, (20, 22), gaps=False)
    coarse[1 - pair] += np.float32(1)
    target = coarse[pair] + np.float32(1 / 64)
    np.testing.assert_allclose(fuse(tmp_path, fine, coarse, target), fine[pair] + 1 / 64, atol=1e-6)


def test_uniform_changes_since_both_pairs_are_weighted(tmp_path: Path) -> None:
    """Changes 1/64 and 3/64: the first pair weighs 3/4."""
    fine = quantised(np.random.default_rng(3), 2, 1, 20, 22)
    coarse = np.stack([np.full_like(fine[0], 0.25), np.full_like(fine[0], 0.25 - 1 / 32)])
    target = coarse[0] + np.float32(1 / 64)
    fused = fuse(tmp_path, fine, coarse, target, change_threshold=1.0)
    np.testing.assert_allclose(fused, 0.75 * (fine[0] + 1 / 64) + 0.25 * (fine[1] + 3 / 64), atol=1e-6)


def test_one_class_changes(tmp_path: Path) -> None:
    """Two classes in pure coarse pixels of which one changes by half of what it changed between the pairs."""
    rng = np.random.default_rng(0)
    classes = np.kron(rng.integers(0, 2, (6, 6)), np.ones((8, 8), int))
    fine = np.stack([0.1 + 0.3 * classes, 0.1 + 0.5 * classes]).astype(np.float32)[:, None]
    fused = fuse(tmp_path, fine, fine, (0.1 + 0.4 * classes).astype(np.float32)[None])
    np.testing.assert_allclose(fused[0], 0.1 + 0.4 * classes, atol=1e-5)


def test_the_detail_of_the_change_is_learnt(tmp_path: Path) -> None:
    """A ramp in every coarse pixel goes with a chequered change four times as strong: the new ramps tell its size."""
    rng = np.random.default_rng(4)
    tiles = np.ones((15, 15))
    chequers, ramp = np.kron(np.eye(2), np.ones((2, 2))) - 0.5, np.add.outer(np.arange(4.0), np.zeros(4)) / 12 - 0.125
    first = rng.uniform(0.2, 0.5, (60, 60))

    def change(size: np.ndarray, pattern: np.ndarray) -> np.ndarray:
        return np.kron(size, np.ones((4, 4))) * np.kron(tiles, pattern)

    once, then = rng.uniform(0.02, 0.3, (2, 15, 15))
    fine = np.stack([first, first + change(once, chequers)])[:, None].astype(np.float32)
    coarse = np.stack([np.full((60, 60), 0.3), 0.3 + change(once, ramp)])[:, None].astype(np.float32)
    target = (0.3 + change(then, ramp))[None].astype(np.float32)
    truth = first + change(then, chequers)
    values = {"patch": 4, "stride": 4, "atoms": 32, "patches": 1000, "iterations": 10, "change_threshold": 0.0}
    fused = fuse(tmp_path, fine, coarse, target, **values)[0]
    plain = (fine[0, 0] + target[0] - coarse[0, 0]) - truth
    assert np.sqrt(((fused - truth) ** 2).mean()) < 0.5 * np.sqrt((plain**2).mean())


def test_result_does_not_depend_on_tiles_or_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit for bit, with coarse images on their own grid that are resampled on the fly."""
    rng = np.random.default_rng(5)
    names = {}
    for suffix in ("", "2"):
        fine = rng.random((2, 150, 137)).astype(np.float32)
        fine[:, 40:60, 50:90] = np.nan
        names[f"fine{suffix}"] = write_raster(tmp_path / f"fine{suffix}.tif", fine)
    for name in ("coarse", "coarse2", "target"):
        low = rng.random((2, 13, 12)).astype(np.float32)
        names[name] = write_raster(tmp_path / f"{name}.tif", low, FINE @ Affine.scale(12))
    whole = None
    for shape, threads in (((1024, 1024), 1), ((64, 64), 2), ((37, 150), 2)):
        monkeypatch.setattr(_fuse, "tile_shape", lambda *_, shape=shape: shape)
        outcome = run_method(
            "spstfm", output=str(tmp_path / "o.tif"), settings={"threads": threads}, **names, atoms=32, patches=200
        )
        assert outcome.code == 0, outcome.said.lines
        fused = read_raster(tmp_path / "o.tif")
        whole = fused if whole is None else whole
        np.testing.assert_array_equal(fused, whole)


def test_permuting_bands_and_exchanging_pairs(tmp_path: Path) -> None:
    fine, coarse, target = scene(11, 3, (22, 18), gaps=True)
    straight = fuse(tmp_path, fine, coarse, target)
    order = [2, 0, 1]
    permuted = fuse(tmp_path, fine[:, order], coarse[:, order], target[order])
    np.testing.assert_allclose(permuted, straight[order], atol=1e-6)
    exchanged = fuse(tmp_path, fine[::-1].copy(), coarse[::-1].copy(), target)
    np.testing.assert_allclose(exchanged, straight, atol=1e-6)


def without_detail(seed: int, size: int) -> tuple[np.ndarray, ...]:
    """A scene with gaps whose coarse image changes between the pairs by the same everywhere: there is nothing to learn.

    The largest change of a patch is known: it is that of the square of side 8 at (12, 12).
    """
    fine, coarse, target = scene(seed, 1, (size, size), gaps=False)
    coarse[1] = coarse[0] + np.float32(0.25)
    target[:, 12:20, 12:20] = coarse[0][:, 12:20, 12:20] + np.float32(1)
    fine[0, :, 3:6, 14:17] = np.nan
    return fine, coarse, target


def test_mirroring_where_the_lattice_is_symmetric(tmp_path: Path) -> None:
    """Patches of 5 side by side in 20 pixels; what is learnt from random places cannot be mirrored."""
    fine, coarse, target = without_detail(12, 20)
    straight = fuse(tmp_path, fine, coarse, target, stride=5)
    flipped = fuse(tmp_path, fine[..., ::-1, :], coarse[..., ::-1, :], target[..., ::-1, :], stride=5)
    np.testing.assert_allclose(flipped, straight[..., ::-1, :], atol=1e-6)
    turned = fuse(tmp_path, fine.mT, coarse.mT, target.mT, stride=5)
    np.testing.assert_allclose(turned, straight.mT, atol=1e-6)


def test_scaling_reflectance(tmp_path: Path) -> None:
    images = scene(13, 2, (20, 20), gaps=True)
    straight = fuse(tmp_path, *images)
    scaled = fuse(tmp_path, *(image * np.float32(1024) for image in images))
    np.testing.assert_allclose(scaled / 1024, straight, rtol=1e-5, atol=1e-6)


def test_shifting_the_images_by_whole_strides(tmp_path: Path) -> None:
    """The same place in a larger scene has the same value: patches lie at multiples of the stride."""
    images = without_detail(14, 40)
    whole = fuse(tmp_path, *images, stride=5)
    part = fuse(tmp_path, *(np.ascontiguousarray(image[..., 10:30]) for image in images), stride=5)
    np.testing.assert_array_equal(part, whole[..., 10:30])


def test_where_one_pair_has_a_gap_the_other_serves(tmp_path: Path) -> None:
    fine, coarse, target = scene(15, 1, (20, 20), gaps=False)
    fine[0, :, 5:9, 5:9] = np.nan
    coarse[1, :, 12:, 12:] = np.nan
    outcome = run(tmp_path, fine, coarse, target)
    assert not np.isnan(read_raster(tmp_path / "fused.tif")).any()
    assert any(
        "80 of 400 values (20.00%) have a gap in one of the pairs" in said for said in outcome.said.of("warning")
    )
    fine[1, :, 6, 6] = np.nan
    missing = np.isnan(fuse(tmp_path, fine, coarse, target)[0])
    assert missing[6, 6]
    assert missing.sum() == 1


def test_a_gap_touches_only_the_patches_around_it(tmp_path: Path) -> None:
    """A gap in the target does not touch the training."""
    fine, coarse, target = scene(16, 1, (40, 40), gaps=False)
    target[:, 2:10, 2:10] = coarse[0][:, 2:10, 2:10] + np.float32(1)
    before = fuse(tmp_path, fine, coarse, target)
    target[0, 20, 20] = np.nan
    after = fuse(tmp_path, fine, coarse, target)
    near = np.zeros((40, 40), bool)
    near[16:25, 16:25] = True
    np.testing.assert_array_equal(after[0][~near], before[0][~near])
    assert (after[0][near] != before[0][near]).sum() > 1
    assert np.isnan(after[0, 20, 20])
    assert np.isnan(after).sum() == 1


def test_one_pair_is_not_enough(tmp_path: Path) -> None:
    fine, coarse, target = scene(17, 1, (20, 20), gaps=False)
    images = {"fine": fine[0], "coarse": coarse[0], "target": target}
    paths = {name: write_raster(tmp_path / f"{name}.tif", image) for name, image in images.items()}
    outcome = run_method("spstfm", output=str(tmp_path / "fused.tif"), **paths)
    assert outcome.code == 2
    assert "econd pair" in outcome.error
    assert not (tmp_path / "fused.tif").exists()


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (
            {"patch": 21},
            "The patch of 21 pixels is larger than Fine image of the pair 'fine.tif' (22 x 20 pixels); take",
        ),
        ({"stride": 6}, "The stride of 6 pixels is larger than the patch of 5; take at most 5."),
        ({"atoms": 300}, "288 patches of 5 x 5 pixels"),
    ],
)
def test_bad_options(tmp_path: Path, values: dict[str, Any], sentence: str) -> None:
    outcome = run(tmp_path, *scene(18, 1, (20, 22), gaps=False), **{"patches": 2000, **values})
    assert outcome.code == 2
    assert sentence in outcome.error
    assert not (tmp_path / "fused.tif").exists()


def test_training_has_to_fit_the_memory(tmp_path: Path) -> None:
    outcome = run(tmp_path, *scene(18, 1, (20, 22), gaps=False), patches=100_000, settings={"memory_mb": 400})
    assert outcome.code != 0
    assert outcome.error.startswith("The patches for training need 215 MB and 48 MB are left for them; lower")


def test_a_constant_band_is_predicted_and_said(tmp_path: Path) -> None:
    fine, coarse, target = scene(19, 2, (20, 20), gaps=False)
    fine[:, 1] = coarse[:, 1] = 0.25
    target[1] = 0.375
    outcome = run(tmp_path, fine, coarse, target)
    assert outcome.code == 0
    np.testing.assert_array_equal(read_raster(tmp_path / "fused.tif")[1], np.float32(0.375))
    assert any(said.startswith("Band 2 has patches for 0 of 8 atoms") for said in outcome.said.of("warning"))


def test_boreas(tmp_path: Path) -> None:
    """Better than the fine image plus the coarse difference, and than their mean from both pairs (.0085)."""
    folder = real_scene("stf_boreas_2001_envi")
    days = {"": "0812", "2": "0524"}
    inputs = {f"fine{suffix}": str(folder / f"tm2001{day}") for suffix, day in days.items()}
    inputs |= {f"coarse{suffix}": str(folder / f"modis2001{day}") for suffix, day in days.items()}
    outcome = run_method(
        "spstfm", **inputs, target=str(folder / "modis20010711"), output=str(tmp_path / "fused.tif"), patch=11
    )
    assert outcome.code == 0
    truth, fused = read_raster(folder / "tm20010711") / 1e4, read_raster(tmp_path / "fused.tif") / 1e4
    assert np.sqrt(((fused - truth) ** 2).mean(axis=(1, 2))).mean() < 0.0081
