"""Import products: whatever is wrong with a download is named in one sentence, and nothing half-written stays."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from affine import Affine

import products as made
from makers import Outcome, read_raster, run_method, write_raster

Change = Callable[[Path], None]


def refused(tmp_path: Path, sentence: str, **values) -> None:
    outcome: Outcome = run_method(
        "import_products", output=str(tmp_path / "stack"), masks_output=str(tmp_path / "masks_of_stack"), **values
    )
    assert outcome.code == 2, outcome.said.lines
    assert re.search(sentence, outcome.error), outcome.error
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(("stack", "masks_of_stack"))]


def without(pattern: str) -> Change:
    """Lose files of a product."""

    def change(folder: Path) -> None:
        for path in list(folder.rglob(pattern)):
            path.unlink()

    return change


def replaced(pattern: str, old: str, new: str) -> Change:
    """Spoil the text of a file."""

    def change(folder: Path) -> None:
        (path,) = folder.rglob(pattern)
        path.write_text(re.sub(old, new, path.read_text(encoding="utf-8")), encoding="utf-8")

    return change


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (without("*_MTL.txt"), rf"'{made.LANDSAT}' has no MTL file \({made.LANDSAT}_MTL.txt\).*give the whole folder"),
        (without("*_SR_B5.TIF"), rf"lacks the files of NIR \({made.LANDSAT}_SR_B5.TIF\); download it again"),
        (without("*_QA_PIXEL.TIF"), "lacks QA_PIXEL, which tells clouds; download it again, or mask 'none'"),
        (replaced("*_MTL.txt", "DATE_ACQUIRED = .*", "DATE_ACQUIRED = soon"), "has the date 'soon', which is none"),
        (replaced("*_MTL.txt", "BAND_4 = 2.75e-05", "BAND_4 = much"), "has 'much' for REFLECTANCE_MULT_BAND_4, no num"),
    ],
)
def test_landsat(tmp_path, change, sentence):
    made.landsat(tmp_path / made.LANDSAT)
    change(tmp_path)
    refused(tmp_path, sentence, products=[str(tmp_path / made.LANDSAT)])


def test_landsat_of_another_collection_and_without_the_sun(tmp_path):
    made.landsat(tmp_path / "a", product="LC08_L1TP_044033_20201002_20201007_01_T1")
    refused(tmp_path, "is not of Collection 2 .*order it", folder=str(tmp_path / "a"))
    made.landsat(tmp_path / "c", product="LM05_L1TP_044033_19850704_20210918_02_T2")
    refused(tmp_path, "is not of Collection 2 of Landsat 4 to 9 .TM, ETM., OLI.", folder=str(tmp_path / "c"))
    made.landsat(tmp_path / "b", product="LC08_L1TP_044033_20201002_20201007_02_T1")
    replaced("*_MTL.txt", "SUN_ELEVATION = .*", "SUN_ELEVATION = -3.0")(tmp_path / "b")
    refused(tmp_path, "lacks the scale of band 1 or the height of the sun", folder=str(tmp_path / "b"))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (without("MTD_MSIL2A.xml"), f"'{made.SENTINEL2}' has no MTD_MSIL2A.xml, .*download it whole, and of level 2A"),
        (without("*_B04_10m.jp2"), r"lacks the files of red \(B04_10m.jp2\)"),
        (without("*_SCL_20m.jp2"), r"lacks its scene classes \(SCL\)"),
        (replaced("MTD*.xml", "(?s)<BOA_ADD_OFFSET_V.*_LIST>", ""), "lacks the baseline, the scale or the offsets"),
        (replaced("MTD*.xml", '<BOA_ADD_OFFSET band_id="3">-1000<', "<X>-1000<"), "lacks the .* offsets of the bands"),
        (replaced("MTD*.xml", "PRODUCT_START_TIME>2", "PRODUCT_START_TIME>x"), r"has no date \(PRODUCT_START_TIME\)"),
    ],
)
def test_sentinel2(tmp_path, change, sentence):
    made.sentinel2(tmp_path / "safe")
    change(tmp_path / "safe")
    refused(tmp_path, sentence, folder=str(tmp_path / "safe"))


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"bands": "red,infrared"}, "has no band 'infrared'; choose from: coastal, blue, green"),
        ({"resolution": 15.0}, "has no bands with pixels of 15 m; choose 'Resolution' from: 30"),
        ({"bands": "red", "resolution": 15.0}, "none of these bands with pixels of 15 m; choose from: 30"),
        ({"mask": "cloud,haze"}, "'Masked' has 'haze'; choose from: fill, cloud"),
        ({"pattern": "hls_%Y"}, "The pattern of dates 'hls_%Y' is not understood"),
        ({"product": "landsat"}, "has no product that is known; give a Landsat Collection 2"),
    ],
)
def test_options(tmp_path, values, sentence):
    made.hls(tmp_path / "hls")
    refused(tmp_path, sentence, folder=str(tmp_path / "hls"), **values)


def test_hls_without_fmask_or_a_band(tmp_path):
    made.hls(tmp_path / "hls")
    without("*.Fmask.tif")(tmp_path)
    refused(tmp_path, "lacks Fmask, which tells clouds", folder=str(tmp_path / "hls"))
    without("*.B03.tif")(tmp_path)
    refused(tmp_path, rf"lacks the files of green \({made.HLS}.B03.tif\)", folder=str(tmp_path / "hls"))


def test_two_products_of_a_date(tmp_path):
    made.hls(tmp_path / "in" / "hls")
    made.viirs(tmp_path / "in")
    sentence = f"'{made.VIIRS}' and HLS L30 '{made.HLS}' are both of 2020-10-02; leave one of them out"
    refused(tmp_path, sentence, folder=str(tmp_path / "in"))


def test_a_product_that_is_there_twice(tmp_path):
    made.landsat(tmp_path / "in" / made.LANDSAT)
    made.tarred(tmp_path / "in" / made.LANDSAT, tmp_path / "in" / "a.tar")
    refused(
        tmp_path, f"{made.LANDSAT}' is there twice, as '.*{made.LANDSAT}.*SR_B.*.TIF' and '/vsitar/.*a.tar/.*'; leave",
        folder=str(tmp_path / "in"),
    )


def test_pages_that_were_saved_as_downloads(tmp_path):
    for name in ("a.tar", "a.zip", f"{made.VIIRS}.h5"):
        (tmp_path / name).write_text("<html>Please log in</html>" * 50)
        refused(tmp_path, rf"'{name}'[^\n]*, as if its download had broken off", products=[str(tmp_path / name)])


def test_hdf4_needs_qgis(tmp_path):
    path = tmp_path / f"{made.MODIS}.hdf"
    path.write_bytes(b"\x0e\x03\x13\x01" + bytes(64))
    refused(tmp_path, rf"is an HDF4 file, .*import it in QGIS, or .*{made.MODIS}.FIELD.tif", products=[str(path)])


def test_broken_downloads(tmp_path):
    made.landsat(tmp_path / made.LANDSAT)
    whole = made.tarred(tmp_path / made.LANDSAT, tmp_path / "a.tar").read_bytes()
    zipped = made.zipped(tmp_path / made.LANDSAT, tmp_path / "a.zip").read_bytes()
    packed = made.tarred(tmp_path / made.LANDSAT, tmp_path / "a.tar.gz").read_bytes()
    made.viirs(tmp_path)
    viirs = (tmp_path / f"{made.VIIRS}.h5").read_bytes()
    # Within a file, and between two of them.
    header = whole.index(b"_QA_RADSAT.TIF") // 512 * 512
    for name, content in (
        ("b.tar", whole[: len(whole) // 2]), ("c.tar", whole[:header]), ("b.zip", zipped[:-100]),
        ("b.tar.gz", packed[: len(packed) // 2]), ("empty.zip", b""), (f"{made.VIIRS}.h5", viirs[: len(viirs) // 2]),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        refused(tmp_path, rf"'{name}'.*as if its download had broken off; download it again", products=[str(path)])
    (band,) = (tmp_path / made.LANDSAT).glob("*SR_B4.TIF")
    band.write_bytes(band.read_bytes()[:700])
    refused(tmp_path, f"'{made.LANDSAT}' cannot be read to its end .*download it again", products=[
        str(tmp_path / made.LANDSAT)])
    made.sentinel2(tmp_path)
    (band,) = tmp_path.rglob("*B04_10m.jp2")
    band.write_bytes(band.read_bytes()[:-1500])
    refused(tmp_path, f"'{made.SENTINEL2}', file '.*B04_10m.jp2' cannot be read to its end .*again", products=[
        str(tmp_path / made.SENTINEL2)])


def test_archive_without_a_product_and_unknown_files(tmp_path):
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "readme.txt").write_text("nothing here")
    archive = made.zipped(tmp_path / "papers", tmp_path / "papers.zip")
    refused(tmp_path, "'papers.zip' has no product that is known", products=[str(archive)])
    refused(tmp_path, "papers' has no product that is known", folder=str(tmp_path / "papers"))
    refused(tmp_path, "'readme.txt' is neither a known product nor a raster", products=[
        str(tmp_path / "papers" / "readme.txt")])
    refused(tmp_path, "'.*gone.tar' does not exist", products=[str(tmp_path / "gone.tar")])
    refused(tmp_path, "There is nothing to import; give 'Products' or 'Folder of downloads'")
    file = made.hdf_eos5(tmp_path / "other_20200101.h5", {"A": {"x": np.ones((4, 4)), "y": np.ones((4, 4))}})
    refused(tmp_path, "has 2 subdatasets and is no known product; give those that you want", products=[str(file)])


def test_raw_images_of_another_size(tmp_path):
    values = made.numbers(1, 0, 9, 20).reshape(2, 10, 20)
    path = str(made.raw(tmp_path / "a_20200101.bil", values, "bil"))
    refused(tmp_path, "has no header and 800 bytes, .*CIA: 42105600, LGC: 104448000.*give 'Shape'", products=[path])
    given = {"products": [path], "number_type": "int16"}
    refused(tmp_path, "has 800 bytes, and 10 x 20 pixels, 3 band.* need 1200;", shape="10,20,3", **given)
    refused(tmp_path, "'Shape' is '10 rows'; write rows, columns and bands", shape="10 rows", **given)
    refused(tmp_path, "'Scale' is 'big'; give a number", shape="10,20,2", scale="big", **given)
    header = "ENVI\nsamples = 20\nlines = 30\nbands = 2\ndata type = 12\ninterleave = bil\nbyte order = 0\n"
    (tmp_path / "a_20200101.hdr").write_text(header)
    refused(tmp_path, "has 800 bytes, and its header says 2400", products=[path])


def test_rasters_without_a_date_and_masks_of_another_grid(tmp_path):
    values = made.numbers(1, 0, 9)
    refused(tmp_path, "Raster 'x.tif' has no date .*'Table of dates'",
            products=[write_raster(tmp_path / "x.tif", values)])
    images = [write_raster(tmp_path / name, values) for name in ("a_20200101.tif", "b_2020_01_01.tif")]
    refused(tmp_path, "are both of 2020-01-01", products=images)
    mask = write_raster(tmp_path / "mask.tif", values[1:].astype(np.uint8))
    refused(tmp_path, r"Mask layer 'mask.tif' \(24 x 23 pixels.*does not have the grid of Raster 'a_20200101.tif'",
            products=images[:1], masks=[mask])


def test_fields_that_lie_nowhere(tmp_path):
    made.modis_fields(tmp_path / "fields")
    for path in (tmp_path / "fields").iterdir():
        write_raster(path, read_raster(path), Affine.identity(), None)
    refused(tmp_path, "have no coordinate system and different grids", folder=str(tmp_path / "fields"))


def test_masks_of_other_dates_are_named(tmp_path):
    image = write_raster(tmp_path / "a_20200101.tif", made.numbers(1, 0, 9))
    mask = write_raster(tmp_path / "mask_20200202.tif", np.zeros((made.SIZE, made.SIZE), np.uint8))
    outcome = run_method("import_products", products=[image], masks=[mask], output=str(tmp_path / "stack"))
    assert outcome.said.of("warning") == [
        "No image has the date of these masks: 2020-02-02.", "These images have no mask: 2020-01-01.",
    ]


def test_folders_that_cannot_be_read_are_not_passed_over(tmp_path, monkeypatch):
    made.hls(tmp_path / "in" / "hls")
    closed = tmp_path / "in" / "closed"
    closed.mkdir()
    scan = os.scandir

    def refusing(path):
        if path == str(closed):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refusing)
    refused(tmp_path, "'.*closed' cannot be looked through .Permission denied.; ask", folder=str(tmp_path / "in"))


def test_compressed_archives_stay_alone(tmp_path):
    made.landsat(tmp_path / made.LANDSAT)
    (tmp_path / "in").mkdir()
    archive = made.tarred(tmp_path / made.LANDSAT, tmp_path / "in" / "a.tar.gz")
    assert run_method("import_products", products=[str(archive)], output=str(tmp_path / "stack")).code == 0
    assert list((tmp_path / "in").iterdir()) == [archive]


def test_a_full_disk(tmp_path, monkeypatch):
    made.hls(tmp_path / "hls")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=0))
    refused(tmp_path, "the disk has 0 MB free; make room", folder=str(tmp_path / "hls"))


def test_outputs_within_each_other(tmp_path):
    made.hls(tmp_path / "hls")
    outcome = run_method(
        "import_products", folder=str(tmp_path / "hls"), output=str(tmp_path / "a"), masks_output=str(tmp_path / "a/b")
    )
    assert re.search("'.*a' of an output has another output in it", outcome.error)
    assert not (tmp_path / "a").exists()


def test_a_folder_that_is_not_empty(tmp_path):
    made.hls(tmp_path / "hls")
    outcome = run_method("import_products", folder=str(tmp_path / "hls"), output=str(tmp_path / "hls"))
    assert "is not an empty folder" in outcome.error
