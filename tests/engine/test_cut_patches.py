"""Cut patches: what is in them, valid shares, splits by place and by date, settings, the trainer, HDF5, bad input."""

from __future__ import annotations

import csv
import json
import sys
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import rasterio
from affine import Affine

from makers import FINE, Outcome, read_raster, run_method, write_raster
from series_scenes import RATIO, SIDE, day, series, surface
from stfusion.preparation._lattice import patches
from stfusion.preparation._settings import SETTINGS, SPLITS
from stfusion.raster.grids import Box
from stfusion.training._data_set import load_data_set
from training_scenes import PLAIN, opened

NUMBERS = (0, 5, 10, 15)


def cut(folder, code=0, settings=None, output="set", **values) -> Outcome:
    values = {"size": 16, "validation": 0.0, "output": str(folder / output), **values}
    outcome = run_method("cut_patches", settings=settings, **values)
    assert outcome.code == code, outcome.said.lines
    assert (folder / output).exists() == (code == 0)
    return outcome


def groups(folder) -> list[dict[str, str]]:
    with (folder / "groups.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def places(folder, name="data_set.json") -> list[dict]:
    return json.loads((folder / name).read_text())["places"]


@pytest.fixture
def stacks(tmp_path):
    return series(tmp_path, fine=NUMBERS, coarse=NUMBERS, bands=2)


def test_patches_are_windows_of_the_images(tmp_path, stacks):
    outcome = cut(tmp_path, **stacks)
    assert outcome.said.of("result")[0]["training"] == 9
    folder = tmp_path / "set" / "patches" / "r00016_c00032"
    assert len(list(folder.glob("*.tif"))) == 2 * len(NUMBERS)
    name = f"{day(5):%Y%m%d}.tif"
    with rasterio.open(folder / f"fine_{name}") as image:
        assert image.transform == FINE @ Affine.translation(32, 16)
        assert image.tags()["ACQUISITION_DATETIME"] == day(5).isoformat()
        assert np.array_equal(image.read(), surface(5, 2)[:, 16:32, 32:48])
    with rasterio.open(folder / f"coarse_{name}") as image:
        assert image.transform == FINE @ Affine.scale(RATIO) @ Affine.translation(4, 2)
        assert np.array_equal(image.read(), read_raster(stacks["coarse"][1])[:, 2:4, 4:6])


def test_every_date_is_a_target_between_its_neighbours(tmp_path, stacks):
    cut(tmp_path, **stacks)
    table = groups(tmp_path / "set")
    assert len(table) == 9 * 2
    assert {(line["reference_1"], line["target"], line["reference_2"]) for line in table} == {
        tuple(day(number).isoformat() for number in numbers) for numbers in ((0, 5, 10), (5, 10, 15))
    }
    for name in ("target_fine", "target_coarse", "fine_1", "coarse_1", "fine_2", "coarse_2"):
        assert (tmp_path / "set" / table[0][name]).is_file()
    cut(tmp_path, output="one", references=1, **stacks)
    pairs = {(line["reference_1"], line["target"], line["reference_2"]) for line in groups(tmp_path / "one")}
    assert pairs == {
        (day(a).isoformat(), day(b).isoformat(), "") for a, b in pairwise(NUMBERS)
    }


def test_splits_by_place_have_no_ground_in_common(tmp_path, stacks):
    outcome = cut(tmp_path, stride=8, validation=1 / 3, test=1 / 3, **stacks)
    lefts = {}
    for line in groups(tmp_path / "set"):
        lefts.setdefault(line["split"], set()).add(int(line["patch"][-5:]))
    # Strips of 16 columns: patches at 8 and 24 would lie in two.
    assert lefts == {"training": {0}, "validation": {16}, "test": {32}}
    assert "Of 25 patches 15 are cut; 10 lie on the ground of two splits" in " ".join(outcome.said.of("log"))
    assert {place["split"] for place in places(tmp_path / "set")} == {"training", "validation"}
    assert len(places(tmp_path / "set", "test.json")) == 5
    assert not any("split" in place for place in places(tmp_path / "set", "test.json"))


def test_strips_begin_where_patches_do_and_have_room_for_one():
    whole = Box(10, 150, 0, 100)

    def tops(shares, size=64, stride=64, part=whole):
        found, left_out = patches(part, size, stride, shares)
        splits = {split: sorted({patch.box.top for patch in found if patch.split == split}) for split in SPLITS}
        return [splits[split] for split in SPLITS], left_out

    # A fifth of 140 rows is less than a patch; with a test as well nothing is left to learn from.
    assert tops((0.2, 0.0)) == ([[10], [74], []], 0)
    assert tops((0.2, 0.2)) == ([[], [10], [74]], 0)
    assert tops((0.0, 0.0)) == ([[10, 74], [], []], 0)
    assert tops((0.2, 0.0), part=Box(0, 1792, 0, 1280), size=256, stride=256)[0][1] == [1536]
    assert tops((0.25, 0.25), part=Box(0, 80, 0, 16), size=16, stride=8) == ([[0, 8, 16, 24, 32], [48], [64]], 2)


def test_a_strip_without_a_valid_patch_is_named(tmp_path, stacks):
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[:, 32:] = 1
    masks = [write_raster(tmp_path / f"mask_{day(number):%Y%m%d}.tif", mask) for number in NUMBERS]
    said = cut(tmp_path, validation=1 / 3, fine_masks=masks, **stacks).said
    assert "No patch on the ground that is held out for validation has enough valid pixels; give a larger share." in (
        said.of("warning")
    )


def test_the_trainer_reads_the_data_set(tmp_path, stacks):
    cut(tmp_path, validation=1 / 3, **stacks)
    found = load_data_set(tmp_path / "set" / "data_set.json")
    assert len(found) == 9
    assert set(found[0].fine) == set(found[0].coarse) == {day(number) for number in NUMBERS}
    data, said, warned = opened(replace(PLAIN, per_band=True), data_set=str(tmp_path / "set" / "data_set.json"))
    assert warned == []
    assert "Held out for validation: r00000_c00032" in said[0]
    assert data.patches > 0


def test_the_trainer_learns_from_the_groups_and_holds_dates_out(tmp_path, stacks):
    """References and targets are those of the setting, and what is held out by date is judged, on the same ground."""
    days = [day(number).isoformat() for number in NUMBERS]
    (tmp_path / "own.json").write_text(json.dumps({"training": [[days[0], days[1], days[3]]],
                                                   "validation": [[days[1], days[2], days[3]]]}))
    cut(tmp_path, own_setting=str(tmp_path / "own.json"), **stacks)
    index = str(tmp_path / "set" / "data_set.json")
    (first, *_) = places(tmp_path / "set")
    assert (first["groups"], first["held_out"]) == ([[days[0], days[1], days[3]]], [days[1:]])
    data, said, _ = opened(replace(PLAIN, per_band=True, pairs=2, held_out=100), data_set=index)
    assert said[0] == f"Held out for validation: the targets of {days[2]}."
    drawn = {data.draw(0, number).spot.dates for number in range(20)}
    assert {(dates.references, dates.target) for dates in drawn} == {((day(0), day(15)), day(5))}
    assert {spot.dates.target for spot in data.validation} == {day(10)}
    assert len(data.validation) == 9 * 2


def test_gaps_leave_dates_and_patches_out(tmp_path):
    stacks = series(tmp_path, fine=NUMBERS, coarse=NUMBERS, gaps={5: 16 / SIDE})
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[16:32, :16] = 1
    mask[32:36, :16] = 1
    masks = write_raster(tmp_path / f"mask_{day(10):%Y%m%d}.tif", mask)
    cut(tmp_path, **stacks, fine_masks=masks, least_valid=0.7)
    found = {}
    for line in groups(tmp_path / "set"):
        found.setdefault(line["patch"], set()).add(line["target"])
    # Without the second date the first row has no three dates in a row that are good, and the masked patch neither.
    assert set(found) == {"r00016_c00016", "r00016_c00032", "r00032_c00000", "r00032_c00016", "r00032_c00032"}
    patch = read_raster(tmp_path / "set" / "patches" / "r00032_c00000" / f"fine_{day(10):%Y%m%d}.tif")
    assert np.isnan(patch[0, :4]).all()
    assert not np.isnan(patch[0, 4:]).any()


def test_held_out_dates_are_in_no_group_of_training(tmp_path, stacks):
    setting = {
        "crop": [16, 0, 32, 48], "validation": [[day(n).isoformat() for n in (0, 5, 15)]],
        "test": [[day(0).isoformat(), day(10).isoformat()]],
    }
    path = tmp_path / "own.json"
    path.write_text(json.dumps(setting | {"training": [[day(0).isoformat(), day(15).isoformat()]]}))
    cut(tmp_path, own_setting=str(path), **stacks)
    table = groups(tmp_path / "set")
    assert {line["patch"][:6] for line in table} == {"r00016", "r00032"}
    assert {(line["split"], line["target"]) for line in table} == {
        ("training", day(15).isoformat()), ("validation", day(5).isoformat()), ("test", day(10).isoformat()),
    }
    place = places(tmp_path / "set")[0]
    assert set(place["fine"]) == {day(number).isoformat() for number in (0, 5, 15)}
    assert place["groups"] == [[day(0).isoformat(), day(15).isoformat()]]
    assert place["held_out"] == setting["validation"]
    assert places(tmp_path / "set", "test.json")[0]["groups"] == setting["test"]
    path.write_text(json.dumps(setting))
    cut(tmp_path, own_setting=str(path), references=1, output="b", **stacks)
    trained = {line["target"] for line in groups(tmp_path / "b") if line["split"] == "training"}
    assert trained == {day(15).isoformat()}


@pytest.mark.parametrize(
    ("name", "dates", "listed", "clean", "held_out"),
    [
        ("cia", 17, 9, 9, 4), ("lgc", 14, 6, 6, 1), ("cia_hh", 17, 12, 8, 3), ("lgc_hh", 14, 10, 6, 2),
        ("ahb", 27, 21, 13, 4), ("daxing", 29, 23, 19, 4), ("tianjin", 27, 21, 13, 4),
    ],
)
def test_published_settings_without_their_leaks(name, dates, listed, clean, held_out):
    """As many groups as the published lists have; those that see a held-out target are not learnt from."""
    setting = SETTINGS[name]
    days = {day for split in ("training", "validation") for group in setting.groups[split] for day in group.days}
    assert len(days) == dates
    assert (len(setting.groups["training"]), len(setting.groups["validation"])) == (listed, held_out)
    found = setting.complete(days, 2)
    targets = {group.target for group in found["validation"]}
    assert len(found["training"]) == clean
    assert not any(targets & set(group.days) for group in found["training"])
    for group in (*found["training"], *found["validation"]):
        first, last = group.references
        assert first < group.target < last


def test_published_parts():
    assert [group.target.isoformat() for group in SETTINGS["cia"].groups["validation"]] == [
        "2001-11-09", "2002-03-10", "2002-03-17", "2002-04-18",
    ]
    sizes = [SETTINGS[name].crop[2:] for name in ("cia", "lgc_hh")]
    assert [(rows // 256) * (columns // 256) for rows, columns in sizes] == [35, 120]
    assert all(SETTINGS[name].crop is None for name in ("all", "ahb", "daxing", "tianjin"))


def test_groups_that_see_what_is_held_out_are_left_out(tmp_path, stacks):
    days = [day(number).isoformat() for number in NUMBERS]
    path = tmp_path / "own.json"
    setting = {"training": [days[:3], [days[0], days[3]]], "validation": [days[1:]]}
    path.write_text(json.dumps(setting))
    said = cut(tmp_path, own_setting=str(path), **stacks).said.of("log")
    assert any(text.startswith("1 of the 2 groups of the setting for training have a date") for text in said)
    trained = [line for line in groups(tmp_path / "set") if line["split"] == "training"]
    assert {line["target"] for line in trained} == {days[3]}
    path.write_text(json.dumps(setting | {"training": [days[:3]]}))
    done = cut(tmp_path, 2, own_setting=str(path), output="none", **stacks)
    assert "All 1 group(s) of the setting for training have a date that is a target" in done.error


def test_fine_images_alone(tmp_path, stacks):
    cut(tmp_path, fine=stacks["fine"])
    assert "coarse" not in places(tmp_path / "set")[0]
    assert groups(tmp_path / "set")[0]["target_coarse"] == ""


def test_coarse_pixels_that_do_not_nest_reach_beyond_the_patch(tmp_path, stacks):
    moved = FINE @ Affine.scale(RATIO) @ Affine.translation(-0.4, -0.4)
    paths = [
        write_raster(tmp_path / f"odd_{day(number):%Y%m%d}.tif", np.ones((2, 8, 8), np.float32), moved)
        for number in NUMBERS
    ]
    cut(tmp_path, fine=stacks["fine"], coarse=paths)
    with rasterio.open(tmp_path / "set/patches/r00016_c00016" / f"coarse_{day(0):%Y%m%d}.tif") as image:
        assert image.shape == (7, 7)


def test_groups_in_hdf5(tmp_path, stacks):
    h5py = pytest.importorskip("h5py")
    cut(tmp_path, hdf5=True, references=1, validation=1 / 3, **stacks)
    with h5py.File(tmp_path / "set" / "training.h5") as file:
        assert file["target_fine"].shape == (18, 2, 16, 16)
        names = file["patch"].asstr()[:]
        number = list(names).index("r00016_c00016") + 1
        assert file["target"].asstr()[number] == day(10).isoformat()
        assert np.array_equal(file["target_fine"][number], surface(10, 2)[:, 16:32, 16:32])
        assert np.array_equal(file["fine_1"][number], surface(5, 2)[:, 16:32, 16:32])
        assert np.isnan(file["fine_2"][number]).all()
        assert file["coarse_1"].shape == file["fine_1"].shape
        assert not np.isnan(file["coarse_1"][:]).any()
    assert (tmp_path / "set" / "validation.h5").is_file()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"size": 64}, "is larger than the 48 x 48 pixels"),
        ({"setting": "cia"}, "No group of dates is left of 4 date(s)"),
        ({"validation": 0.6, "test": 0.4}, "leave nothing for training"),
        ({"validation": 0.9}, "is left for training"),
        ({"own_setting": {"crop": [0, 0, 99, 48]}}, "cuts out rows 0 to 99"),
        ({"own_setting": {"crop": [0, 48]}}, "has the crop [0, 48]"),
        ({"own_setting": {"corp": []}}, "may have crop, test, training, validation"),
        ({"own_setting": {"test": [["2021-04-20"]]}}, "has the group ['2021-04-20']"),
        ({"own_setting": {"test": [["2021-04-20", "2021-04-20"]]}}, "with different dates"),
        ({"own_setting": {"test": "2021"}}, "is no list of groups"),
    ],
)
def test_bad_input(tmp_path, stacks, values, words):
    if "own_setting" in values:
        (tmp_path / "own.json").write_text(json.dumps(values["own_setting"]))
        values = {"own_setting": str(tmp_path / "own.json")}
    if values.get("setting") == "cia":
        # Held-out dates that are not there, and too few dates for any other group.
        stacks = {role: paths[:2] for role, paths in stacks.items()}
        words = words.replace("4 date(s)", "2 date(s)")
    assert words in cut(tmp_path, 2, **{**stacks, **values}).error


def test_hdf5_without_its_package(tmp_path, stacks, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    monkeypatch.delitem(sys.modules, "stfusion.preparation._hdf5", raising=False)
    error = cut(tmp_path, 3, hdf5=True, **stacks).error
    assert "which 'HDF5' needs; switch it off" in error
    assert "core/requirements-networks.txt" in error


def test_hdf5_without_coarse_images(tmp_path, stacks):
    assert "switch 'HDF5' off" in cut(tmp_path, 2, fine=stacks["fine"], hdf5=True).error
