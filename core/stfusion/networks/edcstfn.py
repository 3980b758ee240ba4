"""EDCSTFN: enhanced deep convolutional spatiotemporal fusion network (Tan et al. 2019)."""

from __future__ import annotations

from stfusion.networks._shared import ONE_OR_TWO_PAIRS, network

METHOD = network(
    name="edcstfn",
    title="EDCSTFN",
    summary=(
        "Encodes the fine image and the coarse change apart, adds the features and decodes the fine image of the "
        "target date."
    ),
    description=(
        "EDCSTFN encodes the fine image and, apart from it, what the two coarse images and the fine image say about "
        "the change; the features are added and decoded. It is small and quick and takes one or two pairs, as its "
        "checkpoint was trained. A compound loss (values, features, structure) keeps its images sharp."
    ),
    paper=(
        "Tan, Z., Di, L., Zhang, M., Guo, L., Gao, M. (2019). An enhanced deep convolutional model for spatiotemporal "
        "image fusion. Remote Sensing 11(24), 2898."
    ),
    doi="10.3390/rs11242898",
    roles=ONE_OR_TWO_PAIRS,
)
