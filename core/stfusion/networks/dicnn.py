"""DiCNN: detail injection by a convolutional network (He et al. 2019)."""

from __future__ import annotations

from stfusion.networks._shared import sharpening

METHOD = sharpening(
    name="dicnn",
    title="DiCNN",
    summary="Three convolutions give the details that are added to the interpolated image.",
    description=(
        "The idea of the classic methods, detail that is injected into every band, with three convolutions that know "
        "how. The smallest and quickest of the networks."
    ),
    paper=(
        "He, L., Rao, Y., Li, J., Chanussot, J., Plaza, A., Zhu, J., Li, B. (2019). Pansharpening via detail "
        "injection based convolutional neural networks. IEEE Journal of Selected Topics in Applied Earth Observations "
        "and Remote Sensing 12(4), 1188-1204."
    ),
    doi="10.1109/JSTARS.2019.2898574",
)
