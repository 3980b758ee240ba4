"""A pansharpening in parts: windows of its result, which are put together as those of a fusion are."""

from __future__ import annotations

from pathlib import Path

from stfusion.errors import UserError
from stfusion.fusion._split import base_of, merge, windows
from stfusion.networks._shared import SCENE_TAUGHT
from stfusion.pansharpening._opening import open_scene
from stfusion.parts import Part
from stfusion.raster.tiles import bounded_gdal
from stfusion.run import Context

__all__ = ["base_of", "merge", "split"]


def split(context: Context, base: Path, side: int) -> list[Part]:
    """A part for each window of at most ``side`` rows and columns of the result.

    Raises
    ------
    UserError
        The images do not go together, or the network learns from the scene that it sharpens.
    """
    method = context.method
    if method.id in SCENE_TAUGHT:
        raise UserError(
            f"{method.title} learns from the whole scene, and would for each part anew; run it as a whole, or train "
            "another network and give its checkpoint to each part."
        )
    with bounded_gdal(context):
        return windows(context.job, base, open_scene(context, 0, _on_toolbox_grid(context), several=True).shape, side)


def _on_toolbox_grid(context: Context) -> bool:
    """Whether the job runs a network that was trained on the grid of the toolboxes."""
    if context.method.needs != "networks":
        return False
    # Brings torch along, which the other methods do without.
    from stfusion.networks._sharpen import TRAINING
    from stfusion.networks._whole import checkpoint_of

    return checkpoint_of(context, TRAINING).card.grid == "toolbox"
