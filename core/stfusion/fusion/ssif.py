"""SSIF: spatiotemporal satellite image fusion through one-pair image learning (Song and Huang 2013)."""

from __future__ import annotations

from stfusion.declaration import Method, Option
from stfusion.fusion._shared import DICTIONARY, FIRST_PAIR, GROUP, PREDICTION, RESAMPLING, TARGET, UNIT

METHOD = Method(
    id="ssif",
    operation="fuse",
    title="SSIF (one-pair learning)",
    group=GROUP,
    summary="Sharpens the coarse images by a dictionary learnt from one pair; the fine image changes as they do.",
    description=(
        "SSIF learns from one pair which fine detail goes with which slopes of the coarse image, and sharpens the "
        "coarse images of both dates with it. The fine image then changes as the sharpened images do: by their "
        "difference, and its contrast by their ratio (high-pass modulation), so that bright objects lose more than "
        "dark ones where the coarse image darkens. It suits growth, harvest and fire; it keeps the objects of the fine "
        "image and cannot invent new ones inside a coarse pixel."
    ),
    paper=(
        "Song, H., Huang, B. (2013). Spatiotemporal satellite image fusion through one-pair image learning. IEEE "
        "Transactions on Geoscience and Remote Sensing 51(4), 1883-1896."
    ),
    doi="10.1109/TGRS.2012.2213095",
    roles=(*FIRST_PAIR, TARGET),
    options=(
        *DICTIONARY,
        Option(
            "intermediate",
            "integer",
            "Intermediate resolution (fine pixels)",
            0,
            "Predict first at this resolution, odd, between those of the fine and the coarse image, and then from "
            "there at the fine one: the two layers of the paper. A third of a coarse pixel is a good width. 0 goes "
            "there in one layer.",
            minimum=0,
            maximum=33,
        ),
        Option(
            "modulation",
            "choice",
            "Contrast of the fine image",
            "high_pass",
            "high_pass: changes by the ratio of the sharpened coarse images, as in the paper. constant: stays, so that "
            "the result is the fine image plus the sharpened coarse change.",
            choices=("high_pass", "constant"),
        ),
        Option(
            "contrast_limit",
            "number",
            "Limit of the contrast",
            1.0,
            "Largest factor by which the contrast of the fine image is multiplied. 1 lets it shrink and not grow, "
            "which has the smaller error on nearly all scenes; 0 sets no limit, as in the paper.",
            minimum=0.0,
        ),
        RESAMPLING,
        UNIT,
    ),
    outputs=(PREDICTION,),
    run="stfusion.fusion._ssif:run",
    tags=("fusion", "dictionary", "sparse", "landsat", "modis", "sentinel", "downscaling", "reflectance"),
)
