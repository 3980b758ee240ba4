"""The methods that exist: every module of the method packages whose name has no leading underscore declares one."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from functools import cache
from types import MappingProxyType

from stfusion.declaration import Method
from stfusion.errors import UserError

_PACKAGES = tuple(
    f"stfusion.{name}"
    for name in (
        "fusion", "networks", "training", "pansharpening", "classification", "assessment", "preparation", "series"
    )
)


@cache
def methods() -> MappingProxyType[str, Method]:
    """All methods by id, in the order of their packages and modules."""
    found: dict[str, Method] = {}
    for package in _PACKAGES:
        found |= {method.id: method for method in declared(package)}
    return MappingProxyType(found)


def declared(package: str) -> Iterator[Method]:
    """The methods of a package, in the order of its modules."""
    for module in sorted(info.name for info in pkgutil.iter_modules(importlib.import_module(package).__path__)):
        if not module.startswith("_"):
            yield importlib.import_module(f"{package}.{module}").METHOD


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
