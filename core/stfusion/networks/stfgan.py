"""STFGAN: adversarial fusion in two stages (Zhang et al. 2021)."""

from __future__ import annotations

from stfusion.networks._shared import TWO_PAIRS, network

METHOD = network(
    name="stfgan",
    title="STFGAN",
    summary="Sharpens the coarse image in two steps by adversarial networks that see both fine images.",
    description=(
        "STFGAN sharpens three coarse images, first to a quarter of the fine resolution and then to all of it, each "
        "step being an adversarial network that also sees the fine images of the two pairs. All bands are predicted "
        "at once."
    ),
    paper=(
        "Zhang, H., Song, Y., Han, C., Zhang, L. (2021). Remote sensing image spatiotemporal fusion using a "
        "generative adversarial network. IEEE Transactions on Geoscience and Remote Sensing 59(5), 4273-4286."
    ),
    doi="10.1109/TGRS.2020.3010530",
    roles=TWO_PAIRS,
)
