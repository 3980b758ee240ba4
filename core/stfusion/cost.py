"""What this process has cost so far: processor seconds, and the most memory that it held at once."""

from __future__ import annotations

import sys
import time
from pathlib import Path


def cpu_seconds() -> float:
    """User and system seconds of all threads since the process began, its imports included."""
    return time.process_time()


def peak_memory_mb() -> float:
    """Peak of the resident memory in MB."""
    return _peak_bytes() / 2**20


if sys.platform == "win32":

    def _peak_bytes() -> int:
        import ctypes
        from ctypes import wintypes

        class Counters(ctypes.Structure):
            _fields_ = (
                ("cb", wintypes.DWORD), ("faults", wintypes.DWORD),
                *((name, ctypes.c_size_t) for name in ("peak", "now", "a", "b", "c", "d", "paged", "peak_paged")),
            )

        counters = Counters(cb=ctypes.sizeof(Counters))
        process = wintypes.HANDLE(ctypes.windll.kernel32.GetCurrentProcess())
        ctypes.windll.psapi.GetProcessMemoryInfo(process, ctypes.byref(counters), counters.cb)
        return int(counters.peak)

elif sys.platform == "darwin":

    def _peak_bytes() -> int:
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

else:

    def _peak_bytes() -> int:
        # Not from getrusage: what that says of a process includes the memory of the one that started it.
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024
