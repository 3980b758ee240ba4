"""Fusing with a trained network: its checkpoint, whether it fits the scene, and the fused image."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any, get_args

import numpy as np
import torch

from stfusion.errors import UserError
from stfusion.fusion._scene import Scene, open_scene
from stfusion.networks import _device
from stfusion.networks._checkpoint import Checkpoint, load
from stfusion.networks._inputs import FusionReader, Reader
from stfusion.networks._lattice import rows_of_patches
from stfusion.networks._network import Layout, Network, Sampler
from stfusion.networks._normalisation import Normalisation, from_samples, sample_of
from stfusion.networks._predict import Drawing, Meter, Predictor, TooLarge, layout_that_fits, mosaic
from stfusion.networks._scene_fit import check_bands, check_pairs, check_range, warn_of_ratio
from stfusion.networks._shared import shipped
from stfusion.raster.output import Content, Output, provenance
from stfusion.raster.source import AlignedSource
from stfusion.raster.tiles import bounded_gdal
from stfusion.run import Context

#: Shares of the working memory; what torch and its libraries take; and the progress at the begin and the end.
_CACHE_SHARE, _PATCH_SHARE = 0.2, 0.6
_TORCH_BYTES = 250 * 2**20
_PREDICTION = (3.0, 95.0)


def run(context: Context) -> dict[str, Any]:
    """Run a fusion job with the network of its checkpoint."""
    with bounded_gdal(context) as working:
        context.reporter.stage("Opening and checking the images", 1, 3)
        checkpoint = _checkpoint(context)
        scene = open_scene(context, int(_CACHE_SHARE * working))
        network = checkpoint.build()
        fine, coarse = images_of_pairs(context, scene, network, checkpoint)
        scaling = _scaling(context, checkpoint, network, scene, [*fine, *coarse])
        reader = FusionReader(scene, fine, coarse, scaling)
        tags = provenance(context, scene.target.source.date) | {"STF_CHECKPOINT": checkpoint.path.name}
        with ExitStack() as files:
            outputs = {
                name: files.enter_context(Output(path, scene.reference, tags, context.stop, _content(name, scene)))
                for name, path in context.job.outputs.items() if name in ("output", "uncertainty")
            }
            drawing = _drawing(context, network, checkpoint.card.steps, "uncertainty" in outputs)
            _fuse(context, network, reader, drawing, outputs, int(_PATCH_SHARE * working) - _TORCH_BYTES)
            context.reporter.stage("Writing the Cloud Optimized GeoTIFF", 3, 3)
            for output in outputs.values():
                output.finish(context.threads)
    result = {name: str(output.path) for name, output in outputs.items()}
    if scene.target.source.date is not None:
        result["date"] = scene.target.source.date.isoformat()
    return result


def _content(name: str, scene: Scene) -> Content | None:
    """The uncertainty is in real numbers, under the names of the bands; the image is like the fine one."""
    return Content.of_numbers(scene.reference.names) if name == "uncertainty" else None


def _checkpoint(context: Context) -> Checkpoint:
    """The checkpoint that the user gave, or the one of the method that comes with the engine.

    Raises
    ------
    UserError
        There is none, or it is of another network than the method's.
    """
    method, given = context.method, context.job.inputs.get("weights")
    path = given.path if given else shipped(method.id)
    if path is None:
        raise UserError(
            f"{method.title} comes without weights; train it with 'Train a fusion network' and give the checkpoint as "
            "'Weights' (weights)."
        )
    checkpoint = load(path)
    if method.id not in (checkpoint.card.network, "fuse_trained"):
        raise UserError(
            f"'{path}' is of the network '{checkpoint.card.network}' and not of '{method.id}'; choose another file, or "
            "'Fuse with a trained network'."
        )
    return checkpoint


def images_of_pairs(
    context: Context, scene: Scene, network: Network, checkpoint: Checkpoint
) -> tuple[list[AlignedSource], list[AlignedSource]]:
    """The fine and the coarse images of the pairs that are used; no coarse ones for a network that needs none."""
    check_bands(scene, network, checkpoint)
    fine = [scene.images[name] for name in ("fine", "fine2") if name in scene.images]
    check_pairs(context, network, checkpoint, len(fine))
    coarse = [scene.images[name] for name in ("coarse", "coarse2") if name in scene.images]
    return (fine, coarse) if network.needs_coarse else (fine[: network.form.pairs], [])


def _scaling(
    context: Context, checkpoint: Checkpoint, network: Network, scene: Scene, images: list[AlignedSource]
) -> Normalisation:
    """How values become those that the network knows."""
    warn_of_ratio(context, scene, checkpoint)
    scaling = checkpoint.card.normalisation
    if scaling.kind == "stored":
        check_range(context, scene, checkpoint)
        return scaling
    return from_samples([sample_of(image) for image in (*images, scene.target)], network.symmetric)


def _fuse(
    context: Context, network: Network, reader: Reader, drawing: Drawing, outputs: dict[str, Output], budget: int
) -> None:
    """Predict the whole image and write it; where a patch does not fit into the memory, again with smaller ones."""
    context.reporter.stage("Fusing", 2, 3)
    device, smaller = _device.find(context), 0
    while True:
        layout = layout_that_fits(context, network, budget, smaller)
        meter = Meter(context, _calls(network, reader, layout, drawing), *_PREDICTION)
        predictor = Predictor(network, device, meter.advance, int(context.options["batch"]))
        try:
            _write(context, predictor, reader, layout, drawing, outputs)
        except TooLarge:
            smaller += 1
        else:
            return


def _drawing(context: Context, network: Network, steps: int, uncertainty: bool) -> Drawing:
    """How samples are drawn; in as many ``steps`` unless the user wants others.

    Raises
    ------
    UserError
        An uncertainty is wanted of a network that gives none, or of a single sample; or there are too many steps.
    """
    if not network.stochastic:
        if uncertainty:
            raise UserError(
                f"A network '{network.id}' has no uncertainty, since it always gives the same; leave 'Uncertainty' "
                "(uncertainty) out, or use a diffusion model."
            )
        return Drawing()
    options = context.options
    samples = int(options["samples"])
    if uncertainty and samples < 2:
        raise UserError(
            f"'Samples' (samples) is {samples} and an uncertainty is the spread of at least 2; raise it, or leave "
            "'Uncertainty' (uncertainty) out."
        )
    sampler = next(name for name in get_args(Sampler) if name == options["sampler"])
    drawing = Drawing(context.job.seed, samples, int(options["steps"]) or steps, sampler, float(options["eta"]))
    try:
        network.evaluations(drawing.sampling(_no_noise))
    except ValueError as error:
        raise UserError(f"'Steps' (steps) is {drawing.steps}, and {error}; take fewer.") from error
    return drawing


def _no_noise(step: int) -> torch.Tensor:
    """Noise for a sampling that is only asked about."""
    return torch.empty(0)


def _calls(network: Network, reader: Reader, layout: Layout, drawing: Drawing) -> int:
    """How often the network is asked for a patch, or a band of it."""
    patches = sum(map(len, rows_of_patches(reader.shape, layout)))
    bands = reader.bands if network.form.bands == 1 else 1
    calls = network.evaluations(drawing.sampling(_no_noise))
    turns = max(1, reader.pairs // network.form.pairs)
    return patches * bands * drawing.samples * calls * turns


def _write(
    context: Context, predictor: Predictor, reader: Reader, layout: Layout, drawing: Drawing,
    outputs: dict[str, Output],
) -> None:
    unknown = outputs["output"].clipped = 0
    for box, values, spread in mosaic(predictor, reader, layout, drawing):
        outputs["output"].write(box, values)
        if spread is not None and "uncertainty" in outputs:
            outputs["uncertainty"].write(box, spread)
        unknown += int(np.count_nonzero(np.isnan(values)))
    for note in predictor.notes:
        context.reporter.log(note)
    total = reader.shape[0] * reader.shape[1] * reader.bands
    if unknown:
        say = context.reporter.log if unknown < total else context.reporter.warning
        say(f"{unknown} of {total} values ({unknown / total:.2%}) have no data, since an input has none there.")
    if outputs["output"].clipped:
        context.reporter.warning(
            f"{outputs['output'].clipped} of {total} values were outside the range of the data type and were clipped."
        )
