"""DDIF: a diffusion model with style and wavelet modulation (Cao et al. 2024)."""

from __future__ import annotations

from stfusion.networks._shared import sharpening

METHOD = sharpening(
    name="ddif",
    title="DDIF",
    summary="Draws what the interpolated image lacks by diffusion, for pansharpening and for hyperspectral images.",
    description=(
        "DDIF begins with noise and removes it step by step, led by both images: their colours scale and shift the "
        "features at every size, and the wavelets of the panchromatic image tell where details lie. It takes any "
        "ratio. With several bands in place of the panchromatic one it sharpens a hyperspectral image, as its "
        "checkpoint was trained. Several samples give a mean and their spread, an uncertainty for every pixel. It "
        "takes far more time than the light networks: a run says early how long it will take."
    ),
    paper=(
        "Cao, Z., Cao, S., Deng, L.-J., Wu, X., Hou, J., Vivone, G. (2024). Diffusion model with disentangled "
        "modulations for sharpening multispectral and hyperspectral images. Information Fusion 104, 102158."
    ),
    doi="10.1016/j.inffus.2023.102158",
    diffusion=True,
    several=True,
)
