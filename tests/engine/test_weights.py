"""The weights that come with the engine: they load, say what they are, are small, and beat what they have to beat."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.windows import Window

from makers import FINE, read_raster, run_method, write_raster
from real_data import real_scene
from stfusion import registry
from stfusion.networks._checkpoint import load
from stfusion.networks._shared import NETWORKS, SHARPENING, WEIGHTS_FOLDER, shipped

SHIPPED = [name for name in NETWORKS if shipped(name)]
ROOT = Path(__file__).resolve().parents[2]
#: All weights together, in the zip.
MOST_BYTES = 25 * 2**20
#: First column and row, columns and rows of the part of a real scene.
BURNT = (100, 100, 192, 192)
BASELINES = ("copy_fine", "upsampled_coarse", "fine_plus_difference")


def test_every_file_belongs_to_a_network() -> None:
    files = {path.stem for path in WEIGHTS_FOLDER.iterdir()}
    assert files == {name for name in (*NETWORKS, *SHARPENING) if shipped(name)}
    assert sum(path.stat().st_size for path in WEIGHTS_FOLDER.iterdir()) < MOST_BYTES


def test_the_declared_networks_are_those_that_can_be_trained() -> None:
    declared = {
        m.id for m in registry.methods().values() if m.needs == "networks" and m.operation == "fuse"
    } - {"fuse_trained"}
    assert declared == set(NETWORKS)


@pytest.mark.parametrize("name", SHIPPED)
def test_they_serve_any_sensor_and_say_what_they_are(name: str) -> None:
    checkpoint = load(shipped(name))
    card = checkpoint.card
    assert card.network == name
    assert (card.form.bands, card.normalisation.kind) == (1, "scene")
    assert card.licence
    assert card.limits
    assert set(card.data["places"]) >= {"bahia", "salton"}
    for suffix in (".json", ".md"):
        assert shipped(name).with_suffix(suffix).exists()
    checkpoint.build()


@pytest.mark.parametrize("name", SHIPPED)
def test_they_were_better_than_baselines_and_starfm_on_places_that_they_never_saw(name: str) -> None:
    """The figures of docs/weights.md, which are of these very weights."""
    kept = json.loads((ROOT / "docs" / "weights" / "held_out.json").read_text(encoding="utf-8"))
    figures = kept["1"]
    assert figures[name]["weights"] == hashlib.sha256(shipped(name).read_bytes()).hexdigest()
    for other in (*BASELINES, "starfm"):
        assert figures[name]["share"] < figures[other]["share"]
        assert figures[name]["similarity"] > figures[other]["similarity"]


def cut(scene: Path, out: Path, ratio: int) -> Path:
    """Three bands of a part of a scene, or the means of its blocks; 0 is no data."""
    with rasterio.open(scene) as source:
        values = source.read([3, 4, 5], window=Window(*BURNT)).astype(float)
    values[values == 0] = np.nan
    bands, rows, columns = values.shape
    means = np.nanmean(values.reshape(bands, rows // ratio, ratio, columns // ratio, ratio), axis=(2, 4))
    stored = np.nan_to_num(means).round().astype(np.uint16)
    return Path(write_raster(out, stored, FINE * Affine.scale(ratio), nodata=0))


def errors_on(folder: Path, inputs: dict[str, Path], truth: Path, methods: tuple[str, ...]) -> dict[str, float]:
    """Root mean square errors of methods, in the unit of the images."""
    folder.mkdir()
    true, errors = read_raster(truth).astype(float), {}
    valid = (true > 0).all(axis=0)
    for method in methods:
        fused = folder / f"{method}.tif"
        taken = {role.id for role in registry.methods()[method].roles}
        outcome = run_method(method, output=str(fused), **{n: str(path) for n, path in inputs.items() if n in taken})
        assert outcome.code == 0, outcome.said.lines
        errors[method] = float(np.sqrt(((read_raster(fused) - true)[:, valid] ** 2).mean()))
    return errors


@pytest.mark.parametrize("name", SHIPPED)
def test_they_do_no_harm_on_a_simulated_scene(tmp_path: Path, name: str) -> None:
    """Where coarse images are exact averages and fields change one by one, nothing is left to be mended."""
    scene = tmp_path / "scene"
    assert run_method("simulate", settings={"seed": 12345}, output=str(scene), size=192, ratio=16, bands=3).code == 0
    inputs = {"fine": scene / "fine_1.tif", "coarse": scene / "coarse_1.tif", "target": scene / "coarse_2.tif"}
    errors = errors_on(tmp_path / "fused", inputs, scene / "fine_2.tif", (name, *BASELINES))
    assert errors[name] < 1.01 * errors["fine_plus_difference"]
    assert errors[name] < min(errors["copy_fine"], errors["upsampled_coarse"])


@pytest.mark.parametrize("name", SHIPPED)
def test_they_beat_the_baselines_where_there_was_a_fire(tmp_path: Path, name: str) -> None:
    """A part of a real scene that they never saw; what they are worth in all is in docs/weights.md."""
    folder = real_scene("stf_corumba_fire_2019")
    (fine, coarse), (truth, target) = (
        [cut(folder / f"L8_TOA_{day}.tif", tmp_path / f"{ratio}_{day}.tif", ratio) for ratio in (1, 16)]
        for day in ("20190809", "20190825")
    )
    inputs = {"fine": fine, "coarse": coarse, "target": target}
    errors = errors_on(tmp_path / "fused", inputs, truth, (name, *BASELINES, "starfm"))
    assert errors[name] < min(error for method, error in errors.items() if method != name)
