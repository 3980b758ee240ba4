"""Where a training computes: on a graphics card or a processor, in one process or in several, and how precisely."""

from __future__ import annotations

import os

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy

from stfusion.errors import OutOfMemory

#: What Fabric calls the precisions.
_PRECISIONS = {"float32": "32-true", "bfloat16": "bf16-mixed"}
#: What the processor's allocator says when memory is short; it has no error of its own.
_SHORTAGES = ("not enough memory", "can't allocate memory")


def connect(device: str, precision: str) -> Fabric:
    """The devices of this process and, under ``torchrun``, its connection to the other processes.

    ``device`` is "auto" or "cpu"; ``precision`` "auto" (16 bits on a card that can), "float32" or "bfloat16".
    """
    card = device == "auto" and torch.cuda.is_available()
    if precision == "auto":
        precision = "bfloat16" if card and torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    processes, here = (int(os.environ.get(name, "1")) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    fabric = Fabric(
        accelerator="cuda" if card else "cpu",
        devices=here if processes > 1 else 1,
        num_nodes=processes // here if processes > 1 else 1,
        # The parts of a network take turns, so that in no step all of its parameters are used.
        strategy=DDPStrategy(find_unused_parameters=True) if processes > 1 else "auto",
        precision=_PRECISIONS[precision],  # type: ignore[arg-type]
    )
    fabric.launch()
    return fabric


def lacks_memory(error: RuntimeError) -> bool:
    """Whether an error of torch says that memory is short."""
    return isinstance(error, torch.cuda.OutOfMemoryError) or any(words in str(error) for words in _SHORTAGES)


def too_large(batch: int, error: RuntimeError) -> OutOfMemory:
    """The error of a batch that cannot be made smaller."""
    reason = str(error).splitlines()[0]
    return OutOfMemory(
        f"A batch of {batch} does not fit into the memory ({reason}); take a smaller patch, batch or network."
    )
