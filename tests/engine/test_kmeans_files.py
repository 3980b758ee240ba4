"""What a K-means classification leaves behind: the raster of classes, its table, and the model file."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox

from makers import write_class_table, write_raster
from stfusion.classification._fit import MOST_CLASSES
from stfusion.classification._image import Image
from stfusion.classification._model import Model, load
from stfusion.classification._paletted import natural_colours, pixel_area, qualitative_colours
from stfusion.classification._predict import Spectra, classify
from stfusion.errors import UserError
from stfusion.job import Input
from stfusion.raster.grids import Box
from stfusion.raster.output import Content, Output
from stfusion.raster.source import Source
from stfusion.run import Stop
from test_kmeans import blobs, context, image_of, predict, run


def model_of(image: Image, classes: int = 3, **order: Any) -> Model:
    result = run(image, classes, **order)
    colours = qualitative_colours(classes)
    return Model.of(image, result.sample, result.fit, 0, colours).counted(result.spectra)


@pytest.fixture
def image(tmp_path: Path) -> Image:
    names = ("blue", "red", "näher")
    return image_of(write_raster(tmp_path / "a.tif", blobs(1, 3, 3, (40, 50)), nodata=0, descriptions=names))


@pytest.fixture
def model(image: Image) -> Model:
    return model_of(image, standardisation="z-score")


def test_a_model_is_read_as_it_was_written(tmp_path: Path, model: Model) -> None:
    path = tmp_path / "model.json"
    path.write_text(model.to_json(), encoding="utf-8")
    again = load(path)
    assert again.to_json() == model.to_json()
    assert (again.bands, again.classes, again.trials) == (model.bands, model.classes, model.trials)
    np.testing.assert_array_equal(again.centres, model.centres)
    np.testing.assert_array_equal(again.scaling.scale, model.scaling.scale)
    plain = json.loads(path.read_text(encoding="utf-8"))
    assert plain["bands"] == ["blue", "red", "näher"]
    assert [each["id"] for each in plain["classes"]] == [1, 2, 3]
    assert sum(each["count"] for each in plain["classes"]) == 40 * 50
    assert sum(each["share"] for each in plain["classes"]) == pytest.approx(1)
    brightness = [sum(each["centre"]) for each in plain["classes"]]
    assert brightness == sorted(brightness)


def test_a_model_gives_another_image_the_same_classes(tmp_path: Path, image: Image, model: Model) -> None:
    """Frozen centres: the same image stored otherwise has the same map, and its counts are its own."""
    (tmp_path / "model.json").write_text(model.to_json(), encoding="utf-8")
    again = load(tmp_path / "model.json")
    values = blobs(1, 3, 3, (40, 50)).astype(np.float32)
    values[:, :10] = np.nan
    other = image_of(write_raster(tmp_path / "b.tif", values))
    labels, _, spectra = predict(other, again.centres, again.scaling.scale)
    expected, _, _ = predict(image, model.centres, model.scaling.scale)
    np.testing.assert_array_equal(labels[10:], expected[10:])
    assert (labels[:10] == 0).all()
    assert [each.count for each in again.counted(spectra).classes] == np.bincount(labels.ravel())[1:].tolist()
    assert "named otherwise than those of the model (blue, red, näher)" in (again.check(other) or "")
    assert again.check(image) is None
    one = image_of(write_raster(tmp_path / "c.tif", values[0]))
    with pytest.raises(UserError, match=r"Image 'c.tif' has 1 bands and the model has 3 \(blue, red, näher\)"):
        again.check(one)


def test_the_fingerprint_is_that_of_the_image(tmp_path: Path, model: Model) -> None:
    names = ("blue", "red", "näher")
    values = blobs(1, 3, 3, (40, 50))
    same = image_of(write_raster(tmp_path / "same.tif", values, tiled=True, nodata=0, descriptions=names))
    assert model_of(same, standardisation="z-score").fingerprint == model.fingerprint
    values[0, 0, 0] += 1
    other = image_of(write_raster(tmp_path / "other.tif", values, nodata=0, descriptions=names))
    assert model_of(other, standardisation="z-score").fingerprint != model.fingerprint


def test_a_class_without_pixels(tmp_path: Path, model: Model) -> None:
    empty = Spectra(np.array([5, 0, 1]), np.full((3, 3), np.nan), np.full((3, 3), np.nan), 0.0)
    counted = model.counted(empty)
    assert counted.classes[1].mean is None
    path = write_class_table(tmp_path / "a.tif", [counted.classes[1]], model.bands)
    assert [f.text for f in ElementTree.parse(path).iterfind(".//Row/F")][-3:] == [None] * 3
    finite = Spectra(np.array([5, 0, 1]), np.ones((3, 3)), np.ones((3, 3)), 0.0)
    (tmp_path / "model.json").write_text(model.counted(finite).to_json(), encoding="utf-8")
    assert load(tmp_path / "model.json").classes[1].std is None


def change(*path: str | int, to: Any = None) -> Callable[[dict[str, Any]], None]:
    """Set an entry of the plain model, or take it away with ``to=...``."""

    def apply(plain: Any) -> None:
        for step in path[:-1]:
            plain = plain[step]
        if to is ...:
            del plain[path[-1]]
        else:
            plain[path[-1]] = to

    return apply


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (change("kind", to="other"), "'m.json' is not a K-means model"),
        (change("version", to=2), "has version 2 and this engine reads version 1; fit the model again"),
        (change("seed", to=...), "its 'seed' is missing and has to be a whole number"),
        (change("colour", to=1), "has the unknown entry 'colour'"),
        (change("bands", to=[]), "'bands' is [] and has to be a list of names"),
        (change("scaling", to=3), "its 'scaling' is 3 and has to be an object"),
        (change("scaling", "kind", to="log"), "(scaling) is damaged: its 'kind' is \"log\""),
        (change("scaling", "scale", to=[1, 0, 1]), "has to be 3 numbers above 0"),
        (change("scaling", "offset", to=[1, 2]), "'offset' is [1, 2] and has to be 3 numbers"),
        (change("classes", to=[]), f"a list of 1 to {MOST_CLASSES} classes"),
        (change("classes", to={}), "a list of objects"),
        (change("classes", 1, "id", to=7), "(classes, 2) is damaged: its 'id' is 7 and has to be 2"),
        (change("classes", 0, "centre", to=[1, "2", 3]), "'centre' is [1, \"2\", 3] and has to be 3 numbers"),
        (change("classes", 0, "centre", to=[1, 2, float("nan")]), "has to be 3 numbers"),
        (change("classes", 0, "count", to=-1), "'count' is -1"),
        (change("classes", 0, "count", to=True), "'count' is true"),
        (change("classes", 0, "mean", to=None), "'mean' is null and has to be 3 numbers"),
        (change("classes", 0, "colour", to="red"), "'colour' is \"red\" and has to be a colour such as #1f77b4"),
        (change("classes", 2, "label", to=...), "'label' is missing"),
        (change("trials", 0, "silhouette", to="high"), "'silhouette' is \"high\""),
        (change("inertia", to=-1.0), "'inertia' is -1.0"),
    ],
)
def test_damaged_models(tmp_path: Path, model: Model, damage: Callable[[Any], None], sentence: str) -> None:
    plain = json.loads(model.to_json())
    damage(plain)
    path = tmp_path / "m.json"
    path.write_text(json.dumps(plain))
    with pytest.raises(UserError) as refused:
        load(path)
    assert sentence in str(refused.value)
    assert str(refused.value).endswith((".",))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [(None, "cannot be read (No such file"), ("{", "is not valid JSON"), ("[]", "is not a K-means model")],
)
def test_files_that_are_no_model(tmp_path: Path, text: str | None, sentence: str) -> None:
    path = tmp_path / "m.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError) as refused:
        load(path)
    assert sentence in str(refused.value)


def test_a_pickle_is_refused_unread(tmp_path: Path) -> None:
    (tmp_path / "m.json").write_bytes(b"\x80\x04\x95\xff\xfecos\nsystem\n")
    with pytest.raises(UserError, match="is not valid JSON"):
        load(tmp_path / "m.json")


def test_raster_of_classes_with_its_table(tmp_path: Path, image: Image, model: Model) -> None:
    path = tmp_path / "classes.tif"
    like = Source("Image", Input(str(tmp_path / "a.tif")))
    content = Content.of_classes("Class", model.colours)
    with Output(str(path), like, {"STF_METHOD": "classify kmeans"}, Stop(), content) as output:
        classify(
            context(), image, model.centres, model.scaling.scale,
            lambda box, part: output.write_stored(box, part.labels[None]), (0, 100),
        )
        output.finish(1)
    write_class_table(path, model.classes, model.bands, pixel_area(image.grid))
    expected, _, _ = predict(image, model.centres, model.scaling.scale)
    with rasterio.open(path) as made:
        np.testing.assert_array_equal(made.read(1), expected)
        assert (made.dtypes, made.nodata, made.descriptions) == (("uint8",), 0, ("Class",))
        assert (made.transform, made.crs) == (like.grid.affine, like.grid.crs)
        assert {number: made.colormap(1)[number][:3] for number in (1, 2, 3)} == model.colours
    root = ElementTree.parse(tmp_path / "classes.tif.aux.xml")
    assert [each.text for each in root.iterfind(".//Category")] == ["No data", "Class 1", "Class 2", "Class 3"]
    fields = [(f.findtext("Name"), f.findtext("Type"), f.findtext("Usage")) for f in root.iterfind(".//FieldDefn")]
    assert fields == [
        ("VALUE", "0", "5"), ("COUNT", "1", "1"), ("CLASS", "2", "2"),
        ("RED", "0", "6"), ("GREEN", "0", "7"), ("BLUE", "0", "8"), ("AREA", "1", "0"),
        ("MEAN blue", "1", "0"), ("MEAN red", "1", "0"), ("MEAN näher", "1", "0"),
    ]
    for number, row in enumerate(root.iterfind(".//Row"), 1):
        cells = [cell.text or "" for cell in row.iterfind("F")]
        count = int((expected == number).sum())
        assert cells[:3] == [str(number), str(count), f"Class {number}"]
        assert tuple(map(int, cells[3:6])) == model.colours[number]
        assert float(cells[6]) == count * 900
        own = blobs(1, 3, 3, (40, 50))[:, expected == number]
        np.testing.assert_allclose([float(cell) for cell in cells[7:]], own.mean(axis=1), rtol=1e-12)


def test_overviews_have_classes_that_are_there(tmp_path: Path) -> None:
    """The mean of the classes 1 and 3 is not class 2."""
    labels = np.full((1, 1100, 1100), 1, np.uint8)
    labels[:, ::2] = 3
    like = Source("Image", Input(write_raster(tmp_path / "a.tif", labels)))
    content = Content.of_classes("Class", {1: (1, 2, 3), 3: (4, 5, 6)})
    with Output(str(tmp_path / "b.tif"), like, {}, Stop(), content) as output:
        output.write_stored(Box(0, 1100, 0, 1100), labels)
        output.finish(1)
    with rasterio.open(tmp_path / "b.tif", overview_level=0) as overview:
        assert overview.shape == (550, 550)
        assert set(np.unique(overview.read(1))) <= {1, 3}


def test_natural_colours() -> None:
    centres = np.array([[0.0, 0.25, 0.0, 0.9], [0.0, 0.75, 1.0, 0.9]])
    assert natural_colours(centres, (2, 1, 0)) == [(0, 128, 0), (255, 221, 0)]
    assert natural_colours(np.ones((2, 3)), (0, 1, 2)) == [(128, 128, 128)] * 2


@given(st.integers(1, MOST_CLASSES))
def test_qualitative_colours_differ(count: int) -> None:
    colours = qualitative_colours(count)
    assert len(set(colours)) == count
    assert all(0 <= value <= 255 for colour in colours for value in colour)
    assert colours == qualitative_colours(MOST_CLASSES)[:count]


def test_area_of_a_pixel() -> None:
    affine = Affine(30, 0, 500_000, 0, -20, 5_200_000)
    assert pixel_area(GeoBox((9, 9), affine, "EPSG:32633")) == pytest.approx(600)
    # US survey feet.
    assert pixel_area(GeoBox((9, 9), affine, "EPSG:2263")) == pytest.approx(600 * (1200 / 3937) ** 2)
    assert pixel_area(GeoBox((9, 9), affine, "EPSG:4326")) is None
    assert pixel_area(GeoBox((9, 9), affine, None)) is None


def test_only_the_fit_imports_scikit_learn() -> None:
    """It takes longer than applying a model; and what it can do without is still there for others."""
    script = (
        "import sys; import stfusion.classification._paletted, stfusion.fusion._starfm\n"
        "assert 'sklearn' not in sys.modules\n"
        "import numpy as np; from stfusion.run import Stop; from stfusion.classification._fit import Order, fit\n"
        "fit(np.arange(20.0)[:, None], Order(2, 2), 'The image', Stop())\n"
        "assert 'sklearn' in sys.modules and 'pandas' not in sys.modules and 'scipy.stats' not in sys.modules\n"
        "from sklearn.metrics import roc_auc_score\n"
        "assert roc_auc_score([0, 0, 1, 1], [1, 2, 2, 3]) == 0.875\n"
        "from sklearn.preprocessing import QuantileTransformer\n"
        "QuantileTransformer(n_quantiles=5, output_distribution='normal').fit_transform(np.arange(9.0)[:, None])\n"
        "import scipy.stats\n"
        "assert scipy.stats.rankdata([3, 1]).tolist() == [2, 1]\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
