"""Proof that a device computes: a small numba kernel on it, compared with numpy."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numba import cuda as numba_cuda
from numba import njit

_SIZE = 1 << 16


@njit(nogil=True)
def _axpy(a: float, x: np.ndarray, y: np.ndarray, out: np.ndarray) -> None:
    for i in range(x.size):
        out[i] = a * x[i] + y[i]


def _data() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x = np.arange(_SIZE, dtype=np.float32)
    y = np.ones(_SIZE, dtype=np.float32)
    return x, y, np.float32(2) * x + y


def cpu() -> dict[str, Any]:
    """Run the kernel on the processor."""
    x, y, expected = _data()
    out = np.empty_like(x)
    begin = time.perf_counter()
    _axpy(np.float32(2), x, y, out)
    seconds = time.perf_counter() - begin
    return _report("cpu", np.array_equal(out, expected), seconds)


def cuda() -> list[dict[str, Any]]:
    """Run the kernel on every CUDA device that numba sees."""
    if not numba_cuda.is_available():
        return []
    found = []
    for device in numba_cuda.gpus:
        name = f"cuda:{device.id} {device.name.decode() if isinstance(device.name, bytes) else device.name}"
        try:
            with device:
                found.append(_run_cuda(name))
        except numba_cuda.cudadrv.error.CudaSupportError as error:
            found.append({"name": name, "ok": False, "reason": str(error)})
        except numba_cuda.cudadrv.driver.CudaAPIError as error:
            found.append({"name": name, "ok": False, "reason": str(error)})
    return found


def _run_cuda(name: str) -> dict[str, Any]:
    @numba_cuda.jit
    def axpy(a: float, x: np.ndarray, y: np.ndarray, out: np.ndarray) -> None:
        i = numba_cuda.grid(1)
        if i < x.size:
            out[i] = a * x[i] + y[i]

    x, y, expected = _data()
    out = numba_cuda.device_array(_SIZE, np.float32)
    begin = time.perf_counter()
    axpy[_SIZE // 256, 256](np.float32(2), numba_cuda.to_device(x), numba_cuda.to_device(y), out)
    numba_cuda.synchronize()
    seconds = time.perf_counter() - begin
    return _report(name, np.array_equal(out.copy_to_host(), expected), seconds)


def _report(name: str, right: bool, seconds: float) -> dict[str, Any]:
    return {"name": name, "ok": right, "seconds": seconds, "reason": "" if right else "it computed a wrong result"}
