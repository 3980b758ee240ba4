"""Attention within windows, whose cost does not grow with the square of the image."""

import pytest
import torch

from stfusion.networks._attention import SIDE, in_windows
from stfusion.networks._unet import GlobalAttention


def attention(width=16, heads=8):
    torch.manual_seed(1)
    return GlobalAttention(width, 1, heads).eval()


def shares(image):
    """Each pixel as a share of the sum of what was looked at together."""
    return image / image.sum((-2, -1), keepdim=True)


def test_a_map_of_up_to_1024_pixels_is_looked_at_as_a_whole():
    image = torch.rand(2, 3, SIDE, SIDE)
    assert torch.equal(in_windows(shares, image), shares(image))


@pytest.mark.parametrize(
    ("rows", "columns", "windows"),
    [(33, 8, [(slice(0, 17), slice(0, 8)), (slice(17, 33), slice(0, 8))]),
     (64, 40, [(slice(0, 32), slice(20, 40)), (slice(32, 64), slice(0, 20))])],
)
def test_a_larger_map_is_looked_at_in_windows_of_nearly_one_size(rows, columns, windows):
    image = torch.rand(2, 3, rows, columns)
    found = in_windows(shares, image)
    assert found.shape == image.shape
    for place in windows:
        assert torch.equal(found[(..., *place)], shares(image[(..., *place)]))


def test_several_maps_are_parted_alike():
    one, other = torch.rand(2, 2, 3, 70, 45)
    assert torch.equal(in_windows(lambda a, b: a + b.mean() * 0, one, other), one)


@pytest.mark.parametrize("heads", [1, 8])
def test_attention_is_its_equation(heads):
    network, image = attention(heads=heads), torch.rand(2, 16, 5, 6)
    inner = torch.nn.functional.group_norm(image, 1, network.norm.weight, network.norm.bias)
    width = 16 // heads
    expected = torch.empty(2, 16, 30)
    with torch.no_grad():
        for item in range(2):
            known = (network.qkv.weight[:, :, 0, 0] @ inner[item].flatten(1)).reshape(heads, 3, width, 30)
            for head, (query, key, value) in enumerate(known):
                weights = torch.softmax(query.T @ key / 4, -1)
                expected[item, head * width : (head + 1) * width] = value @ weights.T
        expected = torch.nn.functional.conv2d(expected.reshape(2, 16, 5, 6), network.out.weight, network.out.bias)
        torch.testing.assert_close(network(image), image + expected, rtol=1e-4, atol=1e-5)


def test_what_lies_in_another_window_is_not_looked_at():
    network, image = attention(), torch.rand(1, 16, 40, 70)
    network.norm = torch.nn.Identity()
    other = image.clone()
    other[..., 20:, :] += 1
    with torch.no_grad():
        one, two = network(image), network(other)
    assert torch.equal(one[..., :20, :], two[..., :20, :])
    assert not torch.equal(one[..., 20:, :], two[..., 20:, :])
