"""The declarations keep their word: names stay, snapshots are fresh, every parameter reaches the job."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stfusion import job, registry
from stfusion.declaration import Method, Parameter

ROOT = Path(__file__).resolve().parents[2]
METHODS = list(registry.methods().values())
PUBLISHED: dict[str, dict[str, str]] = json.loads(
    (ROOT / "tests/contract/published.json").read_text(encoding="utf-8")
)

each_method = pytest.mark.parametrize("method", METHODS, ids=lambda method: method.id)


def test_generated_files_are_fresh() -> None:
    """methods.json, the pages of docs/methods and the published names are those of the declarations."""
    done = subprocess.run(
        [sys.executable, "tools/generate.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_published_names_stay() -> None:
    """Models, scripts and batch files of users hold these names and kinds."""
    declared = {
        f"{method.operation} {method.id}": {parameter.name: parameter.kind for parameter in method.parameters()}
        for method in METHODS
    }
    assert set(PUBLISHED) <= set(declared), "a published method has disappeared"
    for command, parameters in PUBLISHED.items():
        gone = {name: kind for name, kind in parameters.items() if declared[command].get(name) != kind}
        assert not gone, f"{command}: a published parameter has disappeared or changed its kind"


@each_method
def test_names_are_fit_to_be_published(method: Method) -> None:
    names = [parameter.name for parameter in method.parameters()]
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", name) for name in [method.id, method.operation, *names])
    assert len(names) == len(set(names))
    assert all(parameter.help.endswith(".") and parameter.title for parameter in method.parameters())


@each_method
def test_required_values_alone_make_a_job(method: Method) -> None:
    order = job.parse(job.build(method, _required(method)))
    assert order.declaration is method
    assert order.options == {option.id: option.default for option in method.options}
    assert set(order.inputs) == {role.id for role in method.roles if role.required}


@each_method
def test_every_parameter_reaches_the_job(method: Method) -> None:
    """A value other than the default is found at each of the parameter's targets."""
    values = {parameter.name: _other_value(parameter) for parameter in method.parameters()}
    order = json.loads(job.parse(job.build(method, values)).to_json())
    for parameter in method.parameters():
        for target in parameter.targets:
            place: Any = order
            for step in target.split("."):
                place = place[step]
            assert place == values[parameter.name], target


@each_method
def test_options_refuse_what_is_out_of_range(method: Method) -> None:
    for option in method.options:
        wrong: list[Any] = [None, [], "?" if option.kind not in ("text", "extent") else 1]
        wrong += [option.minimum - 1] if option.minimum is not None else []
        wrong += [option.maximum + 1] if option.maximum is not None else []
        for value in wrong:
            plain = job.build(method, _required(method))
            plain["options"][option.id] = value
            with pytest.raises(job.UserError, match=option.id):
                job.parse(plain)


def test_info_lists_the_snapshot(engine: Any) -> None:
    """What the engine says about itself is what the plugin builds its forms from."""
    info = json.loads(engine("info", "--json").stdout)
    snapshot = json.loads((ROOT / "resources/methods.json").read_text(encoding="utf-8"))
    assert {key: info[key] for key in snapshot} == snapshot


def test_declarations_import_nothing_heavy() -> None:
    """``stfusion --help`` answers at once: numpy and the like are imported when a method runs."""
    code = (
        "import sys; from stfusion import cli, registry; registry.methods(); cli._parser(); "
        "print([name for name in ('numpy', 'numba', 'scipy', 'rasterio', 'torch', 'sklearn') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT / "core", capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def _required(method: Method) -> dict[str, Any]:
    return {parameter.name: f"/data/{parameter.name}.tif" for parameter in method.parameters() if parameter.required}


def _other_value(parameter: Parameter) -> Any:
    """A value that the parameter accepts and that is not its default."""
    default: Any = parameter.default
    if parameter.kind == "boolean":
        return not default
    if parameter.kind == "choice":
        return next(choice for choice in parameter.choices if choice != default)
    if parameter.kind in ("integer", "number") and default is not None:
        # Twice the default plus one stays odd; halfway to the maximum stays in the range.
        higher = 2 * default + 1
        return higher if parameter.maximum is None or higher <= parameter.maximum else type(default)(default / 2)
    return {"bands": [3, 1], "date": "2020-02-29", "number": -1.5, "text": "1,2"}.get(
        parameter.kind, f"/data/{parameter.name}"
    )
