"""An area of interest: the pixels that it touches, bit for bit those of the whole image, and what it cannot be."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.warp import transform_bounds

from makers import FINE, read_raster, run_method, write_raster
from products import GRID_30, MODIS, SIZE, UTM, hls, landsat, modis_fields
from stfusion.cli import main
from stfusion.errors import UserError
from stfusion.job import Input
from stfusion.raster.area import Area
from stfusion.raster.grids import Box
from stfusion.raster.source import AlignedSource, Source

QA = np.full((SIZE, SIZE), 21824, np.uint16)
QA[6:9, 10:12] = 22280


def image(folder: Path, grid: Affine = FINE, crs: str | None = "EPSG:32633") -> Source:
    values = np.arange(20 * 30, dtype=np.float32).reshape(20, 30)
    return Source("Image", Input(write_raster(folder / "image.tif", values, grid, crs, nodata=-9.0)))


def extent(rows: tuple[float, float], columns: tuple[float, float], grid: Affine = FINE) -> str:
    (west, north), (east, south) = grid * (columns[0], rows[0]), grid * (columns[1], rows[1])
    return f"{west},{east},{south},{north}"


@pytest.mark.parametrize(
    ("rows", "columns", "box"),
    [
        ((4, 9), (7, 12), Box(4, 9, 7, 12)),
        ((4.5, 8.2), (7.9, 11.1), Box(4, 9, 7, 12)),
        ((3.999, 9.001), (7, 12), Box(4, 9, 7, 12)),
        ((-5, 9), (28, 70), Box(0, 9, 28, 30)),
    ],
)
def test_an_area_is_the_pixels_that_it_touches(tmp_path, rows, columns, box):
    source = image(tmp_path)
    text = extent(rows, columns)
    assert Area.of(text).window(source) == box
    assert Area.of(f"{text} [EPSG:32633]").window(source) == box


def test_an_area_of_another_coordinate_system_is_covered_by_its_pixels(tmp_path):
    source = image(tmp_path)
    west, east, south, north = map(float, extent((4, 9), (7, 12)).split(","))
    left, bottom, right, top = transform_bounds("EPSG:32633", "EPSG:4326", west, south, east, north, densify_pts=21)
    box = Area.of(f"{left},{right},{bottom},{top} [EPSG:4326]").window(source)
    assert box.common(Box(4, 9, 7, 12)) == Box(4, 9, 7, 12)
    assert max(box.shape) <= 7


def test_no_area_is_none():
    assert Area.of(" ") is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1,2,3", "The area '1,2,3' is not understood"),
        ("a,b,c,d", "is not understood"),
        ("1,2,3,4 [EPSG:999999]", "is not understood"),
        ("2,1,3,4", "has no inside: it is to be west,east,south,north"),
        ("1,nan,3,4", "has no inside"),
    ],
)
def test_what_is_no_area_is_refused_in_a_sentence(text, words):
    with pytest.raises(UserError) as error:
        Area.of(text)
    assert words in str(error.value)


def test_an_area_that_cannot_be_brought_to_the_image_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"cannot be brought into the coordinate system of Image 'image\.tif'"):
        Area.of("100,200,300,400 [EPSG:4326]").window(image(tmp_path))
    with pytest.raises(UserError, match="has no coordinate system and the area has EPSG:4326"):
        Area.of("1,2,3,4 [EPSG:4326]").window(image(tmp_path, crs=None))


def test_a_grid_of_the_same_pixels_is_read_as_it_is_and_has_nothing_beyond_the_image(tmp_path):
    source = image(tmp_path)
    whole = source.read(Box(0, 20, 0, 30))
    grid = source.grid.translate_pix(-3, 15).expand((10, 20))
    for resampling in ("nearest", "cubic", "average"):
        aligned = AlignedSource(source, grid, resampling)
        assert not aligned.resamples
        found = aligned.read(Box(0, 10, 0, 20))
        assert np.array_equal(found[:, :5, 3:], whole[:, 15:, :17])
        assert np.isnan(found[:, 5:]).all()
        assert np.isnan(found[:, :, :3]).all()
        assert np.array_equal(aligned.read(Box(2, 7, 1, 6)), found[:, 2:7, 1:6], equal_nan=True)
    other = AlignedSource(source, source.grid.translate_pix(0.5, 0), "nearest")
    assert other.resamples


@pytest.fixture
def scene(tmp_path) -> Path:
    landsat(tmp_path / "in" / "landsat", QA)
    return tmp_path


def imported(scene: Path, out: str, **values):
    given = {"folder": str(scene / "in"), "output": str(scene / out), **values}
    return run_method("import_products", **given)


@pytest.mark.parametrize("dilation", [0, 4])
def test_a_part_is_imported_as_the_whole_has_it(scene, dilation):
    assert imported(scene, "whole", masks_output=str(scene / "masks"), dilation=dilation).code == 0
    done = imported(
        scene, "part", area=f"{extent((5, 12), (8, 20), GRID_30)} [{UTM}]", masks_output=str(scene / "part_masks"),
        dilation=dilation,
    )
    assert done.code == 0, done.said.lines
    (whole,), (part,) = (sorted((scene / name).glob("*.tif")) for name in ("whole", "part"))
    assert np.array_equal(read_raster(part), read_raster(whole)[:, 5:12, 8:20])
    assert (read_raster(part)[0, 1:4, 2:4] == -9999).all()
    masks = [next((scene / name).glob("*.tif")) for name in ("masks", "part_masks")]
    assert np.array_equal(read_raster(masks[1]), read_raster(masks[0])[:, 5:12, 8:20])
    with rasterio.open(part) as dataset:
        assert dataset.transform == GRID_30 * Affine.translation(8, 5)
    (entry,) = json.loads((scene / "part" / "index.json").read_text(encoding="utf-8"))
    assert entry["masked"] == np.count_nonzero(read_raster(masks[1]) > 1) / (7 * 12)


def test_a_cloud_beside_the_area_reaches_into_it_as_far_as_the_dilation(scene):
    assert imported(scene, "part", area=extent((6, 9), (13, 20), GRID_30), dilation=3).code == 0
    (part,) = (scene / "part").glob("*.tif")
    assert np.array_equal(read_raster(part)[0, 1] == -9999, [True, True, False, False, False, False, False])


def test_a_margin_is_added_as_far_as_the_image_goes(scene):
    assert imported(scene, "part", area=extent((2, 12), (8, 20), GRID_30), margin=4).code == 0
    (part,) = (scene / "part").glob("*.tif")
    assert read_raster(part).shape[1:] == (16, 20)


def test_a_mask_layer_of_the_whole_image_goes_with_a_part(scene):
    clouds = np.zeros((1, SIZE, SIZE), np.uint8)
    clouds[:, 11] = 1
    mask = write_raster(scene / "clouds.tif", clouds, GRID_30, UTM)
    done = imported(scene, "part", area=extent((10, 14), (8, 20), GRID_30), masks=[mask])
    assert done.code == 0, done.said.lines
    (part,) = (scene / "part").glob("*.tif")
    assert np.array_equal((read_raster(part)[0] == -9999).all(axis=1), [False, True, False, False])


def test_images_outside_the_area_are_left_out_and_named(scene):
    hls(scene / "in" / "hls", product="HLS.L30.T10SFH.2020277T184531.v2.0")
    modis_fields(scene / "in" / "modis", product=MODIS.replace("A2020276", "A2020278"))
    done = imported(scene, "part", area=f"{extent((2, 12), (8, 20), GRID_30)} [{UTM}]")
    assert done.code == 0, done.said.lines
    assert done.said.of("result")[0]["images"] == 2
    (said,) = done.said.of("warning")
    assert said.startswith("Left out, since it lies outside the area: MODIS MOD09GA 'MOD09GA.A2020278")
    assert " is of -11119505.2 to -11108385.69 in x and 4436682.573 to 4447802.079 in y (" in said


def test_an_area_without_images_is_refused_with_both_extents(scene):
    done = imported(scene, "part", area="0,100,200,300")
    assert done.code == 2
    assert done.error == (
        "No image lies in the area: Landsat 8 level 2 'LC08_L2SP_044033_20201002_20201007_02_T1', file "
        "'LC08_L2SP_044033_20201002_20201007_02_T1_SR_B1.TIF' is of 600000 to 600720 in x and 4199280 to 4200000 in y "
        "(EPSG:32610), where the area is 0 to 100 in x and 200 to 300 in y in the same coordinate system, since it "
        "names none; give another area, or other images."
    )
    assert not (scene / "part").exists()


@pytest.mark.parametrize("flag", [["--area", "-122.5,-121,37,38.5"], ["--area=-122.5,-121,37,38.5"]])
def test_an_area_in_the_west_is_no_flag_on_the_command_line(scene, flag):
    words = ["prepare", "import_products", "--folder", str(scene / "in"), *flag, "--out", str(scene / "out")]
    assert main([*words, "--export-job", str(scene / "job.json")]) == 0
    assert json.loads((scene / "job.json").read_text(encoding="utf-8"))["options"]["area"] == "-122.5,-121,37,38.5"
