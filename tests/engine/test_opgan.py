from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional

from networks import batch_for, built, error, fell, learnt_from_nothing, overfit, reach, unlike_in_part
from stfusion.networks._adversarial import Critic, adversarial_loss, settled
from stfusion.networks._network import parameter_count
from stfusion.networks._opgan import Opgan

RESIDUAL = {"target": "residual", "residual_scale": 0.2}


def test_the_generator_has_the_published_number_of_parameters_and_names():
    net = built("opgan", bands=6, size="published").net
    shapes = {name: tuple(value.shape) for name, value in net.state_dict().items()}

    assert parameter_count(net) == 1304460
    assert len(shapes) == 227
    assert shapes["TCCB_RBs_head.0.weight"] == (64, 6, 9, 9)
    assert {name.split(".")[1] for name in shapes if name.startswith("TCCB_RBs.")} == {str(n) for n in range(8)}
    assert {name.split(".")[1] for name in shapes if name.startswith("SDEB_RBs.")} == {str(n) for n in range(4)}
    assert {name.split(".")[1] for name in shapes if name.startswith("BILB_RBs.")} == {"0", "1"}
    assert shapes["BILB_RBs_tail.0.weight"] == (64, 64, 3, 3)
    assert shapes["SDEB_RBs_tail.1.running_mean"] == (64,)
    assert shapes["tail.0.weight"] == shapes["temporal_change_tail.0.weight"] == (6, 64, 9, 9)


def test_the_critic_has_the_published_number_of_parameters():
    critic = Critic(6, "published")

    assert parameter_count(critic) == 5217153
    assert len(critic.state_dict()) == 55


@pytest.mark.parametrize("target", ["image", "residual"])
@pytest.mark.parametrize(("bands", "rows", "columns"), [(1, 32, 32), (3, 37, 41), (6, 16, 50)])
def test_it_predicts_images_of_any_size(bands, rows, columns, target):
    network = built("opgan", bands=bands, target=target).eval()
    batch = batch_for(network, rows=rows, columns=columns)

    assert network.predict(batch).shape == batch.truth.shape
    assert network.critic.eval()(batch.truth).shape == (2,)


def test_the_losses_follow_their_formulas_and_the_change_has_its_whole_range():
    network = built("opgan", bands=2).eval()
    batch = batch_for(network)
    pair = (batch.coarse[0], batch.target, batch.fine[0])
    image, half_change = network.net.with_change(*pair)
    torch.testing.assert_close(network.net(*pair), image)
    score, true_score = network.critic(image).mean(), network.critic(batch.truth).mean()

    losses = network("net", batch)

    torch.testing.assert_close(losses["image"], functional.mse_loss(image, batch.truth))
    change = batch.truth - batch.fine[0]
    torch.testing.assert_close(losses["change"], 0.4 * functional.mse_loss(half_change, change / 2))
    torch.testing.assert_close(losses["adversarial"], -1e-2 * score)
    critic = network("critic", batch)
    torch.testing.assert_close(critic["predicted"] + critic["true"], score - true_score)
    assert set(network("warm_up", batch)) == {"image", "change"}


def test_the_change_of_a_pixel_that_turns_from_black_to_white_can_be_learnt():
    network = built("opgan")
    batch = batch_for(network, rows=16, columns=16)
    whole = replace(batch, fine=(torch.full_like(batch.truth, -1),), truth=torch.ones_like(batch.truth))
    nn.init.constant_(network.net.temporal_change_tail[0].bias, 10)

    assert network("warm_up", whole)["change"] < 1e-2


def test_each_part_learns_alone_and_the_critic_is_clipped_but_for_its_normalisation():
    network = built("opgan")
    batch = batch_for(network)
    for part, learner in [("critic", network.critic), ("net", network.net), ("warm_up", network.net)]:
        network.zero_grad()
        torch.stack(list(network(part, batch).values())).sum().backward()
        other = network.net if learner is network.critic else network.critic
        assert all(weight.grad is None for weight in other.parameters())
        assert all(weight.grad is not None for weight in learner.parameters())

    before = [weight.clone() for weight in network.net.parameters()]
    network.after_step("net")
    assert max(weight.abs().max() for weight in network.critic.parameters()) > 0.5
    network.after_step("critic")
    for layer in network.critic.modules():
        if isinstance(layer, nn.Conv2d):
            assert max(weight.abs().max() for weight in layer.parameters()) <= 0.01
        elif isinstance(layer, nn.BatchNorm2d):
            assert (layer.weight == 1).all()
    assert all((one == other).all() for one, other in zip(before, network.net.parameters(), strict=True))


def test_the_generator_is_driven_to_higher_scores():
    network = built("opgan")
    batch = batch_for(network)
    # A critic that likes bright images.
    network.critic.forward = lambda image: image.mean((1, 2, 3))
    image = batch.truth.requires_grad_()

    loss, = adversarial_loss(network.critic, image, 1.0).values()

    assert (torch.autograd.grad(loss, image)[0] < 0).all()


def test_settled_modules_predict_and_are_themselves_again():
    layer = nn.BatchNorm2d(1).train()

    with settled(layer):
        result = layer(torch.full((2, 1, 4, 4), 3.0))

    assert (result == 3 / (1 + 1e-5) ** 0.5).all()
    assert layer.training
    assert layer.running_mean == 0
    assert not result.requires_grad


def test_it_overfits_without_the_critic_and_stays_close_with_it():
    network = built("opgan")
    batch = batch_for(network, count=1)
    before = error(network.eval(), batch)

    history = overfit(network, batch, steps=80, rate=1e-3)

    assert fell(history["warm_up"], "image") > 20
    assert fell(history["warm_up"], "change") > 20
    assert error(network, batch) < before / 20


def test_the_residual_begins_at_the_fine_image_and_the_change():
    network = built("opgan", **RESIDUAL).eval()
    batch = batch_for(network)

    assert error(network, batch) < 1.5 * functional.mse_loss(batch.base(), batch.truth)


def test_invalid_pixels_teach_nothing():
    network = built("opgan", **RESIDUAL)

    for part in ("warm_up", "net"):
        assert learnt_from_nothing(network, part, batch_for(network)) == 0


def test_parts_agree_exactly_within_the_margin_and_only_there():
    network = built("opgan", **RESIDUAL).eval()
    batch = batch_for(network, count=1, rows=72, columns=74)
    margin = Opgan.layout.margin

    assert unlike_in_part(network, batch, 4, 4, 60, 60, margin) < 1e-5
    assert unlike_in_part(network, batch, 4, 4, 60, 60, 4) > 1e-5


def test_it_depends_on_pixels_as_far_as_the_margin():
    network = built("opgan", size="published").eval().double()
    for layer in network.net.modules():
        if isinstance(layer, nn.Conv2d):
            # All positive, so that the influence of the farthest pixels does not vanish.
            nn.init.constant_(layer.weight, 0.1 / layer.weight[0].numel())
            nn.init.constant_(layer.bias, 0.1)
    batch = batch_for(network, count=1, rows=72, columns=74).map(torch.Tensor.double)

    assert reach(network, batch, 36, 36) == Opgan.layout.margin
