"""Which methods a comparison runs, on which pair, with which options."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import chain
from pathlib import Path

from stfusion import job, registry
from stfusion.assessment.compare import METHOD as COMPARE
from stfusion.declaration import Method, Option, Scalar
from stfusion.errors import UserError
from stfusion.fusion._scene import Scene
from stfusion.job import Job
from stfusion.networks._shared import shipped
from stfusion.run import Context

#: Options of the comparison that are passed on to every method that has them, unless they are at their defaults.
_SHARED = ("resampling", "ratio", "unit")
_METHODS, _OPTIONS = "'Methods'", "'Options of the methods'"


@dataclass(frozen=True)
class Entry:
    """A method to run: its job, and the pairs that it is given in words."""

    method: Method
    order: Job
    pairs: str

    @property
    def baseline(self) -> bool:
        """Whether it is what a method has to beat."""
        return "baseline" in self.method.tags


def select(context: Context) -> tuple[list[Method], dict[str, dict[str, str]]]:
    """The methods to run, and those that lack an input: title and reason by id.

    Raises
    ------
    UserError
        A method is unknown, or none is left.
    """
    chosen: list[Method] = []
    left_out: dict[str, dict[str, str]] = {}
    for method in choose(str(context.options["methods"])):
        missing = [role.title for role in method.roles if role.required and role.id not in context.job.inputs]
        if missing:
            left_out[method.id] = {"title": method.title, "reason": f"it needs '{missing[0]}', which was not given."}
            context.reporter.log(f"{method.title} is left out: {left_out[method.id]['reason']}")
        else:
            chosen.append(method)
    if not chosen:
        first = next(iter(left_out.values()))
        raise UserError(f"No method is left to compare; {first['title']} is left out: {first['reason']}")
    return chosen, left_out


def plan(context: Context, scene: Scene, methods: Sequence[Method], folder: Path) -> list[Entry]:
    """The entries of the methods, which write into ``folder``.

    Raises
    ------
    UserError
        An option is unknown or out of range.
    """
    settings = read_settings(str(context.options["options"]), methods)
    for shared in COMPARE.options:
        value = context.options[shared.id]
        for method in methods:
            if shared.id in _SHARED and value != shared.default and shared.id in _options(method):
                settings[method.id].setdefault(shared.id, value)
    return [_entry(context, scene, method, settings[method.id], folder) for method in methods]


def candidates() -> dict[str, Method]:
    """The methods that can be compared, by id: all that fuse and need no training, or come with weights."""
    return {m.id: m for m in registry.methods().values() if m.operation == "fuse" and _is_ready(m)}


def _is_ready(method: Method) -> bool:
    if method.needs == "base":
        return True
    return shipped(method.id) is not None and importlib.util.find_spec("torch") is not None


def choose(text: str) -> list[Method]:
    """The methods whose ids stand in the text, separated by commas; all of them when it is empty.

    Raises
    ------
    UserError
        There is no such method.
    """
    known = candidates()
    names = [name.strip().removeprefix("stf:") for name in text.split(",") if name.strip()]
    for name in names:
        if name not in known:
            raise UserError(f"{_METHODS} names '{name}', which is unknown; choose from: {', '.join(known)}.")
    return [known[name] for name in dict.fromkeys(names)] or list(known.values())


def read_settings(text: str, methods: Sequence[Method], title: str = _OPTIONS) -> dict[str, dict[str, Scalar]]:
    """The options that a text of the form ``option=value, method.option=value`` gives to every method.

    Semicolons separate as well as commas. ``title`` is that of the text in errors.

    Raises
    ------
    UserError
        A part has another form, or names a method or an option that is not there.
    """
    found: dict[str, dict[str, Scalar]] = {method.id: {} for method in methods}
    # A comma within a value, as in a list of bands, is not followed by another name and an equals sign.
    for part in filter(None, re.split(r"\s*[,;]\s*(?=[\w.]+\s*=)", text.strip())):
        match = re.fullmatch(r"(?:(\w+)\.)?(\w+)\s*=\s*(.*?)\s*[,;]?", part)
        if match is None:
            raise UserError(f"{title} has '{part}'; write option=value or method.option=value, separated by commas.")
        name, option, value = match.groups()
        if name is not None and name not in found:
            raise UserError(f"{title} names '{name}', which is not compared; choose from: {', '.join(found)}.")
        meant = {method.id: _options(method) for method in methods if name in (None, method.id)}
        owners = {method: options[option] for method, options in meant.items() if option in options}
        if not owners:
            known = ", ".join(dict.fromkeys(chain.from_iterable(meant.values())))
            raise UserError(f"{title} names '{option}', which is unknown; choose from: {known}.")
        for method, declared in owners.items():
            found[method][option] = _value(declared, value)
    return found


def _options(method: Method) -> dict[str, Option]:
    return {option.id: option for option in method.options}


def _value(option: Option, text: str) -> Scalar:
    """The value that a text stands for; a text that stands for none is left for the check of the job to refuse."""
    try:
        if option.kind == "integer":
            return int(text)
        if option.kind == "number":
            return float(text)
    except ValueError:
        return text
    return {"true": True, "false": False}.get(text.lower(), text) if option.kind == "boolean" else text


def _entry(context: Context, scene: Scene, method: Method, options: Mapping[str, Scalar], folder: Path) -> Entry:
    inputs = {name: image.plain() for name, image in context.job.inputs.items()}
    roles = {role.id for role in method.roles}
    pairs = "both pairs" if len(scene.pairs) > 1 else "the pair"
    if len(scene.pairs) > 1 and "fine2" not in roles:
        nearer = nearer_pair(scene.target.source.date, [pair.fine.source.date for pair in scene.pairs])
        pairs = f"pair {nearer + 1}, the one nearer to the target date" if nearer else "pair 1"
        if nearer:
            inputs |= {"fine": inputs["fine2"], "coarse": inputs["coarse2"]}
    plain = {
        "operation": method.operation, "method": method.id, "options": dict(options),
        "inputs": {name: image for name, image in inputs.items() if name in roles},
        "outputs": {"output": str(folder / f"{method.id}.tif")},
        "seed": context.job.seed, "device": context.job.device, "memory_mb": context.job.memory_mb,
        "threads": context.job.threads,
    }
    return Entry(method, job.parse(plain, Path.cwd()), pairs)


def nearer_pair(target: date | None, days: Sequence[date | None]) -> int:
    """Number, from 0, of the pair nearer to the target date; the first where dates are equally far or unknown."""
    distances = [abs((day - target).days) for day in days if day is not None and target is not None]
    return distances.index(min(distances)) if len(distances) == len(days) else 0
