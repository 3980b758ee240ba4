"""Noise schedules and samplers against the anchors of the specification and the published equations."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from stfusion.networks._diffusion import Schedule, implicit_step, noise_of, noised, sample, solver_step, start_of
from stfusion.networks._network import Sampling

COSINE = Schedule.cosine(100)
#: Of the diffusion models for pansharpening.
DDIF, SSDIFF = Schedule.cosine(500), Schedule.cosine(1000)


def fields(seed=0, shape=(2, 1, 3, 4)):
    """A field of noise for every step."""
    return lambda step: torch.from_numpy(np.random.default_rng([seed, step]).normal(size=shape))


def guess(noisy, time):
    """Stands for a network: depends on the image and the time, and goes beyond -1..1."""
    return 0.9 * torch.tanh(noisy) + 0.6 * np.cos(time)


def test_cosine_schedule_has_the_values_of_the_specification():
    assert len(COSINE) == 100
    assert COSINE.kept[0] == pytest.approx(0.99937, abs=5e-6)
    assert COSINE.kept[49] == pytest.approx(0.4938, abs=5e-5)
    assert COSINE.kept[99] == pytest.approx(2.43e-7, rel=2e-3)


def test_no_step_of_the_cosine_schedule_takes_more_than_its_limit():
    kept = np.array((1.0, *COSINE.kept))
    betas = 1 - kept[1:] / kept[:-1]
    assert betas.max() == pytest.approx(0.999)
    assert (np.diff(betas) > 0).all()


def test_the_schedules_for_sharpening_have_the_values_of_the_specification():
    kept = np.array((1.0, *DDIF.kept))
    betas = 1 - kept[1:] / kept[:-1]
    np.testing.assert_allclose(betas[[0, 250, 499]], [8.742e-5, 0.00631123, 0.999], rtol=5e-5)
    anchors = [0.99991258, 0.99409579, 0.84476045, 0.49072683, 0.14208866, 0.00350304]
    np.testing.assert_allclose(np.take(DDIF.kept, [0, 20, 125, 250, 375, 480]), anchors, atol=5e-9)
    kept = np.take(DDIF.kept, [0, 50, 125, 250, 375])
    np.testing.assert_allclose(kept / (1 - kept), [11437.5, 33.547, 5.4417, 0.96358, 0.16562], rtol=2e-5)
    found = np.take(SSDIFF.kept, [0, 100, 500, 900])
    np.testing.assert_allclose(found, [0.99995872, 0.971576, 0.492285, 0.023616], atol=5e-7)
    assert SSDIFF.kept[0] == pytest.approx(0.99995872, abs=5e-9)
    assert SSDIFF.kept[980] == pytest.approx(0.00087653, abs=5e-9)


def test_linear_schedule_is_its_definition():
    schedule = Schedule.linear(2000, 1e-6, 1e-2)
    np.testing.assert_allclose(schedule.kept, np.cumprod(1 - np.linspace(1e-6, 1e-2, 2000)), rtol=1e-9)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [(10, [99, 89, 79, 69, 59, 49, 39, 29, 19, 9, -1]), (50, [*range(99, -1, -2), -1]), (1, [99, -1])],
)
def test_times_of_ddim_are_those_of_the_specification(steps, expected):
    assert COSINE.times(Sampling(fields(), steps)) == expected


@pytest.mark.parametrize("steps", [3, 7, 33, 64, 99, 100])
def test_times_of_ddim_are_the_integers_of_an_even_division(steps):
    even = np.linspace(-1, 99, steps + 1)
    assert COSINE.times(Sampling(fields(), steps)) == [int(time + 1e-9) for time in even[:0:-1]] + [-1]


def test_ddpm_takes_every_step():
    assert COSINE.times(Sampling(fields(), 10, "ddpm")) == list(range(99, -2, -1))


@pytest.mark.parametrize("steps", [0, 101])
def test_a_number_of_steps_that_the_schedule_does_not_have_is_refused(steps):
    with pytest.raises(ValueError, match=f"100 steps cannot be sampled in {steps}"):
        COSINE.times(Sampling(fields(), steps))


def test_levels_are_roots_of_what_is_kept_and_in_proportion_between():
    levels = COSINE.levels(torch.tensor([-1, 0, 49, 99]))
    np.testing.assert_allclose(levels, np.sqrt([1, *np.take(COSINE.kept, [0, 49, 99])]), rtol=1e-6)
    between = COSINE.levels(torch.tensor([-0.25, 98.5]))
    roots = np.sqrt((1.0, *COSINE.kept))
    np.testing.assert_allclose(between, [0.25 * roots[0] + 0.75 * roots[1], (roots[99] + roots[100]) / 2], rtol=1e-6)


def test_noise_is_put_on_and_taken_off():
    start, noise = fields(1)(0), fields(1)(1)
    levels = torch.tensor([0.8, 0.3], dtype=torch.float64)
    noisy = noised(start, noise, levels)
    for item, level in enumerate((0.8, 0.3)):
        expected = level * start[item] + np.sqrt(1 - level**2) * noise[item]
        np.testing.assert_allclose(noisy[item], expected)
        np.testing.assert_allclose(start_of(noisy[item], noise[item], level**2), start[item])
        np.testing.assert_allclose(noise_of(noisy[item], start[item], level**2), noise[item])


@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
def test_ddim_is_its_equation(eta):
    noise = fields(2)
    noisy = noise(0).numpy()
    for step, (time, following) in enumerate([(99, 65), (65, 32), (32, -1)], 1):
        alpha = COSINE.kept[time]
        start = np.clip(0.9 * np.tanh(noisy) + 0.6 * np.cos(time), -1, 1)
        if following < 0:
            break
        alpha_next = COSINE.kept[following]
        sigma = eta * np.sqrt((1 - alpha / alpha_next) * (1 - alpha_next) / (1 - alpha))
        direction = np.sqrt(1 - alpha_next - sigma**2) * (noisy - np.sqrt(alpha) * start) / np.sqrt(1 - alpha)
        noisy = np.sqrt(alpha_next) * start + direction + sigma * noise(step).numpy()
    np.testing.assert_allclose(sample(guess, COSINE, Sampling(noise, 3, eta=eta)), start, rtol=1e-12)


def test_a_constant_estimate_leads_through_the_values_of_the_specification():
    image, start, seen = torch.ones(1, dtype=torch.float64), torch.full((1,), 0.25, dtype=torch.float64), []
    times = range(480, -20, -20)
    for time, following in pairwise(times):
        image = implicit_step(image, start, DDIF.kept[time], DDIF.kept[following], 0.0, fields())
        seen.append(image.item())
    assert len(times) == 25
    np.testing.assert_allclose([seen[0], seen[12], seen[-1]], [1.00996573, 0.82769664, 0.25921698], atol=5e-9)


def test_ddpm_is_the_posterior_of_every_step():
    schedule, noise = Schedule.cosine(8), fields(3)
    noisy, kept = noise(0).numpy(), np.array((1.0, *schedule.kept))
    for step, time in enumerate(range(7, -1, -1), 1):
        after, before = kept[time + 1], kept[time]
        beta = 1 - after / before
        start = np.clip(0.9 * np.tanh(noisy) + 0.6 * np.cos(time), -1, 1)
        mean = (np.sqrt(before) * beta * start + np.sqrt(1 - beta) * (1 - before) * noisy) / (1 - after)
        noisy = mean + np.sqrt(beta * (1 - before) / (1 - after)) * noise(step).numpy()
    np.testing.assert_allclose(sample(guess, schedule, Sampling(noise, 3, "ddpm")), start, rtol=1e-9)


def test_an_estimate_of_the_noise_draws_the_image_that_it_implies():
    noise = fields(4)

    def of_noise(noisy, time):
        return noise_of(noisy, guess(noisy, time).clamp(-1, 1), COSINE.kept[time])

    sampling = Sampling(noise, 6, eta=0.5)
    expected = sample(guess, COSINE, sampling)
    torch.testing.assert_close(sample(of_noise, COSINE, sampling, "noise"), expected, rtol=1e-6, atol=1e-6)


def test_a_perfect_estimate_of_the_noise_gives_the_image():
    image = fields(5)(0).clamp(-0.9, 0.9)
    found = sample(lambda noisy, time: noise_of(noisy, image, COSINE.kept[time]), COSINE, Sampling(fields()), "noise")
    torch.testing.assert_close(found, image)


@pytest.mark.parametrize("sampler", ["ddim", "dpm-solver++"])
@pytest.mark.parametrize("steps", [1, 2, 3, 7, 25, 100])
def test_a_network_that_knows_the_image_gives_it_in_any_number_of_steps(sampler, steps):
    image, asked = fields(6)(0).clamp(-1, 1), []

    def oracle(noisy, time):
        asked.append((time, noisy))
        return image

    found = sample(oracle, COSINE, Sampling(fields(), steps, sampler))
    assert torch.equal(found, image)
    # Told the times of the training, it sees at each what the process has made of the image and the first noise.
    assert [time for time, _ in asked] == COSINE.times(Sampling(fields(), steps))[:-1]
    first = noise_of(asked[0][1], image, COSINE.kept[asked[0][0]])
    for time, noisy in asked:
        level = torch.tensor(COSINE.kept[time], dtype=torch.double).sqrt()
        torch.testing.assert_close(noisy, noised(image, first, level))


def test_the_first_step_of_the_solver_is_that_of_ddim():
    noisy, start = fields(7)(0), fields(8)(0)
    expected = implicit_step(noisy, start, 0.2, 0.4, 0.0, fields())
    torch.testing.assert_close(solver_step(noisy, start, 0.2, 0.4, None), expected)


def test_later_steps_of_the_solver_are_their_equation():
    noisy, start, before = (fields(seed)(0).numpy() for seed in (7, 8, 9))
    kept = np.array([0.1, 0.2, 0.4])
    growth = np.diff(np.log(np.sqrt(kept) / np.sqrt(1 - kept)))
    ratio = growth[0] / growth[1]
    led = (1 + 1 / (2 * ratio)) * start - 1 / (2 * ratio) * before
    expected = np.sqrt(0.6 / 0.8) * noisy - np.sqrt(0.4) * (np.exp(-growth[1]) - 1) * led
    given = torch.from_numpy(noisy), torch.from_numpy(start)
    np.testing.assert_allclose(solver_step(*given, 0.2, 0.4, (torch.from_numpy(before), 0.1)), expected)


@pytest.mark.parametrize(("sampler", "order"), [("ddim", 1), ("dpm-solver++", 2)])
def test_the_solver_is_of_second_order(sampler, order):
    """Of images that are normal with a known spread, the best estimate and the way from noise to image are known."""
    spread, first, last = 0.5, DDIF.kept[400], DDIF.kept[40]

    def size(kept):
        return np.sqrt(kept * spread**2 + 1 - kept)

    def error(steps):
        # Even steps of the logarithm of signal to noise, between two times.
        ends = [np.log(kept / (1 - kept)) for kept in (first, last)]
        levels = 1 / (1 + np.exp(-np.linspace(*ends, steps + 1)))
        image, earlier = torch.ones(1, dtype=torch.float64), None
        for kept, then in pairwise(map(float, levels)):
            start = image * np.sqrt(kept) * spread**2 / size(kept) ** 2
            if sampler == "ddim":
                image = implicit_step(image, start, kept, then, 0.0, fields())
            else:
                image, earlier = solver_step(image, start, kept, then, earlier), (start, kept)
        return abs(image.item() - size(last) / size(first))

    assert error(64) / error(128) == pytest.approx(2**order, rel=0.15)


def test_an_image_stays_within_its_range():
    sampling = Sampling(fields(), 4)
    assert sample(lambda noisy, time: 7 * noisy, COSINE, sampling).abs().max() == 1
    ranged = sample(lambda noisy, time: 7 * noisy, COSINE, sampling, clip=lambda start: start.clamp(-3, 2))
    assert (ranged.min(), ranged.max()) == (-3, 2)


def test_every_evaluation_is_told_and_can_end_the_sampling():
    told = []
    sample(guess, COSINE, Sampling(fields(), 7, on_step=lambda: told.append(1)))
    assert len(told) == 7

    class Stopped(Exception):
        pass

    def stop():
        raise Stopped

    with pytest.raises(Stopped):
        sample(guess, COSINE, Sampling(fields(), 7, on_step=stop))


def test_fresh_noise_is_asked_for_only_where_it_is_used():
    asked = []

    def noise(step):
        asked.append(step)
        return fields()(step)

    sample(guess, COSINE, Sampling(noise, 4))
    assert asked == [0]
    sample(guess, COSINE, Sampling(noise, 4, eta=1.0))
    assert asked == [0, 0, 1, 2, 3]
