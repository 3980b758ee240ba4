"""Import products: true layouts of every product, scales, names, dates and masks, archives, memory."""

from __future__ import annotations

import json

import numpy as np
import pytest
import rasterio

import products as made
from makers import Outcome, read_raster, run_method, write_raster
from real_data import real_scene
from stfusion.job import Input
from stfusion.preparation.import_products import CODES, DILATED, LAYER
from stfusion.raster.grids import Box
from stfusion.raster.source import Source
from stfusion.raster.stack import dated

SIX = ["blue", "green", "red", "NIR", "SWIR 1", "SWIR 2"]
SIZE = made.SIZE


def imported(folder, paths, settings=None, **values) -> Outcome:
    return run_method(
        "import_products", products=[str(path) for path in paths], output=str(folder / "stack"), settings=settings,
        **values,
    )


def results(outcome: Outcome) -> dict:
    assert outcome.code == 0, outcome.said.of("error")
    (found,) = outcome.said.of("result")
    return found


def image_of(folder, part="stack"):
    """The only image of a stack."""
    (path,) = (folder / part).glob("*.tif")
    return path


def physical(path) -> np.ndarray:
    """Values (bands, rows, columns), NaN where there are none."""
    with rasterio.open(path) as dataset:
        stored = dataset.read().astype(float)
        stored[stored == dataset.nodata] = np.nan
        return stored * np.reshape(dataset.scales, (-1, 1, 1)) + np.reshape(dataset.offsets, (-1, 1, 1))


def read_all(source: Source) -> np.ndarray:
    rows, columns = source.shape
    return source.read(Box(0, rows, 0, columns))


def names(path) -> list[str]:
    with rasterio.open(path) as dataset:
        return list(dataset.descriptions)


def reflectance(stored: list[np.ndarray], scale: float, offset: float, fill: float) -> np.ndarray:
    values = np.array(stored).astype(float)
    return np.where(values == fill, np.nan, values * scale + offset)


def same(found: np.ndarray, wanted: np.ndarray) -> bool:
    """Whether values are the same to half a step of the numbers that are stored."""
    return np.array_equal(np.isnan(found), np.isnan(wanted)) and bool(np.nanmax(np.abs(found - wanted)) <= 5.1e-5)


def test_a_landsat_folder_of_level_2(tmp_path):
    stored = made.landsat(tmp_path / made.LANDSAT)
    found = results(imported(tmp_path, [tmp_path / made.LANDSAT]))
    assert (found["images"], found["masked"]) == (1, 0)
    path = tmp_path / "stack" / "LC08_20201002.tif"
    assert names(path) == SIX
    assert same(physical(path), reflectance([stored[n] for n in "234567"], 2.75e-5, -0.2, 0))
    with rasterio.open(path) as image:
        assert (image.dtypes[0], image.nodata, image.scales[0], image.offsets[0]) == ("int16", -9999, 1e-4, 0)
        assert (image.transform, image.crs.to_string()) == (made.GRID_30, made.UTM)
        assert image.tags()["ACQUISITION_DATETIME"] == "2020-10-02"
        assert made.LANDSAT in image.tags()["STF_PRODUCT"]
        assert image.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
    (entry,) = json.loads((tmp_path / "stack" / "index.json").read_text())
    assert (entry["file"], entry["date"], entry["product"]) == (path.name, "2020-10-02", made.LANDSAT)
    assert entry["without_data"] == pytest.approx(1 / SIZE**2)
    # What is written is a stack.
    assert [f"{day}" for day in dated("fine", Input(str(tmp_path / "stack")))] == ["2020-10-02"]


def test_landsat_level_1_is_reflectance_at_the_top_of_the_atmosphere(tmp_path):
    product = "LC08_L1TP_044033_20201002_20201007_02_T1"
    stored = made.landsat(tmp_path / product, product=product)
    results(imported(tmp_path, [tmp_path / product / f"{product}_MTL.txt"], bands="red,B5"))
    path = image_of(tmp_path)
    assert names(path) == ["red", "NIR"]
    # The sun stands at 30 degrees, whose sine is a half.
    assert same(physical(path), reflectance([stored["4"], stored["5"]], 4e-5, -0.2, 0))


def test_landsat_without_scales_in_its_metadata_has_those_of_the_guide(tmp_path):
    product = "LE07_L2SP_044033_20201010_20201105_02_T1"
    stored = made.landsat(tmp_path / product, product=product, bands="123457", scales=False, day="2020-10-10")
    outcome = imported(tmp_path, [tmp_path / product])
    results(outcome)
    path = tmp_path / "stack" / "LE07_20201010.tif"
    assert names(path) == SIX
    assert same(physical(path), reflectance([stored[n] for n in "123457"], 2.75e-5, -0.2, 0))
    assert any("those of the product guide" in line for line in outcome.said.of("log"))


def test_archives_are_read_as_folders_are(tmp_path):
    made.landsat(tmp_path / made.LANDSAT)
    results(imported(tmp_path, [tmp_path / made.LANDSAT]))
    archives = tmp_path / "archives"
    archives.mkdir()
    for number, pack in enumerate((made.tarred, made.zipped)):
        archive = pack(tmp_path / made.LANDSAT, archives / f"{number}{'.tar' if pack is made.tarred else '.zip'}")
        results(imported(tmp_path / f"{number}", [archive]))
        assert np.array_equal(read_raster(image_of(tmp_path / f"{number}")), read_raster(image_of(tmp_path)))
        archive.rename(tmp_path / archive.name)
    made.tarred(tmp_path / made.LANDSAT, archives / "a.tar.gz")
    outcome = run_method("import_products", folder=str(archives), output=str(tmp_path / "all"))
    assert results(outcome)["images"] == 1


@pytest.mark.parametrize(("baseline", "offset"), [("04.00", -0.1), ("02.14", 0.0)])
def test_a_sentinel2_folder(tmp_path, baseline, offset):
    stored = made.sentinel2(tmp_path, baseline=baseline)
    results(imported(tmp_path, [tmp_path / made.SENTINEL2]))
    path = tmp_path / "stack" / "S2_20220713.tif"
    assert names(path) == SIX[:4]
    wanted = reflectance([stored[band, 10] for band in ("B02", "B03", "B04", "B08")], 1e-4, offset, 0)
    assert same(physical(path), wanted)
    with rasterio.open(path) as image:
        assert (image.transform, image.crs.to_string()) == (made.GRID_10, made.UTM)


def test_a_sentinel2_folder_of_the_first_format(tmp_path):
    stored = made.sentinel2(tmp_path / "safe", baseline="02.05")
    (head,) = tmp_path.rglob("MTD_MSIL2A.xml")
    head.write_text(head.read_text().replace("BOA_QUANTIFICATION_VALUE", "L2A_BOA_QUANTIFICATION_VALUE"))
    for path in list(tmp_path.rglob("T10SFH_*.jp2")):
        path.rename(path.with_name(f"L2A_{path.name}"))
    results(imported(tmp_path, [tmp_path / "safe"], bands="B04"))
    (image,) = (tmp_path / "stack").glob("*.tif")
    assert read_raster(image)[0, 5, 5] == stored["B04", 10][5, 5]


def test_a_sentinel2_zip_at_another_resolution_and_mixed(tmp_path):
    stored = made.sentinel2(tmp_path)
    archive = made.zipped(tmp_path / made.SENTINEL2, tmp_path / "s2.zip")
    results(imported(tmp_path, [archive], resolution=20.0))
    path = image_of(tmp_path)
    assert names(path) == ["blue", "green", "red", "red edge 1", "red edge 2", "red edge 3", "NIR", "SWIR 1", "SWIR 2"]
    assert same(physical(path)[6], reflectance([stored["B8A", 20]], 1e-4, -0.1, 0)[0])
    outcome = imported(tmp_path / "mixed", [archive], bands="B04, SWIR1, B8A")
    results(outcome)
    path = image_of(tmp_path / "mixed")
    assert names(path) == ["red", "SWIR 1", "NIR"]
    assert same(physical(path)[0], reflectance([stored["B04", 10]], 1e-4, -0.1, 0)[0])
    assert physical(path).shape == (3, 2 * SIZE, 2 * SIZE)
    assert any("SWIR 1, NIR resampled" in line for line in outcome.said.of("log"))


def test_hls(tmp_path):
    stored = made.hls(tmp_path / "l30")
    sentinel = "HLS.S30.T10SFH.2020281T185241.v2.0"
    fine = made.hls(tmp_path / "s30", product=sentinel, bands=("B02", "B03", "B04", "B8A", "B11", "B12"))
    found = results(run_method("import_products", folder=str(tmp_path), output=str(tmp_path / "stack")))
    assert found["images"] == 2
    first, second = tmp_path / "stack" / "HLS_20201002.tif", tmp_path / "stack" / "HLS_20201007.tif"
    assert names(first) == names(second) == SIX
    wanted = [stored[band] for band in ("B02", "B03", "B04", "B05", "B06", "B07")]
    assert same(physical(first), reflectance(wanted, 1e-4, 0, -9999))
    assert same(physical(second), reflectance(list(fine.values()), 1e-4, 0, -9999))


def test_scene_classes_of_larger_pixels_mask_the_smaller_ones(tmp_path):
    classes = np.full((SIZE, SIZE), 4, np.uint8)
    classes[7, 9], classes[11, 2] = 9, 3
    made.sentinel2(tmp_path, classes)
    results(imported(tmp_path, [tmp_path / made.SENTINEL2], bands="4,8", masks_output=str(tmp_path / "masks")))
    assert names(image_of(tmp_path)) == ["red", "NIR"]
    wanted = np.repeat(np.repeat(classes, 2, axis=0), 2, axis=1)
    mask = read_raster(image_of(tmp_path, "masks"))[0]
    assert np.array_equal(mask == CODES["cloud"], wanted == 9)
    assert np.array_equal(mask == CODES["shadow"], wanted == 3)


def test_viirs_of_both_sizes_in_hdf5(tmp_path):
    stored = made.viirs(tmp_path)
    results(imported(tmp_path, [tmp_path / f"{made.VIIRS}.h5"]))
    path = tmp_path / "stack" / "VNP09GA_20201002.tif"
    assert names(path) == ["red", "NIR", "SWIR 1"]
    assert same(physical(path), reflectance([stored[band] for band in ("I1", "I2", "I3")], 1e-4, 0, -28672))
    with rasterio.open(path) as image:
        assert image.crs.to_dict()["proj"] == "sinu"
        assert image.transform.a == pytest.approx(463.3127, abs=1e-3)
    results(imported(tmp_path / "km", [tmp_path / f"{made.VIIRS}.h5"], resolution=1000.0))
    path = image_of(tmp_path / "km")
    assert names(path) == SIX
    assert same(physical(path)[3], reflectance([stored["M7"]], 1e-4, 0, -28672)[0])


@pytest.mark.parametrize("pack", ["nc", "zip", "tar"])
def test_hdf5_by_another_ending_and_in_archives(tmp_path, pack):
    """Grids lie where they should, so that the flags with larger pixels are those of the bands."""
    qf1 = np.zeros((SIZE // 2, SIZE // 2), np.uint8)
    qf1[-1, -1] = 0b1100
    made.viirs(tmp_path / "in", qf1=qf1)
    if pack == "nc":
        path = (tmp_path / "in" / f"{made.VIIRS}.h5").rename(tmp_path / f"{made.VIIRS}.nc")
    else:
        path = (made.zipped if pack == "zip" else made.tarred)(tmp_path / "in", tmp_path / f"a.{pack}")
    results(imported(tmp_path, [path]))
    found = physical(image_of(tmp_path))[0]
    assert np.argwhere(np.isnan(found)).tolist() == [[0, 0], [22, 22], [22, 23], [23, 22], [23, 23]]


def test_viirs_flags_of_larger_pixels_mask_the_smaller_ones(tmp_path):
    qf1 = np.zeros((SIZE // 2, SIZE // 2), np.uint8)
    qf1[3, 5] = 0b1100
    made.viirs(tmp_path, qf1=qf1)
    outcome = imported(tmp_path, [tmp_path / f"{made.VIIRS}.h5"], masks_output=str(tmp_path / "masks"))
    assert results(outcome)["masked"] == pytest.approx(4 / (SIZE**2 - 1))
    mask = read_raster(image_of(tmp_path, "masks"))[0]
    assert (mask[6:8, 10:12] == CODES["cloud"]).all()
    assert np.count_nonzero(mask) == 5


def test_modis_fields_that_were_handed_over(tmp_path):
    state = np.full((SIZE // 2, SIZE // 2), 8, np.uint16)
    state[1, 1] = 0b1100
    stored = made.modis_fields(tmp_path / "fields", state)
    results(run_method("import_products", folder=str(tmp_path / "fields"), output=str(tmp_path / "stack")))
    path = tmp_path / "stack" / "MOD09GA_20201002.tif"
    assert names(path) == SIX
    wanted = reflectance([stored[n] for n in "341267"], 1e-4, 0, -28672)
    wanted[:, 2:4, 2:4] = np.nan
    assert same(physical(path), wanted)


def test_modis_extracts_of_appeears_and_the_quality_of_each_band(tmp_path):
    for number in (1, 2):
        values = made.numbers(number, 0, 5000, dtype="int16")
        stem = f"MCD43A4.061_Nadir_Reflectance_Band{number}_doy2020276_aid0001.tif"
        write_raster(tmp_path / stem, values, nodata=32767)
        good = np.zeros((SIZE, SIZE), np.uint8)
        good[number, 7] = 1
        stem = f"MCD43A4.061_BRDF_Albedo_Band_Mandatory_Quality_Band{number}_doy2020276_aid0001.tif"
        write_raster(tmp_path / stem, good, nodata=255)
    results(run_method(
        "import_products", folder=str(tmp_path), output=str(tmp_path / "stack"), bands="red", mask="poor"
    ))
    values = physical(tmp_path / "stack" / "MCD43A4_20201002.tif")
    assert np.argwhere(np.isnan(values)).tolist() == [[0, 1, 7]]


@pytest.mark.parametrize("interleave", ["bil", "bsq", "bip"])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", ">i2"])
def test_raw_images_of_every_interleave(tmp_path, interleave, dtype):
    values = made.numbers(3, 0, 200, 90, dtype=dtype).reshape(3, 30, 90)
    path = made.raw(tmp_path / f"image_20200405.{interleave}", values, interleave)
    outcome = imported(tmp_path, [path], shape="30, 90, 3", big_endian=dtype[0] == ">")
    results(outcome)
    written = image_of(tmp_path)
    assert written.name == "image_20200405.tif"
    assert np.array_equal(read_raster(written), values.astype(np.dtype(dtype).newbyteorder("=")))
    (said,) = (line for line in outcome.said.of("log") if "read as" in line)
    kind = {">i2": "int16"}.get(dtype, dtype)
    assert f"30 x 90 pixels, 3 band(s) of {kind}, {interleave.upper()}; guessed: type, interleave" in said


def test_the_layout_can_be_given_against_the_ending(tmp_path):
    values = made.numbers(4, 0, 60_000, 20).reshape(2, 10, 20)
    path = made.raw(tmp_path / "a_20200405.dat", values, "bip")
    with path.open("rb+") as stream:
        content = stream.read()
        stream.seek(0)
        stream.write(b"header" + content)
    results(imported(
        tmp_path, [path], shape="10x20x2", interleave="bip", number_type="uint16", skip=6, product="raw",
        scale="0.0001", nodata="7",
    ))
    with rasterio.open(image_of(tmp_path)) as image:
        assert np.array_equal(image.read(), values)
        assert (image.scales, image.nodata, image.dtypes[0]) == ((1e-4, 1e-4), 7, "uint16")


def test_cia_is_known_by_its_size_and_dated_by_its_folders(tmp_path):
    values = np.broadcast_to(np.arange(6, dtype=np.int16)[:, None, None] * 100, (6, 2040, 1720)).copy()
    values[:, 0, 0] = -999
    landsat = "2001_281_08oct/L71093084_08420011007_HRF_modtran_surf_ref_agd66.bil"
    made.raw(tmp_path / "CIA" / landsat, values, "bil")
    made.raw(tmp_path / "CIA" / "2001_290_17oct" / "MOD09GA_A2001290.sur_refl.int", values, "bsq")
    outcome = run_method("import_products", folder=str(tmp_path / "CIA"), output=str(tmp_path / "stack"), bands="1,6")
    assert results(outcome)["images"] == 2
    for name in ("CIA_Landsat_20011008.tif", "CIA_MODIS_20011017.tif"):
        with rasterio.open(tmp_path / "stack" / name) as image:
            assert image.descriptions == ("blue", "SWIR 2")
            assert (image.scales[0], image.nodata) == (1e-4, -9999)
            assert image.read()[:, 1, 1].tolist() == [0, 500]
            assert image.read()[:, 0, 0].tolist() == [-9999, -9999]
    first = next(line for line in outcome.said.of("log") if "L71093084" in line and "read as" in line)
    assert "its size is that of CIA" in first
    assert "dated 2001-10-08 as its folder says" in first


def test_an_envi_header_says_it_all(tmp_path):
    folder = real_scene("stf_boreas_2001_envi")
    results(imported(tmp_path, sorted(folder.glob("tm2001*[0-9]"))))
    for day in ("20010524", "20010711", "20010812"):
        assert np.array_equal(read_raster(tmp_path / "stack" / f"tm_{day}.tif"), read_raster(folder / f"tm{day}"))


def test_other_rasters_get_what_is_said_of_them(tmp_path):
    values = made.numbers(1, 0, 300, dtype="int16")
    for day in ("192", "208"):
        write_raster(tmp_path / f"lst_a_2001{day}.tif", np.stack([values, values + 1]), descriptions=("day", "night"))
    paths = sorted(tmp_path.glob("lst*.tif"))
    results(imported(
        tmp_path, paths, pattern="lst_*_%Y%j", bands="night", scale="0.02", offset="-10", nodata="5", units="K",
        name="T",
    ))
    with rasterio.open(tmp_path / "stack" / "T_20010711.tif") as image:
        assert np.array_equal(image.read(1), values + 1)
        assert (image.scales, image.offsets, image.nodata, image.units) == ((0.02,), (-10.0,), 5, ("K",))
        assert image.descriptions == ("night",)
    assert (tmp_path / "stack" / "T_20010727.tif").is_file()


def test_a_subdataset_and_a_file_in_a_dated_folder(tmp_path):
    values = made.numbers(1, 0, 300, dtype="int16")
    made.hdf_eos5(tmp_path / "other_2020123.h5", {"A": {"x": values, "y": values}})
    results(imported(tmp_path, [f"HDF5:{tmp_path / 'other_2020123.h5'}://HDFEOS/GRIDS/A/Data_Fields/x"]))
    assert np.array_equal(read_raster(tmp_path / "stack" / "x_20200502.tif")[0], values)
    (tmp_path / "in" / "2019-06-07").mkdir(parents=True)
    write_raster(tmp_path / "in" / "2019-06-07" / "image.tif", values)
    results(run_method("import_products", folder=str(tmp_path / "in"), output=str(tmp_path / "dated")))
    assert (tmp_path / "dated" / "image_20190607.tif").is_file()


def test_dates_from_a_table(tmp_path):
    write_raster(tmp_path / "one.tif", made.numbers(1, 0, 9))
    table = tmp_path / "dates.csv"
    table.write_text("one,2019-05-06\n")
    results(imported(tmp_path, [tmp_path / "one.tif"], date_table=str(table)))
    assert (tmp_path / "stack" / "one_20190506.tif").is_file()


@pytest.mark.parametrize(("numbers", "dtype", "scale"), [("stored", "uint16", 2.75e-5), ("float32", "float32", 1.0)])
def test_how_numbers_are_stored(tmp_path, numbers, dtype, scale):
    stored = made.landsat(tmp_path / made.LANDSAT)
    results(imported(tmp_path, [tmp_path / made.LANDSAT], numbers=numbers))
    path = image_of(tmp_path)
    with rasterio.open(path) as image:
        assert (image.dtypes[0], image.scales[0]) == (dtype, scale)
    if numbers == "stored":
        assert np.array_equal(read_raster(path), np.array([stored[n] for n in "234567"]))
    else:
        wanted = reflectance([stored[n] for n in "234567"], 2.75e-5, -0.2, 0)
        assert same(read_all(Source("image", Input(str(path)))), wanted)


def cloudy(folder) -> np.ndarray:
    """A Landsat product with a cloud of a pixel, snow and a shadow; its quality band."""
    qa = np.full((SIZE, SIZE), 21824, np.uint16)
    qa[0, 0], qa[10, 10], qa[20, 4], qa[5, 20] = 1, 22280, 30048, 23888
    made.landsat(folder / made.LANDSAT, qa)
    return qa


def test_what_is_masked_is_nodata_and_the_masks_say_why(tmp_path):
    cloudy(tmp_path)
    outcome = imported(tmp_path, [tmp_path / made.LANDSAT], masks_output=str(tmp_path / "masks"))
    assert results(outcome)["masked"] == pytest.approx(2 / (SIZE**2 - 1))
    gone = np.isnan(physical(image_of(tmp_path)))
    places = [(0, 0), (5, 20), (10, 10), (20, 4)]
    assert [tuple(at) for at in np.argwhere(gone.all(axis=0))] == places[:3]
    assert np.array_equal(gone.all(axis=0), gone.any(axis=0))
    path = tmp_path / "masks" / "LC08_mask_20201002.tif"
    mask = read_raster(path)[0]
    assert [mask[at] for at in places] == [CODES["fill"], CODES["shadow"], CODES["cloud"], 0]
    look = path.with_suffix(".qml").read_text(encoding="utf-8")
    assert all(f'label="{word}"' in look for word in ("clear", "fill", "shadow", "dilated", "mask layer"))
    # The masks are a stack of masks: with them, the unmasked image is the masked one.
    results(imported(tmp_path / "open", [tmp_path / made.LANDSAT], mask="none"))
    whole = dated("fine", Input(str(tmp_path / "open" / "stack")), Input(str(tmp_path / "masks")))
    (masked,) = (Source("fine", layer) for layer in whole.values())
    assert np.array_equal(np.isnan(read_all(masked)), gone)
    (entry,) = json.loads((tmp_path / "stack" / "index.json").read_text())
    assert entry["masked_by_kind"] == pytest.approx({"cloud": 1 / (SIZE**2 - 1), "shadow": 1 / (SIZE**2 - 1)})


def test_kinds_are_chosen(tmp_path):
    cloudy(tmp_path)
    results(imported(tmp_path, [tmp_path / made.LANDSAT], mask="snow"))
    assert np.argwhere(np.isnan(physical(image_of(tmp_path))[0])).tolist() == [[0, 0], [20, 4]]


@pytest.mark.parametrize("threads", [1, 3])
def test_dilation_reaches_as_far_whatever_the_tiles(tmp_path, threads):
    size = 150
    qa = np.full((size, size), 21824, np.uint16)
    clouds = [(10, 10), (63, 64), (64, 149), (127, 3)]
    qa[0, 75] = 1
    for at in clouds:
        qa[at] = 22280
    product = tmp_path / made.LANDSAT
    made.landsat(product, qa)
    for path in product.glob("*SR_B*.TIF"):
        write_raster(path, np.full((size, size), 9000, np.uint16), made.GRID_30, made.UTM)
    results(imported(
        tmp_path, [product], {"threads": threads}, bands="red", dilation=7, masks_output=str(tmp_path / "masks")
    ))
    rows, columns = np.mgrid[:size, :size]
    near = np.any([(rows - row) ** 2 + (columns - column) ** 2 <= 49 for row, column in clouds], axis=0)
    mask = read_raster(image_of(tmp_path, "masks"))[0]
    assert np.array_equal(np.isin(mask, (CODES["cloud"], DILATED)), near)
    assert np.count_nonzero(mask == CODES["cloud"]) == len(clouds)
    # Nothing grows around pixels without data.
    assert np.argwhere(mask == CODES["fill"]).tolist() == [[0, 75]]


def test_mask_layers_by_date_or_for_all(tmp_path):
    stored = made.numbers(1, 0, 300, dtype="int16")
    for day in ("20200101", "20200102"):
        write_raster(tmp_path / f"image_{day}.tif", stored, nodata=-1)
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[4, 5] = 9
    dated_mask = write_raster(tmp_path / "mask_20200102.tif", mask, nodata=0)
    plain_mask = write_raster(tmp_path / "mask.tif", mask, nodata=0)
    images = sorted(tmp_path.glob("image*.tif"))
    results(imported(tmp_path, images, masks=[dated_mask], masks_output=str(tmp_path / "masks")))
    gone = [np.argwhere(np.isnan(physical(path)[0])).tolist() for path in sorted((tmp_path / "stack").glob("*.tif"))]
    assert gone == [[], [[4, 5]]]
    assert read_raster(tmp_path / "masks" / "image_mask_20200102.tif")[0, 4, 5] == LAYER
    results(imported(tmp_path / "all", images, masks=[plain_mask]))
    gone = [np.argwhere(np.isnan(physical(path)[0])).tolist() for path in (tmp_path / "all" / "stack").glob("*.tif")]
    assert gone == [[[4, 5]], [[4, 5]]]


def test_west_hubei_with_its_fmasks(tmp_path):
    folder = real_scene("stf_westhubei_ndvi_2015")
    images = sorted(str(path) for path in folder.glob("L8_NDVI_*.tif"))
    masks = sorted(str(path) for path in folder.glob("L8_FMASK_*.tif"))
    found = results(imported(tmp_path, images, masks=masks))
    assert found["images"] == 9
    mask, values = read_raster(masks[0])[0], Source("image", Input(str(tmp_path / "stack" / "L8_NDVI_20150414.tif")))
    assert np.isnan(read_all(values)[0][mask != 0]).all()


def test_only_windows_are_read(tmp_path, monkeypatch):
    size = 1100
    product = tmp_path / made.LANDSAT
    made.landsat(product)
    for path in product.glob("*.TIF"):
        values = np.full((size, size), 21824 if "QA_PIXEL" in path.name else 9000, np.uint16)
        write_raster(path, values, made.GRID_30, made.UTM, tiled=True, blockxsize=256, blockysize=256)
    largest = 0
    whole = Source.read_stored

    def counted(self, box):
        nonlocal largest
        largest = max(largest, box.shape[0] * box.shape[1])
        return whole(self, box)

    monkeypatch.setattr(Source, "read_stored", counted)
    results(imported(tmp_path, [product], {"threads": 2, "memory_mb": 420}, dilation=2))
    assert 0 < largest < size * size / 4
