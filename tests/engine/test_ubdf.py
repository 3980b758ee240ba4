"""UBDF against scipy's bounded least squares, in cases with a known answer, and its invariants."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.optimize import lsq_linear

from literal_ubdf import Literal
from makers import FINE, Outcome, quantised, read_raster, run_method, write_raster
from stfusion.fusion import _fuse, _ubdf
from stfusion.fusion._bounded import solve_bounded

SETTINGS = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

Images = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def attempt(
    folder: Path, side: int, fine: np.ndarray, class_map: np.ndarray | None, coarse: np.ndarray, target: np.ndarray,
    **options: Any,
) -> Outcome:  # fmt: skip
    """Write fine (bands, rows, columns), and coarse and target in pixels of ``side`` fine ones, and run."""
    grid = FINE @ Affine.scale(side)
    paths = {
        "fine": write_raster(folder / "fine.tif", fine),
        "coarse": write_raster(folder / "coarse.tif", coarse, grid),
        "target": write_raster(folder / "target.tif", target, grid),
    }
    if class_map is not None:
        paths["class_map"] = write_raster(folder / "classes.tif", class_map.astype(np.uint8), nodata=255)
    values = {"output": str(folder / "fused.tif"), **paths, **options}
    return run_method("ubdf", settings={"threads": 1}, **values)


def fuse(folder: Path, side: int, *images: np.ndarray | None, **options: Any) -> np.ndarray:
    outcome = attempt(folder, side, *images, **options)
    assert outcome.code == 0, outcome.said.lines
    return read_raster(folder / "fused.tif")


def scene(
    seed: int, bands: int, shape: tuple[int, int], ratio: int, classes: int, gaps: bool = False, blob: int = 2
) -> Images:
    """Random images, and classes 3, 4, 5 ... in patches, of which some are rare."""
    rng = np.random.default_rng(seed)
    cells = tuple(-(-n // ratio) for n in shape)
    shares = rng.dirichlet(np.full(classes, 0.7))
    map_ = np.kron(rng.choice(classes, tuple(-(-n // blob) for n in shape), p=shares), np.ones((blob, blob), int))
    fine = quantised(rng, bands, *shape)
    coarse, target = quantised(rng, bands, *cells), quantised(rng, bands, *cells)
    if gaps:
        for image in (fine, coarse, target):
            image[:, rng.random(image.shape[1:]) < 0.06] = np.nan
        fine[:, : ratio * 2, :ratio] = np.nan
    return fine, map_[: shape[0], : shape[1]] + 3, coarse, target


@SETTINGS
@given(
    seed=st.integers(0, 2**32 - 1),
    bands=st.integers(1, 3),
    ratio=st.sampled_from([2, 3, 4, 5]),
    shape=st.tuples(st.integers(15, 19), st.integers(15, 19)),
    classes=st.integers(1, 4),
    gaps=st.booleans(),
    chosen=st.fixed_dictionaries(
        {
            "window": st.sampled_from([3, 5]),
            "unmix": st.sampled_from(["absolute", "change"]),
            "regularisation": st.sampled_from([0.01, 1.0]),
        }
    ),
)
def test_equals_the_literal_equations(
    tmp_path: Path, seed: int, bands: int, ratio: int, shape: tuple[int, int], classes: int, gaps: bool, chosen: Any
) -> None:
    images = scene(seed, bands, shape, ratio, classes, gaps)
    expected = Literal(ratio, **chosen).predict(*images)
    fused = fuse(tmp_path, ratio, *images, **chosen)
    np.testing.assert_array_equal(np.isnan(fused), np.isnan(expected))
    np.testing.assert_allclose(fused, expected, rtol=1e-5, atol=1e-5)


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), unknowns=st.integers(1, 9), high=st.sampled_from([0.1, 0.4, 10.0]))
def test_bounded_least_squares_equals_scipy(seed: int, unknowns: int, high: float) -> None:
    """Many problems at once, which are done after different numbers of steps."""
    rng = np.random.default_rng(seed)
    a, y = rng.dirichlet(np.full(unknowns, 0.3), (7, 30)), rng.random((7, 30))
    low, high_ = rng.uniform(-0.3, 0.05, 7), np.full(7, high)
    normal, moments = np.einsum("pij,pik->pjk", a, a) + 1e-9 * np.eye(unknowns), np.einsum("pij,pi->pj", a, y)
    solved = solve_bounded(normal, moments, low, high_)
    for p in range(7):
        expected = lsq_linear(a[p], y[p], (low[p], high), tol=1e-14, method="bvls").x
        np.testing.assert_allclose(solved[p], expected, atol=1e-6)


def test_classes_of_uniform_value_are_found(tmp_path: Path) -> None:
    """Coarse pixels, some pure and some exact mixtures of three classes, give back what the classes have."""
    rng = np.random.default_rng(1)
    classes = np.kron(rng.integers(0, 3, (20, 20)), np.ones((2, 2), int))
    classes[:, :20] = np.kron(rng.integers(0, 3, (8, 4)), np.ones((5, 5), int))
    true = np.array([[0.1, 0.25, 0.4], [0.3, 0.1, 0.2]], np.float32)[:, classes]
    target = true.reshape(2, 8, 5, 8, 5).mean((2, 4), dtype=np.float32)
    fused = fuse(tmp_path, 5, quantised(rng, 2, 40, 40), classes + 1, np.zeros_like(target), target, window=15)
    np.testing.assert_allclose(fused, true, atol=1e-6)


def test_one_class_changes(tmp_path: Path) -> None:
    """Pure coarse pixels of two classes of which one changes: the change is exact and the texture stays."""
    rng = np.random.default_rng(2)
    blocks = rng.integers(0, 2, (8, 8))
    classes = np.kron(blocks, np.ones((5, 5), int))
    fine, coarse = quantised(rng, 1, 40, 40), quantised(rng, 1, 8, 8)
    target = coarse + (0.125 * blocks).astype(np.float32)
    fused = fuse(tmp_path, 5, fine, classes + 1, coarse, target, unmix="change", window=7)
    np.testing.assert_allclose(fused[0], fine[0] + 0.125 * classes, atol=1e-6)


@pytest.mark.parametrize("change", [0.0, 0.0625])
def test_uniform_change_is_added(tmp_path: Path, change: float) -> None:
    fine, classes, coarse, _ = scene(3, 2, (24, 24), 4, 3)
    fused = fuse(tmp_path, 4, fine, classes, coarse, coarse + np.float32(change), unmix="change")
    np.testing.assert_allclose(fused, fine + change, atol=1e-6)


@pytest.mark.parametrize("unmix", ["absolute", "change"])
def test_result_does_not_depend_on_tiles_or_threads(
    tmp_path: Path, unmix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bit for bit, with classes that are found and coarse pixels that are cut by the tiles."""
    rng = np.random.default_rng(5)
    fine = rng.random((3, 150, 137)).astype(np.float32)
    fine[:, 40:60, 50:90] = np.nan
    names = {"fine": write_raster(tmp_path / "fine.tif", fine)}
    for name in ("coarse", "target"):
        coarse = rng.random((3, 14, 14)).astype(np.float32)
        coarse[:, 7, 9] = np.nan
        names[name] = write_raster(tmp_path / f"{name}.tif", coarse, FINE @ Affine.scale(12))

    def once(tile: tuple[int, int], threads: int) -> np.ndarray:
        monkeypatch.setattr(_fuse, "tile_shape", lambda *_: tile)
        path = str(tmp_path / "fused.tif")
        outcome = run_method("ubdf", settings={"threads": threads}, output=path, classes=4, unmix=unmix, **names)
        assert outcome.code == 0, outcome.said.lines
        return read_raster(path)

    whole = once((150, 137), 1)
    assert 0.02 < np.isnan(whole).mean() < 0.1
    for tile, threads in (((64, 64), 2), ((37, 101), 1), ((150, 19), 2), ((7, 137), 2)):
        np.testing.assert_array_equal(once(tile, threads), whole)


def test_solving_in_parts_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = scene(6, 2, (20, 20), 4, 3)
    whole = fuse(tmp_path, 4, *images)
    monkeypatch.setattr(_ubdf, "_AT_ONCE", 9 * 7)
    np.testing.assert_array_equal(fuse(tmp_path, 4, *images), whole)


@pytest.mark.parametrize("unmix", ["absolute", "change"])
def test_mirroring_transposing_permuting_bands_and_scaling(tmp_path: Path, unmix: str) -> None:
    images = scene(11, 3, (20, 20), 4, 3, gaps=True)
    straight = fuse(tmp_path, 4, *images, unmix=unmix)

    def turned(turn: Any) -> np.ndarray:
        return fuse(tmp_path, 4, *(np.ascontiguousarray(turn(image)) for image in images), unmix=unmix)

    np.testing.assert_allclose(turned(lambda i: i[..., ::-1, :]), straight[:, ::-1], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(turned(lambda i: i.swapaxes(-1, -2)), straight.swapaxes(1, 2), rtol=1e-4, atol=1e-5)
    permuted = turned(lambda i: i[[2, 0, 1]] if i.ndim == 3 else i)
    np.testing.assert_allclose(permuted, straight[[2, 0, 1]], rtol=1e-4, atol=1e-5)
    scaled = turned(lambda i: i * np.float32(1024) if i.ndim == 3 else i)
    np.testing.assert_allclose(scaled / 1024, straight, rtol=1e-4, atol=1e-5)


def test_gaps_of_the_class_map_are_a_class_of_their_own(tmp_path: Path) -> None:
    """Pixels that the map leaves out are unmixed as well, to what they have."""
    classes = np.kron(np.random.default_rng(20).integers(1, 4, (10, 10)), np.ones((2, 2), int))
    classes[:4, :12] = np.repeat([1, 2, 3], 4)
    true = np.array([0, 0.125, 0.25, 0.5], np.float32)[classes][None]
    target = true.reshape(1, 5, 4, 5, 4).mean((2, 4), dtype=np.float32)
    fine = quantised(np.random.default_rng(21), 1, 20, 20)
    given = np.where(classes == 2, 255, classes)
    fused = fuse(tmp_path, 4, fine, given, np.zeros_like(target), target, window=9)
    np.testing.assert_allclose(fused, true, atol=1e-5)


def test_a_gap_touches_only_its_window(tmp_path: Path) -> None:
    """But for what the means over the scene decide, which does not exist where windows tell the classes apart."""
    fine, classes, coarse, target = scene(13, 1, (60, 60), 4, 2)
    before = fuse(tmp_path, 4, fine, classes, coarse, target, window=3)
    fine[:, 28:30, 28:30] = np.nan
    after = fuse(tmp_path, 4, fine, classes, coarse, target, window=3)
    assert np.isnan(after[0, 28:30, 28:30]).all()
    near = np.zeros((60, 60), bool)
    near[24:36, 24:36] = True
    np.testing.assert_allclose(after[0][~near], before[0][~near], atol=1e-4)


def test_a_class_that_a_window_lacks_is_counted(tmp_path: Path) -> None:
    """A single pixel of a class in its window takes the class's mean over the scene."""
    fine, _, coarse, target = scene(14, 1, (48, 48), 8, 1)
    classes = np.ones((48, 48), int)
    classes[3, 3] = classes[40:] = 2
    outcome = attempt(tmp_path, 8, fine, classes, coarse, target, window=3)
    fused = read_raster(tmp_path / "fused.tif")[0]
    assert any(line.startswith("1 of 2304 values") and "less than 1 %" in line for line in outcome.said.of("warning"))
    assert abs(fused[3, 3] - target[0, 5].mean()) < 0.1
    assert fused[3, 3] != fused[3, 4]


def test_windows_that_do_not_tell_classes_apart_are_counted(tmp_path: Path) -> None:
    """Every coarse pixel has the same mixture: the sum is right, and the two classes have the same."""
    fine, _, coarse, target = scene(15, 1, (40, 40), 4, 1)
    classes = np.tile([[1, 2]], (40, 20))
    outcome = attempt(tmp_path, 4, fine, classes, coarse, target, window=3)
    assert any(line.startswith("1600 of 1600 values") for line in outcome.said.of("warning"))
    fused = read_raster(tmp_path / "fused.tif")[0]
    np.testing.assert_allclose(fused[:, ::2], fused[:, 1::2], atol=1e-6)
    assert fused[18, 18] == pytest.approx(target[0, 3:6, 3:6].mean(), abs=1e-5)


def test_too_small_a_window_is_refused(tmp_path: Path) -> None:
    fine, _, coarse, target = scene(16, 1, (40, 40), 4, 1)
    outcome = attempt(tmp_path, 4, fine, None, coarse, target, window=3, classes=5)
    assert outcome.code == 2
    assert outcome.error == (
        "A window of 3 x 3 coarse pixels has 9 equations for 5 classes, and at least 10 are needed; take a larger "
        "window or fewer classes."
    )


def test_more_classes_than_pixels_are_refused(tmp_path: Path) -> None:
    _, _, coarse, target = scene(17, 1, (40, 40), 4, 1)
    fine = np.full((1, 40, 40), 0.25, np.float32)
    outcome = attempt(tmp_path, 4, fine, None, coarse, target, classes=4)
    assert outcome.code == 2
    assert "has 1 different pixels (of 1600 sampled) and 4 classes are asked for" in outcome.error


def test_no_known_coarse_pixel_is_refused(tmp_path: Path) -> None:
    fine, classes, coarse, target = scene(18, 1, (40, 40), 4, 2)
    fine[:, 1::2], fine[:, ::4] = np.nan, np.nan
    outcome = attempt(tmp_path, 4, fine, classes, coarse, target)
    assert outcome.code == 2
    assert "No coarse pixel has a value in" in outcome.error


def test_a_constant_band_stays_constant(tmp_path: Path) -> None:
    fine, classes, coarse, target = scene(19, 2, (40, 40), 4, 3)
    fine[0], coarse[0], target[0] = 0.25, 0.25, 0.375
    for unmix in ("absolute", "change"):
        fused = fuse(tmp_path, 4, fine, classes, coarse, target, unmix=unmix)
        np.testing.assert_allclose(fused[0], 0.375, atol=1e-6)
        assert not np.isnan(fused).any()
