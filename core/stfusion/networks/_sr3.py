"""SR3: super-resolution of the coarse image by diffusion, without a look at any fine image (Saharia et al. 2023).

Source: C. Saharia, J. Ho, W. Chan, T. Salimans, D. J. Fleet and M. Norouzi, "Image Super-Resolution via Iterative
Refinement", IEEE Transactions on Pattern Analysis and Machine Intelligence 45 (2023) 4713-4726,
doi:10.1109/TPAMI.2022.3204461. Sizes and names are those of the public re-implementation by Janspiry.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from stfusion.networks._batch import FusionBatch
from stfusion.networks._denoiser import Denoiser
from stfusion.networks._diffusion import Schedule
from stfusion.networks._network import Form, FusionNetwork, Layout


@dataclass(frozen=True)
class Plan:
    """The size of a network: width of the first level, widths of all levels in relation to it, and blocks in each.

    ``attended`` are the levels, each half the size of the one before, where every pixel looks at all others, beside the
    middle: levels and not sizes of images, so that the network is the same for all of these.
    """

    width: int
    multiples: tuple[int, ...]
    blocks: int
    attended: tuple[int, ...] = ()
    groups: int = 32
    dropout: float = 0.0


_PLANS = {"published": Plan(64, (1, 2, 4, 8, 8), 2, (3,), dropout=0.2), "small": Plan(16, (1, 2, 2, 4), 1, groups=8)}


class LevelWave(nn.Module):
    """Sines and cosines of a level of noise."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.waves = width // 2

    def forward(self, level: Tensor) -> Tensor:
        """Waves (n, width) of levels (n,)."""
        exponents = torch.arange(self.waves, device=level.device) / self.waves
        angles = level[:, None] * torch.exp(-math.log(10_000) * exponents)
        return torch.cat((angles.sin(), angles.cos()), -1)


class LevelShift(nn.Module):
    """Adds to every channel what the level of the noise tells."""

    def __init__(self, level_width: int, to: int) -> None:
        super().__init__()
        self.noise_func = nn.Sequential(nn.Linear(level_width, to))

    def forward(self, features: Tensor, level: Tensor) -> Tensor:
        """Features of the same shape."""
        shift: Tensor = self.noise_func(level)
        return features + shift[:, :, None, None]


class ConvBlock(nn.Module):
    """Normalised, activated and convolved."""

    def __init__(self, width: int, to: int, groups: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.GroupNorm(groups, width), nn.SiLU(), nn.Dropout(dropout), nn.Conv2d(width, to, 3, padding=1)
        )

    def forward(self, features: Tensor) -> Tensor:
        """Features of the new width."""
        result: Tensor = self.block(features)
        return result


class ResBlock(nn.Module):
    """Two convolutions beside a shortcut, told the level of the noise in between."""

    def __init__(self, width: int, to: int, plan: Plan) -> None:
        super().__init__()
        self.noise_func = LevelShift(plan.width, to)
        self.block1 = ConvBlock(width, to, plan.groups)
        self.block2 = ConvBlock(to, to, plan.groups, plan.dropout)
        self.res_conv = nn.Conv2d(width, to, 1) if width != to else nn.Identity()

    def forward(self, features: Tensor, level: Tensor) -> Tensor:
        """Features of the new width."""
        result: Tensor = self.block2(self.noise_func(self.block1(features), level)) + self.res_conv(features)
        return result


class GlobalAttention(nn.Module):
    """Every pixel looks at all others, with one head."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, width)
        self.qkv = nn.Conv2d(width, 3 * width, 1, bias=False)
        self.out = nn.Conv2d(width, width, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Features of the same shape."""
        query, key, value = self.qkv(self.norm(features)).flatten(2).transpose(1, 2)[:, None].chunk(3, -1)
        attended = functional.scaled_dot_product_attention(query, key, value)[:, 0].transpose(1, 2)
        result: Tensor = self.out(attended.reshape(features.shape)) + features
        return result


class Block(nn.Module):
    """A residual block, with attention where it is planned."""

    def __init__(self, width: int, to: int, plan: Plan, attends: bool) -> None:
        super().__init__()
        self.res_block = ResBlock(width, to, plan)
        self.attn = GlobalAttention(to, plan.groups) if attends else nn.Identity()

    def forward(self, features: Tensor, level: Tensor) -> Tensor:
        """Features of the new width."""
        result: Tensor = self.attn(self.res_block(features, level))
        return result


class Resize(nn.Module):
    """A convolution that halves the size, or one of what is twice as large."""

    def __init__(self, width: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, stride, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """Features of the new size."""
        if self.conv.stride == (1, 1):
            features = functional.interpolate(features, scale_factor=2.0)
        result: Tensor = self.conv(features)
        return result


class SR3UNet(nn.Module):
    """The U-Net that estimates the noise in an image from it, the coarse image and the level of the noise."""

    def __init__(self, bands: int, plan: Plan) -> None:
        super().__init__()
        width, last = plan.width, len(plan.multiples) - 1
        self.noise_level_mlp = nn.Sequential(
            LevelWave(width), nn.Linear(width, 4 * width), nn.SiLU(), nn.Linear(4 * width, width)
        )
        self.downs = nn.ModuleList([nn.Conv2d(2 * bands, width, 3, padding=1)])
        kept = [width]
        for level, multiple in enumerate(plan.multiples):
            to = plan.width * multiple
            for _ in range(plan.blocks):
                self.downs.append(Block(width, to, plan, level in plan.attended))
                kept.append(to)
                width = to
            if level < last:
                self.downs.append(Resize(width, 2))
                kept.append(width)
        self.mid = nn.ModuleList([Block(width, width, plan, True), Block(width, width, plan, False)])
        self.ups = nn.ModuleList()
        for level, multiple in reversed(list(enumerate(plan.multiples))):
            to = plan.width * multiple
            for _ in range(plan.blocks + 1):
                self.ups.append(Block(width + kept.pop(), to, plan, level in plan.attended))
                width = to
            if level:
                self.ups.append(Resize(width, 1))
        self.final_conv = ConvBlock(width, bands, plan.groups)

    def forward(self, noisy: Tensor, level: Tensor, coarse: Tensor) -> Tensor:
        """The noise in images whose levels of noise are (n,)."""
        told = self.noise_level_mlp(level)
        features = torch.cat((coarse, noisy), 1)
        kept = []
        for module in self.downs:
            features = module(features, told) if isinstance(module, Block) else module(features)
            kept.append(features)
        for module in self.mid:
            features = module(features, told)
        for module in self.ups:
            if isinstance(module, Block):
                features = module(torch.cat((features, kept.pop()), 1), told)
            else:
                features = module(features)
        result: Tensor = self.final_conv(features)
        return result


class SR3(Denoiser, FusionNetwork):
    """SR3, which knows of the fine image of the pair only where its pixels lie."""

    id = "sr3"
    targets = ("image",)
    needs_coarse = False
    channels_last = True
    pixel_bytes = 8192
    layout = Layout(patch=256, margin=32, ramp=64, multiple=16)
    schedule = Schedule.linear(2000, 1e-6, 1e-2)
    objective = "noise"
    by_level = True
    net: SR3UNet

    def __init__(self, form: Form) -> None:
        super().__init__(form)
        self.net = SR3UNet(form.bands, _PLANS[form.size])

    def given(self, batch: FusionBatch) -> Callable[[Tensor, Tensor], Tensor]:
        """The network beside the coarse image of the target date."""
        return lambda noisy, level: self.net(noisy, level, batch.target)

    def optimiser(self, part: str) -> torch.optim.Optimizer:
        """Adam with the published rate; narrower layers bear a higher one."""
        return torch.optim.Adam(self.net.parameters(), 1e-4 if self.form.size == "published" else 5e-4)


NETWORK = SR3
