"""Large imports at less cost."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def spared(module: str) -> Iterator[None]:
    """Let imports look in vain for a module that they do well without, unless it is there already.

    Garbage is not looked for meanwhile: an import makes little of it and much that lasts, and looking through that
    again and again takes a tenth of the time. Others import the module as ever.
    """
    collecting, absent = gc.isenabled(), module not in sys.modules
    gc.disable()
    if absent:
        sys.modules[module] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if absent:
            del sys.modules[module]
        if collecting:
            gc.enable()
