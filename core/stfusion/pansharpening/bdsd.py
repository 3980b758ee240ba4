"""Declaration of band-dependent spatial detail."""

from __future__ import annotations

from stfusion.declaration import Option
from stfusion.pansharpening._shared import PAN_GAIN, declare
from stfusion.raster.mtf import GAINS_OPTION, SENSOR_OPTION

METHOD = declare(
    "bdsd",
    "Band-dependent detail (BDSD)",
    "Learns for every band and block which mixture of the bands and the panchromatic image is the detail it lacks.",
    "At the resolution of the bands, the detail that each of them would lose to its sensor once more is explained by "
    "all blurred bands and the panchromatic image (least squares), in blocks of the scene; the same mixture of the "
    "images at full resolution is the detail that it lacks now. It follows what is different from place to place, and "
    "shows the edges of the blocks where they are small. BDSD-PC learns one mixture for the scene, within sensible "
    "bounds, and is the safer of the two.",
    "Garzelli, A., Nencini, F., Capobianco, L. (2008). Optimal MMSE pan sharpening of very high resolution "
    "multispectral images. IEEE Transactions on Geoscience and Remote Sensing 46(1), 228-236.",
    "10.1109/TGRS.2007.907604",
    options=(
        Option(
            "block", "integer", "Block (panchromatic pixels)", 128,
            "Side of the blocks that have a mixture of their own; the last ones take what is left. 0 takes the whole "
            "scene for one.",
            0, 100_000,
            advanced=False,
        ),
        SENSOR_OPTION, GAINS_OPTION, PAN_GAIN,
    ),
    tags=("bdsd", "band-dependent spatial detail", "mmse", "component substitution"),
)
