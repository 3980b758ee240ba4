"""VIPSTF against its literal equations, in cases with a known answer, and its invariants."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from literal_vipstf import Literal
from makers import FINE, Outcome, read_raster, run_method, write_raster
from real_data import real_scene
from stfusion.fusion import _fuse

SETTINGS = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
VERSIONS = ["weighting", "unmixing"]
Images = tuple[np.ndarray, np.ndarray, np.ndarray]


def attempt(
    folder: Path, side: int, fine: np.ndarray, coarse: np.ndarray, target: np.ndarray,
    class_map: np.ndarray | None = None, **options: Any,
) -> Outcome:  # fmt: skip
    """Write fine (pairs, bands, rows, columns), and coarse and target in pixels of ``side`` fine ones, and run."""
    grid = FINE @ Affine.scale(side)
    paths = {"target": write_raster(folder / "target.tif", target, grid)}
    for suffix, f, c in zip(("", "2"), fine, coarse, strict=False):
        paths[f"fine{suffix}"] = write_raster(folder / f"fine{suffix}.tif", f)
        paths[f"coarse{suffix}"] = write_raster(folder / f"coarse{suffix}.tif", c, grid)
    if class_map is not None:
        paths["class_map"] = write_raster(folder / "classes.tif", class_map.astype(np.uint8))
    values = {"output": str(folder / "fused.tif"), **paths, **options}
    return run_method("vipstf", settings={"threads": 1}, **values)


def fuse(folder: Path, side: int, *images: np.ndarray, **options: Any) -> np.ndarray:
    outcome = attempt(folder, side, *images, **options)
    assert outcome.code == 0, outcome.said.lines
    return read_raster(folder / "fused.tif")


def scene(
    seed: int, pairs: int, bands: int, shape: tuple[int, int], ratio: int, gaps: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Random fine and coarse images, some pixels of which are missing, and a map of three classes."""
    rng = np.random.default_rng(seed)
    cells = tuple(-(-n // ratio) for n in shape)
    fine, coarse = (
        rng.random((pairs, bands, *shape), np.float32) / 2,
        rng.random((pairs, bands, *cells), np.float32) / 2,
    )
    target = rng.random((bands, *cells), np.float32) / 2
    if gaps:
        for image in (*fine, *coarse, target):
            image[:, rng.random(image.shape[1:]) < 0.06] = np.nan
    return fine, coarse, target, rng.integers(1, 4, shape)


@SETTINGS
@given(
    seed=st.integers(0, 2**32 - 1),
    pairs=st.integers(1, 2),
    bands=st.integers(1, 3),
    ratio=st.sampled_from([2, 3, 4, 5]),
    shape=st.tuples(st.integers(15, 19), st.integers(15, 19)),
    gaps=st.booleans(),
    chosen=st.fixed_dictionaries(
        {"window": st.sampled_from([0, 1, 4, 7]), "neighbours": st.sampled_from([0, 1, 5, 60])}
    ),
)
def test_weighting_equals_the_literal_equations(
    tmp_path: Path, seed: int, pairs: int, bands: int, ratio: int, shape: tuple[int, int], gaps: bool, chosen: Any
) -> None:
    *images, classes = scene(seed, pairs, bands, shape, ratio, gaps)
    expected, undecided = Literal(ratio, classes, **chosen).predict(*images)
    fused = fuse(tmp_path, ratio, *images, **chosen)
    np.testing.assert_array_equal(np.isnan(fused), np.isnan(expected))
    assert undecided.mean() < 0.1
    np.testing.assert_allclose(fused[:, ~undecided], expected[:, ~undecided], rtol=2e-5, atol=2e-5)


@SETTINGS
@given(
    seed=st.integers(0, 2**32 - 1),
    pairs=st.integers(1, 2),
    bands=st.integers(1, 3),
    ratio=st.sampled_from([2, 3, 4, 5]),
    shape=st.tuples(st.integers(15, 19), st.integers(15, 19)),
    gaps=st.booleans(),
    chosen=st.fixed_dictionaries(
        {"coarse_window": st.sampled_from([3, 5]), "regularisation": st.sampled_from([0.01, 1.0])}
    ),
)
def test_unmixing_equals_the_literal_equations(
    tmp_path: Path, seed: int, pairs: int, bands: int, ratio: int, shape: tuple[int, int], gaps: bool, chosen: Any
) -> None:
    *images, classes = scene(seed, pairs, bands, shape, ratio, gaps)
    chosen["version"] = "unmixing"
    expected, _ = Literal(ratio, classes, **chosen).predict(*images)
    fused = fuse(tmp_path, ratio, *images, classes, **chosen)
    np.testing.assert_array_equal(np.isnan(fused), np.isnan(expected))
    np.testing.assert_allclose(fused, expected, rtol=2e-5, atol=2e-5)


def test_coarse_images_on_the_fine_grid_are_averaged_back(tmp_path: Path) -> None:
    fine, coarse, target, _ = scene(3, 2, 2, (26, 23), 5)
    native = fuse(tmp_path, 5, fine, coarse, target)
    spread = [np.kron(image, np.ones((5, 5), np.float32))[..., :26, :23] for image in (coarse, target)]
    np.testing.assert_allclose(fuse(tmp_path, 1, fine, *spread, ratio=5), native, rtol=1e-5)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("slopes", "offset"), [((1.0,), 0.0), ((0.75,), 0.125), ((-0.5,), 0.5), ((0.5, 0.3), 0.1)])
def test_a_sum_of_the_pairs_is_found(tmp_path: Path, version: str, slopes: tuple[float, ...], offset: float) -> None:
    """A target that is the same sum everywhere, even a falling one, leaves no rest; no change is the simplest."""
    fine, coarse, _, classes = scene(4, len(slopes), 2, (24, 24), 4)
    expected, target = (np.tensordot(slopes, images, 1).astype(np.float32) + np.float32(offset)
                        for images in (fine, coarse))  # fmt: skip
    fused = fuse(tmp_path, 4, fine, coarse, target, classes, version=version)
    np.testing.assert_allclose(fused, expected, atol=2e-6)


@pytest.mark.parametrize("version", VERSIONS)
def test_one_class_changes(tmp_path: Path, version: str) -> None:
    """Two classes in pure coarse pixels, of which one changes: the line through both is exact."""
    classes = np.random.default_rng(0).integers(0, 2, (8, 8))
    coarse = (0.1 + 0.3 * classes).astype(np.float32)[None, None]
    fine = np.kron(coarse, np.ones((5, 5), np.float32))
    target = coarse[0] + (0.2 * classes).astype(np.float32)
    fused = fuse(tmp_path, 5, fine, coarse, target, version=version, classes=2)
    np.testing.assert_allclose(fused, np.kron(target, np.ones((5, 5))), atol=1e-6)


def test_unmixing_finds_what_the_regression_leaves(tmp_path: Path) -> None:
    """Three classes that lie on no line, in pure and mixed coarse pixels: each takes exactly its own change."""
    rng = np.random.default_rng(1)
    first, change = np.array([0.1, 0.25, 0.4]), np.array([0.05, -0.1, 0.2])
    classes = np.kron(rng.integers(0, 3, (20, 20)), np.ones((2, 2), int))
    classes[:, :20] = np.kron(rng.integers(0, 3, (8, 4)), np.ones((5, 5), int))
    fine = first[classes].astype(np.float32)[None, None]
    last = (first + change)[classes].astype(np.float32)[None]
    coarse, target = (i.reshape(*i.shape[:-2], 8, 5, 8, 5).mean((-3, -1), dtype=np.float64).astype(np.float32)
                      for i in (fine, last))  # fmt: skip
    fused = fuse(
        tmp_path, 5, fine, coarse, target, classes + 1, version="unmixing", coarse_window=15, regularisation=0.0
    )
    np.testing.assert_allclose(fused, last, atol=1e-5)


@pytest.mark.parametrize("version", VERSIONS)
def test_result_does_not_depend_on_tiles_or_threads(
    tmp_path: Path, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bit for bit, with gaps in either pair and coarse images of another coordinate system."""
    rng = np.random.default_rng(5)
    names = {}
    for name in ("fine", "fine2"):
        fine = rng.random((3, 150, 137)).astype(np.float32)
        fine[:, 40:60, 50:90] = np.nan
        fine[:, :30, : 30 if name == "fine" else 10] = np.nan
        names[name] = write_raster(tmp_path / f"{name}.tif", fine)
    for name in ("coarse", "coarse2", "target"):
        coarse = rng.random((3, 14, 14)).astype(np.float32)
        coarse[:, 7, 9] = np.nan
        grid = Affine(0.005, 0, 14.99, 0, -0.0035, 46.96)
        names[name] = write_raster(tmp_path / f"{name}.tif", coarse, grid, "EPSG:4326")

    def once(tile: tuple[int, int], threads: int) -> np.ndarray:
        monkeypatch.setattr(_fuse, "tile_shape", lambda *_: tile)
        path = str(tmp_path / "fused.tif")
        outcome = run_method("vipstf", settings={"threads": threads}, output=path, version=version, window=15, **names)
        assert outcome.code == 0, outcome.said.lines
        assert any("lie in a gap of one pair" in line for line in outcome.said.of("warning"))
        return read_raster(path)

    whole = once((150, 137), 1)
    assert 0.02 < np.isnan(whole).mean() < 0.3
    for tile, threads in (((64, 64), 2), ((37, 101), 1), ((150, 19), 2), ((7, 137), 2)):
        np.testing.assert_array_equal(once(tile, threads), whole)


@pytest.mark.parametrize("version", VERSIONS)
def test_mirroring_transposing_permuting_bands_and_scaling(tmp_path: Path, version: str) -> None:
    *images, classes = scene(11, 2, 3, (20, 20), 4, gaps=True)
    straight = fuse(tmp_path, 4, *images, classes, version=version)

    def turned(turn: Any, of_map: Any = lambda i: i) -> np.ndarray:
        maps = (np.ascontiguousarray(turn(image)) for image in images)
        return fuse(tmp_path, 4, *maps, np.ascontiguousarray(of_map(classes)), version=version)

    def mirrored(image: np.ndarray) -> np.ndarray:
        return image[..., ::-1, :]

    def transposed(image: np.ndarray) -> np.ndarray:
        return image.swapaxes(-1, -2)

    np.testing.assert_allclose(turned(mirrored, mirrored), straight[:, ::-1], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(turned(transposed, transposed), straight.swapaxes(1, 2), rtol=1e-4, atol=1e-5)
    permuted = turned(lambda i: i[..., [2, 0, 1], :, :])
    np.testing.assert_allclose(permuted, straight[[2, 0, 1]], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(turned(lambda i: i * np.float32(1024)) / 1024, straight, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_order_of_the_pairs_makes_no_difference(tmp_path: Path, version: str) -> None:
    fine, coarse, target, classes = scene(12, 2, 2, (20, 20), 4, gaps=True)
    straight = fuse(tmp_path, 4, fine, coarse, target, classes, version=version)
    turned = fuse(tmp_path, 4, fine[::-1], coarse[::-1], target, classes, version=version)
    np.testing.assert_allclose(turned, straight, rtol=1e-4, atol=1e-5)


def test_a_gap_of_the_fine_image_touches_only_its_window(tmp_path: Path) -> None:
    fine, coarse, target, _ = scene(13, 1, 1, (40, 40), 4)
    before = fuse(tmp_path, 4, fine, coarse, target, window=7)
    fine[0, :, 20, 20] = np.nan
    after = fuse(tmp_path, 4, fine, coarse, target, window=7)
    assert np.isnan(after[0, 20, 20])
    near = np.zeros((40, 40), bool)
    near[17:24, 17:24] = True
    np.testing.assert_array_equal(after[0][~near], before[0][~near])


@pytest.mark.parametrize("version", VERSIONS)
def test_where_one_pair_has_a_gap_the_other_serves(tmp_path: Path, version: str) -> None:
    """With its own regression: as if it had been the only pair."""
    fine, coarse, target, classes = scene(14, 2, 2, (24, 24), 4)
    alone = fuse(tmp_path, 4, fine[1:], coarse[1:], target, classes, version=version)
    fine[0, :, 4:16, 4:16] = np.nan
    coarse[0, :, 5, 5] = np.nan
    outcome = attempt(tmp_path, 4, fine, coarse, target, classes, version=version)
    fused = read_raster(tmp_path / "fused.tif")
    np.testing.assert_allclose(fused[:, 4:16, 4:16], alone[:, 4:16, 4:16], rtol=1e-5)
    np.testing.assert_allclose(fused[:, 20:, 20:], alone[:, 20:, 20:], rtol=1e-5)
    assert not np.isnan(fused).any()
    assert any(line.startswith("320 of 1152 values") and "alone" in line for line in outcome.said.of("warning"))


def test_pairs_that_do_not_overlap_serve_one_after_the_other(tmp_path: Path) -> None:
    fine, coarse, target, _ = scene(15, 2, 1, (24, 24), 4)
    for half, image in ((slice(None, 12), fine[0]), (slice(12, None), fine[1])):
        image[..., half] = np.nan
    for half, image in ((slice(None, 3), coarse[0]), (slice(3, None), coarse[1])):
        image[..., half] = np.nan
    for version in VERSIONS:
        assert not np.isnan(fuse(tmp_path, 4, fine, coarse, target, version=version)).any()


def test_a_constant_band_takes_the_mean_change_and_is_counted(tmp_path: Path) -> None:
    fine, coarse, target, _ = scene(16, 1, 2, (24, 24), 4)
    coarse[:, 0], target[0] = 0.25, 0.375
    outcome = attempt(tmp_path, 4, fine, coarse, target)
    np.testing.assert_allclose(read_raster(tmp_path / "fused.tif")[0], fine[0, 0] + 0.125, atol=1e-6)
    assert any("576 of 1152 values (50.00%) come from a regression" in line for line in outcome.said.of("warning"))


def test_coarse_images_that_are_alike_share_the_slope(tmp_path: Path) -> None:
    fine, coarse, _, _ = scene(17, 2, 1, (24, 24), 4)
    coarse[1] = coarse[0]
    outcome = attempt(tmp_path, 4, fine, coarse, np.float32(0.5) * coarse[0] + np.float32(0.125))
    expected = 0.25 * (fine[0] + fine[1]) + 0.125
    np.testing.assert_allclose(read_raster(tmp_path / "fused.tif"), expected, atol=2e-6)
    assert any("576 of 576 values (100.00%) come from a regression" in line for line in outcome.said.of("warning"))


def test_too_few_coarse_pixels_for_a_line_take_the_mean_change(tmp_path: Path) -> None:
    fine, coarse, target, _ = scene(18, 1, 1, (12, 12), 4)
    coarse.reshape(1, 9)[:, 2:] = np.nan
    fused = fuse(tmp_path, 4, fine, coarse, target)
    mean = (target - coarse[0])[~np.isnan(coarse[0])].mean()
    rest = (target - coarse[0])[0, 0, 0] - mean
    assert fused[0, 0, 0] == pytest.approx(fine[0, 0, 0, 0] + mean + rest, abs=0.05)


def test_coarse_images_that_never_meet_are_refused(tmp_path: Path) -> None:
    fine, coarse, target, _ = scene(19, 1, 1, (24, 24), 4)
    coarse[..., :3], target[..., 3:] = np.nan, np.nan
    outcome = attempt(tmp_path, 4, fine, coarse, target)
    assert outcome.code == 2
    assert "No coarse pixel is valid in" in outcome.error
    assert outcome.error.endswith("choose images with fewer gaps.")


def test_too_small_a_window_of_the_unmixing_is_refused(tmp_path: Path) -> None:
    outcome = attempt(tmp_path, 4, *scene(20, 1, 1, (24, 24), 4)[:3], version="unmixing", coarse_window=3)
    assert outcome.code == 2
    assert outcome.error == (
        "A window of 3 x 3 coarse pixels has 9 equations for 6 classes, and at least 12 are needed; take a larger "
        "window or fewer classes."
    )


def test_a_window_larger_than_the_image_is_refused(tmp_path: Path) -> None:
    outcome = attempt(tmp_path, 4, *scene(21, 1, 1, (20, 20), 4)[:3], window=21)
    assert outcome.code == 2
    assert "take an odd window of at most 19" in outcome.error


@pytest.mark.parametrize(
    ("version", "pairs", "rmse"), [("weighting", 1, 0.0075), ("weighting", 2, 0.0069), ("unmixing", 2, 0.0066)]
)
def test_boreas(tmp_path: Path, version: str, pairs: int, rmse: float) -> None:
    """July predicted from August, and from May and August; the fine image plus the coarse change reaches .0090."""
    folder = real_scene("stf_boreas_2001_envi")
    days = ["0812", "0524"][:pairs]
    inputs = {"target": str(folder / "modis20010711")}
    for suffix, day in zip(("", "2"), days, strict=False):
        inputs |= {f"fine{suffix}": str(folder / f"tm2001{day}"), f"coarse{suffix}": str(folder / f"modis2001{day}")}
    outcome = run_method("vipstf", **inputs, ratio=16, version=version, output=str(tmp_path / "fused.tif"))
    assert outcome.code == 0
    truth, fused = read_raster(folder / "tm20010711") / 1e4, read_raster(tmp_path / "fused.tif") / 1e4
    assert np.sqrt(((fused - truth) ** 2).mean(axis=(1, 2))).mean() <= rmse
