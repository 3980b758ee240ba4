"""STFDiff: its published size and names, its network written out, what it draws, and that it learns."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from networks import batch_for, built, learnt_from_nothing
from stfusion.networks._network import Form, Sampling, parameter_count
from stfusion.networks._stfdiff import DSUNet, StandardisedConv, STFDiff


def fields(network, count=2, rows=32, columns=32, seed=0):
    shape = (count, network.form.bands, rows, columns)
    return lambda step: torch.from_numpy(np.random.default_rng([seed, step]).normal(size=shape).astype(np.float32))


def drawn(network, batch, steps=3, seed=0, **options):
    rows, columns = batch.target.shape[-2:]
    with torch.inference_mode():
        noise = fields(network, len(batch.target), rows, columns, seed)
        return network.predict(batch, Sampling(noise, steps, **options))


@pytest.mark.parametrize(
    ("pairs", "multiples", "parameters", "entries"),
    [
        (1, (1, 2), 2_281_798, 118),
        (1, (1, 2, 4), 7_482_054, 154),
        (1, (1, 2, 4, 8), 27_745_734, 190),
        (2, (1, 2, 4), 7_488_966, 154),
    ],
)
def test_the_network_has_the_published_size(pairs, multiples, parameters, entries):
    with torch.device("meta"):
        network = DSUNet(6, pairs, 64, multiples)
    assert parameter_count(network) == parameters
    assert len(network.state_dict()) == entries


def test_the_published_form_has_the_published_names():
    with torch.device("meta"):
        state = STFDiff(Form()).net.state_dict()
    assert len(state) == 154
    block = {f"{name}.{kind}" for name in ("conv_1", "norm_1", "conv_2", "norm_2") for kind in ("weight", "bias")}
    assert {name[len("clean_mid_block."):] for name in state if name.startswith("clean_mid_block.")} == block
    timed = {"mlp.1.weight", "mlp.1.bias"}
    assert {name[len("noisy_downs.1.0."):] for name in state if name.startswith("noisy_downs.1.0.")} == block | timed
    shapes = {name: tuple(values.shape) for name, values in state.items()}
    assert {name.split(".")[0] for name in state} == {
        "time_mlp", "init_conv", "fine_init_conv", "coarse_init_conv", "noisy_init_conv", "clean_init_conv",
        "clean_downs", "noisy_downs", "noise_ups", "clean_mid_block", "noisy_mid_block", "final_res_block",
        "final_conv",
    }
    assert (shapes["time_mlp.1.weight"], shapes["time_mlp.3.weight"]) == ((256, 64), (256, 256))
    assert shapes["coarse_init_conv.weight"] == (64, 12, 3, 3)
    assert shapes["clean_downs.1.1.weight"] == (128, 64, 4, 4)
    assert shapes["noisy_downs.2.1.weight"] == (256, 128, 3, 3)
    assert shapes["noise_ups.0.0.conv_1.weight"] == (256, 384, 3, 3)
    assert shapes["noise_ups.0.0.res_conv.weight"] == (256, 384, 1, 1)
    assert shapes["noise_ups.1.1.1.weight"] == (64, 128, 3, 3)
    assert shapes["noise_ups.2.1.weight"] == (64, 64, 3, 3)
    assert shapes["final_conv.weight"] == (6, 64, 1, 1)


@pytest.mark.parametrize(("kind", "epsilon"), [(torch.float32, 1e-5), (torch.bfloat16, 1e-3)])
def test_kernels_are_standardised(kind, epsilon):
    torch.manual_seed(0)
    conv = StandardisedConv(30, 4, 3, padding=1).to(kind)
    image = torch.rand(2, 30, 5, 6, dtype=kind)
    kernels = conv.weight.detach().double().numpy()
    standard = np.stack([(kernel - kernel.mean()) / np.sqrt(kernel.var() + epsilon) for kernel in kernels])
    expected = functional.conv2d(image.double(), torch.from_numpy(standard), conv.bias.double(), padding=1)
    close = {"rtol": 1e-4, "atol": 1e-4} if kind == torch.float32 else {"rtol": 0.05, "atol": 0.2}
    torch.testing.assert_close(conv(image).double(), expected, **close)


def test_mixed_precision_draws_nearly_the_same():
    network = built("stfdiff").eval()
    batch = batch_for(network)
    single = drawn(network, batch)
    with torch.autocast("cpu", torch.float16):
        mixed = drawn(network, batch)
    assert (mixed - single).abs().max() < 1e-2 * (single.max() - single.min())


def literal_block(state, name, features, step=None):
    def part(key):
        return state[f"{name}.{key}"]

    kernel = part("conv_1.weight")
    deviation = (kernel.var((1, 2, 3), unbiased=False, keepdim=True) + 1e-5).sqrt()
    kernel = (kernel - kernel.mean((1, 2, 3), True)) / deviation
    inner = functional.conv2d(features, kernel, part("conv_1.bias"), padding=1)
    inner = functional.group_norm(inner, 8, part("norm_1.weight"), part("norm_1.bias"))
    if step is not None:
        values = part("mlp.1.weight") @ (step * torch.sigmoid(step)) + part("mlp.1.bias")
        scale, shift = values[: len(values) // 2], values[len(values) // 2 :]
        inner = inner * (1 + scale[:, None, None]) + shift[:, None, None]
    inner = inner * torch.sigmoid(inner)
    inner = functional.conv2d(inner, part("conv_2.weight"), part("conv_2.bias"), padding=1)
    inner = functional.group_norm(inner, 8, part("norm_2.weight"), part("norm_2.bias")).clamp(min=0)
    if f"{name}.res_conv.weight" in state:
        features = functional.conv2d(features, part("res_conv.weight"), part("res_conv.bias"))
    return inner + features


def literal_network(state, fine, coarse, noisy, time, width=8):
    """The published description of a network with multiples 1 and 2, one after the other."""
    def conv(name, features, **options):
        return functional.conv2d(features, state[f"{name}.weight"], state[f"{name}.bias"], **options)

    half = width // 2
    angles = torch.tensor([time / 10_000 ** (k / (half - 1)) for k in range(half)])
    step = state["time_mlp.1.weight"] @ torch.cat([angles.sin(), angles.cos()]) + state["time_mlp.1.bias"]
    step = state["time_mlp.3.weight"] @ functional.gelu(step) + state["time_mlp.3.bias"]
    clean = torch.cat([conv("fine_init_conv", fine, padding=1), conv("coarse_init_conv", coarse, padding=1)], 1)
    clean, noisy = conv("clean_init_conv", clean), conv("noisy_init_conv", noisy, padding=1)
    rest, skips = noisy - clean, []
    for level, options in enumerate(({"stride": 2, "padding": 1}, {"padding": 1})):
        clean = literal_block(state, f"clean_downs.{level}.0", clean)
        noisy = literal_block(state, f"noisy_downs.{level}.0", noisy, step)
        skips.append(noisy - clean)
        clean = conv(f"clean_downs.{level}.1", clean, **options)
        noisy = conv(f"noisy_downs.{level}.1", noisy, **options)
    noise = literal_block(state, "noisy_mid_block", noisy, step) - literal_block(state, "clean_mid_block", clean)
    noise = literal_block(state, "noise_ups.0.0", torch.cat([noise, skips[1]], 1), step)
    noise = conv("noise_ups.0.1.1", noise.repeat_interleave(2, -1).repeat_interleave(2, -2), padding=1)
    noise = literal_block(state, "noise_ups.1.0", torch.cat([noise, skips[0]], 1), step)
    noise = conv("noise_ups.1.1", noise, padding=1)
    return conv("final_conv", literal_block(state, "final_res_block", torch.cat([noise, rest], 1), step))


def test_the_network_is_its_description():
    torch.manual_seed(3)
    network = DSUNet(2, 1, 8, (1, 2)).eval()
    with torch.no_grad():
        for weights in network.parameters():
            weights.add_(0.1 * torch.randn_like(weights))
    fine, one, two, noisy = torch.rand(4, 2, 2, 8, 12).unbind()
    with torch.no_grad():
        found = network(noisy, torch.tensor([37, 4]), network.clean([fine], [one, two]))
        for item, time in enumerate((37, 4)):
            images = (fine, torch.cat([one, two], 1), noisy)
            expected = literal_network(network.state_dict(), *(image[item:item + 1] for image in images), time)
            torch.testing.assert_close(found[item:item + 1], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("bands", "pairs"), [(1, 1), (3, 2), (6, 1)])
def test_any_bands_and_sizes_are_drawn(bands, pairs):
    network = built("stfdiff", bands=bands, pairs=pairs)
    batch = batch_for(network, 2, 24, 36)
    assert drawn(network, batch).shape == (2, bands, 24, 36)


def test_the_images_come_in_the_order_of_their_dates():
    network = built("stfdiff", pairs=2)
    batch = batch_for(network)
    given = {}
    for name in ("fine_init_conv", "coarse_init_conv"):
        conv = getattr(network.net, name)
        conv.register_forward_hook(lambda _, images, __, name=name: given.update({name: images[0]}))
    drawn(network, batch, 1)
    assert torch.equal(given["fine_init_conv"], torch.cat(batch.fine, 1))
    assert torch.equal(given["coarse_init_conv"], torch.cat([batch.coarse[0], batch.target, batch.coarse[1]], 1))


def test_the_clean_images_are_looked_at_once():
    network = built("stfdiff")
    seen = []
    network.net.clean_mid_block.register_forward_hook(lambda *_: seen.append("clean"))
    network.net.noisy_mid_block.register_forward_hook(lambda *_: seen.append("noisy"))
    drawn(network, batch_for(network), 5)
    assert seen == ["clean", *["noisy"] * 5]


def test_a_drawing_is_told_by_its_noise_alone():
    network = built("stfdiff").eval()
    batch = batch_for(network)
    first = drawn(network, batch)
    assert torch.equal(first, drawn(network, batch))
    assert not torch.equal(first, drawn(network, batch, seed=1))
    fresh = drawn(network, batch, eta=1.0)
    assert torch.equal(fresh, drawn(network, batch, eta=1.0))
    assert not torch.equal(first, fresh)
    assert torch.equal(built("stfdiff").net.final_conv.weight, network.net.final_conv.weight)


def test_evaluations_are_counted_ahead():
    network = built("stfdiff")
    assert network.evaluations(Sampling(fields(network), 7)) == 7
    assert network.evaluations(Sampling(fields(network), 7, "ddpm")) == 100


def test_what_has_learnt_nothing_of_the_residual_gives_the_base():
    network = built("stfdiff", target="residual", residual_scale=0.5)
    batch = batch_for(network)
    assert (drawn(network, batch) - batch.base()).abs().max() < 0.02


def test_a_drawing_without_noise_is_refused():
    network = built("stfdiff")
    with pytest.raises(ValueError, match="how to draw"):
        network.predict(batch_for(network))


def test_invalid_pixels_teach_nothing():
    network = built("stfdiff")
    assert learnt_from_nothing(network, "net", batch_for(network)) == 0


def trained(network, batch, steps, rate):
    """The loss at the same steps and noise, before and after a training."""
    def loss():
        torch.manual_seed(7)
        with torch.no_grad():
            return np.mean([float(network("net", batch)["l1"]) for _ in range(8)])

    before = loss()
    torch.manual_seed(8)
    optimiser = network.optimiser("net")
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = rate * (1 - step / steps)
        optimiser.zero_grad()
        network("net", batch)["l1"].backward()
        optimiser.step()
    return before, loss()


def test_a_handful_of_patches_is_learnt_by_heart():
    network = built("stfdiff")
    batch = batch_for(network, 2, 16, 16)
    before, after = trained(network, batch, 200, 4e-3)
    assert after < before / 20
    assert functional.l1_loss(drawn(network, batch, 10), batch.truth) < 0.05


def test_the_noise_can_be_what_is_estimated():
    class OfNoise(STFDiff):
        objective = "noise"

    torch.manual_seed(1)
    network = OfNoise(Form(bands=1, size="small"))
    batch = batch_for(network, 2, 16, 16)
    before, after = trained(network, batch, 100, 4e-3)
    assert after < before / 2
