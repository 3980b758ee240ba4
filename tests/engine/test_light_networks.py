"""PNN, PanNet, DRPNN, MSDCNN, DiCNN, FusionNet and GPPNN: their published numbers, and the files of public codes."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from makers import run_method
from networks import built, error, fell, learnt_from_nothing, overfit, sharpening_batch, unlike_in_part
from real_data import real_scene
from sharpening import set_a
from stfusion.networks._batch import SharpeningBatch
from stfusion.networks._checkpoint import cleaned, load
from stfusion.networks._network import Form, Network, network_class, parameter_count
from stfusion.networks._shared import SHARPENING

#: Parameters of the published size with 8 and with 4 bands.
COUNTS = {
    "pnn": (104_360, 80_420), "pannet": (83_024, 77_640), "dicnn": (46_792, 42_180), "drpnn": (433_465, 418_365),
    "fusionnet": (78_632, 76_324), "msdcnn": (228_556, 189_852), "gppnn": (238_592, 119_808),
}
NEEDY = ("pannet", "gppnn")
#: Shapes of some values with 8 bands.
SHAPES = {
    "pnn": {"conv1.weight": (64, 9, 9, 9), "conv2.bias": (32,), "conv3.weight": (8, 32, 5, 5)},
    "pannet": {"deconv.weight": (8, 8, 8, 8), "conv1.weight": (32, 9, 3, 3), "res4.conv21.weight": (32, 32, 3, 3)},
    "dicnn": {"conv1.weight": (64, 9, 3, 3), "conv3.bias": (8,)},
    "drpnn": {"conv1.weight": (32, 9, 7, 7), "backbone.7.conv2.weight": (32, 32, 7, 7), "conv2.weight": (9, 32, 7, 7)},
    "fusionnet": {"conv1.weight": (32, 8, 3, 3), "res1.conv20.weight": (32, 32, 3, 3), "conv3.weight": (8, 32, 3, 3)},
    "msdcnn": {"conv2_3.weight": (20, 60, 7, 7), "conv4_1.weight": (10, 30, 3, 3), "shallow2.weight": (32, 64, 1, 1)},
    "gppnn": {"lr_blocks.7.prox.basic_unit.2.weight": (8, 64, 3, 3),
              "pan_blocks.0.get_PAN.basic_unit.2.weight": (1, 64, 1, 1)},
}
#: What public weights give for the scene A: mean, standard deviation, and the first band at (128, 128).
ANCHORS = {
    "WV3_pnn": (578.729, 245.403, 138.780), "WV3_fusionnet": (436.534, 201.030, 239.090),
    "QB_pnn": (377.224, 129.478, 194.126), "QB_fusionnet": (402.304, 113.409, 293.138),
}


def made(name: str, bands: int = 4, **form: object) -> Network:
    return built(name, bands=bands, **{"ratio": 4 if name in NEEDY else 0, **form})


@pytest.mark.parametrize("name", COUNTS)
def test_they_have_the_published_numbers_of_parameters_and_names(name: str) -> None:
    found = [parameter_count(made(name, bands, size="published").net) for bands in (8, 4)]
    shapes = {key: tuple(value.shape) for key, value in made(name, 8, size="published").net.state_dict().items()}
    assert tuple(found) == COUNTS[name]
    assert SHAPES[name].items() <= shapes.items()


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize(("bands", "ratio", "rows", "columns"), [(1, 2, 26, 40), (3, 3, 39, 27), (8, 6, 48, 36)])
def test_they_take_images_of_any_size_and_ratio(name: str, bands: int, ratio: int, rows: int, columns: int) -> None:
    network = made(name, bands, ratio=ratio)
    batch = sharpening_batch(network, rows=rows, columns=columns)
    assert network.predict(batch).shape == (2, bands, rows, columns)


@pytest.mark.parametrize("name", [name for name in COUNTS if name != "gppnn"])
def test_a_pixel_depends_on_no_more_than_the_margin(name: str) -> None:
    network = made(name).eval()
    margin, side = network.laid_out().margin, 96
    batch = sharpening_batch(network, 1, 2 * side, 2 * side)
    inside = sharpening_batch(network, 1, 2 * side, 2 * side)
    cut = 32
    part = SharpeningBatch(
        inside.pan[..., cut : cut + side, cut : cut + side], inside.expanded[..., cut : cut + side, cut : cut + side],
        None if inside.multispectral is None else inside.multispectral[..., 8 : 8 + side // 4, 8 : 8 + side // 4],
    )
    with torch.inference_mode():
        whole = network.predict(batch)[..., cut : cut + side, cut : cut + side]
        apart = (whole - network.predict(part)).abs()[..., margin : side - margin, margin : side - margin]
    assert apart.max() < 1e-5


def test_the_margin_is_that_of_the_layers() -> None:
    network = made("pnn").eval()
    batch = sharpening_batch(network, 1, 48, 48)
    assert unlike_in_part(network, batch, 8, 8, 32, 32, 8) < 1e-5
    assert unlike_in_part(network, batch, 8, 8, 32, 32, 6) > 1e-5


@pytest.mark.parametrize("target", ["image", "residual"])
@pytest.mark.parametrize("name", COUNTS)
def test_they_learn(name: str, target: str) -> None:
    network = made(name, target=target, residual_scale=0.1)
    batch = sharpening_batch(network, rows=24, columns=24)
    expected = functional.mse_loss(batch.expanded, batch.truth).item()
    losses = overfit(network, batch, 60, 3e-3)
    assert fell(losses["net"]) > 1.5
    if target == "residual":
        assert error(network, batch) < 0.5 * expected


@pytest.mark.parametrize("name", COUNTS)
def test_nothing_is_learnt_from_invalid_pixels(name: str) -> None:
    network = made(name)
    assert learnt_from_nothing(network, "net", sharpening_batch(network)) == 0


def test_a_network_that_needs_the_multispectral_image_needs_a_ratio() -> None:
    with pytest.raises(ValueError, match="a ratio of 2 or more, not for 0"):
        network_class("pannet")(Form(bands=4))


def imported(tmp_path: Path, name: str, state: object, **options: object):
    """What importing a file with these values gives, and the checkpoint."""
    torch.save(state, tmp_path / "public.pth")
    output = tmp_path / "imported.safetensors"
    outcome = run_method(
        "import_network", file=str(tmp_path / "public.pth"), network=name, unit=2047.0, output=str(output), **options
    )
    return outcome, output


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("prefix", ["", "module.", "net._orig_mod."])
def test_files_of_public_codes_are_imported(tmp_path: Path, name: str, prefix: str) -> None:
    network = made(name, 4, size="published")
    state = {f"{prefix}{key}": value for key, value in network.net.state_dict().items()}
    for begin, own in network.duplicates.items():
        state |= {key.replace(own, begin, 1): value for key, value in state.items() if key.startswith(prefix + own)}
    outcome, output = imported(tmp_path, name, state, grid="toolbox")
    assert outcome.code == 0, outcome.said.lines
    checkpoint = load(output)
    assert checkpoint.card.form == network.form
    assert checkpoint.card.grid == "toolbox"
    assert checkpoint.card.normalisation.scale == (2047.0,) * 5
    torch.testing.assert_close(checkpoint.build().net.state_dict(), network.net.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize("name", ["pnn", "pannet", "fusionnet", "msdcnn"])
def test_files_of_panbench_are_imported(tmp_path: Path, name: str) -> None:
    network = made(name, 4, size="published", code="panbench")
    state = {f"net._orig_mod.{'net.' if name == 'pnn' else ''}{key}": value
             for key, value in network.net.state_dict().items()}
    outcome, output = imported(tmp_path, name, {"state_dict": state})
    assert outcome.code == 0, outcome.said.lines
    assert load(output).card.form == network.form


def test_values_that_are_there_twice_have_to_be_the_same(tmp_path: Path) -> None:
    state = made("fusionnet", 4, size="published").net.state_dict()
    state |= {key.replace("res1", "backbone.0"): value.clone() for key, value in state.items() if "res1" in key}
    assert imported(tmp_path, "fusionnet", state)[0].code == 0
    state["backbone.0.conv21.bias"] += 1e-6
    outcome, _ = imported(tmp_path, "fusionnet", state)
    assert outcome.code == 2
    assert "has 'backbone.0.conv21.bias' and 'res1.conv21.bias', which are the same values" in outcome.error


def test_values_next_to_0_become_it(tmp_path: Path) -> None:
    state = made("drpnn", 4, size="published").net.state_dict()
    state["backbone.3.conv2.weight"][:] = torch.tensor(1e-39)
    outcome, output = imported(tmp_path, "drpnn", state)
    assert outcome.code == 0
    assert f"{32 * 32 * 49} values of 'public.pth' were so small that they were set to 0." in outcome.said.of("log")
    assert not load(output).state["backbone.3.conv2.weight"].any()
    assert cleaned(torch.tensor([0.0, 1e-31, -1e-29, -1e-40]))[1] == 2


def test_a_misspelt_or_missing_name_is_refused(tmp_path: Path) -> None:
    state = made("dicnn", 4, size="published").net.state_dict()
    state["con1.weight"] = state.pop("conv1.weight")
    outcome, output = imported(tmp_path, "dicnn", state)
    assert outcome.code == 2
    assert "lacks 'conv1.weight', which a network 'dicnn' of 4 band(s) needs" in outcome.error
    assert not output.exists()


def test_a_whole_pickled_model_is_refused(tmp_path: Path) -> None:
    path, output = tmp_path / "apnn.pth", tmp_path / "imported.safetensors"
    with path.open("wb") as file:
        pickle.dump(made("pnn"), file)
    outcome = run_method("import_network", file=str(path), network="pnn", output=str(output))
    assert outcome.code == 2
    assert "nothing in it was executed" in outcome.error
    assert not output.exists()


def images(bands: int) -> SharpeningBatch:
    """The scene A as the toolbox gives it to networks, but interpolated by torch."""
    scene = set_a(bands)
    coarse, pan = (torch.from_numpy(np.float32(image))[None] / 2047 for image in (scene.ms, scene.pan[None]))
    return SharpeningBatch(pan, functional.interpolate(coarse, scale_factor=4, mode="bicubic"), coarse)


@pytest.mark.parametrize("name", ANCHORS)
def test_public_weights_give_the_known_values(tmp_path: Path, name: str) -> None:
    folder, network = real_scene("weights_dlpan_gpl3"), name.split("_")[1]
    state = torch.load(folder / f"{name}.pth", map_location="cpu", weights_only=True)
    outcome, output = imported(tmp_path, network, state)
    assert outcome.code == 0, outcome.said.lines
    built_again = load(output).build()
    with torch.inference_mode():
        image = 2047 * built_again.predict(images(built_again.form.bands))
    found = (image.mean().item(), image.std().item(), image[0, 0, 128, 128].item())
    np.testing.assert_allclose(found, ANCHORS[name], atol=0.05)


@pytest.mark.parametrize("name", ["pnn", "pannet", "fusionnet", "msdcnn", "gppnn"])
def test_weights_of_panbench_are_imported(tmp_path: Path, name: str) -> None:
    folder = real_scene("weights_panbench_apache2")
    output = tmp_path / "imported.safetensors"
    outcome = run_method(
        "import_network", file=str(folder / f"{name}.pth"), network=name, unit=1.0, output=str(output)
    )
    assert outcome.code == 0, outcome.said.lines
    network = load(output).build()
    batch = images(4).map(lambda image: image * 2047 / 1023)
    with torch.inference_mode():
        assert functional.l1_loss(network.predict(batch), batch.expanded) < 0.1


def test_every_network_of_sharpening_is_in_this_file_or_has_its_own() -> None:
    own = {path.stem.removeprefix("test_") for path in Path(__file__).parent.glob("test_*.py")}
    assert set(SHARPENING) <= set(COUNTS) | own
