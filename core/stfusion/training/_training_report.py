"""The report of a training in one file: figures beside the baselines, curves, pictures of samples, data, settings."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from stfusion import __version__
from stfusion.assessment._html import listed, number, picture, table, terms, write_page
from stfusion.assessment._picture import Look, Panel, curve, default_bands, maps
from stfusion.raster.source import Array
from stfusion.run import Context
from stfusion.training._progress import Progress, Record
from stfusion.training._validation import FIGURES, Held, Shown

_ERROR = "Absolute error (normalised)"


@dataclass(frozen=True)
class Facts:
    """What does not change while a network is trained.

    ``network`` are terms on the network, ``data`` those on its data; ``compared`` the figures of the other methods.
    """

    title: str
    network: Mapping[str, Any]
    data: Mapping[str, Any]
    settings: Mapping[str, Any]
    compared: Mapping[str, Mapping[str, float]]


def write_report(
    context: Context, facts: Facts, progress: Progress, pictures: Sequence[tuple[Shown, Array]], notes: Sequence[str],
    path: Path,
) -> None:
    """Write the report as far as the training is.

    ``pictures`` are samples with the latest predictions of them.
    """
    own = progress.best_record
    sections = (
        _overall(progress, own, notes), _figures(facts, progress, own), _curves(progress), _samples(pictures),
        _circumstances(context, facts),
    )
    part = path.with_name(f"{path.name}.part")
    write_page(facts.title, chain.from_iterable(sections), part)
    os.replace(part, path)


def _overall(progress: Progress, own: Record | None, notes: Sequence[str]) -> Iterator[str]:
    last = progress.records[-1] if progress.records else None
    state = f"The training has ended: {progress.ended}." if progress.ended else "The training goes on."
    yield f"<p>{progress.epoch} of {progress.ends[-1]} epochs are done, in {progress.seconds / 60:.0f} minutes. {state}"
    if own is not None:
        yield f" The checkpoint is that of epoch {own.epoch}."
    elif last is not None:
        yield f" There is no checkpoint yet, since the stage '{last.stage}' does not predict images."
    yield "</p>"
    yield listed(notes)


def _figures(facts: Facts, progress: Progress, own: Record | None) -> Iterator[str]:
    yield "<h2>Figures on validation</h2>"
    lines = {name: dict(values) for name, values in facts.compared.items()}
    if progress.records and progress.records[0].epoch == 0:
        lines["start of the training"] = of_record(progress.records[0])
    if own is not None:
        lines["this network"] = of_record(own)
    ranked = sorted(lines.items(), key=lambda line: line[1].get("RMSE normalised") or np.inf)
    shown = [key for key in FIGURES if any(math.isfinite(values.get(key, math.nan)) for values in lines.values())]
    yield table(("", *shown), ((name, *(number(values.get(key)) for key in shown)) for name, values in ranked))
    yield '<p class="note">Means over the samples that are not learnt from, of the mean of the bands, all on the same '
    yield "valid pixels. RMSE is in the unit of the data, and in units of the range that images are normalised by. "
    yield "SSIM has the range of the true band in the sample. The other methods were given the same images.</p>"


def of_record(record: Record) -> dict[str, float]:
    """The figures of an epoch by name."""
    found = zip(
        FIGURES, (record.rmse, record.rmse_normalised, record.ssim, record.sam, record.ergas), strict=True
    )
    return {name: value for name, value in found if value is not None}


def _curves(progress: Progress) -> Iterator[str]:
    records = progress.records
    if not records:
        return
    epochs = [record.epoch for record in records]
    names = list(dict.fromkeys(name for record in records for name in record.losses))
    found: dict[str, list[float | None]] = {
        "RMSE normalised (validation)": [record.rmse_normalised for record in records],
        "SSIM (validation)": [record.ssim for record in records],
        "ERGAS (validation)": [record.ergas for record in records],
        "SAM (validation)": [record.sam for record in records],
        "Loss (validation)": [record.loss for record in records],
    }
    lines = {name: values for name, values in found.items() if any(value is not None for value in values)}
    losses = {f"{name} (training)": [record.losses.get(name) for record in records] for name in names}
    yield "<h2>Curves</h2>"
    for shown in (lines, losses):
        titles = list(shown)
        for first in range(0, len(titles), 3):
            some = {title: shown[title] for title in titles[first : first + 3]}
            yield picture(curve(epochs, some, progress.best_epoch, "Epoch"), ", ".join(some))
    yield f'<p class="note">The line marks the best epoch, {progress.best_epoch}.</p>' if progress.best_epoch else ""


def _samples(pictures: Sequence[tuple[Shown, Array]]) -> Iterator[str]:
    if not pictures:
        return
    yield "<h2>Samples of validation</h2>"
    for held, prediction in pictures:
        error = np.abs(prediction - held.truth)
        panels = [Panel(title, _masked(image, held)) for title, image in held.pictures(prediction).items()]
        error = _masked(error, held)
        look = Look.of([panel.image for panel in panels], [error], default_bands(len(error)), _ERROR)
        yield picture(maps(panels, look, Panel("Error", error)), "Images of a sample of validation")


def _masked(image: Array, held: Held) -> Array:
    return np.where(held.valid, image, np.float32(np.nan))


def _circumstances(context: Context, facts: Facts) -> Iterator[str]:
    yield "<h2>Network, data and settings</h2>"
    layers = [path for given in context.job.inputs.values() for path in (given.path, *(given.more or ()))]
    yield terms({
        **facts.network, **facts.data, **facts.settings,
        "Inputs": ", ".join(layers), "Engine": f"stfusion {__version__}",
    })
