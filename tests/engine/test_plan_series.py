"""Plan a time series: what is read of the images, the tables, and what is refused or named."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from makers import FINE, run_method, write_raster
from real_data import real_scene
from series_scenes import SIDE, coarse_of, day, series, surface
from stfusion import registry
from stfusion.series._shared import METHODS


def planned(tmp_path: Path, code: int = 0, **values):
    """What a plan said, and its rows by date."""
    done = run_method("plan_series", output=str(tmp_path / "plan"), **values)
    assert done.code == code, done.said.lines
    if code:
        assert not (tmp_path / "plan").exists()
        return done.error, {}
    with (tmp_path / "plan" / "plan.csv").open(newline="") as file:
        return done.said, {row["date"]: row for row in csv.DictReader(file)}


def actions(rows) -> dict[str, list[str]]:
    def of(action: str) -> list[str]:
        return [name[5:] for name, row in rows.items() if row["action"] == action]

    return {action: of(action) for action in ("fuse", "keep", "skip")}


def test_every_coarse_image_is_planned(tmp_path):
    said, rows = planned(tmp_path, **series(tmp_path / "in", fine=[0, 8], coarse=range(0, 10, 2)), method="starfm")
    assert actions(rows) == {"fuse": ["04-22", "04-24", "04-26"], "keep": ["04-20", "04-28"], "skip": []}
    assert (rows["2021-04-22"]["fine1"], rows["2021-04-22"]["fine2"]) == ("2021-04-20", "2021-04-28")
    assert (rows["2021-04-26"]["fine1"], rows["2021-04-26"]["days2"]) == ("2021-04-28", "6")
    assert said.of("result") == [{
        "output": str(tmp_path / "plan"), "report": str(tmp_path / "plan" / "plan.html"),
        "fused": 3, "kept": 2, "skipped": 0,
    }]


def checked(folder: Path, **bad: dict[str, str]) -> str:
    """The folder of a check that marks dates as bad."""
    folder.mkdir()
    (folder / "results.json").write_text(json.dumps({"bad": {"fine": {}, "coarse": {}, **bad}}), encoding="utf-8")
    return str(folder)


def test_dates_that_a_check_marks_are_left_out_and_named(tmp_path):
    images = series(tmp_path / "in", fine=[0, 4, 8], coarse=range(0, 10, 2))
    coarse = {"2021-04-22": "noise", "2021-04-24": "clouds", "2020-01-01": "of another year"}
    bad = {"fine": {"2021-04-28": "too little"}, "coarse": coarse}
    said, rows = planned(tmp_path, **images, checked=checked(tmp_path / "check", **bad), method="starfm")
    # The good fine image of a bad coarse one stays.
    assert actions(rows) == {"fuse": ["04-26", "04-28"], "keep": ["04-20", "04-24"], "skip": []}
    assert rows["2021-04-26"]["fine1"] == "2021-04-20"
    assert said.of("warning")[:3] == [
        "The fine image of 2021-04-28 is bad and is left out: too little.",
        "The coarse image of 2021-04-22 is bad and is left out: noise.",
        "The coarse image of 2021-04-24 is bad and is left out: clouds.",
    ]


def test_a_check_that_leaves_nothing_or_is_none_is_refused(tmp_path):
    images = series(tmp_path / "in", fine=[0], coarse=[0, 2])
    folder = checked(tmp_path / "check", fine={"2021-04-20": "noise"})
    error, _ = planned(tmp_path, 2, **images, checked=folder, method="starfm")
    assert error == "The check marks all fine images as bad (2021-04-20); leave out the check, or add images."
    for text in ("{", "[]", '{"bad": {"fine": {}}}', '{"bad": {"fine": [], "coarse": []}}'):
        (tmp_path / "check" / "results.json").write_text(text, encoding="utf-8")
        error, _ = planned(tmp_path, 2, **images, checked=folder, method="starfm")
        assert "results.json' is no check of pairs (" in error
        assert error.endswith("); give the folder that 'Check pairs' has written.")


def test_images_without_a_coordinate_system_are_planned_alike(tmp_path):
    images = series(tmp_path / "in", fine=[0, 8], coarse=[0, 4, 8])
    _, known = planned(tmp_path / "known", **images, method="starfm")
    for path in (*images["fine"], *images["coarse"]):
        with rasterio.open(path) as image:
            values, transform = image.read(), image.transform
        write_raster(Path(path), values, transform, crs=None, nodata=np.nan)
    _, bare = planned(tmp_path / "bare", **images, method="starfm")
    assert bare == known


def test_the_plan_is_shown_and_written_three_times(tmp_path):
    said, rows = planned(tmp_path, **series(tmp_path / "in", [0, 8], [0, 3, 8, 12]), method="estarfm")
    assert "2021-04-23 fuse: 2021-04-20 and 2021-04-28" in said.of("log")
    plain = json.loads((tmp_path / "plan" / "plan.json").read_text())
    assert [row["date"] for row in plain["dates"]] == list(rows)
    assert plain["dates"][3]["note"] == "there is no pair after it"
    page = (tmp_path / "plan" / "plan.html").read_text()
    assert "ESTARFM" in page
    assert all(name in page for name in rows)


@pytest.mark.parametrize(("method", "pairs"), [("ssif", "1"), ("starfm", "2"), ("estarfm", "2"), ("gan_stfm", "1")])
def test_the_method_decides_on_the_pairs(tmp_path, method, pairs):
    _, rows = planned(tmp_path, **series(tmp_path / "in", [0, 8], [0, 4, 8]), method=method)
    assert rows["2021-04-24"]["pairs"] == pairs
    assert (rows["2021-04-24"]["coarse1"] == "") == (method == "gan_stfm")


def test_fewer_pairs_can_be_asked_for_where_the_method_allows(tmp_path):
    images = series(tmp_path / "in", [0, 8], [0, 4, 8])
    _, rows = planned(tmp_path, **images, method="starfm", pairs=1)
    assert rows["2021-04-24"]["pairs"] == "1"
    for method, wanted, takes in (("estarfm", 1, "takes 2"), ("ssif", 2, "takes 1")):
        error, _ = planned(tmp_path / method, 2, **images, method=method, pairs=wanted)
        assert takes in error


def test_fine_images_can_be_predicted_as_if_they_were_not_there(tmp_path):
    images = series(tmp_path / "in", [0, 4, 8], [0, 4, 8])
    _, rows = planned(tmp_path, **images, method="starfm", existing="fuse")
    assert actions(rows)["keep"] == []
    assert {rows["2021-04-24"]["fine1"], rows["2021-04-24"]["fine2"]} == {"2021-04-20", "2021-04-28"}


def test_images_with_gaps_are_less_wanted_or_not_at_all(tmp_path):
    images = series(tmp_path / "in", [0, 3, 9, 12], [0, 3, 5, 9, 12], gaps={3: 0.4, 9: 0.75})
    said, rows = planned(tmp_path, **images, method="starfm")
    assert rows["2021-04-25"]["fine1"] == "2021-04-23"
    assert rows["2021-04-25"]["fine2"] == "2021-05-02"
    # 19 of 48 rows are missing, and what is left of a pattern that changes from row to row correlates less.
    assert float(rows["2021-04-25"]["quality1"]) < 29 / 48 * float(rows["2021-04-25"]["quality2"])
    assert actions(rows)["keep"] == ["04-20", "05-02"]
    assert "The fine image of 2021-04-29 is not used: 25% of it is valid." in said.of("warning")


def test_masks_count_as_gaps(tmp_path):
    images = series(tmp_path / "in", [0, 8], [0, 4, 8])
    clouds = np.zeros((1, SIDE, SIDE), np.uint8)
    clouds[:, :30] = 2
    masks = [
        write_raster(tmp_path / "clouds_20210420.tif", clouds),
        write_raster(tmp_path / "clouds_20210501.tif", clouds),
    ]
    said, rows = planned(tmp_path, **images, fine_masks=masks, method="starfm")
    assert float(rows["2021-04-20"]["fine_valid"]) == pytest.approx(18 / 48)
    assert actions(rows)["keep"] == ["04-28"]
    assert "No fine image has the date of these masks: 2021-05-01." in said.of("warning")
    assert "These fine images have no mask: 2021-04-28." in said.of("warning")


def test_a_mask_of_another_grid_is_named(tmp_path):
    images = series(tmp_path / "in", [0, 8], [0, 4, 8])
    clouds = np.zeros((1, 12, 12), np.uint8)
    clouds[:, :3] = 1
    mask = write_raster(tmp_path / "clouds_20210420.tif", clouds, FINE @ Affine.scale(4))
    said, rows = planned(tmp_path, **images, fine_masks=[mask], method="starfm")
    assert float(rows["2021-04-20"]["fine_valid"]) == pytest.approx(0.75)
    assert any("another grid, as 'clouds_20210420.tif' does" in text for text in said.of("warning"))


def test_coarse_images_with_gaps_and_missing_ones_skip_a_date(tmp_path):
    images = series(tmp_path / "in", [0, 8], [0, 8])
    holes = coarse_of(surface(4)).astype(np.float32)
    holes[:, :4] = np.nan
    images["coarse"].append(write_raster(
        tmp_path / "in" / f"coarse_{day(4):%Y%m%d}.tif", holes, FINE @ Affine.scale(8), nodata=np.nan
    ))
    _, rows = planned(tmp_path, **images, method="starfm", step=2)
    assert actions(rows)["skip"] == ["04-22", "04-24", "04-26"]
    assert rows["2021-04-24"]["note"] == "its coarse image is valid for 33% and 50% are wanted"
    assert rows["2021-04-22"]["note"] == "there is no coarse image of this date"


def test_fine_and_coarse_images_of_a_pair_may_lie_some_days_apart(tmp_path):
    images = series(tmp_path / "in", [0, 10], [2, 4, 8])
    _, rows = planned(tmp_path, **images, method="starfm", apart=2)
    assert (rows["2021-04-24"]["fine1"], rows["2021-04-24"]["coarse1"]) == ("2021-04-20", "2021-04-22")
    assert (rows["2021-04-24"]["fine2"], rows["2021-04-24"]["coarse2"]) == ("2021-04-30", "2021-04-28")
    error, _ = planned(tmp_path / "none", 2, **images, method="starfm")
    assert "(2021-04-20 to 2021-04-30) has a coarse image (2021-04-22 to 2021-04-28) within 0 day(s)" in error
    assert "the nearest are of 2021-04-20 and 2021-04-22, 2 day(s) apart" in error


def test_a_fine_image_without_a_partner_is_named(tmp_path):
    said, _ = planned(tmp_path, **series(tmp_path / "in", [0, 5], [0, 4]), method="starfm")
    words = "The fine image of 2021-04-25 is in no pair: no coarse image within 0 day(s)"
    assert any(words in text for text in said.of("warning"))


def test_a_mismatch_within_a_pair_makes_it_less_wanted(tmp_path):
    images = series(tmp_path / "in", [0, 9], [0, 4, 9])
    broken = np.random.default_rng(1).random((1, 6, 6)).astype(np.float32)
    write_raster(tmp_path / "in" / f"coarse_{day(0):%Y%m%d}.tif", broken, FINE @ Affine.scale(8))
    _, rows = planned(tmp_path, **images, method="ssif")
    assert rows["2021-04-24"]["fine1"] == "2021-04-29"


def test_dates_can_be_listed(tmp_path):
    images = series(tmp_path / "in", [0, 8], [0, 2, 4, 8])
    _, rows = planned(tmp_path, **images, method="starfm", dates="2021-04-24, 2021-04-22,")
    assert list(rows) == ["2021-04-22", "2021-04-24"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"start": "2021-05-01", "end": "2021-04-01"}, "begins on 2021-05-01, after its end on 2021-04-01"),
        ({"start": "2022-01-01", "end": "2022-02-01"}, "No coarse image is of the dates from 2022-01-01 to 2022-02-01"),
        ({"start": "soon"}, "'First date' has 'soon'; write dates as YYYY-MM-DD"),
        ({"dates": "2021-04-20,x"}, "'Dates' has 'x'"),
        ({"least_valid": 1.0}, None),
    ],
)
def test_ranges_and_dates_that_cannot_be(tmp_path, options, words):
    images = series(tmp_path / "in", [0, 8], [0, 8], gaps={0: 0.1, 8: 0.2})
    error, _ = planned(tmp_path, 2, **images, method="starfm", **options)
    assert (words or "No fine image is valid for 100% (the best one for 92%)") in error


def test_fine_images_of_two_grids_are_refused(tmp_path):
    images = series(tmp_path / "in", [0], [0, 4])
    moved = write_raster(tmp_path / "in" / "fine_20210428.tif", surface(8), FINE @ Affine.translation(3, 0))
    error, _ = planned(tmp_path, 2, fine=[*images["fine"], moved], coarse=images["coarse"], method="starfm")
    assert "'fine_20210420.tif' and Fine image 'fine_20210428.tif' have different grids" in error


def test_images_of_different_bands_are_refused(tmp_path):
    images = series(tmp_path / "in", [0], [0])
    images["coarse"] += series(tmp_path / "two", [], [4], bands=2)["coarse"]
    error, _ = planned(tmp_path, 2, **images, method="starfm")
    assert "has 1 band(s) and Coarse image 'coarse_20210424.tif' has 2" in error


def test_names_can_have_a_pattern_and_a_table(tmp_path):
    images = series(tmp_path / "in", [0, 8], [0, 4, 8])
    renamed = {
        sensor: [str(Path(path).rename(tmp_path / f"{path[-6:-4]}.04.2021_{sensor}.tif")) for path in paths]
        for sensor, paths in images.items()
    }
    _, rows = planned(tmp_path, **renamed, method="starfm", pattern="%d.%m.%Y_*")
    assert list(rows) == ["2021-04-20", "2021-04-24", "2021-04-28"]
    table = tmp_path / "dates.csv"
    names = [Path(path).stem for paths in renamed.values() for path in paths]
    table.write_text("".join(f"{name},2021-04-{name[:2]}\n" for name in names))
    _, rows = planned(tmp_path / "again", **renamed, method="starfm", date_table=str(table))
    assert list(rows) == ["2021-04-20", "2021-04-24", "2021-04-28"]


def test_every_fusion_method_can_be_planned():
    assert set(METHODS) == {m.id for m in registry.methods().values() if m.operation == "fuse"}


def test_only_thinned_images_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr("stfusion.series._stacks._SIDE", 8)
    monkeypatch.setattr("stfusion.raster.source.Source.read", None)
    _, rows = planned(tmp_path, **series(tmp_path / "in", [0, 8], [0, 4, 8], gaps={0: 0.5}), method="starfm")
    assert rows["2021-04-20"]["fine_valid"] == "0.5"


def test_a_daily_series_of_a_real_scene(tmp_path):
    folder = real_scene("stf_salton_hls_viirs")
    fine, coarse = ([str(path) for path in sorted(folder.glob(f"{name}*.tif"))] for name in ("HLS", "VIIRS"))
    _, rows = planned(tmp_path, fine=fine, coarse=coarse, method="starfm")
    assert {action: len(days) for action, days in actions(rows).items()} == {"fuse": 36, "keep": 10, "skip": 0}
    assert rows["2020-10-30"]["fine1"] == "2020-10-27"
    assert rows["2020-10-30"]["fine2"] == "2020-11-10"
