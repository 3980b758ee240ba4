"""Dated stacks: their files, dates from tags, names, patterns and tables, masks, and the names of what is written."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pytest

from makers import write_raster
from stfusion.errors import UserError
from stfusion.job import Input
from stfusion.raster.dates import from_name
from stfusion.raster.stack import dated, dates_of, files_of, name_of

IMAGE = np.ones((1, 4, 4), np.float32)


def written(folder: Path, *names: str) -> Input:
    folder.mkdir(exist_ok=True)
    path, *more = (write_raster(folder / name, IMAGE) for name in names)
    return Input(path, more=tuple(more) or None)


def test_layers_come_in_the_order_of_their_dates(tmp_path):
    found = dated("fine", written(tmp_path, "b_20210522.tif", "a_20210420.tif"))
    assert list(map(str, found)) == ["2021-04-20", "2021-05-22"]
    assert [(Path(image.path).name, image.date) for image in found.values()] == [
        ("a_20210420.tif", "2021-04-20"), ("b_20210522.tif", "2021-05-22"),
    ]


def test_a_date_may_be_in_the_tags(tmp_path):
    path = write_raster(tmp_path / "image.tif", IMAGE, tags={"TIFFTAG_DATETIME": "2020:02:29 10:00:00"})
    assert list(dated("fine", Input(path))) == [date(2020, 2, 29)]


def test_a_date_may_be_given_for_a_single_layer(tmp_path):
    path = write_raster(tmp_path / "image.tif", IMAGE)
    assert list(dated("fine", Input(path, date="2020-03-01"))) == [date(2020, 3, 1)]


def test_a_folder_stands_for_its_rasters(tmp_path):
    written(tmp_path, "a_20210420.tif", "a_20210522.tif")
    (tmp_path / "notes_20210601.txt").write_text("nothing")
    assert list(map(str, dated("fine", Input(str(tmp_path))))) == ["2021-04-20", "2021-05-22"]


def test_what_lies_beside_rasters_is_no_layer(tmp_path):
    for name in ("tm20010524", "tm20010524.hdr", "tm20010711", "tm20010711.hdr", "tm20010711.aux.xml", "notes"):
        (tmp_path / name).touch()
    images = [str(tmp_path / "tm20010524"), str(tmp_path / "tm20010711")]
    chosen = sorted(map(str, tmp_path.glob("tm*")))
    assert files_of("fine", Input(chosen[0], more=tuple(chosen[1:]))) == images
    assert files_of("fine", Input(str(tmp_path))) == images
    # Alone, it is handed on, so that what opens it can say what is wrong.
    assert files_of("fine", Input(f"{images[0]}.hdr")) == [f"{images[0]}.hdr"]


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(UserError, match="has no fine layer; choose a folder with raster files"):
        dated("fine", Input(str(tmp_path)))


def test_a_layer_without_a_date_is_named(tmp_path):
    with pytest.raises(UserError, match=r"Fine layer 'image\.tif' has no date .* such as 20010711"):
        dated("fine", written(tmp_path, "image.tif"))


def test_two_layers_of_a_date_are_named(tmp_path):
    layers = written(tmp_path, "one_2021-04-20.tif", "two_20210420.tif")
    words = r"Fine layer 'two_20210420\.tif' and 'one_2021-04-20\.tif' are both of 2021-04-20"
    with pytest.raises(UserError, match=words):
        dated("fine", layers)


def test_masks_belong_to_the_images_of_their_dates(tmp_path):
    layers = written(tmp_path / "fine", "a_20210420.tif", "a_20210522.tif")
    masks = written(tmp_path / "masks", "clouds_20210522.tif", "clouds_20210701.tif")
    every = Input(layers.path, more=layers.more, mask="sea.tif", bands=(1,), nodata=0.0)
    first, second = dated("fine", every, masks).values()
    assert (first.mask, second.mask) == ("sea.tif", masks.path)
    assert (second.bands, second.nodata) == ((1,), 0.0)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("LC08_L2SP_039037_20201002_20201115_02_T1_SR_B5.TIF", "2020-10-02"),
        ("LE70390372001192EDC00_B4.TIF", "2001-07-11"),
        ("L71093084_08420011007_HRF_modtran_surf_ref_agd66.bil", "2001-10-07"),
        ("MOD09GA_A2001281.sur_refl.int", "2001-10-08"),
        ("MOD09GA.061_sur_refl_b01_1_doy2020275_aid0001.tif", "2020-10-01"),
        ("MOD09GA.A2020275.h08v05.061.20201101.hdf", "2020-10-01"),
        ("VNP43IA4.A2020275.h08v05.001.2020284120134.h5", "2020-10-01"),
        ("HLS.S30.T11SPS.2020275T182341.v2.0.B05.20201101.tif", "2020-10-01"),
        ("S2B_MSIL2A_20201002T182249_N0214_R127_T11SPS_20201004T223412.SAFE", "2020-10-02"),
        ("20201104_T11SPS_20201002T182249_B08_10m.jp2", "2020-10-02"),
        ("MCD43A4.A2021366.tif", None),
    ],
)
def test_names_of_usual_products_have_the_date_of_acquisition(name, expected):
    found = from_name(name)
    assert (found and found.isoformat()) == expected


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("lai_*_%Y%j", "lai_20990101_2020275.tif", "2020-10-01"),
        ("%d.%m.%y??.tif", "02.10.20xx.tif", "2020-10-02"),
        ("a+(%Y)_%m_%d*", "a+(2020)_02_29_v1.img", "2020-02-29"),
    ],
)
def test_a_pattern_of_ones_own(pattern, name, expected):
    assert dates_of([f"/data/{name}"], pattern) == [date.fromisoformat(expected)]


@pytest.mark.parametrize("pattern", ["image", "%Y%m", "%Y%Y%m%d", "%Y%j%d", "%Y%m%d%H", "%Y%y%m%d"])
def test_a_pattern_without_a_whole_date_is_refused(pattern):
    with pytest.raises(UserError, match="is not understood; write each of %Y, %m and %d"):
        dates_of(["a.tif"], pattern)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a_2020275.tif", r"Layer 'a_2020275\.tif' is not named as the pattern of dates 'b_%Y%j' says"),
        ("b_2021366.tif", r"has no date where the pattern 'b_%Y%j' says \(2021 366\)"),
        ("b_2021000.tif", r"has no date where the pattern 'b_%Y%j' says \(2021 000\)"),
    ],
)
def test_a_name_that_does_not_fit_the_pattern_is_named(name, words):
    with pytest.raises(UserError, match=words):
        dates_of([name], "b_%Y%j")


@pytest.mark.parametrize("text", ["name;date\na;2020-10-01\nb.tif;20201002", "\ufeffa.tif,2020275\nx/b,2020-10-02\n\n"])
def test_a_table_has_names_and_dates(tmp_path, text):
    table = tmp_path / "dates.csv"
    table.write_text(text, encoding="utf-8")
    assert dates_of(["/data/a.tif", "/data/b.tif"], "", str(table)) == [date(2020, 10, 1), date(2020, 10, 2)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a.tif,2020-10-01\n", r"Layer 'b\.tif' is not in the table of dates 'dates\.csv'; add a line"),
        ("a.tif,2020-10-01\nb.tif,soon\n", r"Line 2 of the table of dates .* is 'b\.tif,soon'; write a file's name"),
        ("a.tif,2020-10-01\nb.tif\n", "Line 2 of the table"),
    ],
)
def test_a_table_that_lacks_a_date_is_refused(tmp_path, text, words):
    table = tmp_path / "dates.csv"
    table.write_text(text)
    with pytest.raises(UserError, match=words):
        dates_of(["a.tif", "b.tif"], "", str(table))


def test_a_table_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"table of dates '.*none\.csv' cannot be read"):
        dates_of(["a.tif"], "", str(tmp_path / "none.csv"))


def test_what_is_written_has_its_date_in_its_name():
    assert name_of("fused", date(2020, 2, 29)) == "fused_20200229.tif"
    assert from_name(name_of("fused_2019", date(2020, 2, 29))) == date(2020, 2, 29)
