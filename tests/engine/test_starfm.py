"""STARFM against its literal equations, in cases with a known answer, and its invariants."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from literal_starfm import Literal
from makers import FINE, quantised, read_raster, run_method, write_raster

SETTINGS = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def fuse(folder: Path, fine: np.ndarray, coarse: np.ndarray, target: np.ndarray, **options: Any) -> np.ndarray:
    """Write (pairs, bands, rows, columns) and (bands, rows, columns), run STARFM and read the result.

    Each band chooses its neighbours and weights are direct, as :class:`Literal` has it, unless said otherwise.
    """
    options = {"joint": False, "logarithmic": False, **options}
    images = {"fine": fine[0], "coarse": coarse[0], "target": target}
    if len(fine) == 2:
        images |= {"fine2": fine[1], "coarse2": coarse[1]}
    paths = {name: write_raster(folder / f"{name}.tif", values) for name, values in images.items()}
    settings_ = options.pop("settings", {})
    outcome = run_method(
        "starfm",
        settings=settings_,
        output=str(folder / "fused.tif"),
        unit=options.pop("unit", 1.0),
        **paths,
        **options,
    )
    assert outcome.code == 0, outcome.said.lines
    return read_raster(folder / "fused.tif")


def scene(seed: int, pairs: int, bands: int, shape: tuple[int, int], gaps: bool) -> tuple[np.ndarray, ...]:
    """Random images in which some pixels are unchanged, some have F = C, and some are missing."""
    rng = np.random.default_rng(seed)
    fine = quantised(rng, pairs, bands, *shape)
    coarse = fine + (rng.integers(-40, 40, fine.shape) / 1024).astype(np.float32)
    target = coarse[0] + (rng.integers(-60, 60, coarse[0].shape) / 1024).astype(np.float32)
    same = rng.random(coarse.shape) < 0.02
    coarse[same] = fine[same]
    if gaps:
        for image in (*fine, *coarse, target):
            image[:, rng.random(shape) < 0.08] = np.nan
    return fine, coarse, target


options = st.fixed_dictionaries(
    {
        "window": st.sampled_from([3, 5, 9]),
        "classes": st.integers(1, 12),
        "logarithmic": st.booleans(),
        "filter": st.sampled_from(["both", "either"]),
        "smallest_difference": st.sampled_from([1e-4, 1e-5]),
        "fine_uncertainty": st.sampled_from([0.0, 0.005, 0.02]),
        "coarse_uncertainty": st.sampled_from([0.0, 0.003, 0.01]),
        "distance_constant": st.sampled_from([0.0, 1.5, 20.0]),
    }
)


@SETTINGS
@given(
    seed=st.integers(0, 2**32 - 1),
    pairs=st.integers(1, 2),
    bands=st.integers(1, 3),
    shape=st.tuples(st.integers(9, 14), st.integers(9, 14)),
    gaps=st.booleans(),
    joint=st.booleans(),
    chosen=options,
)
def test_equals_the_literal_equations(
    tmp_path: Path, seed: int, pairs: int, bands: int, shape: tuple[int, int], gaps: bool, joint: bool, chosen: Any
) -> None:
    fine, coarse, target = scene(seed, pairs, bands, shape, gaps)
    expected = Literal(joint=joint, **chosen).predict(fine, coarse, target)
    fused = fuse(tmp_path, fine, coarse, target, joint=joint, **chosen)
    np.testing.assert_array_equal(np.isnan(fused), np.isnan(expected))
    np.testing.assert_allclose(fused, expected, rtol=1e-5, atol=1e-6)


def test_bands_that_decide_similarity(tmp_path: Path) -> None:
    fine, coarse, target = scene(3, 2, 3, (14, 12), gaps=True)
    expected = Literal(joint=True, joint_bands=(2, 3)).predict(fine, coarse, target)
    fused = fuse(tmp_path, fine, coarse, target, window=7, classes=4, joint=True, joint_bands="2,3")
    np.testing.assert_allclose(fused, expected, rtol=1e-5, atol=1e-6)
    alone = fuse(tmp_path, fine, coarse, target, window=7, classes=4)
    assert np.nanmax(np.abs(alone - fused)) > 1e-3


@pytest.mark.parametrize("joint", [False, True])
def test_sampling_by_class_equals_the_literal_equations(tmp_path: Path, joint: bool) -> None:
    """Three spectra far apart: k-means has to find them, and the classes are then known without it."""
    rng = np.random.default_rng(8)
    true = rng.integers(0, 3, (2, 15, 13))
    fine = (np.array([0.1, 0.25, 0.4])[true][:, None] + rng.integers(0, 20, (2, 2, 15, 13)) / 1024).astype(np.float32)
    coarse = fine + (rng.integers(-40, 40, fine.shape) / 1024).astype(np.float32)
    target = coarse[0] + (rng.integers(1, 60, coarse[0].shape) / 1024).astype(np.float32)
    maps = np.repeat(true[:, None], 2, axis=1)
    expected = Literal(class_maps=maps).predict(fine, coarse, target)
    fused = fuse(tmp_path, fine, coarse, target, window=7, classes=3, sampling="class", joint=joint)
    np.testing.assert_allclose(fused, expected, rtol=1e-5, atol=1e-6)


def test_no_change_returns_the_fine_image(tmp_path: Path) -> None:
    fine, coarse, _ = scene(1, 1, 2, (20, 20), gaps=False)
    np.testing.assert_array_equal(fuse(tmp_path, fine, coarse, coarse[0], window=9), fine[0])


def test_uniform_change_is_added(tmp_path: Path) -> None:
    """With one class that lets all neighbours in, a constant offset between dates and a pure scene are exact."""
    fine, _, _ = scene(2, 1, 2, (20, 20), gaps=False)
    coarse = fine + np.float32(1 / 64)
    fused = fuse(tmp_path, fine, coarse, coarse[0] + np.float32(1 / 16), window=9, classes=1000)
    np.testing.assert_allclose(fused, fine[0] + 1 / 16, atol=1e-6)


def test_one_class_changes(tmp_path: Path) -> None:
    """Two classes in pure coarse pixels of which one changes: the other must not move."""
    rng = np.random.default_rng(0)
    classes = np.kron(rng.integers(0, 2, (6, 6)), np.ones((8, 8), int))
    fine = (0.1 + 0.3 * classes).astype(np.float32)[None, None]
    coarse = fine + np.float32(0.01)
    target = (coarse[0] + 0.2 * classes).astype(np.float32)
    fused = fuse(tmp_path, fine, coarse, target, window=17, classes=4)
    np.testing.assert_allclose(fused[0], 0.1 + 0.5 * classes, atol=1e-6)


def test_constant_disc_larger_than_a_coarse_pixel_is_kept(tmp_path: Path) -> None:
    """The papers' first test: background 0.1, 0.2, 0.4 and a constant disc, two pairs, the middle date predicted."""
    y, x = np.mgrid[:153, :153]
    disc = np.hypot(y - 76, x - 76) < 40

    def images(background: float) -> tuple[np.ndarray, np.ndarray]:
        fine = np.where(disc, 0.05, background).astype(np.float32)
        return fine, np.kron(fine.reshape(9, 17, 9, 17).mean((1, 3)), np.ones((17, 17))).astype(np.float32)

    (f1, c1), (truth, c2), (f3, c3) = images(0.1), images(0.2), images(0.4)
    fused = fuse(tmp_path, np.stack([f1, f3])[:, None], np.stack([c1, c3])[:, None], c2[None], window=51, classes=4)[0]
    inside, outside = np.hypot(y - 76, x - 76) < 20, np.hypot(y - 76, x - 76) > 60
    np.testing.assert_allclose(fused[inside], 0.05, atol=1e-3)
    np.testing.assert_allclose(fused[outside], truth[outside], atol=1e-3)


@pytest.mark.parametrize("sampling", ["threshold", "class"])
def test_result_does_not_depend_on_tiles_or_threads(
    tmp_path: Path, sampling: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bit for bit, with coarse images on their own grid that are resampled on the fly."""
    from affine import Affine

    from stfusion.fusion import _fuse

    rng = np.random.default_rng(5)
    fine = rng.random((3, 300, 277)).astype(np.float32)
    fine[:, 40:60, 50:90] = np.nan
    names = {"fine": write_raster(tmp_path / "fine.tif", fine)}
    for name in ("coarse", "target"):
        coarse = rng.random((3, 25, 24)).astype(np.float32)
        coarse[:, 7, 9] = np.nan
        names[name] = write_raster(tmp_path / f"{name}.tif", coarse, FINE @ Affine.scale(13.3, 12.7))

    def run(tile: tuple[int, int], threads: int) -> np.ndarray:
        monkeypatch.setattr(_fuse, "tile_shape", lambda *_: tile)
        path = str(tmp_path / "fused.tif")
        outcome = run_method(
            "starfm", settings={"threads": threads}, output=path, window=15, classes=8, sampling=sampling, **names
        )
        assert outcome.code == 0
        return read_raster(path)

    whole = run((300, 277), 1)
    assert 0 < np.isnan(whole).mean() < 0.1
    for tile, threads in (((64, 64), 2), ((37, 101), 1), ((300, 19), 2), ((1, 277), 2)):
        np.testing.assert_array_equal(run(tile, threads), whole)


def mirrored(images: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    return tuple(np.ascontiguousarray(image[..., ::-1, :]) for image in images)


def test_mirroring_and_permuting_bands(tmp_path: Path) -> None:
    images = scene(11, 2, 3, (22, 18), gaps=True)
    straight = fuse(tmp_path, *images, window=7)
    np.testing.assert_allclose(fuse(tmp_path, *mirrored(images), window=7), straight[:, ::-1], rtol=2e-6)
    permuted = tuple(image[..., [2, 0, 1], :, :] for image in images)
    np.testing.assert_array_equal(fuse(tmp_path, *permuted, window=7), straight[[2, 0, 1]])


def test_scaling_reflectance(tmp_path: Path) -> None:
    """Reflectance stored as 0..10000 gives the same, since the options are in reflectance."""
    images = scene(12, 2, 2, (20, 20), gaps=True)
    straight = fuse(tmp_path, *images, window=7)
    scaled = fuse(tmp_path, *(image * np.float32(1024) for image in images), window=7, unit=1024.0)
    np.testing.assert_allclose(scaled / 1024, straight, rtol=2e-5, atol=1e-6)


def test_a_gap_touches_only_its_window(tmp_path: Path) -> None:
    """One pair; the standard deviation is pinned by two classes far apart, so that only neighbours matter."""
    fine, coarse, target = scene(13, 1, 1, (40, 40), gaps=False)
    before = fuse(tmp_path, fine, coarse, target, window=7, sampling="class", classes=1)
    coarse[0, :, 20, 20] = np.nan
    after = fuse(tmp_path, fine, coarse, target, window=7, sampling="class", classes=1)
    assert np.isnan(after[0, 20, 20])
    near = np.zeros((40, 40), bool)
    near[17:24, 17:24] = True
    np.testing.assert_array_equal(after[0][~near], before[0][~near])


def test_where_one_pair_has_a_gap_the_other_serves(tmp_path: Path) -> None:
    fine, coarse, target = scene(14, 2, 1, (20, 20), gaps=False)
    fine[0, :, 5:9, 5:9] = np.nan
    assert not np.isnan(fuse(tmp_path, fine, coarse, target, window=7)).any()
    fine[1, :, 6, 6] = np.nan
    missing = np.isnan(fuse(tmp_path, fine, coarse, target, window=7)[0])
    assert missing[6, 6]
    assert missing.sum() == 1


def test_pixels_without_a_candidate_are_counted(tmp_path: Path) -> None:
    fine, coarse, target = scene(15, 1, 1, (20, 20), gaps=False)
    paths = {
        n: write_raster(tmp_path / f"{n}.tif", v)
        for n, v in {"fine": fine[0], "coarse": coarse[0], "target": target}.items()
    }
    outcome = run_method(
        "starfm",
        **paths,
        output=str(tmp_path / "o.tif"),
        unit=1.0,
        window=3,
        fine_uncertainty=0.0,
        coarse_uncertainty=0.0,
    )
    assert outcome.code == 0
    assert any("no similar pixel" in message for message in outcome.said.of("warning"))
