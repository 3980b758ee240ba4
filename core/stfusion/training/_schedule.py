"""How long a training lasts and how high its learning rates are: settings, and the plan of its epochs and steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from stfusion.errors import UserError
from stfusion.networks._network import Stage

#: Share of the steps of a stage in which the learning rates rise, most steps of it, and the share of a rate at the end.
_WARM_UP_SHARE, _WARM_UP_STEPS, _LAST_RATE = 0.05, 500, 0.02


@dataclass(frozen=True)
class Settings:
    """What the user decides of a training.

    Attributes
    ----------
    epochs, steps
        Epochs in all, and steps of every epoch.
    batch
        Samples of a step, in every process.
    learning_rate
        That of the network; those of its critic change by the same factor. 0: the recipe's, times
        ``recipe_share``.
    patience
        Epochs of the last stage without a better figure after which the training ends; 0: never.
    minutes
        Time after which the training ends; 0: none. ``fit`` plans as many epochs as fit into it, else the training
        is interrupted, and goes on when it is started again.
    precision
        "auto" (16 bits on a graphics card that can), "float32" or "bfloat16".
    average
        Share of the moving average of the weights that a step keeps; 0: no average.
    clip
        Largest norm of the gradients; 0: any.
    seed
        Of everything random.
    save_minutes
        Time between two saved states within an epoch.
    """

    epochs: int
    steps: int
    batch: int
    learning_rate: float = 0.0
    recipe_share: float = 1.0
    patience: int = 0
    minutes: float = 0.0
    fit: bool = False
    precision: str = "auto"
    average: float = 0.999
    clip: float = 1.0
    seed: int = 0
    save_minutes: float = 5.0


@dataclass(frozen=True)
class Plan:
    """Which stage every epoch belongs to: ``ends`` has the number of epochs after which each stage ends."""

    ends: tuple[int, ...]
    steps: int

    @classmethod
    def of(cls, stages: Sequence[Stage], epochs: int, steps: int) -> Plan:
        """Divide epochs among stages by their shares; every stage has one at least.

        Raises
        ------
        UserError
            There are fewer epochs than stages.
        """
        if epochs < len(stages):
            raise UserError(
                f"{epochs} epoch(s) are too few for a network that is trained in {len(stages)} stages; take "
                f"{len(stages)} at least."
            )
        total, ends = sum(stage.share for stage in stages), list[int]()
        for number, _ in enumerate(stages):
            wanted = round(epochs * sum(stage.share for stage in stages[: number + 1]) / total)
            least, most = number + 1, epochs - (len(stages) - 1 - number)
            ends.append(max(min(wanted, most), least, ends[-1] + 1 if ends else 1))
        return cls(tuple(ends), steps)

    @property
    def epochs(self) -> int:
        """Epochs in all."""
        return self.ends[-1]

    def stage(self, epoch: int) -> int:
        """The number, from 0, of the stage of an epoch (from 0)."""
        return next(number for number, end in enumerate(self.ends) if epoch < end)

    def rate(self, epoch: int, step: int) -> float:
        """The learning rate of a step as a share of the highest: it rises, and falls by a cosine, in every stage."""
        stage = self.stage(epoch)
        begin = self.ends[stage - 1] if stage else 0
        total = (self.ends[stage] - begin) * self.steps
        place = (epoch - begin) * self.steps + step
        rise = min(math.ceil(_WARM_UP_SHARE * total), _WARM_UP_STEPS)
        if place < rise:
            return (place + 1) / rise
        fall = (place - rise) / max(total - rise, 1)
        return _LAST_RATE + (1 - _LAST_RATE) * (1 + math.cos(math.pi * fall)) / 2
