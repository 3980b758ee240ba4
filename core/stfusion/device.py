"""The device that computes: a CUDA card where one works, else the processor."""

from __future__ import annotations

import ctypes
import os
import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class Device:
    """What computes: its name, whether it is a CUDA card, and why a card that is there is not used."""

    name: str
    cuda: bool = False
    fault: str = ""


def find(wanted: str) -> Device:
    """The first CUDA card that computes correctly, unless "cpu" is wanted; the processor where there is none.

    A machine without a driver is told by the lack of its library, since importing the CUDA part of numba costs time.
    """
    if wanted == "cpu" or not (os.environ.get("NUMBA_ENABLE_CUDASIM") == "1" or _has_driver()):
        return Device("cpu")
    from stfusion import _proof

    cards = _proof.cuda()
    if not cards:
        return Device("cpu", fault="numba sees no CUDA device, though a driver is installed")
    if not cards[0]["ok"]:
        return Device("cpu", fault=f"{cards[0]['name']} does not compute: {cards[0]['reason']}")
    return Device(str(cards[0]["name"]), cuda=True)


def _has_driver() -> bool:
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True
