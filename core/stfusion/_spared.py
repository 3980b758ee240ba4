"""Imports that are spared: of large packages that another one tries to import and does well without."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def spared(module: str) -> Iterator[None]:
    """Let imports look in vain for a module meanwhile, unless it is there already. Others import it as ever."""
    if module in sys.modules:
        yield
        return
    sys.modules[module] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[module]
