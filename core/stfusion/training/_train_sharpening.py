"""Training of a network of sharpening: on the user's own scene, on data sets of patches, or on simulated landscapes."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from stfusion.errors import UserError
from stfusion.networks._network import Form, SharpeningNetwork, network_class
from stfusion.pansharpening._opening import open_scene
from stfusion.raster.mtf import MULTISPECTRAL, gains_of, pan_gain_of
from stfusion.raster.source import Array
from stfusion.run import Context
from stfusion.training._landscapes import MOST_BANDS
from stfusion.training._rivals import Rivals, run_method
from stfusion.training._sharpening_data import SharpeningData, SharpeningSample, WantedSharpening
from stfusion.training._sharpening_sources import Landscapes, ReducedScene, SharpeningSource
from stfusion.training._work import Order, run, settings_of

#: Bands of simulated landscapes where nothing else says how many.
_BANDS = 4


def train(context: Context) -> dict[str, Any]:
    """Train a network of sharpening; the result has the checkpoint, the report, and the figures on validation.

    Raises
    ------
    UserError
        The data cannot be learnt from, an option does not suit the network, or the training failed.
    """
    options = context.options
    kind = sharpening_class(str(options["network"]))
    size: Literal["published", "small"] = "small" if options["size"] == "small" else "published"
    target = str(options["target"])
    if target not in kind.targets:
        raise UserError(
            f"'What the network gives' (target) is '{target}' and a network '{kind.id}' gives: "
            f"{', '.join(kind.targets)}."
        )
    form = Form(bands=1, size=size, target="residual" if target == "residual" else "image")
    wanted = WantedSharpening(
        patch=_patch(context, kind), per_band=bool(options["per_band"]), share=float(options["validation_share"]),
        held_out=int(options["held_out"]), varied=bool(options["augmentation"]), seed=context.job.seed,
    )

    def opened(context: Context, memory: int) -> SharpeningData:
        return SharpeningData(wanted, kind, _sources(context, memory), context.reporter.log)

    rivals = _OF_SINGLE_BANDS if wanted.per_band else _OF_ALL_BANDS
    return run(context, Order(kind, form, opened, rivals, settings_of(context), int(options["samples"])))


def sharpening_class(name: str) -> type[SharpeningNetwork]:
    """The class of a network of sharpening by its id."""
    found = network_class(name)
    if not issubclass(found, SharpeningNetwork):
        raise ValueError(f"{name} is no network of sharpening")
    return found


def _patch(context: Context, kind: type[SharpeningNetwork]) -> int:
    patch = int(context.options["patch"]) or kind.layout.patch
    if not kind.takes(patch):
        near = min(filter(kind.takes, range(1, 2 * patch + kind.layout.patch)), key=lambda side: abs(side - patch))
        raise UserError(
            f"'Patch' (patch) is {patch} and a network '{kind.id}' cannot be given patches with that side; take {near}."
        )
    return patch


def _sources(context: Context, memory: int) -> list[SharpeningSource]:
    """What there is to learn from: the scene, the data set, and simulated landscapes."""
    inputs, options = context.job.inputs, context.options
    found: list[SharpeningSource] = []
    if ("multispectral" in inputs) != ("pan" in inputs):
        raise UserError("Of a scene both images are needed; give the multispectral and the panchromatic image.")
    if "multispectral" in inputs:
        sensor = str(options["sensor"])
        scene = open_scene(context, memory, several=True)
        gains = gains_of(sensor, str(options["gains"]), scene.bands)
        found.append(ReducedScene("the scene", scene, gains, pan_gain_of(sensor)))
    if "dataset" in inputs:
        # Read by a package that only this needs.
        from stfusion.training._patches import Patches

        paths = (inputs["dataset"].path, *(inputs["dataset"].more or ()))
        found += [Patches(path, "toolbox" if options["patches_grid"] == "toolbox" else "gis") for path in paths]
    if options["landscapes"]:
        bands, ratio = (found[0].bands, found[0].ratio) if found else (_BANDS, int(options["ratio"]))
        if bands > MOST_BANDS:
            raise UserError(
                f"Simulated landscapes have {MOST_BANDS} bands and the images {bands}; leave the landscapes out."
            )
        found.append(Landscapes(bands, ratio, MULTISPECTRAL, context.job.seed))
    if not found:
        raise UserError(
            "There is nothing to learn from; give a multispectral and a panchromatic image, a data set, or choose "
            "simulated landscapes."
        )
    return found


def _classic(context: Context, name: str, sample: SharpeningSample) -> Array:
    """What a classic method makes of a sample."""
    everywhere = np.ones(sample.multispectral.shape[1:], bool)
    images = {
        "multispectral": (sample.normalisation.undo(sample.multispectral), everywhere, sample.ratio),
        "pan": (sample.pan_normalisation.undo(sample.pan), sample.valid, 1),
    }
    found = run_method(context, name, images, grid=sample.grid, output_type="float32")
    normalised = sample.normalisation.apply(found)
    # Without a value are the pixels that are not valid, which nothing is measured of.
    return np.where(np.isnan(normalised), sample.expanded, normalised)


#: What a network for single bands is compared with: components, such as GSA's, are made of several.
_OF_SINGLE_BANDS: Rivals = {
    "interpolated": lambda context, sample: sample.expanded,
    "mtf_glp_fs": lambda context, sample: _classic(context, "mtf_glp_fs", sample),
}
_OF_ALL_BANDS: Rivals = {**_OF_SINGLE_BANDS, "gsa": lambda context, sample: _classic(context, "gsa", sample)}
