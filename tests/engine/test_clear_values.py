"""Clear values of masks: an Fmask keeps its water, a mask may say 1 for clear, wherever a mask is taken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio

from in_process import InProcess
from makers import read_raster, run_method, write_raster
from products import SIZE
from real_data import real_scene
from series_scenes import SIDE, day, series, surface
from stfusion import registry
from stfusion.job import Input
from stfusion.raster.grids import Box
from stfusion.raster.source import Source
from stfusion.raster.stack import dated

#: Rows of an Fmask: clear land, clear water, cloud shadow, snow, cloud, fill.
FMASK = (0, 1, 2, 3, 4, 255)


def fmask(folder: Path, size: int, rows=FMASK) -> str:
    """A mask of the first date of a series whose first rows have these values; the others have the first one."""
    values = np.full((1, size, size), rows[0], np.uint8)
    values[0, : len(rows)] = np.array(rows)[:, None]
    return write_raster(folder / f"fmask_{day(0):%Y%m%d}.tif", values, nodata=255)


def gone(values) -> list[int]:
    """The rows without data."""
    return np.flatnonzero(np.isnan(values[0]).all(axis=1)).tolist()


@pytest.fixture
def images(tmp_path) -> dict[str, list[str]]:
    return series(tmp_path / "in", fine=[0, 8], coarse=[0, 4, 8])


@pytest.mark.parametrize(
    ("clear", "expected"),
    [(None, [1, 2, 3, 4, 5]), ("0", [1, 2, 3, 4, 5]), ("0,1", [2, 3, 4, 5]), (" 4, 3 ", [0, 1, 2, 5])],
)
def test_pixels_with_other_values_are_left_out(tmp_path, clear, expected):
    image = Source("Image", Input(
        write_raster(tmp_path / "a.tif", np.ones((1, 6, 6), np.float32)), mask=fmask(tmp_path, 6), clear=clear,
    ))
    assert gone(image.read(Box(0, 6, 0, 6))) == expected
    assert gone(image.thinned(6)[0]) == expected


def test_nothing_is_masked_beyond_a_mask(tmp_path):
    """Where a mask ends nothing is known of clouds, whatever the value for clear is."""
    mask = write_raster(tmp_path / "m.tif", np.array([[[7, 8]]], np.uint8))
    path = write_raster(tmp_path / "a.tif", np.ones((1, 1, 4), np.float32))
    image = Source("Image", Input(path, mask=mask, clear="7"))
    assert np.isnan(image.read(Box(0, 1, 0, 4)))[0, 0].tolist() == [False, True, False, False]


def test_a_mask_brings_its_own_values(images, tmp_path):
    given = Input(images["fine"][0], more=(images["fine"][1],), clear="9")
    first, second = dated("fine", given, Input(fmask(tmp_path, SIDE), clear="0,1")).values()
    assert (first.clear, second.clear) == ("0,1", "9")


@pytest.mark.parametrize("text", ["clear", "0;1", "0,", "1.5", "16777217", "-99999999"])
def test_what_is_no_list_of_numbers_is_named(images, tmp_path, text):
    done = run_method(
        "plan_series", **images, fine_masks=[fmask(tmp_path, SIDE)], clear=text, output=str(tmp_path / "plan"),
    )
    assert done.code == 2
    assert f"The clear values of 'Fine images' (clear) are '{text}'; write whole numbers" in done.error


def test_every_method_with_a_mask_has_them():
    """One parameter, for the masks of images and for masks of their own."""
    for method in registry.methods().values():
        takes = {role.id for role in method.roles if role.sensor == "mask"}
        takes |= {each.name.removesuffix("_mask") for each in method.parameters() if each.kind == "mask"}
        found = [target for each in method.parameters() if each.name == "clear" for target in each.targets]
        assert found == [f"inputs.{role.id}.clear" for role in method.roles if role.id in takes], method.id
        assert not any(role.id.endswith("masks") and role.sensor != "mask" for role in method.roles), method.id


def test_a_series_keeps_the_water(images, tmp_path, monkeypatch):
    InProcess(monkeypatch)
    masks = [fmask(tmp_path, SIDE)]
    for name, clear, left in (("land", "", 1), ("water", "0,1", 2)):
        out = str(tmp_path / name)
        done = run_method("fuse_series", **images, fine_masks=masks, clear=clear, keep_valid=0.5, output=out,
                          method="fine_plus_difference")
        assert done.code == 0, done.said.lines
        kept = read_raster(tmp_path / name / f"fused_{day(0):%Y%m%d}.tif")
        assert gone(kept) == list(range(left, len(FMASK)))
        assert np.array_equal(kept[:, :left], surface(0)[:, :left])


def test_a_mask_of_1_for_clear_is_taken_by_single_steps(images, tmp_path):
    """Steps that open images one by one, and those that open them by date."""
    masks = [fmask(tmp_path, SIDE, rows=(1, 0, 1))]
    image = images["fine"][:1]
    run_method("harmonise", images=image, masks=masks, clear="1", adjust="no", output=str(tmp_path / "same"))
    (path,) = (tmp_path / "same").glob("*.tif")
    assert gone(read_raster(path)) == [1]
    full = tmp_path / "full"
    run_method("fill_gaps", fine=image, fused=image, fine_masks=masks, clear="1", mask=True, output=str(full))
    (path,) = (full / "filled").glob("*.tif")
    assert np.flatnonzero(read_raster(path)[0].any(axis=1)).tolist() == [1]


def test_mask_layers_of_the_import(tmp_path):
    image = write_raster(tmp_path / f"image_{day(0):%Y%m%d}.tif", np.ones((1, SIZE, SIZE), np.int16), nodata=-1)
    for clear, left in (("0", 1), ("0,1", 2)):
        out = tmp_path / f"stack{left}"
        done = run_method(
            "import_products", products=[image], masks=[fmask(tmp_path, SIZE)], clear=clear, output=str(out)
        )
        assert done.code == 0, done.said.lines
        with rasterio.open(next(out.glob("*.tif"))) as dataset:
            valid = dataset.read_masks(1).all(axis=1)
        assert np.flatnonzero(~valid).tolist() == list(range(left, len(FMASK)))


def test_west_hubei_keeps_its_water(tmp_path):
    folder = real_scene("stf_westhubei_ndvi_2015")
    masks = {path: read_raster(path)[0] for path in map(str, folder.glob("L8_FMASK_*.tif"))}
    path, codes = max(masks.items(), key=lambda each: np.count_nonzero(each[1] == 1))
    assert np.count_nonzero(codes == 1) > 1000
    given = Input(path.replace("FMASK", "NDVI"), nodata=-9999.0)
    whole = Box(0, codes.shape[0], 0, codes.shape[1])
    bare = np.isnan(Source("Image", given).read(whole)[0])
    for clear, kept in ((None, [0]), ("0,1", [0, 1])):
        (image,) = dated("fine", given, Input(path, clear=clear)).values()
        assert np.array_equal(np.isnan(Source("Image", image).read(whole)[0]), bare | ~np.isin(codes, kept))
