"""The device that a network runs on: a CUDA card where torch computes correctly on it, else the processor."""

from __future__ import annotations

import torch

from stfusion._proof_torch import fault
from stfusion.run import Context


def find(context: Context) -> torch.device:
    """The device, which is said; a card that is there and is not used is warned about.

    The number of threads of torch is that of the job.
    """
    torch.set_num_threads(context.threads)
    # Values next to 0, which training leaves behind, make a processor up to thirty times slower.
    torch.set_flush_denormal(True)
    if context.job.device == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    device, name = torch.device("cuda"), torch.cuda.get_device_name()
    reason = fault(device)
    if reason:
        context.reporter.warning(f"The network runs on the processor, since {name} does not compute: {reason}.")
        return torch.device("cpu")
    context.reporter.log(f"The network runs on {name}.")
    return device
