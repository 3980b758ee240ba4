"""The whole way from downloads to a series: every step is the algorithm of its name, run as a job of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from stfusion import registry
from stfusion.declaration import Scalar
from stfusion.errors import Incomplete, UserError
from stfusion.job import Input
from stfusion.preparation._downloads import is_archive
from stfusion.raster.area import Area
from stfusion.raster.grids import same_pixels
from stfusion.raster.source import Source
from stfusion.raster.stack import SIDECARS, files_of, is_raster, listed
from stfusion.run import Context
from stfusion.series._fuse_series import claim
from stfusion.series._indices import INDICES
from stfusion.series._orders import settings_of
from stfusion.series._plan import asked_days
from stfusion.series._shared import FUSING, PLANNING, WHICH_METHOD
from stfusion.series._spectral_index import bands_for
from stfusion.series._stacks import bad_dates
from stfusion.series._steps import Steps
from stfusion.series.prepare_and_fuse import NO_INDEX

SERIES = "series"
#: Shares of the progress.
_WEIGHTS = {
    "fine": 10.0, "coarse": 10.0, "gridded": 5.0, "aligned": 15.0, "pairs": 10.0, "harmonised": 5.0,
    "fine_index": 2.0, "coarse_index": 2.0, SERIES: 50.0, "index": 2.0,
}
#: Endings of downloads that are to be imported.
_PRODUCTS = (".hdf", ".h5", ".nc", "_mtl.txt", "mtd_msil2a.xml")
#: Inputs that are handed on to the fusion.
_HANDED_ON = ("class_map", "weights")
#: Coarse pixels around the area that its edges are resampled from, and displacements are searched in.
_MARGIN = 8


def run(context: Context) -> dict[str, Any]:
    """Prepare and fuse the images of the job; the results are the folder, its reports, and what was done.

    Raises
    ------
    UserError
        The images, the options or the folder cannot be used, or no good image is left.
    Incomplete
        Some dates failed; all that there is of the others is written.
    """
    steps = steps_of(context)
    order = prepare(context, steps)
    return conclude(context, steps, lambda: steps.run(SERIES, order, resumes=True))


def steps_of(context: Context) -> Steps:
    """The steps of the job, in its folder."""
    return Steps(context, folder_of(context.job.outputs["output"]), _WEIGHTS)


def folder_of(output: str) -> Path:
    """The folder of a run."""
    return Path(output).absolute()


def prepare(context: Context, steps: Steps) -> dict[str, Any]:
    """Do all that comes before the fusion; the job of that, without its output.

    Raises
    ------
    UserError
        As :func:`run`.
    """
    given = {sensor: _given(context, sensor) for sensor in ("fine", "coarse")}
    # Seen before hours are spent on images.
    settings_of(context, registry.get("fuse", str(context.options["method"])))
    asked_days(context.options)
    _check_area(context)
    claim(context, steps.folder, set(_WEIGHTS) - {SERIES})
    fine = _on_one_grid(context, steps, _imported(context, steps, "fine", given["fine"], _area(context)))
    coarse = _imported(context, steps, "coarse", given["coarse"], _area(context, fine[0]))
    _check_bands(context, {"Fine image": fine[0], "Coarse image": coarse[0]})
    steps.run("aligned", _order(context, "prepare", "align", _own(context, "shift", "same_extent"), {
        "images": coarse, "reference": fine,
    }))
    stacks = {"fine": fine, "coarse": _written(steps, "aligned")}
    steps.run("pairs", _order(context, "prepare", "check_pairs", {}, stacks))
    good = _good(context, stacks, steps.folder / "pairs")
    if context.options["adjust"] != "no":
        steps.run("harmonised", _order(context, "prepare", "harmonise", _own(context, "adjust"), {
            "images": good["coarse"], "reference": good["fine"],
        }))
        good["coarse"] = _written(steps, "harmonised")
    if _index_is_made("before", context):
        for sensor, paths in good.items():
            steps.run(f"{sensor}_index", _index(context, paths))
            good[sensor] = _written(steps, f"{sensor}_index")
    names = [option.id for option in (WHICH_METHOD, *PLANNING, *FUSING) if option.id != "pattern"]
    order = _order(context, "series", "fuse_series", _own(context, *names) | _range(context, stacks["coarse"]), good)
    order["inputs"] |= {
        name: context.job.inputs[name].plain() for name in _HANDED_ON if name in context.job.inputs
    }
    return order


def conclude(context: Context, steps: Steps, fuse: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Fuse, and do what comes after it; the results of all.

    Raises
    ------
    Incomplete
        Some dates failed; what comes after is done for the others.
    """
    pairs = steps.result("pairs")
    result = {
        "output": str(steps.folder), "check_report": pairs["report"], "moved": steps.result("aligned")["moved"],
        "bad_fine": pairs["bad_fine"], "bad_coarse": pairs["bad_coarse"],
    }
    try:
        fused = fuse()
    except Incomplete as error:
        _index_of_series(context, steps)
        raise Incomplete(str(error), {**error.outputs, **result}) from error
    _index_of_series(context, steps)
    return {**fused, **result}


def _index_of_series(context: Context, steps: Steps) -> None:
    images = sorted(map(str, (steps.folder / SERIES).glob("*.tif")))
    if images and _index_is_made("after", context):
        order = _index(context, images)
        order["options"]["name"] = context.options["index"]
        steps.run("index", order)


def _index_is_made(when: str, context: Context) -> bool:
    return context.options["index"] != NO_INDEX and context.options["index_order"] == when


def _check_bands(context: Context, images: Mapping[str, str]) -> None:
    """Refuse images without the bands of the index, before more is done with them."""
    if context.options["index"] != NO_INDEX:
        for title, path in images.items():
            index, order = INDICES[str(context.options["index"])], str(context.options["index_bands"])
            bands_for(index, Source(title, Input(path)), order, {})


def _index(context: Context, paths: Sequence[str]) -> dict[str, Any]:
    """The job of the index of some images."""
    options = {"index": context.options["index"], "order": context.options["index_bands"]}
    return _order(context, "series", "spectral_index", options, {"images": paths})


def _written(steps: Steps, name: str) -> list[str]:
    """The images that a step has written."""
    return files_of(name, Input(str(steps.folder / name)))


def _range(context: Context, coarse: Sequence[str]) -> dict[str, Scalar]:
    """First and last date of the series: where not given those of all coarse images, also bad ones; none for a list."""
    if context.options["dates"]:
        return {}
    days = sorted(str(Source("Coarse image", Input(path)).date) for path in coarse)
    return {name: context.options[name] or day for name, day in (("start", days[0]), ("end", days[-1]))}


def _own(context: Context, *names: str) -> dict[str, Scalar]:
    """Options of the job that a step has by the same names."""
    return {name: context.options[name] for name in names}


def _order(
    context: Context, operation: str, method: str, options: Mapping[str, Scalar], images: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """The job of a step, without its output."""
    return {
        "operation": operation, "method": method, "options": dict(options),
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


def _check_area(context: Context) -> None:
    """Refuse an area that is not understood, or that cannot be found in images whose place does not count."""
    if Area.of(_area(context)) is not None and context.options["same_extent"]:
        raise UserError(
            "'Same extent' is for images that have no place, in which an 'Area' cannot be found; leave one of them out."
        )


def _area(context: Context, fine: str | None = None) -> str:
    """The area; for the coarse images that of a fine image, where it is in the coordinate system of the images."""
    text = str(context.options["area"])
    area, crs = Area.of(text), None if fine is None else Source("Fine image", Input(fine)).grid.crs
    return f"{text} [{crs}]" if area is not None and area.crs is None and crs is not None else text


def _imported(context: Context, steps: Steps, sensor: str, paths: Sequence[str], area: str) -> list[str]:
    """The dated raster files of a sensor, imported unless they are in order as they are."""
    own, inputs = context.options, context.job.inputs
    masks = inputs.get(f"{sensor}_masks")
    asked = area or own[f"{sensor}_bands"] or own["pattern"] or masks or "date_table" in inputs
    files = [] if asked else _in_order(paths)
    if files:
        context.reporter.log(f"The {sensor} images are {len(files)} dated raster files in order, and not imported.")
        return files
    order = _order(context, "prepare", "import_products", _own(context, "mask", "dilation", "pattern"), {
        "products": paths,
    })
    order["options"] |= {
        "bands": own[f"{sensor}_bands"], "area": area, "margin": _MARGIN if area and sensor == "coarse" else 0,
    }
    if masks:
        order["inputs"]["masks"] = masks.plain()
    if "date_table" in inputs:
        order["inputs"]["date_table"] = inputs["date_table"].plain()
    steps.run(sensor, order)
    return _written(steps, sensor)


def _in_order(paths: Sequence[str]) -> list[str]:
    """The raster files of some paths, if there is nothing but one for each date; none otherwise."""
    found: list[str] = []
    for path in paths:
        folder = Path(path).is_dir()
        for file in sorted(Path(path).rglob("*")) if folder else [Path(path)]:
            name = file.name.lower()
            if is_archive(file) or name.endswith(_PRODUCTS):
                return []
            if is_raster(file) or not (folder or name.endswith(SIDECARS)):
                found.append(path if str(file) == str(Path(path)) else str(file))
    try:
        days = {Source("Image", Input(path)).date for path in found}
    except UserError:
        # The import says what is wrong with it.
        return []
    return found if None not in days and len(days) == len(found) else []


def _on_one_grid(context: Context, steps: Steps, paths: list[str]) -> list[str]:
    """The fine images on one grid: as they are where they have one, else on the pixels that most of them have.

    What is cut out by an area covers all of it together; whole scenes are left what they have in common.
    """
    images = [Source("Fine image", Input(path)) for path in paths]
    if all(image.grid == images[0].grid for image in images) or context.options["same_extent"]:
        return paths
    alike = [sum(same_pixels(image.grid, other.grid) for other in images) for image in images]
    context.reporter.log("The fine images have different grids, and are brought to one.")
    steps.run("gridded", _order(
        context, "prepare", "align", {"grid": "union" if _area(context) else "common", "shift": "no"},
        {"images": paths, "reference": [paths[alike.index(max(alike))]]},
    ))
    return _written(steps, "gridded")


def _good(context: Context, stacks: Mapping[str, Sequence[str]], pairs: Path) -> dict[str, list[str]]:
    """The images of the dates that the check has not marked as bad, or all; the bad ones are named."""
    bad = bad_dates(pairs)
    kept = context.options["bad_dates"] == "keep"
    found: dict[str, list[str]] = {}
    for sensor, paths in stacks.items():
        said = "is used all the same" if kept else "is left out"
        for day, why in bad[sensor].items():
            context.reporter.warning(f"The {sensor} image of {day} is bad and {said}: {why}.")
        found[sensor] = [path for path in paths if kept or Source("Image", Input(path)).date not in bad[sensor]]
        if not found[sensor]:
            raise UserError(
                f"All {sensor} images are marked as bad ({listed(bad[sensor])}); see '{pairs / 'report.html'}', "
                "and choose 'keep' for 'Bad dates' to use them all the same."
            )
    return found
