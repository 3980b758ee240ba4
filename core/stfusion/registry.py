"""The methods that exist: every module of the method packages whose name has no leading underscore declares one."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from types import MappingProxyType

from stfusion.declaration import Method
from stfusion.errors import UserError

_PACKAGES = tuple(
    f"stfusion.{name}"
    for name in ("fusion", "networks", "training", "pansharpening", "classification", "assessment", "preparation")
)


@cache
def methods() -> MappingProxyType[str, Method]:
    """All methods by id, in the order of their packages and modules."""
    found: dict[str, Method] = {}
    for package in map(importlib.import_module, _PACKAGES):
        for module in sorted(info.name for info in pkgutil.iter_modules(package.__path__)):
            if not module.startswith("_"):
                method: Method = importlib.import_module(f"{package.__name__}.{module}").METHOD
                found[method.id] = method
    return MappingProxyType(found)


def get(operation: str, method: str) -> Method:
    """The method of an operation.

    Raises
    ------
    UserError
        There is no such method; the sentence lists those that exist.
    """
    found = methods().get(method)
    if found is None or found.operation != operation:
        known = ", ".join(" ".join(m.command) for m in methods().values())
        raise UserError(f"The engine has no method '{operation} {method}'; it has: {known}.")
    return found
