"""SR3: its published sizes and names, its network written out, what it draws, and that it learns."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from networks import batch_for, built, learnt_from_nothing
from stfusion.networks._network import Form, Sampling, parameter_count
from stfusion.networks._sr3 import SR3, Plan, SR3UNet


def fields(shape, seed=0):
    return lambda step: torch.from_numpy(np.random.default_rng([seed, step]).normal(size=shape).astype(np.float32))


def drawn(network, batch, steps=4, seed=0, **options):
    with torch.inference_mode():
        return network.predict(batch, Sampling(fields(batch.target.shape, seed), steps, **options))


def test_the_published_form_has_the_published_size_and_names():
    with torch.device("meta"):
        network = SR3(Form(bands=3, target="image"))
    assert parameter_count(network) == 97_807_491
    shapes = {name: tuple(values.shape) for name, values in network.net.state_dict().items()}
    assert len(shapes) == 362
    assert {name.split(".")[0] for name in shapes} == {"noise_level_mlp", "downs", "mid", "ups", "final_conv"}
    expected = {
        "noise_level_mlp.1.weight": (256, 64),
        "noise_level_mlp.3.weight": (64, 256),
        "downs.0.weight": (64, 6, 3, 3),
        "downs.1.res_block.noise_func.noise_func.0.weight": (64, 64),
        "downs.1.res_block.block1.block.0.weight": (64,),
        "downs.1.res_block.block2.block.3.weight": (64, 64, 3, 3),
        "downs.3.conv.weight": (64, 64, 3, 3),
        "downs.4.res_block.res_conv.weight": (128, 64, 1, 1),
        "downs.10.attn.qkv.weight": (1536, 512, 1, 1),
        "mid.0.attn.out.bias": (512,),
        "ups.0.res_block.res_conv.weight": (512, 1024, 1, 1),
        "ups.3.conv.weight": (512, 512, 3, 3),
        "ups.4.attn.norm.weight": (512,),
        "final_conv.block.3.weight": (3, 64, 3, 3),
    }
    assert {name: shapes.get(name) for name in expected} == expected
    assert "downs.10.attn.qkv.bias" not in shapes


def test_the_form_for_larger_images_has_its_published_size():
    with torch.device("meta"):
        network = SR3UNet(3, Plan(64, (1, 2, 4, 8, 16), 1, groups=16))
    assert parameter_count(network) == 155_334_339
    assert len(network.state_dict()) == 229


def literal_network(state, noisy, level, coarse):
    """The published description of a network of width 8 with multiples 1 and 2 and attention in the second level."""
    def conv(name, features, **options):
        return functional.conv2d(features, state[f"{name}.weight"], state.get(f"{name}.bias"), **options)

    def swish(values):
        return values * torch.sigmoid(values)

    def norm(name, features):
        return functional.group_norm(features, 4, state[f"{name}.weight"], state[f"{name}.bias"])

    def convolved(name, features):
        return conv(f"{name}.3", swish(norm(f"{name}.0", features)), padding=1)

    angles = torch.tensor([level / 10_000 ** (k / 4) for k in range(4)])
    told = torch.cat([angles.sin(), angles.cos()])
    told = swish(state["noise_level_mlp.1.weight"] @ told + state["noise_level_mlp.1.bias"])
    told = state["noise_level_mlp.3.weight"] @ told + state["noise_level_mlp.3.bias"]

    def block(name, features):
        inner = convolved(f"{name}.res_block.block1.block", features)
        key = f"{name}.res_block.noise_func.noise_func.0"
        inner = inner + (state[f"{key}.weight"] @ told + state[f"{key}.bias"])[:, None, None]
        inner = convolved(f"{name}.res_block.block2.block", inner)
        if f"{name}.res_block.res_conv.weight" in state:
            features = conv(f"{name}.res_block.res_conv", features)
        features = features + inner
        if f"{name}.attn.qkv.weight" not in state:
            return features
        width = features.shape[1]
        parts = conv(f"{name}.attn.qkv", norm(f"{name}.attn.norm", features)).view(3, width, -1)
        weights = torch.softmax(parts[0].T @ parts[1] / width**0.5, 1)
        return features + conv(f"{name}.attn.out", (parts[2] @ weights.T).view(features.shape))

    one = conv("downs.0", torch.cat([coarse, noisy], 1), padding=1)
    two = block("downs.1", one)
    three = conv("downs.2.conv", two, stride=2, padding=1)
    four = block("downs.3", three)
    features = block("mid.1", block("mid.0", four))
    features = block("ups.0", torch.cat([features, four], 1))
    features = block("ups.1", torch.cat([features, three], 1))
    features = conv("ups.2.conv", features.repeat_interleave(2, -1).repeat_interleave(2, -2), padding=1)
    features = block("ups.3", torch.cat([features, two], 1))
    features = block("ups.4", torch.cat([features, one], 1))
    return convolved("final_conv.block", features)


def test_the_network_is_its_description():
    torch.manual_seed(3)
    network = SR3UNet(2, Plan(8, (1, 2), 1, (1,), groups=4, dropout=0.2)).eval()
    with torch.no_grad():
        for weights in network.parameters():
            weights.add_(0.1 * torch.randn_like(weights))
    noisy, coarse = torch.randn(2, 2, 2, 8, 12).unbind()
    with torch.no_grad():
        found = network(noisy, torch.tensor([0.9, 0.2]), coarse)
        for item, level in enumerate((0.9, 0.2)):
            expected = literal_network(network.state_dict(), noisy[item:item + 1], level, coarse[item:item + 1])
            torch.testing.assert_close(found[item:item + 1], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("bands", [1, 3, 6])
def test_any_bands_and_sizes_are_drawn(bands):
    network = built("sr3", bands=bands).eval()
    image = drawn(network, batch_for(network, 2, 24, 40))
    assert image.shape == (2, bands, 24, 40)
    assert image.abs().max() <= 1


def test_the_fine_image_is_not_looked_at():
    network = built("sr3").eval()
    batch = batch_for(network)
    image = drawn(network, batch)
    for unseen in batch.fine:
        unseen.fill_(torch.nan)
    assert torch.equal(image, drawn(network, batch))
    batch.target.add_(0.1)
    assert not torch.equal(image, drawn(network, batch))


def test_the_network_is_told_the_level_of_the_noise():
    network = built("sr3").eval()
    told = []
    network.net.noise_level_mlp.register_forward_hook(lambda _, inputs, __: told.append(inputs[0]))
    drawn(network, batch_for(network), 2)
    kept = np.cumprod(1 - np.linspace(1e-6, 1e-2, 2000))
    np.testing.assert_allclose(torch.stack(told), np.sqrt([[kept[1999]] * 2, [kept[999]] * 2]), rtol=1e-5)
    network("net", batch_for(network, 8))
    assert len(told[-1].unique()) == 8
    assert ((told[-1] > 0) & (told[-1] <= 1)).all()


def test_evaluations_are_counted_ahead():
    network = built("sr3")
    assert network.evaluations(Sampling(fields(()), 7)) == 7
    assert network.evaluations(Sampling(fields(()), 7, "ddpm")) == 2000


def test_a_drawing_is_told_by_its_noise_alone():
    network = built("sr3").eval()
    batch = batch_for(network)
    first = drawn(network, batch)
    assert torch.equal(first, drawn(network, batch))
    assert not torch.equal(first, drawn(network, batch, seed=1))


def test_it_gives_no_residual():
    with pytest.raises(ValueError, match="no form that gives the residual"):
        built("sr3", target="residual")


def test_invalid_pixels_teach_nothing():
    network = built("sr3")
    assert learnt_from_nothing(network, "net", batch_for(network)) == 0


def test_a_handful_of_patches_is_learnt_by_heart():
    """At the same few levels and fields of noise in every step."""
    network = built("sr3")
    batch = batch_for(network, 2, 16, 16)
    optimiser = network.optimiser("net")
    losses = []
    for step in range(300):
        torch.manual_seed(step % 2)
        optimiser.param_groups[0]["lr"] = 4e-3 * (1 - step / 300)
        optimiser.zero_grad()
        loss = network("net", batch)["l1"]
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert np.mean(losses[-2:]) < np.mean(losses[:2]) / 20
