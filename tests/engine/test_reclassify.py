"""Reclassify, whole: the table as text and as a file, what it lacks, the type, the names and the colours of the map."""

import json

import numpy as np
import pytest
import rasterio
from affine import Affine

from makers import FINE, read_raster, run_method, write_class_table, write_raster
from stfusion.classification._legend import Legend, read_legend
from stfusion.job import Input
from stfusion.raster.source import Source
from test_match_classes import COLOURS, NAMES, match, named, raster_of

SIDE = 700


def reclassify(folder, code=0, settings=None, name="new.tif", **values):
    """The path of the new map and what the run said."""
    output = folder / name
    outcome = run_method("reclassify", settings=settings, output=str(output), **values)
    assert outcome.code == code, outcome.said.lines
    if code:
        assert not list(folder.glob(f"{name}*"))
        return outcome.error
    return output, outcome.said


def legend_of(path):
    return read_legend(Source("Map", Input(str(path))))


@pytest.fixture
def class_map(tmp_path):
    """Classes 1, 2, 3 with names and colours, and 0 for no data, over several tiles."""
    path = tmp_path / "map.tif"
    classes = np.random.default_rng(1).integers(0, 4, (SIDE, SIDE)).astype(np.uint8)
    raster_of(path, classes, nodata=0, tiled=True)
    named(path, (1, 2, 3))
    return str(path)


def renamed(path, names):
    """The map by hand."""
    values = read_raster(path)[0]
    return np.vectorize(lambda label: names.get(label, label))(values)


@pytest.mark.parametrize(
    ("table", "names"),
    [("1=3, 2=1", {1: 3, 2: 1}), ("1=2,2=1", {1: 2, 2: 1}), ("2=1", {2: 1}), ("1=9,2=9,3=9", {1: 9, 2: 9, 3: 9})],
)
def test_all_numbers_change_at_once(tmp_path, class_map, table, names):
    path, _ = reclassify(tmp_path, class_map=class_map, table=table)
    np.testing.assert_array_equal(read_raster(path)[0], renamed(class_map, names))
    with rasterio.open(path) as dataset:
        assert (dataset.dtypes[0], dataset.nodata, dataset.crs.to_epsg(), dataset.transform) == (
            "uint8", 0, 32633, FINE
        )


def test_what_the_table_lacks_becomes_no_data_when_asked(tmp_path, class_map):
    path, said = reclassify(tmp_path, class_map=class_map, table="1=3, 8=1", others="nodata")
    np.testing.assert_array_equal(read_raster(path)[0], renamed(class_map, {1: 3, 2: 0, 3: 0}))
    assert said.of("log") == [
        "Class map 'map.tif' has no pixel of class 8, which the table names.",
        "The table lacks class 2 (water), 3 (bog) of Class map 'map.tif'; its pixels become no data.",
    ]
    _, said = reclassify(tmp_path, name="b.tif", class_map=class_map, table="1=3")
    assert said.of("log") == [
        "The table lacks class 2 (water), 3 (bog) of Class map 'map.tif'; its pixels stay as they are."
    ]


def test_names_and_colours_go_with_the_classes(tmp_path, class_map):
    merged, _ = reclassify(tmp_path, class_map=class_map, table="3=1")
    legend = legend_of(merged)
    assert legend.names == {1: "wood", 2: "water"}
    assert {label: legend.colours[label] for label in (1, 2)} == {1: COLOURS[1], 2: COLOURS[2]}
    moved, _ = reclassify(tmp_path, name="b.tif", class_map=class_map, table="1=2, 2=7")
    assert legend_of(moved).names == {2: "wood", 3: "bog", 7: "water"}
    assert [legend_of(moved).colours[label] for label in (2, 3, 7)] == [COLOURS[1], COLOURS[3], COLOURS[2]]


@pytest.mark.parametrize("settings", [{"threads": 1}, {"threads": 5, "memory_mb": 450}])
def test_neither_tiles_nor_threads_make_a_difference(tmp_path, class_map, settings):
    striped = raster_of(tmp_path / "striped.tif", read_raster(class_map)[0], nodata=0)
    path, _ = reclassify(tmp_path, settings=settings, class_map=striped, table="1=200, 2=3, 3=2")
    np.testing.assert_array_equal(read_raster(path)[0], renamed(class_map, {1: 200, 2: 3, 3: 2}))


@pytest.mark.parametrize(
    ("table", "dtype", "nodata"),
    [("1=300", "int16", 0), ("1=-4", "int16", 0), ("1=40000", "int32", 0), ("1=0", "uint8", 255),
     ("1=0, 2=255", "int16", -32768)],
)
def test_the_new_numbers_choose_the_type(tmp_path, class_map, table, dtype, nodata):
    path, _ = reclassify(tmp_path, class_map=class_map, table=table)
    names = {int(pair.split("=")[0]): int(pair.split("=")[1]) for pair in table.split(",")}
    np.testing.assert_array_equal(read_raster(path)[0], renamed(class_map, {0: nodata, **names}))
    with rasterio.open(path) as dataset:
        assert (dataset.dtypes[0], dataset.nodata) == (dtype, nodata)
    assert legend_of(path).names == {names[1]: "wood", names.get(2, 2): "water", 3: "bog"}
    again, _ = reclassify(tmp_path, name="again.tif", class_map=str(path), table=f"{names[1]}=1")
    assert legend_of(again).names[1] == "wood"
    assert legend_of(again).colours[1] == COLOURS[1]


def test_a_nodata_value_of_its_own_stays(tmp_path):
    path = raster_of(tmp_path / "map.tif", [[1, 2, 99]], nodata=99)
    new, _ = reclassify(tmp_path, class_map=path, table="1=4")
    with rasterio.open(new) as dataset:
        assert dataset.nodata == 99
        np.testing.assert_array_equal(dataset.read(1), [[4, 2, 99]])
    taken, _ = reclassify(tmp_path, name="b.tif", class_map=path, table="1=99")
    with rasterio.open(taken) as dataset:
        assert dataset.nodata == 0
        np.testing.assert_array_equal(dataset.read(1), [[99, 2, 0]])


def test_whole_numbers_in_a_raster_of_floats_are_classes(tmp_path):
    path = raster_of(tmp_path / "map.tif", [[1, 2, np.nan]], dtype=np.float32)
    new, _ = reclassify(tmp_path, class_map=path, table="1=4")
    np.testing.assert_array_equal(read_raster(new)[0], [[4, 2, 0]])


def test_the_table_of_a_match_gives_the_map_of_the_match(tmp_path, class_map):
    clusters = np.array([0, 12, 10, 11], np.uint8)[read_raster(class_map)[0]]
    path = raster_of(tmp_path / "clusters.tif", clusters, nodata=0)
    found = match(tmp_path, class_map=path, reference=class_map)
    new, _ = reclassify(tmp_path, class_map=path, match=f"{found['path']}.json")
    np.testing.assert_array_equal(read_raster(new)[0], read_raster(class_map)[0])
    assert legend_of(new).names == NAMES
    assert {label: legend_of(new).colours[label] for label in NAMES} == COLOURS
    assert (tmp_path / "new.tif.aux.xml").read_text() == (tmp_path / "matched.tif.aux.xml").read_text()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "cannot be read (No such file or directory); choose the table that 'Match classes' wrote"),
        ("{", "The table 't.json' is not valid JSON"),
        ("[]", "'t.json' is not the table of a match"),
        ({"kind": "stfusion k-means model"}, "'t.json' is not the table of a match"),
        ({"version": 2}, "has version 2 and this engine reads version 1"),
        ({"classes": []}, "is damaged: its 'classes' have to be a list"),
        ({"classes": [{"from": 1, "to": "3"}]}, "is damaged"),
        ({"classes": [{"from": 1, "to": 3, "colour": [1, 2, 300]}]}, "is damaged"),
        ({"classes": [{"from": 1, "to": 3}, {"from": 1, "to": 4}]}, "has a class twice"),
        ({"classes": [{"from": 8, "to": 3}]}, "names none of the classes of Class map 'map.tif', which are 1, 2, 3; it "
         "names 8"),
    ],
)
def test_tables_that_cannot_be_used(tmp_path, class_map, content, sentence):
    if content is not None:
        whole = {"kind": "stfusion class table", "version": 1, **content} if isinstance(content, dict) else content
        (tmp_path / "t.json").write_text(whole if isinstance(whole, str) else json.dumps(whole), encoding="utf-8")
    assert sentence in reclassify(tmp_path, 2, class_map=class_map, match=str(tmp_path / "t.json"))


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ("", "none is given; give one of them"),
        ("1=wood", "makes 'wood' of class 1; give the number of a class"),
        ("1=2.5", "makes '2.5' of class 1"),
        ("1", "has the part '1'; write 'number=word"),
        ("1=2, 1=3", "gives class 1 twice"),
        ("8=3", "names none of the classes"),
        ("1=99999999999", "has the number 99999999999"),
    ],
)
def test_texts_that_cannot_be_used(tmp_path, class_map, table, sentence):
    assert sentence in reclassify(tmp_path, 2, class_map=class_map, table=table)


def test_two_tables_are_refused(tmp_path, class_map):
    assert "both are given" in reclassify(tmp_path, 2, class_map=class_map, table="1=2", match="t.json")


@pytest.mark.parametrize(
    ("values", "profile", "sentence"),
    [
        (np.full((9, 9), 0.5, np.float32), {}, "Class map 'bad.tif' holds values such as 0.5"),
        (np.zeros((9, 9), np.uint8), {"nodata": 0}, "has no class on any pixel; check its nodata value (0)"),
        (np.ones((2, 9, 9), np.uint8), {}, "has 2 bands and a map of classes has one"),
        (np.arange(4096, dtype=np.int16).reshape(64, 64), {}, "choose a map of classes, not of measurements"),
    ],
)
def test_maps_that_cannot_be_used(tmp_path, values, profile, sentence):
    bad = write_raster(tmp_path / "bad.tif", values, **profile)
    assert sentence in reclassify(tmp_path, 2, class_map=bad, table="1=2")


def test_a_folder_that_is_not_there_and_a_map_without_projection(tmp_path):
    path = raster_of(tmp_path / "map.tif", [[1, 2]], crs=None, transform=Affine.identity())
    outcome = run_method("reclassify", class_map=path, table="1=5", output=str(tmp_path / "gone" / "new.tif"))
    assert outcome.code == 2
    assert "does not exist; create it" in outcome.error
    new, _ = reclassify(tmp_path, class_map=path, table="1=5")
    np.testing.assert_array_equal(read_raster(new)[0], [[5, 2]])


def test_an_input_is_not_written_over(tmp_path, class_map):
    before = (tmp_path / "map.tif").read_bytes()
    outcome = run_method("reclassify", class_map=class_map, table="1=5", output=class_map)
    assert outcome.code == 2
    assert "is also the input" in outcome.error
    assert (tmp_path / "map.tif").read_bytes() == before


def test_colours_are_chosen_anew_where_one_is_not_known(tmp_path):
    path = tmp_path / "map.tif"
    raster_of(path, [[1, 2, 3]])
    found, _ = reclassify(tmp_path, class_map=str(path), table="1=7")
    colours = [legend_of(found).colours[label] for label in (2, 3, 7)]
    assert len(set(colours)) == 3
    assert Legend().classes({2: 1, 3: 1, 7: 1})[0].colour == colours[0]


def test_an_attribute_table_that_another_program_wrote_gives_names_and_colours(tmp_path):
    """GDAL says in words what a column is for, may write whole numbers as real ones, and has tables of other bands."""
    path = tmp_path / "map.tif"
    raster_of(path, [[-5, 300]], dtype=np.int16)
    written = Legend({-5: "sea & sand", 300: "<dune>"}, {-5: (1, 2, 3), 300: (4, 5, 6)})
    write_class_table(path, written.classes({-5: 1, 300: 1}))
    beside = tmp_path / "map.tif.aux.xml"
    text = beside.read_text(encoding="utf-8")
    text = text.replace("<Usage>", '<Usage usageAsString="Generic">').replace("<F>300</F>", "<F>300.0</F>")
    band = text[text.index("<PAMRasterBand"):text.index("</PAMDataset>")]
    beside.write_text(text.replace("</PAMDataset>", band.replace("sea", "other") + "</PAMDataset>"), encoding="utf-8")
    assert legend_of(path) == written
    beside.write_text(text.replace("<F>-5</F>", "<F>low</F>"), encoding="utf-8")
    assert legend_of(path).names == {300: "<dune>"}
