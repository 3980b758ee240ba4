"""K-means classification and Apply K-means model, whole: outputs, several layers, reproducibility, bad input."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio
from affine import Affine

from makers import FINE, Outcome, read_raster, run_method, write_raster
from real_data import real_scene
from stfusion.classification import _products
from stfusion.classification._model import load
from stfusion.errors import UserError
from stfusion.run import Stop
from test_kmeans import blobs, image_of

NAMES = ("blue", "green", "red")
FEW = {"restarts": 2, "classes": 4}


@pytest.fixture
def scene(tmp_path: Path) -> str:
    """Four classes in three bands, with a gap of 20 x 10 pixels."""
    values = blobs(1, 4, 3, (60, 70))
    values[:, 10:20, 5:25] = 0
    folder = tmp_path / "in"
    folder.mkdir()
    return write_raster(folder / "S2_20210527.tif", values, nodata=0, descriptions=NAMES)


def classify(folder: Path, method: str = "kmeans", code: int = 0, settings: Any = None, **values: Any) -> Outcome:
    """Run into the folder "out", where a run that fails leaves nothing."""
    folder = folder / "out"
    folder.mkdir(exist_ok=True)
    before = set(folder.iterdir())
    given = {"output": str(folder / "map.tif"), **(FEW if method == "kmeans" else {}), **values}
    outcome = run_method(method, settings=settings, **given)
    assert outcome.code == code, outcome.said.lines
    if code:
        assert set(folder.iterdir()) == before
        assert outcome.error.endswith(".")
    return outcome


def everything(folder: Path) -> dict[str, str]:
    """Paths of all outputs of K-means classification."""
    out = folder / "out"
    return {
        "output": str(out / "map.tif"), "model": str(out / "model.json"), "report": str(out / "report.html"),
        "certainty": str(out / "certainty.tif"),
    }


def test_all_that_a_classification_leaves(tmp_path: Path, scene: str) -> None:
    paths = everything(tmp_path)
    (result,) = classify(tmp_path, image=[scene], **paths).said.of("result")
    assert {name: result[name] for name in paths} == paths
    assert (result["number_of_classes"], result["date"]) == (4, "2021-05-27")
    assert 0.5 < result["silhouette"] < 1
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "map.tif", "map.qml", "map.tif.aux.xml", "model.json", "report.html", "certainty.tif", "certainty.qml",
    }
    model = load(paths["model"])
    image = read_raster(scene)
    with rasterio.open(paths["output"]) as made:
        labels = made.read(1)
        assert (made.dtypes, made.nodata, made.descriptions) == (("uint8",), 0, ("Class",))
        assert {each.id: made.colormap(1)[each.id][:3] for each in model.classes} == model.colours
        assert made.tags()["STF_METHOD"] == "classify kmeans"
    np.testing.assert_array_equal(labels == 0, image[0] == 0)
    scaled = (image.transpose(1, 2, 0)[:, :, None] - model.centres) / model.scaling.scale
    distances = np.sort(np.sqrt((scaled**2).sum(axis=-1)), axis=-1)
    nearest = (scaled**2).sum(axis=-1).argmin(axis=-1) + 1
    np.testing.assert_array_equal(labels, np.where(image[0] == 0, 0, nearest))
    assert result["inertia"] == pytest.approx((distances[..., 0][labels > 0] ** 2).sum(), rel=1e-9)
    with rasterio.open(paths["certainty"]) as made:
        assert made.descriptions == ("Certainty", "Distance")
        certainty, distance = made.read()
    np.testing.assert_array_equal(np.isnan(certainty), labels == 0)
    there = labels > 0
    np.testing.assert_allclose(distance[there], distances[..., 0][there], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(certainty[there], 1 - (distances[..., 0] / distances[..., 1])[there], atol=1e-4)
    rows = ElementTree.parse(f"{paths['output']}.aux.xml").findall(".//Row")
    counts = [float(row.findall("F")[1].text or "") for row in rows]
    assert counts == [each.count for each in model.classes] == np.bincount(labels.ravel())[1:].tolist()
    assert 'type="paletted"' in (tmp_path / "out" / "map.qml").read_text(encoding="utf-8")
    assert 'label="Class 4"' in (tmp_path / "out" / "map.qml").read_text(encoding="utf-8")


def test_the_report_stands_alone_and_has_the_classes(tmp_path: Path, scene: str) -> None:
    paths = everything(tmp_path)
    classify(tmp_path, image=[scene], **paths)
    page = Path(paths["report"]).read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 2
    assert "http" not in page
    assert "4,000 of 4,200 pixels" in page
    for each in load(paths["model"]).classes:
        assert each.mean is not None
        assert f"rgb{each.colour}" in page
        assert f"<td>{each.count:,}</td><td>{each.share:.2%}</td><td>{each.count * 0.09:,.6g}</td>" in page
        assert "".join(f"<td>{mean:.5g}</td>" for mean in each.mean) in page
    assert "standardisation = z-score" in page


@pytest.mark.parametrize("standardisation", ["none", "z-score", "min-max", "robust"])
def test_the_model_gives_the_same_image_the_same_map(tmp_path: Path, scene: str, standardisation: str) -> None:
    paths = everything(tmp_path)
    (fitted,) = classify(tmp_path, image=[scene], standardisation=standardisation, **paths).said.of("result")
    again = str(tmp_path / "out" / "again.tif")
    (applied,) = classify(
        tmp_path, "apply_kmeans", image=[scene], model=paths["model"], output=again
    ).said.of("result")
    np.testing.assert_array_equal(read_raster(again), read_raster(paths["output"]))
    assert applied["inertia"] == fitted["inertia"]
    assert applied["number_of_classes"] == 4
    for ending in (".tif.aux.xml", ".qml"):
        one, other = (Path(path).with_suffix("").with_suffix(ending).read_text() for path in (again, paths["output"]))
        assert one == other


def test_another_image_gets_the_same_classes_with_counts_of_its_own(tmp_path: Path, scene: str) -> None:
    paths = everything(tmp_path)
    classify(tmp_path, image=[scene], **paths)
    values = np.where(read_raster(scene) == 0, np.nan, read_raster(scene)).astype(np.float32)
    values[:, 30:] = np.nan
    other = write_raster(tmp_path / "other.tif", values)
    report, output = str(tmp_path / "out" / "applied.html"), str(tmp_path / "out" / "other.tif")
    outcome = classify(tmp_path, "apply_kmeans", image=[other], model=paths["model"], output=output, report=report)
    expected = read_raster(paths["output"]).copy()
    expected[:, 30:] = 0
    np.testing.assert_array_equal(read_raster(output), expected)
    (warning,) = outcome.said.of("warning")
    assert "are named otherwise than those of the model (blue, green, red); they are taken in this order" in warning
    page = Path(report).read_text(encoding="utf-8")
    assert f"{(expected > 0).sum():,} of 4,200 pixels" in page
    assert "named otherwise" in page


def test_the_same_seed_gives_the_same_whatever_threads_and_memory(tmp_path: Path) -> None:
    values = blobs(2, 6, 4, (700, 600), spread=900)
    path = write_raster(tmp_path / "large.tif", values, tiled=True, blockxsize=256, blockysize=256)
    found = []
    for settings in ({"threads": 1}, {"threads": 5, "memory_mb": 500}, {"threads": 2, "seed": 7}):
        paths = everything(tmp_path)
        classify(tmp_path, image=[path], sample=5000, settings=settings, **paths)
        found.append((Path(paths["model"]).read_text(), read_raster(paths["output"]), read_raster(paths["certainty"])))
    assert found[0][0] == found[1][0]
    np.testing.assert_array_equal(found[0][1], found[1][1])
    np.testing.assert_array_equal(found[0][2], found[1][2])
    assert found[2][0] != found[0][0]


def test_the_number_of_classes_is_chosen_and_shown(tmp_path: Path, scene: str) -> None:
    paths = everything(tmp_path)
    for choice in ("silhouette", "elbow"):
        outcome = classify(tmp_path, image=[scene], classes=2, most_classes=7, choice=choice, **paths)
        (result,) = outcome.said.of("result")
        assert result["number_of_classes"] == 4
        assert not outcome.said.of("warning")
        tried = [message for message in outcome.said.of("log") if "classes: sum of squares" in message]
        assert [re.match(r"\d+", message)[0] for message in tried] == ["2", "3", "4", "5", "6", "7"]  # type: ignore[index]
        assert [message.endswith("(taken).") for message in tried] == [False, False, True, False, False, False]
        assert all("silhouette 0." in message for message in tried)
        page = Path(paths["report"]).read_text(encoding="utf-8")
        assert page.count("data:image/png;base64,") == 3
        assert f"4 of 2 to 7 classes were taken, by {choice}." in page
    model = load(paths["model"])
    assert [trial.classes for trial in model.trials] == [2, 3, 4, 5, 6, 7]
    assert result["silhouette"] == model.trials[2].silhouette


def test_a_choice_that_may_not_be_the_best_is_warned_of(tmp_path: Path, scene: str) -> None:
    outcome = classify(tmp_path, image=[scene], classes=4, most_classes=7)
    assert outcome.said.of("warning") == [
        "The best of the numbers tried is at the end of the range, 4; one beyond it may be better."
    ]
    outcome = classify(tmp_path, image=[scene], classes=4, most_classes=5, choice="elbow")
    assert "An elbow needs at least three numbers" in outcome.said.of("warning")[0]


def test_bands_of_several_layers_in_any_order(tmp_path: Path) -> None:
    """The result is that of one file with these bands, whatever the files, their types and grids."""
    values = blobs(3, 4, 5, (60, 64))
    values[3:] = np.kron(values[3:, ::4, ::4], np.ones((4, 4), np.uint16))
    front = write_raster(tmp_path / "front.tif", values[:3], descriptions=NAMES)
    back = write_raster(tmp_path / "back.tif", values[3:, ::4, ::4].astype(np.float32), FINE @ Affine.scale(4))
    whole = write_raster(tmp_path / "whole.tif", values[[4, 0, 2, 3]])
    classify(tmp_path, image=[whole])
    expected = read_raster(tmp_path / "out" / "map.tif")
    model = str(tmp_path / "out" / "model.json")
    outcome = classify(tmp_path, image=[front, back], image_bands=[5, 1, 3, 4], resampling="nearest", model=model)
    np.testing.assert_array_equal(read_raster(tmp_path / "out" / "map.tif"), expected)
    assert outcome.said.of("log")[0] == (
        "Layer 'back.tif' is resampled by nearest neighbour to the grid of Layer 'front.tif' (their pixels: 16 x 15 "
        "and 64 x 60)."
    )
    assert load(model).bands == ("Band 5", "blue", "red", "Band 4")
    assert not outcome.said.of("warning")


def test_a_layer_in_another_coordinate_system_is_aligned_with_a_note(tmp_path: Path, scene: str) -> None:
    degrees = Affine(0.0003, 0, 14.99, 0, -0.0003, 46.97)
    other = write_raster(tmp_path / "degrees.tif", blobs(3, 4, 1, (120, 120)), degrees, "EPSG:4326")
    report = str(tmp_path / "out" / "report.html")
    outcome = classify(tmp_path, image=[scene, other], report=report)
    note = "Layer 'degrees.tif' is resampled by bilinear from EPSG:4326 to EPSG:32633 to the grid of Layer 'S2_2021"
    assert outcome.said.of("log")[0].startswith(note)
    assert "is resampled by bilinear from EPSG:4326" in Path(report).read_text(encoding="utf-8")
    labels = read_raster(tmp_path / "out" / "map.tif")
    assert 0 < (labels > 0).mean() < 1


def test_names_that_come_again_are_told_apart(tmp_path: Path, scene: str) -> None:
    model = str(tmp_path / "model.json")
    classify(tmp_path, image=[scene, scene], model=model)
    assert load(model).bands == (*NAMES, *(f"{name} (2)" for name in NAMES))


def test_masked_pixels_are_left_out(tmp_path: Path, scene: str) -> None:
    mask = np.zeros((60, 70), np.uint8)
    mask[40:, 30:] = 1
    classify(tmp_path, image=[scene, scene], image_mask=write_raster(tmp_path / "mask.tif", mask))
    labels = read_raster(tmp_path / "out" / "map.tif")[0]
    np.testing.assert_array_equal(labels == 0, (mask == 1) | (read_raster(scene)[0] == 0))


def test_natural_colours_are_those_of_the_named_bands(tmp_path: Path, scene: str) -> None:
    model = str(tmp_path / "out" / "model.json")
    classify(tmp_path, image=[scene], natural_bands="3, 2, 1", image_bands=[3, 1, 2], model=model)
    found = load(model)
    seen = found.centres[:, [0, 2, 1]]
    share = np.sqrt((seen - seen.min()) / (seen.max() - seen.min()))
    assert list(found.colours.values()) == [tuple(row) for row in np.rint(255 * share).astype(int).tolist()]
    for wrong in ("3,2", "3,2,9", "red", "3;2;1", "3,2,1,1"):
        outcome = classify(tmp_path, code=2, image=[scene], natural_bands=wrong)
        assert f"'Bands for natural colours' is '{wrong}'; give the numbers" in outcome.error


def test_constant_bands_and_fillers_are_warned_of(tmp_path: Path) -> None:
    values = blobs(4, 3, 3, (50, 50))
    values[1] = 77
    outcome = classify(tmp_path, image=[write_raster(tmp_path / "a.tif", values)], classes=3)
    assert outcome.said.of("warning") == ["The same value is everywhere in Band 2, which tells no classes apart."]
    values[:, :20] = 0
    outcome = classify(tmp_path, image=[write_raster(tmp_path / "b.tif", values)], classes=3)
    assert outcome.said.of("warning") == [
        "40.0% of the valid pixels of Layer 'b.tif' hold the value 0 in all bands; set the nodata value if this is a "
        "filler."
    ]


def test_one_class_alone(tmp_path: Path, scene: str) -> None:
    paths = everything(tmp_path)
    (result,) = classify(tmp_path, image=[scene], **{**paths, "classes": 1}).said.of("result")
    assert "silhouette" not in result
    assert set(np.unique(read_raster(paths["output"]))) == {0, 1}


def test_only_what_is_asked_for_is_written(tmp_path: Path, scene: str) -> None:
    (result,) = classify(tmp_path, image=[scene]).said.of("result")
    assert set(result) == {"output", "number_of_classes", "inertia", "silhouette", "date"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"map.tif", "map.qml", "map.tif.aux.xml"}


@pytest.mark.parametrize(
    ("values", "options", "sentence"),
    [
        (np.ones((2, 9, 9), np.uint8), {}, "Layer 'bad.tif' has 1 different pixels (of 81 sampled) and 4 classes"),
        (np.zeros((2, 9, 9), np.uint8), {}, "Layer 'bad.tif' has no valid pixel; check its nodata value"),
        (np.full((2, 9, 9), np.nan, np.float32), {}, "Layer 'bad.tif' has no valid pixel"),
        (np.ones((2, 9, 9), np.complex64), {}, "holds values of type complex64"),
        (blobs(1, 4, 2, (9, 9)), {"most_classes": 3}, "4 to 3 classes are asked for; the numbers have to be between"),
        (blobs(1, 4, 2, (9, 9)), {"classes": 1, "most_classes": 3}, "One class has no silhouette"),
        (blobs(1, 4, 2, (9, 9)), {"image_bands": [1, 3]}, "Band 3 is asked for, and the layers have 2 in all"),
    ],
)
def test_images_that_cannot_be_classified(
    tmp_path: Path, values: np.ndarray, options: dict[str, Any], sentence: str
) -> None:
    bad = write_raster(tmp_path / "bad.tif", values, nodata=0)
    assert sentence in classify(tmp_path, code=2, image=[bad], **options).error


def test_layers_that_do_not_go_together(tmp_path: Path, scene: str) -> None:
    far = write_raster(tmp_path / "far.tif", blobs(1, 4, 1, (60, 70)), FINE @ Affine.translation(900, 0))
    assert "do not overlap" in classify(tmp_path, code=2, image=[scene, far]).error
    without = write_raster(tmp_path / "without.tif", blobs(1, 4, 1, (60, 71)), crs=None)
    assert "has no coordinate system" in classify(tmp_path, code=2, image=[scene, without]).error


def test_models_that_cannot_be_applied(tmp_path: Path, scene: str) -> None:
    paths = everything(tmp_path)
    classify(tmp_path, image=[scene], **paths)
    damaged = json.loads(Path(paths["model"]).read_text(encoding="utf-8"))
    damaged["classes"][1]["centre"] = [1, 2]
    (tmp_path / "damaged.json").write_text(json.dumps(damaged))
    (tmp_path / "no.json").write_text("no")
    empty = write_raster(tmp_path / "empty.tif", np.zeros((3, 9, 9), np.uint8), nodata=0, descriptions=NAMES)
    one = write_raster(tmp_path / "one.tif", np.ones((9, 9), np.uint8))
    for image, model, sentence in (
        (scene, tmp_path / "damaged.json", "'damaged.json' (classes, 2) is damaged: its 'centre' is [1, 2]"),
        (scene, tmp_path / "no.json", "'no.json' is not valid JSON"),
        (scene, tmp_path / "gone.json", "gone.json' cannot be read"),
        (one, paths["model"], "Layer 'one.tif' has 1 bands and the model has 3 (blue, green, red)"),
        (empty, paths["model"], "Layer 'empty.tif' has no valid pixel"),
    ):
        output = str(tmp_path / "out" / "applied.tif")
        outcome = classify(tmp_path, "apply_kmeans", code=2, image=[image], model=str(model), output=output)
        assert sentence in outcome.error


def test_outputs_that_cannot_be_written_are_refused_before_the_work(tmp_path: Path, scene: str) -> None:
    for values, sentence in (
        ({"model": str(tmp_path / "gone" / "m.json")}, "gone' of the output does not exist"),
        ({"certainty": str(tmp_path / "out" / "map.tif")}, "Two outputs are the file"),
        ({"output": scene}, "is also the input"),
        ({"model": scene}, "is also the input"),
    ):
        outcome = classify(tmp_path, code=2, image=[scene], **values)
        assert sentence in outcome.error
        assert not outcome.said.of("log")


def test_a_sample_that_the_memory_does_not_hold(tmp_path: Path) -> None:
    image = write_raster(tmp_path / "wide.tif", np.ones((40, 300, 300), np.uint8))
    outcome = classify(tmp_path, code=4, image=[image], sample=90_000, settings={"memory_mb": 400})
    assert "A sample of 90000 pixels of 40 bands needs 137 MB and 48 MB are left" in outcome.error


def test_nothing_stays_behind_when_the_last_file_fails(
    tmp_path: Path, scene: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(_products.Output):
        def finish(self, threads: int, style: str | None = None, table: str | None = None) -> None:
            raise UserError("The disk is full.")

    monkeypatch.setattr(_products, "Output", Broken)
    paths = everything(tmp_path)
    del paths["certainty"]
    assert classify(tmp_path, code=2, image=[scene], **paths).error == "The disk is full."


def test_nothing_stays_behind_when_the_run_is_stopped(tmp_path: Path, scene: str) -> None:
    stop = Stop()
    stop.request()
    (tmp_path / "out").mkdir()
    outcome = run_method("kmeans", stop=stop, image=[scene], **everything(tmp_path), **FEW)
    stop.finished()
    assert outcome.code == 130
    assert not list((tmp_path / "out").iterdir())


def test_many_bands_are_read_in_lower_parts(tmp_path: Path) -> None:
    parts = {}
    for bands in (3, 16, 64):
        path = write_raster(tmp_path / f"{bands}.tif", np.ones((bands, 600, 600), np.uint8))
        parts[bands] = image_of(path).part
    assert parts[3] == parts[16] == (436, 600)
    assert parts[64] == (109, 600)


@pytest.mark.parametrize(("classes", "least"), [(4, 0.94), (8, 0.96)])
def test_the_real_scene_with_its_polygons(tmp_path: Path, classes: int, least: float) -> None:
    """Every cluster becomes the class that most of its pixels in the polygons have."""
    folder = real_scene("class_aberystwyth_s2")
    output = str(tmp_path / "map.tif")
    classify(tmp_path, image=[str(folder / "S2_20210527.tif")], classes=classes, restarts=5, output=output)
    outcome = run_method(
        "assess_classification", class_map=output, samples=str(folder / "reference_polygons.gpkg"),
        matching="majority", output=str(tmp_path / "report"),
    )
    assert outcome.code == 0, outcome.said.lines
    (result,) = outcome.said.of("result")
    assert result["overall_accuracy"] >= least
