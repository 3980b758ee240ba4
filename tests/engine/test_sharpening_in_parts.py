"""Pansharpening in parts for several machines: windows whose result is that of the whole, pixel for pixel."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from in_process import InProcess
from makers import FINE, Said, quantised, read_raster, write_raster
from pansharpened import METHODS
from stfusion import job, registry
from stfusion.cli import main
from stfusion.run import run

LOW = 39


@pytest.fixture
def here(monkeypatch) -> InProcess:
    return InProcess(monkeypatch)


@pytest.fixture
def images(tmp_path) -> dict[str, str]:
    """Six bands with a gap, and a panchromatic image that reaches beyond them on two sides."""
    rng = np.random.default_rng(5)
    low = quantised(rng, 6, LOW, LOW)
    low[:, 10:12, 20:23] = np.nan
    pan = quantised(rng, 1, 2 * LOW + 8, 2 * LOW + 6)
    return {
        "multispectral": write_raster(tmp_path / "ms.tif", low, FINE @ Affine.scale(2), nodata=np.nan),
        "pan": write_raster(tmp_path / "pan.tif", pan, FINE @ Affine.translation(-6, -8), nodata=np.nan),
    }


def ordered(path: Path, method: str, **values) -> Path:
    path.write_text(json.dumps(job.build(registry.get("pansharpen", method), values, threads=1)))
    return path


def in_parts(path: Path, side: int = 64) -> int:
    """Plan, run and merge a job; the number of its parts."""
    assert main(["plan", str(path), "--side", str(side)]) == 0
    (listed,) = path.parent.glob("*.parts/parts.json")
    count = len(json.loads(listed.read_text())["parts"])
    assert main(["run", str(path), "--part", "1/1"]) == 0
    assert main(["merge", str(path)]) == 0
    return count


def assert_alike(one: Path, other: Path) -> None:
    assert np.array_equal(read_raster(one), read_raster(other), equal_nan=True)
    with rasterio.open(one) as first, rasterio.open(other) as second:
        assert first.transform == second.transform
        assert first.crs == second.crs
        assert first.descriptions == second.descriptions
        assert first.tags() == second.tags()
        assert first.is_tiled == second.is_tiled


@pytest.mark.parametrize("method", METHODS)
def test_an_image_in_parts_is_that_of_the_whole(tmp_path, images, here, method):
    whole, parted = tmp_path / "whole.tif", tmp_path / "parted.tif"
    assert run(job.load(ordered(tmp_path / "w.json", method, **images, output=str(whole))), Said()) == 0
    assert in_parts(ordered(tmp_path / "p.json", method, **images, output=str(parted))) == 4
    assert_alike(whole, parted)
    assert not (tmp_path / "parted.tif.parts").exists()


@pytest.mark.parametrize(("extent", "sides"), [("intersection", (78, 78)), ("panchromatic", (86, 84))])
def test_the_parts_are_those_of_what_is_wanted(tmp_path, images, here, extent, sides):
    values = {**images, "extent": extent, "layout": "tiled", "output_type": "float32"}
    whole, parted = tmp_path / "whole.tif", tmp_path / "parted.tif"
    assert run(job.load(ordered(tmp_path / "w.json", "gsa", **values, output=str(whole))), Said()) == 0
    in_parts(ordered(tmp_path / "p.json", "gsa", **values, output=str(parted)))
    assert read_raster(parted).shape == (6, *sides)
    assert_alike(whole, parted)


@pytest.mark.parametrize("method", ["fusionnet", "gppnn", "ddif"])
def test_a_network_in_parts_is_that_of_the_whole(tmp_path, images, here, method):
    pytest.importorskip("torch", reason="the packages of the networks are not installed")
    names = [output.id for output in registry.get("pansharpen", method).outputs]
    options = {"samples": 2} if "uncertainty" in names else {}

    def outputs(folder: str) -> dict[str, str]:
        (tmp_path / folder).mkdir()
        return {name: str(tmp_path / folder / f"{name}.tif") for name in names}

    whole, parted = outputs("whole"), outputs("parted")
    assert run(job.load(ordered(tmp_path / "w.json", method, **images, **options, **whole)), Said()) == 0
    in_parts(ordered(tmp_path / "parted" / "p.json", method, **images, **options, **parted))
    for name in names:
        assert_alike(Path(whole[name]), Path(parted[name]))


def test_a_network_that_learns_from_the_scene_has_no_parts(tmp_path, images, capsys):
    path = ordered(tmp_path / "p.json", "zpnn", **images, output=str(tmp_path / "o.tif"))
    assert main(["plan", str(path)]) == 2
    assert "Z-PNN (zero-shot) learns from the whole scene, and would for each part anew" in capsys.readouterr().err


def test_a_window_beyond_the_result_is_refused(tmp_path, images):
    plain = job.build(registry.get("pansharpen", "brovey"), {**images, "output": str(tmp_path / "o.tif")})
    said = Said()
    assert run(job.parse({**plain, "window": [0, 400, 0, 10]}), said) == 2
    assert "ends at row 400 and column 10 and the result has 86 rows and 84 columns" in said.of("error")[0]
