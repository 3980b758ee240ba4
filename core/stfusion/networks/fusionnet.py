"""FusionNet: details from differences (Deng et al. 2021)."""

from __future__ import annotations

from stfusion.networks._shared import sharpening

METHOD = sharpening(
    name="fusionnet",
    title="FusionNet",
    summary="Makes the details of every band of what sets the panchromatic image apart from it.",
    description=(
        "The network sees the panchromatic image minus every interpolated band, as the classic methods do before they "
        "weigh it, and learns the weights, which differ from place to place. Small, and among the best of the light "
        "networks."
    ),
    paper=(
        "Deng, L.-J., Vivone, G., Jin, C., Chanussot, J. (2021). Detail injection-based deep convolutional neural "
        "networks for pansharpening. IEEE Transactions on Geoscience and Remote Sensing 59(8), 6995-7010."
    ),
    doi="10.1109/TGRS.2020.3031366",
)
