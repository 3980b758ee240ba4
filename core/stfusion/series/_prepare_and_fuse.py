"""The whole way from downloads to a series: every step is the algorithm of its name, run as a job of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from stfusion import registry
from stfusion.errors import Incomplete, UserError
from stfusion.job import Input
from stfusion.preparation._downloads import is_archive
from stfusion.raster.source import Source
from stfusion.raster.stack import RASTERS, STACK, files_of, listed
from stfusion.run import Context
from stfusion.series._fuse_series import claim
from stfusion.series._orders import settings_of
from stfusion.series._shared import FUSING, PLANNING, WHICH_METHOD
from stfusion.series._steps import Steps

#: Shares of the progress.
_WEIGHTS = {"fine": 10.0, "coarse": 10.0, "aligned": 15.0, "pairs": 10.0, "harmonised": 5.0, "series": 50.0}
#: Endings of downloads that are to be imported.
_PRODUCTS = (".hdf", ".h5", ".nc", "_mtl.txt", "mtd_msil2a.xml")
#: Inputs that are handed on to the fusion.
_HANDED_ON = ("class_map", "weights")


def run(context: Context) -> dict[str, Any]:
    """Prepare and fuse the images of the job; the results are the folder, its reports, and what was done.

    Raises
    ------
    UserError
        The images, the options or the folder cannot be used, or no good image is left.
    Incomplete
        Some dates failed; all that there is of the others is written.
    """
    folder = Path(context.job.outputs["output"]).absolute()
    given = {sensor: _given(context, sensor) for sensor in ("fine", "coarse")}
    # Seen before hours are spent on images.
    settings_of(context, registry.get("fuse", str(context.options["method"])))
    claim(context, folder)
    steps = Steps(context, folder, _WEIGHTS)
    stacks = {sensor: _imported(context, steps, sensor, paths) for sensor, paths in given.items()}
    aligned = steps.run("aligned", _order(context, "prepare", "align", ("shift", "same_extent"), {
        "images": stacks["coarse"], "reference": stacks["fine"],
    }))
    stacks["coarse"] = files_of("coarse", Input(str(folder / "aligned")))
    pairs = steps.run("pairs", _order(context, "prepare", "check_pairs", (), stacks))
    good = _good(context, stacks, folder / "pairs")
    if context.options["adjust"] != "no":
        steps.run("harmonised", _order(context, "prepare", "harmonise", ("adjust",), {
            "images": good["coarse"], "reference": good["fine"],
        }))
        good["coarse"] = files_of("coarse", Input(str(folder / "harmonised")))
    result = {
        "output": str(folder), "check_report": pairs["report"], "moved": aligned["moved"],
        "bad_fine": pairs["bad_fine"], "bad_coarse": pairs["bad_coarse"],
    }
    names = [option.id for option in (WHICH_METHOD, *PLANNING, *FUSING) if option.id != "pattern"]
    order = _order(context, "series", "fuse_series", names, good)
    order["inputs"] |= {
        name: context.job.inputs[name].plain() for name in _HANDED_ON if name in context.job.inputs
    }
    try:
        return {**steps.run("series", order, resumes=True), **result}
    except Incomplete as error:
        raise Incomplete(str(error), {**error.outputs, **result}) from error


def _order(
    context: Context, operation: str, method: str, options: Sequence[str], images: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """The job of a step, without its output; its options are those of the same names."""
    return {
        "operation": operation, "method": method, "options": {name: context.options[name] for name in options},
        "inputs": {role: {"path": list(paths)} for role, paths in images.items()},
    }


def _given(context: Context, sensor: str) -> list[str]:
    """The files and folders of a sensor."""
    inputs = [context.job.inputs[role] for role in (f"{sensor}_folder", sensor) if role in context.job.inputs]
    paths = [path for each in inputs for path in (each.path, *(each.more or ()))]
    if not paths:
        raise UserError(f"There are no {sensor} images; give 'Folder of the {sensor} images' or '{sensor.capitalize()} "
                        "images'.")
    return paths


def _imported(context: Context, steps: Steps, sensor: str, paths: Sequence[str]) -> list[str]:
    """The dated raster files of a sensor, imported unless they are in order as they are."""
    own, inputs = context.options, context.job.inputs
    masks = inputs.get(f"{sensor}_masks")
    asked = own[f"{sensor}_bands"] or own["pattern"] or masks or "date_table" in inputs
    files = [] if asked else _in_order(paths)
    if files:
        context.reporter.log(f"The {sensor} images are {len(files)} dated raster files in order, and not imported.")
        return files
    order = _order(context, "prepare", "import_products", ("mask", "dilation", "pattern"), {"products": paths})
    order["options"]["bands"] = own[f"{sensor}_bands"]
    if masks:
        order["inputs"]["masks"] = masks.plain()
    if "date_table" in inputs:
        order["inputs"]["date_table"] = inputs["date_table"].plain()
    return files_of(sensor, Input(steps.run(sensor, order)["output"]))


def _in_order(paths: Sequence[str]) -> list[str]:
    """The raster files of some paths, if there is nothing but one for each date; none otherwise."""
    found: list[str] = []
    for path in paths:
        for file in sorted(Path(path).rglob("*")) if Path(path).is_dir() else [Path(path)]:
            name = file.name.lower()
            if is_archive(file) or name.endswith(_PRODUCTS):
                return []
            if name.endswith(RASTERS) and file.name != STACK:
                found.append(path if str(file) == str(Path(path)) else str(file))
    try:
        days = {Source("Image", Input(path)).date for path in found}
    except UserError:
        # The import says what is wrong with it.
        return []
    return found if None not in days and len(days) == len(found) else []


def _good(context: Context, stacks: Mapping[str, Sequence[str]], pairs: Path) -> dict[str, list[str]]:
    """The images of the dates that the check has not marked as bad, or all; the bad ones are named."""
    bad: dict[str, dict[str, str]] = json.loads((pairs / "results.json").read_text(encoding="utf-8"))["bad"]
    kept = context.options["bad_dates"] == "keep"
    found: dict[str, list[str]] = {}
    for sensor, paths in stacks.items():
        days = [date.fromisoformat(day) for day in bad[sensor]]
        if days:
            said = "is used all the same" if kept else "is left out"
            for day, why in bad[sensor].items():
                context.reporter.warning(f"The {sensor} image of {day} is bad and {said}: {why}.")
        found[sensor] = [path for path in paths if kept or Source("Image", Input(path)).date not in days]
        if not found[sensor]:
            raise UserError(
                f"All {sensor} images are marked as bad ({listed(days)}); see '{pairs / 'report.html'}', and choose "
                "'keep' for 'Bad dates' to use them all the same."
            )
    return found
