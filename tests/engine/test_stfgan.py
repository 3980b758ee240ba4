from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from networks import batch_for, built, error, fell, learnt_from_nothing, overfit
from stfusion.networks._adversarial import through
from stfusion.networks._network import parameter_count
from stfusion.networks._stfgan import Stfgan, cells, reduced

RESIDUAL = {"target": "residual", "residual_scale": 0.2}


def test_each_generator_has_the_published_number_of_parameters_and_names():
    net = built("stfgan", pairs=2, bands=6, size="published").net

    for generator in (net.first, net.second):
        shapes = {name: tuple(value.shape) for name, value in generator.state_dict().items()}
        assert parameter_count(generator) == 2366086
        assert len(shapes) == 360
        assert shapes["CIFEB_RBs_head.0.weight"] == (64, 18, 9, 9)
        assert {name.split(".")[1] for name in shapes if name.startswith("CIFEB_RBs.")} == {str(n) for n in range(16)}
        assert shapes["CIFEB_RBs_tail.1.running_var"] == (64,)
        assert shapes["CIFEB_upsample.0.weight"] == shapes["CIFEB_upsample.3.weight"] == (256, 64, 3, 3)
        assert shapes["FIFEB_RBs_head.0.weight"] == (64, 12, 9, 9)
        assert {name.split(".")[1] for name in shapes if name.startswith("FIFEB_RBs.")} == {str(n) for n in range(8)}
        assert shapes["TBF_conv.weight"] == (6, 128, 9, 9)


@pytest.mark.parametrize("target", ["image", "residual"])
@pytest.mark.parametrize(("bands", "rows", "columns"), [(1, 32, 32), (3, 48, 16), (6, 16, 80)])
def test_it_predicts_images_of_any_multiple_of_16_pixels(bands, rows, columns, target):
    network = built("stfgan", pairs=2, bands=bands, target=target).eval()
    batch = batch_for(network, rows=rows, columns=columns)
    middle = reduced(batch)

    assert network.predict(batch).shape == batch.truth.shape
    assert network._first(middle).shape == (2, bands, rows // 4, columns // 4)


def test_patches_and_their_steps_are_multiples_of_the_coarse_cells():
    layout = Stfgan.layout

    assert layout.patch % layout.multiple == 0
    assert (layout.patch - 2 * layout.margin - layout.ramp) % layout.multiple == 0


def test_a_cell_is_the_mean_of_its_pixels_and_valid_where_all_are():
    network = built("stfgan", pairs=2)
    batch = batch_for(network, rows=16, columns=32)
    valid = torch.ones(2, 1, 16, 32, dtype=torch.bool)
    valid[0, 0, 5, 9] = False
    middle = reduced(type(batch)(batch.fine, batch.coarse, batch.target, truth=batch.truth, valid=valid))

    torch.testing.assert_close(middle.truth[1, 0, 1, 2], batch.truth[1, 0, 4:8, 8:12].mean())
    assert middle.valid.dtype == torch.bool
    assert (~middle.valid).nonzero().tolist() == [[0, 0, 1, 2]]
    torch.testing.assert_close(cells(cells(batch.target))[0, 0, 0, 1], batch.target[0, 0, :16, 16:].mean())


def test_images_enter_by_their_dates():
    network = built("stfgan", pairs=2).eval()
    batch = batch_for(network)
    net, middle = network.net, reduced(batch)
    coarse = [cells(cells(image)) for image in (batch.coarse[0], batch.target, batch.coarse[1])]
    image = net.first(torch.cat(coarse, 1), torch.cat([cells(fine) for fine in batch.fine], 1))
    fine = net.second(
        torch.cat([cells(batch.fine[0]), image, cells(batch.fine[1])], 1), torch.cat(batch.fine, 1)
    )

    torch.testing.assert_close(network._first(middle), image)
    torch.testing.assert_close(network.predict(batch), fine)


def test_the_second_step_learns_with_what_the_first_one_predicts_and_leaves_it_as_it_is():
    network = built("stfgan", pairs=2)
    batch = batch_for(network)
    network("first", batch)
    state = {name: value.clone() for name, value in network.net.first.state_dict().items()}
    seen = []
    network.net.second.CIFEB_RBs_head.register_forward_hook(lambda layer, images, result: seen.append(images[0]))

    losses = network("second", batch)
    torch.stack(list(losses.values())).sum().backward()

    network.net.first.eval()
    torch.testing.assert_close(seen[0][:, 1:2], network._first(reduced(batch)))
    assert (seen[0][:, 1:2] - reduced(batch).truth).abs().max() > 0.01
    assert all(weight.grad is None for weight in network.net.first.parameters())
    assert all((value == state[name]).all() for name, value in network.net.first.state_dict().items())


def test_the_losses_follow_their_formulas():
    network = built("stfgan", pairs=2).eval()
    batch = batch_for(network)
    cases = {
        "first": (network._first(reduced(batch)), reduced(batch).truth, network.first_critic),
        "second": (network.predict(batch), batch.truth, network.second_critic),
    }
    for step, (image, truth, critic) in cases.items():
        losses = network(step, batch)
        torch.testing.assert_close(losses["image"], functional.mse_loss(image, truth))
        torch.testing.assert_close(losses["adversarial"], -1e-3 * critic(image).mean())
        assert set(network(f"{step}_warm_up", batch)) == {"image"}
        scores = network(f"{step}_critic", batch)
        torch.testing.assert_close(scores["predicted"], critic(image).mean())
        torch.testing.assert_close(scores["true"], -critic(truth).mean())


def test_each_part_learns_alone_and_each_critic_is_clipped_after_its_step():
    network = built("stfgan", pairs=2)
    batch = batch_for(network)
    parts = {
        "first": network.net.first, "second": network.net.second,
        "first_critic": network.first_critic, "second_critic": network.second_critic,
    }
    for part in [name for stage in network.stages for name in stage.parts]:
        network.zero_grad()
        torch.stack(list(network(part, batch).values())).sum().backward()
        learnt = [name for name, module in parts.items() if any(w.grad is not None for w in module.parameters())]
        assert learnt == [part.removesuffix("_warm_up")]
        learner = {id(weight) for group in network.optimiser(part).param_groups for weight in group["params"]}
        assert learner == {id(weight) for weight in parts[learnt[0]].parameters()}

    network.after_step("second_critic")
    largest = [critic.net[0].weight.abs().max() for critic in (network.first_critic, network.second_critic)]
    assert largest[1] <= 0.01 < largest[0]


def test_the_coarse_branch_does_not_see_the_edges_of_an_even_image():
    net = built("stfgan", pairs=2).eval().net.first
    even = torch.rand(1, 3, 1, 1).expand(1, 3, 8, 8)

    features = through(net.CIFEB_RBs_head, net.CIFEB_RBs, net.CIFEB_RBs_tail, even)

    torch.testing.assert_close(features, features[..., :1, :1].expand_as(features), atol=1e-5, rtol=1e-4)
    assert features.std() > 0


def test_it_overfits_step_by_step():
    network = built("stfgan", pairs=2)
    batch = batch_for(network, count=1)
    before = error(network.eval(), batch)

    history = overfit(network, batch, steps=90, rate=5e-4)

    assert fell(history["first_warm_up"], "image") > 20
    assert fell(history["second_warm_up"], "image") > 20
    assert error(network, batch) < before / 20


def test_the_residual_begins_at_the_fine_image_and_the_change():
    network = built("stfgan", pairs=2, **RESIDUAL).eval()
    batch = batch_for(network)

    assert error(network, batch) < 1.5 * functional.mse_loss(batch.base(), batch.truth)


def test_invalid_pixels_teach_nothing():
    network = built("stfgan", pairs=2, **RESIDUAL)

    for part in ("first_warm_up", "first", "second_warm_up", "second"):
        assert learnt_from_nothing(network, part, batch_for(network)) == 0
