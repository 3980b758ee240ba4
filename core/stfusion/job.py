"""The job: the only way into the engine. A form or the command line writes it, a server runs it unchanged."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import date
from pathlib import Path
from typing import Any

from stfusion import registry
from stfusion.declaration import Method, Option, Role, Scalar
from stfusion.errors import UserError

SCHEMA = 1
#: What an input is, in words.
_FILES = {"raster": "raster file", "vector": "vector layer", "file": "file", "files": "file", "folder": "folder"}
#: The largest value of a mask: float32 has all whole numbers up to this.
_LARGEST = 2**24


@dataclass(frozen=True)
class Input:
    """One input: its file or URL, band numbers (from 1; all when None), ISO date, nodata override and mask.

    ``clear`` are the values of its mask, or of itself where it is one, that mean clear, such as "0,1" (0 when None).
    ``more`` are further files whose bands follow, ``field`` is the attribute of a vector layer.
    """

    path: str
    bands: tuple[int, ...] | None = None
    date: str | None = None
    nodata: float | None = None
    mask: str | None = None
    clear: str | None = None
    more: tuple[str, ...] | None = None
    field: str | None = None

    @property
    def clear_values(self) -> tuple[int, ...]:
        """The values that ``clear`` has."""
        return values_of(self.clear or "0")

    def plain(self) -> dict[str, Any]:
        """The input as it stands in a ``job.json``, without what was not given."""
        given = {key: value for key, value in asdict(self).items() if value is not None}
        if self.more:
            given["path"] = [self.path, *given.pop("more")]
        return given


@dataclass(frozen=True)
class Job:
    """A complete order to the engine.

    ``memory_mb`` bounds the engine's memory, ``threads`` its threads (0: all cores), ``device`` is "auto" or "cpu".
    ``window`` is the part of the result of a fusion or a pansharpening to make: its first row and the one after its
    last, the same of columns.
    """

    operation: str
    method: str
    outputs: Mapping[str, str]
    inputs: Mapping[str, Input] = field(default_factory=dict)
    options: Mapping[str, Scalar] = field(default_factory=dict)
    seed: int = 0
    device: str = "auto"
    memory_mb: int = 2048
    threads: int = 0
    window: tuple[int, int, int, int] | None = None
    schema: int = SCHEMA

    @property
    def declaration(self) -> Method:
        """The declaration of the job's method."""
        return registry.get(self.operation, self.method)

    def to_json(self) -> str:
        """The job as the text of a ``job.json``, without the values that were not given."""
        plain = asdict(self)
        plain["inputs"] = {role: given.plain() for role, given in self.inputs.items()}
        if self.window is None:
            del plain["window"]
        return json.dumps(plain, indent=2) + "\n"


def load(path: str | Path, roots: Mapping[str, str] | None = None) -> Job:
    """Read and check a ``job.json``; relative paths in it are relative to its folder.

    ``roots`` are folders by name: a path such as ``{data}/fine.tif`` begins with one.

    Raises
    ------
    UserError
        The file is missing, is not JSON, or a value is unknown, missing or out of range.
    """
    try:
        plain = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"The job '{path}' cannot be read ({error.strerror}); give the path of a job.json.") from error
    except ValueError as error:
        raise UserError(f"The job '{path}' is not valid JSON ({error}); export it again.") from error
    if not isinstance(plain, dict):
        raise UserError(f"The job '{path}' is not a JSON object; export it again.")
    return parse(with_roots(plain, lambda text: _rooted(text, roots or {})), Path(path).resolve().parent)


def with_roots(plain: Mapping[str, Any], change: Callable[[str], str]) -> dict[str, Any]:
    """A plain job with its paths changed."""

    def changed(value: Any) -> Any:
        return [change(str(path)) for path in value] if isinstance(value, list | tuple) else change(str(value))

    found = dict(plain)
    if isinstance(plain.get("inputs"), dict):
        found["inputs"] = {
            role: {key: changed(value) if key in ("path", "mask") and value else value for key, value in image.items()}
            if isinstance(image, dict) else image
            for role, image in plain["inputs"].items()
        }
    if isinstance(plain.get("outputs"), dict):
        found["outputs"] = {name: changed(value) if value else value for name, value in plain["outputs"].items()}
    return found


def _rooted(text: str, roots: Mapping[str, str]) -> str:
    """A path with its named root put in."""
    match = re.match(r"\{(\w+)\}", text)
    if match is None:
        return text
    if match[1] not in roots:
        name = match[1]
        raise UserError(f"The path '{text}' has the root '{name}', which is not given; add --root {name}=FOLDER.")
    return roots[match[1]].rstrip("/\\") + text[match.end():]


def folded(text: str, roots: Mapping[str, str]) -> str:
    """A path under a named root, with the name in place of the root's folder."""
    for name, folder in roots.items():
        begin = str(Path(folder).absolute()) if "://" not in folder and not folder.startswith("/vsi") else folder
        begin = begin.rstrip("/\\")
        if text == begin or text.startswith((f"{begin}/", f"{begin}\\")):
            return f"{{{name}}}{text[len(begin):]}"
    return text


def parse(plain: Mapping[str, Any], folder: Path | None = None) -> Job:
    """Check the plain values of a job against the method's declaration and fill in its defaults.

    Raises
    ------
    UserError
        A value is unknown, missing, of the wrong kind or out of range; the sentence names it and its range.
    """
    _refuse_unknown("The job", plain, {each.name for each in fields(Job)})
    if plain.get("schema", SCHEMA) != SCHEMA:
        raise UserError(
            f"The job has schema {plain['schema']} and this engine reads schema {SCHEMA}; "
            "export the job again with the same version of STF."
        )
    for key in ("inputs", "options", "outputs"):
        if not isinstance(plain.get(key, {}), dict):
            raise UserError(f"The job's '{key}' has to be a JSON object; export the job again.")
    method = registry.get(str(plain.get("operation", "")), str(plain.get("method", "")))
    return Job(
        operation=method.operation,
        method=method.id,
        inputs=_inputs(method, plain.get("inputs", {}), folder),
        options=options_of(method, plain.get("options", {})),
        outputs=_outputs(method, plain.get("outputs", {}), folder),
        seed=_whole("seed", plain.get("seed", 0), 0),
        device=_device(plain.get("device", "auto")),
        memory_mb=_whole("memory_mb", plain.get("memory_mb", Job.memory_mb), 256),
        threads=_whole("threads", plain.get("threads", 0), 0),
        window=_window(method, plain.get("window")),
    )


def _refuse_unknown(what: str, given: Mapping[str, Any], known: set[str]) -> None:
    unknown = sorted(set(given) - known)
    if unknown:
        raise UserError(f"{what} has the unknown entry '{unknown[0]}'; it may have: {', '.join(sorted(known))}.")


def _whole(name: str, value: object, minimum: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
        raise UserError(f"The job's '{name}' is {value!r}; it has to be a whole number of at least {minimum}.")
    return value


def _window(method: Method, value: object) -> tuple[int, int, int, int] | None:
    if value is None:
        return None
    if method.operation not in ("fuse", "pansharpen"):
        raise UserError(
            f"The job has a 'window', which {method.title} cannot use; only fusions and pansharpening are made in "
            "parts."
        )
    if isinstance(value, list | tuple) and len(value) == 4 and all(type(n) is int and n >= 0 for n in value):
        top, bottom, left, right = value
        if top < bottom and left < right:
            return top, bottom, left, right
    raise UserError(
        f"The job's 'window' is {value!r}; it has to be the first row, the one after the last, and the same of columns."
    )


def _device(value: object) -> str:
    if value not in ("auto", "cpu"):
        raise UserError(f"The job's 'device' is {value!r}; it has to be 'auto' or 'cpu'.")
    return str(value)


def _resolve(path: str, folder: Path | None) -> str:
    """An absolute path for a plain relative one; GDAL's virtual paths and URLs stay as they are."""
    if folder is None or path.startswith("/vsi") or ":" in path or Path(path).is_absolute():
        return path
    return str(folder / path)


def _inputs(method: Method, given: Mapping[str, Any], folder: Path | None) -> dict[str, Input]:
    _refuse_unknown(f"'inputs' of {method.title}", given, {role.id for role in method.roles})
    found: dict[str, Input] = {}
    for role in method.roles:
        image = given.get(role.id)
        if not isinstance(image, dict) or not image.get("path"):
            if role.required or image:
                kind = role.sensor if role.sensor in _FILES else "raster"
                raise UserError(f"{method.title} needs '{role.title}' ({role.id}); give a {_FILES[kind]}.")
            continue
        _refuse_unknown(f"The input '{role.id}'", image, {"path", "bands", "date", "nodata", "mask", "clear", "field"})
        path, *more = _paths(role, image["path"], folder)
        found[role.id] = Input(
            path=path,
            more=tuple(more) or None,
            bands=_bands(role.title, image.get("bands")),
            date=_date(role.title, image.get("date")),
            nodata=_number(role.title, image.get("nodata")),
            mask=_resolve(str(image["mask"]), folder) if image.get("mask") else None,
            clear=_clear(role.title, image.get("clear")),
            field=str(image["field"]) if image.get("field") else None,
        )
    for role in method.roles:
        partners = [other for other in method.roles if role.epoch and other.epoch == role.epoch]
        missing = [other for other in partners if other.id not in found]
        if role.id in found and missing:
            raise UserError(
                f"'{role.title}' is given without '{missing[0].title}' ({missing[0].id}); give both or neither."
            )
    return found


def _paths(role: Role, value: object, folder: Path | None) -> list[str]:
    """The files of an input, absolute: one, or several where the role takes several."""
    paths = value if isinstance(value, list | tuple) else [value]
    if len(paths) > 1 and not role.several:
        raise UserError(f"'{role.title}' ({role.id}) has {len(paths)} files and takes one; choose one.")
    return [_resolve(str(path), folder) for path in paths]


def _bands(title: str, value: object) -> tuple[int, ...] | None:
    if value is None or value == []:
        return None
    if not isinstance(value, list | tuple) or not all(type(band) is int and band >= 1 for band in value):
        raise UserError(f"The bands of '{title}' are {value!r}; give band numbers from 1, such as 1,2,3.")
    return tuple(value)


def _date(title: str, value: object) -> str | None:
    if not value:
        return None
    try:
        return date.fromisoformat(str(value)).isoformat()
    except ValueError as error:
        raise UserError(f"The date of '{title}' is {value!r}; write it as YYYY-MM-DD.") from error


def _number(title: str, value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UserError(f"The nodata value of '{title}' is {value!r}; give a number.")
    return float(value)


def _clear(title: str, value: object) -> str | None:
    if value in (None, ""):
        return None
    try:
        values_of(value)
    except ValueError as error:
        raise UserError(
            f"The clear values of '{title}' (clear) are {value!r}; write whole numbers of at most {_LARGEST}, "
            "separated by commas, such as \"0,1\"."
        ) from error
    return str(value)


def values_of(text: object) -> tuple[int, ...]:
    """The values of a mask that a text such as "0,1" has.

    Raises
    ------
    ValueError
        It is no such text, or has a number that float32, in which masks are read, cannot tell from its neighbours.
    """
    values = tuple(map(int, text.split(","))) if isinstance(text, str) else ()
    if not values or max(map(abs, values)) > _LARGEST:
        raise ValueError(text)
    return values


def options_of(method: Method, given: Mapping[str, Any]) -> dict[str, Scalar]:
    """All options of a method, by default where they are not given.

    Raises
    ------
    UserError
        One is unknown, of another kind or out of range.
    """
    _refuse_unknown(f"'options' of {method.title}", given, {option.id for option in method.options})
    return {option.id: _option(option, given.get(option.id, option.default)) for option in method.options}


def _option(option: Option, value: Any) -> Scalar:
    """The checked value of an option."""
    if not _is_of_kind(option.kind, value):
        raise UserError(f"'{option.title}' ({option.id}) is {value!r}; it has to be of kind {option.kind}.")
    if option.kind == "choice" and value not in option.choices:
        raise UserError(f"'{option.title}' ({option.id}) is '{value}'; choose one of: {', '.join(option.choices)}.")
    if option.kind == "integer":
        _check_range(option, value)
    if option.kind == "number":
        value = float(value)
        _check_range(option, value)
    scalar: Scalar = value
    return scalar


def _is_of_kind(kind: str, value: object) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    allowed: dict[str, tuple[type, ...]] = {"integer": (int,), "number": (int, float), "boolean": ()}
    return isinstance(value, allowed.get(kind, (str,)))


def _check_range(option: Option, value: float) -> None:
    low = -math.inf if option.minimum is None else option.minimum
    high = math.inf if option.maximum is None else option.maximum
    if not (math.isfinite(value) and low <= value <= high):
        raise UserError(
            f"'{option.title}' ({option.id}) is {value:g}; it has to be {_limits(option.minimum, option.maximum)}."
        )
    if option.odd and value != 0 and value % 2 == 0:
        raise UserError(f"'{option.title}' ({option.id}) is {value:g}, an even number; take {value + 1:g}.")


def _limits(minimum: float | None, maximum: float | None) -> str:
    if minimum is not None and maximum is not None:
        return f"between {minimum:g} and {maximum:g}"
    if maximum is not None:
        return f"at most {maximum:g}"
    return "a number" if minimum is None else f"at least {minimum:g}"


def _outputs(method: Method, given: Mapping[str, Any], folder: Path | None) -> dict[str, str]:
    _refuse_unknown(f"'outputs' of {method.title}", given, {output.id for output in method.outputs})
    for output in method.outputs:
        if output.required and not given.get(output.id):
            raise UserError(f"{method.title} needs a path for '{output.title}' ({output.id}).")
    return {name: _resolve(str(path), folder) for name, path in given.items() if path}


def build(method: Method, values: Mapping[str, Any], **settings: Any) -> dict[str, Any]:
    """The plain job for the values of a method's parameters, by name; values of None are left out.

    ``settings`` are the job's own entries: seed, device, memory_mb, threads.
    """
    plain: dict[str, Any] = {
        "schema": SCHEMA, "operation": method.operation, "method": method.id,
        "inputs": {}, "options": {}, "outputs": {}, **settings,
    }
    given = {name for name, value in values.items() if value is not None}
    roles = {role.id for role in method.roles if role.id in given}
    for parameter in method.parameters():
        if parameter.name not in given:
            continue
        for target in parameter.targets:
            section, *path = target.split(".")
            if section == "inputs" and path[0] not in roles:
                continue
            place = plain[section]
            for step in path[:-1]:
                place = place.setdefault(step, {})
            place[path[-1]] = values[parameter.name]
    return plain
