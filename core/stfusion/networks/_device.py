"""The device that a network runs on: a CUDA card where torch computes correctly on it, else the processor."""

from __future__ import annotations

import torch
from torch.nn import functional

from stfusion.run import Context


def find(context: Context) -> torch.device:
    """The device, which is said; a card that is there and is not used is warned about.

    The number of threads of torch is that of the job.
    """
    torch.set_num_threads(context.threads)
    if context.job.device == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    device, name = torch.device("cuda"), torch.cuda.get_device_name()
    fault = _fault(device)
    if fault:
        context.reporter.warning(f"The network runs on the processor, since {name} does not compute: {fault}.")
        return torch.device("cpu")
    context.reporter.log(f"The network runs on {name}.")
    return device


def _fault(device: torch.device) -> str:
    """Why a device is not to be trusted; empty where a convolution on it gives what the processor gives."""
    generator = torch.Generator().manual_seed(0)
    image, kernel = torch.rand(1, 3, 32, 32, generator=generator), torch.rand(4, 3, 3, 3, generator=generator)
    try:
        found = functional.conv2d(image.to(device), kernel.to(device)).cpu()
    except RuntimeError as error:
        return str(error).splitlines()[0]
    # A card may round to the 10 bits of its tensor cores.
    close = torch.allclose(found, functional.conv2d(image, kernel), rtol=1e-2)
    return "" if close else "it computed a wrong result"
