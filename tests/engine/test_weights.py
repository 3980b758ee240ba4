"""The weights that come with the engine: they load, say what they are, are small, and beat what they have to beat."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from makers import read_raster, run_method
from stfusion import registry
from stfusion.networks._checkpoint import load
from stfusion.networks._shared import NETWORKS, WEIGHTS_FOLDER, shipped

SHIPPED = [name for name in NETWORKS if shipped(name)]
#: All weights together, in the zip.
MOST_BYTES = 25 * 2**20
BASELINES = ("copy_fine", "upsampled_coarse", "fine_plus_difference")


def test_every_file_belongs_to_a_network() -> None:
    files = {path.stem for path in WEIGHTS_FOLDER.iterdir()}
    assert files == set(SHIPPED)
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
    assert {place["name"] for place in card.data["places"]} >= {"bahia", "salton"}
    for suffix in (".json", ".md"):
        assert shipped(name).with_suffix(suffix).exists()
    checkpoint.build()


@pytest.mark.parametrize("name", SHIPPED)
def test_they_were_better_on_validation_than_baselines_and_starfm(name: str) -> None:
    figures = load(shipped(name)).card.figures
    for other in (*BASELINES, "starfm"):
        assert figures[name]["RMSE"] < figures[other]["RMSE"]
        assert figures[name]["SSIM"] > figures[other]["SSIM"]


@pytest.mark.parametrize("name", SHIPPED)
def test_they_beat_the_baselines_on_a_scene_they_never_saw(tmp_path: Path, name: str) -> None:
    """A simulated one; what they are worth on real places is in docs/weights.md."""
    scene = tmp_path / "scene"
    assert run_method("simulate", settings={"seed": 12345}, output=str(scene), size=96, ratio=8, bands=3).code == 0
    inputs = {"fine": scene / "fine_1.tif", "coarse": scene / "coarse_1.tif", "target": scene / "coarse_2.tif"}
    truth = read_raster(scene / "fine_2.tif").astype(float)
    errors = {}
    for method in (name, *BASELINES):
        fused = tmp_path / f"{method}.tif"
        outcome = run_method(method, output=str(fused), **{role: str(path) for role, path in inputs.items()})
        assert outcome.code == 0, outcome.said.lines
        errors[method] = np.sqrt(((read_raster(fused) - truth) ** 2).mean())
    assert errors[name] < min(errors[other] for other in BASELINES)
