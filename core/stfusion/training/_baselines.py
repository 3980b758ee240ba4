"""What a fusion network is compared with on the samples of its validation: the three baselines, and STARFM."""

from __future__ import annotations

import numpy as np

from stfusion.raster.source import Array
from stfusion.run import Context
from stfusion.training._rivals import Rivals, run_method
from stfusion.training._samples import Sample

#: Side of the moving window in fine pixels, where the sample is as large.
_WINDOW = 51


def _starfm(context: Context, sample: Sample) -> Array:
    """The prediction of STARFM, from coarse images that lie on the fine grid."""
    images = {"fine": sample.fine[0], "coarse": sample.coarse[0], "target": sample.target}
    if len(sample.fine) > 1:
        images |= {"fine2": sample.fine[1], "coarse2": sample.coarse[1]}
    undo = sample.normalisation.undo
    side = min(sample.target.shape[1:])
    fused = run_method(
        context, "starfm", {role: (undo(image), sample.valid, 1) for role, image in images.items()},
        window=min(_WINDOW, side - 1 + side % 2),
    )
    normalised = sample.normalisation.apply(fused)
    # Where it has no value, it is taken to say that nothing has changed.
    return np.where(np.isnan(normalised), sample.fine[0], normalised)


RIVALS: Rivals = {
    "copy_fine": lambda context, sample: sample.fine[0],
    "upsampled_coarse": lambda context, sample: sample.target,
    "fine_plus_difference": lambda context, sample: sample.fine[0] + (sample.target - sample.coarse[0]),
    "starfm": _starfm,
}
