"""The moving average of the weights of a network, which predicts better than the weights of the last step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Average:
    """Exponential moving average of all real values of a module, its buffers too; others are those of the last step.

    In step n (from 0) a share of min(``decay``, (1 + n) / (10 + n)) of the average is kept, so that the first weights
    are soon forgotten.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self._module, self._decay = module, decay
        self.steps = 0
        own = module.state_dict()
        self.values = {name: value.detach().clone() for name, value in own.items()}
        # The tensors of the module stay the same ones while it learns.
        real = [name for name, value in own.items() if value.is_floating_point()]
        self._real = [self.values[name] for name in real], [own[name] for name in real]
        self._other = [(self.values[name], own[name]) for name in own if name not in set(real)]

    @torch.no_grad()
    def update(self) -> None:
        """Take the weights of a further step in."""
        kept = min(self._decay, (1 + self.steps) / (10 + self.steps))
        self.steps += 1
        torch._foreach_lerp_(*self._real, 1 - kept)
        for average, value in self._other:
            average.copy_(value)

    def load(self, values: Mapping[str, Tensor], steps: int) -> None:
        """Go on from saved values."""
        self.steps = steps
        for name, value in self.values.items():
            value.copy_(values[name])

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The module with the averaged weights, for a while."""
        own = {name: value.detach().clone() for name, value in self._module.state_dict().items()}
        self._module.load_state_dict(self.values)
        try:
            yield
        finally:
            self._module.load_state_dict(own)
