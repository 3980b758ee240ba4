"""Names and colours of classes: as a raster has them, and as a user gives them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path

from stfusion.classification._model import Class, Colour
from stfusion.classification._paletted import qualitative_colours
from stfusion.errors import UserError
from stfusion.raster.source import Source

#: The names of categories, from that of 0, in the file that GDAL keeps beside a raster.
_CATEGORY = re.compile(r"<Category\s*/>|<Category>(.*?)</Category>", re.DOTALL)


@dataclass(frozen=True)
class Legend:
    """Names and colours of classes by their numbers; either may lack some of the classes."""

    names: Mapping[int, str] = field(default_factory=dict)
    colours: Mapping[int, Colour] = field(default_factory=dict)

    def __or__(self, other: Legend) -> Legend:
        """Both; where both know a class, the other one's word counts."""
        return Legend({**self.names, **other.names}, {**self.colours, **other.colours})

    def classes(self, counts: Mapping[int, int]) -> tuple[Class, ...]:
        """These classes with their pixels, ascending; a name is the number and a colour is chosen where none is known.

        Where a colour has to be chosen, all are, so that no two are alike.
        """
        labels, total = sorted(counts), max(1, sum(counts.values()))
        chosen = dict(zip(labels, qualitative_colours(len(labels)), strict=True))
        colours = self.colours if all(label in self.colours for label in labels) else chosen
        return tuple(
            Class(
                label, self.names.get(label, str(label)), colours[label], counts[label], counts[label] / total, (),
                None, None,
            )
            for label in labels
        )


def read_legend(source: Source) -> Legend:
    """The legend that a raster of classes carries: its colour table, and the names in ``<raster>.aux.xml``."""
    beside = Path(f"{source.path}.aux.xml")
    text = beside.read_text(encoding="utf-8", errors="replace") if beside.is_file() else ""
    found = ((value, unescape(match[1] or "").strip()) for value, match in enumerate(_CATEGORY.finditer(text)))
    return Legend({value: name for value, name in found if name and value != source.nodata}, source.colours)


def read_pairs(title: str, text: str) -> dict[int, str]:
    """What a user writes as ``1=forest, 2=grass``: a word for every number of a class.

    Raises
    ------
    UserError
        A part of it is not of this form, or a class has two words.
    """
    pairs: dict[int, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        label, equals, word = (piece.strip() for piece in part.partition("="))
        if not equals or not word or not re.fullmatch(r"-?\d+", label):
            raise UserError(f"'{title}' has the part '{part}'; write 'number=word, number=word', such as 1=a, 2=b.")
        if int(label) in pairs:
            raise UserError(f"'{title}' gives class {label} twice; give it once.")
        pairs[int(label)] = word
    return pairs


def called(labels: Iterable[int], names: Mapping[int, str]) -> str:
    """Classes in words, such as "1 (forest), 7"."""
    return ", ".join(f"{label} ({names[label]})" if label in names else str(label) for label in labels)
