"""A network and a whole scene: which checkpoint, how its samples are drawn, and the image predicted and written."""

from __future__ import annotations

from typing import get_args

import numpy as np
import torch

from stfusion.errors import UserError
from stfusion.networks import _device
from stfusion.networks._checkpoint import Checkpoint, load
from stfusion.networks._inputs import Reader
from stfusion.networks._lattice import rows_of_patches
from stfusion.networks._network import Layout, Network, Sampler
from stfusion.networks._predict import Drawing, Meter, Predictor, TooLarge, layout_that_fits, mosaic
from stfusion.networks._shared import NETWORKS, shipped
from stfusion.raster.grids import Box
from stfusion.raster.output import Output
from stfusion.run import Context

#: Share of the working memory for patches, what torch and its libraries take, and the progress at begin and end.
_PATCH_SHARE = 0.6
_TORCH_BYTES = 250 * 2**20
_PREDICTION = (3.0, 95.0)


def checkpoint_of(context: Context, training: str, others: str = "'Fuse with a trained network'") -> Checkpoint:
    """The checkpoint that the user gave, or the one of the method that comes with the engine.

    ``training`` is the title of what trains such a network, ``others`` of what takes a checkpoint of another one.

    Raises
    ------
    UserError
        There is none, or it is of another network than the method's.
    """
    method, given = context.method, context.job.inputs.get("weights")
    path = given.path if given else shipped(method.id)
    if path is None:
        raise UserError(
            f"{method.title} comes without weights; train it with '{training}' and give the checkpoint as 'Weights' "
            "(weights)."
        )
    checkpoint = load(path)
    network = checkpoint.card.network
    if method.id != network and not (method.id == "fuse_trained" and network in NETWORKS):
        raise UserError(
            f"'{path}' is of the network '{network}' and not of '{method.id}'; choose another file, or "
            f"{others}."
        )
    return checkpoint


def predict(
    context: Context, network: Network, reader: Reader, drawing: Drawing, outputs: dict[str, Output], working: int,
    begin: float = 0.0, window: Box | None = None,
) -> None:
    """Predict the image, or a window, and write it; where a patch does not fit into memory, again with smaller ones.

    ``working`` are the bytes of memory to work with, ``begin`` is the progress at the begin.
    """
    budget = int(_PATCH_SHARE * working) - _TORCH_BYTES
    device, smaller = _device.find(context), 0
    window = window or Box(0, reader.shape[0], 0, reader.shape[1])
    while True:
        layout = layout_that_fits(context, network, budget, smaller)
        meter = Meter(context, _calls(network, reader, layout, drawing), max(begin, _PREDICTION[0]), _PREDICTION[1])
        predictor = Predictor(network, device, meter.advance, int(context.options["batch"]))
        try:
            _write(context, predictor, reader, layout, drawing, window, outputs)
        except TooLarge:
            smaller += 1
        else:
            return


def drawing_of(context: Context, network: Network, steps: int, uncertainty: bool) -> Drawing:
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
    context: Context, predictor: Predictor, reader: Reader, layout: Layout, drawing: Drawing, window: Box,
    outputs: dict[str, Output],
) -> None:
    unknown = outputs["output"].clipped = 0
    for box, values, spread in mosaic(predictor, reader, layout, drawing, window):
        own = box.common(window)
        if min(own.shape) <= 0:
            continue
        part = (slice(None), *own.within(box))
        outputs["output"].write(own, values[part])
        if spread is not None and "uncertainty" in outputs:
            outputs["uncertainty"].write(own, spread[part])
        unknown += int(np.count_nonzero(np.isnan(values[part])))
    for note in predictor.notes:
        context.reporter.log(note)
    total = window.shape[0] * window.shape[1] * reader.bands
    if unknown:
        say = context.reporter.log if unknown < total else context.reporter.warning
        say(f"{unknown} of {total} values ({unknown / total:.2%}) have no data, since an input has none there.")
    if outputs["output"].clipped:
        context.reporter.warning(
            f"{outputs['output'].clipped} of {total} values were outside the range of the data type and were clipped."
        )
