"""Vector layers: which layer and field are read, in which coordinate system, and which pixels polygons cover."""

from pathlib import Path

import numpy as np
import pyogrio
import pytest
import shapely
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from makers import CRS, FINE
from stfusion.errors import UserError
from stfusion.job import Input
from stfusion.raster.grids import LATTICE, Box
from stfusion.raster.vector import Areas, read_vector

GRID = GeoBox((20, 30), FINE, CRS)
LEFT, TOP, PIXEL = FINE.c, FINE.f, FINE.a


def area(top, bottom, left, right):
    """A rectangle by its pixels, the ends left out."""
    return shapely.box(LEFT + PIXEL * left, TOP - PIXEL * bottom, LEFT + PIXEL * right, TOP - PIXEL * top)


def write(path, geometries, fields, crs=CRS, layer=None):
    names, columns = list(fields), [np.array(values) for values in fields.values()]
    kinds = {shape.geom_type for shape in geometries if shape is not None}
    pyogrio.raw.write(
        str(path), shapely.to_wkb(np.array(geometries, object)), columns, names, layer=layer, crs=crs,
        geometry_type=kinds.pop() if len(kinds) == 1 else "Unknown", append=Path(path).exists(),
    )
    return str(path)


def read(path, field=None, grid=GRID, shapes=("polygons",)):
    return read_vector("Zones", Input(path, field=field), grid, shapes)


SQUARES = [area(0, 10, 0, 10), area(5, 20, 20, 30)]


def test_fields_of_numbers_and_of_text(tmp_path):
    path = write(
        tmp_path / "zones.gpkg", SQUARES,
        {"share": [0.5, 2.0], "name": np.array(["wood", "water"], object), "number": [7, 3]},
    )
    assert read(path).field == "number"
    assert read(path).values.tolist() == [7, 3]
    assert read(path, "name").values.tolist() == ["wood", "water"]
    assert read(path, "share").values.tolist() == [0.5, 2.0]
    assert Areas(read(path, "name"), GRID).labels == ["water", "wood"]
    assert Areas(read(path), GRID).labels == [3, 7]


def test_layers_of_a_file(tmp_path):
    path = write(tmp_path / "zones.gpkg", SQUARES[:1], {"number": [1]}, layer="first")
    write(path, SQUARES[1:], {"number": [2]}, layer="second")
    assert read(f"{path}|layername=second").values.tolist() == [2]
    assert read(f"{path}|layerid=0").values.tolist() == [1]
    with pytest.raises(UserError, match="has no such layer; choose from its layers: first, second"):
        read(f"{path}|layername=third")
    with pytest.raises(UserError, match="with 'subset=number > 1', which cannot be followed"):
        read(f"{path}|layername=second|subset=number > 1")


def test_pixels_belong_to_the_polygon_of_their_centre(tmp_path):
    # The third covers a quarter of four pixels and no centre; the last lies over the first.
    small = shapely.box(LEFT + 15.1 * PIXEL, TOP - 15.4 * PIXEL, LEFT + 15.4 * PIXEL, TOP - 15.1 * PIXEL)
    path = write(
        tmp_path / "zones.gpkg", [*SQUARES, small, area(8, 12, 8, 12)], {"number": [1, 2, 3, 4]}
    )
    areas = Areas(read(path), GRID)
    expected = np.full((20, 30), -1)
    expected[:10, :10], expected[5:, 20:], expected[8:12, 8:12] = 0, 1, 3
    np.testing.assert_array_equal(areas.read(Box(0, 20, 0, 30)), expected)
    np.testing.assert_array_equal(areas.read(Box(7, 11, 9, 25)), expected[7:11, 9:25])


def test_pixels_do_not_depend_on_the_window(tmp_path):
    grid = GeoBox((LATTICE + 40, LATTICE + 70), FINE, CRS)
    rng = np.random.default_rng(0)
    centres = LEFT + PIXEL * 300 * rng.random(40), TOP - PIXEL * 280 * rng.random(40)
    discs = shapely.buffer(shapely.points(*centres), PIXEL * 20)
    path = write(tmp_path / "zones.gpkg", list(discs), {"number": np.arange(40)})
    areas = Areas(read(path, grid=grid), grid)
    whole = areas.read(Box(0, *grid.shape[:1], 0, grid.shape[1]))
    assert len(np.unique(whole)) > 20
    for box in (Box(1, 5, 3, 300), Box(250, 290, 240, 270), Box(LATTICE, LATTICE + 40, 0, 1)):
        np.testing.assert_array_equal(areas.read(box), whole[box.top : box.bottom, box.left : box.right])


def test_another_coordinate_system(tmp_path):
    to_degrees = Transformer.from_crs(CRS, "EPSG:4326", always_xy=True)
    degrees = shapely.transform(
        shapely.segmentize(np.array(SQUARES, object), PIXEL), lambda xy: np.column_stack(to_degrees.transform(*xy.T))
    )
    path = write(tmp_path / "zones.geojson", list(degrees), {"number": [1, 2]}, crs="EPSG:4326")
    found = read(path)
    np.testing.assert_allclose(shapely.bounds(found.geometries), shapely.bounds(SQUARES), atol=1e-3)
    expected = np.full((20, 30), -1)
    expected[:10, :10], expected[5:, 20:] = 0, 1
    np.testing.assert_array_equal(Areas(found, GRID).read(Box(0, 20, 0, 30)), expected)


def test_features_without_a_value_or_off_the_image_are_left_out(tmp_path):
    path = write(
        tmp_path / "zones.gpkg", [*SQUARES, area(0, 3, 0, 3), area(50, 60, 0, 3), None],
        {"name": np.array(["a", "b", None, "c", "d"], object)},
    )
    found = read(path, "name")
    assert (found.values.tolist(), len(found), found.left_out) == (["a", "b"], 2, 1)
    # Readers give whole numbers with gaps as real ones.
    shares = write(tmp_path / "gaps.gpkg", SQUARES, {"number": [4.0, np.nan]})
    assert read(shares, "number").values.dtype == np.int64


def test_points_are_read_where_they_are_wanted(tmp_path):
    path = write(tmp_path / "points.gpkg", list(shapely.points([[LEFT + 45, TOP - 45]])), {"number": [5]})
    assert read(path, shapes=("points",)).values.tolist() == [5]
    with pytest.raises(UserError, match=r"Zones 'points.gpkg' holds a Point; choose a layer of polygons."):
        read(path)


@pytest.mark.parametrize(
    ("fields", "field", "sentence"),
    [
        ({"name": np.array(["a", "b"], object)}, None, "has no field of whole numbers; name the field"),
        ({"number": [1, 2]}, "name", "has no field 'name'; choose a field of numbers or text, here: number"),
        ({"day": np.array(["2020-01-01"] * 2, "datetime64[D]").astype("datetime64[ms]")}, "day", "has 'day' of type"),
        ({}, "name", "has no field 'name'; choose a field of numbers or text, here: none"),
    ],
)
def test_fields_that_cannot_be_used(tmp_path, fields, field, sentence):
    with pytest.raises(UserError, match=sentence):
        read(write(tmp_path / "zones.gpkg", SQUARES, fields), field)


def test_files_that_cannot_be_used(tmp_path):
    with pytest.raises(UserError, match="does not exist; choose an existing file"):
        read(str(tmp_path / "none.gpkg"))
    text = tmp_path / "text.gpkg"
    text.write_text("no layer", encoding="utf-8")
    with pytest.raises(UserError, match="cannot be read as a vector layer"):
        read(str(text))
    far = write(tmp_path / "far.gpkg", [area(500, 501, 0, 1)], {"number": [1]})
    with pytest.raises(UserError, match="has no feature with a value of 'number' on the images"):
        read(far)
    bare = write(tmp_path / "bare.shp", SQUARES, {"number": [1, 2]}, crs=None)
    with pytest.raises(UserError, match=r"of Zones 'bare.shp' is none and that of the images EPSG:32633; assign"):
        read(bare)
    with pytest.raises(UserError, match=r"of Zones 'zones.gpkg' is EPSG:32633 and that of the images none; assign"):
        read(write(tmp_path / "zones.gpkg", SQUARES, {"number": [1, 2]}), grid=GeoBox((20, 30), FINE, None))
    table = tmp_path / "table.csv"
    table.write_text("number\n1\n", encoding="utf-8")
    with pytest.raises(UserError, match="is a table without geometries; choose a layer of polygons"):
        read(str(table), "number")
