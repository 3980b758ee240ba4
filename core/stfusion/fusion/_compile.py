"""How kernels are compiled, said once: by numba, running beside one another, and kept on disk. No fast-math."""

from __future__ import annotations

from numba import njit
from numba.extending import register_jitable

from stfusion._spared import spared

#: Decorator of a kernel.
compiled = njit(nogil=True, cache=True, error_model="numpy")
#: Decorator of what kernels of the processor and of a CUDA card call alike. It stays Python for numba's simulated card.
shared = register_jitable


# For products of matrices, which no kernel has. A tenth of a second is much of a short run.
with spared("scipy.linalg"):
    import numba.np.arraymath  # noqa: F401
