"""Proof that a device computes: a small numba kernel on it, compared with numpy."""

from __future__ import annotations

import importlib.util
import time
from typing import Any

import numpy as np
from numba import njit

_SIZE = 1 << 12


@njit(nogil=True)
def _axpy(a: float, x: np.ndarray, y: np.ndarray, out: np.ndarray) -> None:
    for i in range(x.size):
        out[i] = a * x[i] + y[i]


def data() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two vectors x and y, and 2 x + y as numpy has it."""
    x = np.arange(_SIZE, dtype=np.float32)
    y = np.ones(_SIZE, dtype=np.float32)
    return x, y, np.float32(2) * x + y


def cpu() -> dict[str, Any]:
    """Run the kernel on the processor."""
    x, y, expected = data()
    out = np.empty_like(x)
    begin = time.perf_counter()
    _axpy(np.float32(2), x, y, out)
    seconds = time.perf_counter() - begin
    return report("cpu", np.array_equal(out, expected), seconds)


def cuda() -> list[dict[str, Any]]:
    """Run the kernel on every CUDA device that numba sees; none where numba's CUDA part is not installed."""
    if importlib.util.find_spec("numba.cuda") is None:
        return []
    from stfusion import _proof_cuda

    return _proof_cuda.devices()


def report(name: str, right: bool, seconds: float) -> dict[str, Any]:
    """What is said of a device."""
    return {"name": name, "ok": right, "seconds": seconds, "reason": "" if right else "it computed a wrong result"}
