"""Whether a trained network fits a scene: refused where it cannot, warned where it was not trained for such a one."""

from __future__ import annotations

import numpy as np

from stfusion.errors import UserError
from stfusion.fusion._scene import Scene
from stfusion.networks._checkpoint import Checkpoint
from stfusion.networks._network import FusionNetwork, Network
from stfusion.networks._normalisation import Normalisation
from stfusion.raster.grids import pixel_ratio
from stfusion.raster.source import Source
from stfusion.run import Context

#: A scene may have a ratio so many times larger or smaller than those that a network was trained for.
_RATIO_APART = 1.5
#: Largest size of normalised values that is taken for the scale of the training, that is not warned about, and the
#: smallest that is not.
_OTHER_SCALE, _UNUSUAL, _TINY = 20.0, 3.0, 0.05


def check_bands(image: Source, network: Network, checkpoint: Checkpoint, where: str) -> None:
    """Refuse an image with other bands than the network's; one that was made for any band takes them one at a time.

    ``where`` is what to choose them with.

    Raises
    ------
    UserError
        The numbers of bands differ.
    """
    bands, any_band = network.form.bands, checkpoint.card.normalisation.kind == "scene"
    if len(image.bands) != bands and not (bands == 1 and any_band):
        names = f" ({', '.join(checkpoint.card.bands)})" if checkpoint.card.bands else ""
        raise UserError(
            f"{image} has {len(image.bands)} band(s) and '{checkpoint.path}' was trained for {bands}{names}; "
            f"choose these bands with {where}, or train a network band by band."
        )


def check_pairs(context: Context, network: FusionNetwork, checkpoint: Checkpoint, given: int) -> None:
    """Refuse too few pairs; say what becomes of one too many.

    Raises
    ------
    UserError
        The network needs two pairs and one is given.
    """
    needed = network.form.pairs
    if given < needed:
        raise UserError(
            f"'{checkpoint.path}' was trained for {needed} pairs and {given} is given; give the second pair as well, "
            "or choose a checkpoint for one pair."
        )
    if given > needed:
        use = (
            "predicts from each of the two, and the predictions are weighted by how little changed since the pair"
            if network.needs_coarse else "does not use the second one"
        )
        context.reporter.log(f"'{checkpoint.path.name}' was trained for one pair; it {use}.")


def warn_of_ratio(context: Context, scene: Scene, checkpoint: Checkpoint) -> None:
    """Warn where the ratio of coarse to fine pixel size is far from those of the training, if both are known."""
    if scene.target.same_grid:
        return
    ratio = float(np.mean(pixel_ratio(scene.target.source.grid, scene.reference.grid)))
    trained = unlike_ratio(ratio, checkpoint)
    if trained:
        context.reporter.warning(
            f"A coarse pixel of {scene.target.source} is {ratio:.3g} fine pixels wide and '{checkpoint.path.name}' was "
            f"trained for {trained}; the result may be poor: fine-tune the network on this scene."
        )


def unlike_ratio(ratio: float, checkpoint: Checkpoint) -> str:
    """The ratios of a training in words, where they are known and far from that of a scene."""
    low, high = checkpoint.card.ratio
    if high == 0 or low / _RATIO_APART <= ratio <= high * _RATIO_APART:
        return ""
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def check_range(context: Context, source: Source, checkpoint: Checkpoint, scaling: Normalisation) -> None:
    """Refuse an image on another scale than the training's, and warn of values that it hardly had.

    ``scaling`` is what the checkpoint has for its bands.

    Raises
    ------
    UserError
        The values are much larger or smaller.
    """
    values = source.sample.values
    low, high = np.percentile(values[:, ~np.isnan(values[0])], (2, 98))
    known_low = min(o - s for o, s in zip(scaling.offset, scaling.scale, strict=True))
    known_high = max(o + s for o, s in zip(scaling.offset, scaling.scale, strict=True))
    size, known = max(abs(low), abs(high)), max(abs(known_low), abs(known_high))
    found = (
        f"{source} ranges from {low:.4g} to {high:.4g} and '{checkpoint.path.name}' was trained on values of about "
        f"{known_low:.4g} to {known_high:.4g}"
    )
    if size > _OTHER_SCALE * known or size < _TINY * known:
        raise UserError(f"{found}; rescale the images, or set the scale in the file, so that the units agree.")
    if size > _UNUSUAL * known:
        context.reporter.warning(f"{found}; the result may be poor.")
