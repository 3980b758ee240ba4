"""DDIF: its published sizes, its network written out, what it draws, and that it learns."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from stfusion.networks._ddif import PLANS, DDIFUNet, haar
from stfusion.networks._network import parameter_count
from stfusion.networks._unet import Plan


@pytest.mark.parametrize(
    ("bands", "guides", "parameters"),
    [(4, 1, 10_250_324), (8, 1, 10_397_208), (31, 3, 11_332_511), (102, 4, 13_985_062), (128, 3, 14_894_448)],
)
def test_the_published_form_has_the_published_size(bands, guides, parameters):
    with torch.device("meta"):
        assert parameter_count(DDIFUNet(bands, guides, PLANS["published"])) == parameters


def test_the_small_form_has_its_size():
    with torch.device("meta"):
        assert parameter_count(DDIFUNet(4, 1, PLANS["small"])) == 1_323_308


def test_the_haar_transform_has_the_values_of_the_specification():
    found = haar(torch.tensor([[[[1.0, 2.0], [3.0, 5.0]]]]))
    assert found.flatten().tolist() == [5.5, -2.5, -1.5, 0.5]


def test_the_haar_transform_keeps_the_sum_of_squares_of_every_band():
    image = torch.rand(2, 3, 6, 10)
    parts = haar(image).reshape(2, 4, 3, 3, 5)
    torch.testing.assert_close(parts.square().sum((1, 3, 4)), image.square().sum((2, 3)))
    torch.testing.assert_close(parts[:, 0], 2 * functional.avg_pool2d(image, 2))


def test_an_odd_side_is_continued_for_the_haar_transform():
    image = torch.rand(1, 2, 5, 3)
    continued = torch.cat((image, image[..., -1:]), -1)
    assert torch.equal(haar(image), haar(torch.cat((continued, continued[..., -1:, :]), -2)))


def literal_network(state, images, noisy, guess, time, heads=8):
    """The published description of a network of width 8 with multiples 1 and 2, a block each, one step at a time."""
    expanded, pan = images

    def conv(name, features, **options):
        return functional.conv2d(features, state[f"{name}.weight"], state.get(f"{name}.bias"), **options)

    def swish(values):
        return values * torch.sigmoid(values)

    def norm(name, features):
        deviation = (features.var((1, 2, 3), unbiased=False, keepdim=True) + 1e-5).sqrt()
        normal = (features - features.mean((1, 2, 3), True)) / deviation
        return normal * state[f"{name}.weight"][:, None, None] + state[f"{name}.bias"][:, None, None]

    def resized(image, features):
        return functional.interpolate(image, features.shape[-2:], mode="bilinear", align_corners=False)

    angles = torch.tensor([time * 10_000 ** (-k / 4) for k in range(4)])
    told = torch.cat([angles.sin(), angles.cos()])
    told = swish(state["time.1.weight"] @ told + state["time.1.bias"])
    told = state["time.3.weight"] @ told + state["time.3.bias"]

    def res_block(name, features):
        inner = conv(f"{name}.block1.block.3", swish(norm(f"{name}.block1.block.0", features)), padding=1)
        key = f"{name}.noise_func.noise_func.0"
        inner = inner + (state[f"{key}.weight"] @ told + state[f"{key}.bias"])[:, None, None]
        inner = conv(f"{name}.block2.block.3", swish(norm(f"{name}.block2.block.0", inner)), padding=1)
        return features + inner

    def attention(name, features):
        _, width, rows, columns = features.shape
        known = conv(f"{name}.qkv", norm(f"{name}.norm", features)).reshape(heads, 3, width // heads, rows * columns)
        weights = torch.softmax(known[:, 0].transpose(1, 2) @ known[:, 1] / width**0.5, -1)
        answer = (known[:, 2] @ weights.transpose(1, 2)).reshape(features.shape)
        return features + conv(f"{name}.out", answer)

    def style(name, features):
        found = conv(f"{name}.style.0", resized(torch.cat([expanded, pan], 1), features), padding=1)
        scale, shift = conv(f"{name}.style.3", swish(norm(f"{name}.style.1", found))).chunk(2, 1)
        return conv(f"{name}.project", features) * (1 + scale) + shift

    a, b, c, d = ((expanded, pan)[k] for k in (0, 1, 1, 1))
    wavelets = [
        (part[..., ::2, ::2] + u * part[..., ::2, 1::2] + v * part[..., 1::2, ::2] + u * v * part[..., 1::2, 1::2]) / 2
        for part, u, v in ((a, 1, 1), (b, 1, -1), (c, -1, 1), (d, -1, -1))
    ]
    detailed = functional.interpolate(torch.cat(wavelets, 1), scale_factor=2, mode="bilinear")

    def detail(name, features):
        condition = resized(detailed, features)
        features = norm(f"{name}.norm", features)
        width, each = features.shape[1], features.shape[1] // heads
        query = conv(f"{name}.query.1", conv(f"{name}.query.0", features, padding=1, groups=width))
        both = conv(f"{name}.key_value.0", condition, padding=1, groups=condition.shape[1])
        key, value = conv(f"{name}.key_value.1", both).chunk(2, 1)
        query = query.exp() / query.exp().sum(2, keepdim=True) / each**0.5
        key = key.exp() / key.exp().sum(3, keepdim=True)
        answer = torch.empty_like(features)
        for head in range(heads):
            part = slice(head * each, (head + 1) * each)
            context = key[0, part].flatten(1) @ value[0, part].flatten(1).T
            answer[0, part] = (context.T @ query[0, part].flatten(1)).reshape(each, *features.shape[2:])
        passed = conv(f"{name}.project", features) if f"{name}.project.weight" in state else features
        features = conv(f"{name}.project_answer", answer) + passed
        inner = swish(conv(f"{name}.forward_part.0", features, padding=1))
        inner = conv(f"{name}.forward_part.2", inner, padding=1)
        return features + conv(f"{name}.forward_part.3", inner)

    kept = [conv("stem", torch.cat([guess, noisy], 1), padding=1)]
    kept.append(res_block("downs.0.res_block", style("downs.0.modulation", kept[-1])))
    kept.append(conv("downs.1.conv", kept[-1], stride=2, padding=1))
    inner = res_block("downs.2.res_block", style("downs.2.modulation", kept[-1]))
    kept.append(attention("downs.2.attention", inner))
    features = res_block("middle.2", attention("middle.1", res_block("middle.0", kept[-1])))
    for number in (0, 1):
        features = detail(f"ups.{number}.modulation", torch.cat([features, kept.pop()], 1))
        features = attention(f"ups.{number}.attention", res_block(f"ups.{number}.res_block", features))
    features = conv("ups.2.conv", features.repeat_interleave(2, -1).repeat_interleave(2, -2), padding=1)
    for number in (3, 4):
        features = detail(f"ups.{number}.modulation", torch.cat([features, kept.pop()], 1))
        features = res_block(f"ups.{number}.res_block", features)
    return conv("head.block.3", swish(norm("head.block.0", features)), padding=1)


def test_the_network_is_its_description():
    torch.manual_seed(3)
    network = DDIFUNet(2, 1, Plan(8, (1, 2), 1, (1,), groups=1, dropout=0.2)).eval()
    with torch.no_grad():
        for weights in network.parameters():
            weights.add_(0.1 * torch.randn_like(weights))
    expanded, noisy, guess = torch.rand(3, 2, 2, 8, 12)
    pan = torch.rand(2, 1, 8, 12)
    with torch.no_grad():
        found = network(noisy, torch.tensor([37, 4]), guess, network.known(expanded, pan))
        for item, time in enumerate((37, 4)):
            parts = (image[item : item + 1] for image in (expanded, pan, noisy, guess))
            e, p, n, g = parts
            expected = literal_network(network.state_dict(), (e, p), n, g, time)
            torch.testing.assert_close(found[item : item + 1], expected, rtol=1e-4, atol=1e-5)


def test_the_style_begins_as_a_projection():
    network = DDIFUNet(2, 1, PLANS["small"])
    style, features = network.downs[0].modulation, torch.rand(1, 16, 4, 5)
    assert torch.equal(style(features, style.known(torch.rand(1, 3, 4, 5))), style.project(features))


@pytest.mark.parametrize(("bands", "guides"), [(3, 1), (4, 1), (8, 1), (31, 3)])
@pytest.mark.parametrize(("rows", "columns"), [(16, 16), (9, 21), (33, 8)])
def test_any_bands_and_sizes_are_taken(bands, guides, rows, columns):
    network = DDIFUNet(bands, guides, PLANS["small"]).eval()
    image, guide = torch.rand(2, bands, rows, columns), torch.rand(2, guides, rows, columns)
    with torch.no_grad():
        found = network(image, torch.tensor([1, 400]), image, network.known(image, guide))
    assert found.shape == image.shape
    assert torch.isfinite(found).all()


def test_now_and_then_an_item_learns_without_the_further_layers():
    torch.manual_seed(0)
    plan = Plan(8, (1,), 1, groups=1, dropout=0.2)
    detail = DDIFUNet(2, 1, plan).ups[0].modulation
    features, known = torch.rand(1, 16, 4, 4).expand(2000, -1, -1, -1), detail.known(torch.rand(1, 5, 4, 4))
    with torch.no_grad():
        whole = detail.eval()(features[:1], known)
        drawn = detail.train()(features, known)
        detail.forward_part[-1].weight.zero_()
        detail.forward_part[-1].bias.zero_()
        without = detail.eval()(features[:1], known)
    gone = (drawn - without).abs().amax((1, 2, 3)) < 1e-6
    assert gone.float().mean() == pytest.approx(0.2, abs=0.04)
    np.testing.assert_allclose(drawn.mean(0), whole[0], atol=0.05 * (whole - without).abs().max() + 1e-3)
