"""SPSTFM: sparse-representation-based spatiotemporal reflectance fusion model (Huang and Song 2012)."""

from __future__ import annotations

from stfusion.declaration import Method, Option
from stfusion.fusion._shared import DICTIONARY, FIRST_PAIR, GROUP, PREDICTION, RESAMPLING, SECOND_PAIR, TARGET

METHOD = Method(
    id="spstfm",
    operation="fuse",
    title="SPSTFM",
    group=GROUP,
    summary="Predicts a fine image between two pairs by dictionaries of how fine and coarse changes go together.",
    description=(
        "SPSTFM learns, from the change between the two pairs, which fine detail goes with which coarse change: two "
        "dictionaries of small patches, trained together. The coarse change from each pair to the target date is "
        "written with few atoms of the coarse dictionary, and the same atoms of the fine one add the detail. The "
        "predictions from both pairs are weighted patch by patch: the pair since which less changed counts more. It "
        "follows gradual and abrupt change between two pairs that lie around the target date; it cannot place a "
        "change that is smaller than a coarse pixel unless one of the fine images shows it."
    ),
    paper=(
        "Huang, B., Song, H. (2012). Spatiotemporal reflectance fusion via sparse representation. IEEE Transactions "
        "on Geoscience and Remote Sensing 50(10), 3707-3716."
    ),
    doi="10.1109/TGRS.2012.2186638",
    roles=(*FIRST_PAIR, TARGET, *SECOND_PAIR),
    options=(
        *DICTIONARY,
        Option(
            "detail",
            "choice",
            "Fine detail of the atoms",
            "refitted",
            "refitted: after the joint training, fitted by least squares to the codes that the coarse halves alone "
            "lead to, as in the prediction. joint: the fine halves of the joint training as they are, as in the paper.",
            choices=("refitted", "joint"),
        ),
        Option(
            "change_threshold",
            "number",
            "Difference of change from which one pair counts alone",
            0.2,
            "Difference of the mean absolute coarse changes since the two pairs, relative to the largest of the scene, "
            "from which only the pair that changed less is used.",
            minimum=0.0,
            maximum=1.0,
        ),
        RESAMPLING,
    ),
    outputs=(PREDICTION,),
    run="stfusion.fusion._spstfm:run",
    tags=("fusion", "dictionary", "sparse", "landsat", "modis", "sentinel", "downscaling", "reflectance"),
)
