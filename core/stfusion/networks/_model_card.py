"""The model card of a checkpoint for people: Markdown from the plain values of the card."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from stfusion.networks._shared import SCENE_TAUGHT, SHARPENING

_GRIDS = {"gis": "its own", "toolbox": "half a panchromatic pixel down and to the right"}


def markdown(card: Mapping[str, Any]) -> str:
    """The card, as :meth:`stfusion.networks._checkpoint.Card.to_json` has it, in Markdown."""
    return "\n".join(_lines(card)) + "\n"


def _lines(card: Mapping[str, Any]) -> Iterator[str]:
    form = card["form"]
    yield f"# {card['title'] or card['network']}"
    yield ""
    yield f"A network `{card['network']}` with {card['parameters']:,} parameters, of the size '{form['size']}'."
    yield ""
    yield f"* Bands: {_bands(card)}"
    if card["network"] in (*SHARPENING, *SCENE_TAUGHT):
        yield f"* Gives: {'the sharpened image' if form['target'] == 'image' else 'the details to be added'}"
        yield f"* Ratio of multispectral to panchromatic pixel size: {_ratio(card['ratio'])}"
        yield f"* Place of the interpolated image: {_GRIDS[card['grid']]}"
    else:
        yield f"* Pairs of reference: {form['pairs']}"
        yield f"* Gives: {_target(form)}"
        yield f"* Ratio of coarse to fine pixel size: {_ratio(card['ratio'])}"
    yield f"* Normalisation: {_normalisation(card['normalisation'])}"
    if card["licence"]:
        yield f"* Licence: {card['licence']}"
    yield from _section("Figures on validation", _table(card["figures"], card["network"]))
    yield from _section("Data", _items(card["data"]))
    yield from _section("Training", _items(card["training"]))
    yield from _section("Limits", (f"* {limit}" for limit in card["limits"]))


def _bands(card: Mapping[str, Any]) -> str:
    if card["form"]["bands"] == 1 and card["normalisation"]["kind"] == "scene":
        return "any number, one at a time"
    names = f" ({', '.join(card['bands'])})" if card["bands"] else ""
    return f"{card['form']['bands']}{names}"


def _target(form: Mapping[str, Any]) -> str:
    return "the fine image" if form["target"] == "image" else "what fine image plus coarse change lack"


def _ratio(ratio: tuple[float, float]) -> str:
    low, high = ratio
    return "unknown" if high == 0 else f"{low:g}" if low == high else f"{low:g} to {high:g}"


def _normalisation(scaling: Mapping[str, Any]) -> str:
    if scaling["kind"] == "scene":
        return "from the values of each scene"
    pairs = zip(scaling["offset"], scaling["scale"], strict=True)
    return ", ".join(f"(value - {offset:g}) / {scale:g}" for offset, scale in pairs)


def _section(title: str, lines: Iterator[str]) -> Iterator[str]:
    found = list(lines)
    if found:
        yield from ("", f"## {title}", "", *found)


def _table(figures: Mapping[str, Mapping[str, float]], network: str) -> Iterator[str]:
    if figures:
        names = list(next(iter(figures.values())))
        yield f"| | {' | '.join(names)} |"
        yield f"|---|{'---|' * len(names)}"
    for method, values in figures.items():
        mark = "**" if method == network else ""
        yield f"| {mark}{method}{mark} | {' | '.join(f'{value:.4g}' for value in values.values())} |"


def _items(values: Mapping[str, Any], depth: int = 0) -> Iterator[str]:
    for key, value in values.items():
        indent = "  " * depth
        if isinstance(value, Mapping):
            yield f"{indent}* {key}:"
            yield from _items(value, depth + 1)
        elif isinstance(value, list | tuple):
            yield f"{indent}* {key}: {', '.join(map(str, value))}"
        else:
            yield f"{indent}* {key}: {value}"
