from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from networks import batch_for, built, error, fell, learnt_from_nothing, overfit
from stfusion.networks._gan_stfm import Critic, SwitchNorm
from stfusion.networks._layers import BatchNorm
from stfusion.networks._losses import ms_ssim
from stfusion.networks._network import parameter_count


def test_the_generator_has_the_published_number_of_parameters_and_names():
    net = built("gan_stfm", bands=6, size="published").net
    shapes = {name: tuple(value.shape) for name, value in net.state_dict().items()}

    assert parameter_count(net) == 578130
    assert len(shapes) == 106
    assert shapes["encoder.0.residual.0.running_mean"] == (1, 6, 1)
    assert shapes["encoder.1.residual.3.running_var"] == (1, 16, 1)
    assert shapes["encoder.1.residual.0.weight"] == (1, 16, 1, 1)
    assert shapes["encoder.2.residual.0.mean_weight"] == (3,)
    assert shapes["encoder.0.residual.2.1.weight"] == (6, 6, 3, 3)
    assert shapes["encoder.3.residual.5.weight"] == (128, 64, 1, 1)
    assert shapes["encoder.3.transform.0.1.weight"] == (64, 64, 3, 3)
    assert shapes["encoder.3.transform.1.bias"] == (128,)
    assert shapes["decoder.0.residual.0.1.weight"] == (128, 256, 3, 3)
    assert shapes["decoder.3.residual.2.weight"] == (16, 16, 1, 1)
    assert shapes["decoder.3.transform.weight"] == (16, 32, 1, 1)
    assert shapes["decoder.4.weight"] == (6, 16, 1, 1)


def test_the_discriminators_have_the_published_number_of_parameters():
    critic = Critic(6, "published")
    state = critic.state_dict()
    vectors = sum(value.numel() for name, value in state.items() if name.endswith(("_u", "_v")))

    assert parameter_count(critic) == 3665959
    assert parameter_count(critic) + vectors == 3696474
    assert len(state) == 474


@pytest.mark.parametrize(("bands", "rows", "columns"), [(1, 32, 32), (3, 37, 41), (6, 16, 50)])
def test_it_predicts_images_of_any_size(bands, rows, columns):
    network = built("gan_stfm", bands=bands).eval()
    batch = batch_for(network, rows=rows, columns=columns)
    assert batch.coarse == ()

    assert network.predict(batch).shape == batch.truth.shape


def test_it_has_no_residual_form():
    with pytest.raises(ValueError, match="gan_stfm has no form that gives the residual, but the image"):
        built("gan_stfm", target="residual")


def literal_switch_norm(image, layer, batch_statistics=None):
    """One value after the other; the image's own statistics are unbiased, the others follow from them."""
    weights = [np.exp(weight.detach().numpy()) for weight in (layer.mean_weight, layer.var_weight)]
    of_mean, of_variance = (weight / weight.sum() for weight in weights)
    mean, variance = image.mean((2, 3)), image.var((2, 3), ddof=1)
    square = variance + mean**2
    result = np.empty_like(image)
    for item in range(image.shape[0]):
        layer_mean = mean[item].mean()
        layer_variance = square[item].mean() - layer_mean**2
        for channel in range(image.shape[1]):
            if batch_statistics is None:
                batch_mean = mean[:, channel].mean()
                batch_variance = square[:, channel].mean() - batch_mean**2
            else:
                batch_mean, batch_variance = (values[channel] for values in batch_statistics)
            centre = of_mean @ [mean[item, channel], layer_mean, batch_mean]
            spread = of_variance @ [variance[item, channel], layer_variance, batch_variance]
            normal = (image[item, channel] - centre) / np.sqrt(spread + 1e-5)
            result[item, channel] = normal * layer.weight[0, channel].item() + layer.bias[0, channel].item()
    return result


def test_switchable_normalisation_follows_its_formulas():
    torch.manual_seed(3)
    layer = SwitchNorm(4)
    for weight in layer.parameters():
        nn.init.normal_(weight)
    image = torch.rand(3, 4, 5, 7)
    values = image.numpy().astype(float)

    np.testing.assert_allclose(layer(image).detach(), literal_switch_norm(values, layer), atol=1e-4)

    mean, variance = values.mean((2, 3)), values.var((2, 3), ddof=1)
    batch_variance = (variance + mean**2).mean(0) - mean.mean(0) ** 2
    np.testing.assert_allclose(layer.running_mean[0, :, 0], 0.1 * mean.mean(0), rtol=1e-5)
    np.testing.assert_allclose(layer.running_var[0, :, 0], 0.1 * batch_variance, rtol=1e-4)
    running = (0.1 * mean.mean(0), 0.1 * batch_variance)
    np.testing.assert_allclose(
        layer.eval()(image).detach(), literal_switch_norm(values, layer, running), atol=1e-4
    )


def test_in_use_patches_of_a_batch_do_not_know_of_each_other():
    network = built("gan_stfm", bands=2)
    batch = batch_for(network, count=3)
    network("net", batch)
    network.eval()

    one_by_one = [network.predict(batch.map(lambda image, at=at: image[at : at + 1])) for at in range(3)]

    torch.testing.assert_close(network.predict(batch), torch.cat(one_by_one), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("side", [16, 32, 64])
def test_the_score_is_the_mean_of_three_discriminators_each_on_its_own_scale(side):
    critic = Critic(2, "small").eval()
    images = torch.rand(2, 4, side, side)
    scores = [
        judge(nn.functional.interpolate(images, [side // step] * 2)).mean((1, 2, 3))
        for judge, step in [(critic.d1, 1), (critic.d2, 2), (critic.d3, 4)]
    ]

    torch.testing.assert_close(critic(images), sum(scores) / 3)
    critic(images).sum().backward()
    assert all(weight.grad is not None for weight in critic.d3.parameters())


@pytest.mark.parametrize(("rows", "columns"), [(45, 33), (256, 100)])
def test_patches_of_any_size_have_a_score(rows, columns):
    assert Critic(1, "small")(torch.rand(2, 2, rows, columns)).shape == (2,)


def test_a_patch_of_256_pixels_comes_down_to_one_score_of_each_discriminator():
    critic = Critic(1, "small").eval()
    image = torch.rand(1, 2, 256, 256)

    assert [judge(image[..., ::step, ::step]).shape for judge, step in [(critic.d1, 1), (critic.d2, 2), (critic.d3, 4)]
            ] == [(1, 1, 1, 1)] * 3


def test_convolutions_of_the_discriminators_come_to_a_spectral_norm_of_1():
    torch.manual_seed(1)
    critic = Critic(1, "small")
    for _ in range(100):
        critic(torch.rand(2, 2, 4, 4))
    critic.eval()

    for judge in (critic.d1, critic.d2, critic.d3):
        for layer in judge.modules():
            if isinstance(layer, nn.Conv2d):
                norm = torch.linalg.matrix_norm(layer.weight.flatten(1), 2)
                assert norm.item() == pytest.approx(1, abs=0.02)


def test_a_single_pixel_is_normalised_by_the_running_statistics():
    layer = BatchNorm(3)
    layer.running_mean[:] = torch.tensor([1.0, 2.0, 3.0])
    one = torch.full((1, 3, 1, 1), 2.0)

    torch.testing.assert_close(layer(one).flatten(), torch.tensor([1.0, 0.0, -1.0]) / (1 + 1e-5) ** 0.5)
    two = torch.tensor([1.0, 3.0]).reshape(2, 1, 1, 1).expand(2, 3, 1, 1)
    torch.testing.assert_close(layer(two)[:, 0].flatten(), torch.tensor([-1.0, 1.0]))


def test_the_losses_are_least_squares_and_errors_of_the_image():
    network = built("gan_stfm", bands=2).eval()
    batch = batch_for(network)
    image, truth = network.predict(batch).detach(), batch.truth

    with torch.no_grad():
        true, predicted = (network.critic(torch.cat((one, batch.target), 1)).numpy() for one in (truth, image))
        features, wanted = (network.autoencoder(one).numpy() for one in (image, truth))
    cosines = (features * wanted).sum(1) / np.sqrt((features**2).sum(1) * (wanted**2).sum(1))

    critic, generator = network("critic", batch), network("net", batch)
    assert critic["true"].item() == pytest.approx(0.5 * np.mean((true - 1) ** 2), rel=1e-4)
    assert critic["predicted"].item() == pytest.approx(0.5 * np.mean(predicted**2), rel=1e-4)
    assert generator["adversarial"].item() == pytest.approx(1e-3 * np.mean((predicted - 1) ** 2), rel=1e-4)
    assert generator["features"].item() == pytest.approx(np.mean((features - wanted) ** 2), rel=1e-4)
    assert generator["angle"].item() == pytest.approx(1 - cosines.mean(), rel=1e-3)
    assert generator["structure"].item() == pytest.approx(1 - ms_ssim(image, truth, 1.0).item(), rel=1e-4)


def test_each_part_learns_alone():
    network = built("gan_stfm")
    batch = batch_for(network)
    parts = {name: getattr(network, name) for name in ("autoencoder", "critic", "net")}
    for part in parts:
        network.zero_grad()
        torch.stack(list(network(part, batch).values())).sum().backward()

        learnt = {name for name, module in parts.items() if any(w.grad is not None for w in module.parameters())}
        assert learnt == {part}


def test_no_gradient_is_written_beyond_the_memory_when_channels_are_last():
    """torch 2.13 does so for convolutions of single pixels with a stride."""
    network = built("gan_stfm")

    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    assert all(layer.stride == (1, 1) for layer in convolutions if layer.kernel_size == (1, 1))


def test_it_overfits():
    network = built("gan_stfm")
    batch = batch_for(network, count=1)
    before = error(network.eval(), batch)

    history = overfit(network, batch, steps=100, rate=1e-3)

    assert fell(history["net"]) > 20
    assert error(network, batch) < before / 20


def test_a_single_patch_of_one_pixel_at_the_end_can_be_learnt_from():
    network = built("gan_stfm")
    batch = batch_for(network, count=1, rows=16, columns=16)

    assert all(loss.isfinite() for part in ("critic", "net") for loss in network(part, batch).values())


def test_invalid_pixels_teach_nothing():
    network = built("gan_stfm")
    batch = batch_for(network)

    for part in ("autoencoder", "net"):
        assert learnt_from_nothing(network, part, batch) == 0
