"""SwinSTFM: fusion with Swin Transformers (Chen et al. 2022)."""

from __future__ import annotations

from stfusion.networks._shared import ONE_OR_TWO_PAIRS, network

METHOD = network(
    name="swinstfm",
    title="SwinSTFM",
    summary="Distributes the coarse change over the fine image by attention, as unmixing would.",
    description=(
        "SwinSTFM encodes coarse and fine images with Swin Transformers at five scales. In its decoder the coarse "
        "change is distributed over the fine image by attention between coarse and fine features, much as unmixing "
        "distributes it over classes. It takes one pair, or predicts from each of two, and much training."
    ),
    paper=(
        "Chen, G., Jiao, P., Hu, Q., Xiao, L., Ye, Z. (2022). SwinSTFM: remote sensing spatiotemporal fusion using "
        "Swin Transformer. IEEE Transactions on Geoscience and Remote Sensing 60, 5410618."
    ),
    doi="10.1109/TGRS.2022.3182809",
    roles=ONE_OR_TWO_PAIRS,
)
