"""Losses of images that several networks share."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

#: Weights of the levels, fine to coarse (Wang, Simoncelli and Bovik 2003), and the window of every level.
_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_WINDOW, _SIGMA = 11, 1.5


def charbonnier(one: Tensor, other: Tensor, epsilon: float = 1e-3) -> Tensor:
    """Mean of sqrt(difference² + epsilon²): an absolute difference that is smooth at 0."""
    return torch.sqrt((one - other).square() + epsilon**2).mean()


def ms_ssim(one: Tensor, other: Tensor, data_range: float, levels: int | None = None) -> Tensor:
    """Structural similarity over several scales of images (n, bands, rows, columns), the mean of the batch's bands.

    The product over the levels of the mean contrast and structure, at the last level with luminance, each to the power
    of its weight (Wang, Simoncelli and Bovik 2003). As the fusion networks have it, every mean x enters as (x + 1) / 2,
    so that none is negative. The images are halved from level to level; where the last of the five would be smaller
    than the window there are fewer, and the weights of those that remain sum to 1.

    Raises
    ------
    ValueError
        The images are smaller than the window of 11 pixels.
    """
    side = min(one.shape[-2:])
    possible = sum(side >> level >= _WINDOW for level in range(len(_WEIGHTS)))
    if possible == 0:
        raise ValueError(f"structural similarity needs images of {_WINDOW} pixels at least, not {side}")
    count = min(possible, levels or possible)
    weights = [weight / sum(_WEIGHTS[:count]) for weight in _WEIGHTS[:count]]
    # Differences of squares: half precision would not do.
    with torch.autocast(one.device.type, enabled=False):
        one, other = one.float(), other.float()
        result = torch.ones((), device=one.device)
        for level, weight in enumerate(weights):
            if level:
                one, other = functional.avg_pool2d(one, 2), functional.avg_pool2d(other, 2)
            luminance, structure = _similarities(one, other, data_range)
            term = luminance * structure if level == count - 1 else structure
            result = result * ((term.mean((-2, -1)) + 1) / 2) ** weight
        return result.mean()


def _similarities(one: Tensor, other: Tensor, data_range: float) -> tuple[Tensor, Tensor]:
    """Luminance, and contrast with structure, in every window of two images."""
    fields = torch.cat([one, other, one.square() + other.square(), one * other], 1)
    offsets = torch.arange(_WINDOW, device=one.device, dtype=one.dtype) - _WINDOW // 2
    kernel = functional.softmax(-offsets.square() / (2 * _SIGMA**2), 0).expand(fields.shape[1], 1, _WINDOW)
    for across in (kernel[..., None], kernel[:, :, None]):
        fields = functional.conv2d(fields, across, groups=fields.shape[1])
    mean_one, mean_other, squares, product = fields.chunk(4, 1)
    means, mean_squares = mean_one * mean_other, mean_one.square() + mean_other.square()
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    luminance = (2 * means + c1) / (mean_squares + c1)
    structure = (2 * (product - means) + c2) / (squares - mean_squares + c2)
    return luminance, structure
