"""Settings of data sets: what is cut out of a scene, and which dates are references and which targets."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import pairwise
from pathlib import Path, PurePath
from typing import Any

from stfusion.errors import UserError

#: The splits; of two that something belongs to, the later one counts.
SPLITS = ("training", "validation", "test")
_KEYS = {"crop", *SPLITS}


@dataclass(frozen=True)
class Group:
    """A date to predict, and the dates of the pairs that it is to be predicted from."""

    target: date
    references: tuple[date, ...]

    @property
    def days(self) -> tuple[date, ...]:
        """All its dates, in the order of time."""
        return tuple(sorted((self.target, *self.references)))

    @property
    def listed(self) -> list[str]:
        """Its dates as settings and data set files have them: a reference, the target, and perhaps another one."""
        return [day.isoformat() for day in (self.references[0], self.target, *self.references[1:])]


@dataclass(frozen=True)
class Setting:
    """``crop`` is the part of the scene (top, left, rows, columns; None: all), ``groups`` are given by their split."""

    crop: tuple[int, int, int, int] | None = None
    groups: Mapping[str, tuple[Group, ...]] = field(default_factory=dict)

    def complete(self, days: Iterable[date], references: int) -> dict[str, tuple[Group, ...]]:
        """The groups of every split, for images of these dates and so many references of a target.

        Without groups for training they are made of dates that follow one another. Targets of the other splits are in
        none of them, whoever has listed them.
        """
        held_out = {group.target for split in SPLITS[1:] for group in self.groups.get(split, ())}
        found = {split: self.groups.get(split, ()) for split in SPLITS}
        if found["training"]:
            found["training"] = tuple(group for group in found["training"] if not held_out & set(group.days))
        else:
            found["training"] = _consecutive(sorted(set(days) - held_out), references)
        return found


def _consecutive(days: Sequence[date], references: int) -> tuple[Group, ...]:
    """Each date from the one before it, or from those before and after it."""
    if references == 1:
        return tuple(Group(target, (before,)) for before, target in pairwise(days))
    triples = zip(days, days[1:], days[2:], strict=False)
    return tuple(Group(target, (before, after)) for before, target, after in triples)


def read_setting(path: str) -> Setting:
    """A setting of the user's own: JSON with "crop" and, by split, lists of groups [reference, target, reference].

    Raises
    ------
    UserError
        The file cannot be read, or an entry is unknown or of the wrong kind.
    """
    name = PurePath(path).name
    try:
        plain = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"The setting '{name}' cannot be read as JSON ({error}); correct it.") from error
    return _checked(name, plain)


def _checked(name: str, plain: Any) -> Setting:
    if not isinstance(plain, dict) or set(plain) - _KEYS:
        raise UserError(f"The setting '{name}' may have {', '.join(sorted(_KEYS))} and nothing else; correct it.")
    crop = plain.get("crop")
    if crop is not None and not _is_crop(crop):
        raise UserError(
            f"The setting '{name}' has the crop {crop!r}; write [top, left, rows, columns] in whole pixels."
        )
    for split in SPLITS:
        if not isinstance(plain.get(split, []), list):
            raise UserError(f"The setting '{name}' has '{split}' that is no list of groups; correct it.")
    groups = {split: tuple(_read_group(name, group) for group in plain.get(split, ())) for split in SPLITS}
    return Setting(tuple(crop) if crop else None, groups)


def _is_crop(crop: Any) -> bool:
    return (
        isinstance(crop, list) and len(crop) == 4 and all(type(value) is int and value >= 0 for value in crop)
        and min(crop[2:]) > 0
    )


def _read_group(name: str, group: Any) -> Group:
    refusal = UserError(
        f"The setting '{name}' has the group {group!r}; write [reference, target] or [reference, target, reference] "
        "with different dates as YYYY-MM-DD."
    )
    if not isinstance(group, list) or len(group) not in (2, 3):
        raise refusal
    try:
        first, target, *last = map(date.fromisoformat, group)
    except (TypeError, ValueError) as error:
        raise refusal from error
    if len({first, target, *last}) < len(group):
        raise refusal
    return Group(target, (first, *last))


#: The settings with a name, as a user would write them: what published comparisons cut out and learn from.
SETTINGS: Mapping[str, Setting] = {
    name: _checked(name, plain)
    for name, plain in json.loads(Path(__file__).with_name("settings.json").read_text(encoding="utf-8")).items()
}
