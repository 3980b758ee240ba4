"""SSIF against its literal equations, in cases with a known answer, and its invariants."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
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
    """Write images (bands, rows, columns) and run SSIF."""
    images = {"fine": fine, "coarse": coarse, "target": target}
    paths = {name: write_raster(folder / f"{name}.tif", image) for name, image in images.items()}
    return run_method("ssif", output=str(folder / "fused.tif"), **paths, **{"unit": 1.0, **SMALL, **values})


def fuse(folder: Path, *images: np.ndarray, **values: Any) -> np.ndarray:
    outcome = run(folder, *images, **values)
    assert outcome.code == 0, outcome.said.lines
    return read_raster(folder / "fused.tif")


def scene(seed: int, bands: int, shape: tuple[int, int], gaps: bool) -> tuple[np.ndarray, ...]:
    """Random images, dark here and there; with gaps, single pixels of every image and a block of one are missing."""
    rng = np.random.default_rng(seed)
    fine = quantised(rng, bands, *shape)
    coarse = fine + (rng.integers(-40, 40, fine.shape) / 1024).astype(np.float32)
    target = coarse + (rng.integers(-60, 60, coarse.shape) / 1024).astype(np.float32)
    if gaps:
        for image in (fine, coarse, target):
            image[:, rng.random(shape) < 0.02] = np.nan
        (fine if seed % 2 else target)[:, 2:9, 3:10] = np.nan
    return fine, coarse, target


@SETTINGS
@given(
    seed=st.integers(0, 2**32 - 1),
    bands=st.integers(1, 2),
    shape=st.tuples(st.integers(17, 21), st.integers(17, 21)),
    gaps=st.booleans(),
    chosen=st.fixed_dictionaries(
        {
            "patch": st.sampled_from([3, 5]),
            "stride": st.integers(1, 3),
            "sparsity": st.integers(1, 3),
            "iterations": st.integers(0, 2),
            "measured_gain": st.booleans(),
            "intermediate": st.sampled_from([0, 1, 3]),
            "modulation": st.sampled_from(["high_pass", "constant"]),
            "contrast_limit": st.sampled_from([0.0, 1.0, 1.5]),
        }
    ),
)
def test_equals_the_literal_equations(
    tmp_path: Path, seed: int, bands: int, shape: tuple[int, int], gaps: bool, chosen: dict[str, Any]
) -> None:
    images = scene(seed, bands, shape, gaps)
    expected = Literal(**{**SMALL, **chosen}).ssif(*images)
    fused = fuse(tmp_path, *images, **chosen)
    np.testing.assert_array_equal(np.isnan(fused), np.isnan(expected))
    np.testing.assert_allclose(fused, expected, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("intermediate", [0, 3])
def test_no_change_returns_the_fine_image(tmp_path: Path, intermediate: int) -> None:
    fine, coarse, _ = scene(1, 2, (20, 22), gaps=False)
    np.testing.assert_array_equal(fuse(tmp_path, fine, coarse, coarse, intermediate=intermediate), fine)


@pytest.mark.parametrize(("offset", "values"), [(1 / 32, {}), (-1 / 32, {"modulation": "constant"})])
def test_uniform_change_is_added(tmp_path: Path, offset: float, values: dict[str, Any]) -> None:
    """Where the contrast does not change: it may not grow by default, and does not shrink when it is constant."""
    fine, coarse, _ = scene(2, 2, (20, 22), gaps=False)
    fused = fuse(tmp_path, fine, coarse, coarse + np.float32(offset), **values)
    np.testing.assert_allclose(fused, fine + offset, atol=1e-6)


def test_proportional_change_multiplies_the_fine_image(tmp_path: Path) -> None:
    """Coarse images without slopes are sharpened by nothing: then F2 = F1 x C2 / C1."""
    fine = quantised(np.random.default_rng(3), 1, 20, 20)
    coarse, target = np.full_like(fine, 0.4), np.full_like(fine, 0.3)
    np.testing.assert_allclose(fuse(tmp_path, fine, coarse, target), fine * 0.75, atol=1e-6)
    brighter = fuse(tmp_path, fine, target, coarse, contrast_limit=0.0)
    np.testing.assert_allclose(brighter, fine * 4 / 3, atol=1e-6)
    limited = fuse(tmp_path, fine, target, coarse, contrast_limit=1.25)
    np.testing.assert_allclose(limited, 0.4 + 1.25 * (fine - 0.3), atol=1e-6)


def test_one_class_changes(tmp_path: Path) -> None:
    """Two classes in pure coarse pixels of which one darkens: the other must not move."""
    classes = np.kron(np.random.default_rng(0).integers(0, 2, (6, 6)), np.ones((8, 8), int))
    fine = (0.1 + 0.3 * classes).astype(np.float32)[None]
    target = (0.1 + 0.2 * classes).astype(np.float32)[None]
    np.testing.assert_allclose(fuse(tmp_path, fine, fine, target), target, atol=1e-5)


def test_the_detail_of_slopes_is_learnt(tmp_path: Path) -> None:
    """Every slope of the coarse image goes with a step of the fine one: steps that move are predicted as steps."""
    x = np.arange(160.0)

    def images(shift: float) -> tuple[np.ndarray, np.ndarray]:
        wave = ((x + shift) % 20) - 10
        fine = np.where(wave < 0, 0.2, 0.3)
        coarse = 0.25 + np.clip(np.where(wave < 0, -5 - wave, wave - 5), -4, 4) * 0.0125
        return tuple(np.broadcast_to(row, (1, 40, 160)).astype(np.float32) for row in (fine, coarse))  # type: ignore

    (fine, coarse), (truth, target) = images(0), images(7)
    values = {"patch": 7, "stride": 2, "atoms": 24, "patches": 800, "iterations": 5, "modulation": "constant"}
    fused = fuse(tmp_path, fine, coarse, target, **values)
    plain = fine + target - coarse
    assert np.sqrt(((fused - truth) ** 2).mean()) < 0.5 * np.sqrt(((plain - truth) ** 2).mean())


@pytest.mark.parametrize("intermediate", [0, 5])
def test_result_does_not_depend_on_tiles_or_threads(
    tmp_path: Path, intermediate: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bit for bit, with coarse images on their own grid that are resampled on the fly."""
    rng = np.random.default_rng(5)
    fine = rng.random((2, 150, 137)).astype(np.float32)
    fine[:, 40:60, 50:90] = np.nan
    names = {"fine": write_raster(tmp_path / "fine.tif", fine)}
    for name in ("coarse", "target"):
        low = rng.random((2, 13, 12)).astype(np.float32)
        names[name] = write_raster(tmp_path / f"{name}.tif", low, FINE @ Affine.scale(12))
    values = {"atoms": 32, "patches": 200, "intermediate": intermediate, "output": str(tmp_path / "o.tif")}
    whole = None
    for shape, threads in (((1024, 1024), 1), ((64, 64), 2), ((37, 150), 2)):
        monkeypatch.setattr(_fuse, "tile_shape", lambda *_, shape=shape: shape)
        outcome = run_method("ssif", settings={"threads": threads}, **names, **values)
        assert outcome.code == 0, outcome.said.lines
        fused = read_raster(tmp_path / "o.tif")
        whole = fused if whole is None else whole
        np.testing.assert_array_equal(fused, whole)


def test_permuting_bands(tmp_path: Path) -> None:
    images = scene(11, 3, (22, 18), gaps=True)
    order = [2, 0, 1]
    permuted = fuse(tmp_path, *(image[order] for image in images))
    np.testing.assert_array_equal(permuted, fuse(tmp_path, *images)[order])


def test_scaling_reflectance(tmp_path: Path) -> None:
    images = scene(13, 2, (20, 20), gaps=True)
    straight = fuse(tmp_path, *images)
    scaled = fuse(tmp_path, *(image * np.float32(1024) for image in images), unit=1024.0)
    np.testing.assert_allclose(scaled / 1024, straight, rtol=1e-5, atol=1e-6)


def without_detail(seed: int, size: int) -> tuple[np.ndarray, ...]:
    """A scene with a gap whose first coarse image is constant: there is nothing to learn."""
    fine, coarse, target = scene(seed, 1, (size, size), gaps=False)
    fine[:, 3:6, 14:17] = np.nan
    return fine, np.full_like(coarse, 0.25), target


def test_mirroring_and_shifting_where_nothing_is_learnt(tmp_path: Path) -> None:
    """What is learnt from random places cannot be mirrored or shifted; all else can."""
    images = without_detail(12, 40)
    straight = fuse(tmp_path, *images)
    np.testing.assert_allclose(fuse(tmp_path, *(i[..., ::-1, :] for i in images)), straight[..., ::-1, :], atol=1e-6)
    np.testing.assert_allclose(fuse(tmp_path, *(image.mT for image in images)), straight.mT, atol=1e-6)
    part = fuse(tmp_path, *(np.ascontiguousarray(image[..., 10:30]) for image in images))
    np.testing.assert_array_equal(part, straight[..., 10:30])


def test_a_gap_touches_only_the_patches_around_it(tmp_path: Path) -> None:
    """A gap in the target does not touch the training."""
    fine, coarse, target = scene(16, 1, (40, 40), gaps=False)
    before = fuse(tmp_path, fine, coarse, target)
    target[0, 20, 20] = np.nan
    after = fuse(tmp_path, fine, coarse, target)
    near = np.zeros((40, 40), bool)
    near[15:26, 15:26] = True
    np.testing.assert_array_equal(after[0][~near], before[0][~near])
    assert (after[0][near] != before[0][near]).sum() > 1
    assert np.isnan(after[0, 20, 20])
    assert np.isnan(after).sum() == 1


def test_dark_pixels_keep_their_contrast_and_are_counted(tmp_path: Path) -> None:
    fine = quantised(np.random.default_rng(17), 1, 20, 20)
    coarse, target = np.full_like(fine, 1 / 128), np.full_like(fine, 1 / 16)
    outcome = run(tmp_path, fine, coarse, target, contrast_limit=0.0)
    np.testing.assert_allclose(read_raster(tmp_path / "fused.tif"), fine + 7 / 128, atol=1e-6)
    assert any("400 of 400 values (100.00%) are so dark" in said for said in outcome.said.of("warning"))


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"patch": 21}, "The patch of 21 pixels is larger than Fine image of the pair 'fine.tif' (22 x 20 pixels)"),
        ({"stride": 6}, "The stride of 6 pixels is larger than the patch of 5; take at most 5."),
        ({"intermediate": 4}, "The intermediate resolution is 4 fine pixels; take an odd number, or 0."),
        ({"atoms": 300}, "288 patches of 5 x 5 pixels"),
    ],
)
def test_bad_options(tmp_path: Path, values: dict[str, Any], sentence: str) -> None:
    outcome = run(tmp_path, *scene(18, 1, (20, 22), gaps=False), **{"patches": 2000, **values})
    assert outcome.code == 2
    assert sentence in outcome.error
    assert not (tmp_path / "fused.tif").exists()


def test_a_constant_band_is_predicted_and_said(tmp_path: Path) -> None:
    fine, coarse, target = scene(19, 2, (20, 20), gaps=False)
    fine[1], coarse[1], target[1] = 0.25, 0.25, 0.375
    outcome = run(tmp_path, fine, coarse, target)
    assert outcome.code == 0
    np.testing.assert_array_equal(read_raster(tmp_path / "fused.tif")[1], np.float32(0.375))
    assert any(said.startswith("Band 2 has patches for 0 of 8 atoms") for said in outcome.said.of("warning"))


def test_salton(tmp_path: Path) -> None:
    """Better than the fine image plus the coarse difference."""
    folder = real_scene("stf_salton_hls_viirs")
    inputs = {
        "fine": str(folder / "HLS70m_NIR_20201002.tif"),
        "coarse": str(folder / "VIIRS490m_NIR_20201002.tif"),
        "target": str(folder / "VIIRS490m_NIR_20201017.tif"),
    }
    error = {}
    for method in ("ssif", "fine_plus_difference"):
        assert run_method(method, **inputs, output=str(tmp_path / f"{method}.tif")).code == 0
        with (
            rasterio.open(folder / "HLS70m_NIR_20201017.tif") as truth,
            rasterio.open(tmp_path / f"{method}.tif") as fused,
        ):
            difference = fused.read(masked=True).astype(float) - truth.read(masked=True)
        error[method] = np.sqrt((difference**2).mean())
    assert error["ssif"] < 0.95 * error["fine_plus_difference"]
