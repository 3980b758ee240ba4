"""Large imports at less cost."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any


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


@contextmanager
def postponed(module: str) -> Iterator[None]:
    """Let imports take functions of a module that is imported only when one of them is called, unless it is there.

    What is taken in the block is called later, if ever; what needs more of it than its functions fails to be imported,
    and can be imported again after the block.
    """
    if module in sys.modules:
        yield
        return
    stand_in = _Postponed(module)
    sys.modules[module] = stand_in
    try:
        yield
    finally:
        stand_in.waiting = False
        del sys.modules[module]


class _Postponed(ModuleType):
    """Stands in for a module that is not imported yet."""

    waiting = True

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if not self.waiting:
            return getattr(import_module(self.__name__), name)

        def call(*given: Any, **named: Any) -> Any:
            return getattr(import_module(self.__name__), name)(*given, **named)

        return call
