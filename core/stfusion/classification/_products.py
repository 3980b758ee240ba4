"""What a classification leaves: the map with its colours, style and table, its certainty, the model and the report."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np

from stfusion.assessment._thinned import Thinned
from stfusion.classification._image import Image
from stfusion.classification._model import Model
from stfusion.classification._paletted import pixel_area, style, table
from stfusion.classification._predict import Classified, Labels, Spectra, classify
from stfusion.errors import UserError
from stfusion.folder import whole_file
from stfusion.raster.grids import Box
from stfusion.raster.output import Content, Output, provenance
from stfusion.raster.source import Source
from stfusion.raster.style import SEQUENTIAL, ramp
from stfusion.run import Context

#: Rows and columns of the map in the report at most.
_THINNED = 700
#: Classes whose shares are said.
_SAID = 20


def produce(
    context: Context, image: Image, first: Source, model: Model, notes: Sequence[str], span: tuple[float, float]
) -> dict[str, Any]:
    """Classify an image by a model and write the outputs of the job, all of them or none; the results by name.

    ``first`` is the layer whose grid the image has. ``notes`` are sentences for the report. ``span`` is the progress,
    in per cent, at the begin and the end.

    Raises
    ------
    UserError
        The image has no valid pixel, or an output cannot be written.
    """
    outputs, tags = context.job.outputs, provenance(context, first.date)
    with ExitStack() as stack:

        def begin(name: str, content: Content) -> Output:
            return stack.enter_context(Output(outputs[name], first, tags, context.stop, content))

        labels = begin("output", Content.of_classes("Class", model.colours))
        numbers = Content.of_numbers(("Certainty", "Distance"))
        certainty = begin("certainty", numbers) if "certainty" in outputs else None
        thinned, spectra = _classify(context, image, model, labels, certainty, span)
        if not spectra.counts.any():
            raise UserError(f"{image.title} has no valid pixel; check its nodata value and the mask.")
        model = model.counted(spectra)
        # What is written in these gets its name when the rasters have theirs.
        files = stack.enter_context(ExitStack())
        if "model" in outputs:
            path = files.enter_context(whole_file(outputs["model"], context.stop))
            path.write_text(model.to_json(), encoding="utf-8")
        if "report" in outputs:
            # Its charts need a package that takes half a second to import.
            from stfusion.classification._kmeans_report import write_report

            path = files.enter_context(whole_file(outputs["report"], context.stop))
            write_report(context, image, model, spectra.inertia, thinned, notes, path)
        if certainty is not None:
            certainty.finish(context.threads, ramp(SEQUENTIAL[::-1], 0.0, 1.0))
        labels.finish(
            context.threads, style(model.classes), table(model.classes, image.names, pixel_area(image.grid))
        )
    _say(context, model)
    result = {**outputs, "number_of_classes": len(model.classes), "inertia": spectra.inertia}
    return result if first.date is None else {**result, "date": first.date.isoformat()}


def _classify(
    context: Context, image: Image, model: Model, labels: Output, certainty: Output | None, span: tuple[float, float]
) -> tuple[Labels, Spectra]:
    """Classify and write the parts; the map on a regular lattice of pixels, for a picture, and the spectra."""
    thinned = Thinned([""], image.shape, np.zeros((), np.uint8), _THINNED)

    def write(box: Box, part: Classified) -> None:
        labels.write_stored(box, part.labels[None])
        if certainty is not None and part.certainty is not None:
            certainty.write_stored(box, part.certainty[::-1])
        thinned.keep(box, {"": thinned.pick(box, part.labels)})

    spectra = classify(
        context, image, model.centres, model.scaling.scale, write, span, certainty=certainty is not None
    )
    return thinned.images[""], spectra


def _say(context: Context, model: Model) -> None:
    """Say the shares of the classes, and which of them have no pixel."""
    if len(model.classes) <= _SAID:
        shares = ", ".join(f"{each.label} {each.share:.1%}" for each in model.classes)
        context.reporter.log(f"Shares of the valid pixels: {shares}.")
    empty = [each.label for each in model.classes if not each.count]
    if empty:
        context.reporter.log(f"Without pixels: {', '.join(empty)}.")
