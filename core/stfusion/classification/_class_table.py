"""The table of a match as a file: what every class becomes, and the names and colours of the new classes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from stfusion import __version__
from stfusion.assessment._confusion import LARGEST
from stfusion.classification._legend import Legend, read_pairs
from stfusion.errors import UserError

KIND, VERSION = "stfusion class table", 1


@dataclass(frozen=True)
class Table:
    """The new number of every class, and names and colours of new classes; either may be unknown.

    Raises
    ------
    UserError
        A number is none that a class can have.
    """

    names: Mapping[int, int]
    legend: Legend

    def __post_init__(self) -> None:
        large = [number for number in self.names.values() if abs(number) > LARGEST]
        if large:
            raise UserError(
                f"The table has the number {large[0]}; the number of a class is a whole number up to {LARGEST}."
            )

    def as_dict(self, purity: Mapping[int, float]) -> dict[str, Any]:
        """Plain values for JSON; ``purity`` is the share of a class that agrees best, where it is known."""
        return {
            "kind": KIND,
            "version": VERSION,
            "engine": f"stfusion {__version__}",
            "classes": [
                {
                    "from": old, "to": new, "name": self.legend.names.get(new),
                    "colour": self.legend.colours.get(new), "purity": purity.get(old),
                }
                for old, new in sorted(self.names.items())
            ],
        }


def read_table(path: str) -> Table:
    """Read and check the table of a match.

    Raises
    ------
    UserError
        The file is missing, or is no such table.
    """
    name = PurePath(path).name
    remedy = "choose the table that 'Match classes' wrote."
    try:
        plain = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"The table '{path}' cannot be read ({error.strerror}); {remedy}") from error
    except ValueError as error:
        raise UserError(f"The table '{name}' is not valid JSON ({error}); {remedy}") from error
    if not isinstance(plain, dict) or plain.get("kind") != KIND:
        raise UserError(f"'{name}' is not the table of a match; {remedy}")
    if plain.get("version") != VERSION:
        raise UserError(
            f"The table '{name}' has version {plain.get('version')!r} and this engine reads version {VERSION}; match "
            "again with this version of STF."
        )
    rows = plain.get("classes")
    if not isinstance(rows, list) or not rows or not all(map(_is_row, rows)):
        raise UserError(
            f"The table '{name}' is damaged: its 'classes' have to be a list with 'from' and 'to', the numbers of "
            "classes, and perhaps 'name' and 'colour'; match again."
        )
    table = {row["from"]: row["to"] for row in rows}
    if len(table) < len(rows):
        raise UserError(f"The table '{name}' has a class twice; match again.")
    return Table(table, Legend(
        {row["to"]: row["name"] for row in rows if row.get("name")},
        {row["to"]: tuple(row["colour"]) for row in rows if row.get("colour")},
    ))


def _is_row(row: Any) -> bool:
    """Whether it is the row of a class."""
    if not isinstance(row, dict) or type(row.get("from")) is not int or type(row.get("to")) is not int:
        return False
    name, colour = row.get("name"), row.get("colour")
    whole = isinstance(colour, list) and len(colour) == 3 and all(type(c) is int and 0 <= c <= 255 for c in colour)
    return (name is None or isinstance(name, str)) and (colour is None or whole)


def text_table(title: str, text: str) -> Table:
    """The table that a user writes as ``1=3, 2=1``.

    Raises
    ------
    UserError
        A part of it is not of this form, or a class has two numbers.
    """
    table: dict[int, int] = {}
    for old, word in read_pairs(title, text).items():
        try:
            table[old] = int(word)
        except ValueError as error:
            raise UserError(f"'{title}' makes '{word}' of class {old}; give the number of a class.") from error
    return Table(table, Legend())
