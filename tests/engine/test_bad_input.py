"""Bad input: one clear sentence that names the layer and the remedy, exit code 2, and no file left behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine

from makers import FINE, Outcome, read_raster, run_method, write_raster

COARSE = FINE @ Affine.scale(10)


class Scene:
    """A good scene, of which a test spoils one thing."""

    def __init__(self, folder: Path) -> None:
        rng = np.random.default_rng(0)
        self.folder = folder
        self.fine = (rng.random((2, 60, 60)) * 0.4 + 0.05).astype(np.float32)
        self.low = (rng.random((2, 6, 6)) * 0.4 + 0.05).astype(np.float32)
        self.paths = {
            "fine": write_raster(folder / "fine.tif", self.fine),
            "coarse": write_raster(folder / "coarse.tif", self.low, COARSE),
            "target": write_raster(folder / "target.tif", self.low + np.float32(0.01), COARSE),
        }
        self.before = sorted(folder.iterdir())

    def write(self, name: str, values: np.ndarray, transform: Affine = COARSE, **profile: Any) -> None:
        write_raster(self.folder / f"{name}.tif", values, transform, **profile)

    def run(self, **values: Any) -> Outcome:
        given = {"window": 5, "output": str(self.folder / "fused.tif"), **self.paths, **values}
        return run_method("starfm", **given)

    def refused(self, **values: Any) -> str:
        """Run, which has to fail with exit code 2 and to leave nothing; returns the sentence."""
        outcome = self.run(**values)
        assert outcome.code == 2
        assert sorted(self.folder.iterdir()) == self.before
        return outcome.error

    def accepted(self, **values: Any) -> tuple[np.ndarray, Outcome]:
        outcome = self.run(**values)
        assert outcome.code == 0, outcome.said.lines
        return read_raster(self.folder / "fused.tif"), outcome


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_missing_file(scene: Scene) -> None:
    path = scene.folder / "gone.tif"
    assert scene.refused(target=str(path)) == (
        f"Coarse image of the target date '{path}' does not exist; choose an existing raster file."
    )


def test_not_a_raster(scene: Scene) -> None:
    path = scene.folder / "notes.txt"
    path.write_text("no raster")
    scene.before.append(path)
    scene.before.sort()
    error = scene.refused(coarse=str(path))
    assert error.startswith("Coarse image of the pair 'notes.txt' cannot be read as a raster")
    assert error.endswith("export it to GeoTIFF first.")


def test_no_overlap(scene: Scene) -> None:
    scene.write("target", scene.low, COARSE @ Affine.translation(500, 0))
    assert "Coarse image of the target date 'target.tif' and Fine image of the pair 'fine.tif' do not overlap" in (
        scene.refused()
    )


@pytest.mark.parametrize("name", ["fine", "coarse"])
def test_no_coordinate_system_on_one(scene: Scene, name: str) -> None:
    scene.write(name, getattr(scene, "fine" if name == "fine" else "low"), FINE if name == "fine" else COARSE, crs=None)
    error = scene.refused()
    assert f"image of the pair '{name}.tif' has no coordinate system and" in error
    assert "EPSG:32633; assign a projection to the first." in error


def test_no_coordinate_system_at_all(scene: Scene) -> None:
    """The same grid needs none; different grids do."""
    for name in scene.paths:
        scene.write(name, scene.fine, Affine.identity(), crs=None)
    fused, _ = scene.accepted()
    np.testing.assert_array_equal(fused, scene.fine)
    (scene.folder / "fused.tif").unlink()
    scene.write("target", scene.low, Affine.identity(), crs=None)
    assert "(6 x 6 pixels) and Fine image of the pair 'fine.tif' (60 x 60) have no coordinate system" in scene.refused()


def test_another_coordinate_system_is_aligned_with_a_note(scene: Scene) -> None:
    degrees = Affine(0.005, 0, 14.99, 0, -0.004, 46.96)
    scene.write("coarse", np.full((2, 20, 20), 0.2, np.float32), degrees, crs="EPSG:4326")
    scene.write("target", np.full((2, 20, 20), 0.3, np.float32), degrees, crs="EPSG:4326")
    fused, outcome = scene.accepted(classes=1000)
    np.testing.assert_allclose(fused, scene.fine + 0.1, atol=5e-4)
    assert any("resampled (cubic) from EPSG:4326 to EPSG:32633" in line for line in outcome.said.of("log"))


def test_different_band_counts(scene: Scene) -> None:
    scene.write("target", scene.low[:1])
    error = scene.refused()
    assert "'fine.tif' has 2 band(s) and Coarse image of the target date 'target.tif' has 1" in error
    assert "choose the bands" in error
    fused, _ = scene.accepted(fine_bands=[2], coarse_bands=[1])
    assert fused.shape == (1, 60, 60)


def test_band_out_of_range(scene: Scene) -> None:
    assert scene.refused(fine_bands=[1, 9]) == (
        "Fine image of the pair 'fine.tif' has no band 9; choose from its bands 1 to 2."
    )


def test_scales_that_differ_are_warned_about(scene: Scene) -> None:
    for name in ("coarse", "target"):
        scene.write(name, (scene.low * 1e4).astype(np.uint16))
    _, outcome = scene.accepted()
    warnings = [line for line in outcome.said.of("warning") if "scales seem to differ" in line]
    assert len(warnings) == 2
    assert "'fine.tif' ranges from 0.0" in warnings[0]
    assert "'coarse.tif' from" in warnings[0]
    scene.write("coarse", (scene.low * 1e4).astype(np.uint16), scales=(1e-4, 1e-4))
    scene.write("target", (scene.low * 1e4).astype(np.uint16), scales=(1e-4, 1e-4))
    assert not scene.accepted()[1].said.of("warning")


def test_an_image_without_a_valid_pixel(scene: Scene) -> None:
    scene.write("target", np.full((2, 6, 6), -1, np.float32), nodata=-1)
    assert scene.refused() == (
        "Coarse image of the target date 'target.tif' has no valid pixel; "
        "check its nodata value (-1) or choose another."
    )


def test_a_tile_without_a_valid_pixel_stays_nodata(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    from stfusion.fusion import _fuse

    monkeypatch.setattr(_fuse, "tile_shape", lambda *_: (20, 20))
    scene.fine[:, 20:40, 20:40] = np.nan
    scene.write("fine", scene.fine, FINE)
    fused, outcome = scene.accepted()
    np.testing.assert_array_equal(np.isnan(fused), np.isnan(scene.fine))
    assert any("800 of 7200 values (11.11%) have no data" in line for line in outcome.said.of("log"))


def test_nan_is_a_gap_and_not_zero(scene: Scene) -> None:
    scene.fine[0, 5, 5] = np.nan
    scene.write("fine", scene.fine, FINE)
    fused, _ = scene.accepted()
    assert np.isnan(fused[:, 5, 5]).all()
    assert np.isnan(fused).sum() == 2


def test_a_wrong_nodata_value_in_the_header(scene: Scene) -> None:
    spoilt = (scene.fine * 1e4).astype(np.int16)
    spoilt[:, :10, :10] = -32768
    scene.write("fine", spoilt, FINE, nodata=-9999, scales=(1e-4, 1e-4))
    _, outcome = scene.accepted()
    (warning,) = (line for line in outcome.said.of("warning") if "filler" in line)
    assert "2.8% of Fine image of the pair 'fine.tif' hold the value -32768 in all bands" in warning
    assert "the header's nodata value is -9999; set the nodata value" in warning
    fused, outcome = scene.accepted(fine_nodata=-32768.0)
    np.testing.assert_array_equal(fused == -32768, spoilt == -32768)
    assert not outcome.said.of("warning")


def test_zeros_as_filler_without_a_nodata_value(scene: Scene) -> None:
    scene.fine[:, :10, :10] = 0
    scene.write("fine", scene.fine, FINE)
    assert any("hold the value 0 in all bands" in line for line in scene.accepted()[1].said.of("warning"))


def test_window_larger_than_the_image(scene: Scene) -> None:
    assert scene.refused(window=61) == (
        "The window of 61 pixels is larger than Fine image of the pair 'fine.tif' (60 x 60 pixels); "
        "take an odd window of at most 59."
    )
    scene.accepted(window=59)


def test_the_window_is_three_coarse_pixels_wide(scene: Scene) -> None:
    fused, outcome = scene.accepted(window=0)
    assert "The window is 31 fine pixels wide." in outcome.said.of("log")
    np.testing.assert_array_equal(fused, scene.accepted(window=31)[0])


def test_window_without_neighbours(scene: Scene) -> None:
    assert scene.refused(window=1).endswith("which has no neighbours; take at least 3, or 0.")


def test_even_window(scene: Scene) -> None:
    assert scene.refused(window=50) == "'Window (fine pixels)' (window) is 50, an even number; take 51."


def test_coarse_image_finer_than_the_fine_one(scene: Scene) -> None:
    error = scene.refused(fine=scene.paths["coarse"], coarse=scene.paths["fine"], window=3)
    assert error == (
        "Coarse image of the pair 'fine.tif' is finer than Fine image of the pair 'coarse.tif' "
        "(a pixel of it is 0.1 fine pixels wide); swap the fine and the coarse images."
    )


@pytest.mark.parametrize("name", ["fine", "target"])
def test_output_is_an_input(scene: Scene, name: str) -> None:
    before = read_raster(scene.paths[name])
    path = scene.paths[name]
    assert scene.refused(output=path) == (
        f"The output '{path}' is also the input '{path}'; give the output another name."
    )
    np.testing.assert_array_equal(read_raster(path), before)


def test_half_a_second_pair(scene: Scene) -> None:
    assert scene.refused(fine2=scene.paths["fine"]) == (
        "'Fine image of the second pair' is given without 'Coarse image of the second pair' (coarse2); "
        "give both or neither."
    )


def test_more_classes_than_pixels(scene: Scene) -> None:
    scene.write("fine", np.kron(np.array([[0.1, 0.2], [0.3, 0.4]]), np.ones((2, 30, 30))).astype(np.float32), FINE)
    error = scene.refused(sampling="class", classes=9)
    assert error.startswith("Fine image of the pair 'fine.tif' has 4 different pixels")
    assert "9 classes are asked for; take fewer classes" in error


@pytest.mark.parametrize(
    ("text", "word"), [("2,5", "names band 5; there are bands 1 to 2"), ("red", "is 'red'; write")]
)
def test_bands_that_decide_similarity(scene: Scene, text: str, word: str) -> None:
    assert word in scene.refused(joint=True, joint_bands=text)


def test_constant_images(scene: Scene) -> None:
    for name, transform in (("fine", FINE), ("coarse", COARSE), ("target", COARSE)):
        scene.write(
            name, np.full((2, 60 if name == "fine" else 6, 60 if name == "fine" else 6), 0.3, np.float32), transform
        )
    np.testing.assert_array_equal(scene.accepted()[0], np.full((2, 60, 60), 0.3, np.float32))


def test_memory_limit_too_small(scene: Scene) -> None:
    outcome = run_method("starfm", settings={"memory_mb": 256}, output=str(scene.folder / "fused.tif"), **scene.paths)
    assert outcome.code == 4
    assert "The memory limit of 256 MB is too small; give at least" in outcome.error
    assert sorted(scene.folder.iterdir()) == scene.before
