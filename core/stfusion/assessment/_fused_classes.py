"""The classes of fused images at work: cluster the true image, classify all images in one pass, compare the maps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from stfusion.assessment._accuracy import Accuracy, measure_accuracy
from stfusion.assessment._confusion import Confusion
from stfusion.assessment._fused_classes_report import summarise, write_results
from stfusion.assessment._matching import compare_partitions, match_clusters
from stfusion.assessment._thinned import Thinned
from stfusion.classification._fit import Fit, Order, Standardisation, fit
from stfusion.classification._image import Image
from stfusion.classification._model import Model
from stfusion.classification._paletted import qualitative_colours
from stfusion.classification._predict import Prediction
from stfusion.classification._sample import Sample, draw
from stfusion.errors import UserError
from stfusion.folder import whole_folder
from stfusion.raster.grids import Box
from stfusion.raster.source import AlignedSource, Source, align
from stfusion.raster.tiles import Tile, bounded_gdal, run_tiles
from stfusion.run import Context

Labels = NDArray[np.uint8]

#: Name of the true image among all.
TRUTH = ""
#: Progress, in per cent, when the samples are drawn and the images are clustered.
_DRAWN, _CLUSTERED, _COMPARED = 20.0, 60.0, 95.0


class Scores(NamedTuple):
    """How well a map agrees with that of the true image: overall measures by id, and the IoU of every class."""

    overall: Mapping[str, float]
    iou: tuple[float, ...]

    @classmethod
    def of(cls, confusion: Confusion, classes: int) -> Scores:
        """The scores of a map (rows) against the true one (columns) with classes 1, 2, ..."""
        found = measure_accuracy(confusion)
        rand = compare_partitions(confusion).adjusted_rand
        iou = dict(zip(found.labels, found.classes["iou"].tolist(), strict=True))
        return cls({**_shown(found), "adjusted_rand": rand}, tuple(iou.get(k, math.nan) for k in range(1, classes + 1)))


def _shown(found: Accuracy) -> dict[str, float]:
    return {name: found.overall[name] for name in ("mean_iou", "overall_accuracy", "kappa")}


@dataclass(frozen=True)
class Study:
    """What the study has found.

    ``frozen`` are the scores of every fused image by name; ``refitted`` those of every repetition, of the true image
    (the control) and, where that was asked for, of the fused images. ``maps`` are thinned class maps by name.
    """

    images: Mapping[str, Image]
    model: Model
    compared: int
    frozen: dict[str, Scores]
    refitted: dict[str, list[Scores]]
    maps: dict[str, Labels]
    notes: Sequence[str] = ()


class _Clustering(NamedTuple):
    """Centres that an image is classified with; with ``seed`` they are of a repetition and have to be matched."""

    image: str
    seed: int | None
    prediction: Prediction


def run(context: Context) -> dict[str, Any]:
    """Compare the classes of the fused images of the job; the result has the report and the main numbers.

    Raises
    ------
    UserError
        The images cannot be used or do not go together.
    """
    output = context.job.outputs["output"]
    with bounded_gdal(context), whole_folder(output, context.stop) as part:
        study = _study(context)
        context.reporter.stage("Writing the report", 5, 5)
        summary = summarise(context, study)
        write_results(summary, study, part)
    best, control = summary["order"][0], summary["control"]["mean_iou"]["mean"]
    context.reporter.log(
        f"Best: {best}, mean IoU {summary['images'][best]['frozen']['mean_iou']:.4f}. "
        f"Control, the true image clustered again: {control:.4f}."
    )
    return {
        "output": output, "report": str(Path(output) / "report.html"), "best": best,
        "best_iou": summary["images"][best]["frozen"]["mean_iou"], "control_iou": control,
    }


def _study(context: Context) -> Study:
    reporter = context.reporter
    reporter.stage("Opening and checking the images", 1, 5)
    images, notes = _open(context)
    reporter.stage("Drawing samples", 2, 5)
    drawn = list(images) if context.options["refit"] else [TRUTH]
    share, size = _DRAWN / len(drawn), int(context.options["sample"])
    samples = {
        name: draw(context, images[name], size, (step * share, (step + 1) * share)) for step, name in enumerate(drawn)
    }
    reporter.stage("Clustering", 3, 5)
    model, clusterings = _cluster(context, images, samples)
    reporter.stage("Comparing the maps", 4, 5)
    study = _compare(context, images, model, clusterings)
    return replace(study, notes=notes)


def _open(context: Context) -> tuple[dict[str, Image], list[str]]:
    """All images by name, the true one first, and sentences about them."""
    titles, given = {role.id: role.title for role in context.method.roles}, context.job.inputs["fused"]
    truth = Source(titles["reference"], context.job.inputs["reference"])
    paths = [given.path, *(given.more or ())]
    images, notes = {TRUTH: Image([AlignedSource(truth, truth.grid, "nearest")])}, list[str]()
    for name, path in zip(_names(str(context.options["names"]), paths), paths, strict=True):
        source = Source(name, replace(given, path=path, more=None))
        if len(source.bands) != len(truth.bands):
            raise UserError(
                f"{truth} has {len(truth.bands)} band(s) and {source} has {len(source.bands)}; choose the bands that "
                "belong together."
            )
        image = align(source, truth, "nearest")
        if not image.same_grid:
            notes.append(f"{source} is resampled by nearest neighbour to the grid of {truth}.")
            context.reporter.log(notes[-1])
        images[name] = Image([image])
    return images, notes


def _names(given: str, paths: Sequence[str]) -> list[str]:
    """The names of the fused images: given ones, or those of the files, with their folders where they are alike."""
    names = [name.strip() for name in given.split(",")] if given.strip() else [PurePath(path).stem for path in paths]
    if len(names) != len(paths):
        raise UserError(f"{len(paths)} fused image(s) and {len(names)} name(s) are given; name each of them, or none.")
    if len(set(names)) < len(names) and not given.strip():
        names = [f"{number}. {name}" for number, name in enumerate(names, 1)]
    if len(set(names)) < len(names) or not all(names):
        raise UserError(f"The names of the fused images are '{given}'; give every image a name of its own.")
    return names


def _cluster(
    context: Context, images: Mapping[str, Image], samples: Mapping[str, Sample]
) -> tuple[Model, list[_Clustering]]:
    """Fit the classes to the true image, and every sample again with other seeds; how every image is classified."""
    options, seed = context.options, context.job.seed
    order = Order(
        classes=int(options["classes"]), most=int(options["classes"]), restarts=int(options["restarts"]), seed=seed,
        standardisation=cast(Standardisation, options["standardisation"]),
    )
    fits = len(samples) * int(options["repeats"]) + 1

    def fitted(name: str, number: int, done: int) -> Fit:
        found = fit(samples[name].pixels, replace(order, seed=seed + number), images[name].title, context.stop)
        context.reporter.progress(_DRAWN + (done + 1) / fits * (_CLUSTERED - _DRAWN))
        return found

    first = fitted(TRUTH, 0, 0)
    model = Model.of(images[TRUTH], samples[TRUTH], first, seed, qualitative_colours(order.classes))
    found = [
        _Clustering(name, None, Prediction(image, first.centres, first.scaling.scale, False))
        for name, image in images.items()
    ]
    for place, name in enumerate(samples):
        for number in range(1, int(options["repeats"]) + 1):
            again = fitted(name, number, place * int(options["repeats"]) + number)
            prediction = Prediction(images[name], again.centres, again.scaling.scale, False)
            found.append(_Clustering(name, number, prediction))
    return model, found


class _Seen(NamedTuple):
    """What a part tells: the matrix of every clustering, the thinned maps, and the sums of the true image's classes."""

    counts: list[Confusion]
    maps: dict[str, Labels]
    sums: Any


def _compare(
    context: Context, images: Mapping[str, Image], model: Model, clusterings: Sequence[_Clustering]
) -> Study:
    """Classify every part of every image with all of its centres, and count what the maps have in common."""
    truth = images[TRUTH]
    maps = Thinned(images, truth.shape, np.zeros((), np.uint8))
    totals: list[Confusion] = []

    def look(tile: Tile) -> _Seen:
        # Image by image, since all of them at once may be more than the memory holds; their maps are bytes.
        common, found = np.ones(tile.inner.shape, bool), dict[int, Any]()
        for name, image in images.items():
            values, valid = image.read(tile.inner)
            common &= valid
            for place, each in enumerate(clusterings):
                if each.image == name:
                    found[place] = each.prediction.of(values, valid)
                    tile.advance(1 / len(clusterings))
        labels = [found[place][0].labels for place in range(len(clusterings))]
        return _Seen(
            [Confusion.of(each[common], labels[0][common]) for each in labels],
            {
                each.image: maps.pick(tile.inner, np.where(common, own, 0))
                for each, own in zip(clusterings, labels, strict=True) if each.seed is None
            },
            found[0],
        )

    def merge(box: Box, seen: _Seen) -> None:
        nonlocal totals
        totals = [a + b for a, b in zip(totals, seen.counts, strict=True)] if totals else seen.counts
        clusterings[0].prediction.add(seen.sums)
        maps.keep(box, seen.maps)

    run_tiles(context, truth.shape, truth.part, 0, look, merge, (_CLUSTERED, _COMPARED))
    if not totals[0].total:
        raise UserError(
            f"{truth.title} and the fused images have no valid pixel in common; check their nodata values and masks."
        )
    return _scored(images, model.counted(clusterings[0].prediction.spectra()), clusterings, totals, maps.images)


def _scored(
    images: Mapping[str, Image],
    model: Model,
    clusterings: Sequence[_Clustering],
    totals: Sequence[Confusion],
    maps: dict[str, Labels],
) -> Study:
    """The scores of all maps; those of repetitions after their clusters are matched to the classes."""
    study = Study(images, model, totals[0].total, {}, {}, maps)
    for each, confusion in zip(clusterings, totals, strict=True):
        if each.seed is not None:
            matched = match_clusters(confusion).after
            study.refitted.setdefault(each.image, []).append(Scores.of(matched, len(model.classes)))
        elif each.image != TRUTH:
            study.frozen[each.image] = Scores.of(confusion, len(model.classes))
    return study
