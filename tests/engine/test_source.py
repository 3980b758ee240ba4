"""Reading in physical units and resampling on the fly."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox
from rasterio.warp import Resampling, reproject, transform_bounds
from rasterio.warp import transform as warp_points

from makers import CRS, FINE, write_raster
from stfusion.errors import UserError
from stfusion.job import Input
from stfusion.raster.dates import find_date, from_name
from stfusion.raster.grids import Box
from stfusion.raster.source import AlignedSource, Source

GRID = GeoBox((600, 520), FINE, CRS)
ALL = Box(0, 600, 0, 520)


def source(path: str, **given: object) -> Source:
    return Source("Fine image", Input(path, **given))  # type: ignore[arg-type]


def test_scale_offset_and_nodata(tmp_path: Path) -> None:
    stored = np.array([[[100, -9999, 300]], [[5, 6, 7]]], np.int16)
    path = write_raster(tmp_path / "a.tif", stored, nodata=-9999, scales=(0.01, 1.0), offsets=(0.5, -1.0))
    values = source(path).read(Box(0, 1, 0, 3))
    np.testing.assert_allclose(values, [[[1.5, np.nan, 3.5]], [[4, np.nan, 6]]])
    assert values.dtype == np.float32


def test_a_nodata_value_given_replaces_the_headers(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", np.array([[[0, -9999, 3]]], np.int16), nodata=-9999)
    np.testing.assert_array_equal(source(path, nodata=0.0).read(Box(0, 1, 0, 3)), [[[np.nan, -9999, 3]]])


def test_nan_infinity_and_rounded_nodata_of_floats_are_invalid(tmp_path: Path) -> None:
    stored = np.array([[[np.nan, np.inf, -3.4e38, 0.1]]], np.float32)
    path = write_raster(tmp_path / "a.tif", stored, nodata=-3.4e38)
    np.testing.assert_array_equal(np.isnan(source(path).read(Box(0, 1, 0, 4)))[0, 0], [True, True, True, False])


def test_bands_by_number(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", np.arange(3, dtype=np.uint8)[:, None, None] * np.ones((1, 2, 2), np.uint8))
    np.testing.assert_array_equal(source(path, bands=(3, 1)).read(Box(0, 1, 0, 1))[:, 0, 0], [2, 0])
    with pytest.raises(UserError, match=r"Fine image 'a.tif' has no band 4; choose from its bands 1 to 3"):
        source(path, bands=(4,))


@pytest.mark.parametrize("nodata", [None, 0, 255])
def test_user_mask_is_brought_to_the_image_grid(tmp_path: Path, nodata: int | None) -> None:
    """A mask's own nodata value changes nothing: what is not 0 is left out."""
    image = write_raster(tmp_path / "a.tif", np.ones((1, 40, 40), np.float32))
    cloud = np.zeros((1, 4, 4), np.uint8)
    cloud[0, 1, 2] = 1
    mask = write_raster(tmp_path / "m.tif", cloud, FINE @ Affine.scale(10), nodata=nodata)
    values = source(image, mask=mask).read(Box(0, 40, 0, 40))[0]
    expected = np.ones((40, 40))
    expected[10:20, 20:30] = np.nan
    np.testing.assert_array_equal(values, expected)


def test_mask_inside_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        write_raster(path, np.ones((1, 2, 2), np.uint8))
        with rasterio.open(path, "r+") as dataset:
            dataset.write_mask(np.array([[255, 0], [255, 255]], np.uint8))
    np.testing.assert_array_equal(np.isnan(source(str(path)).read(Box(0, 2, 0, 2)))[0], [[0, 1], [0, 0]])


@pytest.mark.parametrize("resampling", ["nearest", "bilinear", "cubic", "cubic_spline", "lanczos", "average"])
def test_aligned_equals_one_warp_of_the_whole(tmp_path: Path, resampling: str) -> None:
    """Block by block and from part of the source, but the same as GDAL warping everything at once."""
    rng = np.random.default_rng(0)
    transform = FINE @ Affine.translation(-20, -7.3) @ Affine.scale(17.1, 18.9)
    coarse = rng.random((2, 33, 34)).astype(np.float32)
    coarse[:, 12, 17] = np.nan
    path = write_raster(tmp_path / "c.tif", coarse, transform)
    expected = np.full((2, 600, 520), np.nan, np.float32)
    reproject(
        coarse,
        expected,
        src_transform=transform,
        src_crs=CRS,
        src_nodata=np.nan,
        dst_transform=FINE,
        dst_crs=CRS,
        dst_nodata=np.nan,
        resampling=Resampling[resampling],
    )
    aligned = AlignedSource(source(path), GRID, resampling)
    found = aligned.read(ALL)
    assert np.isnan(expected).any()
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    np.testing.assert_allclose(found, expected, atol=2e-5)
    for box in (Box(250, 262, 100, 520), Box(599, 600, 519, 520), Box(0, 600, 255, 257)):
        np.testing.assert_array_equal(aligned.read(box), found[:, box.top : box.bottom, box.left : box.right])


def test_another_coordinate_system_is_transformed_exactly(tmp_path: Path) -> None:
    """A linear ramp in longitude and latitude, bilinear: the values are the coordinates of the fine pixels."""
    left, _, right, top = transform_bounds(CRS, "EPSG:4326", *GRID.boundingbox.bbox)
    step = (right - left) / 30
    transform = Affine(step, 0, left - 2 * step, 0, -step, top + 2 * step)
    rows, columns = np.mgrid[:40, :40] + 0.5
    path = write_raster(tmp_path / "c.tif", np.stack([columns, rows]).astype(np.float32), transform, "EPSG:4326")
    found = AlignedSource(source(path), GRID, "bilinear").read(ALL)
    y, x = np.mgrid[:600, :520] + 0.5
    longitude, latitude = warp_points(CRS, "EPSG:4326", *(FINE @ (x.ravel(), y.ravel())))
    expected = ~transform @ (np.array(longitude), np.array(latitude))
    for value, coordinate in zip(found, expected, strict=True):
        np.testing.assert_allclose(value.ravel(), coordinate, atol=0.02)


def test_a_finer_source_is_averaged_over_the_target_pixel(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random((1, 120, 120)).astype(np.float32)
    path = write_raster(tmp_path / "a.tif", values)
    grid = GeoBox((4, 4), FINE @ Affine.scale(30), CRS)
    found = AlignedSource(source(path), grid, "average").read(Box(0, 4, 0, 4))
    np.testing.assert_allclose(found[0], values[0].reshape(4, 30, 4, 30).mean((1, 3)), rtol=1e-5)


def test_outside_the_source_is_invalid(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "c.tif", np.ones((1, 5, 5), np.float32), FINE @ Affine.scale(16))
    found = AlignedSource(source(path), GRID, "cubic").read(ALL)[0]
    assert not np.isnan(found[:80, :80]).any()
    assert np.isnan(found[81:]).all()
    assert np.isnan(found[:, 81:]).all()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("LC08_L2SP_190028_20200317_02_T1.tif", date(2020, 3, 17)),
        ("MOD09GA.A2001192.h12v03.hdf", date(2001, 7, 11)),
        ("tm20010524", date(2001, 5, 24)),
        ("S2_2018-07-08.tif", date(2018, 7, 8)),
        ("L_2015-6-21.tif", date(2015, 6, 21)),
        ("M_2016-11-5.tif", date(2016, 11, 5)),
        ("v_2016-13-5.tif", None),
        ("v_2016_1_5.tif", None),
        ("2020366_x.tif", date(2020, 12, 31)),
        ("2021366_x.tif", None),
        ("fused_99999999.tif", None),
        ("band4.tif", None),
    ],
)
def test_date_from_name(name: str, expected: date | None) -> None:
    assert from_name(name) == expected


def test_tags_come_before_the_name() -> None:
    assert find_date("x_20200101.tif", {"TIFFTAG_DATETIME": "2021:05:22 00:00:00"}) == date(2021, 5, 22)
    assert find_date("x_20200101.tif", {"TIFFTAG_DATETIME": "yesterday"}) == date(2020, 1, 1)


def test_complex_values_are_refused(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", np.ones((1, 4, 4), np.complex64))
    with pytest.raises(UserError, match=r"Fine image 'a.tif' holds values of type complex64; choose an image of whole"):
        source(path)


def test_much_larger_pixels_are_read_in_bounded_windows(tmp_path):
    """What is resampled to large pixels is read piece by piece, with the same values in any window."""
    values = np.random.default_rng(1).random((1, 2600, 2700)).astype(np.float32)
    source = Source("Image", Input(write_raster(tmp_path / "fine.tif", values)))
    grid = GeoBox((130, 135), source.grid.affine @ Affine.scale(20), source.grid.crs)
    aligned = AlignedSource(source, grid, "average")
    boxes = []
    read, source.read = source.read, lambda box: boxes.append(box.shape) or read(box)
    found = aligned.read(Box(0, 130, 0, 135))
    assert max(max(shape) for shape in boxes) < 1300
    assert np.allclose(found[0], values[0].reshape(130, 20, 135, 20).mean((1, 3)), atol=1e-6)
    assert np.array_equal(AlignedSource(source, grid, "average").read(Box(37, 99, 5, 81)), found[:, 37:99, 5:81])
