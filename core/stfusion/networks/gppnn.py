"""GPPNN: gradient projection unrolled into a network (Xu et al. 2021)."""

from __future__ import annotations

from stfusion.networks._shared import sharpening

METHOD = sharpening(
    name="gppnn",
    title="GPPNN",
    summary="Takes turns in bringing the sharpened image nearer to the multispectral and to the panchromatic one.",
    description=(
        "An optimisation is written out as a network: eight times the image is compared with the multispectral one, "
        "made coarse by a learnt operator, and with the panchromatic one, made of the bands by another, and "
        "corrected. A checkpoint is for one ratio."
    ),
    paper=(
        "Xu, S., Zhang, J., Zhao, Z., Sun, K., Liu, J., Zhang, C. (2021). Deep gradient projection networks for "
        "pan-sharpening. Proceedings of the IEEE/CVF Conference on Computer Vision and Pattern Recognition, 1366-1375."
    ),
    doi="10.1109/CVPR46437.2021.00142",
)
