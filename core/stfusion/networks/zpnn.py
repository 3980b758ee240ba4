"""Z-PNN: PNN that learns from the scene itself (Ciotola et al. 2022)."""

from __future__ import annotations

from stfusion.networks._shared import zero_shot

METHOD = zero_shot(
    name="zpnn",
    title="Z-PNN (zero-shot)",
    summary="A small network that learns from your scene alone, in minutes on a processor, and then sharpens it.",
    description=(
        "No training data and no weights are needed. The network begins with the interpolated image and learns from "
        "crops of the scene: the image that it gives has to be the multispectral one when it is made coarse again by "
        "the filter of the sensor, and its details have to go with those of the panchromatic image. What it has "
        "learnt can be kept and used for the neighbouring scene."
    ),
    paper=(
        "Ciotola, M., Vitale, S., Mazza, A., Poggi, G., Scarpa, G. (2022). Pansharpening by convolutional neural "
        "networks in the full resolution framework. IEEE Transactions on Geoscience and Remote Sensing 60, 1-17."
    ),
    doi="10.1109/TGRS.2022.3163887",
)
