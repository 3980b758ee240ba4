"""Proof that torch computes: a convolution on every device that it sees, compared with numpy."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from stfusion._proof import report

#: A card may round to the 10 bits of its tensor cores.
_TOLERANCE = 1e-2


def devices() -> list[dict[str, Any]]:
    """The processor and every CUDA card, with the seconds that each took or why it is not to be used."""
    cards = range(torch.cuda.device_count() if torch.cuda.is_available() else 0)
    found = {"cpu": torch.device("cpu")}
    found |= {torch.cuda.get_device_name(number): torch.device("cuda", number) for number in cards}
    return [_of(name, device) for name, device in found.items()]


def _of(name: str, device: torch.device) -> dict[str, Any]:
    begin = time.perf_counter()
    reason = fault(device)
    return {**report(f"{name} (torch)", not reason, time.perf_counter() - begin), "reason": reason}


def fault(device: torch.device) -> str:
    """Why a device is not to be trusted; empty where a convolution on it gives what numpy gives."""
    rng = np.random.default_rng(0)
    image, kernel = rng.random((32, 32), np.float32), rng.random((3, 3), np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(image, (3, 3))
    expected = (windows * kernel).sum(axis=(2, 3))
    try:
        found = functional.conv2d(
            torch.from_numpy(image)[None, None].to(device), torch.from_numpy(kernel)[None, None].to(device)
        ).cpu()
    except RuntimeError as error:
        return str(error).splitlines()[0]
    close = np.allclose(found[0, 0].numpy(), expected, rtol=_TOLERANCE)
    return "" if close else "it computed a wrong result"
