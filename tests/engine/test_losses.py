"""The losses of images against scikit-image and their definitions written out."""

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from stfusion.networks._losses import charbonnier, ms_ssim

WEIGHTS = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])


def images(shape, seed=0, noise=0.2):
    rng = np.random.default_rng(seed)
    truth = rng.uniform(-1, 1, shape)
    return truth, truth + rng.normal(0, noise, shape)


def tensors(*arrays):
    return [torch.from_numpy(array.astype(np.float32)) for array in arrays]


def literal_structure(x, y, data_range):
    """Mean of contrast and structure over all whole windows."""
    offsets = np.arange(-5, 6)
    kernel = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * 1.5**2))
    kernel /= kernel.sum()
    c2 = (0.03 * data_range) ** 2
    values = []
    for row in range(x.shape[0] - 10):
        for column in range(x.shape[1] - 10):
            a, b = x[row:row + 11, column:column + 11], y[row:row + 11, column:column + 11]
            mean_a, mean_b = (kernel * a).sum(), (kernel * b).sum()
            covariance = (kernel * (a - mean_a) * (b - mean_b)).sum()
            variances = (kernel * (a - mean_a) ** 2).sum() + (kernel * (b - mean_b) ** 2).sum()
            values.append((2 * covariance + c2) / (variances + c2))
    return np.mean(values)


def halved(image):
    rows, columns = (side // 2 * 2 for side in image.shape)
    return image[:rows, :columns].reshape(rows // 2, 2, columns // 2, 2).mean((1, 3))


def scikit_ssim(x, y, data_range):
    return structural_similarity(
        x, y, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=data_range
    )


@pytest.mark.parametrize(("shape", "levels"), [((24, 29), 2), ((47, 45), 3)])
def test_similarity_over_scales_is_its_definition(shape, levels):
    truth, guess = images((2, 3, *shape))
    expected = []
    for x, y in zip(truth.reshape(-1, *shape), guess.reshape(-1, *shape), strict=True):
        terms = []
        for level in range(levels):
            last = level == levels - 1
            terms.append(scikit_ssim(x, y, 2.0) if last else literal_structure(x, y, 2.0))
            x, y = halved(x), halved(y)  # noqa: PLW2901
        expected.append(np.prod(((np.array(terms) + 1) / 2) ** (WEIGHTS[:levels] / WEIGHTS[:levels].sum())))
    assert float(ms_ssim(*tensors(guess, truth), 2.0)) == pytest.approx(np.mean(expected), rel=1e-5)


def test_one_level_is_the_similarity_itself():
    truth, guess = images((1, 1, 40, 40), noise=0.4)
    ours = float(ms_ssim(*tensors(guess, truth), 2.0, levels=1))
    assert 2 * ours - 1 == pytest.approx(scikit_ssim(truth[0, 0], guess[0, 0], 2.0), rel=1e-5)


def test_similarity_of_an_image_with_itself_is_one_and_noise_lowers_it():
    truth, near = images((1, 2, 176, 180), noise=0.1)
    _, far = images((1, 2, 176, 180), noise=0.5)
    same, small, large = (float(ms_ssim(*tensors(guess, truth), 2.0)) for guess in (truth, near, far))
    assert same == pytest.approx(1, abs=1e-6)
    assert same > small > large > 0


def test_similarity_has_a_gradient_that_leads_to_the_truth():
    truth, guess = tensors(*images((1, 1, 32, 32), noise=0.5))
    guess.requires_grad_()
    optimiser = torch.optim.Adam([guess], 0.02)
    first = 1 - ms_ssim(guess, truth, 2.0)
    for _ in range(60):
        optimiser.zero_grad()
        loss = 1 - ms_ssim(guess, truth, 2.0)
        loss.backward()
        optimiser.step()
    assert float(loss) < float(first) / 5


def test_opposite_images_have_no_negative_similarity():
    truth, _ = images((1, 1, 64, 64))
    value = float(ms_ssim(*tensors(-truth, truth), 2.0))
    assert 0 <= value < 0.2


def test_half_precision_around_does_not_reach_the_similarity():
    truth, guess = tensors(*images((1, 1, 32, 32)))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = ms_ssim(guess, truth, 2.0)
    assert inside.dtype == torch.float32
    assert float(inside) == float(ms_ssim(guess, truth, 2.0))


def test_images_smaller_than_the_window_are_refused():
    with pytest.raises(ValueError, match="11 pixels at least, not 10"):
        ms_ssim(torch.zeros(1, 1, 10, 30), torch.zeros(1, 1, 10, 30), 1.0)


def test_charbonnier_is_its_definition():
    truth, guess = images((2, 3, 5, 7))
    expected = np.sqrt((truth - guess) ** 2 + 1e-6).mean()
    assert float(charbonnier(*tensors(guess, truth))) == pytest.approx(expected, rel=1e-6)
    assert float(charbonnier(*tensors(truth, truth), epsilon=0.01)) == pytest.approx(0.01, rel=1e-5)
