"""PNN: pansharpening by a convolutional network (Masi et al. 2016)."""

from __future__ import annotations

from stfusion.networks._shared import sharpening

METHOD = sharpening(
    name="pnn",
    title="PNN",
    summary="Three convolutions make the sharpened image of the interpolated one and the panchromatic one.",
    description=(
        "The first network for pansharpening, and still a good one for its size: windows of 9 pixels, then of 5 and "
        "of 5. It needs weights: train it on your own scene, or import those of public codes."
    ),
    paper=(
        "Masi, G., Cozzolino, D., Verdoliva, L., Scarpa, G. (2016). Pansharpening by convolutional neural networks. "
        "Remote Sensing 8(7), 594."
    ),
    doi="10.3390/rs8070594",
)
