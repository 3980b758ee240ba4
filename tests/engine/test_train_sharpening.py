"""Training networks of sharpening: on a scene by Wald's protocol, on patches in HDF5, on simulated landscapes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from affine import Affine

from makers import FINE, Outcome, read_raster, run_method, write_raster
from stfusion.errors import UserError
from stfusion.networks._checkpoint import load
from stfusion.networks._network import network_class
from stfusion.raster.grids import Box
from stfusion.run import Context
from stfusion.training import _train_sharpening, _training_report
from stfusion.training._batches import collate
from stfusion.training._patches import Patches
from stfusion.training._sharpening_data import SharpeningData, WantedSharpening
from stfusion.training._sharpening_sources import Landscapes, SharpeningSource, interpolated

#: Options of a training that is over at once.
QUICK: dict[str, Any] = {
    "network": "dicnn", "size": "small", "epochs": 2, "samples": 12, "batch": 4, "patch": 16, "held_out": 2,
    "average": 0.5,
}
RATIO = 2


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    if request.function is not test_what_a_training_leaves:
        for name in ("maps", "curve"):
            monkeypatch.setattr(_training_report, name, lambda *_: b"")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Fields and texture in 2 bands of 40 x 80 pixels, and their mean in pixels half as wide."""
    folder, rng = tmp_path_factory.mktemp("scene"), np.random.default_rng(3)
    fields = np.kron(rng.random((2, 20, 40)), np.ones((4, 4)))
    fine = 1000 + 1500 * fields + 600 * np.kron(rng.random((1, 40, 80)), np.ones((2, 2)))
    coarse = fine.reshape(2, 40, 2, 80, 2).mean(axis=(2, 4))
    return {
        "multispectral": write_raster(folder / "ms.tif", coarse.round().astype(np.uint16), FINE * Affine.scale(RATIO)),
        "pan": write_raster(folder / "pan.tif", fine.mean(axis=0, keepdims=True).round().astype(np.uint16)),
    }


def train(path: Path, **values: Any) -> Outcome:
    return run_method("train_pansharpening", None, {"threads": 1}, checkpoint=str(path), **{**QUICK, **values})


def test_what_a_training_leaves(tmp_path: Path, scene: dict[str, str]) -> None:
    path = tmp_path / "net.safetensors"
    outcome = train(path, epochs=8, samples=48, learning_rate=3e-3, **scene)
    assert outcome.code == 0, outcome.said.lines
    result = outcome.said.of("result")[0]
    card = load(path).card
    assert (card.network, card.form.bands, card.form.target, card.grid) == ("dicnn", 2, "residual", "gis")
    assert (card.ratio, len(card.normalisation.scale), card.normalisation.kind) == ((2.0, 2.0), 3, "stored")
    assert list(card.figures) == ["interpolated", "mtf_glp_fs", "gsa", "dicnn"]
    assert result["ergas"] == card.figures["dicnn"]["ERGAS"] < 0.9 * card.figures["interpolated"]["ERGAS"]
    assert result["sam"] == card.figures["dicnn"]["SAM"]
    page = path.with_suffix(".html").read_text(encoding="utf-8")
    for words in ("ERGAS (validation)", "mtf_glp_fs", "Images of a sample", "a scene by Wald"):
        assert words in page, words
    text = path.with_suffix(".md").read_text(encoding="utf-8")
    assert "Ratio of multispectral to panchromatic pixel size: 2" in text
    again = train(path, epochs=8, samples=48, learning_rate=3e-3, **scene)
    assert any("has ended before" in text for text in again.said.of("log"))
    fused = run_method("dicnn", weights=str(path), output=str(tmp_path / "sharp.tif"), **scene)
    assert fused.code == 0, fused.said.lines
    assert read_raster(tmp_path / "sharp.tif").shape == (2, 80, 160)


def test_a_network_of_single_bands(tmp_path: Path, scene: dict[str, str]) -> None:
    path = tmp_path / "net.safetensors"
    outcome = train(path, network="pannet", per_band=True, **scene)
    assert outcome.code == 0, outcome.said.lines
    card = load(path).card
    assert (card.form.bands, card.form.ratio, card.normalisation.kind) == (1, RATIO, "scene")
    assert "It takes one band at a time" in " ".join(card.limits)
    assert list(card.figures) == ["interpolated", "mtf_glp_fs", "pannet"]
    assert "sam" not in outcome.said.of("result")[0]


def test_a_network_that_is_no_better_than_interpolation_says_so(tmp_path: Path, scene: dict[str, str]) -> None:
    path = tmp_path / "net.safetensors"
    outcome = train(path, epochs=1, samples=4, target="image", learning_rate=1e-9, **scene)
    assert outcome.code == 0
    assert any("It is of no use yet" in text for text in outcome.said.of("warning"))
    assert any("It is of no use yet" in limit for limit in load(path).card.limits)


def test_methods_that_cannot_be_computed_are_told_of(
    tmp_path: Path, scene: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The interpolated image stands in for them; whoever goes on is told again, without computing anything anew."""
    path, computed, real = tmp_path / "net.safetensors", list[str](), _train_sharpening.run_method

    def fails_at_first(context: Context, name: str, *images: Any, **options: Any) -> Any:
        computed.append(name)
        if name == "gsa" and computed.count(name) == 1:
            raise UserError("The bands are alike.")
        return real(context, name, *images, **options)

    monkeypatch.setattr(_train_sharpening, "run_method", fails_at_first)
    sentence = "On 1 of 2 samples of validation gsa could not be computed, and interpolated stands in (The bands are"
    for _ in range(2):
        outcome = train(path, **scene)
        assert outcome.code == 0, outcome.said.lines
        assert any(sentence in text for text in outcome.said.of("warning"))
        assert sentence in path.with_suffix(".html").read_text(encoding="utf-8")
    assert sorted(computed) == ["gsa", "gsa", "mtf_glp_fs", "mtf_glp_fs"]
    figures = load(path).card.figures
    assert figures["gsa"]["RMSE"] != figures["interpolated"]["RMSE"]


def test_samples_of_a_scene_are_those_of_the_protocol(tmp_path: Path, scene: dict[str, str]) -> None:
    reduced, pan = str(tmp_path / "reduced.tif"), str(tmp_path / "pan.tif")
    for image in scene.values():
        write_raster(Path(image).with_suffix(".f.tif"), read_raster(image).astype(np.float32),
                     FINE * Affine.scale(RATIO) if "ms" in Path(image).name else FINE)
    scene = {name: str(Path(path).with_suffix(".f.tif")) for name, path in scene.items()}
    outcome = run_method("wald_protocol", output=reduced, reduced_pan=pan, **scene)
    assert outcome.code == 0, outcome.said.lines
    data = opened(tmp_path, scene)
    images = data.read(0, Box(8, 24, 10, 30))
    np.testing.assert_allclose(images.truth, read_raster(scene["multispectral"])[:, 8:24, 10:30])
    np.testing.assert_allclose(images.multispectral, read_raster(reduced)[:, 4:12, 5:15], rtol=1e-5)
    np.testing.assert_allclose(images.pan, read_raster(pan)[:, 8:24, 10:30], rtol=1e-4)
    whole = interpolated(np.pad(read_raster(reduced), ((0, 0), (3, 3), (3, 3)), "edge"), (40, 80), RATIO, "gis", 3)
    np.testing.assert_allclose(images.expanded, whole[:, 8:24, 10:30], rtol=1e-5)


def opened(tmp_path: Path, scene: dict[str, str]) -> SharpeningSource:
    """The source of a scene, as a training opens it."""
    from stfusion import job, registry
    from stfusion.protocol import SilentReporter
    from stfusion.run import Context
    from stfusion.training._train_sharpening import _sources

    values = {"checkpoint": str(tmp_path / "x.safetensors"), **QUICK, **scene}
    order = job.parse(job.build(registry.methods()["train_pansharpening"], values, threads=1))
    (source,) = _sources(Context(order, SilentReporter()), 2**26)
    return source


def patches(path: Path, count: int = 6, old: bool = False, **changed: np.ndarray | None) -> Path:
    """A data set of random patches of 16 x 16 pixels, 3 bands and the ratio 4."""
    rng = np.random.default_rng(7)
    truth = rng.uniform(100, 1500, (count, 3, 16, 16))
    coarse = truth.reshape(count, 3, 4, 4, 4, 4).mean(axis=(3, 5))
    images = {"gt": truth, "ms": coarse, "lms": np.kron(coarse, np.ones((4, 4))),
              "pan": truth.mean(axis=1, keepdims=True), **changed}
    names = dict(zip(("gt", "ms", "lms", "pan"), ("I_GT", "I_MS_LR", "I_MS", "I_PAN"), strict=True))
    with h5py.File(path, "w") as file:
        for name, image in images.items():
            if image is not None:
                file[names[name] if old else name] = image[:, 0] if old and name == "pan" else image
    return path


@pytest.mark.parametrize("old", [False, True])
def test_patches_of_both_kinds_of_files(tmp_path: Path, old: bool) -> None:
    source = Patches(str(patches(tmp_path / "train.h5", old=old)), "toolbox")
    assert (source.count, source.bands, source.ratio, source.shape) == (6, 3, 4, (16, 16))
    images = source.read(2, Box(4, 12, 8, 16))
    with h5py.File(tmp_path / "train.h5") as file:
        names = ("I_GT", "I_MS_LR", "I_MS") if old else ("gt", "ms", "lms")
        truth, coarse, wide = (file[name][2] for name in names)
    np.testing.assert_allclose(images.truth, truth[:, 4:12, 8:16], rtol=1e-6)
    np.testing.assert_allclose(images.multispectral, coarse[:, 1:3, 2:4], rtol=1e-6)
    np.testing.assert_allclose(images.expanded, wide[:, 4:12, 8:16], rtol=1e-6)
    np.testing.assert_allclose(images.pan, truth.mean(axis=0, keepdims=True)[:, 4:12, 8:16], rtol=1e-6)


def test_patches_without_interpolated_images_get_them(tmp_path: Path) -> None:
    source = Patches(str(patches(tmp_path / "train.h5", lms=None)), "toolbox")
    images = source.read(0, Box(0, 16, 0, 16))
    # The toolbox has the coarse pixel n at the fine pixel 4 n + 2.
    np.testing.assert_allclose(images.expanded[:, 2::4, 2::4], images.multispectral, rtol=1e-5)


@pytest.mark.parametrize(("changed", "sentence"), [
    ({"gt": None}, "has no true images ('gt', 'I_GT' or 'GT') but 'lms', 'ms', 'pan'"),
    ({"ms": None}, "has no 'ms'"),
    ({"ms": np.ones((6, 3, 5, 5))}, "do not go together"),
    ({"pan": np.ones((6, 16, 16, 1))}, "do not go together"),
    ({"gt": np.ones((16, 16, 3, 6))}, "do not go together"),
    ({"pan": np.ones((6, 1, 64, 64))}, "do not go together"),
])
def test_data_sets_that_cannot_be_learnt_from_are_refused(
    tmp_path: Path, changed: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence.replace("(", r"\(").replace(")", r"\)")):
        Patches(str(patches(tmp_path / "train.h5", **changed)), "gis")


def test_training_on_patches_and_on_landscapes(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    outcome = train(path, dataset=[str(patches(tmp_path / "a.h5"))])
    assert outcome.code == 0, outcome.said.lines
    card = load(path).card
    assert (card.grid, card.ratio, card.form.bands) == ("toolbox", (4.0, 4.0), 3)
    outcome = train(tmp_path / "made.safetensors", landscapes=True, epochs=1, samples=4)
    assert outcome.code == 0, outcome.said.lines
    assert load(tmp_path / "made.safetensors").card.form.bands == 4


def test_what_cannot_be_trained_on_is_refused(tmp_path: Path, scene: dict[str, str]) -> None:
    text = tmp_path / "no.h5"
    text.write_text("no HDF5", encoding="utf-8")
    refused: list[tuple[dict[str, Any], str]] = [
        ({}, "There is nothing to learn from"),
        ({"pan": scene["pan"]}, "Of a scene both images are needed"),
        ({**scene, "patch": 17}, "'Patch' (patch) is 17 and a multispectral pixel is 2"),
        ({**scene, "patch": 64}, "are too small to learn from one part"),
        ({**scene, "dataset": [str(patches(tmp_path / "b.h5"))]}, "has 2 band(s) and b.h5 has 3"),
        ({"dataset": [str(text)]}, "cannot be read as HDF5"),
    ]
    for values, sentence in refused:
        outcome = train(tmp_path / "net.safetensors", **values)
        assert outcome.code == 2, outcome.said.lines
        assert sentence in outcome.error
        assert not (tmp_path / "net.safetensors").exists()


def test_samples_are_the_same_every_time_and_are_varied_only_where_that_is_wanted() -> None:
    kind = network_class("pannet")
    source = Landscapes(2, 4, 0.3, seed=1)
    wanted = WantedSharpening(patch=16, held_out=4)
    one, other = (SharpeningData(wanted, kind, [source], lambda sentence: None) for _ in range(2))
    batch = collate([one.draw(1, 2), one.draw(1, 3)])
    again = collate([other.draw(1, 2), other.draw(1, 3)])
    assert batch.shape == (2, 2, 16, 16)
    for name in ("pan", "expanded", "multispectral", "truth"):
        np.testing.assert_array_equal(getattr(batch, name), getattr(again, name))
    held = one.held(0)
    part, item, box, _ = one.validation[0]
    np.testing.assert_allclose(held.normalisation.undo(held.truth), source.read(item, box).truth, rtol=1e-4, atol=1e-6)
    assert item in part.items
    assert item not in one._training[0].items


def test_hyperspectral_patches_have_several_bands_in_place_of_one(tmp_path: Path) -> None:
    path, rng = tmp_path / "cave.h5", np.random.default_rng(1)
    truth = rng.random((4, 6, 16, 16))
    with h5py.File(path, "w") as file:
        file["GT"], file["RGB"] = truth, truth[:, ::2]
        file["LRHSI"] = truth.reshape(4, 6, 4, 4, 4, 4).mean(axis=(3, 5))
    outcome = train(tmp_path / "net.safetensors", epochs=1, samples=4, dataset=[str(path)], patches_grid="gis")
    assert outcome.code == 0, outcome.said.lines
    card = load(tmp_path / "net.safetensors").card
    assert (card.form.bands, card.form.pan_bands, len(card.normalisation.scale)) == (6, 3, 9)
    refused = train(tmp_path / "other.safetensors", network="fusionnet", dataset=[str(path)])
    assert "has 3 bands in place of the panchromatic one and a network 'fusionnet' takes one" in refused.error
