"""SR3: super-resolution by conditional diffusion, as a baseline (Saharia et al. 2023)."""

from __future__ import annotations

from stfusion.networks._shared import REFERENCE_ALONE, network

METHOD = network(
    name="sr3",
    title="SR3 (diffusion baseline)",
    summary="Sharpens the coarse image of the target date alone by diffusion: what a fusion has to beat.",
    description=(
        "SR3 is the plain conditional diffusion model for super-resolution. It sees the coarse image of the target "
        "date and noise, and no fine image: that gives only the grid. Its details are likely ones, not those of the "
        "place. It is here as the baseline that a diffusion model for fusion has to beat."
    ),
    paper=(
        "Saharia, C., Ho, J., Chan, W., Salimans, T., Fleet, D. J., Norouzi, M. (2023). Image super-resolution via "
        "iterative refinement. IEEE Transactions on Pattern Analysis and Machine Intelligence 45(4), 4713-4726."
    ),
    doi="10.1109/TPAMI.2022.3204461",
    roles=REFERENCE_ALONE,
    diffusion=True,
)
