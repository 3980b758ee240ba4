"""The engine's declarations of its methods, read from their snapshot so that the engine need not be started."""

from __future__ import annotations

import json
from functools import cache
from types import SimpleNamespace

from ..engine.locator import plugin_folder

#: A method, or one of its roles, parameters and outputs; core/stfusion/declaration.py says what each field means.
Declaration = SimpleNamespace


@cache
def snapshot() -> Declaration:
    """The whole snapshot: ``engine`` (its version), ``protocol`` and ``methods``."""
    text = (plugin_folder() / "resources" / "methods.json").read_text(encoding="utf-8")
    found: Declaration = json.loads(text, object_hook=lambda plain: Declaration(**plain))
    return found


def icon_path() -> str:
    """The icon of the plugin, its provider and its algorithms."""
    return str(plugin_folder() / "resources" / "icons" / "stf.svg")
