"""K-means classification at work: sample, fit, or read a model; classify; and write all that comes of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from stfusion.classification._fit import Fit, Order, fit
from stfusion.classification._image import Image, open_image
from stfusion.classification._model import Model, load
from stfusion.classification._paletted import natural_colours, qualitative_colours
from stfusion.classification._products import produce
from stfusion.classification._sample import Sample, draw
from stfusion.errors import OutOfMemory, UserError
from stfusion.raster.source import Source
from stfusion.raster.statistics import fillers
from stfusion.raster.tiles import bounded_gdal
from stfusion.run import Context

#: Progress, in per cent, when the sample is drawn and when the classes are fitted.
_SAMPLED, _FITTED = 30.0, 50.0
#: Share of the memory for pixels that holds what is read for the sample until it is classified.
_KEPT_SHARE = 0.4
#: How many times the sample is held in memory at once, in float64: as drawn, ordered, scaled, and by the fit.
_COPIES = 5


def run(context: Context) -> dict[str, Any]:
    """Classify the layers of the job by K-means; the result has the files, the number of classes and how good they are.

    Raises
    ------
    UserError
        A layer cannot be used, or there are not as many different pixels as classes.
    OutOfMemory
        The sample does not fit into the memory limit.
    """
    with bounded_gdal(context) as working:
        context.reporter.stage("Opening the layers", 1, 4)
        image, first, notes = _open(context, int(_KEPT_SHARE * working))
        bands = _natural_bands(image, str(context.options["natural_bands"]))
        context.reporter.stage("Drawing a sample", 2, 4)
        sample = _sample(context, image, working)
        notes += _warn(context, _doubts(image, sample))
        context.reporter.stage("Fitting the classes", 3, 4)
        fitted = fit(sample.pixels, _order(context), image.title, context.stop)
        notes += _warn(context, _choice(context, fitted))
        centres = fitted.centres
        colours = natural_colours(centres, bands) if bands else qualitative_colours(len(centres))
        model = Model.of(image, sample, fitted, context.job.seed, colours)
        context.reporter.stage("Classifying and writing", 4, 4)
        result = produce(context, image, first, model, notes, (_FITTED, 95.0))
    silhouette = fitted.chosen.silhouette
    return result if silhouette is None else {**result, "silhouette": silhouette}


def apply(context: Context) -> dict[str, Any]:
    """Give the layers of the job the classes of a model; the result has the files and the number of classes.

    Raises
    ------
    UserError
        A layer or the model cannot be used, or they have not as many bands.
    """
    with bounded_gdal(context):
        context.reporter.stage("Opening the layers and the model", 1, 2)
        model = load(context.job.inputs["model"].path)
        image, first, notes = _open(context, 0)
        warning = model.check(image)
        notes += _warn(context, [warning] if warning else [])
        context.reporter.stage("Classifying and writing", 2, 2)
        return produce(context, image, first, model, notes, (0.0, 95.0))


def _open(context: Context, memory: int) -> tuple[Image, Source, list[str]]:
    """The image, the layer whose grid it has, and sentences on what had to be done to the others."""
    notes: list[str] = []
    image, first = open_image(context, "image", memory, notes)
    for note in notes:
        context.reporter.log(note)
    return image, first, notes


def _warn(context: Context, notes: Sequence[str]) -> Sequence[str]:
    for note in notes:
        context.reporter.warning(note)
    return notes


def _natural_bands(image: Image, text: str) -> list[int]:
    """The places, from 0, of the bands for red, green and blue; none where they are not given."""
    if not text.strip():
        return []
    numbers = [int(number) for number in re.findall(r"\d+", text)]
    if len(numbers) != 3 or re.sub(r"[\d,\s]", "", text) or not set(numbers) <= set(image.numbers):
        known = ", ".join(map(str, image.numbers))
        raise UserError(
            f"'Bands for natural colours' is '{text}'; give the numbers of the red, the green and the blue band, such "
            f"as 3,2,1, of the bands that are used: {known}."
        )
    return [image.numbers.index(number) for number in numbers]


def _sample(context: Context, image: Image, working: int) -> Sample:
    wanted = min(int(context.options["sample"]), image.shape[0] * image.shape[1])
    needed, left = wanted * len(image.names) * np.dtype(np.float64).itemsize * _COPIES, (1 - _KEPT_SHARE) * working
    if needed > left:
        raise OutOfMemory(
            f"A sample of {wanted} pixels of {len(image.names)} bands needs {needed / 2**20:.0f} MB and "
            f"{left / 2**20:.0f} MB are left of the memory limit; sample fewer pixels, or raise the limit."
        )
    sample = draw(context, image, wanted, (0.0, _SAMPLED))
    context.reporter.log(f"{len(sample.pixels)} of {sample.valid} valid pixels are sampled.")
    return sample


def _doubts(image: Image, sample: Sample) -> list[str]:
    """What may be wrong with the bands, in sentences."""
    if not len(sample.pixels):
        return []
    notes = [
        f"{share:.1%} of the valid pixels of {image.title} hold the value {fill:g} in all bands; set the nodata value "
        "if this is a filler."
        for fill, share in fillers(sample.pixels.T)
    ]
    constant = [name for name, extent in zip(image.names, np.ptp(sample.pixels, axis=0), strict=True) if extent == 0]
    if constant:
        notes.append(f"The same value is everywhere in {', '.join(constant)}, which tells no classes apart.")
    return notes


def _order(context: Context) -> Order:
    options = context.options
    return Order(
        classes=int(options["classes"]),
        most=int(options["most_classes"]) or int(options["classes"]),
        choice=options["choice"],  # type: ignore[arg-type]
        algorithm=options["algorithm"],  # type: ignore[arg-type]
        standardisation=options["standardisation"],  # type: ignore[arg-type]
        restarts=int(options["restarts"]),
        iterations=int(options["iterations"]),
        tolerance=float(options["tolerance"]),
        seed=context.job.seed,
    )


def _choice(context: Context, fitted: Fit) -> Sequence[str]:
    """Say what every number of classes gave, and what may be wrong with the choice."""
    for trial in fitted.trials:
        silhouette = "" if trial.silhouette is None else f", silhouette {trial.silhouette:.4f}"
        taken = " (taken)" if len(fitted.trials) > 1 and trial == fitted.chosen else ""
        context.reporter.log(f"{trial.classes} classes: sum of squares {trial.inertia:.6g}{silhouette}{taken}.")
    first, last = fitted.trials[0], fitted.trials[-1]
    if len(fitted.trials) == 2 and context.options["choice"] == "elbow":
        return ["An elbow needs at least three numbers of classes to choose from; try more, or choose by silhouette."]
    if len(fitted.trials) > 2 and fitted.chosen in (first, last) and context.options["choice"] == "silhouette":
        return [
            f"The best of the numbers tried is at the end of the range, {fitted.chosen.classes}; one beyond it may be "
            "better."
        ]
    return []
