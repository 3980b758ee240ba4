"""SSDiff: pansharpening by a diffusion model with a spatial and a spectral branch (Zhong et al. 2024).

Source: Y. Zhong, X. Wu, Z. Cao, H.-X. Dou and L.-J. Deng, "SSDiff: Spatial-spectral Integrated Diffusion Model for
Remote Sensing Pansharpening", Advances in Neural Information Processing Systems 37 (2024),
doi:10.48550/arXiv.2404.11537.
"""

from __future__ import annotations

from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from stfusion.networks._attention import in_windows
from stfusion.networks._batch import SharpeningBatch, known
from stfusion.networks._denoiser import Estimate, Sharpener
from stfusion.networks._diffusion import Schedule
from stfusion.networks._network import Form, Layout, Stage
from stfusion.networks._unet import LevelWave

#: Width of the first level and of the waves of the step.
SIZES = {"published": (32, 128), "small": (16, 64)}
#: Widths of the levels in relation to the first, and what is done to them: the share of the lowest frequencies that
#: the spatial branch shows, and the gain of the first half of the spectral branch.
_LEVELS = (1, 2, 4, 2, 1)
_SHARES, _GAINS = (0.9, 0.6, 0.3, 0.6, 0.9), (1.2, 1.4, 1.6, 1.4, 1.2)
#: Width of a head of the attention, and most groups that features are normalised in.
_HEAD, _GROUPS = 16, 32


class Told(nn.Module):
    """Adds what the step tells to features; then normalised, activated and convolved, which begins as nothing."""

    def __init__(self, norm: nn.Module, width: int, told: int) -> None:
        super().__init__()
        self.step = nn.Sequential(nn.SiLU(), nn.Linear(told, width))
        self.out = nn.Sequential(norm, nn.SiLU(), nn.Conv2d(width, width, 3, padding=1))
        for weights in self.out[-1].parameters():
            nn.init.zeros_(weights)

    def forward(self, features: Tensor, told: Tensor) -> Tensor:
        """Features of the same shape."""
        result: Tensor = self.out(features + self.step(told)[:, :, None, None])
        return result


class Stem(nn.Module):
    """The first features of a branch, from its image and the noisy one."""

    def __init__(self, inputs: int, width: int, told: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, width, 3, padding=1)
        self.told = Told(nn.BatchNorm2d(width), width, told)

    def forward(self, image: Tensor, noisy: Tensor, told: Tensor) -> Tensor:
        """(n, width, rows, columns)."""
        result: Tensor = self.told(self.conv(torch.cat((image, noisy), 1)), told)
        return result


class Spatial(nn.Module):
    """A residual block of the spatial branch."""

    def __init__(self, width: int, told: int) -> None:
        super().__init__()
        self.convs = nn.Sequential(
            nn.Conv2d(width, width // 2, 3, padding=1), nn.LeakyReLU(), nn.Conv2d(width // 2, width, 3, padding=1)
        )
        self.told = Told(nn.GroupNorm(min(_GROUPS, width), width), width, told)

    def forward(self, features: Tensor, told: Tensor) -> Tensor:
        """Features of the same shape."""
        result: Tensor = features + self.told(self.convs(features), told)
        return result


class Projection(nn.Module):
    """Alternating projection fusion: each branch is projected to what the other one spans.

    Pixels that are alike in the spatial branch share what the spectral one knows, channels that go together in the
    spectral branch share what the spatial one knows; the product of both is what the spectral branch learns.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm_spatial, self.norm_spectral = nn.LayerNorm(width), nn.LayerNorm(width)
        self.spatial = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(2))
        self.spectral = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(2))
        self.mix = nn.Linear(width, width)
        self.forward_part = nn.Sequential(
            nn.Linear(width, width // 2), nn.LeakyReLU(), nn.Linear(width // 2, width)
        )

    def forward(self, spectral: Tensor, spatial: Tensor) -> Tensor:
        """Spectral features of the same shape."""
        features = spectral.movedim(1, -1)
        normal = self.norm_spatial(spatial.movedim(1, -1))
        a, b = (layer(normal) for layer in self.spatial)
        normal = self.norm_spectral(features)
        c, d = (layer(normal) for layer in self.spectral)
        alike = in_windows(_alike, *(one.movedim(-1, 1) for one in (a, b, c))).movedim(1, -1)
        features = features + self.mix(alike * _together(c, d, a))
        result: Tensor = features + self.forward_part(features)
        return result.movedim(-1, 1)


def _alike(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Values (n, width, rows, columns) of the pixels that are alike, by softmax(query·key / √16), head by head."""
    heads = [one.reshape(len(one), -1, _HEAD, one.shape[-2] * one.shape[-1]).transpose(-1, -2)
             for one in (query, key, value)]
    found = functional.scaled_dot_product_attention(heads[0], heads[1], heads[2])
    return found.transpose(-1, -2).reshape(value.shape)


def _together(one: Tensor, other: Tensor, value: Tensor) -> Tensor:
    """Values (n, rows, columns, width) of the channels that go together, head by head.

    The weights are the softmax of √16 times the mean of the product of two channels over all pixels, which does not
    grow with the size of the image.
    """
    pixels = value.shape[1] * value.shape[2]
    heads = [part.reshape(len(part), pixels, -1, _HEAD) for part in (one, other / pixels, value)]
    weights = (torch.einsum("nphi,nphj->nhij", heads[0], heads[1]) * _HEAD**0.5).softmax(-1)
    result: Tensor = torch.einsum("nhij,nphj->nphi", weights, heads[2])
    return result.reshape(value.shape)


def lowered(features: Tensor, share: float) -> Tensor:
    """Features with no more than a share of their mean and of their lowest frequencies: the bins 0 and -1 both ways."""
    with torch.autocast(features.device.type, enabled=False):
        spectrum = torch.fft.fft2(features.float())
        kept = torch.ones(spectrum.shape[-2:], device=features.device)
        low = torch.tensor([0, -1], device=features.device)
        kept[low[:, None], low] = share
        result: Tensor = torch.fft.ifft2(spectrum * kept).real.to(features.dtype)
        return result


def raised(features: Tensor, gain: float) -> Tensor:
    """Features whose first half is multiplied."""
    first, second = features.chunk(2, 1)
    return torch.cat((first * gain, second), 1)


class Down(nn.Module):
    """Half the size and twice the width, of both branches; an odd side is continued by its last pixel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(width, width, 2, stride=2), nn.LeakyReLU(), nn.Conv2d(width, 2 * width, 1),
            nn.Conv2d(2 * width, 2 * width, 3, padding=1, groups=2 * width), nn.LeakyReLU(),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Features of the new size."""
        rows, columns = features.shape[-2:]
        result: Tensor = self.layers(functional.pad(features, (0, columns % 2, 0, rows % 2), mode="replicate"))
        return result


class Up(nn.Module):
    """Twice the size and half the width, with what the branch was before at that size."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.grow = nn.Sequential(nn.ConvTranspose2d(width, width // 2, 2, stride=2), nn.LeakyReLU())
        self.conv = nn.Sequential(nn.Conv2d(width // 2, width // 2, 3, padding=1), nn.LeakyReLU())

    def forward(self, features: Tensor, kept: Tensor) -> Tensor:
        """Features of the new size."""
        rows, columns = kept.shape[-2:]
        result: Tensor = self.conv(self.grow(features)[..., :rows, :columns] + kept)
        return result


class Level(nn.Module):
    """A level of the network: the fusion of the branches, and the block of the spatial one where it goes on."""

    def __init__(self, width: int, told: int, last: bool) -> None:
        super().__init__()
        self.fusion = Projection(width)
        self.spatial = nn.Identity() if last else Spatial(width, told)


class SSNet(nn.Module):
    """The network that estimates the residual, of multispectral ``bands`` led by ``guides``, from a noisy residual.

    Images may have any size. The layers of the public code that no prediction passes are not here.
    """

    def __init__(self, bands: int, guides: int, ratio: int, width: int, waves: int) -> None:
        super().__init__()
        told = 4 * waves
        self.wave = LevelWave(waves)
        self.time = nn.Sequential(nn.Linear(waves, told), nn.SiLU(), nn.Linear(told, told))
        self.spatial_stem = Stem(bands + guides, width, told)
        self.spectral_stem = Stem(2 * bands, width, told)
        self.enlarge = nn.Sequential(
            nn.Conv2d(bands, ratio**2 * bands, 3, padding=1, bias=False), nn.PixelShuffle(ratio)
        )
        widths = [width * multiple for multiple in _LEVELS]
        last = len(widths) - 1
        self.levels = nn.ModuleList(Level(wide, told, number == last) for number, wide in enumerate(widths))
        self.moves = nn.ModuleList(Down(wide) if then > wide else Up(wide) for wide, then in pairwise(widths))
        self.head = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1), nn.LeakyReLU(), nn.Conv2d(width, bands, 3, padding=1)
        )

    def forward(self, noisy: Tensor, step: Tensor, guide: Tensor, expanded: Tensor, multispectral: Tensor) -> Tensor:
        """The estimate for a noisy residual at steps (n,), beside the images.

        The guide and the ``expanded`` multispectral image have the shape of the result, the ``multispectral`` one its
        own pixels.
        """
        # Cosines before sines.
        told = self.time(self.wave(step.float()).roll(self.wave.waves, -1))
        spatial = self.spatial_stem(guide, noisy, told)
        spectral = self.spectral_stem(expanded, noisy, told)
        kept: list[tuple[Tensor, Tensor]] = []
        for level, move, share, gain in zip(self._levels(), [*self.moves, None], _SHARES, _GAINS, strict=True):
            spectral = level.fusion(raised(spectral, gain), lowered(spatial, share))
            if move is None:
                break
            spatial = level.spatial(spatial, told)
            if isinstance(move, Down):
                kept.append((spectral, spatial))
                spectral, spatial = move(spectral), move(spatial)
            else:
                before = kept.pop()
                spectral, spatial = move(spectral, before[0]), move(spatial, before[1])
        rows, columns = noisy.shape[-2:]
        result: Tensor = self.head(spectral) + self.enlarge(multispectral)[..., :rows, :columns]
        return result

    def branches(self) -> dict[str, list[nn.Parameter]]:
        """The weights of the spatial and of the spectral branch; those that both share are in neither."""
        spatial: list[nn.Module] = [self.spatial_stem]
        spectral: list[nn.Module] = [self.spectral_stem, self.enlarge, self.head]
        for level in self._levels():
            fusion = level.fusion
            spatial += [level.spatial, fusion.norm_spatial, fusion.spatial]
            spectral += [fusion.norm_spectral, fusion.spectral, fusion.mix, fusion.forward_part]
        return {
            name: [weights for module in modules for weights in module.parameters()]
            for name, modules in (("spatial", spatial), ("spectral", spectral))
        }

    def _levels(self) -> list[Level]:
        return cast(list[Level], list(self.levels))


class SSDiff(Sharpener):
    """SSDiff for one ratio, trained as a whole and then branch by branch in turns (L-BAF)."""

    id = "ssdiff"
    needs_multispectral = True
    pixel_bytes = 20480
    layout = Layout(patch=64, margin=4, ramp=8, multiple=4)
    schedule = Schedule.cosine(1000)
    stages = (Stage("network", ("net",), 5), Stage("branches", ("spectral", "spatial"), 1))
    net: SSNet

    def __init__(self, form: Form) -> None:
        super().__init__(form)
        self.net = SSNet(form.bands, form.pan_bands, form.ratio, *SIZES[form.size])

    def given(self, batch: SharpeningBatch) -> Estimate:
        """The network beside the images."""
        small = known(batch.multispectral)
        return lambda noisy, step, _: self.net(noisy, step, batch.pan, batch.expanded, small)

    def optimiser(self, part: str) -> torch.optim.Optimizer:
        """AdamW with the published rates: of the whole network, or of a branch alone, which is only tuned."""
        if part == "net":
            return torch.optim.AdamW(self.net.parameters(), 1e-3, weight_decay=0)
        return torch.optim.AdamW(self.net.branches()[part], 1e-4, weight_decay=0)


NETWORK = SSDiff
