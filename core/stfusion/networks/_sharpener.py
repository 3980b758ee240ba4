"""What the light networks of sharpening have in common: one pass, an absolute error, and their residual blocks."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from stfusion.networks._batch import SharpeningBatch, known
from stfusion.networks._network import Form, Sampling, SharpeningNetwork

#: Ratios that a checkpoint of public code may be for, the usual one first.
_RATIOS = (4, 2, 3, 5, 6, 8)
#: The code of PanBench (Wang et al. 2023), whose variants differ a little from those of the toolbox.
PANBENCH = "panbench"


class Sharpener(SharpeningNetwork):
    """A network that sharpens in one pass.

    ``skips`` says whether the published network adds the interpolated image to its output, and ``codes`` which codes'
    variants it has. Whatever the published recipes were, it learns by the mean absolute error with Adam: the published
    rates and numbers of epochs belong to their data.
    """

    skips: ClassVar[bool] = False
    codes: ClassVar[tuple[str, ...]] = ("",)
    channels_last = True

    @abstractmethod
    def output(self, batch: SharpeningBatch) -> Tensor:
        """What the network itself gives (n, bands, rows, columns)."""

    @classmethod
    def forms(cls, bands: int) -> Iterator[Form]:
        """The forms that a checkpoint of public code may have, of every code and ratio."""
        for form in super().forms(bands):
            for code in cls.codes:
                for ratio in _RATIOS if cls.needs_multispectral else (0,):
                    yield replace(form, code=code, ratio=ratio)

    def adds(self) -> bool:
        """Whether the published form adds the interpolated image."""
        return self.skips

    def predict(self, batch: SharpeningBatch, sampling: Sampling | None = None) -> Tensor:
        """The sharpened image."""
        output = self.output(batch)
        if self.form.target == "image" and self.adds():
            return batch.expanded + output
        return self.finish(output, batch)

    def forward(self, part: str, batch: SharpeningBatch) -> dict[str, Tensor]:
        """The mean absolute error of what is wanted."""
        scale = 1.0 if self.form.target == "image" else self.form.residual_scale
        image = self.judged(self.predict(batch), batch)
        return {"l1": (image - known(batch.truth)).abs().mean() / scale}

    def optimiser(self, part: str) -> torch.optim.Optimizer:
        """Adam with a rate that suits all of these networks."""
        return torch.optim.Adam(self.net.parameters(), 3e-4)


class ResidualBlock(nn.Module):
    """Two convolutions of 3 x 3 pixels beside a shortcut, under the names of the toolbox."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv20 = nn.Conv2d(width, width, 3, padding=1)
        self.conv21 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """(n, width, rows, columns), features of the same shape."""
        inner: Tensor = self.conv21(self.conv20(features).relu_())
        return features + inner


#: The second names that the toolbox stores its residual blocks under.
DUPLICATES = {f"backbone.{number}.": f"res{number + 1}." for number in range(4)}
