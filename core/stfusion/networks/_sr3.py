"""SR3: super-resolution of the coarse image by diffusion, without a look at any fine image (Saharia et al. 2023).

Source: C. Saharia, J. Ho, W. Chan, T. Salimans, D. J. Fleet and M. Norouzi, "Image Super-Resolution via Iterative
Refinement", IEEE Transactions on Pattern Analysis and Machine Intelligence 45 (2023) 4713-4726,
doi:10.1109/TPAMI.2022.3204461. Sizes and names are those of the public re-implementation by Janspiry.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stfusion.networks._batch import FusionBatch
from stfusion.networks._denoiser import Denoiser, Estimate
from stfusion.networks._diffusion import Schedule
from stfusion.networks._network import Form, FusionNetwork, Layout
from stfusion.networks._unet import ConvBlock, GlobalAttention, LevelWave, Plan, ResBlock, Resize

_PLANS = {"published": Plan(64, (1, 2, 4, 8, 8), 2, (3,), dropout=0.2), "small": Plan(16, (1, 2, 2, 4), 1, groups=8)}


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

    def given(self, batch: FusionBatch) -> Estimate:
        """The network beside the coarse image of the target date."""
        return lambda noisy, level, _: self.net(noisy, level, batch.target)

    def optimiser(self, part: str) -> torch.optim.Optimizer:
        """Adam with the published rate; narrower layers bear a higher one."""
        return torch.optim.Adam(self.net.parameters(), 1e-4 if self.form.size == "published" else 5e-4)


NETWORK = SR3
