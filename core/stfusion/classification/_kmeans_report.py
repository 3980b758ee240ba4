"""The report of a K-means classification: one HTML file with the map, the spectra of the classes and the settings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from itertools import chain
from pathlib import Path

from stfusion import __version__
from stfusion.assessment._html import listed, number, picture, table, terms, write_page
from stfusion.assessment._picture import class_map, curve, spectra
from stfusion.classification._image import Image
from stfusion.classification._model import Class, Model
from stfusion.classification._paletted import pixel_area
from stfusion.classification._predict import Labels
from stfusion.run import Context

_SQUARE_METRES = 10_000.0


def write_report(
    context: Context, image: Image, model: Model, inertia: float, thinned: Labels, notes: Sequence[str], path: Path
) -> None:
    """Write the report on an image that was classified by a model.

    ``inertia`` is the within-class sum of squares of all pixels, ``thinned`` the map on a lattice of pixels.
    """
    area = pixel_area(image.grid)
    sections = (
        _overall(context, image, model, inertia, notes),
        _map(model, thinned),
        _classes(image, model, None if area is None else area / _SQUARE_METRES),
        _trials(context, model),
        _circumstances(context, image, model),
    )
    write_page(f"{context.method.title} of {image.title}", chain.from_iterable(sections), path)


def _overall(context: Context, image: Image, model: Model, inertia: float, notes: Sequence[str]) -> Iterator[str]:
    rows, columns = image.shape
    valid = sum(each.count for each in model.classes)
    yield f"<p>{len(model.classes)} classes of {len(image.names)} band(s); {valid:,} of {rows * columns:,} pixels "
    yield f"({columns:,} x {rows:,}) are valid. Within-class sum of squares, all pixels, standardised bands: "
    yield f"{inertia:.6g}.</p>"
    yield listed(notes)


def _map(model: Model, thinned: Labels) -> Iterator[str]:
    yield "<h2>Map</h2>"
    yield picture(class_map(thinned, model.colours), "Map of the classes")


def _classes(image: Image, model: Model, hectares: float | None) -> Iterator[str]:
    yield "<h2>Classes</h2>"
    found = [(each.label, each.colour, each.mean, each.std) for each in model.classes if each.mean and each.std]
    yield picture(
        spectra([(label, colour, mean, std) for label, colour, mean, std in found], image.names), "Class spectra"
    )
    yield '<p class="note">Mean of every class, and one standard deviation on either side; classes are numbered from '
    yield "dark to bright.</p>"
    heads = ("Class", "Pixels", "Share", *(() if hectares is None else ("Area (ha)",)), *image.names)
    yield '<div class="wide"><table><tr><th></th>'
    yield "".join(f'<th class="text">{head}</th>' if head == "Class" else f"<th>{escape(head)}</th>" for head in heads)
    yield "</tr>"
    for each in model.classes:
        yield f'<tr><td style="background-color: rgb{each.colour}; width: 1.5em"></td>{_cells(each, hectares)}</tr>'
    yield "</table></div>"
    yield '<p class="note">Means of the bands, in the unit of the image.</p>'


def _cells(each: Class, hectares: float | None) -> str:
    means = each.mean or [None] * len(each.centre)
    area = [] if hectares is None else [f"{each.count * hectares:,.6g}"]
    cells = [f"{each.count:,}", f"{each.share:.2%}", *area, *(number(mean, ".5g") for mean in means)]
    return f'<td class="text">{escape(each.label)}</td>' + "".join(f"<td>{cell}</td>" for cell in cells)


def _trials(context: Context, model: Model) -> Iterator[str]:
    if len(model.trials) < 2:
        return
    numbers = [trial.classes for trial in model.trials]
    chosen = len(model.classes)
    how = context.options.get("choice", "")
    yield "<h2>Number of classes</h2>"
    yield f"<p>{chosen} of {numbers[0]} to {numbers[-1]} classes were taken{f', by {how}' if how else ''}.</p>"
    yield picture(
        curve(
            numbers,
            {
                "Within-class sum of squares": [trial.inertia for trial in model.trials],
                "Silhouette": [trial.silhouette for trial in model.trials],
            },
            chosen,
            "Number of classes",
        ),
        "Sum of squares and silhouette of every number of classes tried",
    )
    yield table(
        ("Classes", "Within-class sum of squares", "Silhouette"),
        ((trial.classes, number(trial.inertia, ".6g"), number(trial.silhouette)) for trial in model.trials),
    )
    yield '<p class="note">Of the sampled pixels, standardised bands. The silhouette lies between -1 and 1; higher is '
    yield "better.</p>"


def _circumstances(context: Context, image: Image, model: Model) -> Iterator[str]:
    job = context.job
    layers = [path for given in job.inputs.values() for path in (given.path, *(given.more or ()))]
    masks = [given.mask for given in job.inputs.values() if given.mask]
    yield "<h2>Inputs and settings</h2>"
    yield terms({
        "Inputs": ", ".join([*layers, *masks]),
        "Bands": ", ".join(image.names),
        "Standardisation": model.scaling.kind,
        "Sampled pixels": f"{model.sampled:,}, within-class sum of squares {model.inertia:.6g}",
        "Options": ", ".join(f"{key} = {value}" for key, value in job.options.items() if value != ""),
        "Seed": model.seed,
        "Fitted by": model.engine,
        "Engine": f"stfusion {__version__}",
    })
