"""Scenes sharpened by diffusion models: samples and their spread, several guiding bands, and where patches lie."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from affine import Affine

from makers import FINE, read_raster, run_method, write_raster
from networks import built
from stfusion.networks._checkpoint import load
from stfusion.networks._network import Layout, network_class
from stfusion.training import _training_report
from test_network_sharpening import COLUMNS, RATIO, ROWS, scene, sharpened, stored

FORM = {"bands": 2, "ratio": RATIO, "target": "residual", "residual_scale": 0.05}


@pytest.fixture(autouse=True)
def small_patches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_class("ddif"), "layout", Layout(patch=64, margin=8, ramp=16, multiple=8))


def learnt(name: str, **form: object):
    """A network whose output depends on the noise: the weights that begin as 0 are others."""
    network = built(name, **{**FORM, **form})
    torch.manual_seed(3)
    with torch.no_grad():
        for weights in network.net.parameters():
            weights.add_(0.02 * torch.randn_like(weights))
    return network


@pytest.mark.parametrize("name", ["ddif", "ssdiff"])
def test_samples_have_a_mean_and_a_spread(tmp_path: Path, name: str) -> None:
    images, weights = scene(tmp_path), stored(tmp_path, learnt(name))
    spread = tmp_path / "spread.tif"
    options = {"weights": weights, "steps": 2}
    outcome, mean = sharpened(tmp_path, name, images, **options, samples=2, uncertainty=str(spread))
    assert outcome.code == 0, outcome.said.lines
    assert mean.shape == (2, ROWS * RATIO, COLUMNS * RATIO)
    assert np.isfinite(mean).all()
    found = read_raster(spread)
    assert found.shape == mean.shape
    assert found.min() >= 0
    # Two samples that float32 cannot tell apart are rare.
    assert np.count_nonzero(found) > 0.99 * found.size
    _, first = sharpened(tmp_path, name, images, **options, samples=1)
    assert np.abs(first - mean).max() > 0.1
    _, again = sharpened(tmp_path, name, images, **options, samples=1, batch=3)
    np.testing.assert_allclose(again, first, atol=0.05)
    _, other = sharpened(tmp_path, name, images, **options, samples=1, sampler="dpm-solver++")
    assert np.isfinite(other).all()


@pytest.mark.parametrize("name", ["ddif", "ssdiff"])
def test_what_is_learnt_from_a_scene_draws_it(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for drawing in ("maps", "curve"):
        monkeypatch.setattr(_training_report, drawing, lambda *_: b"")
    rng = np.random.default_rng(3)
    fine = 1000 + 1500 * np.kron(rng.random((2, 20, 40)), np.ones((4, 4)))
    coarse = fine.reshape(2, 40, 2, 80, 2).mean(axis=(2, 4))
    images = {
        "multispectral": write_raster(tmp_path / "ms.tif", coarse.round().astype(np.uint16), FINE * Affine.scale(2)),
        "pan": write_raster(tmp_path / "pan.tif", fine.mean(axis=0, keepdims=True).round().astype(np.uint16), FINE),
    }
    path = tmp_path / "net.safetensors"
    outcome = run_method(
        "train_pansharpening", None, {"threads": 1}, checkpoint=str(path), network=name, size="small", epochs=2,
        samples=8, batch=4, patch=16, held_out=2, **images,
    )
    assert outcome.code == 0, outcome.said.lines
    card = load(path).card
    ratio = 2 if name == "ssdiff" else 0
    assert (card.network, card.form.target, card.form.ratio, card.steps) == (name, "residual", ratio, 5)
    assert 0.001 < card.form.residual_scale < 0.5
    outcome, found = sharpened(tmp_path, name, images, weights=str(path), samples=1)
    assert outcome.code == 0, outcome.said.lines
    assert found.shape == (2, 80, 160)


@pytest.mark.parametrize("name", ["ddif", "ssdiff"])
def test_several_bands_can_guide(tmp_path: Path, name: str) -> None:
    images = scene(tmp_path)
    pan = read_raster(images["pan"])
    guides = np.concatenate([pan, pan[:, ::-1], pan[..., ::-1]])
    several = {**images, "pan": write_raster(tmp_path / "guides.tif", guides, FINE)}
    network = learnt(name, pan_bands=3)
    weights = stored(tmp_path, network)
    outcome, found = sharpened(tmp_path, name, several, weights=weights, steps=1, samples=1)
    assert outcome.code == 0, outcome.said.lines
    changed = {**images, "pan": write_raster(tmp_path / "others.tif", guides[[0, 2, 1]], FINE)}
    _, other = sharpened(tmp_path, name, changed, weights=weights, steps=1, samples=1)
    assert np.abs(found - other).max() > 0.01
    outcome, _ = sharpened(tmp_path, name, images, weights=weights, steps=1, samples=1)
    assert outcome.code == 2
    assert "has 1 band(s) and" in outcome.error
    assert "was trained for 3; choose as many with 'Bands of the panchromatic image'" in outcome.error


def test_a_gap_of_a_guiding_band_is_a_gap(tmp_path: Path) -> None:
    images = scene(tmp_path)
    guides = np.concatenate([read_raster(images["pan"])] * 3)
    guides[1, 30, 40] = np.nan
    several = {**images, "pan": write_raster(tmp_path / "guides.tif", guides, FINE)}
    weights = stored(tmp_path, learnt("ddif", pan_bands=3))
    outcome, found = sharpened(tmp_path, "ddif", several, weights=weights, steps=1, samples=1)
    assert outcome.code == 0, outcome.said.lines
    gaps = np.isnan(found[0])
    assert gaps[30, 40]
    assert gaps.sum() == 1


@pytest.mark.parametrize("name", ["ddif", "ssdiff"])
def test_there_is_no_seam_between_patches(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Along the places where patches meet the result is no less smooth than elsewhere."""
    images = scene(tmp_path)
    for key, side in (("multispectral", RATIO), ("pan", 1)):
        values = np.full_like(read_raster(images[key]), 500.0)
        write_raster(images[key], values, FINE * Affine.scale(side))
    network = learnt(name)
    weights = stored(tmp_path, network)
    monkeypatch.setattr(type(network), "layout", Layout(patch=32, margin=4, ramp=8, multiple=8))
    outcome, found = sharpened(tmp_path, name, images, weights=weights, steps=2, samples=1)
    assert outcome.code == 0, outcome.said.lines
    steps = np.abs(np.diff(found, axis=2)).mean((0, 1))
    # Patches begin at -4, 12, 28 ... and meet in the ramps that follow their margins.
    assert steps[1:-1].max() < 3 * np.median(steps)
