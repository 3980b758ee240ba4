"""SSDiff: its published size, its network written out, what it draws, and that it learns."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from stfusion.networks._network import parameter_count
from stfusion.networks._ssdiff import SIZES, SSNet, lowered, raised


def unused(bands, width=32):
    """The layers of the public code that no prediction passes."""
    layers = [nn.Conv2d(bands, width, 3), nn.Conv2d(width, width, 3), nn.Conv2d(width, width, 3)]
    for wide in (width, 2 * width):
        layers += [nn.Conv2d(wide, 2 * wide, 1), nn.Conv2d(2 * wide, 2 * wide, 3, groups=2 * wide)]
    for wide in (4 * width, 2 * width):
        half = wide // 2
        layers += [nn.ConvTranspose2d(wide, wide, 2), nn.Conv2d(wide, half, 1), nn.Conv2d(half, half, 3, groups=half)]
    return nn.ModuleList(layers)


@pytest.mark.parametrize(("bands", "parameters", "published"), [(8, 1_300_024, 1_426_616), (4, 1_288_500, 1_413_940)])
def test_the_published_form_has_the_published_size_but_for_layers_that_are_never_used(bands, parameters, published):
    with torch.device("meta"):
        network = SSNet(bands, 1, 4, *SIZES["published"])
        never = unused(bands)
    assert parameter_count(network) == parameters
    assert parameter_count(network) + parameter_count(never) == published


def test_every_weight_takes_part():
    torch.manual_seed(1)
    network = SSNet(4, 1, 4, *SIZES["small"])
    stir(network)
    image, pan, small = torch.rand(2, 4, 8, 8), torch.rand(2, 1, 8, 8), torch.rand(2, 4, 2, 2)
    network(image, torch.tensor([1, 700]), pan, image, small).square().sum().backward()
    assert [name for name, weight in network.named_parameters() if not weight.grad.any()] == []


def stir(network):
    """Change the weights that begin as 0 or 1."""
    with torch.no_grad():
        for weights in network.parameters():
            weights.add_(0.1 * torch.randn_like(weights))


@pytest.mark.parametrize("shape", [(8, 12), (7, 5), (9, 6)])
def test_the_lowest_frequencies_are_lowered(shape):
    image = torch.rand(2, 3, *shape)
    spectrum = np.fft.fftshift(np.fft.fft2(image.double()), axes=(-2, -1))
    row, column = shape[0] // 2, shape[1] // 2
    spectrum[..., row - 1 : row + 1, column - 1 : column + 1] *= 0.3
    expected = np.fft.ifft2(np.fft.ifftshift(spectrum, axes=(-2, -1))).real
    np.testing.assert_allclose(lowered(image, 0.3), expected, rtol=1e-4, atol=1e-6)


def test_the_first_half_of_the_channels_is_raised():
    image = torch.rand(1, 4, 2, 3)
    factors = torch.tensor([1.6, 1.6, 1, 1])[:, None, None]
    torch.testing.assert_close(raised(image, 1.6), image * factors)


def swish(values):
    return values * torch.sigmoid(values)


def leaky(values):
    return torch.where(values > 0, values, 0.01 * values)


class Literal:
    """The published description with the weights of a network, for one item at a time."""

    def __init__(self, state, time, waves):
        self.state = state
        angles = torch.tensor([time * 10_000 ** (-k / (waves // 2)) for k in range(waves // 2)])
        told = self.linear("time.0", torch.cat([angles.cos(), angles.sin()]))
        self.told = swish(self.linear("time.2", swish(told)))

    def conv(self, name, features, **options):
        return functional.conv2d(features, self.state[f"{name}.weight"], self.state.get(f"{name}.bias"), **options)

    def linear(self, name, features):
        return features @ self.state[f"{name}.weight"].T + self.state.get(f"{name}.bias", 0)

    def with_time(self, name, features, groups=None):
        features = features + self.linear(f"{name}.step.1", self.told)[:, None, None]
        if groups:
            features = functional.group_norm(features, groups)
        else:
            mean, variance = (self.state[f"{name}.out.0.running_{kind}"][:, None, None] for kind in ("mean", "var"))
            features = (features - mean) / (variance + 1e-5).sqrt()
        weight, bias = (self.state[f"{name}.out.0.{kind}"][:, None, None] for kind in ("weight", "bias"))
        return self.conv(f"{name}.out.2", swish(features * weight + bias), padding=1)

    def stem(self, name, *images):
        return self.with_time(f"{name}.told", self.conv(f"{name}.conv", torch.cat(images, 1), padding=1))

    def block(self, level, features):
        inner = self.conv(f"levels.{level}.spatial.convs.0", features, padding=1)
        inner = self.conv(f"levels.{level}.spatial.convs.2", leaky(inner), padding=1)
        return features + self.with_time(f"levels.{level}.spatial.told", inner, min(32, features.shape[1]))

    def projected(self, name, kind, matrix):
        normal = (matrix - matrix.mean(1, True)) / (matrix.var(1, unbiased=False, keepdim=True) + 1e-5).sqrt()
        normal = normal * self.state[f"{name}.norm_{kind}.weight"] + self.state[f"{name}.norm_{kind}.bias"]
        return (normal @ self.state[f"{name}.{kind}.{part}.weight"].T for part in (0, 1))

    def fusion(self, level, spectral, spatial):
        name, pixels = f"levels.{level}.fusion", spectral[0].flatten(1).T
        a, b = self.projected(name, "spatial", spatial[0].flatten(1).T)
        c, d = self.projected(name, "spectral", pixels)
        product = torch.empty_like(pixels)
        for head in range(pixels.shape[1] // 16):
            part = slice(16 * head, 16 * head + 16)
            spatial_map = torch.softmax(a[:, part] @ b[:, part].T / 4, 1)
            spectral_map = torch.softmax(c[:, part].T @ d[:, part] / 4 * (16 / len(pixels)), 1)
            product[:, part] = (spatial_map @ c[:, part]) * (a[:, part] @ spectral_map.T)
        pixels = pixels + self.linear(f"{name}.mix", product)
        inner = leaky(self.linear(f"{name}.forward_part.0", pixels))
        return (pixels + self.linear(f"{name}.forward_part.2", inner)).T.reshape(spectral.shape)

    def down(self, number, features):
        name = f"moves.{number}.layers"
        features = self.conv(f"{name}.2", leaky(self.conv(f"{name}.0", features, stride=2)))
        return leaky(self.conv(f"{name}.3", features, padding=1, groups=features.shape[1]))

    def up(self, number, features, before):
        weights, bias = (self.state[f"moves.{number}.grow.0.{kind}"] for kind in ("weight", "bias"))
        grown = leaky(functional.conv_transpose2d(features, weights, bias, stride=2))
        return leaky(self.conv(f"moves.{number}.conv.0", grown + before, padding=1))

    def result(self, noisy, pan, expanded, small):
        y, x, kept = self.stem("spatial_stem", pan, noisy), self.stem("spectral_stem", expanded, noisy), []
        for level, (share, gain) in enumerate([(0.9, 1.2), (0.6, 1.4), (0.3, 1.6), (0.6, 1.4), (0.9, 1.2)]):
            half = x.shape[1] // 2
            x = self.fusion(level, torch.cat([gain * x[:, :half], x[:, half:]], 1), lowered(y, share))
            if level == 4:
                break
            y = self.block(level, y)
            if level < 2:
                kept.append((x, y))
                x, y = self.down(level, x), self.down(level, y)
            else:
                before = kept.pop()
                x, y = self.up(level, x, before[0]), self.up(level, y, before[1])
        skip = functional.pixel_shuffle(self.conv("enlarge.0", small, padding=1), 4)
        return self.conv("head.2", leaky(self.conv("head.0", x, padding=1)), padding=1) + skip


def test_the_network_is_its_description():
    torch.manual_seed(3)
    network = SSNet(3, 1, 4, 16, 8).eval()
    stir(network)
    for name, buffer in network.named_buffers():
        if "running" in name:
            buffer.uniform_(0.5, 2)
    noisy, expanded = torch.rand(2, 2, 3, 8, 12)
    pan, small = torch.rand(2, 1, 8, 12), torch.rand(2, 3, 2, 3)
    with torch.no_grad():
        found = network(noisy, torch.tensor([37, 4]), pan, expanded, small)
        for item, time in enumerate((37, 4)):
            n, p, e, s = (image[item : item + 1] for image in (noisy, pan, expanded, small))
            expected = Literal(network.state_dict(), time, 8).result(n, p, e, s)
            torch.testing.assert_close(found[item : item + 1], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("bands", "guides", "ratio"), [(3, 1, 2), (4, 1, 4), (8, 1, 6), (31, 3, 4)])
@pytest.mark.parametrize(("rows", "columns"), [(16, 16), (9, 21), (33, 8)])
def test_any_bands_ratios_and_sizes_are_taken(bands, guides, ratio, rows, columns):
    network = SSNet(bands, guides, ratio, *SIZES["small"]).eval()
    image, guide = torch.rand(2, bands, rows, columns), torch.rand(2, guides, rows, columns)
    small = torch.rand(2, bands, -(-rows // ratio), -(-columns // ratio))
    with torch.no_grad():
        found = network(image, torch.tensor([1, 900]), guide, image, small)
    assert found.shape == image.shape
    assert torch.isfinite(found).all()


def test_the_branches_share_what_is_in_neither():
    network = SSNet(4, 1, 4, *SIZES["small"])
    branches = network.branches()
    names = {id(weights): name for name, weights in network.named_parameters()}
    learnt = {branch: {names[id(weights)] for weights in own} for branch, own in branches.items()}
    assert not learnt["spatial"] & learnt["spectral"]
    shared = set(names.values()) - learnt["spatial"] - learnt["spectral"]
    assert {name.split(".")[0] for name in shared} == {"time", "moves"}
