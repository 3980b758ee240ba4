"""FSDAF against its literal equations, in cases with a known answer, and its invariants."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from literal_fsdaf import Literal
from makers import FINE, Outcome, quantised, read_raster, run_method, write_raster
from stfusion.fusion import _fuse
from stfusion.fusion._blocks import Blocks
from stfusion.raster.grids import Box

SETTINGS = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def attempt(folder: Path, images: dict[str, np.ndarray], cell: int, **options: Any) -> Outcome:
    """Write the images by role and run; coarse pixels are ``cell`` wide and begin at (``top``, ``left``)."""
    place = Affine.translation(options.pop("left", 0), options.pop("top", 0)) @ Affine.scale(cell)
    paths = {}
    for name, values in images.items():
        transform = FINE @ place if name in ("coarse", "coarse2", "target") else FINE
        paths[name] = write_raster(folder / f"{name}.tif", values, transform)
    run_settings = options.pop("settings", {})
    options = {"unit": 1.0, **options}
    return run_method("fsdaf", settings=run_settings, output=str(folder / "fused.tif"), **paths, **options)


def fuse(folder: Path, images: dict[str, np.ndarray], cell: int, **options: Any) -> np.ndarray:
    outcome = attempt(folder, images, cell, **options)
    assert outcome.code == 0, outcome.said.lines
    return read_raster(folder / "fused.tif")


def scene(
    seed: int, bands: int = 2, ratio: int = 4, blocks: tuple[int, int] = (6, 7), count: int = 3, cut: int = 0
) -> dict[str, np.ndarray]:
    """Random classes in patches, of which some change alike, and something new in some coarse pixels.

    ``cut`` rows and columns are missing at the far edges, so that the last coarse pixels are partial.
    """
    rng = np.random.default_rng(seed)
    coarse_classes = rng.integers(0, count, blocks)
    classes = np.kron(coarse_classes, np.ones((ratio, ratio), int))
    mixed = rng.random(classes.shape) < 0.3
    classes[mixed] = rng.integers(0, count, int(mixed.sum()))
    spectra = quantised(rng, bands, count, high=0.3) + 0.1
    fine = spectra[:, classes] + (rng.integers(-30, 30, (bands, *classes.shape)) / 1024).astype(np.float32)
    coarse = fine.reshape(bands, blocks[0], ratio, blocks[1], ratio).mean((2, 4)).astype(np.float32)
    change = (rng.integers(-80, 80, (bands, count)) / 1024)[:, classes]
    target = coarse + change.reshape(bands, blocks[0], ratio, blocks[1], ratio).mean((2, 4))
    target += rng.integers(-20, 20, target.shape) / 1024
    rows, columns = classes.shape[0] - cut, classes.shape[1] - cut
    images = {"fine": fine[:, :rows, :columns], "coarse": coarse, "target": target.astype(np.float32)}
    return {**images, "class_map": classes[:rows, :columns].astype(np.uint8)}


def with_gaps(images: dict[str, np.ndarray], seed: int) -> dict[str, np.ndarray]:
    """A few gaps in every image but the map; most coarse pixels stay complete."""
    rng = np.random.default_rng(seed)
    images = {name: values.copy() for name, values in images.items()}
    for name, values in images.items():
        if name != "class_map":
            values[:, rng.random(values.shape[1:]) < (0.02 if name.startswith("fine") else 0.08)] = np.nan
    return images


def judge(images: dict[str, np.ndarray], count: int, suffix: str = "", **options: Any) -> np.ndarray:
    fine, coarse = images[f"fine{suffix}"], images[f"coarse{suffix}"]
    return Literal(**options).predict(fine, coarse, images["target"], images["class_map"], count)


@SETTINGS
@given(
    seed=st.integers(0, 2**32 - 1),
    bands=st.integers(1, 3),
    ratio=st.integers(2, 5),
    count=st.integers(1, 3),
    cut=st.integers(0, 1),
    gaps=st.booleans(),
    chosen=st.fixed_dictionaries(
        {
            "window": st.sampled_from([3, 7, 9]),
            "neighbours": st.sampled_from([1, 4, 20]),
            "pure": st.sampled_from([8, 100]),
            "trim": st.sampled_from([0.0, 0.1, 0.25]),
            "residual": st.sampled_from(["size", "signed"]),
        }
    ),
)
def test_equals_the_literal_equations(
    tmp_path: Path, seed: int, bands: int, ratio: int, count: int, cut: int, gaps: bool, chosen: Any
) -> None:
    images = scene(seed, bands, ratio, count=count, cut=cut)
    if gaps:
        images = with_gaps(images, seed)
    expected = judge(images, count, ratio=ratio, **chosen)
    fused = fuse(tmp_path, images, ratio, **chosen)
    np.testing.assert_array_equal(np.isnan(fused), np.isnan(expected))
    np.testing.assert_allclose(fused, expected, rtol=1e-5, atol=2e-6)


def test_two_pairs_are_weighted_by_the_coarse_change(tmp_path: Path) -> None:
    """Each pair as the judge predicts it; the weights from 3 x 3 coarse pixels, interpolated between these."""
    images = scene(1, ratio=4)
    later = scene(2, ratio=4)
    images |= {"fine2": later["fine"], "coarse2": later["coarse"]}
    grid, whole = Blocks(4, 0, 0, (6, 7), (24, 28)), Box(0, 6, 0, 7)
    total, sums = np.zeros((24, 28)), np.zeros((2, 24, 28))
    for suffix in ("", "2"):
        squares = ((images["target"] - images[f"coarse{suffix}"]) ** 2).mean(axis=0)
        around = np.lib.stride_tricks.sliding_window_view(np.pad(squares, 1, constant_values=np.nan), (3, 3))
        means = np.nanmean(around, axis=(2, 3), dtype=np.float64)[None].astype(np.float32)
        weight = 1 / np.maximum(grid.upsample(means, whole, Box(0, 24, 0, 28))[0].astype(float), 1e-10)
        total += weight
        sums += weight * judge(images, 3, suffix, window=7)
    fused = fuse(tmp_path, images, 4, window=7, neighbours=5)
    np.testing.assert_allclose(fused, sums / total, rtol=1e-4, atol=1e-5)


def test_a_coarse_grid_that_begins_before_the_fine_image(tmp_path: Path) -> None:
    images = scene(3, ratio=5)
    images |= {name: images[name][..., 2:, 1:] for name in ("fine", "class_map")}
    expected = judge(images, 3, ratio=5, top=-2, left=-1)
    fused = fuse(tmp_path, images, 5, top=-2, left=-1, window=7, neighbours=5)
    np.testing.assert_allclose(fused, expected, rtol=1e-5, atol=2e-6)


def test_k_means_finds_classes_that_are_far_apart(tmp_path: Path) -> None:
    images = scene(4, ratio=4)
    spectra = np.array([[0.1, 0.3], [0.3, 0.1], [0.5, 0.5]], np.float32)
    texture = np.random.default_rng(4).integers(0, 20, images["fine"].shape) / 1024
    images["fine"] = (spectra[images["class_map"]].transpose(2, 0, 1) + texture).astype(np.float32)
    given = fuse(tmp_path, images, 4, window=7)
    images.pop("class_map")
    np.testing.assert_allclose(fuse(tmp_path, images, 4, window=7, classes=3), given, atol=1e-6)


def pure_classes(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Classes (24, 28) in pure coarse pixels but for one that is mixed, and what each class has changed by."""
    coarse_classes = rng.permutation(np.arange(42) % 3).reshape(6, 7)
    classes = np.kron(coarse_classes, np.ones((4, 4), int))
    classes[8:12, 12:16] = rng.permutation(np.arange(16) % 3).reshape(4, 4)
    return classes, np.array([[0.125, 0.0, -0.0625], [-0.03125, 0.09375, 0.0]])


def test_changes_of_classes_are_found_exactly(tmp_path: Path) -> None:
    """What is mixed in one coarse pixel and pure in the others: the prediction is the truth, the residual nothing."""
    rng = np.random.default_rng(5)
    classes, change = pure_classes(rng)
    fine = (np.array([[0.2, 0.3, 0.4], [0.4, 0.2, 0.3]])[:, classes] + rng.random((2, 24, 28)) / 64).astype(np.float32)
    coarse = fine.reshape(2, 6, 4, 7, 4).mean((2, 4))
    target = coarse + change[:, classes].reshape(2, 6, 4, 7, 4).mean((2, 4))
    images = {
        "fine": fine,
        "coarse": coarse,
        "target": target.astype(np.float32),
        "class_map": classes.astype(np.uint8),
    }
    fused = fuse(tmp_path, images, 4, window=3, neighbours=1)
    np.testing.assert_allclose(fused, fine + change[:, classes], atol=1e-6)


@pytest.mark.parametrize("residual", ["size", "signed"])
def test_block_means_are_those_of_the_coarse_change(tmp_path: Path, residual: str) -> None:
    """Without smoothing, and where no value leaves the range of the scene, in whole and in partial coarse pixels."""
    images = scene(6, ratio=4, cut=1)
    images["fine"][:, :4, :4], images["fine"][:, 4:8, :4] = 2.0, -2.0
    fused = fuse(tmp_path, images, 4, neighbours=1, residual=residual)
    grid = Blocks(4, 0, 0, (6, 7), (23, 27))
    means, _ = grid.means(fused - images["fine"], Box(0, 23, 0, 27))
    np.testing.assert_allclose(means[:, 2:], (images["target"] - images["coarse"])[:, 2:], atol=1e-6)


def test_new_land_cover_as_large_as_a_coarse_pixel_appears(tmp_path: Path) -> None:
    """A square of 3 x 3 coarse pixels floods: no class explains it, and the residual brings most of it."""
    rng = np.random.default_rng(7)
    classes = rng.integers(0, 2, (72, 72))
    fine = (np.array([0.3, 0.35])[classes] + rng.random((72, 72)) / 64).astype(np.float32)[None]
    truth = fine.copy()
    truth[:, 24:48, 24:48] = 0.05
    coarse, target = (image.reshape(1, 9, 8, 9, 8).mean((2, 4)) for image in (fine, truth))
    images = {"fine": fine, "coarse": coarse, "target": target, "class_map": classes.astype(np.uint8)}
    fused = fuse(tmp_path, images, 8, trim=0.25)
    error = np.abs(fused - truth)[0]
    assert error[28:44, 28:44].mean() < 0.03
    assert np.delete(error, np.s_[16:56], axis=0).max() < 0.01


def test_result_does_not_depend_on_tiles_or_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit for bit, with gaps and with coarse pixels that begin before the fine image."""
    images = scene(8, bands=3, ratio=16, blocks=(9, 8), cut=5)
    images["fine"][:, 30:52, 60:70] = images["coarse"][:, 2, 3] = images["target"][:, 7, 5] = np.nan
    images |= {name: np.ascontiguousarray(images[name][..., 3:, 7:]) for name in ("fine", "class_map")}

    def run(tile: tuple[int, int], threads: int) -> np.ndarray:
        monkeypatch.setattr(_fuse, "tile_shape", lambda *_: tile)
        return fuse(tmp_path, images, 16, top=-3, left=-7, window=9, settings={"threads": threads})

    whole = run(images["fine"].shape[1:], 1)
    assert 0 < np.isnan(whole).mean() < 0.3
    for tile, threads in (((64, 64), 2), ((37, 101), 1), ((200, 31), 2)):
        np.testing.assert_array_equal(run(tile, threads), whole)


def test_coarse_images_on_the_fine_grid_need_the_ratio(tmp_path: Path) -> None:
    images = scene(9, ratio=4)
    native = fuse(tmp_path, images, 4)
    repeated = {name: image.repeat(4, axis=1).repeat(4, axis=2) for name, image in images.items() if image.ndim == 3}
    repeated |= {name: images[name] for name in ("fine", "class_map")}
    np.testing.assert_allclose(fuse(tmp_path, repeated, 1, ratio=4), native, atol=1e-6)
    assert "at least 2" in attempt(tmp_path, repeated, 1).error


def distinct_shares(seed: int) -> dict[str, np.ndarray]:
    """Two classes in 5 x 5 coarse pixels, no two of which are equally pure: which are purest hangs on no place."""
    rng = np.random.default_rng(seed)
    images = scene(seed, ratio=10, blocks=(5, 5), count=2)
    for block, number in zip(np.ndindex(5, 5), rng.permutation(25) * 4, strict=True):
        rows, columns = (slice(10 * index, 10 * index + 10) for index in block)
        images["class_map"][rows, columns] = rng.permutation(np.arange(100) < number).reshape(10, 10)
    return images


def test_mirroring_permuting_and_scaling(tmp_path: Path) -> None:
    images = distinct_shares(10)
    images["fine"][:, 33:37, 12:15] = images["target"][:, 1, 3] = np.nan
    straight = fuse(tmp_path, images, 10)
    for turn in (lambda image: image[..., ::-1, :], lambda image: image.swapaxes(-1, -2)):
        turned = {name: np.ascontiguousarray(turn(image)) for name, image in images.items()}
        np.testing.assert_allclose(fuse(tmp_path, turned, 10), turn(straight), atol=3e-6)
    bands = {name: image[::-1] if image.ndim == 3 else image for name, image in images.items()}
    np.testing.assert_allclose(fuse(tmp_path, bands, 10), straight[::-1], atol=3e-6)
    scaled = {name: image * np.float32(1024) if image.ndim == 3 else image for name, image in images.items()}
    np.testing.assert_allclose(fuse(tmp_path, scaled, 10, unit=1024.0) / 1024, straight, atol=3e-6)


def test_shifting_the_scene_by_a_tile(tmp_path: Path) -> None:
    """Invalid rows and columns before the scene move it and change nothing in it, if no two pixels are as pure."""
    images = distinct_shares(19)
    images["fine"][:, 33:37, 12:15] = np.nan
    straight = fuse(tmp_path, images, 10)
    moved = {
        name: np.pad(image, ((0, 0), (pad, 0), (pad, 0)), constant_values=np.nan)
        for name, image, pad in (
            (name, images[name], 70 if name == "fine" else 7) for name in images if name != "class_map"
        )
    }
    moved["class_map"] = np.pad(images["class_map"], (70, 0))
    fused = fuse(tmp_path, moved, 10)
    np.testing.assert_allclose(fused[:, 70:, 70:], straight, atol=3e-6)
    assert np.isnan(fused[:, :70]).all()


def test_a_gap_touches_only_its_surroundings(tmp_path: Path) -> None:
    """The coarse pixel of the gap, and what lies within a window of it; the classes are found elsewhere."""
    images = scene(11, ratio=4, blocks=(14, 14))
    images["fine"][:, :4, :4], images["fine"][:, 4:8, :4] = 0.0, 1.0
    before = fuse(tmp_path, images, 4, window=5, pure=5, trim=0.0)
    images["fine"] = images["fine"].copy()
    images["fine"][:, 30, 29] = np.nan
    after = fuse(tmp_path, images, 4, window=5, pure=5, trim=0.0)
    assert np.isnan(after[:, 30, 29]).all()
    assert np.isnan(after).sum() == 2
    # The standard deviation and the purest coarse pixels move a little.
    far = np.ones((56, 56), bool)
    far[24:38, 23:37] = False
    np.testing.assert_allclose(after[:, far], before[:, far], atol=1e-4)


def test_a_class_without_a_coarse_pixel_takes_the_mean_change(tmp_path: Path) -> None:
    """Its only pixel is less than 1 % of any coarse pixel."""
    images = scene(12, ratio=12, blocks=(5, 5), count=2)
    images["class_map"][30, 30] = 9
    outcome = attempt(tmp_path, images, 12)
    assert outcome.code == 0
    assert any("1 of 3 classes have no coarse pixel" in message for message in outcome.said.of("warning"))
    assert np.isfinite(read_raster(tmp_path / "fused.tif")).all()


def test_classes_that_cannot_be_told_apart_are_said(tmp_path: Path) -> None:
    images = scene(13, ratio=4, count=1)
    images["class_map"][::2] = 1
    outcome = attempt(tmp_path, images, 4)
    assert outcome.code == 0
    assert any("do not tell the changes of the 2 classes apart" in message for message in outcome.said.of("warning"))
    alone = scene(13, ratio=4, count=1)
    np.testing.assert_allclose(read_raster(tmp_path / "fused.tif").mean(), fuse(tmp_path, alone, 4).mean(), atol=0.01)


def test_pixels_that_the_map_leaves_out_are_a_class(tmp_path: Path) -> None:
    images = scene(14, ratio=4, count=3)
    expected = fuse(tmp_path, images, 4)
    paths = {
        name: write_raster(tmp_path / f"{name}.tif", images[name], FINE if name == "fine" else FINE @ Affine.scale(4))
        for name in ("fine", "coarse", "target")
    }
    paths["class_map"] = write_raster(tmp_path / "class_map.tif", images["class_map"], nodata=1)
    outcome = run_method("fsdaf", output=str(tmp_path / "fused.tif"), unit=1.0, **paths)
    assert outcome.code == 0
    np.testing.assert_allclose(read_raster(tmp_path / "fused.tif"), expected, atol=1e-6)


def test_no_complete_coarse_pixel(tmp_path: Path) -> None:
    images = scene(15, ratio=4)
    images["fine"][:, ::4, ::4] = np.nan
    assert "No coarse pixel is wholly covered by valid pixels of Fine image" in attempt(tmp_path, images, 4).error


def test_more_classes_than_pixels(tmp_path: Path) -> None:
    images = scene(16, ratio=4)
    images.pop("class_map")
    images["fine"] = np.broadcast_to(np.float32([0.1, 0.2, 0.3, 0.4] * 7), (2, 24, 28)).copy()
    assert "has 4 different pixels" in attempt(tmp_path, images, 4, classes=5).error


def test_a_constant_band(tmp_path: Path) -> None:
    images = scene(17, ratio=4)
    for name in ("fine", "coarse", "target"):
        images[name][1] = 0.25
    fused = fuse(tmp_path, images, 4)
    np.testing.assert_allclose(fused[1], 0.25, atol=1e-6)
    assert np.isfinite(fused).all()


def test_values_outside_the_range_of_the_scene_are_counted(tmp_path: Path) -> None:
    """Dark pixels that stay, among bright ones that grow as dark: the mean change makes the dark ones darker still."""
    rng = np.random.default_rng(18)
    classes = np.kron(rng.permutation(np.arange(42) % 3).reshape(6, 7), np.ones((4, 4), int))
    classes[(rng.random(classes.shape) < 0.3) & (classes < 2)] = 1
    fine, truth = (np.float32(spectra)[classes][None] for spectra in ([0.2, 0.1, 0.9], [0.1, 0.1, 0.9]))
    coarse, target = (image.reshape(1, 6, 4, 7, 4).mean((2, 4)) for image in (fine, truth))
    images = {"fine": fine, "coarse": coarse, "target": target, "class_map": classes.astype(np.uint8)}
    outcome = attempt(tmp_path, images, 4, neighbours=1000)
    assert outcome.code == 0
    assert any("left the range of the scene" in message for message in outcome.said.of("warning"))
    np.testing.assert_allclose(read_raster(tmp_path / "fused.tif")[0][classes == 1], 0.1, atol=1e-6)
