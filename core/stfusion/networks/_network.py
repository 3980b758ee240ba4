"""What every network is: what it takes, its parts, what each of them learns by, and what it predicts.

A network is a ``torch.nn.Module`` that knows its own recipe: the trainer asks it for the losses and the optimiser of
its parts, the fusion or the sharpening asks it for predictions, and neither knows which network it is.
"""

from __future__ import annotations

import importlib
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from stfusion.networks._batch import Batch, FusionBatch, SharpeningBatch, known, weighted

#: How a diffusion model gets from noise to an image.
Sampler = Literal["ddim", "ddpm", "dpm-solver++"]

#: The percentile of sizes that is taken for the largest, apart from outliers.
_NEARLY_ALL = 99.5


@dataclass(frozen=True)
class Form:
    """The form that a network is built in: what its checkpoint has to say for it to be built again.

    ``size`` "published" has the parameter count of the paper or the public code, "small" is for training on a
    processor. ``target`` is what the network itself gives: the "image", or the "residual" that is missing in the best
    guess without a network (the base of its batch), divided by ``residual_scale`` (in normalised units).

    ``pairs`` are those of a fusion. Of a sharpening, ``pan_bands`` are the bands of the panchromatic image, ``ratio``
    its pixels along one of the multispectral image (0: the network takes any), and ``code`` names the public code
    whose variant of the network it is, where that is not the usual one. ``gains`` are those of the sensor's bands at
    the Nyquist frequency, of a network that learns without a truth.
    """

    bands: int = 6
    pairs: int = 1
    size: Literal["published", "small"] = "published"
    target: Literal["image", "residual"] = "image"
    residual_scale: float = 1.0
    pan_bands: int = 1
    ratio: int = 0
    code: str = ""
    gains: tuple[float, ...] = ()


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
    surroundings of ``margin`` pixels only, so that the patches agree exactly. Patches begin at multiples of ``step``
    pixels.
    """

    patch: int
    margin: int
    ramp: int
    multiple: int = 1
    step: int = 1

    def stepping(self, step: int) -> Layout:
        """The layout with all of its lengths multiples of a step, at which the patches begin."""
        multiple = math.lcm(self.multiple, step)
        margin, ramp = (-(-length // step) * step for length in (self.margin, self.ramp))
        return Layout(-(-self.patch // multiple) * multiple, margin, ramp, multiple, step)


class Network(nn.Module, ABC):
    """A network with its recipe.

    ``net`` is what predicts, and what a checkpoint keeps, under the names of the public code. ``symmetric`` says
    whether images are scaled to -1..1 (else to 0..1). ``targets`` are the forms' targets that it can be built for;
    ``sampling_steps`` are those in which a diffusion model draws an image unless told otherwise: few give what is most
    likely, more give grain. ``channels_last`` says whether a processor is faster with the channels as the last axis,
    and ``pixel_bytes`` the memory that a prediction takes for every pixel of a patch, in the published size.
    ``duplicates`` are begins of names under which files of public code hold values a second time, with those that the
    network knows.
    """

    id: ClassVar[str]
    targets: ClassVar[tuple[str, ...]] = ("image", "residual")
    symmetric: ClassVar[bool] = False
    stochastic: ClassVar[bool] = False
    sampling_steps: ClassVar[int] = 2
    channels_last: ClassVar[bool] = False
    pixel_bytes: ClassVar[int] = 4096
    duplicates: ClassVar[Mapping[str, str]] = {}
    layout: ClassVar[Layout]
    stages: ClassVar[tuple[Stage, ...]] = (Stage("network", ("net",)),)

    net: nn.Module

    def __init__(self, form: Form) -> None:
        super().__init__()
        if form.target not in self.targets:
            forms = " or the ".join(self.targets)
            raise ValueError(f"{self.id} has no form that gives the {form.target}, but the {forms}")
        self.form = form

    # Each kind of network says which batch it takes.
    @abstractmethod
    def predict(self, batch: Any, sampling: Sampling | None = None) -> Tensor:
        """The image that is asked for (n, bands, rows, columns); ``sampling`` is given to diffusion models."""

    @abstractmethod
    def forward(self, part: str, batch: Any) -> dict[str, Tensor]:
        """The losses of a part on a batch with its truth, scalars by name; their sum is what the part minimises."""

    @abstractmethod
    def optimiser(self, part: str) -> torch.optim.Optimizer:
        """The optimiser of a part with the settings of the recipe; the trainer lets its rate rise and fall."""

    @classmethod
    def takes(cls, side: int) -> bool:
        """Whether the network can be given patches with this side."""
        return side % cls.layout.multiple == 0

    @classmethod
    def forms(cls, bands: int) -> Iterator[Form]:
        """The forms that a checkpoint of public code may have, the likely ones first."""
        yield Form(bands=bands)
        yield Form(bands=bands, size="small")

    @property
    def scaled_bands(self) -> int:
        """Bands of all the images whose values it knows the range of, in the order of a normalisation."""
        return self.form.bands

    def __str__(self) -> str:
        return f"network '{self.id}' of {self.form.bands} band(s)"

    @staticmethod
    def unit(residuals: npt.NDArray[np.float32]) -> float:
        """What a residual is divided by, from some (n,) of the training: nearly the largest there are."""
        return float(np.percentile(np.abs(residuals), _NEARLY_ALL))

    def laid_out(self) -> Layout:
        """How a scene is cut into patches for this network."""
        return self.layout

    def suited(self, batch: Any) -> Batch:
        """A batch of a training without what this network does not take."""
        suited: Batch = batch
        return suited

    def whole(self, batch: Any, sampling: Sampling | None = None) -> Tensor:
        """The prediction of a batch of a scene, which may have more than the network takes at once."""
        return self.predict(batch, sampling)

    def evaluations(self, sampling: Sampling) -> int:
        """How often a prediction asks the network: once, or in every step of a diffusion model."""
        return sampling.steps if self.stochastic else 1

    def after_step(self, part: str) -> None:
        """What follows a step of a part's optimiser, such as the clipping of weights; mostly nothing."""

    def finish(self, output: Tensor, batch: Batch) -> Tensor:
        """The image that an output of the network stands for."""
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


class FusionNetwork(Network):
    """A network that predicts the fine image of the target date.

    ``pairs`` are the numbers of pairs that it can be built for.
    """

    pairs: ClassVar[tuple[int, ...]] = (1,)
    needs_coarse: ClassVar[bool] = True

    def __init__(self, form: Form) -> None:
        super().__init__(form)
        if form.pairs not in self.pairs:
            raise ValueError(f"{self.id} is built for {' or '.join(map(str, self.pairs))} pairs, not for {form.pairs}")

    @classmethod
    def forms(cls, bands: int) -> Iterator[Form]:
        """The forms that a checkpoint of public code may have, with every number of pairs."""
        for form in super().forms(bands):
            for pairs in cls.pairs:
                yield replace(form, pairs=pairs)

    def __str__(self) -> str:
        return f"{super().__str__()} and {self.form.pairs} pair(s)"

    def suited(self, batch: FusionBatch) -> FusionBatch:
        """The batch, without the coarse images of the pairs where the network needs none."""
        return batch if self.needs_coarse else replace(batch, coarse=())

    @abstractmethod
    def predict(self, batch: FusionBatch, sampling: Sampling | None = None) -> Tensor:
        """The fine image of the target date (n, bands, rows, columns)."""

    def whole(self, batch: FusionBatch, sampling: Sampling | None = None) -> Tensor:
        """The prediction; where there are two pairs and the network takes one, those from each of them mixed."""
        if len(batch.coarse) <= self.form.pairs:
            return self.predict(batch, sampling)
        images = [self.predict(one, sampling) for one in batch.singly()]
        return weighted(images, [batch.target - coarse for coarse in batch.coarse])


class SharpeningNetwork(Network):
    """A network that makes a multispectral image as sharp as a panchromatic one.

    One that ``needs_multispectral`` gets that image in its own pixels too, and is built for a ratio
    (``form.ratio``); others take any. ``several`` says whether it can be built for several bands in place of the
    panchromatic one.
    """

    needs_multispectral: ClassVar[bool] = False
    several: ClassVar[bool] = True

    def __init__(self, form: Form) -> None:
        super().__init__(form)
        if self.needs_multispectral and form.ratio < 2:
            raise ValueError(f"{self.id} is built for a ratio of 2 or more, not for {form.ratio}")

    @property
    def scaled_bands(self) -> int:
        """The bands of the multispectral image, and then those of the panchromatic one."""
        return self.form.bands + self.form.pan_bands

    def __str__(self) -> str:
        return f"{super().__str__()}" + (f" and the ratio {self.form.ratio}" if self.form.ratio else "")

    @abstractmethod
    def predict(self, batch: SharpeningBatch, sampling: Sampling | None = None) -> Tensor:
        """The sharpened image (n, bands, rows, columns)."""

    def laid_out(self) -> Layout:
        """Patches of whole multispectral pixels where the network needs these."""
        return self.layout.stepping(self.form.ratio) if self.needs_multispectral else self.layout


def parameter_count(module: nn.Module) -> int:
    """Number of trainable values."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def network_class(name: str) -> type[Network]:
    """The class of a network by its id; ``networks/_<id>.py`` names it ``NETWORK``."""
    found: type[Network] = importlib.import_module(f"stfusion.networks._{name}").NETWORK
    return found


def fusion_class(name: str) -> type[FusionNetwork]:
    """The class of a network for fusion by its id."""
    found = network_class(name)
    if not issubclass(found, FusionNetwork):
        raise ValueError(f"{name} is no network for fusion")
    return found
