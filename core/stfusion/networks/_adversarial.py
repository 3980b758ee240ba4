"""What STFGAN and OPGAN have in common: branches of residual blocks, and a critic (Arjovsky et al. 2017)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from stfusion.networks._layers import BatchNorm, frozen

#: How images go on beyond their edges: "replicate" repeats the outermost pixels.
Edges = Literal["zeros", "replicate"]
#: Channels of the critic's convolutions, every other one of which halves the resolution, and of its last but one.
_CRITIC, _LAST = (64, 64, 128, 128, 256, 256, 512, 512), 1024
#: The critic's weights are kept within this of 0.
_CLIP = 0.01


class ResidualBlock(nn.Module):
    """Two convolutions of 3 pixels with batch normalisation, added to what comes in (Ledig et al. 2017, SRGAN)."""

    def __init__(self, width: int, edges: Edges = "zeros") -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, padding_mode=edges), nn.BatchNorm2d(width), nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, padding=1, padding_mode=edges), nn.BatchNorm2d(width),
        )

    def forward(self, features: Tensor) -> Tensor:
        """(n, width, rows, columns)."""
        added: Tensor = self.residual(features)
        return features + added


def branch(
    inputs: int, width: int, blocks: int, edges: Edges = "zeros"
) -> tuple[nn.Sequential, nn.Sequential, nn.Sequential]:
    """The head, the residual blocks and the tail of a branch; :func:`through` goes through them."""
    return (
        nn.Sequential(nn.Conv2d(inputs, width, 9, padding=4, padding_mode=edges), nn.ReLU(inplace=True)),
        nn.Sequential(*(ResidualBlock(width, edges) for _ in range(blocks))),
        nn.Sequential(nn.Conv2d(width, width, 3, padding=1, padding_mode=edges), nn.BatchNorm2d(width)),
    )


def through(head: nn.Module, blocks: nn.Module, tail: nn.Module, images: Tensor) -> Tensor:
    """The features that a branch has of images: of its head, plus those that went on through blocks and tail."""
    features: Tensor = head(images)
    further: Tensor = tail(blocks(features))
    return features + further


class Critic(nn.Module):
    """How real an image (n, bands, rows, columns) looks, without bounds; (n,). Patches may have any size."""

    def __init__(self, bands: int, size: str) -> None:
        super().__init__()
        smaller = 1 if size == "published" else 4
        widths = [bands, *(width // smaller for width in _CRITIC)]
        layers: list[nn.Module] = []
        for number, (inputs, outputs) in enumerate(pairwise(widths)):
            layers.append(nn.Conv2d(inputs, outputs, 3, 1 + number % 2, padding=1))
            if number:
                layers.append(BatchNorm(outputs))
            layers.append(nn.LeakyReLU(0.2, inplace=True))
        last = _LAST // smaller
        self.net = nn.Sequential(
            *layers, nn.AdaptiveAvgPool2d(1), nn.Conv2d(widths[-1], last, 1), nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(last, 1, 1),
        )

    def forward(self, image: Tensor) -> Tensor:
        """The scores (n,)."""
        scores: Tensor = self.net(image)
        return scores.flatten()

    def clip(self) -> None:
        """Keep the weights of the convolutions small, so that the score changes slowly from image to image.

        Those of the normalisation stay: kept this small, they would let nothing through.
        """
        with torch.no_grad():
            for layer in self.modules():
                if isinstance(layer, nn.Conv2d):
                    for weight in layer.parameters():
                        weight.clamp_(-_CLIP, _CLIP)


def critic_losses(critic: Critic, image: Tensor, truth: Tensor) -> dict[str, Tensor]:
    """By which a critic learns to give true images higher scores than predicted ones."""
    return {"predicted": critic(image).mean(), "true": -critic(truth).mean()}


def adversarial_loss(critic: Critic, image: Tensor, weight: float) -> dict[str, Tensor]:
    """By which a generator learns to be given high scores."""
    return {"adversarial": -weight * frozen(critic, image).mean()}


@contextmanager
def settled(module: nn.Module) -> Iterator[None]:
    """A trained module as it predicts, while others learn: running statistics, no gradients."""
    training = module.training
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        module.train(training)
