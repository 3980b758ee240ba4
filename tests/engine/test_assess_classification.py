"""Assess classification, whole: rasters, points and polygons as reference, matching, strata, bad layers."""

import csv
import json
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from affine import Affine
from rasterio.warp import reproject, transform
from sklearn import metrics

from makers import CRS, FINE, read_raster, run_method, write_class_table, write_raster
from real_data import real_scene
from stfusion.assessment._accuracy import measure_accuracy
from stfusion.assessment._confusion import Confusion
from stfusion.classification._model import Class
from test_accuracy import MAPPED, OLOFSSON
from test_confusion import checkered

LEFT, TOP, PIXEL = FINE.c, FINE.f, FINE.a


def place(row, column):
    """The centre of a pixel."""
    return shapely.Point(LEFT + (column + 0.5) * PIXEL, TOP - (row + 0.5) * PIXEL)


def area(top, bottom, left, right):
    """A rectangle by its pixels, the ends left out."""
    return shapely.box(LEFT + PIXEL * left, TOP - PIXEL * bottom, LEFT + PIXEL * right, TOP - PIXEL * top)


def write_layer(path, geometries, values, crs=CRS):
    values = np.array(values, object if isinstance(values[0], str) else None)
    pyogrio.raw.write(
        str(path), shapely.to_wkb(np.array(geometries, object)), [values], ["class"], crs=crs,
        geometry_type=geometries[0].geom_type,
    )
    return str(path)


def assess(folder, code=0, settings=None, **values):
    """Run into a folder of its own; what the report says, or the sentence."""
    output = folder / f"report{len(list(folder.iterdir()))}"
    outcome = run_method("assess_classification", settings=settings, output=str(output), **values)
    assert outcome.code == code, outcome.said.lines
    if code:
        assert not output.exists()
        return outcome.error
    assert {path.name for path in output.iterdir()} == {"report.html", "results.json", "results.csv", "matrix.csv"}
    found = json.loads((output / "results.json").read_text(encoding="utf-8"))
    return {**found, "folder": output, "result": outcome.said.of("result")[0], "warnings": outcome.said.of("warning")}


@pytest.fixture
def maps(tmp_path):
    """The pair of rasters that other programs were given, nodata 0."""
    mapped, reference = checkered()
    return {
        "class_map": write_raster(tmp_path / "map.tif", mapped.astype(np.uint8), nodata=0),
        "reference": write_raster(tmp_path / "reference.tif", reference.astype(np.uint8), nodata=0),
    }


def test_rasters_give_the_numbers_of_other_programs(maps, tmp_path):
    found = assess(tmp_path, **maps)
    assert found["matrix"] == {
        "rows": "map", "columns": "reference", "counts": [[1159, 0, 170], [193, 1015, 0], [0, 169, 1014]]
    }
    assert (found["total"], found["without_reference"], found["without_map"]) == (3720, 256, 120)
    assert found["result"]["overall_accuracy"] == pytest.approx(0.856989, abs=1e-6)
    assert found["result"]["kappa"] == pytest.approx(0.785136, abs=1e-6)
    assert found["estimates"] is None
    page = (found["folder"] / "report.html").read_text(encoding="utf-8")
    assert "no estimates from a sample" in page
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")


@pytest.mark.parametrize("rows", ["map", "reference"])
def test_the_matrix_says_what_its_rows_are(maps, tmp_path, rows):
    found = assess(tmp_path, rows=rows, class_names="1=wood", **maps)
    with (found["folder"] / "matrix.csv").open(encoding="utf-8", newline="") as stream:
        head, first, *_ = csv.reader(stream)
    other = "reference" if rows == "map" else "map"
    assert head == [f"Rows: {rows}, columns: {other}", "wood", "2", "3", "Total"]
    assert first == (["wood", "1159", "0", "170", "1329"] if rows == "map" else ["wood", "1159", "193", "0", "1352"])
    assert f"Rows: {rows}, columns: {other}" in (found["folder"] / "report.html").read_text(encoding="utf-8")


def test_the_memory_and_the_threads_make_no_difference(maps, tmp_path):
    one, many = (assess(tmp_path, settings={"threads": n}, **maps) for n in (1, 5))
    assert one["accuracy"] == many["accuracy"]


def test_another_grid_is_aligned_by_nearest_and_noted(maps, tmp_path):
    doubled = np.kron(read_raster(maps["reference"])[0], np.ones((2, 2), np.uint8))
    finer = write_raster(tmp_path / "finer.tif", doubled, FINE @ Affine.scale(0.5), nodata=0)
    found = assess(tmp_path, class_map=maps["class_map"], reference=finer)
    assert found["matrix"] == assess(tmp_path, **maps)["matrix"]
    assert "is resampled by nearest neighbour to the grid of Class map 'map.tif'" in found["about"][0]
    assert "(their pixels: 128 x 128 and 64 x 64)" in found["about"][0]


def test_classes_of_one_only_are_named(tmp_path):
    mapped = write_raster(tmp_path / "map.tif", np.array([[1, 1, 7]], np.uint8))
    reference = write_raster(tmp_path / "reference.tif", np.array([[1, 9, 1]], np.uint8))
    found = assess(tmp_path, class_map=mapped, reference=reference, class_names="9=water")
    assert found["warnings"] == [
        "Of the places compared, Class map 'map.tif' has class 7, which Reference raster 'reference.tif' has nowhere.",
        "Of the places compared, Reference raster 'reference.tif' has class 9 (water), which Class map 'map.tif' has "
        "nowhere.",
    ]
    assert found["labels"] == [1, 7, 9]


def test_one_class_alone_has_no_kappa(tmp_path):
    path = write_raster(tmp_path / "map.tif", np.ones((5, 5), np.uint8))
    found = assess(tmp_path, class_map=path, reference=path)
    assert found["result"]["overall_accuracy"] == 1
    assert "kappa" not in found["result"]
    assert "Kappa is unknown" in found["accuracy"]["reasons"][0]


@pytest.fixture
def olofsson(tmp_path):
    """A map whose classes are 1, 2, 3, 4 by columns in the shares of the article, and its sample as points."""
    columns = np.repeat([1, 2, 3, 4], [40, 30, 640, 1290])
    assert all(np.count_nonzero(columns == label) * 5000 == size for label, size in MAPPED.items())
    path = write_raster(tmp_path / "map.tif", np.tile(columns.astype(np.uint8), (400, 1)))
    points, classes = [], []
    for row, label in enumerate((1, 2, 3, 4)):
        reference = np.repeat([1, 2, 3, 4], OLOFSSON[row])
        first = int(np.argmax(columns == label))
        points += [place(number % 400, first + number // 400) for number in range(len(reference))]
        classes += reference.tolist()
    return {"class_map": path, "samples": write_layer(tmp_path / "points.gpkg", points, classes)}


def test_points_give_the_estimates_of_the_article(olofsson, tmp_path):
    found = assess(tmp_path, **olofsson)
    assert found["matrix"]["counts"] == OLOFSSON.tolist()
    estimates = found["estimates"]
    assert estimates["overall_accuracy"]["value"] == pytest.approx(0.946512, abs=1e-6)
    assert estimates["overall_accuracy"]["margin"] == pytest.approx(0.018484, abs=1e-6)
    assert found["result"]["estimated_accuracy"] == estimates["overall_accuracy"]["value"]
    # 800 000 pixels of 30 m are 72 000 ha, and 900 000 ha in the article.
    first = estimates["areas"][0]
    assert estimates["area_unit"] == "ha"
    assert first["value"] * 900_000 / 72_000 == pytest.approx(21_158, abs=1)
    assert first["margin"] * 900_000 / 72_000 == pytest.approx(6_158, abs=1)
    # Kappa and the parts of the disagreement, too, are estimated from shares of the area.
    weighted = estimates["weighted"]
    assert weighted["kappa"] == pytest.approx(0.888814, abs=1e-6)
    assert weighted["quantity"] + weighted["allocation"] == pytest.approx(1 - 0.946512, abs=1e-6)
    assert found["accuracy"]["overall"]["kappa"] != pytest.approx(weighted["kappa"], abs=1e-3)
    page = (found["folder"] / "report.html").read_text(encoding="utf-8")
    assert "Estimates from the sample" in page
    assert "Estimated for the whole map" in page
    # Value, half width of the interval, and standard error of the first class's producer's accuracy.
    assert "0.7487 \N{PLUS-MINUS SIGN} 0.2133 (0.1088)" in page
    with (found["folder"] / "results.csv").open(encoding="utf-8", newline="") as stream:
        values = {line["measure"]: line["value"] for line in csv.DictReader(stream) if not line["class"]}
    assert float(values["estimated quantity"]) == weighted["quantity"]
    assert float(values["estimated overall_accuracy"]) == estimates["overall_accuracy"]["value"]


def test_a_class_of_the_map_without_samples_leaves_dashes(tmp_path):
    path = write_raster(tmp_path / "map.tif", np.array([[1, 1, 2, 3]], np.uint8))
    layer = write_layer(tmp_path / "points.gpkg", [place(0, c) for c in range(3)], [1, 2, 2])
    found = assess(tmp_path, class_map=path, samples=layer, rows="reference")
    assert found["estimates"]["weighted"]["kappa"] is None
    page = (found["folder"] / "report.html").read_text(encoding="utf-8")
    assert "Stratum 3 has no sample" in page
    assert "nan" not in page


def test_strata_that_are_the_classes_of_the_map_give_the_same(olofsson, tmp_path):
    plain, strata = assess(tmp_path, **olofsson), assess(tmp_path, strata=olofsson["class_map"], **olofsson)
    for name in ("overall_accuracy", "classes", "areas"):
        for one, other in zip(_flat(plain["estimates"][name]), _flat(strata["estimates"][name]), strict=True):
            assert one == pytest.approx(other, rel=1e-12, abs=1e-12)


def _flat(value):
    if isinstance(value, dict):
        return [each for inner in value.values() for each in _flat(inner)]
    return [each for inner in value for each in _flat(inner)] if isinstance(value, list) else [value]


def test_polygons_count_by_pixels_or_as_one_place_each(tmp_path):
    mapped = np.ones((20, 20), np.uint8)
    mapped[:, 10:] = 2
    path = write_raster(tmp_path / "map.tif", mapped)
    # The second lies half and half but for one column; the last is smaller than a pixel.
    shapes = [area(0, 4, 0, 5), area(5, 9, 7, 12), area(10, 15, 12, 20), area(10.1, 10.3, 3.1, 3.3)]
    layer = write_layer(tmp_path / "areas.gpkg", shapes, [1, 2, 2, 1])
    found = assess(tmp_path, class_map=path, samples=layer)
    assert found["matrix"]["counts"] == [[20, 12], [0, 8 + 40]]
    assert any("1 feature(s) of Reference 'areas.gpkg' hold the centre of no pixel" in w for w in found["warnings"])
    assert any("Pixels of one polygon are alike" in w for w in found["warnings"])
    whole = assess(tmp_path, class_map=path, samples=layer, polygon_unit="polygons")
    assert whole["matrix"]["counts"] == [[1, 1], [0, 1]]
    only_small = write_layer(tmp_path / "small.gpkg", shapes[3:], [1])
    assert "polygons have to hold the centre of one; give points instead" in assess(
        tmp_path, 2, class_map=path, samples=only_small
    )


def test_points_outside_and_without_a_class_are_left_out_and_counted(tmp_path):
    path = write_raster(tmp_path / "map.tif", np.array([[1, 2, 0]], np.uint8), nodata=0)
    layer = write_layer(
        tmp_path / "points.gpkg", [place(0, 0), place(0, 1), place(0, 2), place(9, 9), place(0, 1)],
        [1.0, 2.0, 2.0, 1.0, np.nan],
    )
    found = assess(tmp_path, class_map=path, samples=layer, samples_field="class")
    assert (found["total"], found["without_map"]) == (2, 1)
    assert found["about"] == [
        "1 feature(s) of Reference 'points.gpkg' have no value of 'class' and are left out.",
        "1 feature(s) of Reference 'points.gpkg' lie outside the class map and are left out.",
    ]


def test_names_become_numbers_by_what_the_map_carries_or_the_user_says(tmp_path):
    path = Path(write_raster(tmp_path / "map.tif", np.array([[1, 2]], np.uint8)))
    layer = write_layer(tmp_path / "points.gpkg", [place(0, 0), place(0, 1)], ["Wood", "water"])
    values = {"class_map": str(path), "samples": layer, "samples_field": "class"}
    assert "has the text 'Wood', which is no whole number, and no names of classes are known" in assess(
        tmp_path, 2, **values
    )
    assert assess(tmp_path, class_names="1=wood, 2=water", **values)["matrix"]["counts"] == [[1, 0], [0, 1]]
    assert "has the part 'wood'; write 'number=word" in assess(tmp_path, 2, class_names="wood", **values)
    assert "gives class 1 twice" in assess(tmp_path, 2, class_names="1=a,1=b", **values)
    write_class_table(path, [
        Class(1, "water", (0, 0, 9), 1, 0.5, (), None, None), Class(2, "wood", (0, 9, 0), 1, 0.5, (), None, None)
    ])
    found = assess(tmp_path, **values)
    assert found["matrix"]["counts"] == [[0, 1], [1, 0]]
    assert found["names"] == {"1": "water", "2": "wood"}


def test_clusters_are_matched_first_and_the_report_says_that_it_flatters(tmp_path):
    reference = np.repeat([[1, 2, 3]], 30, axis=0).repeat(10, axis=1).astype(np.uint8)
    clusters = np.array([0, 30, 10, 20], np.uint8)[reference]
    clusters[:3, :10] = 40
    layers = {
        "class_map": write_raster(tmp_path / "map.tif", clusters),
        "reference": write_raster(tmp_path / "reference.tif", reference),
    }
    found = assess(tmp_path, matching="hungarian", agreement=str(tmp_path / "agreement.tif"), **layers)
    assert found["matching"]["pairs"] == {"10": 2, "20": 3, "30": 1}
    assert list(found["matching"]["unmatched"]) == ["40"]
    assert any("flatters the map" in warning for warning in found["warnings"])
    assert found["result"]["overall_accuracy"] == pytest.approx(1 - 30 / 900)
    assert found["result"]["agreement"] == str(tmp_path / "agreement.tif")
    expected = np.ones((30, 30), np.uint8)
    expected[:3, :10] = 2
    np.testing.assert_array_equal(read_raster(tmp_path / "agreement.tif")[0], expected)
    assert "<Category>Disagreement</Category>" in (tmp_path / "agreement.tif.aux.xml").read_text(encoding="utf-8")
    assert assess(tmp_path, matching="majority", **layers)["result"]["overall_accuracy"] == 1


def test_names_of_clusters_that_are_matched_need_no_numbers(tmp_path):
    path = write_raster(tmp_path / "map.tif", np.array([[7, 8, 8]], np.uint8))
    layer = write_layer(tmp_path / "points.gpkg", [place(0, c) for c in range(3)], ["wood", "water", "water"])
    found = assess(tmp_path, class_map=path, samples=layer, samples_field="class", matching="hungarian")
    assert found["names"] == {"1": "water", "2": "wood"}
    assert found["result"]["overall_accuracy"] == 1
    assert found["estimates"]["overall_accuracy"]["value"] == 1


def test_a_reference_in_another_coordinate_system_is_brought_onto_the_map(maps, tmp_path):
    with rasterio.open(maps["reference"]) as dataset:
        values = dataset.read(1)
        corners = [transform(CRS, "EPSG:32632", *np.array([dataset.bounds[:2], dataset.bounds[2:]]).T)]
    (xs, ys), size = corners[0], 160
    grid = Affine((xs[1] - xs[0] + 800) / size, 0, xs[0] - 400, 0, -(ys[1] - ys[0] + 800) / size, ys[1] + 400)
    warped = np.zeros((size, size), np.uint8)
    reproject(
        values, warped, src_transform=FINE, src_crs=CRS, dst_transform=grid, dst_crs="EPSG:32632", src_nodata=0,
        dst_nodata=0,
    )
    other = write_raster(tmp_path / "other.tif", warped, grid, "EPSG:32632", nodata=0)
    found = assess(tmp_path, class_map=maps["class_map"], reference=other)
    assert "by nearest neighbour from EPSG:32632 to EPSG:32633 to the grid of Class map" in found["about"][0]
    # Nearly the same: at the edges of fields a pixel may come from the next one.
    assert found["result"]["overall_accuracy"] == pytest.approx(0.857, abs=0.03)


def test_points_in_another_coordinate_system_lie_where_they_were(olofsson, tmp_path):
    _, _, stored, (classes,) = pyogrio.raw.read(olofsson["samples"], columns=["class"])
    x, y = shapely.get_coordinates(shapely.from_wkb(stored)).T
    points = list(shapely.points(*transform(CRS, "EPSG:4326", x, y)))
    layer = write_layer(tmp_path / "degrees.geojson", points, classes.tolist(), "EPSG:4326")
    found = assess(tmp_path, **{**olofsson, "samples": layer})
    assert found["matrix"]["counts"] == OLOFSSON.tolist()


def test_strata_beside_a_reference_raster_are_said_to_be_left_out(maps, tmp_path):
    found = assess(tmp_path, strata=maps["class_map"], **maps)
    assert found["warnings"] == [
        "Strata 'map.tif' serves estimates from points or polygons; the reference is a raster, all of which is "
        "compared, and the strata are left out."
    ]


def test_a_name_that_two_classes_share_is_refused(tmp_path):
    path = write_raster(tmp_path / "map.tif", np.array([[1, 2, 3]], np.uint8))
    values = {"class_map": path, "class_names": "1=wood, 2=Wood, 3=bog", "samples_field": "class"}
    layer = write_layer(tmp_path / "points.gpkg", [place(0, 0), place(0, 2)], ["wood", "bog"])
    assert "has the name 'wood', which classes 1, 2 of the map share" in assess(tmp_path, 2, samples=layer, **values)
    other = write_layer(tmp_path / "other.gpkg", [place(0, 0), place(0, 2)], ["bog", "bog"])
    assert assess(tmp_path, samples=other, **values)["total"] == 2


def test_no_reference_and_two_references(maps, tmp_path):
    assert "none is given; give one of them" in assess(tmp_path, 2, class_map=maps["class_map"])
    layer = write_layer(tmp_path / "points.gpkg", [place(0, 0)], [1])
    assert "both are given; give one of them" in assess(tmp_path, 2, samples=layer, **maps)


@pytest.mark.parametrize(
    ("values", "profile", "sentence"),
    [
        (np.full((64, 64), 0.5, np.float32), {}, "Class map 'bad.tif' holds values such as 0.5, which are no whole"),
        (np.zeros((64, 64), np.uint8), {"nodata": 0}, "Class map 'bad.tif' has no class at any of the 3840 places"),
        (np.ones((3, 64, 64), np.uint8), {}, "has 3 bands and a map of classes has one"),
        (np.arange(4096, dtype=np.int16).reshape(64, 64), {}, "choose a map of classes, not of measurements"),
        (np.ones((64, 64), np.uint8), {"transform": FINE @ Affine.translation(900, 0)}, "do not overlap"),
        (np.ones((64, 64), np.uint8), {"crs": None}, "has no coordinate system and"),
    ],
)
def test_maps_that_cannot_be_used(maps, tmp_path, values, profile, sentence):
    bad = write_raster(tmp_path / "bad.tif", values, **profile)
    assert sentence in assess(tmp_path, 2, class_map=bad, reference=maps["reference"])


def test_references_that_cannot_be_used(maps, tmp_path):
    empty = write_raster(tmp_path / "empty.tif", np.zeros((64, 64), np.uint8), nodata=0)
    assert "Reference raster 'empty.tif' has no class on any pixel of Class map 'map.tif'; check its nodata value (0)" \
        in assess(tmp_path, 2, class_map=maps["class_map"], reference=empty)
    heights = write_raster(tmp_path / "heights.tif", np.full((64, 64), 7.25, np.float32))
    assert "Reference raster 'heights.tif' holds values such as 7.25" in assess(
        tmp_path, 2, class_map=maps["class_map"], reference=heights
    )
    far = write_layer(tmp_path / "far.gpkg", [place(900, 900)], [1])
    assert "has no feature with a value of 'class' on the images" in assess(
        tmp_path, 2, class_map=maps["class_map"], samples=far
    )
    fractions = write_layer(tmp_path / "fractions.gpkg", [place(9, 9)], [1.5])
    assert "has the value 1.5; the number of a class is a whole number" in assess(
        tmp_path, 2, class_map=maps["class_map"], samples=fractions, samples_field="class"
    )


@pytest.mark.parametrize(
    ("file", "fields"),
    [
        ("accuracy_points_ref_vs_map_525.geojson", ("img_smpls", "ref_smpls")),
        ("accuracy_points_ref_vs_map_1000_10classes.geojson", ("rf_rl_cls", "ref_pts")),
    ],
)
def test_points_of_a_real_map_reproduce_their_numbers(tmp_path, file, fields):
    """The map is rebuilt from what the points say that it has."""
    path = str(real_scene("class_aberystwyth_s2") / file)
    _, _, stored, columns = pyogrio.raw.read(path, columns=list(fields))
    order = {name: index for index, name in enumerate(pyogrio.read_info(path)["fields"]) if name in fields}
    mapped, reference = (columns[sorted(order, key=order.get).index(name)] for name in fields)
    x, y = shapely.get_coordinates(shapely.from_wkb(stored)).T
    grid = Affine(20.0, 0.0, x.min() - 30, 0.0, -20.0, y.max() + 30)
    rows, cols = ((y.max() + 30 - y) // 20).astype(int), ((x - x.min() + 30) // 20).astype(int)
    names = sorted({*mapped, *reference})
    raster = np.zeros((rows.max() + 2, cols.max() + 2), np.uint8)
    raster[rows, cols] = [1 + names.index(name) for name in mapped]
    found = assess(
        tmp_path, class_map=write_raster(tmp_path / "map.tif", raster, grid, "EPSG:27700", nodata=0), samples=path,
        samples_field=fields[1], class_names=",".join(f"{n}={name}" for n, name in enumerate(names, 1)),
    )
    np.testing.assert_array_equal(found["matrix"]["counts"], metrics.confusion_matrix(mapped, reference, labels=names))
    assert found["result"]["overall_accuracy"] == pytest.approx(metrics.accuracy_score(reference, mapped), abs=1e-9)
    assert found["result"]["kappa"] == pytest.approx(metrics.cohen_kappa_score(reference, mapped), abs=1e-9)


def test_polygons_of_a_real_map(tmp_path):
    folder = real_scene("class_aberystwyth_s2")
    found = assess(
        tmp_path, class_map=str(folder / "classmap_4class.tif"), samples=str(folder / "reference_polygons.gpkg"),
        samples_field="class_id",
    )
    assert found["total"] == 6580
    matrix = Confusion(tuple(found["labels"]), np.array(found["matrix"]["counts"]))
    assert found["accuracy"] == measure_accuracy(matrix).as_dict()
    assert found["result"]["overall_accuracy"] > 0.99
