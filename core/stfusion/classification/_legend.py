"""Names and colours of classes: as a raster has them, and as a user gives them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path

from stfusion.classification._model import Class, Colour
from stfusion.classification._paletted import BLUE, GREEN, NAME, RED, VALUE, qualitative_colours
from stfusion.errors import UserError
from stfusion.raster.source import Source

#: In the file that GDAL keeps beside a raster: the names of categories, from that of 0; of the attribute table, what a
#: column is used for, the rows, and their cells.
_CATEGORY, _USAGE, _ROW, _CELL = (
    re.compile(pattern, re.DOTALL)
    for pattern in (
        r"<Category\s*/>|<Category>(.*?)</Category>", r"<Usage\b[^>]*>\s*(\d+)\s*</Usage>", r"<Row\b[^>]*>(.*?)</Row>",
        r"<F\s*/>|<F>(.*?)</F>",
    )
)


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
    """The legend that a raster of classes carries: its colour table, and names and table in ``<raster>.aux.xml``."""
    beside = Path(f"{source.path}.aux.xml")
    text = beside.read_text(encoding="utf-8", errors="replace") if beside.is_file() else ""
    band, _, _ = text.partition("</PAMRasterBand>")
    found = ((value, unescape(match[1] or "").strip()) for value, match in enumerate(_CATEGORY.finditer(band)))
    names = {value: name for value, name in found if name and value != source.nodata}
    return _read_rows(band) | Legend(names, source.colours)


def _read_rows(text: str) -> Legend:
    """Names and colours in the rows of an attribute table, where it has columns for values and for these."""
    usages = [int(usage) for usage in _USAGE.findall(text)]
    names: dict[int, str] = {}
    colours: dict[int, Colour] = {}
    for row in _ROW.finditer(text):
        cells = [unescape(cell[1] or "").strip() for cell in _CELL.finditer(row[1])]
        of = dict(zip(usages, cells, strict=False))
        value, *colour = (_whole(of.get(usage, "")) for usage in (VALUE, RED, GREEN, BLUE))
        if value is None:
            continue
        if of.get(NAME):
            names[value] = of[NAME]
        red, green, blue = colour
        if red is not None and green is not None and blue is not None:
            colours[value] = (red, green, blue)
    return Legend(names, colours)


def _whole(text: str) -> int | None:
    """The whole number that a cell holds, which other programs may write as 1.0."""
    return int(float(text)) if re.fullmatch(r"-?\d+(\.0*)?", text) else None


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
