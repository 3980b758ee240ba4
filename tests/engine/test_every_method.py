"""What holds for every fusion method, whatever its equations; a new method is tested as soon as it is declared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine

from makers import FINE, read_raster, run_method, write_raster
from stfusion import registry

METHODS = sorted(m.id for m in registry.methods().values() if m.operation == "fuse" and m.needs == "base")
#: What does not start from the fine image, or does not look at the change.
NOT_FROM_FINE = {"upsampled_coarse", "ubdf"}
NO_CHANGE_SEEN = {"copy_fine"}
#: What averages the values of similar pixels, and not their changes: the texture within a class is smoothed.
SMOOTHING = {"fit_fc", "starfm"}
#: What depends on the place by its nature: a surface through far coarse pixels too, or patches drawn by chance.
PLACED = {"fsdaf", "spstfm", "ssif"}
RATIO = 4
NODATA = -9999
#: Options that make a run on a small scene possible, and short.
SMALL = {"window": 13, "classes": 4, "atoms": 16, "patches": 200}


def blocks(fine: np.ndarray, ratio: int = RATIO) -> np.ndarray:
    """Block means (bands, rows / ratio, columns / ratio)."""
    bands, rows, columns = fine.shape
    return fine.reshape(bands, rows // ratio, ratio, columns // ratio, ratio).mean(axis=(2, 4), dtype=np.float64)


def landscape(seed: int, side: int, texture: float = 0.01) -> np.ndarray:
    """Fields of four classes with texture (standard deviation): reflectance (2, side, side) in 0..1."""
    rng = np.random.default_rng(seed)
    fields = np.kron(rng.integers(0, 4, (side // 8, side // 8)), np.ones((8, 8), int))
    spectra = np.array([[0.05, 0.4], [0.1, 0.3], [0.2, 0.25], [0.3, 0.35]])
    return (spectra[fields].transpose(2, 0, 1) + rng.normal(0, texture, (2, side, side))).astype(np.float32)


def fuse(folder: Path, method: str, images: dict[str, np.ndarray], **settings: Any) -> np.ndarray:
    """Write the images that the method takes, run it with its defaults but for what is SMALL, and read the result."""
    folder.mkdir(exist_ok=True)
    declared = registry.methods()[method]
    paths = {}
    for role in declared.roles:
        if role.id in images:
            image = images[role.id]
            grid = FINE * Affine.scale(images["fine"].shape[1] // image.shape[1])
            kind, nodata = (np.float32, None) if image.dtype.kind == "f" else (image.dtype, NODATA)
            paths[role.id] = write_raster(folder / f"{role.id}.tif", image.astype(kind), grid, nodata=nodata)
    options = {option.id: SMALL[option.id] for option in declared.options if option.id in SMALL}
    outcome = run_method(method, settings=settings, output=str(folder / "fused.tif"), **paths, **options)
    assert outcome.code == 0, outcome.said.lines
    return read_raster(folder / "fused.tif")


def scene(seed: int, side: int, ratio: int = RATIO) -> dict[str, np.ndarray]:
    """Two pairs and a target, of which every class has changed by an amount of its own."""
    first, change = landscape(seed, side), landscape(seed, side) * 0.3
    last = first + change
    return {
        "fine": first, "coarse": blocks(first, ratio), "fine2": last, "coarse2": blocks(last, ratio),
        "target": blocks(first + 0.4 * change, ratio),
    }


@pytest.mark.parametrize("method", [method for method in METHODS if method not in NOT_FROM_FINE])
def test_no_change_gives_the_fine_image(tmp_path: Path, method: str) -> None:
    fine = landscape(1, 64, texture=0.0 if method in SMOOTHING else 0.01)
    coarse = blocks(fine)
    images = {"fine": fine, "coarse": coarse, "fine2": fine, "coarse2": coarse, "target": coarse}
    np.testing.assert_allclose(fuse(tmp_path, method, images), fine, atol=2e-6)


@pytest.mark.parametrize("method", [method for method in METHODS if method not in NOT_FROM_FINE | NO_CHANGE_SEEN])
def test_the_same_change_everywhere_is_added_to_the_fine_image(tmp_path: Path, method: str) -> None:
    fine = landscape(2, 64, texture=0.0 if method in SMOOTHING else 0.01)
    coarse = blocks(fine)
    images = {
        "fine": fine, "coarse": coarse, "target": coarse + 0.05, "fine2": fine + np.float32(0.1),
        "coarse2": coarse + 0.1,
    }
    np.testing.assert_allclose(fuse(tmp_path, method, images), fine + np.float32(0.05), atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_tiles_and_threads_make_no_difference(tmp_path: Path, method: str) -> None:
    images = scene(3, 192)
    one = fuse(tmp_path / "one", method, images, threads=1)
    many = fuse(tmp_path / "many", method, images, threads=6)
    np.testing.assert_array_equal(many, one)


@pytest.mark.parametrize("method", METHODS)
def test_bands_in_another_order_give_the_same_bands(tmp_path: Path, method: str) -> None:
    images = scene(4, 64)
    straight = fuse(tmp_path / "straight", method, images)
    turned = fuse(tmp_path / "turned", method, {name: image[::-1] for name, image in images.items()})
    np.testing.assert_allclose(turned[::-1], straight, atol=1e-5)


@pytest.mark.parametrize("method", [method for method in METHODS if method not in PLACED])
def test_shifting_the_scene_by_coarse_pixels_shifts_the_result(tmp_path: Path, method: str) -> None:
    """What leaves the scene at one side comes in at the other, so that its statistics stay the same."""
    images, shift = scene(8, 128), 32
    shifted = {
        name: np.roll(image, shift if name.startswith("fine") else shift // RATIO, axis=(1, 2))
        for name, image in images.items()
    }
    back = np.roll(fuse(tmp_path / "shifted", method, shifted), -shift, axis=(1, 2))
    # Away from the edges of either scene.
    inner = slice(None), slice(28, 68), slice(28, 68)
    np.testing.assert_allclose(back[inner], fuse(tmp_path / "straight", method, images)[inner], atol=2e-6)


@pytest.mark.parametrize("method", METHODS)
def test_a_gap_stays_a_gap_and_spreads_nowhere(tmp_path: Path, method: str) -> None:
    images = scene(5, 64)
    if method != "upsampled_coarse":
        images["fine"] = images["fine"].copy()
        images["fine"][:, 20:26, 30:37] = np.nan
        images["fine2"] = images["fine"] + (images["fine2"] - images["fine"])
    gap = np.isnan(images["fine"])
    np.testing.assert_array_equal(np.isnan(fuse(tmp_path, method, images)), gap)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("ratio", "side"), [(2, 64), (33, 264)])
def test_the_smallest_and_the_largest_ratio(tmp_path: Path, method: str, ratio: int, side: int) -> None:
    """Nothing is missing, and over the scene the result has what the coarse image of the target date has."""
    images = scene(8, side, ratio)
    if method in NO_CHANGE_SEEN:
        images["target"] = images["coarse"]
    fused = fuse(tmp_path, method, images)
    np.testing.assert_allclose(fused.mean(axis=(1, 2)), images["target"].mean(axis=(1, 2)), rtol=0.05)


@pytest.mark.parametrize("method", METHODS)
def test_whole_numbers_give_the_rounded_result(tmp_path: Path, method: str) -> None:
    """Reflectance stored as 0 to 10000 with a nodata value, and the same numbers as floats with NaN."""
    numbers = {name: np.rint(image * 10_000) for name, image in scene(9, 64).items()}
    numbers["fine"][:, 20:26, 30:37] = numbers["target"][:, 3, 4] = np.nan
    floats = fuse(tmp_path / "floats", method, numbers)
    stored = {name: np.where(np.isnan(image), NODATA, image).astype(np.int16) for name, image in numbers.items()}
    whole = fuse(tmp_path / "whole", method, stored)
    np.testing.assert_array_equal(whole, np.where(np.isnan(floats), NODATA, np.rint(floats)))


@pytest.mark.parametrize(
    "method", [method for method in METHODS if any(r.id == "fine2" for r in registry.methods()[method].roles)]
)
def test_where_one_pair_has_a_gap_the_other_serves(tmp_path: Path, method: str) -> None:
    images = scene(6, 64)
    images["fine"] = images["fine"].copy()
    images["fine"][:, 20:26, 30:37] = np.nan
    assert np.isfinite(fuse(tmp_path, method, images)).all()


@pytest.mark.parametrize(
    "method", [m for m in METHODS if any(r.id == "fine2" and r.required for r in registry.methods()[m].roles)]
)
def test_one_pair_is_too_few_for_a_method_of_two(tmp_path: Path, method: str) -> None:
    images = {name: image for name, image in scene(7, 64).items() if not name.endswith("2")}
    paths = {name: write_raster(tmp_path / f"{name}.tif", image.astype(np.float32)) for name, image in images.items()}
    outcome = run_method(method, output=str(tmp_path / "fused.tif"), **paths)
    assert outcome.code == 2
    assert "needs 'Fine image of the second pair'" in outcome.error
