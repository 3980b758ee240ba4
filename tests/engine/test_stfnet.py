from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from networks import batch_for, built, error, fell, learnt_from_nothing, overfit, reach, unlike_in_part
from stfusion.networks._network import parameter_count
from stfusion.networks._stfnet import Stfnet


@pytest.mark.parametrize(("bands", "count"), [(6, 92716), (1, 36866)])
def test_it_has_the_published_number_of_parameters(bands, count):
    assert parameter_count(built("stfnet", pairs=2, bands=bands, size="published").net) == count


def test_the_names_are_the_public_ones():
    state = built("stfnet", pairs=2, bands=6, size="published").net.state_dict()

    assert len(state) == 12
    assert state["DCNN_mapping_1.feature_extraction_layer.0.weight"].shape == (32, 12, 9, 9)
    assert state["DCNN_mapping_2.nonlinear_mapping_layer.0.weight"].shape == (16, 32, 5, 5)
    assert state["DCNN_mapping_2.reconstruction_layer.0.bias"].shape == (6,)


@pytest.mark.parametrize("target", ["image", "residual"])
@pytest.mark.parametrize(("bands", "rows", "columns"), [(1, 32, 32), (3, 37, 41), (6, 16, 50)])
def test_it_predicts_images_of_any_size(bands, rows, columns, target):
    network = built("stfnet", pairs=2, bands=bands, target=target)
    batch = batch_for(network, rows=rows, columns=columns)

    assert network.predict(batch).shape == batch.truth.shape


def test_the_losses_are_those_of_the_changes_and_of_their_sum():
    network = built("stfnet", pairs=2)
    batch = batch_for(network)
    first, second = network.net(
        torch.cat((batch.target - batch.coarse[0], batch.fine[0]), 1),
        torch.cat((batch.coarse[1] - batch.target, batch.fine[1]), 1),
    )

    losses = network("net", batch)

    expected = {
        "first": functional.mse_loss(first, batch.truth - batch.fine[0]),
        "second": functional.mse_loss(second, batch.fine[1] - batch.truth),
        "consistency": functional.mse_loss(first + second, batch.fine[1] - batch.fine[0]),
    }
    for name, loss in expected.items():
        torch.testing.assert_close(losses[name], loss)


def test_the_nearer_pair_counts_more():
    network = built("stfnet", pairs=2)
    batch = batch_for(network)
    batch = replace(batch, coarse=(batch.target + 0.01, batch.target + 0.1))
    first, second = network.images(batch)

    weight = 0.1001 / (0.0101 + 0.1001)
    torch.testing.assert_close(network.predict(batch), weight * first + (1 - weight) * second)
    decided = replace(batch, coarse=(batch.target + 0.01, batch.target + 0.3))
    torch.testing.assert_close(network.predict(decided), network.images(decided)[0])


def test_the_residual_begins_at_the_fine_image_and_the_change():
    network = built("stfnet", pairs=2, target="residual", residual_scale=0.1)
    batch = batch_for(network)

    assert error(network, batch) < 1.5 * functional.mse_loss(batch.base(), batch.truth)


@pytest.mark.parametrize("target", ["image", "residual"])
def test_it_overfits(target):
    network = built("stfnet", pairs=2, target=target, residual_scale=0.1 if target == "residual" else 1.0)
    batch = batch_for(network, count=1)
    before = error(network, batch)

    history = overfit(network, batch, steps=600, rate=2e-3)

    assert fell(history["net"]) > 20
    assert error(network, batch) < before / 10


def test_invalid_pixels_teach_nothing():
    network = built("stfnet", pairs=2)

    assert learnt_from_nothing(network, "net", batch_for(network)) == 0


def test_parts_agree_exactly_within_the_margin_and_only_there():
    network = built("stfnet", pairs=2)
    batch = batch_for(network, count=1, rows=100, columns=110)
    margin = Stfnet.layout.margin

    assert unlike_in_part(network, batch, 10, 10, 80, 80, margin) < 1e-5
    assert unlike_in_part(network, batch, 10, 10, 80, 80, 4) > 1e-5
    assert reach(network, batch, 50, 50) <= margin
