"""The inputs of a fusion, opened, checked and aligned on the grid of the fine image."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property

import numpy as np

from stfusion.errors import UserError
from stfusion.raster.checks import check_values
from stfusion.raster.grids import Box, pixel_ratio
from stfusion.raster.source import AlignedSource, Array, Source, align
from stfusion.run import Context

#: A coarse pixel may be this much smaller than a fine one before the two are taken for swapped.
_SWAPPED = 0.75
#: Three coarse pixels of a ratio near 17, as MODIS has to Landsat; and the largest window that may be asked for.
_USUAL_WINDOW, _LARGEST_WINDOW = 51, 501


@dataclass(frozen=True)
class Pair:
    """A fine and a coarse image of one date, on the grid of the scene."""

    fine: AlignedSource
    coarse: AlignedSource


class Patch:
    """What a method reads of a tile, each image (bands, rows, columns) when it is first asked for; NaN is invalid."""

    def __init__(self, scene: Scene, box: Box) -> None:
        self._scene = scene
        self.box = box

    @cached_property
    def fine(self) -> list[Array]:
        """The fine image of every pair."""
        return [pair.fine.read(self.box) for pair in self._scene.pairs]

    @cached_property
    def coarse(self) -> list[Array]:
        """The coarse image of every pair, on the fine grid."""
        return [pair.coarse.read(self.box) for pair in self._scene.pairs]

    @cached_property
    def target(self) -> Array:
        """The coarse image of the target date, on the fine grid."""
        return self._scene.target.read(self.box)


@dataclass(frozen=True)
class Scene:
    """One or two pairs and the coarse image of the target date, on one grid.

    There is no pair where a method takes a fine image without a coarse one.
    ``classes`` and ``objects`` are maps of the user's; ``images`` are all other inputs by their roles.
    """

    reference: Source
    pairs: list[Pair]
    target: AlignedSource
    classes: AlignedSource | None = None
    objects: AlignedSource | None = None
    images: Mapping[str, AlignedSource] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.reference.shape

    @property
    def bands(self) -> int:
        """Number of bands."""
        return len(self.reference.bands)

    def read(self, box: Box) -> Patch:
        """A window of all images."""
        return Patch(self, box)


def open_scene(context: Context, cache_bytes: int) -> Scene:
    """Open and check the inputs of a fusion job.

    Differences that can be mended (grid, coordinate system) are mended and noted; those that may spoil the result
    (scale, nodata value in the header) are warned about.

    Raises
    ------
    UserError
        An input cannot be used; the sentence names it, the values and the remedy.
    """
    job = context.job
    rasters = [role for role in context.method.roles if role.sensor != "file" and role.id in job.inputs]
    sensors = {role.id: role.sensor for role in rasters}
    opened = {role.id: Source(role.title, job.inputs[role.id]) for role in rasters}
    sources = {name: source for name, source in opened.items() if sensors[name] != "classes"}
    fine = sources["fine"]
    _check_bands(fine, sources)
    _check_dates(context, sources)
    share = cache_bytes // len(sources)
    images = {name: _align(context, source, fine, sensors[name], share) for name, source in sources.items()}
    check_values(context, sources, "fine")
    pairs = [Pair(images[f"fine{n}"], images[f"coarse{n}"]) for n in ("", "2") if f"coarse{n}" in images]
    classes, objects = (_map(opened.get(name), fine) for name in ("class_map", "object_map"))
    return Scene(fine, pairs, images["target"], classes, objects, images)


def _check_dates(context: Context, sources: dict[str, Source]) -> None:
    """Refuse two pairs of one date; warn about a target date that does not lie between those of the pairs."""
    if "fine2" not in sources:
        return
    first, second = sources["fine"], sources["fine2"]
    if os.path.abspath(first.path) == os.path.abspath(second.path) and first.bands == second.bands:
        raise UserError(
            f"{first} and {second} are the same file; choose a second pair of another date, or a method for one pair."
        )
    begin, end = (_date_of(sources, fine, coarse) for fine, coarse in (("fine", "coarse"), ("fine2", "coarse2")))
    target = sources["target"].date
    if begin is None or end is None:
        return
    if begin == end:
        raise UserError(
            f"{first} and {second} are both of {begin}; choose a second pair of another date, or set 'Date of the "
            "pair' and 'Date of the second pair'."
        )
    if target is not None and not min(begin, end) <= target <= max(begin, end):
        context.reporter.warning(
            f"{sources['target']} is of {target}, which is not between the dates of the pairs, {min(begin, end)} and "
            f"{max(begin, end)}; choose pairs on either side of it, or check the dates."
        )


def _date_of(sources: dict[str, Source], fine: str, coarse: str) -> date | None:
    """The date of a pair: of its fine image, else of its coarse image."""
    return sources[fine].date or sources[coarse].date


def _check_bands(fine: Source, sources: dict[str, Source]) -> None:
    for source in sources.values():
        if len(source.bands) != len(fine.bands):
            raise UserError(
                f"{fine} has {len(fine.bands)} band(s) and {source} has {len(source.bands)}; choose the bands that "
                "belong together with 'Bands of the fine images' and 'Bands of the coarse images'."
            )


def _map(source: Source | None, fine: Source) -> AlignedSource | None:
    if source is None:
        return None
    if len(source.bands) > 1 or source.dtype.kind not in "iu":
        raise UserError(
            f"{source} has {len(source.bands)} band(s) of type {source.dtype}, and a map has one of whole numbers; "
            "choose another raster, or none."
        )
    return align(source, fine, "nearest")


def _align(context: Context, source: Source, fine: Source, sensor: str, cache_bytes: int) -> AlignedSource:
    """The source on the grid of the fine image, with a note where it has to be resampled."""
    # Methods that compute on the coarse grid have no such option; what they read of a fine image is cubic.
    on_fine_grid = sensor == "fine" or "resampling" in context.options
    resampling = str(context.options.get("resampling", "cubic"))
    image = align(source, fine, resampling, cache_bytes)
    if image.same_grid:
        return image
    ratio = min(pixel_ratio(source.grid, fine.grid))
    if sensor == "coarse" and ratio < _SWAPPED:
        raise UserError(
            f"{source} is finer than {fine} (a pixel of it is {ratio:.2g} fine pixels wide); "
            "swap the fine and the coarse images."
        )
    other = "" if source.grid.crs == fine.grid.crs else f" from {source.crs_name} to {fine.crs_name}"
    if on_fine_grid:
        context.reporter.log(f"{source} is resampled ({resampling}){other} to the grid of {fine}, ratio {ratio:.3g}.")
    return image


def moving_window(context: Context, scene: Scene) -> int:
    """Side of the moving window in fine pixels, odd: the user's, or three coarse pixels as far as the image reaches.

    Raises
    ------
    UserError
        The user's window is larger than the image, or a single pixel.
    """
    window = int(context.options["window"])
    if window == 1:
        raise UserError("'Window (fine pixels)' (window) is 1, which has no neighbours; take at least 3, or 0.")
    if window:
        check_window(window, scene)
        return window
    grids = scene.target.source.grid, scene.reference.grid
    wanted = _USUAL_WINDOW if scene.target.same_grid else 2 * math.ceil(1.5 * max(pixel_ratio(*grids))) + 1
    window = max(3, min(wanted, _LARGEST_WINDOW, _odd(min(scene.shape))))
    context.reporter.log(f"The window is {window} fine pixels wide.")
    return window


def _odd(number: int) -> int:
    """The largest odd number up to another."""
    return (number - 1) // 2 * 2 + 1


def check_window(window: int, scene: Scene) -> None:
    """Refuse a moving window (its side, in fine pixels) that is larger than the image."""
    rows, columns = scene.shape
    if window > min(rows, columns):
        raise UserError(
            f"The window of {window} pixels is larger than {scene.reference} ({columns} x {rows} pixels); "
            f"take an odd window of at most {_odd(min(rows, columns))}."
        )


def reflectance_unit(context: Context, fine: Source, values: Array | None = None) -> float:
    """The value of reflectance 1: the user's, else a guess from the values of the fine image that is reported.

    ``values`` are some of its values where they were read already, NaN where they are invalid.
    """
    given = float(context.options["unit"])
    if given > 0:
        return given
    if values is None:
        values = fine.sample.values
    low, high = np.percentile(values[~np.isnan(values)], (2, 98))
    if high <= 2:
        return 1.0
    if np.dtype(fine.dtype).itemsize == 1:
        unit, kind = 255.0, "8-bit values"
    elif low > 150 and high < 400:
        unit, kind = 100.0, "temperatures in kelvin"
    else:
        unit, kind = 10000.0, "reflectance"
    context.reporter.log(
        f"{fine} ranges from {low:.4g} to {high:.4g}, taken for {kind}: reflectance 1 is {unit:g}; "
        "set 'Value of reflectance 1' if this is wrong."
    )
    return unit


def valid_range(scene: Scene, context: Context, unit: float) -> tuple[float, float]:
    """The valid range in the unit of the images; a bound that the fine images do not keep themselves is left out."""
    low, high = (float(context.options[name]) * unit for name in ("lowest", "highest"))
    samples = [pair.fine.source.sample.values for pair in scene.pairs]
    least, most = np.percentile(np.concatenate([s[~np.isnan(s)] for s in samples]), (2, 98))
    return (low if least >= low else -np.inf), (high if most <= high else np.inf)
