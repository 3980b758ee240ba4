from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from networks import batch_for, built, error, fell, learnt_from_nothing, overfit, reach, unlike_in_part
from stfusion.networks._batch import FusionBatch, weighted
from stfusion.networks._network import parameter_count
from stfusion.networks._stfdcnn import Stfdcnn, degraded, modulated


@pytest.mark.parametrize(("bands", "count"), [(6, 87206), (1, 57281)])
def test_each_step_has_the_published_number_of_parameters(bands, count):
    network = built("stfdcnn", pairs=2, bands=bands, size="published")

    assert parameter_count(network.net.transition) == count
    assert parameter_count(network.net.super_resolution) == count


def test_the_names_are_the_public_ones():
    state = built("stfdcnn", pairs=2, bands=6, size="published").net.state_dict()

    assert len(state) == 12
    assert state["transition.feature_extraction_layer.0.weight"].shape == (64, 6, 9, 9)
    assert state["super_resolution.nonlinear_mapping_layer.0.weight"].shape == (32, 64, 5, 5)
    assert state["super_resolution.reconstruction_layer.0.bias"].shape == (6,)


@pytest.mark.parametrize(("bands", "rows", "columns"), [(1, 32, 32), (3, 37, 41), (6, 16, 50)])
def test_it_predicts_images_of_any_size(bands, rows, columns):
    network = built("stfdcnn", pairs=2, bands=bands)
    batch = batch_for(network, rows=rows, columns=columns)

    assert network.predict(batch).shape == batch.truth.shape


def test_only_two_pairs_and_an_image():
    with pytest.raises(ValueError, match="stfdcnn is built for 2 pairs, not for 1"):
        built("stfdcnn", pairs=1)
    with pytest.raises(ValueError, match="stfdcnn has no form that gives the residual"):
        built("stfdcnn", pairs=2, target="residual")


def test_modulation_follows_its_formula_and_is_guarded():
    transition = torch.tensor([0.2, 0.005, -0.005, 0.02, 0.4])
    target = torch.tensor([0.3, 0.3, 0.3, 0.3, 0.01])
    fine = transition + 0.01

    # In proportion; added where there is no divisor, twice; 15 times is too much, 1/40 too little.
    expected = target + 0.01 * torch.tensor([1.5, 1.0, 1.0, 4.0, 0.25])
    torch.testing.assert_close(modulated(fine, transition, target), expected)


def test_weights_are_those_of_the_windows():
    changes = [torch.rand(1, 2, 40, 45), 0.5 * torch.rand(1, 2, 40, 45)]
    images = [torch.rand(1, 2, 40, 45) for _ in changes]

    result = weighted(images, changes)
    decided = weighted(images, changes, decisive=0.25)

    def literal(row, column, decisive):
        around = np.s_[0, 1, max(0, row - 15) : row + 16, max(0, column - 15) : column + 16]
        one, two = (change.numpy()[around].astype(float).mean() for change in changes)
        first, second = (image[0, 1, row, column].item() for image in images)
        if abs(one - two) > decisive:
            return first if one < two else second
        weights = 1 / (one + 1e-4), 1 / (two + 1e-4)
        return (weights[0] * first + weights[1] * second) / sum(weights)

    for row, column in [(0, 0), (20, 20), (39, 3), (17, 44)]:
        assert result[0, 1, row, column].item() == pytest.approx(literal(row, column, 9), abs=1e-5)
        assert decided[0, 1, row, column].item() == pytest.approx(literal(row, column, 0.25), abs=1e-5)
    assert (decided != result).any()
    assert (decided == result).any()


def test_degraded_images_are_means_of_cells_between_which_it_is_smooth():
    image = torch.rand(1, 1, 64, 64)
    ramp = torch.arange(64.0).expand(1, 1, 64, 64)

    assert degraded(image).shape == image.shape
    assert degraded(image).std() < 0.3 * image.std()
    # Half a pixel is a sixteenth of a cell.
    torch.testing.assert_close(degraded(ramp)[..., 20:44], ramp[..., 20:44], atol=0.5, rtol=0)
    torch.testing.assert_close(degraded(torch.full((1, 1, 37, 50), 0.3)), torch.full((1, 1, 37, 50), 0.3))


def test_untrained_it_is_near_the_fine_image_and_the_change():
    network = built("stfdcnn", pairs=2)
    batch = batch_for(network)

    assert error(network, batch) < 2 * functional.mse_loss(batch.base(), batch.truth)


def test_a_pair_of_the_target_date_is_its_fine_image():
    network = built("stfdcnn", pairs=2)
    batch = batch_for(network)
    known = FusionBatch((batch.truth, batch.fine[1]), (batch.target, batch.coarse[1]), batch.target)

    with torch.inference_mode():
        error_of_known = (network.predict(known) - batch.truth).abs().mean()

    assert error_of_known < 0.01


def test_it_overfits_both_steps():
    network = built("stfdcnn", pairs=2)
    batch = batch_for(network, count=1)

    history = overfit(network, batch, steps=700, rate=2e-3)

    assert fell(history["transition"]) > 20
    assert fell(history["super_resolution"]) > 20


def test_invalid_pixels_teach_nothing():
    network = built("stfdcnn", pairs=2)

    for part in ("transition", "super_resolution"):
        assert learnt_from_nothing(network, part, batch_for(network)) == 0


def test_parts_agree_exactly_within_the_margin_and_only_there():
    network = built("stfdcnn", pairs=2)
    torch.nn.init.normal_(network.net.transition.reconstruction_layer[0].weight, std=0.05)
    batch = batch_for(network, count=1, rows=100, columns=110)
    margin = Stfdcnn.layout.margin

    assert unlike_in_part(network, batch, 10, 10, 80, 80, margin) < 1e-5
    assert unlike_in_part(network, batch, 10, 10, 80, 80, 8) > 1e-5
    assert reach(network, batch, 50, 50) <= margin
