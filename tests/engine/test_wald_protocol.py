"""Wald's protocol: the filters against their definitions, constants, gaps, tiles, grids, and bad layers."""

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st

import literal_full_resolution as literal
from makers import CRS, FINE, read_raster, run_method, write_raster
from stfusion.preparation import _reduced, _wald
from stfusion.raster.resolution import bicubic_filter, box_filter, mtf_filter, reduce

RATIO = 4
#: Grid of the panchromatic image.
SHARP = FINE @ Affine.scale(1 / RATIO)


def images(seed=1, rows=30, columns=41):
    """A multispectral image of 3 bands, and a panchromatic one of four times as many rows and columns."""
    rng = np.random.default_rng(seed)
    shape = rows * RATIO, columns * RATIO
    return rng.integers(200, 3000, (3, rows, columns)), rng.integers(200, 3000, (1, *shape))


@pytest.fixture
def layers(tmp_path):
    ms, pan = images()
    return {
        "multispectral": write_raster(
            tmp_path / "ms.tif", ms.astype(np.uint16), nodata=0, descriptions=("blue", "green", "red")
        ),
        "pan": write_raster(tmp_path / "pan.tif", pan.astype(np.float32), SHARP),
    }


def prepare(folder, code=0, settings=None, **values):
    before = set(folder.iterdir())
    output = folder / f"reduced{len(before)}.tif"
    outcome = run_method("wald_protocol", settings=settings, output=str(output), **values)
    assert outcome.code == code, outcome.said.lines
    if code:
        assert set(folder.iterdir()) == before
        return outcome.error
    return read_raster(output), outcome.said


def seen(band, gain, ratio=RATIO):
    """A band as the sensor would see it: blurred, and the four central pixels of each coarse one averaged."""
    rows, columns = (n // ratio for n in band.shape)
    blurred = literal.blurred(band.astype(float), gain, ratio)[: rows * ratio, : columns * ratio]
    middle = slice((ratio - 1) // 2, ratio // 2 + 1)
    return blurred.reshape(rows, ratio, columns, ratio)[:, middle, :, middle].mean((1, 3))


def test_images_are_those_of_their_definitions(layers, tmp_path):
    ms, pan = images()
    path = tmp_path / "pan_reduced.tif"
    found, said = prepare(tmp_path, **layers, reduced_pan=str(path), gains="0.34,0.3,0.22")
    expected = [seen(band, gain) for band, gain in zip(ms, (0.34, 0.3, 0.22), strict=True)]
    np.testing.assert_array_equal(found, np.rint(expected))
    np.testing.assert_allclose(read_raster(path)[0], seen(pan[0], 0.15), rtol=1e-6)
    assert said.of("result")[0]["ratio_used"] == RATIO


def test_reduced_images_lie_where_they_should(layers, tmp_path):
    path = tmp_path / "pan_reduced.tif"
    prepare(tmp_path, **layers, reduced_pan=str(path))
    (reduced,) = tmp_path.glob("reduced*.tif")
    with rasterio.open(reduced) as low, rasterio.open(layers["multispectral"]) as high, rasterio.open(path) as sharp:
        assert low.transform == FINE @ Affine.scale(RATIO)
        assert (low.shape, low.crs, low.dtypes, low.nodata) == ((7, 10), CRS, high.dtypes, 0)
        assert low.descriptions == high.descriptions
        # What is fused of the two lies on the grid of the multispectral image.
        assert (sharp.transform, sharp.shape, sharp.crs) == (high.transform, high.shape, CRS)
        assert sharp.dtypes == ("float32",)


def test_a_fused_image_is_assessed_against_the_original(layers, tmp_path):
    """The reduced panchromatic image stands in for a fused one; nothing has to be resampled."""
    path = tmp_path / "pan_reduced.tif"
    prepare(tmp_path, **layers, reduced_pan=str(path))
    outcome = run_method(
        "assess_fusion", predicted=str(path), reference=layers["multispectral"], reference_bands=[1],
        output=str(tmp_path / "report"),
    )
    assert outcome.code == 0, outcome.said.lines
    assert not any("resampled" in line for line in outcome.said.of("log"))


@pytest.mark.parametrize("which", ["bicubic", "box"])
def test_other_filters(layers, tmp_path, which):
    ms, pan = images()
    path = tmp_path / "pan_reduced.tif"
    found, _ = prepare(tmp_path, **layers, filter=which, pan_filter=which, reduced_pan=str(path))
    if which == "box":
        whole = ms[:, :28, :40].reshape(3, 7, 4, 10, 4).mean((2, 4))
        sharp = pan[0].reshape(30, 4, 41, 4).mean((1, 3))
    else:  # inside, since the border is repeated here and mirrored there
        whole = np.array([literal.shrunk(band.astype(float)) for band in ms])
        sharp = literal.shrunk(pan[0].astype(float))
    inside = np.s_[..., 2:-3, 2:-3]
    np.testing.assert_array_equal(found[inside], np.rint(whole)[inside])
    np.testing.assert_allclose(read_raster(path)[0][inside], sharp[inside], rtol=1e-6)


@pytest.mark.parametrize("ratio", [2, 3, 4, 5, 16])
@pytest.mark.parametrize("make", [lambda ratio: mtf_filter(0.3, ratio), bicubic_filter, box_filter])
def test_filters_are_centred_and_keep_the_mean(make, ratio):
    weights, start, _ = make(ratio)
    assert weights.sum() == pytest.approx(1, abs=1e-12)
    np.testing.assert_allclose(weights, weights[::-1], atol=1e-15)
    assert (weights * (start + np.arange(len(weights)))).sum() == pytest.approx((ratio - 1) / 2, abs=1e-9)


def test_the_gain_is_that_of_the_sensor():
    """A wave at the Nyquist frequency of the coarse pixels comes through with the gain, as toolboxes construct it."""
    weights, start, _ = mtf_filter(0.3, 5)
    wave = np.cos(np.pi / 5 * (start + np.arange(len(weights)) - 2))
    assert (weights * wave).sum() == pytest.approx(0.28226, abs=2e-4)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1), value=st.floats(1, 1e4), ratio=st.integers(2, 5), hole=st.floats(0, 0.9),
    name=st.sampled_from(["mtf", "bicubic", "box"]),
)
def test_a_constant_stays_constant_around_gaps(seed, value, ratio, hole, name):
    """Invalid pixels have no value, and coarse pixels of which less than half is valid are invalid."""
    which = _wald._filter(name, 0.25, ratio)
    rows = 4 * ratio - which.start + which.stop
    image = np.full((rows, rows), value, np.float32)
    image[np.random.default_rng(seed).random(image.shape) < hole] = np.nan
    found = reduce(image, which, ratio)
    count = found.shape[0]
    own = np.isfinite(image)[-which.start :, -which.start :][: count * ratio, : count * ratio]
    enough = own.reshape(count, ratio, count, ratio).sum((1, 3)) >= ratio * ratio / 2
    np.testing.assert_array_equal(np.isfinite(found), enough)
    np.testing.assert_allclose(found[enough], image[np.isfinite(image)][0] if enough.any() else 0, rtol=1e-9)


def test_gaps_and_masks_are_left_out(layers, tmp_path):
    ms, _ = images()
    ms[:, 4:8, 8:12] = 0
    ms[1, 20, 20] = 0
    layers["multispectral"] = write_raster(tmp_path / "holed.tif", ms.astype(np.uint16), nodata=0)
    mask = np.zeros(ms.shape[1:], np.uint8)
    mask[12:15, 12:16] = 1
    found, _ = prepare(tmp_path, **layers, multispectral_mask=write_raster(tmp_path / "mask.tif", mask))
    gaps = np.zeros((7, 10), bool)
    gaps[1, 2] = gaps[3, 3] = True
    np.testing.assert_array_equal((found == 0), np.broadcast_to(gaps, found.shape))
    wild = np.where(mask == 1, 60000, ms)
    layers["multispectral"] = write_raster(tmp_path / "wild.tif", wild.astype(np.uint16), nodata=0)
    other, _ = prepare(tmp_path, **layers, multispectral_mask=str(tmp_path / "mask.tif"))
    np.testing.assert_array_equal(found, other)


@pytest.mark.parametrize(("tile", "threads"), [((3, 4), 1), ((1, 41), 3)])
def test_tiles_and_threads_change_nothing(layers, tmp_path, tile, threads, monkeypatch):
    ms, _ = images()
    holed = np.where(np.random.default_rng(5).random(ms.shape[1:]) < 0.1, 0, ms)
    layers["multispectral"] = write_raster(tmp_path / "holed.tif", holed.astype(np.uint16), nodata=0)
    whole, _ = prepare(tmp_path, **layers, reduced_pan=str(tmp_path / "one.tif"))
    monkeypatch.setattr(_reduced, "tile_shape", lambda *given: tile)
    parts, _ = prepare(tmp_path, settings={"threads": threads}, **layers, reduced_pan=str(tmp_path / "two.tif"))
    np.testing.assert_array_equal(whole, parts)
    np.testing.assert_array_equal(read_raster(tmp_path / "one.tif"), read_raster(tmp_path / "two.tif"))


def test_without_a_panchromatic_image_the_ratio_is_given(layers, tmp_path):
    ms, _ = images()
    assert "give 'Ratio' as 2 or more" in prepare(tmp_path, 2, multispectral=layers["multispectral"])
    found, _ = prepare(tmp_path, multispectral=layers["multispectral"], ratio=3)
    np.testing.assert_array_equal(found, np.rint([seen(band, 0.3, 3) for band in ms]))


def test_a_panchromatic_image_that_begins_elsewhere_is_read_in_its_own_pixels(layers, tmp_path):
    """Its corner need not be that of the multispectral image."""
    _, pan = images()
    whole, part = tmp_path / "whole.tif", tmp_path / "part.tif"
    prepare(tmp_path, **layers, reduced_pan=str(whole))
    moved = SHARP @ Affine.translation(6, 3)
    layers["pan"] = write_raster(tmp_path / "late.tif", pan[:, 3:, 6:].astype(np.float32), moved)
    _, said = prepare(tmp_path, **layers, reduced_pan=str(part))
    assert not any("resampled" in line for line in said.of("log"))
    inside = np.s_[:, 8:, 8:]
    np.testing.assert_array_equal(read_raster(whole)[inside], read_raster(part)[inside])
    assert np.isnan(read_raster(part)[0, 0]).all()
    layers["pan"] = write_raster(tmp_path / "half.tif", pan.astype(np.float32), SHARP @ Affine.translation(0.5, 0))
    _, said = prepare(tmp_path, **layers, reduced_pan=str(tmp_path / "shifted.tif"))
    assert any("is resampled (cubic) to pixels that divide those of" in line for line in said.of("log"))


def _no_pan_to_write(layers, folder):
    del layers["pan"]
    layers.update(ratio=4, reduced_pan=str(folder / "pan_reduced.tif"))
    return "no panchromatic image to reduce"


def _other_ratio(layers, folder):
    layers["ratio"] = 3
    return "4 x 4 pixels of Panchromatic image 'pan.tif' and 'Ratio' is 3"


def _no_whole_ratio(layers, folder):
    layers["pan"] = write_raster(folder / "odd.tif", np.ones((75, 100), np.float32), FINE @ Affine.scale(0.4))
    return "2.5 x 2.5 pixels of"


def _same_pixels(layers, folder):
    layers["pan"] = write_raster(folder / "same.tif", np.ones((30, 41), np.float32))
    return "1 x 1 pixels of"


def _elsewhere(layers, folder):
    layers["pan"] = write_raster(folder / "far.tif", np.ones((30, 41), np.float32), Affine.translation(9e5, 0) @ SHARP)
    return "do not overlap"


def _many_bands(layers, folder):
    layers["pan"] = layers["multispectral"]
    return "has 3 bands; choose the panchromatic one"


def _tiny(layers, folder):
    del layers["pan"]
    layers["ratio"] = 32
    return "less than one reduced pixel of 32 x 32"


def _empty(layers, folder):
    layers["multispectral"] = write_raster(folder / "empty.tif", np.zeros((3, 30, 41), np.uint16), nodata=0)
    return "no valid pixel to reduce"


def _empty_pan(layers, folder):
    layers["pan"] = write_raster(folder / "empty.tif", np.full((120, 164), np.nan, np.float32), SHARP)
    layers["reduced_pan"] = str(folder / "pan_reduced.tif")
    return "Panchromatic image 'empty.tif' has no valid pixel"


@pytest.mark.parametrize(
    "spoil",
    [
        _no_pan_to_write, _other_ratio, _no_whole_ratio, _same_pixels, _elsewhere, _many_bands, _tiny, _empty,
        _empty_pan,
    ],
)
def test_bad_layers_are_refused_in_one_sentence(layers, tmp_path, spoil):
    words = spoil(layers, tmp_path)
    sentence = prepare(tmp_path, 2, **layers)
    assert words in sentence, sentence
    assert sentence.count(". ") == 0
