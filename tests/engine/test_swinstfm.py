"""SwinSTFM: its published size and names, its attention pixel by pixel, sizes of images, and that it learns."""

import numpy as np
import pytest
import torch

from networks import batch_for, built, error, fell, learnt_from_nothing, overfit
from stfusion.networks._network import Form, parameter_count
from stfusion.networks._swinstfm import CrossBlock, Plan, SelfBlock, SwinSTFM

PLAN = Plan(8, 4, (1, 1, 1, 1))


def test_the_published_form_has_the_published_size_and_names():
    with torch.device("meta"):
        network = SwinSTFM(Form())
    assert parameter_count(network) == 37_535_290
    shapes = {name: tuple(values.shape) for name, values in network.net.state_dict().items()}
    assert len(shapes) == 806
    assert {name.split(".")[0] for name in shapes} == {"coarse_down", "fine_down", "fine_up"}
    expected = {
        "coarse_down.inc.proj.weight": (64, 6, 2, 2),
        "fine_down.inc.norm.bias": (64,),
        "fine_down.down1.layer.blocks.0.attn.relative_position_bias_table": (225, 2),
        "fine_down.down1.layer.blocks.0.attn.relative_position_index": (64, 64),
        "fine_down.down1.layer.blocks.1.attn_mask": (256, 64, 64),
        "fine_down.down3.layer.blocks.5.attn.qkv.weight": (768, 256),
        "coarse_down.down4.layer.blocks.1.attn_mask": (4, 64, 64),
        "coarse_down.down4.downsample.reduction.weight": (512, 2048),
        "fine_up.layer.blocks.0.attn.q2.weight": (512, 512),
        "fine_up.layer.norm3.weight": (512,),
        "fine_up.up1.up.0.weight": (2048, 512, 3, 3),
        "fine_up.up1.proj1.weight": (256, 1536),
        "fine_up.up2.layer.blocks.1.norm3.weight": (256,),
        "fine_up.up2.layer2.blocks.5.mlp.fc1.weight": (128, 128),
        "fine_up.up4.layer.blocks.1.attn_mask": (256, 64, 64),
        "fine_up.outc.0.weight": (256, 64, 3, 3),
        "fine_up.outc.2.weight": (6, 64, 3, 3),
    }
    assert {name: shapes.get(name) for name in expected} == expected
    assert "fine_down.down1.layer.blocks.0.attn_mask" not in shapes
    assert "fine_down.down1.downsample.reduction.bias" not in shapes


def test_masks_and_positions_that_public_checkpoints_keep_are_those_in_use():
    attention = SelfBlock(8, Plan(8, 4, (1, 1, 1, 1), masks=True), 16, True)
    assert torch.equal(attention.attn_mask[0], torch.zeros(64, 64))
    apart = (attention.attn_mask != 0).float().mean((1, 2))
    assert apart.tolist() == [0, 0.5, 0.5, 0.75]
    assert attention.attn_mask.min() == -100
    index = attention.attn.relative_position_index
    assert (index[0, 0], index[63, 0], index[0, 63], index[0, 1], index[8, 0]) == (112, 224, 0, 111, 127)


def places(side, shift):
    """For every pixel of a square map its window, and the part of the map that it can attend to."""
    line = np.arange(side)
    window = (line - shift) % side // 8
    part = (line >= shift).astype(int) + (line >= side - shift) if shift else np.zeros(side, int)
    row, column = (axis.ravel() for axis in np.mgrid[:side, :side])
    return row, column, window[row] * side + window[column], part[row] * 3 + part[column]


def literal_attention(attention, side, shift, queries, keys, value, extra=0.0):
    """Pixel by pixel: softmax over the window, several of them multiplied; every array (pixels, width)."""
    row, column, window, part = places(side, shift)
    table = attention.relative_position_bias_table.detach().double().numpy()
    result = np.zeros_like(value)
    width = value.shape[1] // attention.heads
    for head in range(attention.heads):
        own = slice(head * width, (head + 1) * width)
        for pixel in range(side * side):
            near = np.flatnonzero(window == window[pixel])
            # Where a shift has wrapped the map around, two pixels are as far apart as in the shifted map.
            down, right = (((axis - shift) % side)[pixel] - ((axis - shift) % side)[near] for axis in (row, column))
            bias = table[(down + 7) * 15 + right + 7, head] - 100.0 * (part[near] != part[pixel])
            weights = np.ones(len(near))
            for query, key in zip(queries, keys, strict=True):
                logits = key[near, own] @ query[pixel, own] / np.sqrt(width) + bias
                weights *= np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
            weights += extra
            result[pixel, own] = weights / weights.sum() @ value[near, own]
    return result


def made_random(module, seed):
    torch.manual_seed(seed)
    with torch.no_grad():
        for weights in module.parameters():
            weights.normal_(std=0.5)
    return module.double().eval()


def mixed(attention, features, shape):
    return (torch.from_numpy(features) @ attention.proj.weight.T + attention.proj.bias).view(shape)


@pytest.mark.parametrize(("side", "shifted"), [(16, False), (16, True), (24, True), (8, True), (4, False)])
def test_attention_within_windows_is_its_definition(side, shifted):
    block = made_random(SelfBlock(8, PLAN, side, shifted), 1)
    features = torch.randn(1, side, side, 8, dtype=torch.float64)
    with torch.no_grad():
        query, key, value = (part.numpy() for part in block.attn.qkv(block.norm1(features)).view(-1, 24).chunk(3, -1))
        shift = 4 if shifted and side > 8 else 0
        attended = literal_attention(block.attn, side, shift, [query], [key], value)
        inner = features + mixed(block.attn, attended, features.shape)
        expected = inner + block.mlp(block.norm2(inner))
        torch.testing.assert_close(block(features), expected)


@pytest.mark.parametrize(("side", "shifted"), [(8, False), (16, True), (4, False)])
def test_attention_across_dates_is_its_definition(side, shifted):
    block = made_random(CrossBlock(8, PLAN, side, shifted), 2)
    change, pair, fine, target = torch.randn(4, 1, side, side, 8, dtype=torch.float64).unbind()
    attention = block.attn
    with torch.no_grad():
        def flat(layer, features):
            return layer(features).view(-1, 8).numpy()

        attended = literal_attention(
            attention, side, 4 if shifted else 0, [flat(attention.q, pair), flat(attention.q2, pair)],
            [flat(attention.k, fine), flat(attention.k2, target)], flat(attention.v, block.norm1(change)), 1e-6,
        )
        inner = change + mixed(attention, attended, change.shape)
        torch.testing.assert_close(block(change, pair, fine, target), inner + block.mlp(block.norm3(inner)))


def test_the_decoder_is_wired_as_published():
    network = built("swinstfm").net
    seen = {}

    def keep(name):
        return lambda _, inputs, output: seen.update({name: (inputs, output)})

    names = "coarse_down", "fine_down", "fine_up.layer", "fine_up.up1.layer", "fine_up.up1.up", "fine_up.up1.proj1"
    for name in names:
        network.get_submodule(name).register_forward_hook(keep(name))
    pair, fine, target = torch.rand(3, 1, 1, 64, 64).unbind()
    with torch.no_grad():
        network(pair, fine, target)
    assert torch.equal(seen["coarse_down"][0][0], torch.cat([pair, target]))
    assert torch.equal(seen["fine_down"][0][0], fine)
    coarse, own = seen["coarse_down"][1], seen["fine_down"][1]
    assert [level.shape[1] for level in own] == [level.shape[2] for level in own] == [32, 16, 8, 4, 2]
    assert [level.shape[3] for level in own] == [16, 32, 64, 128, 128]
    for name, level in (("fine_up.layer", -1), ("fine_up.up1.layer", -2)):
        one, two = coarse[level][:1], coarse[level][1:]
        for found, expected in zip(seen[name][0], (two - one, one, own[level], two), strict=True):
            assert torch.equal(found, expected)
    above = seen["fine_up.up1.up"][1].movedim(1, -1)
    predicted = seen["fine_up.up1.layer"][1] + own[-2]
    assert torch.equal(seen["fine_up.up1.proj1"][0][0], torch.cat([coarse[-2][1:], predicted, above], -1))


def test_neighbours_are_merged_in_the_published_order():
    merging = built("swinstfm").net.fine_down.down1.downsample
    seen = []
    merging.norm.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    features = torch.arange(4.0).view(1, 2, 2, 1).expand(1, 2, 2, 16)
    with torch.no_grad():
        merging(features)
    assert seen[0].flatten()[::16].tolist() == [0, 2, 1, 3]


@pytest.mark.parametrize(("bands", "rows", "columns"), [(1, 32, 64), (3, 128, 64), (6, 64, 256)])
def test_any_bands_and_sizes_that_windows_cover(bands, rows, columns):
    network = built("swinstfm", bands=bands)
    with torch.inference_mode():
        image = network.predict(batch_for(network, 1, rows, columns))
    assert image.shape == (1, bands, rows, columns)
    assert image.abs().max() <= 1


@pytest.mark.parametrize("side", [96, 40, 384])
def test_sizes_that_windows_do_not_cover_are_refused(side):
    network = built("swinstfm")
    with pytest.raises(ValueError, match=f"32, 64, 128 or a multiple of 256 pixels, not 32 x {side}"):
        network.predict(batch_for(network, 1, 32, side))


def test_an_item_of_a_batch_does_not_see_the_others():
    network = built("swinstfm").eval()
    batch = batch_for(network, 3, 64, 64)
    with torch.inference_mode():
        together = network.predict(batch)
        for item in range(3):
            alone = network.predict(batch.map(lambda image, item=item: image[item:item + 1]))
            torch.testing.assert_close(together[item:item + 1], alone, rtol=1e-4, atol=1e-5)


def test_masks_of_a_prediction_serve_a_training_afterwards():
    network = built("swinstfm")
    batch = batch_for(network, 1, 64, 64)
    error(network, batch)
    torch.stack(list(network("net", batch).values())).sum().backward()
    assert all(weights.grad is not None for weights in network.parameters())


def test_what_has_learnt_nothing_of_the_residual_gives_the_base():
    network = built("swinstfm", target="residual", residual_scale=0.5)
    batch = batch_for(network)
    with torch.inference_mode():
        assert (network.predict(batch) - batch.base()).abs().max() < 0.02


def test_invalid_pixels_teach_nothing():
    network = built("swinstfm")
    assert learnt_from_nothing(network, "net", batch_for(network)) == 0


@pytest.mark.parametrize("target", ["image", "residual"])
def test_a_handful_of_patches_is_learnt_by_heart(target):
    network = built("swinstfm", target=target)
    batch = batch_for(network, 1)
    before = error(network, batch)
    history = overfit(network, batch, 150, 2e-3)
    assert fell(history["net"]) > 20
    assert error(network, batch) < before / 10


def test_the_same_seed_learns_the_same():
    weights = []
    for _ in range(2):
        network = built("swinstfm")
        overfit(network, batch_for(network), 3)
        weights.append(network.net.fine_up.outc[2].weight)
    assert torch.equal(*weights)
