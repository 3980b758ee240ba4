"""RASDF against its literal equations, in cases with a known answer, and its invariants."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from literal_rasdf import Literal, fuzzy_centres
from makers import FINE, Outcome, quantised, read_raster, run_method, write_raster
from stfusion.fusion import _fuse, _fuzzy

SETTINGS = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def attempt(folder: Path, images: dict[str, np.ndarray], ratio: int, **options: Any) -> Outcome:
    """Write the images by role and run."""
    paths = {}
    for name, values in images.items():
        transform = FINE if name.startswith("fine") else FINE @ Affine.scale(ratio)
        paths[name] = write_raster(folder / f"{name}.tif", values, transform)
    run_settings = options.pop("settings", {})
    options = {"unit": 1.0, "fewest": 2, "most": 3, "neighbours": 5, **options}
    return run_method("rasdf", settings=run_settings, output=str(folder / "fused.tif"), **paths, **options)


def fuse(folder: Path, images: dict[str, np.ndarray], ratio: int, **options: Any) -> np.ndarray:
    outcome = attempt(folder, images, ratio, **options)
    assert outcome.code == 0, outcome.said.lines
    return read_raster(folder / "fused.tif")


def scene(
    seed: int, bands: int = 2, ratio: int = 4, blocks: tuple[int, int] = (9, 10), cut: int = 0
) -> dict[str, np.ndarray]:
    """Classes in patches of which each changes alike, a few coarse pixels with a change of their own, and noise.

    ``cut`` rows and columns are missing at the far edges, so that the last coarse pixels are partial.
    """
    rng = np.random.default_rng(seed)
    classes = np.kron(rng.integers(0, 3, blocks), np.ones((ratio, ratio), int))
    mixed = rng.random(classes.shape) < 0.4
    classes[mixed] = rng.integers(0, 3, int(mixed.sum()))
    spectra = quantised(rng, bands, 3, high=0.4) + 0.1
    fine = spectra[:, classes] + quantised(rng, bands, *classes.shape, high=0.06)
    coarse = block_means(fine, ratio) + quantised(rng, bands, *blocks, high=0.02)
    change = block_means((rng.integers(-40, 40, (bands, 3)) / 1024)[:, classes], ratio)
    place = rng.integers(0, np.array(blocks) - 3)
    change[:, place[0] : place[0] + 4, place[1] : place[1] + 3] += rng.integers(50, 250) / 1024
    target = coarse + change + quantised(rng, bands, *blocks, high=0.02)
    rows, columns = classes.shape[0] - cut, classes.shape[1] - cut
    return {name: values.astype(np.float32) for name, values in (
        ("fine", fine[:, :rows, :columns]), ("coarse", coarse), ("target", target)
    )}  # fmt: skip


def block_means(image: np.ndarray, ratio: int) -> np.ndarray:
    bands, rows, columns = image.shape
    return image.reshape(bands, rows // ratio, ratio, columns // ratio, ratio).mean((2, 4))


def with_gaps(images: dict[str, np.ndarray], seed: int) -> dict[str, np.ndarray]:
    """A few gaps in every image; most coarse pixels stay complete."""
    rng = np.random.default_rng(seed)
    images = {name: values.copy() for name, values in images.items()}
    for name, values in images.items():
        values[:, rng.random(values.shape[1:]) < (0.01 if name.startswith("fine") else 0.05)] = np.nan
    return images


@SETTINGS
@given(
    seed=st.integers(0, 2**32 - 1),
    bands=st.integers(1, 2),
    ratio=st.integers(3, 4),
    cut=st.integers(0, 1),
    gaps=st.booleans(),
    chosen=st.fixed_dictionaries(
        {
            "fewest": st.integers(1, 2),
            "most": st.integers(2, 3),
            "local": st.booleans(),
            "coarse_change": st.booleans(),
            "near": st.sampled_from([0.5, 1.0]),
            "far": st.sampled_from([1.0, 4.0]),
            "neighbours": st.sampled_from([1, 5, 20]),
            "highest": st.sampled_from([0.45, 1.0]),
        }
    ),
)
def test_equals_the_literal_equations(
    tmp_path: Path, seed: int, bands: int, ratio: int, cut: int, gaps: bool, chosen: Any
) -> None:
    images = scene(seed, bands, ratio, cut=cut)
    if gaps:
        images = with_gaps(images, seed)
    fine = images["fine"]
    if np.nanpercentile(fine, 98) > chosen["highest"]:
        chosen = {**chosen, "highest": 1.0}
    expected = Literal(ratio=ratio, **chosen).predict(*images.values())
    fused = fuse(tmp_path, images, ratio, **chosen)
    np.testing.assert_array_equal(np.isnan(fused), np.isnan(expected))
    np.testing.assert_allclose(fused, expected, rtol=1e-5, atol=5e-6)


def test_fuzzy_centres_are_those_of_the_literal_and_far_classes_are_found() -> None:
    rng = np.random.default_rng(1)
    truth = np.array([[0.1, 0.5], [0.3, 0.2], [0.5, 0.4]])
    pixels = truth[rng.integers(0, 3, 900)] + rng.normal(0, 0.01, (900, 2))
    centres = _fuzzy.fuzzy_centres(pixels, 3, 80)
    np.testing.assert_allclose(centres, fuzzy_centres(pixels, 3, 80), atol=1e-6)
    np.testing.assert_allclose(centres[np.argsort(centres[:, 0])], truth, atol=0.005)
    np.testing.assert_allclose(_fuzzy.memberships(centres, centres), np.eye(3), atol=1e-12)


def test_no_change_returns_the_fine_image(tmp_path: Path) -> None:
    images = scene(2)
    images["target"] = images["coarse"]
    np.testing.assert_allclose(fuse(tmp_path, images, 4), images["fine"], atol=1e-6)


def test_uniform_change_is_added(tmp_path: Path) -> None:
    images = scene(3)
    images["target"] = images["coarse"] + np.float32(0.0625)
    np.testing.assert_allclose(fuse(tmp_path, images, 4), images["fine"] + 0.0625, atol=1e-6)


def test_one_class_changes(tmp_path: Path) -> None:
    """Two classes, some coarse pixels pure and others mixed, of which one class changes: the other must not move."""
    rng = np.random.default_rng(4)
    classes = np.kron(rng.integers(0, 2, (8, 8)), np.ones((8, 8), int))
    classes[20:44, 20:44] = rng.integers(0, 2, (24, 24))
    before, after = ((0.1 + (0.2 + change) * classes)[None] for change in (0.0, 0.125))
    images = {"fine": before, "coarse": block_means(before, 8), "target": block_means(after, 8)}
    images = {name: values.astype(np.float32) for name, values in images.items()}
    np.testing.assert_allclose(fuse(tmp_path, images, 8, most=2), after, atol=1e-4)


def test_change_in_one_place_is_seen_where_its_coarse_pixels_are_unmixed_again(tmp_path: Path) -> None:
    """A class that is stable elsewhere changes in 5 x 5 coarse pixels: their own classes say how much."""
    classes = np.kron(np.random.default_rng(5).integers(0, 2, (60, 60)), np.ones((4, 4), int))
    before = np.array([[0.1, 0.3], [0.3, 0.15]])[:, classes]
    after = before.copy()
    after[:, 80:120, 80:120] += 0.2 * classes[80:120, 80:120]
    images = {"fine": before, "coarse": block_means(before, 8), "target": block_means(after, 8)}
    images = {name: values.astype(np.float32) for name, values in images.items()}

    def error(local: bool) -> float:
        fused = fuse(tmp_path, images, 8, local=local, most=2, near=0.5, far=0.5)
        return float(np.abs(fused - after)[:, 88:112, 88:112].mean())

    assert error(local=True) < 0.5 * error(local=False)


def test_a_place_without_any_change(tmp_path: Path) -> None:
    """Where nothing changes while all else does, there is no coarse change to divide by."""
    images = scene(16, ratio=4, blocks=(20, 20))
    images["target"] = images["coarse"] + np.float32(0.125)
    images["target"][:, :5, :5] = images["coarse"][:, :5, :5]
    fused = fuse(tmp_path, images, 4, near=0.5, far=0.5)
    np.testing.assert_allclose(fused[:, :8, :8], images["fine"][:, :8, :8], atol=1e-6)
    np.testing.assert_allclose(fused[:, 36:, 36:], images["fine"][:, 36:, 36:] + 0.125, atol=1e-6)


def test_the_coarse_change_is_kept_better_where_that_is_wanted(tmp_path: Path) -> None:
    images = scene(6)
    change = images["target"] - images["coarse"]

    def left(wanted: bool) -> float:
        fused = fuse(tmp_path, images, 4, coarse_change=wanted)
        return float(np.abs(block_means(fused - images["fine"], 4) - change).mean())

    assert left(True) < 0.5 * left(False)


def window(outcome: Outcome) -> int:
    (message,) = (line for line in outcome.said.of("log") if line.startswith("Window of"))
    return int(message.split()[2])


def test_unreliable_coarse_images_widen_the_window(tmp_path: Path) -> None:
    images = scene(7, blocks=(12, 12))
    exact = {**images, "coarse": block_means(images["fine"], 4).astype(np.float32)}
    assert window(attempt(tmp_path, exact, 4)) == 9
    assert window(attempt(tmp_path, images, 4)) > 9


def test_result_does_not_depend_on_tiles_or_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit for bit, with partial coarse pixels, gaps, and a scene larger than the parts of the passes before."""
    images = with_gaps(scene(8, 2, 7, (40, 42), cut=3), 8)

    def run(tile: tuple[int, int], threads: int) -> np.ndarray:
        monkeypatch.setattr(_fuse, "tile_shape", lambda *_: tile)
        return fuse(tmp_path, images, 7, settings={"threads": threads})

    whole = run((280, 294), 1)
    assert 0 < np.isnan(whole).mean() < 0.2
    for tile, threads in (((64, 64), 2), ((37, 101), 1), ((280, 19), 2)):
        np.testing.assert_array_equal(run(tile, threads), whole)


def test_mirroring_transposing_and_permuting_bands(tmp_path: Path) -> None:
    images = with_gaps(scene(9, 3, 4), 9)
    straight = fuse(tmp_path, images, 4)
    for change in (
        lambda image: image[:, ::-1],
        lambda image: image[:, :, ::-1],
        lambda image: image.transpose(0, 2, 1),
        lambda image: image[[2, 0, 1]],
    ):
        changed = {name: np.ascontiguousarray(change(values)) for name, values in images.items()}
        np.testing.assert_allclose(fuse(tmp_path, changed, 4), change(straight), rtol=1e-5, atol=2e-6)


def test_scaling_reflectance(tmp_path: Path) -> None:
    images = with_gaps(scene(10), 10)
    straight = fuse(tmp_path, images, 4)
    scaled = {name: values * np.float32(1024) for name, values in images.items()}
    np.testing.assert_allclose(fuse(tmp_path, scaled, 4, unit=1024.0) / 1024, straight, rtol=1e-5, atol=2e-6)


def test_where_one_pair_has_a_gap_the_other_serves(tmp_path: Path) -> None:
    images = scene(11)
    other = {f"{name}2": values for name, values in scene(12).items() if name != "target"}
    images["fine"][:, 5:9, 5:9] = np.nan
    images["coarse"][:, 5, 5] = np.nan
    both = fuse(tmp_path, {**images, **other}, 4)
    assert not np.isnan(both).any()
    alone = fuse(tmp_path, {"fine": other["fine2"], "coarse": other["coarse2"], "target": images["target"]}, 4)
    np.testing.assert_allclose(both[:, 5:9, 5:9], alone[:, 5:9, 5:9], atol=1e-6)
    np.testing.assert_allclose(both[:, 20:24, 20:24], alone[:, 20:24, 20:24], atol=1e-6)


def test_values_outside_the_valid_range_are_counted(tmp_path: Path) -> None:
    images = scene(13)
    images["target"] = images["target"] + np.float32(0.6)
    outcome = attempt(tmp_path, images, 4)
    assert any("left the valid range" in message for message in outcome.said.of("warning"))
    assert np.nanmax(read_raster(tmp_path / "fused.tif")) <= 1


def test_a_constant_band_and_few_coarse_pixels(tmp_path: Path) -> None:
    images = scene(14, 2, 4, (4, 4))
    for name, values in images.items():
        values[1] = 0.25 if name != "target" else 0.375
    outcome = attempt(tmp_path, images, 4, fewest=4, most=7, local=False)
    assert outcome.code == 0
    np.testing.assert_allclose(read_raster(tmp_path / "fused.tif")[1], 0.375, atol=1e-6)
    assert any("reliable, unchanged coarse pixels" in message for message in outcome.said.of("warning"))


def test_bad_input_is_refused(tmp_path: Path) -> None:
    images = scene(15)
    assert "'Fewest classes' is 5 and 'Most classes' is 3" in attempt(tmp_path, images, 4, fewest=5).error
    images["fine"][:, ::4, ::4] = np.nan
    assert "No coarse pixel is wholly covered" in attempt(tmp_path, images, 4).error
