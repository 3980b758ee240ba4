"""Check pairs: bad dates are found and blamed on the right image, good ones are not marked, all is in the report."""

from __future__ import annotations

import csv
import json
import re
from datetime import date

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st

from makers import FINE, Outcome, run_method, write_raster
from real_data import real_scene
from stfusion.preparation._pair_figures import Standing, correlation, figures, standings
from test_shift import landscape, seen_coarsely

RATIO, SIZE = 8, 40
COARSE = FINE @ Affine.scale(RATIO)
DAYS = [f"2020050{number}" for number in range(1, 7)]


def check(folder, fine, coarse, **values) -> Outcome:
    return run_method("check_pairs", fine=fine, coarse=coarse, output=str(folder / "report"), **values)


def summary(outcome: Outcome) -> dict:
    assert outcome.code == 0, outcome.said.of("error")
    (found,) = outcome.said.of("result")
    with open(found["report"].replace("report.html", "results.json"), encoding="utf-8") as stream:
        numbers = json.load(stream)
    assert found["bad_fine"] == len(numbers["bad"]["fine"])
    assert found["bad_coarse"] == len(numbers["bad"]["coarse"])
    return numbers


class Scene:
    """A landscape that changes slowly, seen by two sensors on six days; what a test breaks is written anew."""

    def __init__(self, folder) -> None:
        self.folder = folder
        still, change = landscape(1, SIZE * RATIO), landscape(2, SIZE * RATIO)
        self.images = [0.3 + 0.05 * (still + 0.15 * number * change) for number in range(len(DAYS))]
        self.fine, self.coarse = [], []
        for day, image in zip(DAYS, self.images, strict=True):
            self.write_fine(day, image)
            self.write_coarse(day, 0.9 * seen_coarsely(image, 0, 0) + 0.02)

    def write_fine(self, day, image) -> None:
        path = write_raster(self.folder / f"fine_{day}.tif", image.astype(np.float32), nodata=-9.0)
        self.fine = sorted({*self.fine, path})

    def write_coarse(self, day, image) -> None:
        path = write_raster(self.folder / f"coarse_{day}.tif", image.astype(np.float32), COARSE, nodata=-9.0)
        self.coarse = sorted({*self.coarse, path})

    def check(self, **values) -> dict:
        return summary(check(self.folder, self.fine, self.coarse, **values))


@pytest.fixture
def scene(tmp_path):
    return Scene(tmp_path)


def bad(found: dict) -> dict[str, list[str]]:
    return {sensor: list(days) for sensor, days in found["bad"].items()}


def test_good_dates_are_good_and_the_figures_are_right(scene):
    found = scene.check()
    assert bad(found) == {"fine": [], "coarse": []}
    assert len(found["pairs"]) == 6
    for pair in found["pairs"]:
        (band,) = pair["bands"].values()
        assert pair["days"] == 0
        assert pair["valid"] == 1
        assert band["correlation"] == pytest.approx(1, abs=1e-3)
        assert band["scale"] == pytest.approx(0.9, abs=2e-3)
        assert band["slope"] == pytest.approx(0.9, abs=2e-3)
        assert band["offset"] == pytest.approx(0.02, abs=1e-3)
        assert band["bias"] == pytest.approx(0.02 - 0.1 * 0.3, abs=2e-3)
        assert not pair["shift"]["displaced"]


def test_a_broken_coarse_date_is_blamed_on_the_coarse_image(scene):
    scene.write_coarse(DAYS[2], 0.3 + 0.05 * seen_coarsely(landscape(50, SIZE * RATIO), 0, 0))
    found = scene.check()
    assert bad(found) == {"fine": [], "coarse": ["2020-05-03"]}
    # The fine image is judged by the next coarse one.
    (pair,) = [pair for pair in found["pairs"] if pair["fine"] == "2020-05-03"]
    assert pair["coarse"] == "2020-05-02"
    assert pair["correlation"] > 0.9


def test_clouds_are_blamed_on_the_fine_image_and_masks_heal_it(scene):
    cloudy, cloud = scene.images[3].copy(), np.zeros(scene.images[3].shape, np.uint8)
    cloud[:, :200] = 1
    cloudy[cloud == 1] = 0.8 + 0.1 * landscape(51, SIZE * RATIO)[cloud == 1]
    scene.write_fine(DAYS[3], cloudy)
    assert bad(scene.check()) == {"fine": ["2020-05-04"], "coarse": []}
    masks = [write_raster(scene.folder / f"mask_{DAYS[3]}.tif", cloud)]
    healed = summary(run_method(
        "check_pairs", fine=scene.fine, coarse=scene.coarse, fine_masks=masks, output=str(scene.folder / "healed")
    ))
    assert bad(healed) == {"fine": [], "coarse": []}
    assert healed["dates"]["fine"]["2020-05-04"]["valid"] == pytest.approx(0.38, abs=0.03)


def test_few_valid_pixels_are_blamed_on_the_image_that_lacks_them(scene):
    empty = np.full((SIZE, SIZE), -9.0)
    empty[:8, :8] = seen_coarsely(scene.images[1], 0, 0)[:8, :8]
    scene.write_coarse(DAYS[1], empty)
    found = scene.check()
    assert bad(found) == {"fine": [], "coarse": ["2020-05-02"]}
    assert "4.0% of the pixels are valid" in found["bad"]["coarse"]["2020-05-02"]


def test_coarse_dates_without_a_fine_one_are_judged_by_their_neighbours(scene):
    scene.fine = [path for path in scene.fine if DAYS[0] in path]
    scene.write_coarse(DAYS[3], 0.3 + 0.05 * seen_coarsely(landscape(52, SIZE * RATIO), 0, 0))
    # Half of it a cloud: it still resembles its neighbours, which resemble one another much more.
    half = seen_coarsely(scene.images[4], 0, 0)
    half[:, :17] = 0.3 + 0.06 * seen_coarsely(landscape(53, SIZE * RATIO), 0, 0)[:, :17]
    found = scene.check(days=0)
    assert bad(found) == {"fine": [], "coarse": ["2020-05-04"]}
    assert "resembles no image of its sensor" in found["bad"]["coarse"]["2020-05-04"]
    scene.write_coarse(DAYS[3], seen_coarsely(scene.images[3], 0, 0))
    scene.write_coarse(DAYS[2], half)
    found = summary(run_method(
        "check_pairs", fine=scene.fine, coarse=scene.coarse, days=0, output=str(scene.folder / "half")
    ))
    assert bad(found) == {"fine": [], "coarse": ["2020-05-03"]}
    assert "resemble one another more than it" in found["bad"]["coarse"]["2020-05-03"]


def test_units_of_their_own_are_found(scene):
    scene.write_coarse(DAYS[4], 10_000 * seen_coarsely(scene.images[4], 0, 0))
    found = scene.check()
    assert bad(found) == {"fine": [], "coarse": ["2020-05-05"]}
    assert "scale of a band" in found["bad"]["coarse"]["2020-05-05"]
    scene.write_coarse(DAYS[4], seen_coarsely(scene.images[4], 0, 0))
    scene.write_fine(DAYS[1], scene.images[1] + 273.15)
    found = summary(check(scene.folder / "report", scene.fine, scene.coarse))
    assert bad(found) == {"fine": ["2020-05-02"], "coarse": []}
    assert "bias of a band" in found["bad"]["fine"]["2020-05-02"]


def test_units_that_all_dates_have_are_told_and_make_no_date_bad(scene):
    for day, image in zip(DAYS, scene.images, strict=True):
        scene.write_coarse(day, 10_000 * seen_coarsely(image, 0, 0))
    assert bad(scene.check()) == {"fine": [], "coarse": []}
    page = (scene.folder / "report" / "report.html").read_text(encoding="utf-8")
    assert "their units seem to differ" in page


def test_a_displacement_is_reported_and_makes_no_date_bad(scene):
    for day, image in zip(DAYS, scene.images, strict=True):
        scene.write_coarse(day, seen_coarsely(image, 20.0, -14.0))
    found = scene.check()
    assert bad(found) == {"fine": [], "coarse": []}
    shift = found["displacement"]
    assert shift["systematic"]
    assert (shift["rows"], shift["columns"]) == pytest.approx((-20, 14), abs=0.1 * RATIO)
    assert "mend it with" in (scene.folder / "report" / "report.html").read_text(encoding="utf-8")


def test_the_nearest_coarse_date_is_taken_within_the_days(scene):
    scene.fine = [path for path in scene.fine if DAYS[5] in path]
    scene.coarse = [path for path in scene.coarse if DAYS[1] in path or DAYS[2] in path]
    (pair,) = scene.check(days=3)["pairs"]
    assert (pair["coarse"], pair["days"]) == ("2020-05-03", -3)
    found = summary(check(scene.folder / "report", scene.fine, scene.coarse, days=2))
    assert found["pairs"] == []
    assert "no good coarse image lies within 2 days" in found["unjudged"]["fine"]["2020-05-06"]


def test_the_table_has_a_line_for_every_band_and_every_date(scene):
    scene.fine = scene.fine[:2]
    scene.check()
    with (scene.folder / "report" / "pairs.csv").open(encoding="utf-8", newline="") as stream:
        lines = list(csv.DictReader(stream))
    assert len(lines) == 6
    assert [line["fine_date"] for line in lines] == ["2020-05-01", "2020-05-02", "", "", "", ""]
    assert [line["coarse_date"] for line in lines] == [f"2020-05-0{number}" for number in range(1, 7)]


def test_without_a_coordinate_system(tmp_path):
    image = landscape(1, SIZE * RATIO)
    fine = write_raster(tmp_path / "fine_20200501.tif", image, Affine.identity(), crs=None)
    coarse = write_raster(tmp_path / "low_20200501.tif", seen_coarsely(image, 0, 0), Affine.identity(), crs=None)
    assert "Same extent" in check(tmp_path, [fine], [coarse]).error
    assert len(summary(check(tmp_path, [fine], [coarse], same_extent=True))["pairs"]) == 1


def values_of(seed: int, count: int = 400) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((1, count)).astype(np.float32)


def test_triple_collocation_tells_the_share_of_what_is_common():
    truth = values_of(1, 20_000)
    days = [date(2020, 1, number) for number in (1, 2, 3)]
    noisy = truth + 1.5 * values_of(2, 20_000)
    found = standings({days[0]: truth + 0.1 * values_of(3, 20_000), days[1]: noisy, days[2]: truth.copy()})
    assert found[days[1]].shared == pytest.approx(1 / (1 + 1.5**2), abs=0.02)
    assert found[days[1]].support == pytest.approx((1 / (1 + 1.5**2)) ** 0.5, abs=0.02)
    assert np.isnan(found[days[0]].shared)
    assert found[days[1]].fault(0.5)
    assert not Standing(0.9, 0.9).fault(0.5)
    assert not Standing(float("nan"), float("nan")).fault(0.5)


@given(st.floats(0.1, 5), st.floats(-9, 9), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_figures_of_a_linear_relation(slope, offset, seed):
    fine = values_of(seed)[0]
    coarse = (slope * fine + offset).astype(np.float32)
    fine[3] = coarse[7] = np.nan
    found = figures(coarse, fine, fine)
    assert found.correlation == pytest.approx(1, abs=1e-5)
    assert (found.slope, found.scale) == pytest.approx((slope, slope), rel=1e-4)
    assert found.offset == pytest.approx(offset, abs=1e-4)
    both = ~np.isnan(fine) & ~np.isnan(coarse)
    assert found.bias == pytest.approx(float((coarse - fine)[both].mean()), abs=1e-4)


def test_what_does_not_vary_has_no_correlation():
    assert np.isnan(correlation(values_of(1)[0], np.ones(400, np.float32)))
    assert np.isnan(correlation(values_of(1)[0][:9], values_of(2)[0][:9]))


def dates(names: list[str]) -> list[str]:
    return [f"2015-{name[:2]}-{name[2:]}" for name in names]


def test_west_hubei_has_four_cloudy_dates(tmp_path):
    folder = real_scene("stf_westhubei_ndvi_2015")
    fine, coarse, masks = (sorted(map(str, folder.glob(name))) for name in ("L8_NDVI*", "MOD13*", "L8_FMASK*"))
    found = summary(check(tmp_path, fine, coarse, fine_nodata=-9999.0))
    assert bad(found) == {"fine": dates(["0710", "0719", "0827", "0905"]), "coarse": []}
    # What the masks leave of them is good; nothing else is told of MODIS, which is a smooth product.
    masked = summary(check(tmp_path / "report", fine, coarse, fine_nodata=-9999.0, fine_masks=masks))
    assert bad(masked) == {"fine": [], "coarse": []}
    assert masked["dates"]["fine"]["2015-07-19"]["valid"] < 0.4


def test_the_broken_coarse_date_of_the_temperatures_is_found(tmp_path):
    folder = real_scene("stf_ubestarfm_lst") / "input"
    fine, coarse = (sorted(map(str, folder.glob(name))) for name in ("Landsat*", "MOD*"))
    assert bad(summary(check(tmp_path, fine, coarse))) == {"fine": [], "coarse": ["2016-03-08"]}


def test_salton_has_no_bad_date(tmp_path):
    folder = real_scene("stf_salton_hls_viirs")
    fine, coarse = (sorted(map(str, folder.glob(name))) for name in ("HLS*.tif", "VIIRS*.tif"))
    found = summary(check(tmp_path, fine, coarse))
    assert (len(found["pairs"]), len(found["dates"]["coarse"])) == (10, 46)
    assert bad(found) == {"fine": [], "coarse": []}
    assert found["unjudged"] == {"fine": {}, "coarse": {}}
    assert not found["displacement"]["systematic"]


def test_boreas_is_good_and_displaced(tmp_path):
    folder = real_scene("stf_boreas_2001_envi")
    days = ("20010524", "20010711", "20010812")
    found = summary(check(tmp_path, *([str(folder / f"{sensor}{day}") for day in days] for sensor in ("tm", "modis"))))
    assert bad(found) == {"fine": [], "coarse": []}
    assert found["displacement"]["systematic"]
    assert (found["displacement"]["rows"], found["displacement"]["columns"]) == pytest.approx((9.0, 17.35), abs=1.0)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"coarse": "coarse.tif"}, "has no date in its tags, and none can be read from its name"),
        ({"coarse": "two_20200501.tif"}, r"1 band\(s\).*has 2; choose the bands"),
        ({"coarse": "away_20200501.tif"}, "do not overlap"),
        ({"coarse": "missing_20200501.tif"}, "does not exist"),
        ({"least_correlation": 2.0}, "has to be between 0 and 0.99"),
        ({"days": -1}, "has to be between 0 and 366"),
    ],
)
def test_bad_input_is_named_in_a_sentence(tmp_path, change, sentence):
    image = np.ones((64, 64), np.float32)
    write_raster(tmp_path / "coarse.tif", image[:8, :8], COARSE)
    write_raster(tmp_path / "two_20200501.tif", np.ones((2, 8, 8), np.float32), COARSE)
    write_raster(tmp_path / "away_20200501.tif", image[:8, :8], Affine.translation(1e6, 0) @ COARSE)
    write_raster(tmp_path / "good_20200501.tif", image[:8, :8], COARSE)
    values = {"fine": [write_raster(tmp_path / "fine_20200501.tif", image)], "coarse": "good_20200501.tif", **change}
    values["coarse"] = [str(tmp_path / values["coarse"])]
    outcome = check(tmp_path, **values)
    assert outcome.code == 2
    assert re.search(sentence, outcome.error), outcome.error
    assert not (tmp_path / "report").exists()
