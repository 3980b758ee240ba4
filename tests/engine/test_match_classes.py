"""Match classes, whole: vectors, rasters and features as reference, what is left over, the table, and the map."""

import json

import numpy as np
import pytest
import rasterio
from affine import Affine
from scipy.optimize import linear_sum_assignment
from sklearn import metrics

from makers import FINE, read_raster, run_method, write_class_table, write_raster
from real_data import real_scene
from stfusion.classification._legend import Legend, read_legend
from stfusion.job import Input
from stfusion.raster.source import Source
from test_assess_classification import area, place, write_layer

#: Clusters by classes, and what they become one to one and many to one.
TABLE = np.array([[5, 40, 2], [6, 30, 1], [50, 3, 4], [0, 2, 60]])
NAMES, COLOURS = {1: "wood", 2: "water", 3: "bog"}, {1: (0, 99, 0), 2: (0, 0, 200), 3: (90, 60, 30)}


def match(folder, code=0, settings=None, name="matched.tif", **values):
    """The matched map, its table and results, and what the run said."""
    output, table = folder / name, folder / f"{name}.json"
    outcome = run_method("match_classes", settings=settings, output=str(output), table=str(table), **values)
    assert outcome.code == code, outcome.said.lines
    if code:
        assert not list(folder.glob(f"{name}*"))
        return outcome.error
    found = json.loads(table.read_text(encoding="utf-8"))
    return {
        **found, "pairs": {row["from"]: row["to"] for row in found["classes"]}, "map": read_raster(output)[0],
        "result": outcome.said.of("result")[0], "warnings": outcome.said.of("warning"), "said": outcome.said,
        "path": output,
    }


def raster_of(path, classes, **profile):
    return write_raster(path, np.array(classes, profile.pop("dtype", np.uint8)), **profile)


def named(path, labels, legend=None):
    """Give a raster of bytes names and colours."""
    legend = legend or Legend(NAMES, COLOURS)
    with rasterio.open(path, "r+") as dataset:
        dataset.write_colormap(1, dict(legend.colours))
    write_class_table(path, legend.classes({label: 1 for label in labels}))


@pytest.fixture
def layers(tmp_path):
    """Clusters 1 to 4 and classes 1 to 3 whose counts are those of the table."""
    pairs = np.array([(i + 1, j + 1) for i in range(4) for j in range(3) for _ in range(TABLE[i, j])]).T
    path = tmp_path / "reference.tif"
    raster_of(path, pairs[1:], nodata=0)
    named(path, (1, 2, 3))
    return {"class_map": raster_of(tmp_path / "clusters.tif", pairs[:1]), "reference": str(path)}


@pytest.mark.parametrize(
    ("values", "pairs", "agreement", "unmatched"),
    [
        ({}, {1: 2, 2: 5, 3: 1, 4: 3}, 0.738916, 1),
        ({"many_to_one": True}, {1: 2, 2: 2, 3: 1, 4: 3}, 0.886700, 0),
        ({"rule": "majority"}, {1: 2, 2: 2, 3: 1, 4: 3}, 0.886700, 0),
    ],
)
def test_vectors(tmp_path, layers, values, pairs, agreement, unmatched):
    found = match(tmp_path, **layers, **values)
    assert found["pairs"] == pairs
    assert found["result"]["agreement"] == pytest.approx(agreement, abs=1e-6)
    assert found["result"]["unmatched"] == unmatched
    clusters, reference = (read_raster(layers[role])[0] for role in ("class_map", "reference"))
    np.testing.assert_array_equal(found["map"], np.vectorize(pairs.get)(clusters))
    assert np.mean(found["map"] == reference) == pytest.approx(agreement, abs=1e-6)
    flat = clusters.ravel(), reference.ravel()
    assert found["result"]["adjusted_rand"] == pytest.approx(metrics.adjusted_rand_score(*flat), abs=1e-9)
    assert found["result"]["v_measure"] == pytest.approx(metrics.v_measure_score(*flat), abs=1e-9)
    assert [row["purity"] for row in found["classes"]] == pytest.approx((TABLE.max(1) / TABLE.sum(1)).tolist())


def test_the_map_has_the_names_and_colours_of_the_reference(tmp_path, layers):
    found = match(tmp_path, **layers)
    legend = read_legend(Source("Map", Input(str(found["path"]))))
    assert legend.names == {**NAMES, 5: "Cluster 2"}
    assert {label: legend.colours[label] for label in (1, 2, 3)} == COLOURS
    red, green, blue = legend.colours[5]
    assert red == green == blue
    with rasterio.open(found["path"]) as dataset:
        assert (dataset.dtypes[0], dataset.nodata, dataset.crs.to_epsg()) == ("uint8", 0, 32633)
        assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
    assert found["classes"][0] == {
        "from": 1, "to": 2, "name": "water", "colour": [0, 0, 200], "purity": pytest.approx(40 / 47)
    }
    assert found["matrix"]["counts"][2][:3] == [50, 3, 4]


def test_random_maps_are_matched_as_well_as_can_be(tmp_path):
    rng = np.random.default_rng(3)
    reference = rng.integers(1, 9, (300, 200)).astype(np.uint8)
    clusters = np.where(rng.random(reference.shape) < 0.4, rng.permutation(9)[reference] + 20, 20 + reference)
    layers = {
        "class_map": raster_of(tmp_path / "clusters.tif", clusters, nodata=255),
        "reference": raster_of(tmp_path / "reference.tif", reference),
    }
    found = match(tmp_path, **layers)
    table = metrics.cluster.contingency_matrix(clusters.ravel(), reference.ravel())
    assert found["result"]["agreement"] == pytest.approx(table[linear_sum_assignment(-table)].sum() / table.sum())
    assert len(set(found["pairs"].values())) == len(found["pairs"])
    again = match(tmp_path, name="again.tif", settings={"threads": 3, "memory_mb": 700}, **layers)
    np.testing.assert_array_equal(found["map"], again["map"])
    with rasterio.open(found["path"]) as dataset:
        assert dataset.nodata == 255


def test_points_with_names_match_and_a_cluster_without_points_keeps_a_number_of_its_own(tmp_path):
    path = raster_of(tmp_path / "clusters.tif", [[7, 8, 8, 9, 0]], nodata=0)
    points = write_layer(tmp_path / "points.gpkg", [place(0, c) for c in (0, 1, 2, 4)], ["wood", "bog", "bog", "wood"])
    found = match(tmp_path, class_map=path, samples=points, samples_field="class")
    assert found["pairs"] == {7: 2, 8: 1, 9: 10}
    assert [row["name"] for row in found["classes"]] == ["wood", "bog", "Cluster 9"]
    np.testing.assert_array_equal(found["map"], [[2, 1, 1, 10, 0]])
    (warning,) = found["warnings"]
    assert warning == (
        "Of Class map 'clusters.tif', Reference 'points.gpkg' has no place in cluster 9, which gets the number 10."
    )


def test_what_is_left_over_is_said(tmp_path, layers):
    warnings = match(tmp_path, **layers)["warnings"]
    assert warnings == ["Of Class map 'clusters.tif', no class was left for cluster 2, which gets the number 5."]
    lost = raster_of(tmp_path / "lost.tif", np.minimum(read_raster(layers["class_map"])[0], 1))
    warnings = match(tmp_path, name="b.tif", class_map=lost, reference=layers["reference"])["warnings"]
    assert warnings == ["No cluster became class 1 (wood), 3 (bog) of Reference raster 'reference.tif'."]


def test_polygons_and_those_smaller_than_a_pixel(tmp_path):
    path = raster_of(tmp_path / "clusters.tif", np.repeat([[1, 2]], 10, axis=0).repeat(10, axis=1))
    shapes = [area(0, 9, 0, 9), area(0, 9, 11, 19), area(3.1, 3.2, 15.1, 15.2)]
    polygons = write_layer(tmp_path / "areas.gpkg", shapes, [5, 6, 5])
    found = match(tmp_path, class_map=path, samples=polygons)
    assert found["pairs"] == {1: 5, 2: 6}
    assert "1 feature(s) of Reference 'areas.gpkg' hold the centre of no pixel" in found["warnings"][0]
    small = write_layer(tmp_path / "small.gpkg", shapes[2:], [5])
    assert "polygons have to hold the centre of one; give points instead" in match(
        tmp_path, 2, name="b.tif", class_map=path, samples=small
    )


def test_another_grid_is_aligned_by_nearest_and_noted(tmp_path, layers):
    finer = write_raster(
        tmp_path / "finer.tif", np.kron(read_raster(layers["reference"])[0], np.ones((2, 2), np.uint8)),
        FINE @ Affine.scale(0.5), nodata=0,
    )
    found = match(tmp_path, class_map=layers["class_map"], reference=finer)
    assert found["pairs"] == {1: 2, 2: 5, 3: 1, 4: 3}
    assert "is resampled by nearest neighbour to the grid of Class map 'clusters.tif'" in found["said"].of("log")[0]


@pytest.mark.parametrize(
    ("classes", "dtype", "nodata"),
    [([[1, 300]], "int16", 0), ([[1, 70_000]], "int32", 0), ([[-3, 0]], "int16", -32768), ([[0, 255]], "int16", -32768),
     ([[0, 254]], "uint8", 255)],
)
def test_numbers_of_classes_choose_the_type_of_the_map(tmp_path, classes, dtype, nodata):
    clusters = raster_of(tmp_path / "clusters.tif", [[1, 2]])
    reference = raster_of(tmp_path / "reference.tif", classes, dtype=np.int32)
    found = match(tmp_path, class_map=clusters, reference=reference, class_names=f"{classes[0][1]}=wood")
    np.testing.assert_array_equal(found["map"], classes)
    with rasterio.open(found["path"]) as dataset:
        assert (dataset.dtypes[0], dataset.nodata) == (dtype, nodata)
    # Where bytes do not reach, there is no colour table: the attribute table has colours and names.
    legend = read_legend(Source("Map", Input(str(found["path"]))))
    assert legend.names[classes[0][1]] == "wood"
    assert set(classes[0]) <= set(legend.colours)


def test_one_class_and_one_cluster(tmp_path):
    path = raster_of(tmp_path / "clusters.tif", [[4, 4]])
    found = match(tmp_path, class_map=path, reference=raster_of(tmp_path / "reference.tif", [[9, 9]]))
    assert found["pairs"] == {4: 9}
    assert found["result"]["agreement"] == 1
    assert "adjusted_rand" not in found["result"]


@pytest.mark.parametrize(
    ("values", "profile", "sentence"),
    [
        (np.full((1, 203), 0.5, np.float32), {}, "Class map 'bad.tif' holds values such as 0.5, which are no whole"),
        (np.zeros((1, 203), np.uint8), {"nodata": 0}, "Class map 'bad.tif' has no class at any of the 203 places"),
        (np.ones((3, 1, 203), np.uint8), {}, "has 3 bands and a map of classes has one"),
        (np.arange(2000, dtype=np.int16).reshape(1, 2000), {}, "choose a map of classes, not of measurements"),
        (np.ones((1, 203), np.uint8), {"transform": FINE @ Affine.translation(900, 0)}, "do not overlap"),
        (np.ones((1, 203), np.uint8), {"crs": None}, "has no coordinate system and"),
    ],
)
def test_maps_that_cannot_be_used(tmp_path, layers, values, profile, sentence):
    bad = write_raster(tmp_path / "bad.tif", values, **profile)
    assert sentence in match(tmp_path, 2, class_map=bad, reference=layers["reference"])


def test_references_that_cannot_be_used(tmp_path, layers):
    clusters = layers["class_map"]
    assert "none is given; give one of them" in match(tmp_path, 2, class_map=clusters)
    empty = raster_of(tmp_path / "empty.tif", np.zeros((1, 203)), nodata=0)
    assert "has no class on any pixel of Class map" in match(tmp_path, 2, class_map=clusters, reference=empty)
    far = write_layer(tmp_path / "far.gpkg", [place(900, 900)], [1])
    assert "has no feature with a value of 'class' on the images" in match(
        tmp_path, 2, class_map=clusters, samples=far
    )


@pytest.mark.parametrize("lost", ["output", "table"])
def test_nothing_stays_behind_when_a_file_cannot_be_written(tmp_path, layers, lost):
    files = {"output": str(tmp_path / "m.tif"), "table": str(tmp_path / "t.json")}
    files[lost] = str(tmp_path / "gone" / "file.tif")
    before = sorted(tmp_path.iterdir())
    outcome = run_method("match_classes", **layers, **files)
    assert outcome.code == 2
    assert sorted(tmp_path.iterdir()) == before


def test_clusters_of_a_real_map_get_their_classes_back(tmp_path):
    folder = real_scene("class_aberystwyth_s2")
    source = folder / "classmap_4class.tif"
    with rasterio.open(source) as dataset:
        truth, profile = dataset.read(1), dataset.profile
    valid = truth != profile["nodata"] if profile["nodata"] is not None else np.ones(truth.shape, bool)
    labels = np.unique(truth[valid])
    shuffled = np.zeros(truth.shape, np.uint8)
    for number, label in enumerate(labels[::-1], 11):
        shuffled[valid & (truth == label)] = number
    clusters = write_raster(
        tmp_path / "clusters.tif", shuffled, profile["transform"], profile["crs"].to_wkt(), nodata=0
    )
    found = match(
        tmp_path, class_map=clusters, samples=str(folder / "reference_polygons.gpkg"), samples_field="class_id"
    )
    assert found["result"]["agreement"] > 0.99
    np.testing.assert_array_equal(found["map"][valid], truth[valid])
