"""Proof that a graphics card computes: a small kernel compiled for CUDA by numba, compared with numpy."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numba import cuda

from stfusion._proof import data, report

_BLOCK = 256


@cuda.jit
def _axpy(a: Any, x: Any, y: Any, out: Any) -> None:
    i = cuda.grid(1)
    if i < x.size:
        out[i] = a * x[i] + y[i]


def devices() -> list[dict[str, Any]]:
    """Run the kernel on every CUDA device that numba sees."""
    if not cuda.is_available():
        return []
    return [_try(number, device) for number, device in enumerate(cuda.gpus)]


def _try(number: int, device: Any) -> dict[str, Any]:
    name = getattr(device, "name", "simulated by numba")
    name = f"cuda:{number} {name.decode() if isinstance(name, bytes) else name}"
    try:
        with device:
            return _run(name)
    except Exception as error:  # noqa: BLE001
        # Whatever a broken driver, toolkit or card raises: that it does not compute is the answer.
        return {"name": name, "ok": False, "seconds": 0.0, "reason": f"{type(error).__name__}: {error}"}


def _run(name: str) -> dict[str, Any]:
    x, y, expected = data()
    out = cuda.to_device(np.zeros_like(x))
    begin = time.perf_counter()
    _axpy[-(-x.size // _BLOCK), _BLOCK](np.float32(2), cuda.to_device(x), cuda.to_device(y), out)
    cuda.synchronize()
    return report(name, np.array_equal(out.copy_to_host(), expected), time.perf_counter() - begin)
