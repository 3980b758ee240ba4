"""How kernels are compiled, said once: by numba, running beside one another, and kept on disk. No fast-math."""

from __future__ import annotations

import sys

from numba import njit
from numba.extending import register_jitable

#: Decorator of a kernel.
compiled = njit(nogil=True, cache=True, error_model="numpy")
#: Decorator of what kernels of the processor and of a CUDA card call alike. It stays Python for numba's simulated card.
shared = register_jitable


def _set_up_without_scipy() -> None:
    """Let numba look in vain for scipy.linalg, a large import for products of matrices, which no kernel has.

    It does not need it otherwise, and a tenth of a second is much of a short run. Others import it as ever.
    """
    if "scipy.linalg" not in sys.modules:
        sys.modules["scipy.linalg"] = None  # type: ignore[assignment]
        try:
            import numba.np.arraymath  # noqa: F401
        finally:
            del sys.modules["scipy.linalg"]


_set_up_without_scipy()
