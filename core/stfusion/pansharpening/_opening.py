"""The two images of a pansharpening job: opened, checked, and brought together by where they lie in the world."""

from __future__ import annotations

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox
from odc.geo.overlap import compute_reproject_roi

from stfusion.errors import UserError
from stfusion.pansharpening._axis import Axis
from stfusion.pansharpening._scene import Scene
from stfusion.pansharpening._shared import ALIGNMENT
from stfusion.raster.checks import check_values
from stfusion.raster.grids import pixel_ratio
from stfusion.raster.source import AlignedSource, Source, align
from stfusion.run import Context

#: Pixels of the multispectral image have to be this many times as wide as those of the panchromatic one.
_LEAST_RATIO = 1.5
#: How images are aligned where a job does not say it.
_ALIGNED = {option.id: str(option.default) for option in ALIGNMENT}
#: Share of a ratio by which it may be off a whole number without being spoken of.
_OFF = 0.01


def open_scene(context: Context, cache_bytes: int, toolbox: bool = False, several: bool = False) -> Scene:
    """Open, check and align the two images of a job; on the toolbox's grid if that or the option 'Grid' says so.

    The panchromatic one may have ``several`` bands.

    Raises
    ------
    UserError
        An image cannot be used, or the two do not go together; the sentence names them, the values and the remedy.
    """
    titles = {role.id: role.title for role in context.method.roles}
    images = {name: Source(titles[name], context.job.inputs[name]) for name in ("multispectral", "pan")}
    multispectral, pan = images["multispectral"], images["pan"]
    if len(pan.bands) != 1 and not several:
        raise UserError(
            f"{pan} has {len(pan.bands)} bands; choose the panchromatic one with 'Bands of the panchromatic image', or "
            "'Hypersharpening', which takes several."
        )
    check_values(context, images, "multispectral")
    if _run_alike(multispectral, pan):
        scene = _beside(context, multispectral, pan, toolbox)
    else:
        scene = _warped(context, multispectral, pan, cache_bytes)
    return scene


def _option(context: Context, name: str) -> str:
    """An option of the alignment; as it is by default for a job that does not ask for it."""
    return str(context.options.get(name, _ALIGNED[name]))


def _run_alike(multispectral: Source, pan: Source) -> bool:
    """Whether rows and columns of the two run in the same directions, so that nothing has to be warped."""
    across = ~multispectral.grid.affine @ pan.grid.affine
    straight = max(abs(across.b), abs(across.d)) * max(pan.shape) < _OFF
    return bool(multispectral.grid.crs == pan.grid.crs and straight and across.a > 0 and across.e > 0)


def _check_ratio(multispectral: Source, pan: Source, sizes: tuple[float, float]) -> None:
    if min(sizes) < _LEAST_RATIO:
        raise UserError(
            f"A pixel of {multispectral} is {sizes[0]:.3g} x {sizes[1]:.3g} pixels of {pan}, and has to be larger; "
            "choose the panchromatic image for the finer one, or swap the two."
        )


def _note_ratio(context: Context, multispectral: Source, pan: Source, sizes: tuple[float, float], how: str) -> None:
    whole = all(abs(size / round(size) - 1) < _OFF for size in sizes)
    if not whole or how:
        context.reporter.log(
            f"A pixel of {multispectral} is {sizes[0]:.4g} x {sizes[1]:.4g} pixels of {pan}{how}; it is resampled "
            "to these."
        )


def _beside(context: Context, multispectral: Source, pan: Source, toolbox: bool) -> Scene:
    """The scene of images whose rows and columns run alike: nothing is resampled but by its methods."""
    resampling = _option(context, "resampling")
    across = ~multispectral.grid.affine @ pan.grid.affine
    sizes = _snapped(1 / across.e, 1e-6), _snapped(1 / across.a, 1e-6)
    _check_ratio(multispectral, pan, sizes)
    _note_ratio(context, multispectral, pan, sizes, "")
    shift = 0.5 if toolbox or _option(context, "grid") == "toolbox" else 0.0
    axes = [
        Axis(size, _snapped(offset * size, 1e-4) / size - shift * (round(size) % 2 == 0) / size, count, low, resampling)
        for size, offset, count, low in zip(
            sizes, (across.f, across.c), pan.shape, multispectral.shape, strict=True
        )
    ]
    covered = [axis.covered() for axis in axes]
    if any(begin >= end for begin, end in covered) or any(axis.common[0] >= axis.common[1] for axis in axes):
        raise UserError(
            f"{multispectral} and {pan} do not overlap ({multispectral.crs_name}); choose images of the same place, "
            "or check their coordinate systems."
        )
    (top, bottom), (left, right) = (
        covered if _option(context, "extent") == "intersection" else [(0, axis.count) for axis in axes]
    )
    rows, columns = (
        Axis(axis.ratio, axis.offset + begin / axis.ratio, end - begin, axis.low, resampling)
        for axis, (begin, end) in zip(axes, ((top, bottom), (left, right)), strict=True)
    )
    own = AlignedSource(multispectral, multispectral.grid, "nearest")
    grid = pan.grid[top:bottom, left:right]
    return Scene(multispectral, pan, grid, top, left, own, rows, columns)


def _snapped(value: float, tolerance: float) -> float:
    """A value that is a whole number, or half of one, but for what geotransforms are rounded by, as that."""
    near = round(2 * value) / 2
    return near if abs(value - near) < tolerance * max(1.0, abs(near)) else value


def _warped(context: Context, multispectral: Source, pan: Source, cache_bytes: int) -> Scene:
    """The scene of images that lie askew: the multispectral one is warped to the rows and columns of the other one."""
    resampling = _option(context, "resampling")
    align(multispectral, pan, resampling)  # refuses what does not go together
    sizes = pixel_ratio(multispectral.grid, pan.grid)
    _check_ratio(multispectral, pan, sizes)
    other = "" if multispectral.grid.crs == pan.grid.crs else f" from {multispectral.crs_name} to {pan.crs_name}"
    _note_ratio(context, multispectral, pan, sizes, f", askew{other}")
    if _option(context, "grid") == "toolbox":
        raise UserError(
            f"{multispectral} does not run as {pan} does, and the toolboxes' grid is for images that do; take the grid "
            "'gis'."
        )
    ratio = round(float(np.mean(sizes)))
    grid, top, left = _common_grid(context, multispectral, pan)
    shape = -(-int(grid.shape[0]) // ratio), -(-int(grid.shape[1]) // ratio)
    low = AlignedSource(
        multispectral, GeoBox(shape, grid.affine * Affine.scale(ratio), grid.crs), "cubic", cache_bytes=cache_bytes // 2
    )
    rows, columns = (Axis(ratio, 0.0, int(n), m, resampling) for n, m in zip(grid.shape, shape, strict=True))
    on_grid = AlignedSource(multispectral, grid, resampling, cache_bytes=cache_bytes // 2)
    return Scene(multispectral, pan, grid, top, left, low, rows, columns, on_grid)


def _common_grid(context: Context, multispectral: Source, pan: Source) -> tuple[GeoBox, int, int]:
    """The pixels of the panchromatic image that the result has, and the first row and column of them."""
    if _option(context, "extent") != "intersection":
        return pan.grid, 0, 0
    rows, columns = compute_reproject_roi(multispectral.grid, pan.grid).roi_dst
    return pan.grid[rows, columns], rows.start, columns.start
