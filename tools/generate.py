"""Makes what is made from the declarations: resources/methods.json, the documentation pages, the published names.

``--check`` writes nothing and fails when a file is stale.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "core"))

from stfusion import PROTOCOL, __version__, registry  # noqa: E402
from stfusion.declaration import Method, Parameter  # noqa: E402

BEGIN = "<!-- generated from the declaration; change it there, then run: make generate -->"
END = "<!-- end of the generated part -->"
#: Endings of files in the example of a command.
_ENDINGS = {"raster": ".tif", "rasters": ".tif", "raster_out": ".tif", "vector": ".gpkg", "vector_out": ".gpkg"}
#: Operations whose images are stacks of dates, for which a folder may be given.
_OF_STACKS = ("train", "fine_tune", "prepare", "series")
PUBLISHED = ROOT / "tests" / "contract" / "published.json"


def generated() -> dict[Path, str]:
    """The text of every generated file, by path."""
    methods = list(registry.methods().values())
    files = {
        ROOT / "resources" / "methods.json": _json(
            {"engine": __version__, "protocol": PROTOCOL, "methods": [method.as_dict() for method in methods]}
        ),
        PUBLISHED: _json(published(methods)),
    }
    folder = ROOT / "docs" / "methods"
    files[folder / "README.md"] = _insert(folder / "README.md", "\n".join(_index(methods)))
    for method in methods:
        page = folder / f"{method.id}.md"
        files[page] = _insert(page, "\n".join(_page(method)))
    return files


def published(methods: list[Method]) -> dict[str, dict[str, str]]:
    """The names that users' models and scripts hold: what was published before, and what is new.

    Nothing is ever taken away or changed here, so that a test can tell what disappeared.
    """
    names: dict[str, dict[str, str]] = json.loads(PUBLISHED.read_text(encoding="utf-8")) if PUBLISHED.exists() else {}
    for method in methods:
        known = names.setdefault(f"{method.operation} {method.id}", {})
        for parameter in method.parameters():
            known.setdefault(parameter.name, parameter.kind)
    return names


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def _insert(path: Path, text: str) -> str:
    """The page with its generated part renewed; what people wrote around it stays."""
    before, after = "", ""
    if path.exists():
        before, _, rest = path.read_text(encoding="utf-8").partition(BEGIN)
        _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{text}\n\n{END}{after or chr(10)}"


def _index(methods: list[Method]) -> Iterator[str]:
    yield "| Method | Group | What it does | Command | In QGIS |"
    yield "| --- | --- | --- | --- | --- |"
    for method in methods:
        names = f"`stfusion {' '.join(method.command)}` | `stf:{method.id}`"
        yield f"| [{method.title}]({method.id}.md) | {method.group} | {method.summary} | {names} |"


def _page(method: Method) -> Iterator[str]:
    yield from (f"# {method.title}", "", method.summary, "", method.description, "")
    if method.paper:
        link = f" [doi:{method.doi}](https://doi.org/{method.doi})" if method.doi else ""
        yield from (f"**Source.** {method.paper}{link}", "")
    yield from (f"**In QGIS**: *Processing toolbox ▸ STF ▸ {method.group} ▸ {method.title}*, `stf:{method.id}`.", "")
    yield from ("**On the command line**:", "", "```sh", _example(method), "```", "")
    parameters = method.parameters()
    inputs = [parameter for parameter in parameters if parameter.targets[0].startswith("inputs.")]
    if inputs:
        yield from ("## Inputs", "", "| Flag | Input | Meaning |", "| --- | --- | --- |")
        for parameter in inputs:
            needed = " **Required.**" if parameter.required else ""
            yield f"| `{_flag(parameter)}` | {parameter.title} | {_cell(parameter.help)}{needed} |"
        yield ""
    yield from ("## Options", "", "| Flag | Option | Default | Values | Meaning |", "| --- | --- | --- | --- | --- |")
    for parameter in parameters:
        if parameter.targets[0].startswith("options."):
            yield (
                f"| `{_flag(parameter)}` | {parameter.title} | {_default(parameter)} | {_values(parameter)} "
                f"| {_cell(parameter.help)} |"
            )
    yield from ("", "## Outputs", "", "| Flag | Output | Meaning |", "| --- | --- | --- |")
    for parameter in parameters:
        if parameter.targets[0].startswith("outputs."):
            yield f"| `{_flag(parameter)}` | {parameter.title} | {_cell(parameter.help)} |"
    yield from ("", "In QGIS, a parameter's name is that of the flag in capitals, with underscores for hyphens ("
                "`--fine-bands` is `FINE_BANDS`; `--out` is `OUTPUT`).")


def _example(method: Method) -> str:
    parameters = method.parameters()
    words = ["stfusion", *method.command, *(str(each.default) for each in parameters if each.positional)]
    for parameter in parameters:
        if parameter.required or parameter.name in method.example:
            is_folder = parameter.kind == "rasters" and method.operation in _OF_STACKS
            ending = f".{parameter.extension}" if parameter.extension else _ENDINGS.get(parameter.kind, "")
            words += [_flag(parameter), f"{parameter.name}{'' if is_folder else ending}"]
    return " ".join(words)


def _flag(parameter: Parameter) -> str:
    if parameter.positional:
        return parameter.name.upper()
    return "--out" if parameter.name == "output" else f"--{parameter.name.replace('_', '-')}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _default(parameter: Parameter) -> str:
    if isinstance(parameter.default, bool):
        return "yes" if parameter.default else "no"
    if isinstance(parameter.default, float):
        return f"{parameter.default:g}"
    return "" if parameter.default is None else str(parameter.default)


def _values(parameter: Parameter) -> str:
    if parameter.choices:
        return ", ".join(parameter.choices)
    if parameter.kind == "boolean":
        return f"`{_flag(parameter)}` or `--no-{parameter.name.replace('_', '-')}`"
    kinds = {"integer": "whole number", "number": "number", "extent": "west,east,south,north [EPSG:...]"}
    kind = kinds.get(parameter.kind, "text")
    words = [f"odd {kind}" if parameter.odd else kind]
    words += [f"from {parameter.minimum:g}"] if parameter.minimum is not None else []
    words += [f"to {parameter.maximum:g}"] if parameter.maximum is not None else []
    return " ".join(words)


def main() -> int:
    """Write the files, or say which of them are stale."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a file is stale")
    check = parser.parse_args().check
    stale = {
        path: text
        for path, text in generated().items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    }
    for path, text in stale.items():
        if check:
            print(f"{path.relative_to(ROOT)} is stale; run: make generate", file=sys.stderr)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"Wrote {path.relative_to(ROOT)}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
