"""StfNet: two streams for the change before and after (Liu et al. 2019)."""

from __future__ import annotations

from stfusion.networks._shared import TWO_PAIRS, network

METHOD = network(
    name="stfnet",
    title="StfNet",
    summary="Predicts the fine change since the first and until the second pair, and reconciles the two.",
    description=(
        "StfNet predicts differences: one stream turns the coarse change since the first pair, with the first fine "
        "image, into the fine change, and a second stream does so backwards from the second pair. In training the two "
        "changes have to add up to the one between the fine images. It takes two pairs."
    ),
    paper=(
        "Liu, X., Deng, C., Chanussot, J., Hong, D., Zhao, B. (2019). StfNet: a two-stream convolutional neural "
        "network for spatiotemporal image fusion. IEEE Transactions on Geoscience and Remote Sensing 57(9), "
        "6552-6564."
    ),
    doi="10.1109/TGRS.2019.2907310",
    roles=TWO_PAIRS,
)
