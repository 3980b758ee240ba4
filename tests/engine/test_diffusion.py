"""Noise schedules and samplers against the anchors of the specification and the published equations."""

import numpy as np
import pytest
import torch

from stfusion.networks._diffusion import Schedule, noise_of, noised, sample, start_of
from stfusion.networks._network import Sampling

COSINE = Schedule.cosine(100)


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


def test_an_image_stays_within_its_range():
    assert sample(lambda noisy, time: 7 * noisy, COSINE, Sampling(fields(), 4)).abs().max() == 1


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
