"""What networks are given: images of some places, for a fusion or for a sharpening, and the truth to learn from."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.nn import functional

#: Side, in fine pixels, of the neighbourhood in which the change since a pair is averaged for its weight; and what is
#: added to the change, in normalised units (spec. of the temporal weights of ESTARFM).
_WEIGHT_WINDOW, _SMALLEST_CHANGE = 31, 1e-4

Kind = TypeVar("Kind", bound="Batch")


@dataclass(frozen=True, kw_only=True)
class Batch(ABC):
    """Images of n places, (n, bands, rows, columns) on the grid of the prediction, normalised and without NaN.

    ``truth`` is what the network is to predict. ``valid`` (n, 1, rows, columns) says where all images were valid; what
    was not is filled, and takes no part in the losses.
    """

    truth: Tensor | None = None
    valid: Tensor | None = None

    def map(self: Kind, change: Callable[[Tensor], Tensor]) -> Kind:
        """The batch with every image changed, such as moved to a device; ``valid`` too."""

        def changed(value: Any) -> Any:
            if isinstance(value, tuple):
                return tuple(map(change, value))
            return None if value is None else change(value)

        return replace(self, **{field.name: changed(getattr(self, field.name)) for field in fields(self)})

    @property
    @abstractmethod
    def shape(self) -> torch.Size:
        """That of the prediction: n, bands, rows and columns."""

    def __len__(self) -> int:
        return self.shape[0]

    @abstractmethod
    def base(self) -> Tensor:
        """The best guess without a network, which a residual is added to."""


@dataclass(frozen=True)
class FusionBatch(Batch):
    """Images of pairs and of the target date, on the fine grid.

    ``fine`` and ``coarse`` have one image for every pair (``coarse`` is empty for a network that needs none),
    ``target`` is the coarse and ``truth`` the fine image of the target date.
    """

    fine: tuple[Tensor, ...]
    coarse: tuple[Tensor, ...]
    target: Tensor

    @property
    def shape(self) -> torch.Size:
        """That of the prediction: n, bands, rows and columns."""
        return self.target.shape

    def singly(self) -> list[FusionBatch]:
        """The batch once for each pair, with that pair alone."""
        return [replace(self, fine=(fine,), coarse=(coarse,))
                for fine, coarse in zip(self.fine, self.coarse, strict=True)]

    def base(self) -> Tensor:
        """The fine image plus the coarse change; of two pairs, weighted by how little changed since each.

        Every value depends on its surroundings of 15 pixels only, so that tiles meet.
        """
        if not self.coarse:
            raise ValueError("a network without coarse images of the pairs gives an image, not a residual")
        images = [fine + (self.target - coarse) for fine, coarse in zip(self.fine, self.coarse, strict=True)]
        if len(images) == 1:
            return images[0]
        return weighted(images, [self.target - coarse for coarse in self.coarse])


@dataclass(frozen=True)
class SharpeningBatch(Batch):
    """A panchromatic and a multispectral image of each place.

    ``pan`` (n, pan bands, rows, columns), and ``expanded``, the multispectral image (n, bands, rows, columns)
    interpolated to the same grid. ``multispectral`` has it in its own pixels, (n, bands, rows / ratio,
    columns / ratio), the first of which begins with the first one of the panchromatic image; it is there for networks
    that need it. ``truth`` is the multispectral image as sharp as the panchromatic one.
    """

    pan: Tensor
    expanded: Tensor
    multispectral: Tensor | None = None

    @property
    def shape(self) -> torch.Size:
        """That of the prediction: n, bands, rows and columns."""
        return self.expanded.shape

    def base(self) -> Tensor:
        """The interpolated multispectral image."""
        return self.expanded


def weighted(images: list[Tensor], changes: list[Tensor], decisive: float = math.inf) -> Tensor:
    """Two images of one date mixed by how little changed, around every pixel, since the pair that each stems from.

    The weights are inverse to the mean of the absolute ``changes`` in a window of 31 pixels, band by band. Where these
    means differ by more than ``decisive``, in normalised units, only the image with the smaller one counts
    (Huang and Song 2012, the rule for their weights).
    """
    one, two = (_mean_around(change.abs()) for change in changes)
    weight = (two + _SMALLEST_CHANGE) / (one + two + 2 * _SMALLEST_CHANGE)
    weight = torch.where(one - two > decisive, 0.0, torch.where(two - one > decisive, 1.0, weight))
    return torch.lerp(images[1], images[0], weight)


def _mean_around(values: Tensor) -> Tensor:
    for window in ((_WEIGHT_WINDOW, 1), (1, _WEIGHT_WINDOW)):
        values = functional.avg_pool2d(
            values, window, stride=1, padding=(window[0] // 2, window[1] // 2), count_include_pad=False
        )
    return values


def known(image: Tensor | None) -> Tensor:
    """An image that has to be there, such as the truth of a batch to learn from."""
    if image is None:
        raise ValueError("a batch lacks an image that the network needs, such as the truth to learn from")
    return image
