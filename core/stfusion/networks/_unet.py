"""Parts of the U-Nets of diffusion models that are told the level of the noise, as SR3 has them, and DDIF after it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from stfusion.networks._attention import in_windows


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
    """Every pixel looks at all others; in a large map, at those of its window."""

    def __init__(self, width: int, groups: int, heads: int = 1) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(groups, width)
        self.qkv = nn.Conv2d(width, 3 * width, 1, bias=False)
        self.out = nn.Conv2d(width, width, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Features of the same shape."""
        result: Tensor = self.out(in_windows(self._attended, self.qkv(self.norm(features)))) + features
        return result

    def _attended(self, known: Tensor) -> Tensor:
        count, width, rows, columns = known.shape
        parts = known.reshape(count, self.heads, 3, width // 3 // self.heads, rows * columns).transpose(-1, -2)
        query, key, value = parts.unbind(2)
        # As published: by the width of all heads together.
        attended = functional.scaled_dot_product_attention(query, key, value, scale=(width // 3) ** -0.5)
        return attended.transpose(-1, -2).reshape(count, width // 3, rows, columns)


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
