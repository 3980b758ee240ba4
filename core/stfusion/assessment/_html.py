"""Pieces of reports: a page of HTML that needs no other file, its lists, numbers and pictures."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from typing import Any

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #222; max-width: 1350px; margin: 2em auto; padding: 0 1em }
h1 { font-size: 1.6em }
h2 { font-size: 1.25em; margin-top: 2em; border-bottom: 1px solid #ccc }
h3 { font-size: 1.05em }
table { border-collapse: collapse; font-variant-numeric: tabular-nums } .wide { overflow-x: auto }
th, td { padding: .25em .4em; text-align: right; border-bottom: 1px solid #e4e4e4 }
th { border-bottom: 2px solid #888; vertical-align: bottom }
td.text, th.text { text-align: left }
table.ranking { font-size: 13px }
td { white-space: nowrap }
tr.baseline td { background: #f3f3f3; font-style: italic }
td.best { font-weight: bold } img { max-width: 100%; height: auto; display: block }
dt { font-weight: bold } dd { margin: 0 0 .5em 1.5em } .note { color: #555; font-size: .92em }
"""


def write_page(title: str, parts: Iterable[str], path: Path) -> None:
    """Write a page of HTML with a title (plain text) and parts of its body."""
    title = escape(title)
    head = f'<meta charset="utf-8" /><title>{title}</title><style>{_STYLE}</style>'
    body = "\n".join(parts)
    page = f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head><body>\n<h1>{title}</h1>\n{body}\n</body></html>\n'
    path.write_text(page, encoding="utf-8")


def listed(items: Iterable[str]) -> str:
    """A list of sentences; nothing where there are none."""
    points = "".join(f"<li>{escape(item)}</li>" for item in items)
    return f"<ul>{points}</ul>" if points else ""


def terms(pairs: Mapping[str, Any]) -> str:
    """A list of terms and what is said of them."""
    items = (f"<dt>{escape(term)}</dt><dd>{escape(str(text))}</dd>" for term, text in pairs.items())
    return f"<dl>{''.join(items)}</dl>"


def table(heads: Iterable[str], lines: Iterable[Iterable[object]], words: int = 1) -> str:
    """A table of plain cells, the first ``words`` columns to the left and the others, numbers, to the right."""

    def row(tag: str, cells: Iterable[object]) -> str:
        kinds = ((' class="text"' if column < words else "", cell) for column, cell in enumerate(cells))
        return "<tr>" + "".join(f"<{tag}{kind}>{escape(str(cell))}</{tag}>" for kind, cell in kinds) + "</tr>"

    body = "".join(row("td", line) for line in lines)
    return f'<div class="wide"><table>{row("th", heads)}{body}</table></div>'


def picture(data: bytes, text: str, kind: str = "png") -> str:
    """A picture that the page holds, such as one of kind "png" or "svg+xml", with what it shows in words."""
    return f'<img alt="{escape(text)}" src="data:image/{kind};base64,{b64encode(data).decode("ascii")}" />'


def number(value: float | None, form: str = ".4g") -> str:
    """A number, or a dash where it is unknown."""
    return "-" if value is None else f"{value:{form}}"
