"""Hypersharpening: a hyperspectral image by several bands, against its equations on whole images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from makers import FINE, write_raster
from pansharpened import refused, sharpen, write_scene
from sharpening import QUICKBIRD, Scene, enlarge, set_b, smooth, thin
from stfusion.pansharpening import _moments, _sharpen

GAINS = {"gains": ",".join(map(str, QUICKBIRD))}


def known() -> Scene:
    scene = replace(set_b(), border="edge")
    return replace(scene, ms=scene.ms.astype(np.float32).astype(float))


def guides() -> np.ndarray:
    """Three bands that see what the four bands see, and one of them something else as well."""
    one, two, three, four = set_b().truth
    i, j = np.mgrid[:128, :128]
    waves = 40 * np.sin(i / 3) * np.cos(j / 5)
    return np.rint(np.stack([0.7 * one + 0.3 * two, 0.5 * two + 0.5 * three, four + waves]))


def written(folder: Path, scene: Scene, bands: np.ndarray, **profile: object) -> dict[str, str]:
    paths = write_scene(folder, scene, **profile)
    return {**paths, "pan": write_raster(folder / "guides.tif", bands.astype(np.float32), FINE, **profile)}


def literal(scene: Scene, bands: np.ndarray, injection: str) -> np.ndarray:
    found = []
    for band, own in enumerate(scene.ms):
        gain = scene.gain(band)
        coarse = np.array([thin(smooth(guide, gain, scene.ratio, "edge"), scene.ratio) for guide in bands])
        known = np.column_stack([*(guide.ravel() for guide in coarse), np.ones(own.size)])
        *weights, constant = np.linalg.lstsq(known, own.ravel(), rcond=None)[0]
        synthetic = np.tensordot(weights, bands, 1) + constant
        low = enlarge(np.tensordot(weights, coarse, 1) + constant, scene.ratio)
        expanded = scene.expanded[band]
        if injection == "ratio":
            found.append(expanded * np.clip(synthetic / low, 0, 10))
        else:
            whole = scene.cov(expanded, synthetic) / scene.cov(low, synthetic)
            found.append(expanded + (whole if injection == "full-scale" else 1) * (synthetic - low))
    return np.array(found)


@pytest.mark.parametrize("injection", ["full-scale", "plain", "ratio"])
def test_agrees_with_its_equations(tmp_path, injection):
    scene, bands = known(), guides()
    paths = written(tmp_path, scene, bands)
    found, _ = sharpen(tmp_path, "hypersharpening", paths, injection=injection, **GAINS)
    np.testing.assert_allclose(found, literal(scene, bands, injection), rtol=2e-5, atol=5e-3)


def test_several_bands_are_better_than_one(tmp_path):
    scene = known()
    found, _ = sharpen(tmp_path, "hypersharpening", written(tmp_path, scene, guides()), **GAINS)
    single, _ = sharpen(tmp_path, "mtf_glp_fs", write_scene(tmp_path, scene), **GAINS)

    def error(image):
        return np.sqrt(((image - scene.truth) ** 2).mean())

    assert error(found) < 0.8 * error(single)


@pytest.mark.parametrize("injection", ["plain", "ratio"])
def test_a_single_band_is_a_regression_of_each(tmp_path, injection):
    """What is added or multiplied with is the regression on it, each band's own."""
    scene = known()
    found, _ = sharpen(tmp_path, "hypersharpening", write_scene(tmp_path, scene), injection=injection, **GAINS)
    np.testing.assert_allclose(found, literal(scene, scene.pan[None], injection), rtol=2e-5, atol=5e-3)


def test_bands_that_follow_from_others_do_no_harm(tmp_path):
    scene, bands = known(), guides()
    twice = np.concatenate([bands, bands[:1], np.full((1, 128, 128), 7.0)])
    found, _ = sharpen(tmp_path, "hypersharpening", written(tmp_path, scene, twice), **GAINS)
    np.testing.assert_allclose(found, literal(scene, bands, "full-scale"), rtol=1e-4, atol=0.05)


def test_constant_bands_change_nothing(tmp_path):
    scene = known()
    paths = written(tmp_path, scene, np.full((2, 128, 128), 300.0))
    for injection in ("full-scale", "plain", "ratio"):
        found, _ = sharpen(tmp_path, "hypersharpening", paths, injection=injection, **GAINS)
        np.testing.assert_allclose(found, scene.expanded, rtol=1e-5)


def test_tiles_gaps_and_threads_make_no_difference(tmp_path, monkeypatch):
    scene, bands = known(), guides()
    gap = np.zeros(bands.shape, bool)
    gap[1, 30:36, 50:60] = True
    one, other = (
        written(tmp_path / name, scene, np.where(gap, filler, bands), nodata=filler)
        for name, filler in (("one", -1.0), ("other", 6e4))
    )
    for folder in ("one", "other"):
        (tmp_path / folder).mkdir(exist_ok=True)
    whole, _ = sharpen(tmp_path, "hypersharpening", one, {"threads": 1})
    np.testing.assert_array_equal(np.isnan(whole), np.broadcast_to(gap[1], whole.shape))
    np.testing.assert_array_equal(sharpen(tmp_path, "hypersharpening", other)[0], whole)
    monkeypatch.setattr(_sharpen, "tile_shape", lambda *given: (40, 56))
    monkeypatch.setattr(_sharpen, "_ROWS", 12)
    tiled, _ = sharpen(tmp_path, "hypersharpening", one, {"threads": 3})
    np.testing.assert_array_equal(tiled, whole)
    monkeypatch.setattr(_moments, "_PART", (24, 40))
    np.testing.assert_allclose(sharpen(tmp_path, "hypersharpening", one)[0], whole, rtol=1e-5)


def test_other_methods_want_one_band(tmp_path):
    sentence = refused(tmp_path, "gsa", written(tmp_path, known(), guides()))
    assert "has 3 bands; choose the panchromatic one" in sentence
