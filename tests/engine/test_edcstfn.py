from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from networks import batch_for, built, error, fell, learnt_from_nothing, overfit, reach, unlike_in_part
from stfusion.networks._autoencoder import Autoencoder, feature_errors
from stfusion.networks._edcstfn import Edcstfn
from stfusion.networks._losses import ms_ssim
from stfusion.networks._network import Form, parameter_count

RESIDUAL = {"target": "residual", "residual_scale": 0.1}


def test_it_has_the_published_number_of_parameters_and_names():
    net = built("edcstfn", bands=6, size="published").net
    shapes = {name: tuple(value.shape) for name, value in net.state_dict().items()}

    assert parameter_count(net) == 284134
    assert len(shapes) == 18
    assert shapes["encoder.0.1.weight"] == (32, 6, 3, 3)
    assert shapes["encoder.4.1.weight"] == (128, 64, 3, 3)
    assert shapes["residual.0.1.weight"] == (32, 18, 3, 3)
    assert shapes["residual.2.1.bias"] == (64,)
    assert shapes["decoder.2.1.weight"] == (32, 64, 3, 3)
    assert shapes["decoder.4.weight"] == (6, 32, 1, 1)


def test_the_auto_encoder_has_the_published_number_of_parameters_and_names():
    autoencoder = Autoencoder(Form(bands=6))
    shapes = {name: tuple(value.shape) for name, value in autoencoder.state_dict().items()}

    assert parameter_count(autoencoder) == 217990
    assert len(shapes) == 16
    assert shapes["conv1.0.1.weight"] == (16, 6, 3, 3)
    assert shapes["conv4.0.1.weight"] == (128, 64, 3, 3)
    assert shapes["conv5.1.1.weight"] == (64, 128, 3, 3)
    assert shapes["conv7.1.1.weight"] == (16, 64, 3, 3)
    assert shapes["conv8.weight"] == (6, 32, 1, 1)


@pytest.mark.parametrize(("rows", "columns"), [(32, 32), (37, 41), (16, 51)])
def test_the_auto_encoder_takes_images_of_any_size(rows, columns):
    autoencoder = Autoencoder(Form(bands=2, size="small"))
    image = torch.rand(1, 2, rows, columns)

    assert autoencoder.reconstructed(image).shape == image.shape
    assert autoencoder(image).shape == (1, 64, -(-rows // 8), -(-columns // 8))


@pytest.mark.parametrize("pairs", [1, 2])
@pytest.mark.parametrize(("bands", "rows", "columns"), [(1, 32, 32), (3, 37, 41), (6, 16, 50)])
def test_it_predicts_images_of_any_size(bands, rows, columns, pairs):
    network = built("edcstfn", pairs=pairs, bands=bands)
    batch = batch_for(network, rows=rows, columns=columns)

    assert network.predict(batch).shape == batch.truth.shape


def test_two_patches_of_one_pair_are_not_two_pairs():
    network = built("edcstfn", bands=2)
    batch = batch_for(network, count=2)

    one_by_one = [network.predict(batch.map(lambda image, at=at: image[at : at + 1])) for at in range(2)]

    torch.testing.assert_close(network.predict(batch), torch.cat(one_by_one))
    assert network("net", batch)["content"].shape == ()


def test_features_of_two_pairs_are_mixed_by_weights_inverse_to_those_of_the_change():
    network = built("edcstfn", pairs=2)
    batch = batch_for(network)
    net = network.net
    changes = [
        net.residual(torch.cat((coarse, fine, batch.target), 1))
        for coarse, fine in zip(batch.coarse, batch.fine, strict=True)
    ]
    weights = [1 / (change.abs() + 1e-4) for change in changes]
    sums = [net.encoder(fine) + change for fine, change in zip(batch.fine, changes, strict=True)]
    mixed = (weights[0] * sums[0] + weights[1] * sums[1]) / (weights[0] + weights[1])

    torch.testing.assert_close(network.predict(batch), net.decoder(mixed))
    twice = replace(batch, fine=(batch.fine[0],) * 2, coarse=(batch.coarse[0],) * 2)
    torch.testing.assert_close(network.predict(twice), net.decoder(sums[0]))


def test_the_losses_are_the_mean_over_the_pairs():
    network = built("edcstfn", pairs=2)
    batch = batch_for(network)
    net, truth = network.net, batch.truth
    expected = {"content": 0.0, "features": 0.0, "vision": 0.0}
    for coarse, fine in zip(batch.coarse, batch.fine, strict=True):
        image = net.decoder(net.encoder(fine) + net.residual(torch.cat((coarse, fine, batch.target), 1)))
        features, wanted = network.autoencoder(image), network.autoencoder(truth)
        expected["content"] += (image - truth).square().mean() / 2
        expected["features"] += (features - wanted).square().mean() / 2
        expected["vision"] += 0.8 * (1 - ms_ssim(image, truth, 1.0)) / 2

    losses = network("net", batch)

    for name, loss in expected.items():
        torch.testing.assert_close(losses[name], loss)


def test_feature_errors_follow_their_formulas():
    one, other = torch.rand(2, 5, 3, 3), torch.rand(2, 5, 3, 3)
    square, angle = feature_errors(one, other)

    cosines = (one * other).sum(1) / (one.norm(dim=1) * other.norm(dim=1))
    torch.testing.assert_close(square, ((one - other) ** 2).mean())
    torch.testing.assert_close(angle, 1 - cosines.mean())


def test_the_auto_encoder_is_frozen_while_the_network_learns():
    network = built("edcstfn")

    torch.stack(list(network("net", batch_for(network)).values())).sum().backward()

    assert all(weight.grad is None for weight in network.autoencoder.parameters())
    assert all(weight.grad is not None for weight in network.net.parameters())


@pytest.mark.parametrize("pairs", [1, 2])
def test_it_overfits(pairs):
    network = built("edcstfn", pairs=pairs)
    batch = batch_for(network)
    before = error(network, batch)

    history = overfit(network, batch, steps=180, rate=3e-3)

    assert fell(history["autoencoder"]) > 20
    assert fell(history["net"]) > 20
    assert error(network, batch) < before / 20


def test_the_residual_begins_at_the_fine_image_and_the_change_and_gets_better():
    network = built("edcstfn", pairs=2, **RESIDUAL)
    batch = batch_for(network, count=1)
    before = error(network, batch)
    assert before < 1.5 * functional.mse_loss(batch.base(), batch.truth)

    overfit(network, batch, steps=180, rate=3e-3)

    assert error(network, batch) < before / 2


def test_invalid_pixels_teach_nothing():
    network = built("edcstfn", pairs=2, **RESIDUAL)

    for part in ("autoencoder", "net"):
        assert learnt_from_nothing(network, part, batch_for(network)) == 0


@pytest.mark.parametrize("form", [{}, {"pairs": 2, **RESIDUAL}])
def test_parts_agree_exactly_within_the_margin_and_only_there(form):
    network = built("edcstfn", **form)
    batch = batch_for(network, count=1, rows=60, columns=70)
    margin = Edcstfn.layout.margin

    assert unlike_in_part(network, batch, 10, 10, 40, 40, margin) < 1e-5
    assert unlike_in_part(network, batch, 10, 10, 40, 40, 2) > 1e-5
    assert reach(network, batch, 30, 30) <= margin
