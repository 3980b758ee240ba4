"""Declaration of Bayesian fusion."""

from __future__ import annotations

from stfusion.declaration import Option
from stfusion.pansharpening._shared import declare

METHOD = declare(
    "bayes_fusion",
    "Bayesian fusion",
    "Finds the bands that are most probable, given the panchromatic image and how it depends on the bands.",
    "A regression of the panchromatic image on the bands, over the whole scene, says how the one comes about from the "
    "others. The result is what explains the panchromatic image best without going far from the multispectral one, by "
    "the covariance of the bands. As Orfeo ToolBox does it. Where the bands explain little of the panchromatic image, "
    "it goes astray, and a warning says so.",
    "Fasbender, D., Radoux, J., Bogaert, P. (2008). Bayesian data fusion for adaptable image pansharpening. IEEE "
    "Transactions on Geoscience and Remote Sensing 46(6), 1847-1857.",
    "10.1109/TGRS.2008.917131",
    options=(
        Option(
            "weight", "number", "Weight of the panchromatic image", 0.9999,
            "How much the panchromatic image counts against the multispectral one, from 0 to 1; at 1 it is explained "
            "exactly.",
            minimum=0.0, maximum=1.0, advanced=False,
        ),
    ),
    tags=("bayes", "bayesian", "regression", "covariance", "otb", "orfeo toolbox"),
)
