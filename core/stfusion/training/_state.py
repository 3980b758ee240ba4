"""The state of a training in one safetensors file: numbers by name, and plain values as JSON in its header.

Nothing in it can be executed, and it appears under its name only when it is whole.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from stfusion.errors import UserError

_HEADER, _TENSOR = "state", "tensor:"


@dataclass(frozen=True)
class State:
    """Everything that a training needs to go on as if it had not been interrupted.

    ``tensors`` are numbers by name, ``plain`` values for JSON.
    """

    tensors: Mapping[str, Tensor]
    plain: Mapping[str, Any]

    def part(self, prefix: str) -> dict[str, Tensor]:
        """The numbers whose names begin with a prefix, without it."""
        return {name.removeprefix(prefix): value for name, value in self.tensors.items() if name.startswith(prefix)}


def flat(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """Plain values for JSON of nested dictionaries and lists, whose tensors are put into ``tensors`` by name."""
    if isinstance(value, Tensor):
        tensors[name] = value
        return f"{_TENSOR}{name}"
    if isinstance(value, Mapping):
        return {str(key): flat(entry, f"{name}.{key}", tensors) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [flat(entry, f"{name}.{number}", tensors) for number, entry in enumerate(value)]
    return value


def nested(plain: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The inverse of :func:`flat`; keys that are whole numbers become numbers again."""
    if isinstance(plain, str) and plain.startswith(_TENSOR):
        return tensors[plain.removeprefix(_TENSOR)]
    if isinstance(plain, Mapping):
        return {int(key) if key.isdigit() else key: nested(entry, tensors) for key, entry in plain.items()}
    if isinstance(plain, list):
        return [nested(entry, tensors) for entry in plain]
    return plain


def save(path: Path, state: State) -> None:
    """Write a state, first under another name.

    Raises
    ------
    UserError
        It cannot be written.
    """
    part = path.with_name(f"{path.name}.part")
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in state.tensors.items()}
    try:
        save_file(tensors, part, {_HEADER: json.dumps(state.plain)})
        os.replace(part, path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"The state of the training '{path}' cannot be written ({error}); free some space.") from error


def load(path: Path) -> State:
    """Read a state.

    Raises
    ------
    UserError
        The file cannot be read or is no state.
    """
    try:
        with safe_open(path, framework="pt") as file:
            plain = json.loads((file.metadata() or {})[_HEADER])
            # Copies, since what is read lies in the file, which is to be replaced.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise UserError(
            f"'{path}' is not the state of a training ({error}); give the output another name, or begin anew."
        ) from error
    return State(tensors, plain)
