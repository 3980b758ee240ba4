"""The sampling design at work: sizes of the strata, numbers of points, the draw, and its files."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from stfusion import __version__
from stfusion.assessment._class_layers import onto, open_if_given, open_map
from stfusion.assessment._counting import count_classes
from stfusion.assessment._design import Allocation, allocate, sample_size
from stfusion.assessment._draw import Drawn, Point, draw
from stfusion.classification._legend import read_legend, read_pairs
from stfusion.errors import UserError
from stfusion.folder import whole_file
from stfusion.raster.grids import Box
from stfusion.raster.points import vector_format, write_points
from stfusion.raster.source import AlignedSource, Array, Source
from stfusion.raster.statistics import part_shape
from stfusion.raster.tiles import tiles
from stfusion.raster.vector import LABEL
from stfusion.run import Context

#: Progress, in per cent, when the strata are counted.
_COUNTED = 45.0


@dataclass(frozen=True)
class _Frame:
    """What is sampled: strata, less the excluded places."""

    source: Source
    strata: AlignedSource
    excluded: AlignedSource | None

    def read(self, box: Box) -> Array:
        """The strata of a window (rows, columns), NaN where no point may lie."""
        strata: Array = self.strata.read(box)[0]
        if self.excluded is not None:
            excluded = self.excluded.read(box)[0]
            strata = np.where((excluded != 0) & ~np.isnan(excluded), np.float32(np.nan), strata)
        return strata

    def parts(self, context: Context) -> Iterator[tuple[Box, Array]]:
        """All windows and their strata."""
        for box, _ in tiles(self.strata.shape, part_shape(self.strata), 0):
            context.stop.check()
            yield box, self.read(box)


def run(context: Context) -> dict[str, Any]:
    """Draw the sample that the job orders; the result has its files, its size and the error to be expected.

    Raises
    ------
    UserError
        The strata or the numbers cannot be used.
    """
    output, design_path = context.job.outputs["output"], context.job.outputs.get("design")
    vector_format(output)
    context.reporter.stage("Counting the strata", 1, 2)
    frame = _open(context)
    among = "" if frame.excluded is None else " that is not excluded"
    sizes = count_classes(context, frame.strata, frame.read, (0.0, _COUNTED), among)
    accuracies = _accuracies(context, sizes)
    wanted = _wanted(context, sizes, accuracies)
    context.reporter.stage("Drawing", 2, 2)
    distance = float(context.options["distance"])
    drawn = draw(lambda: frame.parts(context), wanted, sizes, frame.source.grid.affine, context.job.seed, distance)
    for stratum, number in drawn.missing.items():
        context.reporter.warning(
            f"{number} point(s) of stratum {stratum} found no room at the minimum distance of {distance:g}; lower it "
            "or take fewer points."
        )
    design = _design(context, frame.source, sizes, accuracies, drawn)
    with ExitStack() as files:
        if design_path:
            text = json.dumps(design, indent=2, ensure_ascii=False) + "\n"
            files.enter_context(whole_file(design_path, context.stop)).write_text(text, encoding="utf-8")
        _write(context, output, frame.source, drawn.points)
    result = {"output": output, "points": design["points"], "expected_error": design["expected_error"]}
    return {**result, "design": design_path} if design_path else result


def _write(context: Context, path: str, source: Source, points: tuple[Point, ...]) -> None:
    """Write the points, ready to be labelled."""
    write_points(
        path,
        np.array([(point.x, point.y) for point in points]),
        {
            LABEL: None,
            "id": np.array([point.id for point in points], np.int32),
            "stratum": np.array([point.stratum for point in points], np.int32),
            "weight": np.array([point.weight for point in points], np.float64),
        },
        source.grid.crs,
        context.stop,
        read_legend(source).names,
    )


def _open(context: Context) -> _Frame:
    about: list[str] = []
    source, exclusion = open_map(context, "strata"), open_if_given(context, "exclusion")
    excluded = None if exclusion is None else onto(exclusion, source, about)
    for sentence in about:
        context.reporter.log(sentence)
    return _Frame(source, AlignedSource(source, source.grid, "nearest"), excluded)


def _accuracies(context: Context, sizes: Mapping[int, int]) -> dict[int, float]:
    """The expected accuracy of every stratum."""
    title = "Expected accuracies of single classes"
    found = dict.fromkeys(sizes, float(context.options["accuracy"]))
    for label, text in read_pairs(title, str(context.options["accuracies"])).items():
        if label not in found:
            known = ", ".join(map(str, found))
            raise UserError(f"'{title}' names class {label}, which the strata lack; they have: {known}.")
        try:
            found[label] = float(text)
        except ValueError as error:
            raise UserError(f"'{title}' has '{text}' for class {label}; give a number from 0 to 1.") from error
    return found


def _wanted(context: Context, sizes: Mapping[int, int], accuracies: Mapping[int, float]) -> dict[int, int]:
    """Points of every stratum."""
    options = context.options
    rule, minimum = cast(Allocation, options["allocation"]), int(options["minimum"])
    total, error = int(options["samples"]), float(options["standard_error"])
    if not total:
        total = sample_size(sizes, accuracies, error)
        context.reporter.log(f"A standard error of {error:g} takes {total} points.")
        least = sum(min(minimum, size) for size in sizes.values())
        if rule == "minimum" and total < least:
            context.reporter.log(f"With {minimum} in each of {len(sizes)} strata, there are {least}.")
            total = least
    wanted = allocate(total, sizes, rule, accuracies, minimum)
    pixels = sum(sizes.values())
    if pixels < total:
        context.reporter.warning(f"The strata have {pixels} pixels, fewer than the {total} points wanted.")
    return wanted


def _design(
    context: Context, source: Source, sizes: Mapping[int, int], accuracies: Mapping[int, float], drawn: Drawn
) -> dict[str, Any]:
    """The design as plain values for JSON."""
    numbers = Counter(point.stratum for point in drawn.points)
    whole, names = sum(sizes.values()), read_legend(source).names
    variance = sum(
        (size / whole) ** 2 * accuracies[label] * (1 - accuracies[label]) / max(numbers[label], 1)
        for label, size in sizes.items()
    )
    return {
        "kind": "stfusion sampling design",
        "engine": f"stfusion {__version__}",
        "strata_raster": source.path,
        "seed": context.job.seed,
        "options": dict(context.options),
        "points": len(drawn.points),
        "expected_error": math.sqrt(variance),
        "strata": [
            {
                "stratum": label, "name": names.get(label, str(label)), "pixels": size, "share": size / whole,
                "expected_accuracy": accuracies[label], "points": numbers[label],
                "missing": drawn.missing.get(label, 0),
            }
            for label, size in sizes.items()
        ],
    }
