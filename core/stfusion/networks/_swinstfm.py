"""SwinSTFM: features of windowed attention, and an attention between dates that works like unmixing.

Source: G. Chen, P. Jiao, Q. Hu, L. Xiao and Z. Ye, "SwinSTFM: Remote Sensing Spatiotemporal Fusion Using Swin
Transformer", IEEE Transactions on Geoscience and Remote Sensing 60 (2022), doi:10.1109/TGRS.2022.3182809.

Features are kept as (n, rows, columns, width) in this file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from stfusion.networks._batch import FusionBatch, known
from stfusion.networks._losses import charbonnier, ms_ssim
from stfusion.networks._network import Form, FusionNetwork, Layout, Sampling
from stfusion.networks._windows import WINDOW, attention_mask, joined, parted, position_index

#: Side of the images that the published network was made for, and how often the encoder halves them.
_SIDE, _HALVINGS = 256, 5


@dataclass(frozen=True)
class Plan:
    """The size of a network: width of the first level and of a head, and blocks in every stage of the encoder.

    ``masks`` keeps positions in windows, and the masks of the published image size, among the weights, as the public
    checkpoints do; both are found anew for every image size.
    """

    width: int
    head: int
    depths: tuple[int, int, int, int]
    masks: bool = False

    @property
    def widths(self) -> tuple[int, ...]:
        """Widths of the five levels of features."""
        return tuple(self.width * factor for factor in (1, 2, 4, 8, 8))


_PLANS = {"published": Plan(64, 32, (2, 2, 6, 2), masks=True), "small": Plan(16, 16, (2, 2, 2, 2))}


class MLP(nn.Module):
    """Two layers, pixel by pixel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, width)
        self.fc2 = nn.Linear(width, width)

    def forward(self, features: Tensor) -> Tensor:
        """Features of the same width."""
        result: Tensor = self.fc2(functional.gelu(self.fc1(features)))
        return result


class Attention(nn.Module):
    """What attention within windows and across dates have in common: heads, and a bias by relative position."""

    def __init__(self, width: int, plan: Plan) -> None:
        super().__init__()
        self.heads = width // plan.head
        self.relative_position_bias_table = nn.Parameter(torch.empty((2 * WINDOW - 1) ** 2, self.heads))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)
        if plan.masks:
            self.register_buffer("relative_position_index", position_index(WINDOW, WINDOW, torch.device("cpu")))
        self.proj = nn.Linear(width, width)

    def bias(self, window: tuple[int, int], mask: Tensor | None) -> Tensor:
        """What is added to the logits (windows or 1, heads, pixels, pixels)."""
        index = position_index(*window, self.relative_position_bias_table.device)
        bias = self.relative_position_bias_table[index].permute(2, 0, 1)[None]
        return bias if mask is None else bias + mask[:, None]

    def split(self, features: Tensor) -> Tensor:
        """Features (windows, pixels, width) by heads (windows, heads, pixels, width of a head)."""
        return features.view(*features.shape[:-1], self.heads, -1).transpose(1, 2)

    def merge(self, features: Tensor) -> Tensor:
        """The heads' results side by side, mixed."""
        result: Tensor = self.proj(features.transpose(1, 2).flatten(2))
        return result


class SelfAttention(Attention):
    """Every pixel of a window looks at all the others."""

    def __init__(self, width: int, plan: Plan) -> None:
        super().__init__(width, plan)
        self.qkv = nn.Linear(width, 3 * width)

    def forward(self, features: Tensor, window: tuple[int, int], mask: Tensor | None) -> Tensor:
        """Features (windows, pixels, width) from each other."""
        query, key, value = map(self.split, self.qkv(features).chunk(3, -1))
        bias = self.bias(window, mask)
        if mask is not None:
            bias = bias.repeat(len(features) // len(mask), 1, 1, 1)
        return self.merge(functional.scaled_dot_product_attention(query, key, value, bias.to(query.dtype)))


class CrossAttention(Attention):
    """A pixel's change is made of the changes of pixels that the coarse image of the pair resembles twice.

    The weights are the product of two attentions of the pair's coarse image, one to the fine image and one to the
    coarse image of the target date.
    """

    def __init__(self, width: int, plan: Plan) -> None:
        super().__init__(width, plan)
        self.q, self.k = nn.Linear(width, width), nn.Linear(width, width)
        self.q2, self.k2 = nn.Linear(width, width), nn.Linear(width, width)
        self.v = nn.Linear(width, width)

    def forward(
        self, change: Tensor, pair: Tensor, fine: Tensor, target: Tensor, window: tuple[int, int], mask: Tensor | None
    ) -> Tensor:
        """The change (windows, pixels, width) from the changes in its window."""
        bias = self.bias(window, mask)
        weights = self._resemblance(self.q(pair), self.k(fine), bias)
        weights = weights * self._resemblance(self.q2(pair), self.k2(target), bias) + 1e-6
        weights = weights / weights.sum(-1, keepdim=True)
        value = self.split(self.v(change))
        return self.merge(weights.to(value.dtype) @ value)

    def _resemblance(self, query: Tensor, key: Tensor, bias: Tensor) -> Tensor:
        query, key = self.split(query), self.split(key)
        logits = (query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)
        weights: Tensor = (logits.view(-1, *bias.shape) + bias).softmax(-1)
        return weights.flatten(0, 1)


class SelfBlock(nn.Module):
    """Attention within windows, of which every second block's are shifted by half their side, and an MLP."""

    def __init__(self, width: int, plan: Plan, side: int, shifted: bool) -> None:
        super().__init__()
        self.shifted = shifted
        self.norm1 = nn.LayerNorm(width)
        self.attn = SelfAttention(width, plan)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = MLP(width)
        _keep_mask(self, side, plan)

    def forward(self, features: Tensor) -> Tensor:
        """Features of the same shape."""
        shape, mask = features.shape[1:3], attention_mask(*features.shape[1:3], self.shifted, features.device)
        windows, window = parted(self.norm1(features), self.shifted)
        features = features + joined(self.attn(windows, window, mask), shape, self.shifted)
        result: Tensor = features + self.mlp(self.norm2(features))
        return result


class CrossBlock(nn.Module):
    """The same of a change between dates, guided by images of both."""

    def __init__(self, width: int, plan: Plan, side: int, shifted: bool) -> None:
        super().__init__()
        self.shifted = shifted
        self.norm1 = nn.LayerNorm(width)
        self.attn = CrossAttention(width, plan)
        self.norm3 = nn.LayerNorm(width)
        self.mlp = MLP(width)
        _keep_mask(self, side, plan)

    def forward(self, change: Tensor, *guides: Tensor) -> Tensor:
        """A change of the same shape."""
        shape, mask = change.shape[1:3], attention_mask(*change.shape[1:3], self.shifted, change.device)
        parts = [parted(features, self.shifted) for features in (self.norm1(change), *guides)]
        attended = self.attn(*(windows for windows, _ in parts), parts[0][1], mask)
        change = change + joined(attended, shape, self.shifted)
        result: Tensor = change + self.mlp(self.norm3(change))
        return result


class SelfLayer(nn.Module):
    """Blocks one after the other."""

    def __init__(self, width: int, depth: int, plan: Plan, side: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(SelfBlock(width, plan, side, k % 2 == 1) for k in range(depth))

    def forward(self, features: Tensor) -> Tensor:
        """Features of the same shape."""
        for block in self.blocks:
            features = block(features)
        return features


class CrossLayer(nn.Module):
    """Blocks one after the other, with the same guides."""

    def __init__(self, width: int, depth: int, plan: Plan, side: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(CrossBlock(width, plan, side, k % 2 == 1) for k in range(depth))
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(width), nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, change: Tensor, pair: Tensor, fine: Tensor, target: Tensor) -> Tensor:
        """The change of the fine image, from that of the coarse one."""
        guides = self.norm1(pair), self.norm2(fine), self.norm3(target)
        for block in self.blocks:
            change = block(change, *guides)
        return change


class Embedding(nn.Module):
    """Squares of two by two pixels as features."""

    def __init__(self, bands: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(bands, width, 2, stride=2)
        self.norm = nn.LayerNorm(width)

    def forward(self, images: Tensor) -> Tensor:
        """Features of images (n, bands, rows, columns)."""
        result: Tensor = self.norm(self.proj(images).movedim(1, -1))
        return result


class Merging(nn.Module):
    """Four neighbouring features become one."""

    def __init__(self, width: int, to: int) -> None:
        super().__init__()
        self.reduction = nn.Linear(4 * width, to, bias=False)
        self.norm = nn.LayerNorm(4 * width)

    def forward(self, features: Tensor) -> Tensor:
        """Features of half the size."""
        four = [features[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        result: Tensor = self.reduction(self.norm(torch.cat(four, -1)))
        return result


class DownBlock(nn.Module):
    """A stage of the encoder."""

    def __init__(self, width: int, to: int, depth: int, plan: Plan, side: int) -> None:
        super().__init__()
        self.layer = SelfLayer(width, depth, plan, side)
        self.downsample = Merging(width, to)

    def forward(self, features: Tensor) -> Tensor:
        """Features of the next level."""
        result: Tensor = self.downsample(self.layer(features))
        return result


class Down(nn.Module):
    """The encoder of an image."""

    def __init__(self, bands: int, plan: Plan) -> None:
        super().__init__()
        widths, sides = plan.widths, [_SIDE >> level for level in range(1, 5)]
        self.inc = Embedding(bands, widths[0])
        self.down1 = DownBlock(widths[0], widths[1], plan.depths[0], plan, sides[0])
        self.down2 = DownBlock(widths[1], widths[2], plan.depths[1], plan, sides[1])
        self.down3 = DownBlock(widths[2], widths[3], plan.depths[2], plan, sides[2])
        self.down4 = DownBlock(widths[3], widths[4], plan.depths[3], plan, sides[3])

    def forward(self, images: Tensor) -> list[Tensor]:
        """Features of the five levels, from half the image's size to 1/32."""
        levels = [self.inc(images)]
        for stage in (self.down1, self.down2, self.down3, self.down4):
            levels.append(stage(levels[-1]))
        return levels


class UpBlock(nn.Module):
    """A stage of the decoder."""

    def __init__(self, width: int, to: int, depth: int, plan: Plan, side: int) -> None:
        super().__init__()
        self.up = nn.Sequential(nn.Conv2d(width, 4 * width, 3, padding=1), nn.PixelShuffle(2))
        self.layer = CrossLayer(width, 2, plan, side)
        self.layer2 = SelfLayer(to, depth, plan, side)
        self.proj1 = nn.Linear(3 * width, to)

    def forward(self, below: Tensor, change: Tensor, pair: Tensor, fine: Tensor, target: Tensor) -> Tensor:
        """Features of the fine image of the target date, from those of the level below."""
        above = self.up(below.movedim(-1, 1)).movedim(1, -1)
        predicted = self.layer(change, pair, fine, target) + fine
        result: Tensor = self.layer2(self.proj1(torch.cat((target, predicted, above), -1)))
        return result


class FineUp(nn.Module):
    """The decoder."""

    def __init__(self, bands: int, plan: Plan) -> None:
        super().__init__()
        first, depths = plan.width, plan.depths
        self.up1 = UpBlock(8 * first, 4 * first, depths[3], plan, _SIDE >> 4)
        self.up2 = UpBlock(4 * first, 2 * first, depths[2], plan, _SIDE >> 3)
        self.up3 = UpBlock(2 * first, first, depths[1], plan, _SIDE >> 2)
        self.up4 = UpBlock(first, first, depths[0], plan, _SIDE >> 1)
        self.outc = nn.Sequential(
            nn.Conv2d(first, 4 * first, 3, padding=1), nn.PixelShuffle(2), nn.Conv2d(first, bands, 3, padding=1),
            nn.Tanh(),
        )
        self.layer = CrossLayer(8 * first, 1, plan, _SIDE >> 5)

    def forward(self, pair: Sequence[Tensor], fine: Sequence[Tensor], target: Sequence[Tensor]) -> Tensor:
        """The image of the target date, from the levels of the three images."""
        levels = [(two - one, one, image, two) for one, image, two in zip(pair, fine, target, strict=True)]
        features = self.layer(*levels[-1]) + fine[-1]
        for stage, level in zip((self.up1, self.up2, self.up3, self.up4), levels[-2::-1], strict=True):
            features = stage(features, *level)
        result: Tensor = self.outc(features.movedim(-1, 1))
        return result


class SwinSTFMNet(nn.Module):
    """The two encoders and the decoder."""

    def __init__(self, bands: int, plan: Plan) -> None:
        super().__init__()
        self.coarse_down = Down(bands, plan)
        self.fine_down = Down(bands, plan)
        self.fine_up = FineUp(bands, plan)

    def forward(self, pair: Tensor, fine: Tensor, target: Tensor) -> Tensor:
        """The image of the target date within -1..1, from the pair's coarse and fine image and the target's coarse one.

        Raises
        ------
        ValueError
            Windows cannot cover some level of images of this size.
        """
        rows, columns = fine.shape[-2:]
        if not (_fits(rows) and _fits(columns)):
            raise ValueError(f"windows cover 32, 64, 128 or a multiple of {_SIDE} pixels, not {rows} x {columns}")
        both = [level.chunk(2) for level in self.coarse_down(torch.cat((pair, target)))]
        result: Tensor = self.fine_up([one for one, _ in both], self.fine_down(fine), [two for _, two in both])
        return result


def _fits(side: int) -> bool:
    """Whether windows, or a single smaller one, cover every level."""
    levels = [side >> level for level in range(1, _HALVINGS + 1)]
    return side % (1 << _HALVINGS) == 0 and all(level <= WINDOW or level % WINDOW == 0 for level in levels)


def _keep_mask(block: nn.Module, side: int, plan: Plan) -> None:
    """Give a block the mask that public checkpoints keep."""
    if plan.masks:
        block.register_buffer("attn_mask", attention_mask(side, side, bool(block.shifted), torch.device("cpu")))


class SwinSTFM(FusionNetwork):
    """SwinSTFM of one pair."""

    id = "swinstfm"
    symmetric = True
    pixel_bytes = 4608
    layout = Layout(patch=256, margin=32, ramp=64, multiple=32)
    net: SwinSTFMNet

    def __init__(self, form: Form) -> None:
        super().__init__(form)
        self.net = SwinSTFMNet(form.bands, _PLANS[form.size])
        if form.target == "residual":
            # Before anything is learnt nothing is missing in the base.
            last = self.net.fine_up.outc[2]
            for weights in last.parameters():
                nn.init.normal_(weights, std=1e-3)

    @classmethod
    def takes(cls, side: int) -> bool:
        """Whether windows cover such patches at every level."""
        return _fits(side)

    def predict(self, batch: FusionBatch, sampling: Sampling | None = None) -> Tensor:
        """The fine image of the target date."""
        return self.finish(self.net(batch.coarse[0], batch.fine[0], batch.target), batch)

    def forward(self, part: str, batch: FusionBatch) -> dict[str, Tensor]:
        """The error, and the dissimilarity over scales; both of the image, whatever the network itself gives."""
        image, truth = self.judged(self.predict(batch), batch), known(batch.truth)
        return {"charbonnier": charbonnier(image, truth), "ms_ssim": 1 - ms_ssim(image, truth, 2.0)}

    def optimiser(self, part: str) -> torch.optim.Optimizer:
        """Adam with the published rate; narrower layers bear a higher one."""
        return torch.optim.Adam(self.net.parameters(), 1e-4 if self.form.size == "published" else 5e-4)


NETWORK = SwinSTFM
