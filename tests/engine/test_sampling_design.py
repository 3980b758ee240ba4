"""Sampling design, whole: numbers of points, where they lie, and the way of the labelled layer into the assessment."""

import json
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import shapely
from affine import Affine

from makers import CRS, FINE, run_method, write_raster
from test_accuracy import MAPPED, OLOFSSON
from test_match_classes import named

#: Columns of the map by class, in the shares of Olofsson et al. (2014).
COLUMNS = np.repeat(np.array([1, 2, 3, 4], np.uint8), [40, 30, 640, 1290])


@pytest.fixture
def strata(tmp_path):
    return write_raster(tmp_path / "strata.tif", np.tile(COLUMNS, (400, 1)), nodata=0)


def design(folder, name="points.gpkg", code=0, settings=None, **values):
    """The fields and coordinates of the points, the design, and what the run said."""
    output, plan = folder / name, folder / f"{name}.json"
    outcome = run_method("sampling_design", settings=settings, output=str(output), design=str(plan), **values)
    assert outcome.code == code, outcome.said.lines
    if code:
        assert not output.exists()
        assert not plan.exists()
        assert not list(folder.glob("*.part"))
        return outcome.error
    about, _, stored, columns = pyogrio.raw.read(str(output))
    fields = dict(zip(about["fields"], columns, strict=True))
    return fields, shapely.get_coordinates(shapely.from_wkb(stored)), json.loads(plan.read_text()), outcome.said


def label(path, truth, every=1):
    """Label every n-th point of a layer, in a copy: its path, the labels and the classes of the map there."""
    about, _, stored, data = pyogrio.raw.read(str(path))
    fields = list(about["fields"])
    rows, columns = pixels(shapely.get_coordinates(shapely.from_wkb(stored)))
    labels = truth(rows, COLUMNS[columns]).astype(np.int32)
    data[fields.index("reference")] = labels
    masks = [None] * len(fields)
    masks[fields.index("reference")] = np.arange(len(labels)) % every != 0
    labelled = path.with_name(f"labelled_{path.name}")
    pyogrio.raw.write(str(labelled), stored, data, fields, field_mask=masks, crs=CRS, geometry_type="Point")
    return labelled, labels, COLUMNS[columns]


def assess(folder, strata, samples):
    """What the assessment of the map says with these points, whose field it finds by itself."""
    outcome = run_method(
        "assess_classification", output=str(folder / "report"), class_map=strata, samples=str(samples)
    )
    assert outcome.code == 0, outcome.said.lines
    return json.loads((folder / "report" / "results.json").read_text())


def pixels(xy):
    """Rows and columns."""
    columns, rows = ~FINE * tuple(xy.T)
    return np.floor(rows).astype(int), np.floor(columns).astype(int)


def test_the_example_of_the_article_takes_641_points(tmp_path, strata):
    fields, xy, plan, said = design(tmp_path, strata=strata, accuracies="1=0.7, 2=0.6, 3=0.9, 4=0.95")
    assert "A standard error of 0.01 takes 641 points." in said.of("log")
    assert plan["points"] == len(xy) == 641
    assert [stratum["share"] for stratum in plan["strata"]] == [size / 10_000_000 for size in MAPPED.values()]
    assert said.of("result")[0]["points"] == 641
    assert said.of("result")[0]["expected_error"] == pytest.approx(plan["expected_error"])
    rows, columns = pixels(xy)
    np.testing.assert_array_equal(COLUMNS[columns], fields["stratum"])
    np.testing.assert_array_equal(xy, np.column_stack(FINE * (columns + 0.5, rows + 0.5)))
    assert sorted(fields["id"]) == list(range(1, 642))
    assert np.isnan(fields["reference"]).all()
    assert pyogrio.read_info(tmp_path / "points.gpkg")["crs"] == CRS
    for label in (1, 2, 3, 4):
        own = fields["weight"][fields["stratum"] == label]
        assert own.sum() == pytest.approx(np.count_nonzero(label == COLUMNS) * 400)


def test_the_allocation_of_neyman_reaches_the_wanted_error(tmp_path, strata):
    _, _, plan, _ = design(tmp_path, strata=strata, allocation="neyman", standard_error=0.02)
    assert plan["expected_error"] == pytest.approx(0.02, rel=1e-3)
    _, _, other, _ = design(tmp_path, "b.gpkg", strata=strata, allocation="equal", standard_error=0.02)
    assert other["expected_error"] > 0.02
    assert len({stratum["points"] for stratum in other["strata"]}) == 1


def test_a_minimum_that_asks_for_more_is_kept(tmp_path, strata):
    _, _, plan, said = design(tmp_path, strata=strata, standard_error=0.1, minimum=60)
    assert [stratum["points"] for stratum in plan["strata"]] == [60] * 4
    assert "With 60 in each of 4 strata, there are 240." in said.of("log")


def test_a_seed_gives_the_same_points_whatever_the_threads(tmp_path, strata):
    one, again, other = (
        design(tmp_path, f"{n}.gpkg", settings=settings, strata=strata, samples=300)[1]
        for n, settings in enumerate(({"threads": 1}, {"threads": 4}, {"seed": 1}))
    )
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)


def test_excluded_places_and_places_too_near_get_no_points(tmp_path, strata):
    exclusion = np.zeros((200, 1000), np.uint8)
    exclusion[:100] = 1
    path = write_raster(tmp_path / "exclusion.tif", exclusion, FINE @ Affine.scale(2))
    _, xy, plan, _ = design(tmp_path, strata=strata, exclusion=path, samples=200, minimum=20, distance=300.0)
    assert pixels(xy)[0].min() >= 200
    assert sum(stratum["pixels"] for stratum in plan["strata"]) == 200 * 2000
    gaps = np.hypot(*(xy[:, None] - xy).transpose(2, 0, 1)) + np.diag(np.full(len(xy), np.inf))
    assert gaps.min() >= 300
    _, xy, plan, said = design(tmp_path, "b.gpkg", strata=strata, samples=200, minimum=20, distance=20_000.0)
    assert len(xy) < 200
    assert "found no room at the minimum distance of 20000" in said.of("warning")[0]


@pytest.mark.parametrize("name", ["points.gpkg", "points.geojson", "points.shp"])
def test_every_format_holds_the_points_and_an_empty_field_to_be_labelled(tmp_path, strata, name):
    fields, xy, _, _ = design(tmp_path, name, strata=strata, samples=400)
    about = pyogrio.read_info(tmp_path / name)
    assert (about["crs"], about["geometry_type"], about["features"]) == (CRS, "Point", 400)
    assert list(fields) == ["reference", "id", "stratum", "weight"]
    # An empty field of a GeoJSON file has no type.
    kind = "OFTString" if name.endswith("json") else "OFTInteger"
    assert dict(zip(about["fields"], about["ogr_types"], strict=True))["reference"].startswith(kind)
    assert all(value is None or np.isnan(value) for value in fields["reference"])
    reference, reference_xy, _, _ = design(tmp_path, "other.gpkg", strata=strata, samples=400)
    np.testing.assert_allclose(xy, reference_xy, atol=1e-6)
    for field in ("id", "stratum", "weight"):
        np.testing.assert_allclose(fields[field], reference[field], rtol=1e-9)


@pytest.mark.parametrize("name", ["points.gpkg", "points.geojson", "points.shp"])
def test_the_labelled_layer_goes_into_the_assessment(tmp_path, strata, name):
    design(tmp_path, name, strata=strata, samples=400)
    labelled, truth, mapped = label(tmp_path / name, lambda rows, mapped: np.where(rows % 10 == 0, 3, mapped))
    found = assess(tmp_path, strata, labelled)
    assert found["total"] == 400
    assert found["accuracy"]["overall"]["overall_accuracy"] == pytest.approx(np.mean(truth == mapped))
    assert found["estimates"]["overall_accuracy"]["error"] > 0


def test_points_of_the_design_reproduce_the_article_when_labelled_so(tmp_path, strata):
    """As many points in every stratum as in the article, whose labels are those of its matrix."""
    counts = np.array(OLOFSSON)
    drawn, plan = [], {}
    for label_of, number in enumerate(counts.sum(axis=1), 1):
        rest = np.tile(np.where(label_of == COLUMNS, COLUMNS, 0).astype(np.uint8), (400, 1))
        only = write_raster(tmp_path / f"only{label_of}.tif", rest, nodata=0)
        _, xy, plan, _ = design(tmp_path, f"only{label_of}.gpkg", strata=only, samples=int(number))
        drawn.append(xy)
    assert plan["points"] == counts[3].sum()
    truth = np.concatenate([np.repeat([1, 2, 3, 4], row) for row in counts])
    path = tmp_path / "labelled.gpkg"
    pyogrio.raw.write(
        str(path), shapely.to_wkb(shapely.points(np.concatenate(drawn))), [truth], ["reference"], crs=CRS,
        geometry_type="Point",
    )
    found = assess(tmp_path, strata, path)["estimates"]
    # The raster has the shares of the article's classes.
    assert found["overall_accuracy"]["value"] == pytest.approx(0.946512, abs=1e-6)
    assert found["overall_accuracy"]["margin"] == pytest.approx(0.018484, abs=1e-6)
    assert [round(each["margin"], 4) for each in found["classes"]["producers_accuracy"]] == [
        0.2133, 0.2544, 0.0343, 0.0184
    ]


def test_a_map_with_names_offers_them(tmp_path, strata):
    design(tmp_path, strata=strata, samples=400)
    assert not (tmp_path / "points.qml").exists()
    named(Path(strata), (1, 2, 3))
    design(tmp_path, "b.shp", strata=strata, samples=400)
    assert 'name="water" value="2"' in (tmp_path / "b.qml").read_text(encoding="utf-8")


def test_some_points_that_nobody_labelled_are_left_out(tmp_path, strata):
    design(tmp_path, strata=strata, samples=400)
    labelled, _, _ = label(tmp_path / "points.gpkg", lambda rows, mapped: mapped, every=2)
    found = assess(tmp_path, strata, labelled)
    assert found["total"] == 200
    assert "200 feature(s) of Reference 'labelled_points.gpkg' have no value of 'reference'" in found["about"][0]


@pytest.mark.parametrize("name", ["points.gpkg", "points.geojson", "points.shp"])
def test_a_layer_without_labels_is_refused(tmp_path, strata, name):
    """And no other field of numbers is taken for the labels."""
    design(tmp_path, name, strata=strata, samples=300)
    outcome = run_method(
        "assess_classification", output=str(tmp_path / "report"), class_map=strata, samples=str(tmp_path / name)
    )
    assert outcome.code == 2
    assert "has no feature with a value of 'reference'" in outcome.error


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"samples": 100}, "100 samples do not reach for 50 in each of 4 strata"),
        ({"accuracies": "9=0.5"}, "names class 9, which the strata lack; they have: 1, 2, 3, 4"),
        ({"accuracies": "1=high"}, "has 'high' for class 1; give a number from 0 to 1"),
        ({"accuracies": "1=1.5"}, "accuracy of class 1 is 1.5; give a number from 0 to 1"),
        ({"accuracies": "1=0.5, 1=0.6"}, "gives class 1 twice; give it once"),
        ({"accuracies": "wood"}, "has the part 'wood'; write 'number=word"),
    ],
)
def test_numbers_that_cannot_be_used(tmp_path, strata, values, sentence):
    assert sentence in design(tmp_path, code=2, strata=strata, **values)


@pytest.mark.parametrize(
    ("values", "profile", "sentence"),
    [
        (np.full((9, 9), 0.5, np.float32), {}, "Class map or strata 'bad.tif' holds values such as 0.5"),
        (np.zeros((9, 9), np.uint8), {"nodata": 0}, "has no class on any pixel; check its nodata value (0)"),
        (np.full((9, 9), np.nan, np.float32), {}, "has no class on any pixel"),
        (np.ones((2, 9, 9), np.uint8), {}, "has 2 bands and a map of classes has one"),
        (np.arange(4096, dtype=np.int16).reshape(64, 64), {}, "choose a map of classes, not of measurements"),
    ],
)
def test_strata_that_cannot_be_used(tmp_path, values, profile, sentence):
    bad = write_raster(tmp_path / "bad.tif", values, **profile)
    assert sentence in design(tmp_path, code=2, strata=bad)


def test_exclusions_that_cannot_be_used(tmp_path, strata):
    far = write_raster(tmp_path / "far.tif", np.ones((9, 9), np.uint8), FINE @ Affine.translation(9000, 0))
    assert "do not overlap" in design(tmp_path, code=2, strata=strata, exclusion=far)
    everything = write_raster(tmp_path / "all.tif", np.ones((400, 2000), np.uint8))
    assert "no class on any pixel that is not excluded" in design(
        tmp_path, code=2, strata=strata, exclusion=everything
    )


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("points.xyz9", "has the ending '.xyz9'; name it with one of .gpkg, .geojson, .shp"),
        ("points", "has the ending ''; name it with one of"),
        ("points.csv", "has the ending '.csv'"),
        ("gone/points.gpkg", "of the output does not exist; create it or choose another"),
        ("strata.tif/points.gpkg", "of the output does not exist; create it or choose another"),
    ],
)
def test_outputs_that_cannot_be_written(tmp_path, strata, name, sentence):
    assert sentence in design(tmp_path, name, 2, strata=strata)


def test_a_design_that_cannot_be_written_leaves_no_points(tmp_path, strata):
    (tmp_path / "taken").mkdir()
    for path in (tmp_path / "gone" / "design.json", tmp_path / "strata.tif" / "design.json"):
        outcome = run_method(
            "sampling_design", strata=strata, output=str(tmp_path / "points.gpkg"), design=str(path)
        )
        assert outcome.code == 2
        assert "does not exist; create it or choose another" in outcome.error
        assert sorted(file.name for file in tmp_path.iterdir()) == ["strata.tif", "taken"]


def test_a_name_that_is_a_folder_is_refused(tmp_path, strata):
    (tmp_path / "taken.gpkg").mkdir()
    outcome = run_method("sampling_design", strata=strata, output=str(tmp_path / "taken.gpkg"))
    assert outcome.code == 2
    assert "cannot be written (Is a directory); choose another folder or name" in outcome.error
    assert sorted(file.name for file in tmp_path.iterdir()) == ["strata.tif", "taken.gpkg"]


def test_an_older_layer_is_replaced_whole(tmp_path, strata):
    design(tmp_path, "points.shp", strata=strata, samples=400)
    assert len(design(tmp_path, "points.shp", strata=strata, samples=300)[1]) == 300
    assert not list(tmp_path.glob("*.part"))


def test_fewer_pixels_than_points(tmp_path):
    path = write_raster(tmp_path / "small.tif", np.array([[1, 1, 1, 2, 2]], np.uint8))
    _, xy, _, said = design(tmp_path, strata=path, samples=50)
    assert len(xy) == 5
    assert said.of("warning") == ["The strata have 5 pixels, fewer than the 50 points wanted."]
