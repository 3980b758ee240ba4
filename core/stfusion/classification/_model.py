"""The model file: what a K-means classification found, as JSON that another image can be classified with."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any, TypeVar, get_args

import numpy as np

from stfusion import __version__
from stfusion.classification._fit import MOST_CLASSES, Fit, Scaling, Standardisation, Trial
from stfusion.classification._image import Floats, Image
from stfusion.classification._predict import Spectra
from stfusion.classification._sample import Sample
from stfusion.errors import UserError

Colour = tuple[int, int, int]
Numbers = tuple[float, ...]
T = TypeVar("T")

KIND, VERSION = "stfusion k-means model", 1


@dataclass(frozen=True)
class Class:
    """One class: its number in the raster (from 1, dark to bright), name, colour (0..255), and what it is made of.

    ``count`` pixels are ``share`` (0..1) of all valid ones; ``centre``, and ``mean`` and ``std`` of these pixels, are
    per band in the image's unit. A class without pixels has neither mean nor standard deviation.
    """

    id: int
    label: str
    colour: Colour
    count: int
    share: float
    centre: Numbers
    mean: Numbers | None
    std: Numbers | None


@dataclass(frozen=True)
class Model:
    """All that is needed to give another image the same classes, and where it comes from.

    ``inertia`` is the within-class sum of squares of the ``sampled`` pixels that were fitted, in the scaled unit, and
    ``fingerprint`` the SHA-256 of the fitted image's grid, bands and sampled pixels.
    """

    bands: tuple[str, ...]
    scaling: Scaling
    classes: tuple[Class, ...]
    inertia: float
    sampled: int
    seed: int
    engine: str
    fingerprint: str
    trials: tuple[Trial, ...]

    @classmethod
    def of(cls, image: Image, sample: Sample, fitted: Fit, seed: int, colours: Sequence[Colour]) -> Model:
        """The model of a fit, whose classes are not counted yet."""
        return cls(
            bands=tuple(image.names),
            scaling=fitted.scaling,
            classes=tuple(
                Class(number, f"Class {number}", colour, 0, 0.0, tuple(centre.tolist()), None, None)
                for number, (centre, colour) in enumerate(zip(fitted.centres, colours, strict=True), 1)
            ),
            inertia=fitted.inertia,
            sampled=len(sample.pixels),
            seed=seed,
            engine=f"stfusion {__version__}",
            fingerprint=_fingerprint(image, sample),
            trials=fitted.trials,
        )

    @property
    def centres(self) -> Floats:
        """Centres (classes, bands) in the image's unit."""
        return np.array([each.centre for each in self.classes])

    @property
    def colours(self) -> dict[int, Colour]:
        """The colours by class number."""
        return {each.id: each.colour for each in self.classes}

    def counted(self, spectra: Spectra) -> Model:
        """The same classes with the counts and spectra of a classified image."""
        total = max(1, int(spectra.counts.sum()))
        return replace(self, classes=tuple(
            replace(
                each, count=int(count), share=int(count) / total,
                mean=tuple(mean.tolist()) if count else None, std=tuple(std.tolist()) if count else None,
            )
            for each, count, mean, std in zip(self.classes, spectra.counts, spectra.mean, spectra.std, strict=True)
        ))

    def check(self, image: Image) -> str | None:
        """A warning where the bands of an image have other names than those that were fitted.

        Raises
        ------
        UserError
            The image has another number of bands.
        """
        if len(image.names) != len(self.bands):
            raise UserError(
                f"{image.title} has {len(image.names)} bands and the model has {len(self.bands)} "
                f"({', '.join(self.bands)}); choose the same bands in the same order."
            )
        if tuple(image.names) != self.bands:
            return (
                f"The bands of {image.title} ({', '.join(image.names)}) are named otherwise than those of the model "
                f"({', '.join(self.bands)}); they are taken in this order."
            )
        return None

    def to_json(self) -> str:
        """The text of the model file."""
        plain = {
            "kind": KIND, "version": VERSION, "engine": self.engine, "seed": self.seed,
            "fingerprint": self.fingerprint, "sampled": self.sampled, "inertia": self.inertia,
            "bands": self.bands,
            "scaling": {
                "kind": self.scaling.kind, "offset": self.scaling.offset.tolist(), "scale": self.scaling.scale.tolist()
            },
            "trials": [vars(trial) for trial in self.trials],
            "classes": [{**vars(each), "colour": "#{:02x}{:02x}{:02x}".format(*each.colour)} for each in self.classes],
        }
        return json.dumps(plain, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _fingerprint(image: Image, sample: Sample) -> str:
    digest = hashlib.sha256(repr((image.shape, image.grid.affine, str(image.grid.crs), image.names)).encode())
    digest.update(np.ascontiguousarray(sample.pixels).tobytes())
    return digest.hexdigest()


def load(path: str | Path) -> Model:
    """Read and check a model file.

    Raises
    ------
    UserError
        The file is missing, is no model or one of another version, or an entry is missing, unknown or impossible.
    """
    name = PurePath(path).name
    try:
        plain = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(
            f"The model '{path}' cannot be read ({error.strerror}); choose the model file of a K-means classification."
        ) from error
    except ValueError as error:
        raise UserError(
            f"The model '{name}' is not valid JSON ({error}); choose the model file of a K-means classification."
        ) from error
    if not isinstance(plain, dict) or plain.get("kind") != KIND:
        raise UserError(f"'{name}' is not a K-means model; choose the model file of a K-means classification.")
    if plain.get("version") != VERSION:
        raise UserError(
            f"The model '{name}' has version {plain.get('version')!r} and this engine reads version {VERSION}; "
            "fit the model again with this version of STF."
        )
    return _model(_Entries(f"The model '{name}'", plain))


def _model(entries: _Entries) -> Model:
    entries.only("kind", "version", "engine", "seed", "fingerprint", "sampled", "inertia", "bands", "scaling",
                 "trials", "classes")
    bands = entries.get("bands", "a list of names", _texts)
    size = len(bands)
    scaled = entries.inner("scaling")
    scaled.only("kind", "offset", "scale")
    classes = entries.several("classes")
    if not 1 <= len(classes) <= MOST_CLASSES:
        raise entries.wrong("classes", f"a list of 1 to {MOST_CLASSES} classes")
    return Model(
        bands=bands,
        scaling=Scaling(
            scaled.get("kind", "a kind of standardisation", lambda v: v if v in get_args(Standardisation) else None),
            np.array(scaled.get("offset", f"{size} numbers", lambda v: _numbers(v, size))),
            np.array(scaled.get("scale", f"{size} numbers above 0", lambda v: _positive(_numbers(v, size)))),
        ),
        classes=tuple(_class(each, number, size) for number, each in enumerate(classes, 1)),
        inertia=entries.get("inertia", "a number of at least 0", _amount),
        sampled=entries.get("sampled", "a whole number", _whole),
        seed=entries.get("seed", "a whole number", _whole),
        engine=entries.get("engine", "a text", _text),
        fingerprint=entries.get("fingerprint", "a text", _text),
        trials=tuple(_trial(each) for each in entries.several("trials")),
    )


def _class(entries: _Entries, number: int, size: int) -> Class:
    entries.only("id", "label", "colour", "count", "share", "centre", "mean", "std")
    count = entries.get("count", "a whole number", _whole)

    def spectrum(name: str) -> Numbers | None:
        if count == 0 and entries.plain.get(name, ...) is None:
            return None
        return entries.get(name, f"{size} numbers", lambda v: _numbers(v, size))

    return Class(
        id=entries.get("id", f"{number}, since classes are numbered in order", lambda v: v if v == number else None),
        label=entries.get("label", "a text", _text),
        colour=entries.get("colour", "a colour such as #1f77b4", _colour),
        count=count,
        share=entries.get("share", "a number of at least 0", _amount),
        centre=entries.get("centre", f"{size} numbers", lambda v: _numbers(v, size)),
        mean=spectrum("mean"),
        std=spectrum("std"),
    )


def _trial(entries: _Entries) -> Trial:
    entries.only("classes", "inertia", "silhouette")
    silhouette = None
    if entries.plain.get("silhouette", ...) is not None:
        silhouette = entries.get("silhouette", "a number or null", _number)
    return Trial(
        entries.get("classes", "a whole number", _whole),
        entries.get("inertia", "a number of at least 0", _amount),
        silhouette,
    )


@dataclass(frozen=True)
class _Entries:
    """The entries of a JSON object, and what it is called in a sentence."""

    title: str
    plain: Mapping[str, Any]

    def wrong(self, name: str, wanted: str) -> UserError:
        found = f"is {json.dumps(self.plain[name])[:60]}" if name in self.plain else "is missing"
        return UserError(f"{self.title} is damaged: its '{name}' {found} and has to be {wanted}; fit the model again.")

    def only(self, *known: str) -> None:
        unknown = sorted(set(self.plain) - set(known))
        if unknown:
            raise UserError(f"{self.title} has the unknown entry '{unknown[0]}'; fit the model again.")

    def get(self, name: str, wanted: str, read: Callable[[Any], T | None]) -> T:
        """The value that ``read`` makes of an entry, which it refuses by None."""
        value = read(self.plain.get(name))
        if value is None:
            raise self.wrong(name, wanted)
        return value

    def inner(self, name: str) -> _Entries:
        value = self.plain.get(name)
        if not isinstance(value, dict):
            raise self.wrong(name, "an object")
        return _Entries(f"{self.title} ({name})", value)

    def several(self, name: str) -> list[_Entries]:
        values = self.plain.get(name)
        if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
            raise self.wrong(name, "a list of objects")
        return [_Entries(f"{self.title} ({name}, {number})", value) for number, value in enumerate(values, 1)]


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _texts(value: Any) -> tuple[str, ...] | None:
    return tuple(value) if isinstance(value, list) and value and all(isinstance(v, str) for v in value) else None


def _whole(value: Any) -> int | None:
    return value if type(value) is int and value >= 0 else None


def _number(value: Any) -> float | None:
    return float(value) if type(value) in (int, float) and math.isfinite(value) else None


def _amount(value: Any) -> float | None:
    number = _number(value)
    return number if number is not None and number >= 0 else None


def _numbers(value: Any, size: int) -> Numbers | None:
    if not isinstance(value, list) or len(value) != size:
        return None
    found = tuple(number for number in map(_number, value) if number is not None)
    return found if len(found) == size else None


def _positive(numbers: Numbers | None) -> Numbers | None:
    return numbers if numbers is not None and min(numbers) > 0 else None


def _colour(value: Any) -> Colour | None:
    if not isinstance(value, str) or not re.fullmatch(r"#[0-9a-fA-F]{6}", value):
        return None
    return int(value[1:3], 16), int(value[3:5], 16), int(value[5:7], 16)
