"""STFDiff: fusion with a diffusion model (Huang et al. 2024)."""

from __future__ import annotations

from stfusion.networks._shared import ONE_OR_TWO_PAIRS, network

METHOD = network(
    name="stfdiff",
    title="STFDiff",
    summary=(
        "Draws the fine image of the target date by diffusion, led by one or two pairs; several samples tell how sure "
        "it is."
    ),
    description=(
        "STFDiff begins with noise and removes it step by step, led by the fine image and the coarse images of both "
        "dates. Its network has two streams, for the clean and for the noisy images, and subtracts the features of "
        "the one from those of the other. Several samples give a mean and their spread, an uncertainty for every "
        "pixel. It takes one or two pairs, as its checkpoint was trained, and more time than any other network here: "
        "a run says early how long it will take."
    ),
    paper=(
        "Huang, H., He, W., Zhang, H., Xia, Y., Zhang, L. (2024). STFDiff: remote sensing image spatiotemporal fusion "
        "with diffusion models. Information Fusion 111, 102505."
    ),
    doi="10.1016/j.inffus.2024.102505",
    roles=ONE_OR_TWO_PAIRS,
    diffusion=True,
)
