"""Fit-FC against its literal equations, in cases with a known answer, and its invariants."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from literal_fit_fc import Literal
from makers import FINE, Outcome, quantised, read_raster, run_method, write_raster
from real_data import real_scene
from stfusion.fusion import _fuse

SETTINGS = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def attempt(
    folder: Path, side: int, fine: np.ndarray, coarse: np.ndarray, target: np.ndarray, **options: Any
) -> Outcome:
    """Write fine (pairs, bands, rows, columns), and coarse and target in pixels of ``side`` fine ones, and run."""
    grid = FINE @ Affine.scale(side)
    paths = {"target": write_raster(folder / "target.tif", target, grid)}
    for suffix, f, c in zip(("", "2"), fine, coarse, strict=False):
        paths[f"fine{suffix}"] = write_raster(folder / f"fine{suffix}.tif", f)
        paths[f"coarse{suffix}"] = write_raster(folder / f"coarse{suffix}.tif", c, grid)
    values = {"output": str(folder / "fused.tif"), "unit": 1.0, **paths, **options}
    return run_method("fit_fc", settings={"threads": 1}, **values)


def fuse(folder: Path, side: int, *images: np.ndarray, **options: Any) -> np.ndarray:
    outcome = attempt(folder, side, *images, **options)
    assert outcome.code == 0, outcome.said.lines
    return read_raster(folder / "fused.tif")


def scene(
    seed: int, pairs: int, bands: int, shape: tuple[int, int], ratio: int, gaps: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Random fine and coarse images, some pixels of which are missing."""
    rng = np.random.default_rng(seed)
    cells = tuple(-(-n // ratio) for n in shape)
    fine = quantised(rng, pairs, bands, *shape)
    coarse, target = quantised(rng, pairs, bands, *cells), quantised(rng, bands, *cells)
    if gaps:
        for image in (*fine, *coarse, target):
            image[:, rng.random(image.shape[1:]) < 0.06] = np.nan
    return fine, coarse, target


@SETTINGS
@given(
    seed=st.integers(0, 2**32 - 1),
    pairs=st.integers(1, 2),
    bands=st.integers(1, 3),
    ratio=st.sampled_from([2, 3, 4, 5]),
    shape=st.tuples(st.integers(15, 19), st.integers(15, 19)),
    gaps=st.booleans(),
    chosen=st.fixed_dictionaries(
        {
            "window": st.sampled_from([0, 1, 4, 7]),
            "neighbours": st.sampled_from([0, 1, 5, 60]),
            "coarse_window": st.sampled_from([3, 5]),
        }
    ),
)
def test_equals_the_literal_equations(
    tmp_path: Path, seed: int, pairs: int, bands: int, ratio: int, shape: tuple[int, int], gaps: bool, chosen: Any
) -> None:
    images = scene(seed, pairs, bands, shape, ratio, gaps)
    expected = Literal(ratio, **chosen).predict(*images)
    fused = fuse(tmp_path, ratio, *images, **chosen)
    np.testing.assert_array_equal(np.isnan(fused), np.isnan(expected))
    np.testing.assert_allclose(fused, expected, rtol=2e-5, atol=2e-5)


def test_coarse_images_on_the_fine_grid_are_averaged_back(tmp_path: Path) -> None:
    fine, coarse, target = scene(3, 1, 2, (26, 23), 5)
    native = fuse(tmp_path, 5, fine, coarse, target)
    spread = [np.kron(image, np.ones((5, 5), np.float32))[..., :26, :23] for image in (coarse, target)]
    np.testing.assert_allclose(fuse(tmp_path, 1, fine, *spread, ratio=5), native, rtol=1e-6)


def plateaus(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Two bands of three spectra in patches: every pixel has more equal neighbours than are averaged."""
    classes = np.kron(rng.integers(0, 3, (shape[0] // 4, shape[1] // 4)), np.ones((4, 4), int))
    return np.array([[0.1, 0.25, 0.4], [0.3, 0.1, 0.2]], np.float32)[:, classes]


def test_no_change_returns_the_fine_image(tmp_path: Path) -> None:
    """Exactly without the filter; with it where every pixel has equals enough."""
    fine, coarse, _ = scene(1, 1, 2, (24, 24), 4)
    alone = fuse(tmp_path, 4, fine, coarse, coarse[0], neighbours=1)
    np.testing.assert_allclose(alone, fine[0], atol=1e-6)
    fine[0] = plateaus(np.random.default_rng(2), (24, 24))
    np.testing.assert_allclose(fuse(tmp_path, 4, fine, coarse, coarse[0], window=9), fine[0], atol=1e-6)


@pytest.mark.parametrize(("slope", "offset"), [(1.0, 0.0625), (0.75, 0.125), (-0.5, 0.5)])
def test_a_linear_change_is_found(tmp_path: Path, slope: float, offset: float) -> None:
    """The same line everywhere, even a falling one, is applied to every pixel and leaves no residual."""
    fine, coarse, _ = scene(4, 1, 2, (24, 24), 4)
    target = slope * coarse[0] + np.float32(offset)
    fused = fuse(tmp_path, 4, fine, coarse, target, neighbours=1)
    np.testing.assert_allclose(fused, slope * fine[0] + offset, atol=2e-6)


def test_a_constant_coarse_image_takes_the_mean_change_and_is_counted(tmp_path: Path) -> None:
    fine, coarse, _ = scene(5, 1, 1, (24, 24), 4)
    coarse[:] = 0.25
    outcome = attempt(tmp_path, 4, fine, coarse, coarse[0] + np.float32(0.125), neighbours=1)
    np.testing.assert_allclose(read_raster(tmp_path / "fused.tif"), fine[0] + 0.125, atol=1e-6)
    assert any("576 of 576 values (100.00%) lie where the coarse window" in line for line in outcome.said.of("warning"))


def test_one_class_changes(tmp_path: Path) -> None:
    """Two classes in pure coarse pixels, of which one changes: the line through both is exact, the residual zero."""
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 2, (8, 8))
    coarse = (0.1 + 0.3 * classes).astype(np.float32)[None, None]
    fine = np.kron(coarse, np.ones((5, 5), np.float32))
    target = coarse[0] + (0.2 * classes).astype(np.float32)
    fused = fuse(tmp_path, 5, fine, coarse, target, coarse_window=15)
    np.testing.assert_allclose(fused, np.kron(target, np.ones((5, 5))), atol=1e-6)


@pytest.mark.parametrize("native", [True, False])
def test_result_does_not_depend_on_tiles_or_threads(
    tmp_path: Path, native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bit for bit, with coarse images on a grid that nests, or in another coordinate system."""
    rng = np.random.default_rng(5)
    fine = rng.random((3, 150, 137)).astype(np.float32)
    fine[:, 40:60, 50:90] = np.nan
    names = {"fine": write_raster(tmp_path / "fine.tif", fine)}
    for name in ("coarse", "target"):
        coarse = rng.random((3, 14, 14)).astype(np.float32)
        coarse[:, 7, 9] = np.nan
        names[name] = (
            write_raster(tmp_path / f"{name}.tif", coarse, FINE @ Affine.scale(12))
            if native
            else write_raster(tmp_path / f"{name}.tif", coarse, Affine(0.005, 0, 14.99, 0, -0.0035, 46.96), "EPSG:4326")
        )

    def once(tile: tuple[int, int], threads: int) -> np.ndarray:
        monkeypatch.setattr(_fuse, "tile_shape", lambda *_: tile)
        path = str(tmp_path / "fused.tif")
        outcome = run_method("fit_fc", settings={"threads": threads}, output=path, unit=1.0, window=15, **names)
        assert outcome.code == 0, outcome.said.lines
        return read_raster(path)

    whole = once((150, 137), 1)
    assert 0.02 < np.isnan(whole).mean() < 0.3
    for tile, threads in (((64, 64), 2), ((37, 101), 1), ((150, 19), 2), ((7, 137), 2)):
        np.testing.assert_array_equal(once(tile, threads), whole)


def test_mirroring_transposing_and_permuting_bands(tmp_path: Path) -> None:
    images = scene(11, 2, 3, (20, 20), 4, gaps=True)
    straight = fuse(tmp_path, 4, *images)

    def turned(turn: Any) -> np.ndarray:
        return fuse(tmp_path, 4, *(np.ascontiguousarray(turn(image)) for image in images))

    np.testing.assert_allclose(turned(lambda i: i[..., ::-1, :]), straight[:, ::-1], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(turned(lambda i: i.swapaxes(-1, -2)), straight.swapaxes(1, 2), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(turned(lambda i: i[..., [2, 0, 1], :, :]), straight[[2, 0, 1]], rtol=1e-5, atol=1e-6)


def test_scaling_reflectance(tmp_path: Path) -> None:
    images = scene(12, 2, 2, (20, 20), 4, gaps=True)
    straight = fuse(tmp_path, 4, *images)
    scaled = fuse(tmp_path, 4, *(image * np.float32(1024) for image in images), unit=1024.0)
    np.testing.assert_allclose(scaled / 1024, straight, rtol=1e-5, atol=1e-6)


def test_shifting_the_scene_by_a_tile(tmp_path: Path) -> None:
    """Invalid rows and columns before the scene move it; only beside them are residuals interpolated otherwise."""
    images = scene(18, 2, 2, (32, 28), 4, gaps=True)
    straight = fuse(tmp_path, 4, *images)
    moved = [
        np.pad(image, [(0, 0)] * (image.ndim - 2) + [(pad, 0), (pad, 0)], constant_values=np.nan)
        for image, pad in zip(images, (64, 16, 16), strict=True)
    ]
    fused = fuse(tmp_path, 4, *moved)
    np.testing.assert_allclose(fused[:, 74:, 74:], straight[:, 10:, 10:], rtol=1e-5, atol=1e-6)
    assert np.isnan(fused[:, :64]).all()


def test_a_gap_touches_only_its_window(tmp_path: Path) -> None:
    fine, coarse, target = scene(13, 1, 1, (40, 40), 4)
    before = fuse(tmp_path, 4, fine, coarse, target, window=7)
    fine[0, :, 20, 20] = np.nan
    after = fuse(tmp_path, 4, fine, coarse, target, window=7)
    assert np.isnan(after[0, 20, 20])
    near = np.zeros((40, 40), bool)
    near[17:24, 17:24] = True
    np.testing.assert_array_equal(after[0][~near], before[0][~near])


def test_where_one_pair_has_a_gap_the_other_serves(tmp_path: Path) -> None:
    fine, coarse, target = scene(14, 2, 2, (24, 24), 4)
    alone = fuse(tmp_path, 4, fine[1:], coarse[1:], target)
    fine[0, :, 4:16, 4:16] = np.nan
    coarse[0, :, 5, 5] = np.nan
    fused = fuse(tmp_path, 4, fine, coarse, target)
    np.testing.assert_allclose(fused[:, 4:16, 4:16], alone[:, 4:16, 4:16], rtol=1e-5)
    np.testing.assert_allclose(fused[:, 20:, 20:], alone[:, 20:, 20:], rtol=1e-5)
    assert not np.isnan(fused).any()


def test_a_window_larger_than_the_image_is_refused(tmp_path: Path) -> None:
    outcome = attempt(tmp_path, 4, *scene(15, 1, 1, (20, 20), 4), window=21)
    assert outcome.code == 2
    assert "take an odd window of at most 19" in outcome.error


def test_ratio_one_is_refused(tmp_path: Path) -> None:
    fine = scene(16, 1, 1, (20, 20), 4)[0]
    outcome = attempt(tmp_path, 1, fine, fine, fine[0])
    assert outcome.code == 2
    assert "have a ratio of 1, and at least 2 is needed" in outcome.error


@pytest.mark.parametrize(("pairs", "rmse"), [(1, 0.0113), (2, 0.0076)])
def test_boreas(tmp_path: Path, pairs: int, rmse: float) -> None:
    """July predicted from May, and from May and August; the fine image plus the coarse change reaches .0124."""
    folder = real_scene("stf_boreas_2001_envi")

    def image(sensor: str, day: str) -> str:
        return str(folder / f"{sensor}2001{day}")

    inputs = {"fine": image("tm", "0524"), "coarse": image("modis", "0524"), "target": image("modis", "0711")}
    if pairs == 2:
        inputs |= {"fine2": image("tm", "0812"), "coarse2": image("modis", "0812")}
    outcome = run_method("fit_fc", **inputs, ratio=16, output=str(tmp_path / "fused.tif"))
    assert outcome.code == 0
    truth, fused = read_raster(image("tm", "0711")) / 1e4, read_raster(tmp_path / "fused.tif") / 1e4
    assert np.sqrt(((fused - truth) ** 2).mean(axis=(1, 2))).mean() <= rmse
