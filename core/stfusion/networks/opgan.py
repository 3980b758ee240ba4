"""OPGAN: adversarial fusion with one pair (Song et al. 2022)."""

from __future__ import annotations

from stfusion.networks._shared import ONE_OR_TWO_PAIRS, network

METHOD = network(
    name="opgan",
    title="OPGAN",
    summary="Predicts the fine image of the target date from one pair, together with the change of the fine image.",
    description=(
        "OPGAN has three branches: the change between the coarse images, the difference between the sensors, and the "
        "fine image. It learns the change of the fine image and the fine image itself, against a critic. It takes one "
        "pair."
    ),
    paper=(
        "Song, Y., Zhang, H., Huang, H., Zhang, L. (2022). Remote sensing image spatiotemporal fusion via a "
        "generative adversarial network with one prior image pair. IEEE Transactions on Geoscience and Remote Sensing "
        "60, 5528117."
    ),
    doi="10.1109/TGRS.2022.3171331",
    roles=ONE_OR_TWO_PAIRS,
)
