"""Pixel time series: values of every stack at points, masks, coordinate systems, points elsewhere, bad input."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import shapely
from affine import Affine
from pyproj import Transformer

from makers import CRS, FINE, Outcome, read_raster, run_method, write_raster
from series_scenes import RATIO, SIDE, day, series
from test_vector import write

#: The pixels (row, column) of the points.
PIXELS = [(3, 4), (20, 37)]


def table(folder, code=0, **values) -> tuple[Outcome, list[dict[str, str]]]:
    outcome = run_method("pixel_series", output=str(folder / "table.csv"), **values)
    assert outcome.code == code, outcome.said.lines
    if code:
        assert not (folder / "table.csv").exists()
        return outcome, []
    with (folder / "table.csv").open(encoding="utf-8", newline="") as file:
        return outcome, list(csv.DictReader(file))


def place(row: int, column: int) -> tuple[float, float]:
    return FINE * (column + 0.3, row + 0.6)


COORDINATES = "; ".join(f"{x},{y}" for x, y in (place(*pixel) for pixel in PIXELS))


@pytest.fixture
def stacks(tmp_path):
    return series(tmp_path, fine=(0, 10), coarse=(0, 5, 10), bands=2)


def test_every_value_is_that_of_its_pixel(tmp_path, stacks):
    outcome, lines = table(tmp_path, **stacks, fused=stacks["fine"], coordinates=COORDINATES)
    assert len(lines) == 2 * 2 * (2 + 3 + 2) == outcome.said.of("result")[0]["lines"]
    images = {
        (sensor, day(number).isoformat()): read_raster(path)
        for sensor, numbers in (("fine", (0, 10)), ("coarse", (0, 5, 10)))
        for number, path in zip(numbers, stacks[sensor], strict=True)
    }
    for line in lines:
        row, column = PIXELS[int(line["point"]) - 1]
        if line["source"] == "coarse":
            row, column = row // RATIO, column // RATIO
        image = images["fine" if line["source"] == "fused" else line["source"], line["date"]]
        assert float(line["value"]) == pytest.approx(image[int(line["band"]) - 1, row, column], rel=1e-6)
        assert line["masked"] == "0"
        assert (float(line["x"]), float(line["y"])) == pytest.approx(place(*PIXELS[int(line["point"]) - 1]))
    order = [(line["point"], line["source"], line["date"]) for line in lines[::2]]
    assert order[:3] == [("1", "fine", "2021-04-20"), ("1", "fine", "2021-04-30"), ("1", "fused", "2021-04-20")]
    assert [point for point, *_ in order] == ["1"] * 7 + ["2"] * 7


def test_masks_and_gaps_are_told_apart(tmp_path, stacks):
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[3, 4] = 2
    masks = write_raster(tmp_path / f"cloud_{day(10):%Y%m%d}.tif", mask)
    image = read_raster(stacks["fine"][0])
    image[1, 20, 37] = np.nan
    write_raster(tmp_path / f"fine_{day(0):%Y%m%d}.tif", image, nodata=np.nan)
    _, lines = table(tmp_path, fine=stacks["fine"], fine_masks=[masks], coordinates=COORDINATES)
    left_out = [line for line in lines if line["masked"] == "1"]
    assert {(line["point"], line["date"]) for line in left_out} == {("1", day(10).isoformat())}
    assert all(line["value"] for line in left_out)
    empty = [line for line in lines if not line["value"]]
    assert [(line["point"], line["date"], line["masked"]) for line in empty] == [("2", day(0).isoformat(), "0")] * 2


def test_points_of_a_layer_in_another_coordinate_system(tmp_path, stacks):
    to_degrees = Transformer.from_crs(CRS, "EPSG:4326", always_xy=True)
    degrees = [to_degrees.transform(*place(*pixel)) for pixel in PIXELS]
    shapes = [shapely.Point(*xy) for xy in (*degrees, (0.0, 0.0))]
    layer = write(tmp_path / "p.gpkg", shapes, {"name": np.array(["a", "b", "c"], object)}, crs="EPSG:4326")
    outcome, lines = table(tmp_path, **stacks, points=layer, points_field="name")
    _, wanted = table(tmp_path, **stacks, coordinates=COORDINATES)
    assert [line["value"] for line in lines] == [line["value"] for line in wanted]
    assert {line["point"] for line in lines} == {"a", "b"}
    assert any("1 point(s)" in said for said in outcome.said.of("warning"))
    text = "; ".join(f"{x!r},{y!r}" for x, y in degrees)
    _, lines = table(tmp_path, **stacks, coordinates=text, crs="EPSG:4326")
    assert [line["value"] for line in lines] == [line["value"] for line in wanted]


def test_points_on_some_images_only(tmp_path, stacks):
    path = write_raster(
        tmp_path / "coarse_20210501.tif", np.ones((2, 2, 2), np.float32), FINE @ Affine.scale(RATIO),
        descriptions=("red", None),
    )
    outcome, lines = table(tmp_path, fine=stacks["fine"], coarse=path, coordinates=COORDINATES)
    assert [(line["point"], line["name"]) for line in lines if line["source"] == "coarse"] == [("1", "red"), ("1", "")]
    assert outcome.said.of("warning") == ["Not on all coarse images lie these points: 2."]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"coordinates": ""}, "none is given"),
        ({"coordinates": "1 2"}, "has '1 2'; write points as x,y"),
        ({"coordinates": "1,2", "crs": "EPSG:nine"}, "is 'EPSG:nine', which is unknown"),
        ({"coordinates": "1,2"}, "None of the points lies on any image"),
        ({"coordinates": "1,2", "points": "p.gpkg"}, "both are given"),
    ],
)
def test_bad_input(tmp_path, stacks, values, words):
    assert words in table(tmp_path, 2, fine=stacks["fine"], **values)[0].error


def test_no_images_at_all(tmp_path):
    assert "No images are given" in table(tmp_path, 2, coordinates="1,2")[0].error
