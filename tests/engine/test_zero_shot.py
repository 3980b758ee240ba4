"""Networks that learn from the scene itself: losses, what is learnt from a scene with a known truth, and its files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from affine import Affine

from makers import FINE, Outcome, read_raster, run_method, write_raster
from networks import built, learnt_from_nothing, sharpening_batch
from sharpening import set_b
from stfusion.networks._checkpoint import load
from stfusion.networks._network import Form, network_class, parameter_count
from stfusion.networks._zero_shot import correlation, reprojected
from stfusion.training import _training_report

NAMES = ("zpnn", "lambda_pnn")
QUICKBIRD = "0.34, 0.32, 0.30, 0.22"


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("maps", "curve"):
        monkeypatch.setattr(_training_report, name, lambda *_: b"")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The scene B, whose truth is known."""
    folder, found = tmp_path_factory.mktemp("b"), set_b()
    return {
        "multispectral": write_raster(folder / "ms.tif", found.ms.astype(np.float32), FINE * Affine.scale(4)),
        "pan": write_raster(folder / "pan.tif", found.pan[None].astype(np.float32)),
    }


def sharpened(folder: Path, method: str, scene: dict[str, str], **values: Any) -> Outcome:
    return run_method(
        method, None, {"threads": 1}, output=str(folder / "sharp.tif"), output_type="float32",
        **{"gains": QUICKBIRD, **scene, **values},
    )


def ergas(image: np.ndarray) -> float:
    truth = set_b().truth
    relative = np.sqrt(((image - truth) ** 2).mean((1, 2))) / truth.mean((1, 2))
    return float(25 * np.sqrt((relative**2).mean()))


def test_z_pnn_has_the_published_number_of_parameters() -> None:
    assert parameter_count(built("zpnn", bands=8, ratio=4, size="published").net) == 79_880


@pytest.mark.parametrize("name", NAMES)
def test_before_anything_is_learnt_the_image_is_the_interpolated_one(name: str) -> None:
    network = built(name, bands=3, ratio=2)
    batch = sharpening_batch(network, rows=20, columns=28)
    torch.testing.assert_close(network.predict(batch), batch.expanded)


def test_an_image_made_coarse_is_what_the_protocol_gives(tmp_path: Path) -> None:
    values = np.random.default_rng(1).random((2, 24, 32)).astype(np.float32)
    path = write_raster(tmp_path / "fine.tif", values)
    for ratio in (2, 3, 4):
        outcome = run_method("wald_protocol", multispectral=path, ratio=ratio, gains="0.3, 0.2",
                             output=str(tmp_path / "coarse.tif"))
        assert outcome.code == 0, outcome.said.lines
        rows, columns = 24 // ratio * ratio, 32 // ratio * ratio
        coarse = reprojected(torch.from_numpy(values[None, :, :rows, :columns]), (0.3, 0.2), ratio)[0].numpy()
        inside = (slice(None), slice(6 // ratio + 1, -6 // ratio - 1), slice(6 // ratio + 1, -6 // ratio - 1))
        np.testing.assert_allclose(coarse[inside], read_raster(tmp_path / "coarse.tif")[inside], atol=2e-3)


def test_the_correlation_is_that_of_every_window() -> None:
    rng = np.random.default_rng(2)
    one, other = rng.random((2, 9, 9)).astype(np.float32)
    found = correlation(*(torch.from_numpy(image)[None, None] for image in (one, other)), 2)[0, 0]
    expected = np.corrcoef(one[2:7, 3:8].ravel(), other[2:7, 3:8].ravel())[0, 1]
    assert found[4, 5].item() == pytest.approx(expected, abs=1e-4)
    assert correlation(torch.from_numpy(one)[None, None], torch.from_numpy(3 * one)[None, None], 2).min() > 0.999


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_learnt_from_invalid_pixels_and_a_truth_is_what_counts_where_there_is_one(name: str) -> None:
    network = built(name, bands=2, ratio=2)
    batch = sharpening_batch(network, rows=16, columns=16)
    without = replace(batch, truth=None)
    # Half a weight decay is no loss: gradients alone are looked at.
    assert learnt_from_nothing(network, "net", batch) == 0
    assert learnt_from_nothing(network, "net", without) == 0
    assert set(network("net", batch)) == {"l1"}
    assert "structural" in network("net", without)


@pytest.mark.parametrize(("where", "most"), [("reduced", 2.95), ("both", 2.2)])
def test_a_scene_teaches_at_reduced_resolution_too(
    tmp_path: Path, scene: dict[str, str], where: str, most: float
) -> None:
    kept = tmp_path / "kept.safetensors"
    outcome = sharpened(tmp_path, "zpnn", scene, iterations=75, crop=32, learn_at=where, checkpoint=str(kept))
    assert outcome.code == 0, outcome.said.lines
    assert ergas(read_raster(tmp_path / "sharp.tif")) < most
    figures = load(kept).card.figures
    assert ("ERGAS" in figures["zpnn"]) == (where == "reduced")
    assert figures["zpnn"]["RMSE"] < figures["interpolated"]["RMSE"]


def test_a_scene_teaches_how_to_sharpen_it(tmp_path: Path, scene: dict[str, str]) -> None:
    """In 100 iterations ERGAS falls from 3.13 below 1.6, and what was learnt is used again."""
    kept = tmp_path / "kept.safetensors"
    outcome = sharpened(tmp_path, "zpnn", scene, iterations=100, checkpoint=str(kept))
    assert outcome.code == 0, outcome.said.lines
    image = read_raster(tmp_path / "sharp.tif")
    assert ergas(set_b().expanded) == pytest.approx(3.133, abs=2e-3)
    assert ergas(image) < 1.6
    assert outcome.said.of("result")[0]["checkpoint"] == str(kept)
    assert outcome.said.of("progress") == sorted(outcome.said.of("progress"))
    card = load(kept).card
    assert (card.network, card.form.ratio, card.form.gains) == ("zpnn", 4, (0.34, 0.32, 0.30, 0.22))
    assert card.figures["zpnn"]["RMSE"] < 0.5 * card.figures["interpolated"]["RMSE"]
    again = sharpened(tmp_path, "zpnn", scene, iterations=0, weights=str(kept))
    assert again.code == 0, again.said.lines
    np.testing.assert_array_equal(read_raster(tmp_path / "sharp.tif"), image)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_image_and_nothing_else_is_left(
    tmp_path: Path, scene: dict[str, str], name: str
) -> None:
    images = []
    for _ in range(2):
        outcome = sharpened(tmp_path, name, scene, iterations=25, size="small", crop=48)
        assert outcome.code == 0, outcome.said.lines
        images.append(read_raster(tmp_path / "sharp.tif"))
    np.testing.assert_array_equal(*images)
    assert ergas(images[0]) < 3
    assert [path.name for path in tmp_path.iterdir()] == ["sharp.tif"]


def test_what_cannot_be_learnt_from_or_used_is_refused(tmp_path: Path, scene: dict[str, str]) -> None:
    outcome = sharpened(tmp_path, "zpnn", scene, iterations=0)
    assert "Without 'Iterations' (iterations) the network needs weights" in outcome.error
    kept = tmp_path / "kept.safetensors"
    assert sharpened(tmp_path, "lambda_pnn", scene, iterations=25, size="small", crop=32,
                     checkpoint=str(kept)).code == 0
    for iterations in (0, 25):
        outcome = sharpened(tmp_path, "zpnn", scene, weights=str(kept), iterations=iterations)
        assert "is of the network 'lambda_pnn' and not of 'zpnn'" in outcome.error
    before = sorted(tmp_path.iterdir())
    half = write_raster(tmp_path.parent / "half.tif", set_b().ms.astype(np.float32), FINE * Affine.scale(2))
    unit = write_raster(tmp_path.parent / "unit.tif", set_b().ms.astype(np.float32) / 1000, FINE * Affine.scale(4))
    for path, words in ((half, "is built for 4; choose another"), (unit, "so that the units agree")):
        outcome = sharpened(tmp_path, "lambda_pnn", {**scene, "multispectral": path}, weights=str(kept), crop=32)
        assert outcome.code == 2, outcome.said.lines
        assert words in outcome.error
    assert sorted(tmp_path.iterdir()) == before
    outcome = sharpened(tmp_path, "lambda_pnn", {**scene, "image_bands": [1, 2], "gains": ""}, weights=str(kept))
    assert "has 2 band(s) and" in outcome.error
    assert "was trained for 4" in outcome.error


def test_both_are_built_for_a_ratio() -> None:
    for name in NAMES:
        with pytest.raises(ValueError, match="a ratio of 2 or more"):
            network_class(name)(Form(bands=2))
