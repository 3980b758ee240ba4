"""Sharpening a scene with networks: the same as the network itself gives, whatever the patches, and what is refused."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from affine import Affine

from makers import FINE, read_raster, run_method, write_raster
from networks import Hostile, built
from stfusion.networks._batch import SharpeningBatch
from stfusion.networks._checkpoint import Card, save
from stfusion.networks._network import Layout, Network
from stfusion.networks._normalisation import Normalisation
from stfusion.raster.interpolation import enlarged, interpolation

RNG = np.random.default_rng(5)
ROWS, COLUMNS, RATIO = 22, 27, 4


def scene(folder: Path, bands: int = 2, ratio: int = RATIO, move: float = 0.0) -> dict[str, str]:
    """A scene of smooth bands in 100..1000 and a panchromatic image of detail; ``move`` is in panchromatic pixels."""
    coarse = RNG.uniform(100, 1000, (bands, ROWS, COLUMNS)).astype(np.float32)
    fine = RNG.uniform(100, 1000, (1, ROWS * ratio, COLUMNS * ratio)).astype(np.float32)
    return {
        "multispectral": write_raster(folder / "ms.tif", coarse, FINE * Affine.scale(ratio)),
        "pan": write_raster(folder / "pan.tif", fine, FINE * Affine.translation(move, move)),
    }


def stored(folder: Path, network: Network, **card: object) -> str:
    """A checkpoint of a network whose images are divided by 1000."""
    count = network.scaled_bands
    scaling = Normalisation("stored", (0.0,) * count, (1000.0,) * count)
    save(folder / "weights.safetensors", network,
         Card(**{"network": network.id, "form": network.form, "normalisation": scaling, **card}))
    return str(folder / "weights.safetensors")


def sharpened(folder: Path, method: str, images: dict[str, str], **values: object):
    outcome = run_method(method, output=str(folder / "out.tif"), output_type="float32", **images, **values)
    return outcome, read_raster(folder / "out.tif") if outcome.code == 0 else None


def expected(network: Network, images: dict[str, str], shift: float = 0.0) -> np.ndarray:
    """What the network gives for the whole scene at once; ``shift`` moves the multispectral image (fine pixels)."""
    coarse, pan = (read_raster(images[name]).astype(np.float32) / 1000 for name in ("multispectral", "pan"))
    rows, columns = (
        interpolation((np.arange(n) + 0.5 - shift) / RATIO - 0.5, "cubic") for n in pan.shape[1:]
    )
    wide = np.pad(coarse, ((0, 0), (4, 4), (4, 4)), "edge")
    wanted = enlarged(wide, rows.since(-4), columns.since(-4))
    batch = SharpeningBatch(*(torch.from_numpy(image)[None] for image in (pan, wanted, coarse)))
    with torch.inference_mode():
        return 1000 * network.eval().predict(batch)[0].numpy()


def inside(image: np.ndarray, margin: int) -> np.ndarray:
    return image[:, margin:-margin, margin:-margin]


@pytest.mark.parametrize("name", ["pnn", "pannet", "dicnn", "fusionnet", "msdcnn"])
def test_patches_make_up_what_the_network_gives(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network = built(name, bands=2, ratio=RATIO if name == "pannet" else 0)
    images, margin = scene(tmp_path), network.laid_out().margin
    weights = stored(tmp_path, network)
    monkeypatch.setattr(type(network), "layout", Layout(patch=2 * margin + 28, margin=margin, ramp=0))
    outcome, found = sharpened(tmp_path, name, images, weights=weights)
    assert outcome.code == 0, outcome.said.lines
    np.testing.assert_allclose(inside(found, margin), inside(expected(network, images), margin), rtol=1e-4, atol=0.02)
    monkeypatch.setattr(type(network), "layout", Layout(patch=192, margin=margin, ramp=0))
    np.testing.assert_allclose(sharpened(tmp_path, name, images, weights=weights)[1], found, rtol=1e-4, atol=0.02)


def test_a_checkpoint_says_where_its_images_lay(tmp_path: Path) -> None:
    network, images = built("dicnn", bands=2), scene(tmp_path)
    outcome, found = sharpened(tmp_path, "dicnn", images, weights=stored(tmp_path, network, grid="toolbox"))
    assert outcome.code == 0, outcome.said.lines
    np.testing.assert_allclose(inside(found, 8), inside(expected(network, images, 0.5), 8), rtol=1e-4, atol=0.02)
    assert np.abs(found - expected(network, images)).max() > 1


def test_a_displaced_panchromatic_image_is_where_it_lies(tmp_path: Path) -> None:
    """A network that adds nothing gives the multispectral image on the panchromatic pixels."""
    network, images = built("pannet", bands=2, ratio=RATIO), scene(tmp_path, move=1.5)
    for weight in network.net.parameters():
        torch.nn.init.zeros_(weight)
    outcome, found = sharpened(tmp_path, "pannet", images, weights=stored(tmp_path, network))
    assert outcome.code == 0, outcome.said.lines
    np.testing.assert_allclose(inside(found, 8), inside(1000 * np.asarray(moved(images)), 8), rtol=1e-4, atol=0.02)


def moved(images: dict[str, str]) -> np.ndarray:
    coarse = read_raster(images["multispectral"]).astype(np.float32) / 1000
    shape = read_raster(images["pan"]).shape[1:]
    rows, columns = (interpolation((np.arange(n) + 0.5 + 1.5) / RATIO - 0.5, "cubic") for n in shape)
    return enlarged(np.pad(coarse, ((0, 0), (4, 4), (4, 4)), "edge"), rows.since(-4), columns.since(-4))


def test_a_network_of_single_bands_takes_any(tmp_path: Path) -> None:
    network, images = built("pnn", bands=1, target="residual", residual_scale=0.2), scene(tmp_path, bands=3)
    weights = stored(tmp_path, network, normalisation=Normalisation("scene"))
    outcome, found = sharpened(tmp_path, "pnn", images, weights=weights)
    assert outcome.code == 0, outcome.said.lines
    assert found.shape == (3, ROWS * RATIO, COLUMNS * RATIO)
    scaled = {name: write_raster(Path(path).with_suffix(".x.tif"), 7 * read_raster(path) + 30, FINE * Affine.scale(
        RATIO if name == "multispectral" else 1)) for name, path in images.items()}
    _, again = sharpened(tmp_path, "pnn", scaled, weights=weights)
    np.testing.assert_allclose(again, 7 * found + 30, rtol=1e-3)


def test_gaps_of_either_image_stay_gaps_and_spread_no_farther(tmp_path: Path) -> None:
    network, images = built("dicnn", bands=2), scene(tmp_path)
    weights = stored(tmp_path, network)
    _, whole = sharpened(tmp_path, "dicnn", images, weights=weights)
    for name, path in images.items():
        values = read_raster(path)
        values[:, 5, 7] = np.nan
        write_raster(path, values, FINE * Affine.scale(RATIO if name == "multispectral" else 1))
    outcome, found = sharpened(tmp_path, "dicnn", images, weights=weights)
    assert outcome.code == 0, outcome.said.lines
    gaps = np.isnan(found[0])
    assert gaps[5, 7]
    assert gaps[20:24, 28:32].all()
    assert gaps.sum() == 17
    assert np.isfinite(found[:, ~gaps]).all()
    np.testing.assert_allclose(found[:, 40:], whole[:, 40:], rtol=1e-5)


def test_gppnn_blends_its_patches(tmp_path: Path) -> None:
    network, images = built("gppnn", bands=2, ratio=RATIO), scene(tmp_path)
    outcome, found = sharpened(tmp_path, "gppnn", images, weights=stored(tmp_path, network))
    assert outcome.code == 0, outcome.said.lines
    assert np.isfinite(found).all()


def test_what_does_not_fit_is_refused_or_warned_about(tmp_path: Path) -> None:
    images = scene(tmp_path)
    refused = {
        "has 2 band(s) and": ("pnn", built("pnn", bands=4), {}),
        "is built for 2; choose another checkpoint": ("pannet", built("pannet", bands=2, ratio=2), {}),
        "is of the network 'pnn' and not of 'dicnn'": ("dicnn", built("pnn", bands=2), {}),
        "ranges from": ("pnn", built("pnn", bands=2),
                        {"normalisation": Normalisation("stored", (0.0,) * 3, (1.0,) * 3)}),
    }
    for sentence, (method, network, card) in refused.items():
        outcome, _ = sharpened(tmp_path, method, images, weights=stored(tmp_path, network, **card))
        assert outcome.code == 2
        assert sentence in outcome.error
        assert not (tmp_path / "out.tif").exists()
    outcome, _ = sharpened(tmp_path, "pnn", images)
    assert "comes without weights; train it with 'Train a pansharpening network'" in outcome.error
    weights = stored(tmp_path, built("pnn", bands=2), ratio=(2.0, 2.0),
                     normalisation=Normalisation("stored", (0.0,) * 3, (200.0,) * 3))
    outcome, _ = sharpened(tmp_path, "pnn", images, weights=weights)
    assert outcome.code == 0, outcome.said.lines
    warnings = " ".join(outcome.said.of("warning"))
    assert "is 4 pixels of" in warnings
    assert "was trained for 2; the result may be poor" in warnings
    assert "was trained on values of about -200 to 200; the result may be poor" in warnings


@pytest.mark.parametrize("method", ["pnn", "zpnn"])
def test_what_is_no_checkpoint_is_refused_and_not_executed(tmp_path: Path, method: str) -> None:
    images, whole = scene(tmp_path), Path(stored(tmp_path, built("pnn", bands=2))).read_bytes()
    witness = tmp_path / "witness"
    files = {"text": b"no network", "truncated": whole[: len(whole) // 2], "empty": b"",
             "hostile": pickle.dumps(Hostile(witness))}
    for name, content in files.items():
        for ending in (".safetensors", ".pth"):
            (tmp_path / f"{name}{ending}").write_bytes(content)
    before = sorted(tmp_path.iterdir())
    for name in before:
        if name.stem not in files:
            continue
        outcome, _ = sharpened(tmp_path, method, images, weights=str(name))
        assert outcome.code == 2, outcome.said.lines
        assert f"'{name}' is no whole safetensors file" in outcome.error
    assert sorted(tmp_path.iterdir()) == before


def test_several_panchromatic_bands_are_refused_where_one_was_trained_for(tmp_path: Path) -> None:
    images, weights = scene(tmp_path), stored(tmp_path, built("pnn", bands=2))
    several = np.concatenate([read_raster(images["pan"])] * 2)
    images["pan"] = write_raster(tmp_path / "several.tif", several, FINE)
    outcome, _ = sharpened(tmp_path, "pnn", images, weights=weights)
    assert outcome.code == 2
    assert "choose as many with 'Bands of the panchromatic image'" in outcome.error
    assert sharpened(tmp_path, "pnn", images, weights=weights, pan_bands=[2])[0].code == 0


def test_fusing_refuses_a_checkpoint_of_sharpening(tmp_path: Path) -> None:
    images, weights = scene(tmp_path), stored(tmp_path, built("pnn", bands=2))
    outcome = run_method(
        "fuse_trained", weights=weights, output=str(tmp_path / "out.tif"), fine=images["pan"],
        coarse=images["multispectral"], target=images["multispectral"],
    )
    assert outcome.code == 2
    assert "is of the network 'pnn' and not of 'fuse_trained'" in outcome.error
