"""What the diffusion models for sharpening have in common: what is noised, what is told, what is drawn and learnt."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from denoisers import drawn, ergas, fields, learn, network_for, patch
from networks import learnt_from_nothing
from stfusion.networks._network import Form, Sampling, network_class

NAMES = ("ddif", "ssdiff")


def oracle(network, batch, monkeypatch):
    """The network as one that knows what is wanted; gives what it is told in every step."""
    told = []

    def given(seen):
        def known(noisy, step, guess):
            told.append((int(step[0]), noisy.clone(), guess))
            return network.wanted(batch)
        return known

    monkeypatch.setattr(network, "given", given)
    return told


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("sampler", ["ddim", "dpm-solver++"])
@pytest.mark.parametrize("steps", [1, 3, 25])
def test_a_network_that_knows_the_residual_gives_the_truth(name, sampler, steps, monkeypatch):
    batch = patch()
    network = network_for(name, batch)
    oracle(network, batch, monkeypatch)
    torch.testing.assert_close(drawn(network, batch, steps, sampler), batch.truth, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("ddif", range(499, -1, -20)), ("ssdiff", [999, 899, 799, 699, 599, 499, 399, 299, 199, 99])]
)
def test_the_network_is_told_the_times_of_the_training(name, expected, monkeypatch):
    batch = patch()
    network = network_for(name, batch)
    told = oracle(network, batch, monkeypatch)
    drawn(network, batch, len(expected))
    assert [time for time, *_ in told] == list(expected)


@pytest.mark.parametrize("name", NAMES)
def test_the_residual_is_the_state_in_training_as_in_drawing(name, monkeypatch):
    """At every time the state is the residual in standard deviations, with as much noise as the schedule says."""
    batch = patch()
    network = network_for(name, batch)
    wanted = (batch.truth - batch.expanded) / network.form.residual_scale
    assert wanted.std() == pytest.approx(1, abs=0.01)
    told = oracle(network, batch, monkeypatch)
    drawn(network, batch, 5)
    noise = None
    for time, noisy, _ in told:
        kept = network.schedule.kept[time]
        found = (noisy - kept**0.5 * wanted) / (1 - kept) ** 0.5
        noise = found if noise is None else noise
        torch.testing.assert_close(found, noise, rtol=1e-3, atol=1e-3)
    told.clear()
    torch.manual_seed(2)
    assert network("net", batch)["l1"] == 0
    time, noisy, _ = told[-1]
    kept = network.schedule.kept[time]
    found = (noisy - kept**0.5 * wanted) / (1 - kept) ** 0.5
    assert (found.mean().abs() < 0.15, found.std()) == (True, pytest.approx(1, abs=0.15))


def test_ddif_is_told_its_last_estimate(monkeypatch):
    batch = patch()
    network = network_for("ddif", batch)
    told = oracle(network, batch, monkeypatch)
    drawn(network, batch, 4)
    wanted = network.wanted(batch)
    assert told[0][2] is None
    assert all(torch.equal(guess, wanted) for _, _, guess in told[1:])
    told.clear()
    for seed in range(200):
        torch.manual_seed(seed)
        network("net", batch)
    # Where it has an estimate in training, it has made it of the same noisy image before.
    with_guess = [number for number, (*_, guess) in enumerate(told) if guess is not None]
    assert len(told) - len(with_guess) == 200
    assert 70 < len(with_guess) < 130
    for number in with_guess:
        assert torch.equal(told[number][1], told[number - 1][1])
        assert told[number - 1][2] is None
        assert torch.equal(told[number][2], wanted)
        assert not told[number][2].requires_grad


def test_without_an_estimate_ddif_is_told_the_noisy_residual(monkeypatch):
    batch = patch()
    network = network_for("ddif", batch)
    given = []
    monkeypatch.setattr(network.net, "forward", lambda noisy, step, guess, known: given.append((noisy, guess)) or noisy)
    drawn(network, batch, 2)
    assert given[0][0] is given[0][1]
    assert given[1][0] is not given[1][1]


def test_what_the_images_tell_is_found_once(monkeypatch):
    batch = patch()
    network = network_for("ddif", batch)
    known, calls = network.net.known, []
    monkeypatch.setattr(network.net, "known", lambda *images: calls.append(1) or known(*images))
    drawn(network, batch, 3)
    assert calls == [1]


@pytest.mark.parametrize("name", NAMES)
def test_an_image_stays_near_the_range_of_its_bands(name):
    batch = patch()
    bright = replace(batch, expanded=batch.expanded + torch.tensor([0, 2, -1, 0.5])[:, None, None])
    network = network_for(name, batch)
    within, scale = network.within(bright), network.form.residual_scale
    for far, bound in ((1e3, bright.expanded.clamp(min=1) + 0.5), (-1e3, bright.expanded.clamp(max=0) - 0.5)):
        image = network.finish(within(torch.full(batch.shape, far)), bright)
        torch.testing.assert_close(image, bound)
    inside = torch.rand(batch.shape) / scale / 10
    assert torch.equal(within(inside), inside)


@pytest.mark.parametrize("name", NAMES)
def test_a_drawing_is_told_by_its_noise_alone(name):
    batch = patch()
    network = network_for(name, batch)
    learn(network, batch, 3, 1e-3)
    first = drawn(network, batch, 3)
    assert torch.equal(first, drawn(network, batch, 3))
    assert not torch.equal(first, drawn(network, batch, 3, seed=1))
    assert not torch.equal(first, drawn(network, batch, 3, eta=1.0))


@pytest.mark.parametrize("name", NAMES)
def test_drawing_can_be_cancelled_in_any_step(name):
    batch, told = patch(), []
    network = network_for(name, batch)

    def stop():
        told.append(1)
        if len(told) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        network.predict(batch, Sampling(fields(batch.shape), 5, on_step=stop))
    assert len(told) == 3


@pytest.mark.parametrize("name", NAMES)
def test_the_image_itself_is_never_diffused(name):
    with pytest.raises(ValueError, match="no form that gives the image"):
        network_class(name)(Form(bands=4, ratio=4, size="small", target="image"))


def test_residuals_are_in_standard_deviations():
    residuals = np.random.default_rng(1).normal(0.01, 0.03, 100_000).astype(np.float32)
    for name in NAMES:
        assert network_class(name).unit(residuals) == pytest.approx(0.03, rel=0.01)
    assert network_class("stfdiff").unit(residuals) > 0.08


@pytest.mark.parametrize("name", NAMES)
def test_invalid_pixels_teach_nothing(name):
    batch = patch()
    assert learnt_from_nothing(network_for(name, batch), "net", batch) == 0


@pytest.mark.parametrize("name", NAMES)
def test_half_precision_draws_nearly_the_same(name):
    batch = patch()
    network = network_for(name, batch).eval()
    single = drawn(network, batch, 3)
    with torch.autocast("cpu", torch.bfloat16):
        half = drawn(network, batch, 3)
    assert (half - single).abs().max() < 0.02


@pytest.mark.parametrize(("name", "steps", "rate"), [("ddif", 80, 5e-3), ("ssdiff", 100, 1e-2)])
def test_a_patch_is_learnt_by_heart(name, steps, rate):
    batch = patch()
    network = network_for(name, batch)
    before = ergas(batch.expanded, batch.truth)
    learn(network, batch, steps, rate)
    for sampler in ("ddim", "dpm-solver++"):
        assert ergas(drawn(network, batch, 10, sampler), batch.truth) < before / 2


def test_ssdiff_ends_with_its_branches_in_turns():
    batch = patch()
    network = network_for("ssdiff", batch)
    assert [stage.parts for stage in network.stages] == [("net",), ("spectral", "spatial")]
    learn(network, batch, 2, 1e-3)
    kept = {name: weights.detach().clone() for name, weights in network.net.named_parameters()}
    own = {part: {id(weights) for weights in weights} for part, weights in network.net.branches().items()}
    for part in ("spectral", "spatial"):
        learn(network, batch, 1, 1e-3, (part,))
        for name, weights in network.net.named_parameters():
            changed = not torch.equal(weights, kept[name])
            assert changed <= (id(weights) in own[part]), name
            kept[name] = weights.detach().clone()
    rates = [network.optimiser(part).param_groups[0]["lr"] for part in ("net", "spectral", "spatial")]
    assert rates == [1e-3, 1e-4, 1e-4]
