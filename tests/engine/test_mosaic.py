"""Import products: the tiles of a date become one image, and what are no tiles of one grid does not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

import products as made
from makers import run_method, write_raster
from stfusion.preparation._mosaic import are_tiles
from stfusion.preparation._products import Product
from stfusion.preparation.import_products import CODES

SIZE, FILL = made.SIZE, -28672
WEST, EAST = "MOD09GA.A2020276.h08v05.061.2020278033838", "MOD09GA.A2020276.h09v05.061.2020278033900"
NORTH, SOUTH = "LC08_L2SP_044033_20201002_20201007_02_T1", "LC08_L2SP_044034_20201002_20201007_02_T1"
CLEAR, CLOUD = 21824, 22280


def physical(path: Path) -> np.ndarray:
    with rasterio.open(path) as dataset:
        stored = dataset.read().astype(float)
        stored[stored == dataset.nodata] = np.nan
        return stored * dataset.scales[0] + dataset.offsets[0]


def imported(folder: Path, *products: Path, **options):
    return run_method(
        "import_products", products=[str(path) for path in products], output=str(folder / "stack"),
        masks_output=str(folder / "masks"), **options,
    )


def test_tiles_side_by_side_are_one_image(tmp_path):
    west = made.modis_fields(tmp_path / "west", product=WEST)
    east = made.modis_fields(
        tmp_path / "east", product=EAST, values={n: band[::-1].copy() for n, band in west.items()},
        grid=made.GRID_463 * Affine.translation(SIZE, 0),
    )
    outcome = imported(tmp_path, tmp_path / "west", tmp_path / "east", bands="red,NIR")
    assert outcome.code == 0, outcome.error
    found = physical(tmp_path / "stack" / "MOD09GA_20201002.tif")
    stored = np.stack([np.hstack([tile[number] for tile in (west, east)]) for number in "12"]).astype(float)
    stored[stored < -100] = np.nan
    np.testing.assert_allclose(found, stored * 1e-4, atol=1e-7)
    with rasterio.open(tmp_path / "stack" / "MOD09GA_20201002.tif") as dataset:
        assert dataset.transform.almost_equals(made.GRID_463, 1e-6)
    (entry,) = json.loads((tmp_path / "stack" / "index.json").read_text())
    assert entry["product"] == f"{WEST} and {EAST}"


def test_where_tiles_overlap_a_clear_pixel_goes_before_a_cloud(tmp_path):
    qa = np.full((SIZE, SIZE), CLEAR, np.uint16)
    qa[-6:, :4] = CLOUD
    qa[-6:, -3:] = CLOUD
    north = made.landsat(tmp_path / "north", qa, NORTH, values={n: made.numbers(int(n), 7500, 9000) for n in "1234567"})
    beneath = np.full((SIZE, SIZE), CLEAR, np.uint16)
    beneath[:6, -1:] = CLOUD
    south = made.landsat(
        tmp_path / "south", beneath, SOUTH, values={n: made.numbers(int(n), 9500, 20000) for n in "1234567"},
        grid=made.GRID_30 * Affine.translation(5, SIZE - 8),
    )
    outcome = imported(tmp_path, tmp_path / "south", tmp_path / "north", bands="red", numbers="float32")
    assert outcome.code == 0, outcome.error
    found = physical(tmp_path / "stack" / "LC08_20201002.tif")[0]
    with rasterio.open(tmp_path / "masks" / "LC08_mask_20201002.tif") as dataset:
        mask = dataset.read(1)

    rows, columns = 2 * SIZE - 8, SIZE + 5
    expected, codes = np.full((rows, columns), np.nan), np.full((rows, columns), CODES["fill"])
    for stored, quality, top, left in ((north["4"], qa, 0, 0), (south["4"], beneath, SIZE - 8, 5)):
        for row in range(SIZE):
            for column in range(SIZE):
                code = CODES["cloud"] if quality[row, column] == CLOUD else 0
                place = top + row, left + column
                if codes[place] != 0 and (code == 0 or codes[place] == CODES["fill"]):
                    codes[place] = code
                    expected[place] = np.nan if code else stored[row, column] * 2.75e-5 - 0.2
    np.testing.assert_array_equal(mask, codes)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_tiles_may_lie_in_an_area_alone(tmp_path):
    west = made.modis_fields(tmp_path / "west", product=WEST)
    grid = made.GRID_463 * Affine.translation(SIZE, 0)
    made.modis_fields(tmp_path / "east", product=EAST, grid=grid)
    (left, top), (right, bottom) = made.GRID_463 * (SIZE - 4, 2), made.GRID_463 * (SIZE + 3, 9)
    outcome = imported(tmp_path, tmp_path / "west", tmp_path / "east", area=f"{left},{right},{bottom},{top}")
    assert outcome.code == 0, outcome.error
    found = physical(tmp_path / "stack" / "MOD09GA_20201002.tif")
    assert found.shape[1:] == (7, 7)
    np.testing.assert_allclose(found[2, :, :4], west["1"][2:9, -4:] * 1e-4, atol=1e-7)


def test_tiles_of_other_pixels_are_refused(tmp_path):
    made.modis_fields(tmp_path / "west", product=WEST)
    made.modis_fields(tmp_path / "east", product=EAST, grid=made.GRID_463 * Affine.translation(SIZE + 0.4, 0))
    outcome = imported(tmp_path, tmp_path / "west", tmp_path / "east")
    assert outcome.code == 2
    assert f"'{EAST}'" in outcome.error
    assert f"'{WEST}'" in outcome.error
    assert "are of one date and their pixels are not those of one grid" in outcome.error
    assert not (tmp_path / "stack").exists()


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        ((WEST, EAST), True),
        ((NORTH, SOUTH), True),
        (("HLS.L30.T10SFH.2020276T184531.v2.0", "HLS.L30.T10SGH.2020276T184531.v2.0"), True),
        (("S2A_MSIL2A_20220713T184931_N0400_R113_T10SFH_20220714T020055.SAFE",
          "S2A_MSIL2A_20220713T184931_N0400_R113_T11SKB_20220714T020055.SAFE"), True),
        ((WEST, WEST.replace("2020278033838", "2021278033838")), False),
        ((NORTH, NORTH.replace("20201007", "20211007")), False),
        (("image_20201002.tif", "picture_20201002.tif"), False),
    ],
)
def test_tiles_are_told_by_their_names(paths, expected):
    assert are_tiles([Product("Kind", path, "K", None, ()) for path in paths]) is expected


def test_what_is_of_two_kinds_are_no_tiles():
    one, other = (Product(kind, path, "K", None, ()) for kind, path in (("HLS L30", "T10SFH"), ("HLS S30", "T10SGH")))
    assert not are_tiles([one, other])


def test_rasters_of_tiles_are_one_image(tmp_path):
    one, two = np.ones((1, 8, 8), np.float32), np.full((1, 8, 8), 2, np.float32)
    paths = [
        write_raster(tmp_path / "lai_T10SFH_20201002.tif", one, made.GRID_30),
        write_raster(tmp_path / "lai_T10SGH_20201002.tif", two, made.GRID_30 * Affine.translation(8, 0)),
    ]
    outcome = imported(tmp_path, *map(Path, paths))
    assert outcome.code == 0, outcome.error
    (path,) = (tmp_path / "stack").glob("*.tif")
    np.testing.assert_array_equal(physical(path)[0], np.hstack([one[0], two[0]]))
