"""Checkpoints: what is written is read again, what is no checkpoint is refused, and nothing is ever executed."""

from __future__ import annotations

import json
import pickle
import re
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from makers import read_raster, run_method, write_raster
from networks import Hostile
from stfusion.errors import UserError
from stfusion.networks._batch import FusionBatch
from stfusion.networks._checkpoint import Card, load, save
from stfusion.networks._network import Form, Sampling
from stfusion.networks._normalisation import Normalisation
from toy_network import Noisy, Toy, use

CARD = Card(
    network="edcstfn", form=Form(bands=2), normalisation=Normalisation("stored", (0.0, 0.1), (1.0, 2.0)),
    ratio=(4.0, 16.0), title="A toy", bands=("red", "NIR"), data={"Places": ["here", "there"]},
    training={"Seed": 3, "Options": {"epochs": 2}},
    figures={"edcstfn": {"RMSE": 0.01, "SSIM": 0.9}, "copy_fine": {"RMSE": 0.02, "SSIM": 0.8}},
    limits=("It is a toy.",), licence="CC0-1.0",
)


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A checkpoint of the toy with random weights."""
    torch.manual_seed(0)
    network = Toy(CARD.form)
    torch.nn.init.uniform_(network.net.weight)
    save(tmp_path / "toy.safetensors", network, CARD)
    return tmp_path / "toy.safetensors"


def test_what_is_written_is_read_again(path: Path) -> None:
    checkpoint = load(path)
    assert checkpoint.card == replace(CARD, parameters=50)
    torch.manual_seed(0)
    network = Toy(CARD.form)
    torch.nn.init.uniform_(network.net.weight)
    torch.testing.assert_close(checkpoint.build().net.state_dict(), network.net.state_dict(), rtol=0, atol=0)
    assert sorted(file.name for file in path.parent.iterdir()) == ["toy.json", "toy.md", "toy.safetensors"]


def test_half_precision_halves_the_file_and_is_read_as_single(path: Path) -> None:
    network = load(path).build()
    half = path.with_name("half.safetensors")
    save(half, network, CARD, half=True)
    assert load(half).state["weight"].dtype == torch.float32
    torch.testing.assert_close(load(half).state, dict(network.net.state_dict()), rtol=1e-3, atol=0)
    assert half.stat().st_size < path.stat().st_size


def test_the_card_is_also_there_for_people(path: Path) -> None:
    assert json.loads(path.with_suffix(".json").read_text())["bands"] == ["red", "NIR"]
    text = path.with_suffix(".md").read_text()
    for part in ("# A toy", "50 parameters", "2 (red, NIR)", "4 to 16", "(value - 0.1) / 2", "CC0-1.0",
                 "| **edcstfn** | 0.01 | 0.9 |", "| copy_fine | 0.02 | 0.8 |", "* Places: here, there", "  * epochs: 2",
                 "* It is a toy."):
        assert part in text


def stored(path: Path, card: dict[str, Any] | str | None, **tensors: torch.Tensor) -> Path:
    """A safetensors file with this card."""
    tensors = tensors or {"weight": torch.ones(2, 1, 5, 5)}
    save_file(tensors, path, {"card": card if isinstance(card, str) else json.dumps(card)} if card else None)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as raised:
        load(path).build()
    return str(raised.value)


def test_what_is_no_checkpoint_is_refused(tmp_path: Path, path: Path) -> None:
    plain = json.loads(path.with_suffix(".json").read_text())
    broken, new = tmp_path / "broken.safetensors", tmp_path / "new.safetensors"
    assert "cannot be read (No such file" in refusal(tmp_path / "none.safetensors")
    assert "cannot be read (Is a directory" in refusal(tmp_path)
    for content in (b"", b"\xff" * 100, path.read_bytes()[:-10], pickle.dumps({"weight": 1})):
        broken.write_bytes(content)
        assert "no whole safetensors file" in refusal(broken)
    assert "no model card" in refusal(stored(new, None))
    for card in ("[]", "{}", "no JSON", json.dumps({**plain, "schema": 9}), json.dumps({**plain, "network": "x"}),
                 json.dumps({**plain, "form": {"bands": 1, "colour": 2}}), json.dumps({**plain, "ratio": 3})):
        assert "model card in" in refusal(stored(new, card)), card
    assert "lacks 'weight'" in refusal(stored(new, plain, other=torch.ones(1)))
    assert "has 'other'" in refusal(stored(new, plain, weight=torch.ones(2, 1, 5, 5), other=torch.ones(1)))
    assert "(3, 1, 5, 5)" in refusal(stored(new, plain, weight=torch.ones(3, 1, 5, 5)))
    assert "not finite" in refusal(stored(new, plain, weight=torch.full((2, 1, 5, 5), torch.nan)))


@pytest.fixture
def scene(tmp_path: Path) -> dict[str, str]:
    """A pair and a target of two bands; reflectance."""
    rng = np.random.default_rng(2)
    return {name: write_raster(tmp_path / f"{name}.tif", rng.random((2, 40, 50), np.float32))
            for name in ("fine", "coarse", "target")}


def test_a_hostile_file_is_refused_and_does_nothing(tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    for name, content in (("new.pth", {"weight": Hostile(witness)}), ("old.pth", Hostile(witness))):
        torch.save(content, tmp_path / name, _use_new_zipfile_serialization=name == "new.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Hostile(witness), protocol=4))
    for name in ("new.pth", "old.pth", "plain.pth"):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            outcome = run_method("import_network", file=str(tmp_path / name), network="edcstfn",
                                 output=str(tmp_path / "out.safetensors"))
        assert outcome.code == 2
        assert "nothing in it was executed" in outcome.error
    assert not witness.exists()
    assert not (tmp_path / "out.safetensors").exists()


@pytest.mark.parametrize("wrap", [
    lambda state: state,
    lambda state: {"state_dict": state, "optim_dict": {"lr": 1.0}},
    lambda state: {"model": {"x": torch.zeros(1)}, "ema": {f"ema_model.model.{k}": v for k, v in state.items()}},
    lambda state: {f"module.{k}": v for k, v in state.items()},
])
def test_public_files_are_imported(tmp_path: Path, scene: dict[str, str], wrap: Any) -> None:
    """Bands are found from the shapes; what was imported fuses."""
    public, ours = tmp_path / "public.pth", tmp_path / "ours.safetensors"
    torch.save(wrap({"weight": torch.full((2, 1, 5, 5), 0.04)}), public)
    outcome = run_method("import_network", file=str(public), network="edcstfn", unit=100.0, ratio=8.0,
                         bands="red, NIR", output=str(ours))
    assert outcome.code == 0, outcome.said.lines
    card = load(ours).card
    assert (card.form, card.ratio, card.bands) == (Form(bands=2), (8.0, 8.0), ("red", "NIR"))
    assert card.normalisation == Normalisation("stored", (0.0, 0.0), (100.0, 100.0))


def test_a_public_file_of_another_network_is_refused(tmp_path: Path) -> None:
    torch.save({"conv.weight": torch.zeros(1)}, tmp_path / "other.pth")
    torch.save([1, 2], tmp_path / "none.pth")
    (tmp_path / "text.pth").write_text("hello")
    for name, words in (("other", "lacks 'weight'"), ("none", "holds no values"), ("text", "nothing in it was"),
                        ("missing", "No such file")):
        outcome = run_method("import_network", file=str(tmp_path / f"{name}.pth"), network="edcstfn",
                             output=str(tmp_path / "out.safetensors"))
        assert outcome.code == 2
        assert words in outcome.error
        assert not (tmp_path / "out.safetensors").exists()


def fuse(tmp_path: Path, path: Path, scene: dict[str, str], **values: Any) -> Any:
    return run_method("fuse_trained", weights=str(path), output=str(tmp_path / "fused.tif"), **scene, **values)


def test_fusing_with_a_checkpoint(tmp_path: Path, path: Path, scene: dict[str, str]) -> None:
    outcome = fuse(tmp_path, path, scene)
    assert outcome.code == 0, outcome.said.lines
    fused = read_raster(tmp_path / "fused.tif")
    fine, coarse, target = (np.pad(read_raster(scene[n]), ((0, 0), (2, 2), (2, 2)), mode="symmetric")
                            for n in ("fine", "coarse", "target"))
    windows = np.lib.stride_tricks.sliding_window_view((target - coarse) / np.array([1, 2])[:, None, None], (5, 5),
                                                       axis=(1, 2))
    weights = load(path).state["weight"][:, 0].numpy()
    change = (windows * weights[:, None, None]).sum(axis=(3, 4)) * np.array([1, 2])[:, None, None]
    np.testing.assert_allclose(fused, fine[:, 2:-2, 2:-2] + change, atol=1e-4)


def test_a_scene_that_does_not_fit_is_refused(tmp_path: Path, path: Path, scene: dict[str, str]) -> None:
    one = fuse(tmp_path, path, scene, fine_bands=[1], coarse_bands=[1])
    assert one.code == 2
    assert re.search(r"has 1 band\(s\) and '.*' was trained for 2 \(red, NIR\)", one.error)
    numbers = {name: write_raster(tmp_path / f"{name}_dn.tif", read_raster(file) * 10_000)
               for name, file in scene.items()}
    scaled = fuse(tmp_path, path, numbers)
    assert scaled.code == 2
    assert "was trained on values of about" in scaled.error
    save(path, Toy(Form(bands=2, pairs=2)), replace(CARD, form=Form(bands=2, pairs=2)))
    pairs = fuse(tmp_path, path, scene)
    assert pairs.code == 2
    assert "was trained for 2 pairs and 1 is given" in pairs.error
    certain = fuse(tmp_path, path, {**scene, "fine2": scene["coarse"], "coarse2": scene["fine"]},
                   uncertainty=str(tmp_path / "u.tif"))
    assert certain.code == 2
    assert "has no uncertainty" in certain.error
    assert not (tmp_path / "fused.tif").exists()


def test_a_ratio_far_from_the_training_is_warned_about(tmp_path: Path, path: Path, scene: dict[str, str]) -> None:
    from affine import Affine

    from makers import FINE

    rng = np.random.default_rng(2)
    coarse = {name: write_raster(tmp_path / f"{name}.tif", rng.random((2, 20, 25), np.float32), FINE * Affine.scale(2))
              for name in ("coarse", "target")}
    outcome = fuse(tmp_path, path, {**scene, **coarse})
    assert outcome.code == 0
    assert any("is 2 fine pixels wide and 'toy.safetensors' was trained for 4 to 16" in text
               for text in outcome.said.of("warning"))


def test_a_network_for_single_bands_takes_any(tmp_path: Path, path: Path, scene: dict[str, str]) -> None:
    form = Form(bands=1)
    save(path, Toy(form), replace(CARD, form=form, normalisation=Normalisation("scene"), bands=()))
    assert fuse(tmp_path, path, scene).code == 0
    numbers = {name: write_raster(tmp_path / f"{name}_dn.tif", read_raster(file) * 10_000 - 300)
               for name, file in scene.items()}
    reflectance = read_raster(tmp_path / "fused.tif")
    assert fuse(tmp_path, path, numbers).code == 0
    np.testing.assert_allclose(read_raster(tmp_path / "fused.tif"), reflectance * 10_000 - 300, rtol=1e-4, atol=0.5)


def test_a_scene_whose_patches_are_too_large_is_begun_again_with_smaller_ones(
    tmp_path: Path, path: Path, scene: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of the first attempt is left: neither values nor counts."""
    narrow = {name: write_raster(tmp_path / f"{name}_8.tif", (read_raster(file) * 255).astype(np.uint8))
              for name, file in scene.items()}
    save(path, Toy(CARD.form), replace(CARD, normalisation=Normalisation("stored", (0.0, 0.0), (255.0, 255.0))))
    undisturbed = fuse(tmp_path, path, narrow)
    expected, calls = read_raster(tmp_path / "fused.tif"), []

    class Late(Toy):
        """Its device is full after the first row of patches."""

        def predict(self, batch: FusionBatch, sampling: Sampling | None = None) -> torch.Tensor:
            calls.append(len(batch.target))
            if len(calls) > 3 and batch.target.shape[-1] > 20:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return super().predict(batch, sampling)

    use(monkeypatch, Late)
    outcome = fuse(tmp_path, path, narrow)
    assert outcome.code == 0, outcome.said.lines
    np.testing.assert_array_equal(read_raster(tmp_path / "fused.tif"), expected)
    smaller, *others = outcome.said.of("warning")
    assert "12 instead of 24 pixels" in smaller
    assert others == undisturbed.said.of("warning")
    assert any("were clipped" in text for text in others)


def test_uncertainty(tmp_path: Path, path: Path, scene: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, Noisy)
    spread = tmp_path / "spread.tif"
    single = fuse(tmp_path, path, scene, uncertainty=str(spread), samples=1)
    assert single.code == 2
    assert "'Samples' (samples) is 1" in single.error
    outcome = fuse(tmp_path, path, scene, uncertainty=str(spread), samples=40, steps=2)
    assert outcome.code == 0, outcome.said.lines
    assert outcome.said.of("result")[0]["uncertainty"] == str(spread)
    np.testing.assert_allclose(read_raster(spread).mean(axis=(1, 2)), [0.1, 0.2], rtol=0.02)
    first = read_raster(tmp_path / "fused.tif")
    fuse(tmp_path, path, scene, samples=40, steps=2)
    np.testing.assert_array_equal(read_raster(tmp_path / "fused.tif"), first)
    fuse(tmp_path, path, scene, samples=40, steps=2, settings={"seed": 1})
    assert np.abs(read_raster(tmp_path / "fused.tif") - first).max() > 0.01


def test_a_method_refuses_weights_of_another_and_says_when_it_has_none(
    tmp_path: Path, path: Path, scene: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = run_method("swinstfm", weights=str(path), output=str(tmp_path / "fused.tif"), **scene)
    assert "is of the network 'edcstfn' and not of 'swinstfm'" in other.error
    monkeypatch.setattr("stfusion.networks._whole.shipped", lambda name: None)
    none = run_method("swinstfm", output=str(tmp_path / "fused.tif"), **scene)
    assert "comes without weights; train it with 'Train a fusion network'" in none.error
    assert (other.code, none.code) == (2, 2)
