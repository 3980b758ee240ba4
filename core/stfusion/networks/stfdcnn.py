"""STFDCNN: two convolutional networks in sequence (Song et al. 2018)."""

from __future__ import annotations

from stfusion.networks._shared import TWO_PAIRS, network

METHOD = network(
    name="stfdcnn",
    title="STFDCNN",
    summary="Sharpens three coarse images by two small networks and adds the change between them to the fine images.",
    description=(
        "STFDCNN has two small convolutional networks in sequence: the first maps a coarse image to what the fine "
        "sensor would see at an intermediate resolution, the second sharpens that. Both are applied to all three "
        "dates, and the details of the two fine images are carried over by high-pass modulation. It takes two pairs. "
        "What it does not learn from the coarse image it cannot invent: new edges stay soft."
    ),
    paper=(
        "Song, H., Liu, Q., Wang, G., Hang, R., Huang, B. (2018). Spatiotemporal satellite image fusion using deep "
        "convolutional neural networks. IEEE Journal of Selected Topics in Applied Earth Observations and Remote "
        "Sensing 11(3), 821-829."
    ),
    doi="10.1109/JSTARS.2018.2797894",
    roles=TWO_PAIRS,
)
