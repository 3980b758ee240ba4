"""The data set file, and the user's own dated layers."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

from stfusion.errors import UserError
from stfusion.job import Input
from stfusion.raster.stack import dated
from stfusion.training._data_set import _PLACE, _TOP, load_data_set
from stfusion.training._degradation import RANGES
from stfusion.training._places import Dates, OpenImages, PlaceFiles, RasterPlace, refuse_repeated
from training_scenes import scene

PLACE = {
    "name": "Valley",
    "split": "training",
    "fine": {"2021-04-20": "fine/a.tif", "2021-05-22": "/data/b.tif"},
    "coarse": {"2021-04-20": "coarse/a.tif", "2021-05-22": "coarse/b.tif"},
    "fine_masks": {"2021-05-22": "masks/b.tif"},
    "fine_clear": "0,1",
    "fine_bands": [3, 2],
    "coarse_bands": [1, 2],
    "fine_scale": 0.0001,
    "ratio": [8, 16],
    "groups": [["2021-04-20", "2021-05-22"]],
    "held_out": [["2021-05-22", "2021-04-20"]],
}


def written(folder, **changes):
    """A data set file with one place that has some of its entries changed; None takes one away."""
    place = {key: value for key, value in {**PLACE, **changes}.items() if value is not None}
    path = folder / "places.json"
    path.write_text(json.dumps({"schema": 1, "places": [place]}))
    return path


def test_a_place_is_read(tmp_path):
    (place,) = load_data_set(written(tmp_path))
    first, second = date(2021, 4, 20), date(2021, 5, 22)
    assert (place.name, place.split, place.ratio) == ("Valley", "training", (8.0, 16.0))
    assert place.fine[first] == Input(str(tmp_path / "fine/a.tif"), bands=(3, 2), date="2021-04-20", clear="0,1")
    assert place.fine[second] == Input("/data/b.tif", (3, 2), "2021-05-22", None, str(tmp_path / "masks/b.tif"), "0,1")
    assert place.coarse[first].bands == (1, 2)
    assert (place.groups, place.held_out) == ((Dates((first,), second),), (Dates((second,), first),))
    assert place.scales == {"fine": 0.0001, "coarse": 1.0}


def test_a_place_may_have_fine_images_alone(tmp_path):
    (place,) = load_data_set(written(tmp_path, **dict.fromkeys(PLACE.keys() - {"name", "fine"})))
    assert place.coarse == {}
    assert place.split is place.ratio is None


def test_a_ratio_may_be_one_number(tmp_path):
    assert load_data_set(written(tmp_path, ratio=16))[0].ratio == (16.0, 16.0)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"colour": "red"}, "unknown entry 'colour' in place 'Valley'; it may have: coarse,"),
        ({"name": None}, "no name for place 1"),
        ({"name": 3}, "no name for place 1"),
        ({"split": "test"}, "split 'test' in place 'Valley'"),
        ({"fine": None, "fine_masks": None}, "no fine images in place 'Valley'"),
        ({"fine": ["a.tif"]}, "'fine' in place 'Valley' that is no object"),
        ({"fine": {"20 April": "a.tif"}}, "date '20 April' in 'fine' of place 'Valley'; write it as YYYY-MM-DD"),
        ({"fine": {"2021-04-20": 7}}, "has 7 for 2021-04-20 in 'fine'"),
        ({"coarse": {"2021-02-30": "a.tif"}}, "date '2021-02-30' in 'coarse'"),
        ({"fine_masks": {"2020-01-01": "m.tif"}}, "mask of 2020-01-01 and no fine image of that date"),
        ({"fine_clear": [0]}, r"has \[0\] in 'fine_clear' of place 'Valley'; write whole numbers"),
        ({"fine_bands": [0]}, r"has \[0\] in 'fine_bands'"),
        ({"fine_bands": "1,2"}, "has '1,2' in 'fine_bands'"),
        ({"groups": "2021"}, r"'groups' in place 'Valley' that is no list of \[reference, target\]"),
        ({"groups": [["2021-04-20"]]}, "'groups' in place 'Valley' that is no list"),
        ({"held_out": [["2021-04-20", "2021-04-20"]]}, "a group with a date twice, in 'held_out' of place 'Valley'"),
        ({"groups": [["2021-04-20", "2021-04-21"]]}, "a group with 2021-04-21, of which images are missing"),
        ({"coarse_scale": 0}, "has 0 in 'coarse_scale'"),
        ({"fine_scale": True}, "has True in 'fine_scale'"),
        ({"ratio": 1}, "has the ratio 1 in"),
        ({"ratio": [16, 8]}, r"has the ratio \[16, 8\] in"),
        ({"ratio": ["8", 16]}, r"has the ratio \['8', 16\] in"),
    ],
)
def test_a_fault_of_a_place_is_one_sentence(tmp_path, changes, words):
    with pytest.raises(UserError, match=words) as caught:
        load_data_set(written(tmp_path, **changes))
    assert str(caught.value).startswith("The data set 'places.json' ")
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("[]", "not a JSON object"),
        ('{"schema": 1, "places": []}', "no places"),
        ('{"schema": 1, "places": {"name": "a"}}', "no places"),
        ('{"schema": 2, "places": []}', "schema 2 and this engine reads schema 1"),
        ('{"places": []}', "schema None"),
        ('{"schema": 1, "folder": "x", "places": []}', "unknown entry 'folder' in it"),
        (json.dumps({"schema": 1, "places": [PLACE, PLACE]}), "place 'Valley' twice"),
        ("\x00\xff", "not valid JSON"),
    ],
)
def test_a_fault_of_the_file_is_one_sentence(tmp_path, text, words):
    path = tmp_path / "places.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(UserError, match=words):
        load_data_set(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"none\.json' cannot be read \(No such file"):
        load_data_set(tmp_path / "none.json")


def places(tmp_path, *splits, name="a.tif"):
    plain = [{"name": f"P{n}", "fine": {f"202{n}-01-01": name}} for n in range(len(splits))]
    for place, split in zip(plain, splits, strict=True):
        if split:
            place["split"] = split
    path = tmp_path / "places.json"
    path.write_text(json.dumps({"schema": 1, "places": plain}))
    return load_data_set(path)


@pytest.mark.parametrize("splits", [("training", "validation"), (None, None), (None, "training")])
def test_an_image_in_training_and_in_validation_is_refused(tmp_path, splits):
    with pytest.raises(UserError, match=r"image 'a\.tif' is in P0 .* and in P1 .* must not be learnt from"):
        refuse_repeated(places(tmp_path, *splits))


def test_an_image_may_be_in_two_places_of_one_split(tmp_path):
    refuse_repeated(places(tmp_path, "training", "training"))


def test_an_image_of_two_dates_is_refused(tmp_path):
    place = written(tmp_path, fine={"2021-04-20": "a.tif", "2021-05-22": "./a.tif"}, coarse=None)
    with pytest.raises(UserError, match=r"'a\.tif' is given for 2021-04-20 and for 2021-05-22 in Valley"):
        refuse_repeated(load_data_set(place))


def test_layers_without_a_common_date_are_no_pairs(tmp_path):
    fine, coarse = scene(tmp_path)
    others = Input(coarse.more[0], more=coarse.more[1:])
    place = PlaceFiles("the scene", dated("fine", Input(fine.path)), dated("coarse", others))
    with pytest.raises(UserError, match="fine ones are of 2021-04-20, the coarse ones of 2021-05-22, 2021-06-23"):
        RasterPlace(place, OpenImages(2**24, 8))


def page():
    return Path(__file__).parents[2].joinpath("docs", "training-data.md").read_text(encoding="utf-8")


def test_the_page_shows_a_data_set_that_can_be_read(tmp_path):
    example = page().split("```json\n")[1].split("```")[0]
    (tmp_path / "places.json").write_text(example)
    upper, plain = load_data_set(tmp_path / "places.json")
    assert (upper.split, plain.split, plain.ratio) == ("training", "validation", (8.0, 32.0))
    assert upper.coarse[date(2019, 8, 25)].bands == (1, 4, 3)
    refuse_repeated([upper, plain])


def test_the_page_describes_every_entry():
    text = page()
    assert [entry for entry in (_TOP | _PLACE) if f"| `{entry}`" not in text and f"`{entry}` |" not in text] == []
    for number in (*RANGES.ratio, *RANGES.blur, RANGES.shift, RANGES.drift, 100 * RANGES.gain, 100 * RANGES.offset):
        assert f"{number:g}" in text.split("## Simulated coarse images")[1]
