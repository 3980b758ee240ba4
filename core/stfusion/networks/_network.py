"""What every fusion network is: what it takes, its parts, what each of them learns by, and what it predicts.

A network is a ``torch.nn.Module`` that knows its own recipe: the trainer asks it for the losses and the optimiser of
its parts, the fusion asks it for predictions, and neither knows which network it is.
"""

from __future__ import annotations

import importlib
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

#: How a diffusion model gets from noise to an image.
Sampler = Literal["ddim", "ddpm", "dpm-solver++"]

#: Side, in fine pixels, of the neighbourhood in which the change since a pair is averaged for its weight; and what is
#: added to the change, in normalised units (spec. of the temporal weights of ESTARFM).
_WEIGHT_WINDOW, _SMALLEST_CHANGE = 31, 1e-4


@dataclass(frozen=True)
class Form:
    """The form that a network is built in: what its checkpoint has to say for it to be built again.

    ``size`` "published" has the parameter count of the paper or the public code, "small" is for training on a
    processor. ``target`` is what the network itself gives: the fine "image", or the "residual" that is missing in the
    sum of the fine image and the coarse change, divided by ``residual_scale`` (in normalised units).
    """

    bands: int = 6
    pairs: int = 1
    size: Literal["published", "small"] = "published"
    target: Literal["image", "residual"] = "image"
    residual_scale: float = 1.0


@dataclass(frozen=True)
class Batch:
    """Images of n places on the fine grid, each (n, bands, rows, columns), normalised and without NaN.

    ``fine`` and ``coarse`` have one image for every pair (``coarse`` is empty for a network that needs none),
    ``target`` is the coarse and ``truth`` the fine image of the target date. ``valid`` (n, 1, rows, columns) says
    where all images were valid; what was not is filled, and takes no part in the losses.
    """

    fine: tuple[Tensor, ...]
    coarse: tuple[Tensor, ...]
    target: Tensor
    truth: Tensor | None = None
    valid: Tensor | None = None

    def map(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """The batch with every image changed, such as moved to a device; ``valid`` too."""
        return replace(
            self,
            fine=tuple(map(change, self.fine)),
            coarse=tuple(map(change, self.coarse)),
            target=change(self.target),
            truth=None if self.truth is None else change(self.truth),
            valid=None if self.valid is None else change(self.valid),
        )

    def singly(self) -> list[Batch]:
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


@dataclass(frozen=True)
class Sampling:
    """How a diffusion model draws an image: ``steps`` of a ``sampler``, with fields of standard normal noise.

    ``noise(step)`` gives the field (n, bands, rows, columns) of a step, 0 for the one to begin with; ``eta`` is the
    share of fresh noise in the steps of DDIM (0: none); DPM-Solver++ has none. DDPM takes all steps of its schedule,
    whatever ``steps`` says.
    ``on_step`` is called after every evaluation of the network; what it raises ends the sampling.
    """

    noise: Callable[[int], Tensor]
    steps: int = 10
    sampler: Sampler = "ddim"
    eta: float = 0.0
    on_step: Callable[[], None] | None = None


@dataclass(frozen=True)
class Stage:
    """A stage of the training, one after the other: the parts that take turns in every step, and its share of time."""

    name: str
    parts: tuple[str, ...]
    share: float = 1.0


@dataclass(frozen=True)
class Layout:
    """How an image is cut into patches for a network, in fine pixels.

    ``patch`` is the side of a patch, a multiple of ``multiple``. Pixels nearer than ``margin`` to its edge are not
    used, over the next ``ramp`` pixels neighbouring patches are blended: 0 where every pixel depends on its
    surroundings of ``margin`` pixels only, so that the patches agree exactly.
    """

    patch: int
    margin: int
    ramp: int
    multiple: int = 1


class Network(nn.Module, ABC):
    """A fusion network with its recipe.

    ``net`` is what predicts, and what a checkpoint keeps, under the names of the public code. ``symmetric`` says
    whether images are scaled to -1..1 (else to 0..1). ``pairs`` are the numbers of pairs that it can be built for,
    ``targets`` the forms' targets; ``channels_last`` whether a processor is faster with the channels as the last
    axis, and ``pixel_bytes`` the memory that a prediction takes for every pixel of a patch, in the published size.
    """

    id: ClassVar[str]
    pairs: ClassVar[tuple[int, ...]] = (1,)
    targets: ClassVar[tuple[str, ...]] = ("image", "residual")
    needs_coarse: ClassVar[bool] = True
    symmetric: ClassVar[bool] = False
    stochastic: ClassVar[bool] = False
    channels_last: ClassVar[bool] = False
    pixel_bytes: ClassVar[int] = 4096
    layout: ClassVar[Layout]
    stages: ClassVar[tuple[Stage, ...]] = (Stage("network", ("net",)),)

    net: nn.Module

    def __init__(self, form: Form) -> None:
        super().__init__()
        if form.pairs not in self.pairs:
            raise ValueError(f"{self.id} is built for {' or '.join(map(str, self.pairs))} pairs, not for {form.pairs}")
        if form.target not in self.targets:
            raise ValueError(f"{self.id} gives an {self.targets[0]}; it has no form that gives a {form.target}")
        self.form = form

    @abstractmethod
    def predict(self, batch: Batch, sampling: Sampling | None = None) -> Tensor:
        """The fine image of the target date (n, bands, rows, columns); ``sampling`` is given to diffusion models."""

    @abstractmethod
    def forward(self, part: str, batch: Batch) -> dict[str, Tensor]:
        """The losses of a part on a batch with its truth, scalars by name; their sum is what the part minimises."""

    @abstractmethod
    def optimiser(self, part: str) -> torch.optim.Optimizer:
        """The optimiser of a part with the settings of the recipe; the trainer lets its rate rise and fall."""

    @classmethod
    def takes(cls, side: int) -> bool:
        """Whether the network can be given patches with this side."""
        return side % cls.layout.multiple == 0

    def evaluations(self, sampling: Sampling) -> int:
        """How often a prediction asks the network: once, or in every step of a diffusion model."""
        return sampling.steps if self.stochastic else 1

    def after_step(self, part: str) -> None:
        """What follows a step of a part's optimiser, such as the clipping of weights; mostly nothing."""

    def finish(self, output: Tensor, batch: Batch) -> Tensor:
        """The fine image that an output of the network stands for."""
        if self.form.target == "image":
            return output
        return batch.base() + output * self.form.residual_scale

    def wanted(self, batch: Batch) -> Tensor:
        """The output of the network that stands for the truth: the inverse of :meth:`finish`."""
        truth = known(batch.truth)
        if self.form.target == "image":
            return truth
        return (truth - batch.base()) / self.form.residual_scale

    def judged(self, image: Tensor, batch: Batch) -> Tensor:
        """A predicted image for the losses: invalid pixels get the truth, and thereby neither error nor gradient."""
        return image if batch.valid is None else torch.where(batch.valid, image, known(batch.truth))


def known(truth: Tensor | None) -> Tensor:
    """The truth of a batch for training, which has one."""
    if truth is None:
        raise ValueError("a batch without truth cannot be learnt from")
    return truth


def parameter_count(module: nn.Module) -> int:
    """Number of trainable values."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def network_class(name: str) -> type[Network]:
    """The class of a network by its id; ``networks/_<id>.py`` names it ``NETWORK``."""
    found: type[Network] = importlib.import_module(f"stfusion.networks._{name}").NETWORK
    return found
