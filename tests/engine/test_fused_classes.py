"""Assess classes of fused images, whole: frozen classes, the control, images clustered by themselves, bad layers."""

import csv
import json
import re

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from sklearn import metrics

from makers import read_raster, run_method, write_raster
from stfusion.assessment._confusion import Confusion
from stfusion.assessment._fused_classes import Scores
from stfusion.assessment._matching import match_clusters
from stfusion.classification._fit import Order, fit
from stfusion.classification._sample import draw
from stfusion.run import Stop
from test_kmeans import context, image_of

ROW, COLUMN, BAND = np.meshgrid(np.arange(64), np.arange(64), np.arange(4), indexing="ij")
#: Images of whole numbers (bands, rows, columns) for which the scores are known: the true one, it with weak noise, and
#: the mean of it and itself one column to the right.
TEXTURE = (7 * ROW + 13 * COLUMN + 5 * BAND) % 64 * (BAND + 1)
TRUE = np.moveaxis(200 + 37 * BAND + TEXTURE + 100 * ((ROW // 8 + COLUMN // 8) % 2), 2, 0)
NOISY = TRUE + np.moveaxis((3 * ROW + 5 * COLUMN + 11 * BAND) % 17 - 8, 2, 0)
BLURRED = (TRUE + np.roll(TRUE, 1, axis=2)) / 2
IMAGES = {"noisy": NOISY, "blurred": BLURRED}


def assess(folder, images=None, code=0, settings=None, true=TRUE, **values):
    """Run on images by name; what the report says, or the sentence."""
    paths = [
        write_raster(folder / f"{name}.tif", image.astype(np.float32), nodata=np.nan)
        for name, image in (images or IMAGES).items()
    ]
    given = {"reference": write_raster(folder / "true.tif", true.astype(np.float32), nodata=np.nan), "fused": paths}
    output = folder / f"report{len(list(folder.iterdir()))}"
    outcome = run_method("assess_fused_classes", settings=settings, output=str(output), **{**given, **values})
    assert outcome.code == code, outcome.said.lines
    if code:
        assert not output.exists()
        return outcome.error
    assert {path.name for path in output.iterdir()} == {"report.html", "results.json", "results.csv", "model.json"}
    found = json.loads((output / "results.json").read_text(encoding="utf-8"))
    return {**found, "folder": output, "result": outcome.said.of("result")[0]}


def labels_of(image, centres):
    """The nearest of the centres (classes, bands), from 1."""
    return (((image.reshape(4, -1).T[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1) + 1).astype(np.uint8)


def cluster(image, classes, seed=0):
    order = Order(classes, classes, restarts=10, seed=seed)
    return fit(image.reshape(4, -1).T.astype(float), order, "", Stop()).centres


@pytest.mark.parametrize(
    ("classes", "known"),
    [(4, [(0.9912, 0.9824), (0.6895, 0.5256)]), (5, [(0.9915, 0.9853), (0.6602, 0.4231)])],
)
def test_frozen_scores_are_the_known_ones(classes, known):
    """Overall accuracy and mean IoU, for the optimum that scikit-learn finds when it gets the pixels row by row."""
    centres = cluster(TRUE, classes)
    for image, scores in zip(IMAGES.values(), known, strict=True):
        found = Scores.of(Confusion.of(labels_of(image, centres), labels_of(TRUE, centres)), classes).overall
        assert (round(found["overall_accuracy"], 4), round(found["mean_iou"], 4)) == scores


def test_clustering_again_moves_the_score_as_much_as_is_known():
    """Twelve other seeds: the true image against itself .832 on average, standard deviation .193; the blurred .500."""
    true = labels_of(TRUE, cluster(TRUE, 4))
    found = {}
    for name, image in (("true", TRUE), ("blurred", BLURRED)):
        maps = [labels_of(image, cluster(image, 4, seed)) for seed in range(1, 13)]
        matched = [match_clusters(Confusion.of(each, true)).after for each in maps]
        found[name] = [Scores.of(each, 4).overall["mean_iou"] for each in matched]
    assert (round(np.mean(found["true"]), 3), round(np.std(found["true"]), 3)) == (0.832, 0.193)
    assert (round(np.mean(found["blurred"]), 3), round(np.std(found["blurred"]), 3)) == (0.500, 0.002)


def test_the_control_and_refitted_images_are_those_of_other_seeds(tmp_path):
    found = assess(tmp_path, classes=4, standardisation="none", repeats=5, refit=True, settings={"seed": 7})
    sample = draw(context(seed=7), image_of(tmp_path / "true.tif"), 100_000, (0, 1)).pixels
    centres = [fit(sample, Order(4, 4, restarts=10, seed=seed), "", Stop()).centres for seed in range(7, 13)]
    true = labels_of(TRUE, centres[0])
    scores = []
    for again in centres[1:]:
        table = metrics.confusion_matrix(true, labels_of(TRUE, again))
        rows, columns = linear_sum_assignment(table, maximize=True)
        matched = (rows + 1)[np.argsort(columns)][labels_of(TRUE, again) - 1]
        scores.append(metrics.jaccard_score(true, matched, average="macro"))
    control = found["control"]["mean_iou"]
    assert (control["mean"], control["sd"]) == pytest.approx((np.mean(scores), np.std(scores, ddof=1)), rel=1e-12)
    assert (control["min"], control["max"]) == pytest.approx((min(scores), max(scores)), rel=1e-12)
    assert found["result"]["control_iou"] == control["mean"]
    assert found["result"]["best"] == found["order"][0]
    assert found["result"]["best_iou"] == found["images"][found["order"][0]]["frozen"]["mean_iou"]


def test_scores_are_those_of_maps_made_from_the_model_file(tmp_path):
    found = assess(tmp_path, classes=5)
    model = json.loads((found["folder"] / "model.json").read_text(encoding="utf-8"))
    centres = np.array([each["centre"] for each in model["classes"]])
    scale = np.array(model["scaling"]["scale"])

    def labels(image):
        return (((image.reshape(4, -1).T[:, None] - centres) / scale) ** 2).sum(axis=2).argmin(axis=1)

    true = labels(TRUE)
    assert [each["count"] for each in model["classes"]] == np.bincount(true).tolist()
    assert [each["share"] for each in found["classes"]] == pytest.approx(np.bincount(true) / true.size)
    for name, image in IMAGES.items():
        frozen, guess = found["images"][name]["frozen"], labels(image)
        assert frozen["iou"] == pytest.approx(metrics.jaccard_score(true, guess, average=None))
        assert frozen["mean_iou"] == pytest.approx(metrics.jaccard_score(true, guess, average="macro"))
        assert frozen["overall_accuracy"] == pytest.approx(metrics.accuracy_score(true, guess))
        assert frozen["kappa"] == pytest.approx(metrics.cohen_kappa_score(true, guess))
        assert frozen["adjusted_rand"] == pytest.approx(metrics.adjusted_rand_score(true, guess))


def test_an_image_of_other_brightness_has_the_same_clusters_and_not_the_same_classes(tmp_path):
    blobs = np.random.default_rng(0).normal(0, 1, (2, 40, 50)) + 40 * (np.arange(50) // 10)
    found = assess(tmp_path, {"brighter": 2 * blobs + 30}, true=blobs, refit=True, repeats=3)
    brighter = found["images"]["brighter"]
    assert brighter["frozen"]["mean_iou"] < 0.5
    assert brighter["refitted"]["mean_iou"]["min"] == 1
    assert found["control"]["mean_iou"]["min"] == 1
    assert found["control"]["mean_iou"]["sd"] == 0


def test_pixels_count_where_all_images_are_valid(tmp_path):
    holes = {name: image.astype(float) for name, image in IMAGES.items()}
    holes["noisy"][:, 10:20, :30] = np.nan
    mask = np.zeros((64, 64), np.uint8)
    mask[60:] = 1
    true = TRUE.astype(float)
    true[1, :4] = np.nan
    found = assess(tmp_path, holes, true=true, fused_mask=write_raster(tmp_path / "mask.tif", mask), classes=4)
    assert found["compared"] == 64 * 64 - 300 - 4 * 64 - 4 * 64
    clipped = {name: np.where(np.isnan(holes["noisy"]), np.nan, image) for name, image in holes.items()}
    for image in clipped.values():
        image[:, 60:] = np.nan
    (tmp_path / "again").mkdir()
    again = assess(tmp_path / "again", clipped, true=true, classes=4)
    assert again["images"] == found["images"]


def test_threads_and_memory_change_nothing(tmp_path):
    rng = np.random.default_rng(1)
    true = rng.integers(0, 2000, (3, 300, 1100))
    images = {"a": true + rng.integers(-300, 300, true.shape), "b": true[::-1]}
    given = {"true": true, "repeats": 2, "sample": 5000, "restarts": 1}
    (tmp_path / "again").mkdir()
    one = assess(tmp_path, images, settings={"threads": 1}, **given)
    two = assess(tmp_path / "again", images, settings={"threads": 2, "memory_mb": 600}, **given)
    for key in ("images", "control", "classes"):
        assert one[key] == two[key]


def test_an_image_on_another_grid_is_resampled_and_that_is_said(tmp_path):
    found = assess(tmp_path, {"coarse": NOISY[:, ::2, ::2]}, code=0)
    assert found["share"] == 0.25
    (note,) = found["notes"]
    assert note == "coarse 'coarse.tif' is resampled by nearest neighbour to the grid of True image 'true.tif'."


def test_the_report_stands_alone_and_the_table_has_every_number(tmp_path):
    found = assess(tmp_path, refit=True, repeats=2, names="With <noise>, Blurred")
    page = (found["folder"] / "report.html").read_text(encoding="utf-8")
    assert page.count('src="data:image/png;base64,') == page.count("<img") == 2
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert "With &lt;noise&gt;" in page
    assert "<noise>" not in page
    with (found["folder"] / "results.csv").open(encoding="utf-8", newline="") as stream:
        lines = {(line["image"], line["clustering"]): line for line in csv.DictReader(stream)}
    expected = {(name, how) for name in found["order"] for how in ("frozen", "again")}
    assert set(lines) == expected | {("control", "again")}
    for name in found["order"]:
        frozen = found["images"][name]["frozen"]
        assert float(lines[name, "frozen"]["mean_iou"]) == frozen["mean_iou"]
        assert [float(lines[name, "frozen"][f"IoU Class {k}"]) for k in range(1, 6)] == frozen["iou"]
    assert float(lines["control", "again"]["kappa sd"]) == found["control"]["kappa"]["sd"]


def test_a_class_that_is_compared_nowhere_has_no_score(tmp_path):
    """The only pixels with other classes are invalid in the fused image: kappa is unknown, not 0."""
    true = np.zeros((1, 30, 30))
    true[:, :10], true[:, 10:20] = 100, 200
    fused = np.where(true == 0, 0, np.nan)
    found = assess(tmp_path, {"fused": fused}, true=true, classes=3, repeats=2)
    frozen = found["images"]["fused"]["frozen"]
    assert (frozen["mean_iou"], frozen["overall_accuracy"]) == (1, 1)
    assert (frozen["kappa"], frozen["adjusted_rand"]) == (None, None)
    assert frozen["iou"] == [1, None, None]
    assert found["control"]["kappa"]["mean"] is None


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"images": {"one": NOISY[:3]}}, r"True image 'true.tif' has 4 band\(s\) and one 'one.tif' has 3; choose"),
        ({"names": "a, b, c"}, r"2 fused image\(s\) and 3 name\(s\) are given; name each of them, or none"),
        ({"names": "a, a"}, "The names of the fused images are 'a, a'; give every image a name of its own"),
        ({"images": {"empty": np.full(TRUE.shape, np.nan)}}, "True image 'true.tif' and the fused images have no"),
        ({"true": np.full(TRUE.shape, np.nan)}, "True image 'true.tif' has no valid pixel; check its nodata value"),
        ({"true": np.ones(TRUE.shape)}, r"has 1 different pixels \(of 4096 sampled\) and 5 classes are asked for"),
    ],
)
def test_what_cannot_be_used_gets_a_sentence(tmp_path, values, sentence):
    assert re.search(sentence, assess(tmp_path, code=2, **values))


def test_files_of_one_name_are_numbered(tmp_path):
    paths = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        paths.append(write_raster(tmp_path / name / "fused.tif", IMAGES["noisy"].astype(np.float32)))
    assert sorted(assess(tmp_path, fused=paths, repeats=2)["images"]) == ["1. fused", "2. fused"]
    np.testing.assert_array_equal(read_raster(paths[0]), read_raster(paths[1]))
