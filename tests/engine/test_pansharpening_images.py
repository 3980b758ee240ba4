"""Images to sharpen: brought together by where they lie, encoded, weighted, and refused where they cannot be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.warp import transform as transformed

import literal_substitution as substitution
from makers import FINE, run_method, write_raster
from pansharpened import EQUAL, known, refused, sharpen, write_scene
from sharpening import Scene, set_a
from stfusion.raster.encoding import encode_into
from stfusion.raster.output import Encoding

#: Ratio, and where the panchromatic image begins from the multispectral one, in panchromatic pixels; its size.
GRIDS = [(2, (0, 0), (60, 80)), (4, (0.5, -0.5), (50, 60)), (2, (-0.5, 0.5), (40, 47)), (3, (7, 2), (40, 41)),
         (2.5, (1.2, 0.4), (50, 60)), (6, (-9, 30), (90, 80)), (4, (-20, -30), (200, 220))]


@pytest.mark.parametrize(("ratio", "start", "shape"), GRIDS)
@pytest.mark.parametrize("method", ["simple_mean", "mtf_glp_fs"])
def test_images_are_brought_together_by_where_they_lie(tmp_path, method, ratio, start, shape):
    """A slope of the ground stays that slope, wherever the pixels of the two images lie."""
    large = FINE @ Affine.scale(ratio)
    sharp = FINE @ Affine.translation(start[1], start[0])
    ms, pan = (slope(grid, size) for grid, size in ((large, (36, 40)), (sharp, shape)))
    paths = {
        "multispectral": write_raster(tmp_path / "ms.tif", np.stack([ms, 2 * ms]).astype(np.float32), large),
        "pan": write_raster(tmp_path / "pan.tif", pan.astype(np.float32), sharp),
    }
    found, _ = sharpen(tmp_path, method, paths)
    rows, columns = (np.arange(n) + 0.5 + begin for n, begin in zip(shape, start, strict=True))
    inside = [(place >= 0) & (place < ratio * n) for place, n in zip((rows, columns), (36, 40), strict=True)]
    np.testing.assert_array_equal(np.isfinite(found[0]), np.logical_and.outer(*inside))
    away = [
        (place > 9 * ratio) & (place < ratio * (n - 9)) & (place > begin + 9 * ratio) & (place < begin + m - 9 * ratio)
        for place, n, begin, m in zip((rows, columns), (36, 40), start, shape, strict=True)
    ]
    inner = np.ix_(*away)
    expected = np.stack([pan, 1.5 * pan if method == "simple_mean" else 2 * pan])
    for band in range(2):
        np.testing.assert_allclose(found[band][inner], expected[band][inner], atol=0.02)


def slope(grid: Affine, shape: tuple[int, int]) -> np.ndarray:
    """A function of the place in metres, at the centres of pixels."""
    x, y = np.meshgrid(np.arange(shape[1]) + 0.5, np.arange(shape[0]) + 0.5)
    east, north = grid @ (x, y)
    return 500 + (east - 500_000) / 10 + (5_200_000 - north) / 20


def test_another_coordinate_system_is_warped(tmp_path):
    sharp = FINE @ Affine.translation(40, 40)
    large = Affine(120, 0, 39_000, 0, -120, 5_225_000)
    x, y = np.meshgrid(np.arange(120) + 0.5, np.arange(130) + 0.5)
    east, north = (
        np.reshape(part, x.shape)
        for part in transformed("EPSG:32634", "EPSG:32633", *(each.ravel() for each in large @ (x, y)))
    )
    ms = 500 + (east - 500_000) / 10 + (5_200_000 - north) / 20
    paths = {
        "multispectral": write_raster(tmp_path / "ms.tif", ms.astype(np.float32), large, "EPSG:32634"),
        "pan": write_raster(tmp_path / "pan.tif", slope(sharp, (120, 130)).astype(np.float32), sharp),
    }
    for method in ("simple_mean", "gsa", "mtf_glp_fs"):
        found, _ = sharpen(tmp_path, method, paths)
        inner = np.s_[40:-40, 40:-40]
        np.testing.assert_allclose(found[0][inner], slope(sharp, (120, 130))[inner], atol=0.2)


def test_the_intersection_is_what_both_have(tmp_path):
    scene = known()
    sharp = FINE @ Affine.translation(-6, 9.5)
    paths = {
        "multispectral": write_raster(tmp_path / "ms.tif", scene.ms.astype(np.float32), FINE @ Affine.scale(4)),
        "pan": write_raster(tmp_path / "pan.tif", scene.pan.astype(np.float32), sharp),
    }
    whole, _ = sharpen(tmp_path, "brovey", paths, **EQUAL)
    both, _ = sharpen(tmp_path, "brovey", paths, **EQUAL, extent="intersection")
    with rasterio.open(tmp_path / "brovey.tif") as dataset:
        assert dataset.transform == sharp @ Affine.translation(6, 0)
    assert np.isfinite(both).all()
    np.testing.assert_array_equal(both, whole[:, :118, 6:])


def test_the_toolboxes_grid_lies_half_a_pixel_off(tmp_path):
    """The centre of multispectral pixel n is panchromatic pixel 4 n + 2, where the interpolation has its value."""
    scene = known()
    found, _ = sharpen(tmp_path, "simple_mean", write_scene(tmp_path, scene), grid="toolbox")
    np.testing.assert_allclose(2 * found[:, 2::4, 2::4] - scene.pan[2::4, 2::4], scene.ms, atol=1e-3)


def test_values_are_those_that_gdal_gives(tmp_path):
    """The published values of its pansharpening, which interpolates in whole numbers before it multiplies."""
    scene = set_a()
    whole = replace(scene, ms=scene.ms.astype(np.uint16), pan=scene.pan.astype(np.uint16))
    found, _ = sharpen(tmp_path, "brovey", write_scene(tmp_path, whole), weighting="equal", output_type="multispectral")
    np.testing.assert_array_equal(found[:, 128, 128], [248, 319, 353, 368])
    expanded = np.floor(scene.expanded + 0.5)
    np.testing.assert_array_equal(expanded[:, 128, 128], [276, 354, 392, 409])
    exact = np.floor(expanded * scene.pan / expanded.mean(axis=0) + 0.5)
    # Halves may be rounded to either side.
    assert np.abs(found - exact).max() <= 1
    assert (found == exact).mean() > 0.999


def test_plain_tiles_hold_the_same(tmp_path):
    paths = write_scene(tmp_path, known())
    found, _ = sharpen(tmp_path, "brovey", paths)
    plain, _ = sharpen(tmp_path, "brovey", paths, layout="tiled")
    np.testing.assert_array_equal(plain, found)
    with rasterio.open(tmp_path / "brovey.tif") as dataset:
        assert (dataset.compression, dataset.overviews(1), dataset.block_shapes[0]) == (None, [], (512, 512))


@pytest.mark.parametrize(
    ("kind", "nodata"), [("uint16", 65535), ("uint8", 0), ("int16", -32768), ("int8", 127), ("uint16", 300)]
)
def test_values_are_encoded_as_everywhere(kind, nodata):
    limits, rng = np.iinfo(kind), np.random.default_rng(2)
    encoding = Encoding(np.dtype(kind), float(nodata), np.ones(2), np.zeros(2))
    values = rng.uniform(limits.min - 50, limits.max + 50, (2, 40, 61)).astype(np.float32)
    values[0, :5] = np.rint(values[0, :5]) + 0.5
    values[0, 5, :40], values[0, 6, :40] = (np.arange(end - 20, end + 20) + 0.5 for end in (limits.min, limits.max))
    values[1, :2], values[1, 2, 0], values[1, 2, 1], values[1, 3] = np.nan, np.inf, -np.inf, nodata
    stored = np.empty((2, 50, 61), kind)[:, 5:45]
    expected, clipped = encoding.encode(values)
    assert encode_into(stored, encoding, values) == clipped
    np.testing.assert_array_equal(stored, expected)


def test_weights_of_a_sensor_are_shares_of_wavelengths(tmp_path):
    scene = known()
    paths = write_scene(tmp_path, scene)
    shares = np.array([70, 80, 60, 140]) / 350
    found, _ = sharpen(tmp_path, "brovey", paths, weighting="sensor", sensor="QuickBird")
    np.testing.assert_allclose(found, substitution.brovey(scene, shares), rtol=1e-5)


def test_images_of_different_scales_are_warned_of(tmp_path):
    scene = known()
    _, warned = sharpen(tmp_path, "gsa", write_scene(tmp_path, replace(scene, pan=scene.pan / 1000)))
    assert any("their scales seem to differ" in line for line in warned)


def test_bands_without_light_keep_their_values(tmp_path):
    scene = known()
    ms = scene.ms.copy()
    ms[:, :8] = 0
    found, warned = sharpen(tmp_path, "brovey", write_scene(tmp_path, replace(scene, ms=ms)), **EQUAL)
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found[:, :20], 0)
    assert any("its bands add up to nothing" in line for line in warned)


def test_values_beyond_the_type_are_clipped_and_counted(tmp_path):
    scene = known()
    scene = replace(scene, ms=(scene.ms / 4).astype(np.uint8), pan=(scene.pan * 20).astype(np.uint16))
    found, warned = sharpen(tmp_path, "brovey", write_scene(tmp_path, scene), **EQUAL, output_type="multispectral")
    assert (found.dtype, found.max()) == (np.uint8, 254)
    assert any("were clipped" in line for line in warned)


def test_dates_and_names_are_kept(tmp_path):
    scene = known()
    paths = {
        "multispectral": write_raster(
            tmp_path / "ms_20200229.tif", scene.ms.astype(np.float32), FINE @ Affine.scale(4),
            descriptions=("blue", "green", "red", "nir"),
        ),
        "pan": write_raster(tmp_path / "pan.tif", scene.pan.astype(np.float32)),
    }
    output = tmp_path / "fused.tif"
    outcome = run_method("simple_mean", output=str(output), **paths)
    assert outcome.said.of("result")[0] == {"output": str(output), "date": "2020-02-29"}
    with rasterio.open(output) as dataset:
        assert dataset.descriptions == ("blue", "green", "red", "nir")
        assert dataset.shape == scene.pan.shape


@pytest.mark.parametrize("kind", ["uint8", "uint16", "int16", "float32"])
@pytest.mark.parametrize("method", ["brovey", "mtf_glp_fs"])
def test_the_result_has_the_type_of_the_multispectral_image(tmp_path, method, kind):
    """Whatever that of the panchromatic one; what is rounded is the real number, and nothing wraps around."""
    scene = known()
    values = (scene.ms / 3).astype(kind)
    for pan in (scene.pan.astype(np.uint16), (scene.pan / 3).astype(np.uint8), scene.pan.astype(np.float64)):
        paths = write_scene(tmp_path, replace(scene, ms=values, pan=pan))
        real, _ = sharpen(tmp_path, method, paths)
        found, _ = sharpen(tmp_path, method, paths, output_type="multispectral")
        assert found.dtype == kind
        if kind == "float32":
            np.testing.assert_array_equal(found, real)
        else:
            limits = np.iinfo(kind)
            nearest = np.clip(real, max(limits.min, -32767), limits.max - (limits.min == 0))
            assert np.abs(found - nearest.astype(float)).max() <= 0.5001


@pytest.mark.parametrize("which", ["multispectral", "pan"])
def test_nodata_may_be_in_one_image_alone(tmp_path, which):
    """In one band even; the other image has no such value, nor says that it has."""
    scene = known()
    paths = write_scene(tmp_path, scene)
    gaps = np.zeros(scene.pan.shape, bool)
    gaps[40:48, 60:72] = True
    if which == "pan":
        holed, grid = np.where(gaps, 7, scene.pan), FINE
    else:
        holed, grid = scene.ms.copy(), FINE @ Affine.scale(4)
        holed[1, 10:12, 15:18] = 7
    paths[which] = write_raster(tmp_path / "holed.tif", holed.astype(np.float32), grid, nodata=7)
    for method in ("brovey", "mtf_glp_fs", "bdsd", "lmvm"):
        found, _ = sharpen(tmp_path, method, paths)
        for band in found:
            np.testing.assert_array_equal(np.isnan(band), gaps)


@pytest.mark.parametrize(("ratio", "said"), [(4, False), (2.5, True), (4 / 3, None)])
def test_a_ratio_that_is_no_whole_number_is_spoken_of(tmp_path, ratio, said):
    scene = known()
    paths = {
        "multispectral": write_raster(tmp_path / "ms.tif", scene.ms.astype(np.float32), FINE @ Affine.scale(ratio)),
        "pan": write_raster(tmp_path / "pan.tif", scene.pan.astype(np.float32)),
    }
    if said is None:
        assert "is 1.33 x 1.33 pixels of" in refused(tmp_path, "gsa", paths)
        return
    outcome = run_method("gsa", output=str(tmp_path / "fused.tif"), **paths)
    assert outcome.code == 0, outcome.said.lines
    lines = [line for line in outcome.said.of("log") if "it is resampled to these" in line]
    assert len(lines) == said
    assert all("is 2.5 x 2.5 pixels of" in line for line in lines)


@pytest.mark.parametrize(
    ("method", "warned"),
    [("brovey", True), ("sfim", True), ("rcs", True), ("awlp", True), ("mtf_glp_hpm", True), ("gsa", False),
     ("hypersharpening", True)],
)
def test_ratios_of_negative_values_are_warned_of(tmp_path, method, warned):
    """Zero in both images is no light, and no ratio; values below it have none that makes sense."""
    scene = known()
    dark = replace(scene, ms=scene.ms.copy(), pan=scene.pan.copy())
    dark.ms[:, :10], dark.pan[:40] = 0, 0
    paths, options = write_scene(tmp_path, dark), {"injection": "ratio"} if method == "hypersharpening" else {}
    found, warnings = sharpen(tmp_path, method, paths, **options)
    assert np.isfinite(found).all()
    assert not any("below 0" in line for line in warnings)
    paths = write_scene(tmp_path, replace(scene, ms=scene.ms - 400, pan=scene.pan - 400))
    found, warnings = sharpen(tmp_path, method, paths, **options)
    assert np.isfinite(found).all()
    about = [line for line in warnings if "below 0" in line]
    assert len(about) == (2 if warned else 0)
    assert all("add an offset to both images" in line for line in about)


def _coarser(folder: Path, scene: Scene) -> tuple[dict[str, Any], str]:
    ms = scene.ms.astype(np.float32)
    return {"multispectral": write_raster(folder / "ms.tif", ms, FINE @ Affine.scale(0.5))}, "choose the panchromatic"


def _same_size(folder: Path, scene: Scene) -> tuple[dict[str, Any], str]:
    return {"multispectral": write_raster(folder / "ms.tif", scene.ms.astype(np.float32))}, "1 x 1 pixels of"


def _many_bands(folder: Path, scene: Scene) -> tuple[dict[str, Any], str]:
    pan = np.stack([scene.pan, scene.pan]).astype(np.float32)
    return {"pan": write_raster(folder / "two.tif", pan)}, "has 2 bands; choose the panchromatic one"


def _elsewhere(folder: Path, scene: Scene) -> tuple[dict[str, Any], str]:
    far = FINE @ Affine.translation(200, 0)
    return {"pan": write_raster(folder / "far.tif", scene.pan.astype(np.float32), far)}, "do not overlap"


def _without_place(folder: Path, scene: Scene) -> tuple[dict[str, Any], str]:
    return {"pan": write_raster(folder / "bare.tif", scene.pan.astype(np.float32), crs=None)}, "no coordinate system"


def _empty(folder: Path, scene: Scene) -> tuple[dict[str, Any], str]:
    pan = np.full(scene.pan.shape, np.nan, np.float32)
    return {"pan": write_raster(folder / "empty.tif", pan)}, "has no valid pixel"


def _no_common_pixel(folder: Path, scene: Scene) -> tuple[dict[str, Any], str]:
    pan, ms = scene.pan.astype(np.float32), scene.ms.astype(np.float32)
    pan[:, :64], ms[:, :, 16:] = np.nan, np.nan
    return {
        "pan": write_raster(folder / "right.tif", pan),
        "multispectral": write_raster(folder / "left.tif", ms, FINE @ Affine.scale(4)),
    }, "have no valid pixel in common"


@pytest.mark.parametrize(
    "spoil", [_coarser, _same_size, _many_bands, _elsewhere, _without_place, _empty, _no_common_pixel]
)
@pytest.mark.parametrize("method", ["gsa", "mtf_glp_fs"])
def test_bad_images_are_refused_in_one_sentence(tmp_path, spoil, method):
    scene = known()
    paths = write_scene(tmp_path, scene)
    spoiled, words = spoil(tmp_path, scene)
    assert words in refused(tmp_path, method, {**paths, **spoiled})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"weights": "1,2"}, "has 4 band(s)"), ({"weights": "1,a,1,1"}, "write one number for each"),
        ({"weights": "1,-1,1,1"}, "none negative"), ({"weights": "0,0,0,0"}, "not all zero"),
        ({"weighting": "sensor"}, "of the sensor 'other' are not known"),
        ({"weighting": "sensor", "sensor": "WorldView-2"}, "WorldView-2 has 8 bands"),
        ({"weighting": "sensor", "sensor": "PRISMA"}, "of the sensor 'PRISMA' are not known"),
    ],
)
def test_bad_weights_are_refused_in_one_sentence(tmp_path, options, words):
    assert words in refused(tmp_path, "brovey", write_scene(tmp_path, known()), **options)


def test_another_number_of_gains_is_refused(tmp_path):
    assert "has 4" in refused(tmp_path, "mtf_glp_fs", write_scene(tmp_path, known()), gains="0.3,0.2")
