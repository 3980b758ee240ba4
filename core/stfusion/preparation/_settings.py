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


@dataclass(frozen=True)
class Setting:
    """``crop`` is the part of the scene (top, left, rows, columns; None: all), ``groups`` are given by their split.

    Without groups for training they are made of dates that follow one another; the targets of the other splits are
    then in none of them.
    """

    crop: tuple[int, int, int, int] | None = None
    groups: Mapping[str, tuple[Group, ...]] = field(default_factory=dict)

    def complete(self, days: Iterable[date], references: int) -> dict[str, tuple[Group, ...]]:
        """The groups of every split, for images of these dates and so many references of a target."""
        held_out = {group.target for split in SPLITS[1:] for group in self.groups.get(split, ())}
        found = {split: self.groups.get(split, ()) for split in SPLITS}
        if not found["training"]:
            found["training"] = _consecutive(sorted(set(days) - held_out), references)
        return found


def _consecutive(days: Sequence[date], references: int) -> tuple[Group, ...]:
    """Each date from the one before it, or from those before and after it."""
    if references == 1:
        return tuple(Group(target, (before,)) for before, target in pairwise(days))
    triples = zip(days, days[1:], days[2:], strict=False)
    return tuple(Group(target, (before, after)) for before, target, after in triples)


def _group(*days: str) -> Group:
    """A group of ISO dates: a reference, the target, and perhaps another reference."""
    first, target, *last = map(date.fromisoformat, days)
    return Group(target, (first, *last))


#: The settings with a name. Of the Coleambally (CIA) and Lower Gwydir (LGC) irrigation areas, the part without borders
#: and the dates that published comparisons hold out; training never sees these.
SETTINGS: Mapping[str, Setting] = {
    "all": Setting(),
    "cia": Setting(
        (20, 106, 1792, 1280),
        {"validation": (
            _group("2001-11-02", "2001-11-09", "2001-11-25"), _group("2002-02-22", "2002-03-10", "2002-03-17"),
            _group("2002-02-22", "2002-03-17", "2002-04-18"), _group("2002-04-11", "2002-04-18", "2002-04-27"),
        )},
    ),
    "lgc": Setting(
        (40, 32, 2560, 3072), {"validation": (_group("2004-12-28", "2005-01-13", "2005-01-29"),)},
    ),
}


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
        found = _group(*group)
    except (TypeError, ValueError) as error:
        raise refusal from error
    if len(set(found.days)) < len(group):
        raise refusal
    return found
