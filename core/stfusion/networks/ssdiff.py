"""SSDiff: a diffusion model with a spatial and a spectral branch (Zhong et al. 2024)."""

from __future__ import annotations

from stfusion.networks._shared import sharpening

METHOD = sharpening(
    name="ssdiff",
    title="SSDiff",
    summary="Draws what the interpolated image lacks by diffusion, with a branch for structure and one for colour.",
    description=(
        "SSDiff begins with noise and removes it step by step. One branch sees the panchromatic and one the "
        "multispectral image; at every size the two are projected onto each other by attention, and low frequencies "
        "are left to the one, details to the other. After the training of the whole the branches are tuned in turns. "
        "Several samples give a mean and their spread, an uncertainty for every pixel. A checkpoint is for one ratio."
    ),
    paper=(
        "Zhong, Y., Wu, X., Cao, Z., Dou, H.-X., Deng, L.-J. (2024). SSDiff: spatial-spectral integrated diffusion "
        "model for remote sensing pansharpening. Advances in Neural Information Processing Systems 37."
    ),
    doi="10.48550/arXiv.2404.11537",
    diffusion=True,
    several=True,
)
