"""DRPNN: deep residual pansharpening network (Wei et al. 2017)."""

from __future__ import annotations

from stfusion.networks._shared import sharpening

METHOD = sharpening(
    name="drpnn",
    title="DRPNN",
    summary="Ten convolutions with wide windows correct both images, and one more makes the sharpened image of them.",
    description=(
        "The deepest of the light networks, with windows of 7 pixels in eleven layers: a pixel sees 33 pixels around "
        "it. It has the most parameters of them and takes the longest."
    ),
    paper=(
        "Wei, Y., Yuan, Q., Shen, H., Zhang, L. (2017). Boosting the accuracy of multispectral image pansharpening by "
        "learning a deep residual network. IEEE Geoscience and Remote Sensing Letters 14(10), 1795-1799."
    ),
    doi="10.1109/LGRS.2017.2736020",
)
