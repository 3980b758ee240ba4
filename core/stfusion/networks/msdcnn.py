"""MSDCNN: multiscale and multidepth convolutional network (Yuan et al. 2018)."""

from __future__ import annotations

from stfusion.networks._shared import sharpening

METHOD = sharpening(
    name="msdcnn",
    title="MSDCNN",
    summary="A shallow network beside a deep one that looks at windows of three sizes at once.",
    description=(
        "What a shallow network of three layers and a deep one give is added up. Two layers of the deep one look at "
        "windows of 3, 5 and 7 pixels at the same time, for edges and for wider structures."
    ),
    paper=(
        "Yuan, Q., Wei, Y., Meng, X., Shen, H., Zhang, L. (2018). A multiscale and multidepth convolutional neural "
        "network for remote sensing imagery pan-sharpening. IEEE Journal of Selected Topics in Applied Earth "
        "Observations and Remote Sensing 11(3), 978-989."
    ),
    doi="10.1109/JSTARS.2018.2794888",
)
