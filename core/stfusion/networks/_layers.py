"""Layers that several of the convolutional networks share, under the names of the public codes."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

#: What the last layer of a network that is to begin near nothing is multiplied by.
_DAMPING = 0.1


class ThreeLayers(nn.Module):
    """Features in windows of 9 pixels, their mapping in 5, the reconstruction from 5 (Dong et al. 2014, SRCNN)."""

    def __init__(self, inputs: int, features: int, mapped: int, outputs: int) -> None:
        super().__init__()
        self.feature_extraction_layer = nn.Sequential(nn.Conv2d(inputs, features, 9, padding=4), nn.ReLU(inplace=True))
        self.nonlinear_mapping_layer = nn.Sequential(nn.Conv2d(features, mapped, 5, padding=2), nn.ReLU(inplace=True))
        self.reconstruction_layer = nn.Sequential(nn.Conv2d(mapped, outputs, 5, padding=2))

    def forward(self, image: Tensor) -> Tensor:
        """(n, inputs, rows, columns) to (n, outputs, rows, columns)."""
        mapped = self.nonlinear_mapping_layer(self.feature_extraction_layer(image))
        result: Tensor = self.reconstruction_layer(mapped)
        return result


class Conv3(nn.Sequential):
    """A convolution of 3 x 3 pixels that continues the image by its outermost pixels."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__(nn.ReplicationPad2d(1), nn.Conv2d(inputs, outputs, 3, stride=stride))


def damp(layer: nn.Module) -> None:
    """Make the weights of a fresh last layer small, so that what is added to its output is near the result at once."""
    with torch.no_grad():
        for weight in layer.parameters():
            weight.mul_(_DAMPING)


def frozen(module: nn.Module, *inputs: Tensor) -> Tensor:
    """What a module gives, with gradients for its inputs but none for its weights."""
    weights = {name: weight.detach() for name, weight in module.named_parameters()}
    result: Tensor = functional_call(module, weights, inputs)
    return result


def squared_error(image: Tensor, wanted: Tensor, valid: Tensor | None) -> Tensor:
    """Mean square of the error, which is 0 where a pixel is invalid."""
    error = image - wanted
    return (error if valid is None else torch.where(valid, error, 0.0)).square().mean()


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation that takes a batch of a single pixel as well, which has no statistics of its own.

    Discriminators come down to one pixel; then the running statistics are used.
    """

    def forward(self, image: Tensor) -> Tensor:
        """(n, channels, rows, columns), normalised."""
        if self.training and image.numel() == self.num_features:
            running = (self.running_mean, self.running_var)
            return functional.batch_norm(image, *running, self.weight, self.bias, training=False, eps=self.eps)
        return super().forward(image)
