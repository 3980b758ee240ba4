"""Sharpening with a trained network: its checkpoint, whether it fits the scene, and the sharpened image."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import numpy as np

from stfusion.errors import UserError
from stfusion.networks._checkpoint import Checkpoint
from stfusion.networks._network import SharpeningNetwork
from stfusion.networks._normalisation import Normalisation, from_samples, sample_of
from stfusion.networks._scene_fit import check_bands, check_range, unlike_ratio
from stfusion.networks._sharpening_inputs import SharpeningReader
from stfusion.networks._whole import checkpoint_of, drawing_of, predict
from stfusion.pansharpening._opening import open_scene
from stfusion.pansharpening._scene import Scene
from stfusion.raster.grids import pixel_ratio
from stfusion.raster.output import Content, Output, provenance
from stfusion.raster.tiles import bounded_gdal, window_of
from stfusion.run import Context

#: Share of the working memory for warped images, where there are any.
_CACHE_SHARE = 0.15
#: What trains these networks.
TRAINING = "Train a pansharpening network"


def run(context: Context) -> dict[str, Any]:
    """Run a job of sharpening with the network of its checkpoint."""
    return sharpen(context, checkpoint_of(context, TRAINING, "the method of that network"))


def sharpen(context: Context, checkpoint: Checkpoint, begin: float = 0.0) -> dict[str, Any]:
    """Sharpen the images of a job with the network of a checkpoint; ``begin`` is the progress at the begin."""
    with bounded_gdal(context) as working:
        context.reporter.stage("Opening and checking the images", 1, 3)
        network = checkpoint.build()
        if not isinstance(network, SharpeningNetwork):
            raise TypeError(f"{network} does not sharpen")
        toolbox = checkpoint.card.grid == "toolbox"
        scene = open_scene(context, int(_CACHE_SHARE * working), toolbox, several=True)
        scaling = fitted(context, scene, network, checkpoint)
        if toolbox and scene.warped is not None:
            context.reporter.warning(
                f"'{checkpoint.path.name}' was trained with images half a pixel apart, and {scene.multispectral} is "
                "resampled to where it lies, since it runs otherwise; the result may be displaced by so much."
            )
        reader = SharpeningReader(scene, network, scaling)
        day = scene.multispectral.date or scene.pan.date
        tags = provenance(context, day) | {"STF_CHECKPOINT": checkpoint.path.name}
        window = window_of(context, scene.shape)
        with ExitStack() as files:
            outputs = {
                name: files.enter_context(Output(
                    path, scene.multispectral, tags, context.stop, _content(context, name, scene), scene.grid, window
                ))
                for name, path in context.job.outputs.items() if name in ("output", "uncertainty")
            }
            drawing = drawing_of(context, network, checkpoint.card.steps, "uncertainty" in outputs)
            context.reporter.stage("Sharpening", 2, 3)
            predict(context, network, reader, drawing, outputs, working, begin, window)
            context.reporter.stage("Writing the GeoTIFF", 3, 3)
            for output in outputs.values():
                output.finish(context.threads, optimized=context.options["layout"] == "cog")
    result = {name: str(output.path) for name, output in outputs.items()}
    return {**result, **({"date": day.isoformat()} if day is not None else {})}


def _content(context: Context, name: str, scene: Scene) -> Content:
    """The uncertainty is in real numbers, and the image where that is wanted."""
    if name == "uncertainty" or context.options["output_type"] == "float32":
        return Content.of_numbers(scene.multispectral.names)
    return Content.like(scene.multispectral)


def fitted(context: Context, scene: Scene, network: SharpeningNetwork, checkpoint: Checkpoint) -> Normalisation:
    """How values become those that the network knows, of a scene that it can take; warns where it was for others.

    Raises
    ------
    UserError
        The numbers of bands or the units differ, or the network is built for another ratio.
    """
    _check(context, scene, network, checkpoint)
    return _scaling(context, scene, network, checkpoint)


def _check(context: Context, scene: Scene, network: SharpeningNetwork, checkpoint: Checkpoint) -> None:
    """Refuse other bands and ratios than those that the network takes, and warn of others than it was trained for."""
    check_bands(scene.multispectral, network, checkpoint, "'Bands of the images'")
    if network.form.pan_bands != len(scene.pan.bands):
        raise UserError(
            f"{scene.pan} has {len(scene.pan.bands)} band(s) and '{checkpoint.path}' was trained for "
            f"{network.form.pan_bands}; choose as many with 'Bands of the panchromatic image', or another checkpoint."
        )
    built = network.form.ratio
    if built and built != scene.ratio:
        raise UserError(
            f"A pixel of {scene.multispectral} is about {scene.ratio} pixels of {scene.pan} wide and "
            f"'{checkpoint.path}' is built for {built}; choose another checkpoint, or another network, which takes any."
        )
    ratio = float(np.mean([scene.rows.ratio, scene.columns.ratio])) if scene.warped is None else float(
        np.mean(pixel_ratio(scene.multispectral.grid, scene.pan.grid))
    )
    trained = unlike_ratio(ratio, checkpoint)
    if trained:
        context.reporter.warning(
            f"A pixel of {scene.multispectral} is {ratio:.3g} pixels of {scene.pan} wide and '{checkpoint.path.name}' "
            f"was trained for {trained}; the result may be poor: train a network on this scene."
        )


def _scaling(
    context: Context, scene: Scene, network: SharpeningNetwork, checkpoint: Checkpoint
) -> Normalisation:
    """How values become those that the network knows: the multispectral bands, and then the panchromatic one."""
    scaling = checkpoint.card.normalisation
    if scaling.kind == "stored":
        count = network.form.bands
        check_range(context, scene.multispectral, checkpoint, scaling.bands(slice(count)))
        check_range(context, scene.pan, checkpoint, scaling.bands(slice(count, None)))
        return scaling
    images = (from_samples([sample_of(image)], network.symmetric) for image in (scene.multispectral, scene.pan))
    own, pan = images
    return Normalisation("scene", own.offset + pan.offset, own.scale + pan.scale)
