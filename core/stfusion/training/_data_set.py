"""The data set file: places with their images by date, in JSON (docs/training-data.md describes every key)."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from datetime import date
from pathlib import Path
from typing import Any, get_args

from stfusion.errors import UserError
from stfusion.job import Input, values_of
from stfusion.training._places import Dates, PlaceFiles, Sensor, Split

SCHEMA = 1
_TOP = {"schema", "name", "description", "places"}
_PLACE = {
    "name", "split", "fine", "coarse", "fine_masks", "coarse_masks", "fine_clear", "coarse_clear", "fine_bands",
    "coarse_bands", "fine_scale", "coarse_scale", "ratio", "groups", "held_out",
}


def load_data_set(path: str | Path) -> list[PlaceFiles]:
    """The places of a data set file; relative paths in it are relative to its folder.

    Raises
    ------
    UserError
        The file is missing, is not JSON, or an entry is unknown, missing or of the wrong kind.
    """
    file = Path(path)
    try:
        plain = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(
            f"The data set '{path}' cannot be read ({error.strerror}); choose an existing data set file."
        ) from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"The data set '{file.name}' is not valid JSON ({error}); correct it.") from error
    return _Reader(file.name, file.resolve().parent).places(plain)


class _Reader:
    """Reads what the file holds; every fault is one sentence that names the file and the place."""

    def __init__(self, name: str, folder: Path) -> None:
        self._name, self._folder = name, folder

    def _refuse(self, what: str) -> UserError:
        return UserError(f"The data set '{self._name}' {what}.")

    def _known(self, where: str, given: Mapping[str, Any], known: set[str]) -> None:
        unknown = sorted(set(given) - known)
        if unknown:
            raise self._refuse(
                f"has the unknown entry '{unknown[0]}' in {where}; it may have: {', '.join(sorted(known))}"
            )

    def places(self, plain: object) -> list[PlaceFiles]:
        if not isinstance(plain, dict):
            raise self._refuse("is not a JSON object; write one with 'schema' and 'places'")
        self._known("it", plain, _TOP)
        if plain.get("schema") != SCHEMA:
            raise self._refuse(f"has schema {plain.get('schema')!r} and this engine reads schema {SCHEMA}")
        given = plain.get("places")
        if not isinstance(given, list) or not given or not all(isinstance(place, dict) for place in given):
            raise self._refuse("has no places; write them as a list of objects in 'places'")
        places = [self._place(number, place) for number, place in enumerate(given, 1)]
        names = [place.name for place in places]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise self._refuse(f"has the place '{twice[0]}' twice; give every place a name of its own")
        return places

    def _place(self, number: int, given: Mapping[str, Any]) -> PlaceFiles:
        name = given.get("name")
        if not isinstance(name, str) or not name.strip():
            raise self._refuse(f"has no name for place {number}; write it in 'name'")
        where = f"place '{name}'"
        self._known(where, given, _PLACE)
        split = given.get("split")
        if split is not None and split not in get_args(Split):
            raise self._refuse(f"has the split {split!r} in {where}; write 'training' or 'validation', or leave it out")
        fine = self._images(where, "fine", given)
        if not fine:
            raise self._refuse(f"has no fine images in {where}; write them by date in 'fine'")
        coarse = self._images(where, "coarse", given)
        days = set(fine) & set(coarse or fine)
        return PlaceFiles(
            name=name,
            fine=fine,
            coarse=coarse,
            groups=self._groups(where, "groups", given, days) if "groups" in given else None,
            held_out=self._groups(where, "held_out", given, days),
            split=split,
            ratio=self._ratio(where, given.get("ratio")),
            scales={sensor: self._scale(where, f"{sensor}_scale", given) for sensor in get_args(Sensor)},
        )

    def _images(self, where: str, sensor: Sensor, given: Mapping[str, Any]) -> dict[date, Input]:
        paths, masks = self._paths(where, sensor, given), self._paths(where, f"{sensor}_masks", given)
        bands = self._bands(where, f"{sensor}_bands", given)
        clear = self._clear(where, f"{sensor}_clear", given)
        alone = sorted(set(masks) - set(paths))
        if alone:
            raise self._refuse(f"has a mask of {alone[0]} and no {sensor} image of that date in {where}")
        return {
            day: Input(path, bands=bands, date=day.isoformat(), mask=masks.get(day), clear=clear)
            for day, path in paths.items()
        }

    def _paths(self, where: str, key: str, given: Mapping[str, Any]) -> dict[date, str]:
        entries = given.get(key, {})
        if not isinstance(entries, dict):
            raise self._refuse(f"has '{key}' in {where} that is no object of paths by date")
        found: dict[date, str] = {}
        for text, path in entries.items():
            day = self._date(where, key, text)
            if not isinstance(path, str) or not path:
                raise self._refuse(f"has {path!r} for {text} in '{key}' of {where}; write the path of a raster file")
            if day in found:
                raise self._refuse(f"has two entries of {day} in '{key}' of {where}; leave one of them out")
            found[day] = self._resolve(path)
        return found

    def _groups(
        self, where: str, key: str, given: Mapping[str, Any], known: Collection[date]
    ) -> tuple[Dates, ...]:
        groups = given.get(key, [])
        if not isinstance(groups, list) or not all(_is_group(group) for group in groups):
            raise self._refuse(
                f"has '{key}' in {where} that is no list of [reference, target] or [reference, target, reference]"
            )
        found = []
        for group in groups:
            days = [self._date(where, key, str(text)) for text in group]
            alone = [day for day in days if day not in known]
            if alone or len(set(days)) < len(days):
                fault = f"{alone[0]}, of which images are missing" if alone else "a date twice"
                raise self._refuse(f"has a group with {fault}, in '{key}' of {where}")
            found.append(Dates(tuple(sorted((days[0], *days[2:]))), days[1]))
        return tuple(found)

    def _date(self, where: str, key: str, text: str) -> date:
        try:
            return date.fromisoformat(text)
        except ValueError as error:
            raise self._refuse(f"has the date {text!r} in '{key}' of {where}; write it as YYYY-MM-DD") from error

    def _resolve(self, path: str) -> str:
        virtual = path.startswith("/vsi") or "://" in path
        return path if virtual or Path(path).is_absolute() else str(self._folder / path)

    def _bands(self, where: str, key: str, given: Mapping[str, Any]) -> tuple[int, ...] | None:
        bands = given.get(key)
        if bands is None:
            return None
        if not isinstance(bands, list) or not bands or not all(type(band) is int and band >= 1 for band in bands):
            raise self._refuse(f"has {bands!r} in '{key}' of {where}; write a list of band numbers from 1")
        return tuple(bands)

    def _clear(self, where: str, key: str, given: Mapping[str, Any]) -> str:
        clear = given.get(key, "0")
        try:
            values_of(clear)
        except ValueError as error:
            raise self._refuse(f'has {clear!r} in \'{key}\' of {where}; write whole numbers such as "0,1"') from error
        return str(clear)

    def _scale(self, where: str, key: str, given: Mapping[str, Any]) -> float:
        scale = given.get(key, 1.0)
        if not _is_number(scale) or scale <= 0:
            raise self._refuse(f"has {scale!r} in '{key}' of {where}; write a number above 0")
        return float(scale)

    def _ratio(self, where: str, value: object) -> tuple[float, float] | None:
        if value is None:
            return None
        ends: list[Any] = value if isinstance(value, list) else [value, value]
        if len(ends) != 2 or not all(_is_number(end) and end > 1 for end in ends) or ends[0] > ends[1]:
            raise self._refuse(
                f"has the ratio {value!r} in {where}; write a number above 1, or a list of the least and the largest"
            )
        return float(ends[0]), float(ends[1])


def _is_group(value: Any) -> bool:
    return isinstance(value, list) and len(value) in (2, 3)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
