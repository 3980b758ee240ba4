"""Lambda-PNN: a residual network with attention that learns from the scene itself (Ciotola et al. 2023)."""

from __future__ import annotations

from stfusion.networks._shared import zero_shot

METHOD = zero_shot(
    name="lambda_pnn",
    title="Lambda-PNN (zero-shot)",
    summary="A residual network with attention that learns from your scene alone, and then sharpens it.",
    description=(
        "As Z-PNN, it needs neither training data nor weights. Residual blocks and attention let it tell surfaces "
        "apart, and the colours are judged by the relative error and by the quality index of the image made coarse "
        "again. It takes several times as long as Z-PNN."
    ),
    paper=(
        "Ciotola, M., Poggi, G., Scarpa, G. (2023). Unsupervised deep learning-based pansharpening with jointly "
        "enhanced spectral and spatial fidelity. IEEE Transactions on Geoscience and Remote Sensing 61, 1-17."
    ),
    doi="10.1109/TGRS.2023.3299356",
)
