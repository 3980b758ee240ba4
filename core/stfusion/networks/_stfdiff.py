"""STFDiff: diffusion conditioned on the pair and the coarse image of the target date (Huang et al. 2024).

Source: H. Huang, W. He, H. Zhang, Y. Xia and L. Zhang, "STFDiff: Remote sensing image spatiotemporal fusion with
diffusion models", Information Fusion 111 (2024) 102505, doi:10.1016/j.inffus.2024.102505.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from stfusion.networks._batch import FusionBatch
from stfusion.networks._denoiser import Denoiser, Estimate
from stfusion.networks._diffusion import Schedule
from stfusion.networks._network import Form, FusionNetwork, Layout

#: Widths of the first level, and of all levels in relation to it.
_SIZES: dict[str, tuple[int, tuple[int, ...]]] = {"published": (64, (1, 2, 4)), "small": (16, (1, 2, 4))}
_GROUPS = 8


class StandardisedConv(nn.Conv2d):
    """A convolution with kernels of mean 0 and variance 1 (Qiao et al. 2019, doi:10.48550/arXiv.1903.10520)."""

    def forward(self, image: Tensor) -> Tensor:
        """Convolve; kernels in half precision need a larger addition to the variance.

        Mixed precision has kernels in single precision, so that it gives what single precision gives.
        """
        addition = 1e-3 if self.weight.dtype in (torch.float16, torch.bfloat16) else 1e-5
        variance, mean = torch.var_mean(self.weight, (1, 2, 3), correction=0, keepdim=True)
        kernel = (self.weight - mean) * torch.rsqrt(variance + addition)
        return functional.conv2d(image, kernel, self.bias, padding=1)


class ResBlock(nn.Module):
    """Two convolutions beside a shortcut; ``mlp`` shifts and scales what lies in between by the step."""

    def __init__(self, width: int, to: int, step_width: int = 0) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.SiLU(), nn.Linear(step_width, 2 * to)) if step_width else None
        self.conv_1 = StandardisedConv(width, to, 3, padding=1)
        self.norm_1 = nn.GroupNorm(_GROUPS, to)
        self.conv_2 = nn.Conv2d(to, to, 3, padding=1)
        self.norm_2 = nn.GroupNorm(_GROUPS, to)
        self.res_conv = nn.Conv2d(width, to, 1) if width != to else nn.Identity()

    def forward(self, features: Tensor, step: Tensor | None = None) -> Tensor:
        """Features of the new width."""
        inner: Tensor = self.norm_1(self.conv_1(features))
        if self.mlp is not None and step is not None:
            scale, shift = self.mlp(step)[:, :, None, None].chunk(2, 1)
            inner = torch.addcmul(shift, inner, scale + 1)
        inner = functional.relu(self.norm_2(self.conv_2(functional.silu(inner))))
        result: Tensor = inner + self.res_conv(features)
        return result


class Wave(nn.Module):
    """Sines and cosines of a step, of periods from 2 pi to 20 000 pi."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.waves = width // 2

    def forward(self, step: Tensor) -> Tensor:
        """Waves (n, width) of steps (n,)."""
        exponents = torch.arange(self.waves, device=step.device) / (self.waves - 1)
        angles = step[:, None] * torch.exp(-math.log(10_000) * exponents)
        return torch.cat((angles.sin(), angles.cos()), -1)


class DSUNet(nn.Module):
    """A U-Net with two encoders, of the clean images and of the noisy one; the decoder sees what differs in them.

    ``init_conv`` takes no part in the prediction; it is there since the published network has it.
    """

    def __init__(self, bands: int, pairs: int, width: int, multiples: Sequence[int]) -> None:
        super().__init__()
        step_width = 4 * width
        widths = [width, *(width * multiple for multiple in multiples)]
        levels = list(pairwise(widths))
        self.time_mlp = nn.Sequential(
            Wave(width), nn.Linear(width, step_width), nn.GELU(), nn.Linear(step_width, step_width)
        )
        self.init_conv = nn.Conv2d(bands, width, 3, padding=1)
        self.fine_init_conv = nn.Conv2d(bands * pairs, width, 3, padding=1)
        self.coarse_init_conv = nn.Conv2d(bands * (pairs + 1), width, 3, padding=1)
        self.noisy_init_conv = nn.Conv2d(bands, width, 3, padding=1)
        self.clean_init_conv = nn.Conv2d(2 * width, width, 1)
        self.clean_downs = nn.ModuleList(_down(*level, level is levels[-1]) for level in levels)
        self.noisy_downs = nn.ModuleList(_down(*level, level is levels[-1], step_width) for level in levels)
        self.clean_mid_block = ResBlock(widths[-1], widths[-1])
        self.noisy_mid_block = ResBlock(widths[-1], widths[-1], step_width)
        self.noise_ups = nn.ModuleList(_up(*level, level is levels[0], step_width) for level in reversed(levels))
        self.final_res_block = ResBlock(2 * width, width, step_width)
        self.final_conv = nn.Conv2d(width, bands, 1)

    def clean(self, fine: Sequence[Tensor], coarse: Sequence[Tensor]) -> list[Tensor]:
        """What the encoder of the clean images knows at every level: the same for all steps."""
        pair = torch.cat((self.fine_init_conv(torch.cat(tuple(fine), 1)),
                          self.coarse_init_conv(torch.cat(tuple(coarse), 1))), 1)
        features = self.clean_init_conv(pair)
        known = [features]
        for block, shrink in _levels(self.clean_downs):
            known.append(block(features))
            features = shrink(known[-1])
        return [*known, self.clean_mid_block(features)]

    def forward(self, noisy: Tensor, step: Tensor, clean: Sequence[Tensor]) -> Tensor:
        """The estimate for a noisy image at steps (n,), beside what :meth:`clean` gave."""
        step = self.time_mlp(step.float())
        first, *levels, middle = clean
        features = self.noisy_init_conv(noisy)
        skips = [features - first]
        for (block, shrink), known in zip(_levels(self.noisy_downs), levels, strict=True):
            features = block(features, step)
            skips.append(features - known)
            features = shrink(features)
        noise = self.noisy_mid_block(features, step) - middle
        for block, grow in _levels(self.noise_ups):
            noise = grow(block(torch.cat((noise, skips.pop()), 1), step))
        noise = self.final_res_block(torch.cat((noise, skips.pop()), 1), step)
        result: Tensor = self.final_conv(noise)
        return result


def _levels(levels: nn.ModuleList) -> Iterator[tuple[nn.Module, nn.Module]]:
    """The block of every level, and what leads to the next one."""
    for level in levels:
        block, change = level.children()
        yield block, change


def _down(width: int, to: int, last: bool, step_width: int = 0) -> nn.ModuleList:
    shrink = nn.Conv2d(width, to, 3, padding=1) if last else nn.Conv2d(width, to, 4, stride=2, padding=1)
    return nn.ModuleList([ResBlock(width, width, step_width), shrink])


def _up(width: int, to: int, last: bool, step_width: int) -> nn.ModuleList:
    conv = nn.Conv2d(to, width, 3, padding=1)
    grow = conv if last else nn.Sequential(nn.Upsample(scale_factor=2, mode="nearest"), conv)
    return nn.ModuleList([ResBlock(to + width, to, step_width), grow])


class STFDiff(Denoiser, FusionNetwork):
    """STFDiff of one or two pairs, whose network estimates the fine image itself, or its residual."""

    id = "stfdiff"
    pairs = (1, 2)
    channels_last = True
    pixel_bytes = 5120
    layout = Layout(patch=256, margin=16, ramp=32, multiple=4)
    schedule = Schedule.cosine(100)
    objective = "start"
    net: DSUNet

    def __init__(self, form: Form) -> None:
        super().__init__(form)
        self.net = DSUNet(form.bands, form.pairs, *_SIZES[form.size])
        if form.target == "residual":
            # Before anything is learnt nothing is missing in the base.
            nn.init.normal_(self.net.final_conv.weight, std=1e-3)
            nn.init.zeros_(self.net.final_conv.bias)  # type: ignore[arg-type]

    def given(self, batch: FusionBatch) -> Estimate:
        """The network beside the features of the clean images, found once for all steps."""
        known = self.net.clean(batch.fine, self._coarse(batch))
        return lambda noisy, step, _: self.net(noisy, step, known)

    def optimiser(self, part: str) -> torch.optim.Optimizer:
        """Adam with the published rate; what the network does not use is left out."""
        used = [weights for name, weights in self.net.named_parameters() if not name.startswith("init_conv")]
        return torch.optim.Adam(used, 1e-3)

    def _coarse(self, batch: FusionBatch) -> tuple[Tensor, ...]:
        """The coarse images by date, the target's second."""
        first, *later = batch.coarse
        return (first, batch.target, *later)


NETWORK = STFDiff
