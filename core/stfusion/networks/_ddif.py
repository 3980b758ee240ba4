"""DDIF: sharpening by a diffusion model with coarse style and fine wavelet modulation (Cao et al. 2024).

Source: Z. Cao, S. Cao, L.-J. Deng, X. Wu, J. Hou and G. Vivone, "Diffusion model with disentangled modulations for
sharpening multispectral and hyperspectral images", Information Fusion 104 (2024) 102158,
doi:10.1016/j.inffus.2023.102158.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from stfusion.networks._batch import SharpeningBatch
from stfusion.networks._denoiser import Estimate, Sharpener
from stfusion.networks._diffusion import Schedule
from stfusion.networks._network import Form, Layout
from stfusion.networks._unet import ConvBlock, GlobalAttention, LevelWave, Plan, ResBlock, Resize

PLANS = {
    "published": Plan(32, (1, 2, 2, 4), 3, (3,), groups=1, dropout=0.2),
    "small": Plan(16, (1, 2, 2, 4), 1, (3,), groups=1),
}
_HEADS = 8


def haar(image: Tensor) -> Tensor:
    """One level of the orthonormal Haar transform of images (n, bands, rows, columns), at half their size.

    All bands of the sum a + b + c + d of every four pixels (a b; c d) come first, then those of the detail between
    rows a + b - c - d, between columns a - b + c - d and along the diagonal a - b - c + d; all are halved. An odd side
    is continued by its last pixel.
    """
    rows, columns = image.shape[-2:]
    image = functional.pad(image, (0, columns % 2, 0, rows % 2), mode="replicate")
    upper, lower = image[..., ::2, :], image[..., 1::2, :]
    parts = []
    for across in ((upper + lower) / 2, (upper - lower) / 2):
        left, right = across[..., ::2], across[..., 1::2]
        parts.append((left + right, left - right))
    (total, by_columns), (by_rows, diagonal) = parts
    return torch.cat((total, by_rows, by_columns, diagonal), 1)


class Style(nn.Module):
    """Coarse style modulation: what the images are like scales and shifts the features, which else pass a projection.

    Begins as that projection alone.
    """

    def __init__(self, width: int, to: int, condition: int, groups: int) -> None:
        super().__init__()
        self.style = nn.Sequential(
            nn.Conv2d(condition, 4 * to, 3, padding=1, bias=False), nn.GroupNorm(groups, 4 * to), nn.SiLU(),
            _zero(nn.Conv2d(4 * to, 2 * to, 1)),
        )
        self.project = nn.Conv2d(width, to, 1)

    def known(self, condition: Tensor) -> Tensor:
        """Scales and shifts, which are the same in all steps."""
        result: Tensor = self.style(condition)
        return result

    def forward(self, features: Tensor, known: Tensor) -> Tensor:
        """Features of the new width."""
        scale, shift = known.chunk(2, 1)
        return torch.addcmul(shift, self.project(features), scale + 1)


class Detail(nn.Module):
    """Fine wavelet modulation: the features ask the details of the images by attention at linear cost.

    Queries are weighted along the columns and keys along the rows of the image, so that the size of the image does not
    matter for the size of the answer.
    """

    def __init__(self, width: int, to: int, condition: int, plan: Plan) -> None:
        super().__init__()
        self.dropout = plan.dropout
        self.norm = nn.GroupNorm(plan.groups, width)
        self.query = _looking(width, width)
        self.key_value = _looking(condition, 2 * width)
        self.project_answer = nn.Conv2d(width, to, 1)
        self.project = nn.Conv2d(width, to, 1) if width != to else nn.Identity()
        self.forward_part = nn.Sequential(
            nn.Conv2d(to, 2 * to, 3, padding=1, bias=False), nn.SiLU(),
            nn.Conv2d(2 * to, to, 3, padding=1, bias=False), nn.Conv2d(to, to, 1),
        )

    def known(self, condition: Tensor) -> Tensor:
        """What keys and values make together (n, heads, width of a head, width of a head), the same in all steps."""
        key, value = self.key_value(condition).chunk(2, 1)
        return torch.matmul(_heads(key.softmax(-1)), _heads(value).transpose(-1, -2))

    def forward(self, features: Tensor, known: Tensor) -> Tensor:
        """Features of the new width."""
        features = self.norm(features)
        query = _heads(self.query(features).softmax(-2)) * known.shape[-1] ** -0.5
        answer = torch.matmul(known.transpose(-1, -2), query).reshape(features.shape)
        features = self.project_answer(answer) + self.project(features)
        further: Tensor = self.forward_part(features)
        if self.training and self.dropout:
            # Stochastic depth: now and then an item goes without.
            shape = (len(further), 1, 1, 1)
            further = further * torch.empty(shape, device=further.device).bernoulli_(1 - self.dropout)
            further = further / (1 - self.dropout)
        return features + further


def _looking(width: int, to: int) -> nn.Sequential:
    """A convolution of each channel, and a mixture of the channels."""
    return nn.Sequential(nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False), nn.Conv2d(width, to, 1))


def _heads(features: Tensor) -> Tensor:
    """(n, heads, width of a head, pixels)."""
    return features.reshape(len(features), _HEADS, features.shape[1] // _HEADS, -1)


def _zero(layer: nn.Conv2d) -> nn.Conv2d:
    for weights in layer.parameters():
        nn.init.zeros_(weights)
    return layer


class Block(nn.Module):
    """A modulation, a residual block that is told the step, and attention where it is planned."""

    def __init__(self, modulation: Style | Detail, to: int, plan: Plan, attends: bool) -> None:
        super().__init__()
        self.modulation = modulation
        self.res_block = ResBlock(to, to, plan)
        self.attention = GlobalAttention(to, plan.groups, _HEADS) if attends else nn.Identity()

    def forward(self, features: Tensor, told: Tensor, known: Tensor) -> Tensor:
        """Features of the new width."""
        result: Tensor = self.attention(self.res_block(self.modulation(features, known), told))
        return result


class DDIFUNet(nn.Module):
    """The U-Net that estimates the residual, of multispectral ``bands`` led by ``guides``, from a noisy residual.

    Images may have any size.
    """

    def __init__(self, bands: int, guides: int, plan: Plan) -> None:
        super().__init__()
        width, last = plan.width, len(plan.multiples) - 1
        self._plan = plan
        self.time = nn.Sequential(
            LevelWave(width), nn.Linear(width, 4 * width), nn.SiLU(), nn.Linear(4 * width, width)
        )
        self.stem = nn.Conv2d(2 * bands, width, 3, padding=1)
        self.downs, kept = nn.ModuleList(), [width]
        for level, multiple in enumerate(plan.multiples):
            to = plan.width * multiple
            for _ in range(plan.blocks):
                style = Style(width, to, bands + guides, plan.groups)
                self.downs.append(Block(style, to, plan, level in plan.attended))
                kept.append(to)
                width = to
            if level < last:
                self.downs.append(Resize(width, 2))
                kept.append(width)
        self.middle = nn.ModuleList([
            ResBlock(width, width, plan), GlobalAttention(width, plan.groups, _HEADS), ResBlock(width, width, plan)
        ])
        self.ups = nn.ModuleList()
        for level, multiple in reversed(list(enumerate(plan.multiples))):
            to = plan.width * multiple
            for _ in range(plan.blocks + 1):
                detail = Detail(width + kept.pop(), to, bands + 3 * guides, plan)
                self.ups.append(Block(detail, to, plan, level in plan.attended))
                width = to
            if level:
                self.ups.append(Resize(width, 1))
        self.head = ConvBlock(width, bands, plan.groups)

    def known(self, expanded: Tensor, guide: Tensor) -> list[Tensor]:
        """What every modulation makes of the images, the multispectral ones on the grid of the guide.

        It is the same for all steps.
        """
        sizes = [expanded.shape[-2:]]
        for _ in self._plan.multiples[1:]:
            sizes.append(torch.Size((side + 1) // 2 for side in sizes[-1]))
        style = torch.cat((expanded, guide), 1)
        detail = _resized(torch.cat((haar(expanded)[:, : expanded.shape[1]], haar(guide)[:, guide.shape[1] :]), 1),
                          sizes[0])
        return [*_known(self.downs, style, sizes), *_known(self.ups, detail, sizes[::-1])]

    def forward(self, noisy: Tensor, step: Tensor, guess: Tensor, known: Sequence[Tensor]) -> Tensor:
        """The estimate for a noisy residual at steps (n,), beside an earlier ``guess`` and what :meth:`known` gave."""
        told = self.time(step.float())
        given = iter(known)
        features = self.stem(torch.cat((guess, noisy), 1))
        kept = [features]
        for module in self.downs:
            features = module(features, told, next(given)) if isinstance(module, Block) else module(features)
            kept.append(features)
        before, attention, after = self.middle
        features = after(attention(before(features, told)), told)
        for module in self.ups:
            if isinstance(module, Block):
                features = module(torch.cat((features, kept.pop()), 1), told, next(given))
            else:
                rows, columns = kept[-1].shape[-2:]
                features = module(features)[..., :rows, :columns]
        result: Tensor = self.head(features)
        return result


def _resized(image: Tensor, size: Sequence[int]) -> Tensor:
    return functional.interpolate(image, tuple(size), mode="bilinear")


def _known(modules: nn.ModuleList, condition: Tensor, sizes: Sequence[torch.Size]) -> Iterator[Tensor]:
    """What the modulations of modules make of a condition, at one size after the other."""
    level, resized = 0, _resized(condition, sizes[0])
    for module in modules:
        if isinstance(module, Block):
            yield module.modulation.known(resized)
        else:
            level += 1
            resized = _resized(condition, sizes[level])


class DDIF(Sharpener):
    """DDIF for any ratio, led by a panchromatic image, or for hyperspectral bands by a multispectral one."""

    id = "ddif"
    channels_last = True
    pixel_bytes = 8192
    layout = Layout(patch=256, margin=8, ramp=16, multiple=8)
    schedule = Schedule.cosine(500)
    self_conditioned = True
    net: DDIFUNet

    def __init__(self, form: Form) -> None:
        super().__init__(form)
        self.net = DDIFUNet(form.bands, form.pan_bands, PLANS[form.size])

    def given(self, batch: SharpeningBatch) -> Estimate:
        """The network beside what its modulations make of the images, found once for all steps.

        Without an estimate of the step before it is told the noisy residual in its place.
        """
        known = self.net.known(batch.expanded, batch.pan)
        return lambda noisy, step, guess: self.net(noisy, step, noisy if guess is None else guess, known)

    def optimiser(self, part: str) -> torch.optim.Optimizer:
        """AdamW with the published rate; narrower layers bear a higher one."""
        rate = 1e-4 if self.form.size == "published" else 1e-3
        return torch.optim.AdamW(self.net.parameters(), rate, weight_decay=1e-4)


NETWORK = DDIF
