"""Declaration of MTF-GLP-CBD."""

from __future__ import annotations

from stfusion.declaration import Option
from stfusion.pansharpening._shared import GAIN_WINDOW, declare
from stfusion.raster.mtf import GAINS_OPTION, SENSOR_OPTION

METHOD = declare(
    "mtf_glp_cbd",
    "MTF-GLP-CBD",
    "Adds the detail that the sensor of the bands could not see, as much as every band goes with it at its resolution.",
    "The panchromatic image is blurred to what the sensor of the bands would have seen, by its modulation transfer "
    "function. What that takes away is the detail, and every band gets it times the regression of the band on the "
    "blurred image: over the whole scene, or by the context of every pixel, in a window around it.",
    "Alparone, L., Wald, L., Chanussot, J., Thomas, C., Gamba, P., Bruce, L. M. (2007). Comparison of pansharpening "
    "algorithms: outcome of the 2006 GRS-S data-fusion contest. IEEE Transactions on Geoscience and Remote Sensing "
    "45(10), 3012-3021.",
    "10.1109/TGRS.2007.904923",
    options=(
        SENSOR_OPTION,
        GAINS_OPTION,
        GAIN_WINDOW,
        Option(
            "threshold", "number", "Least correlation", 0.0,
            "With a window: where the band and the blurred panchromatic image do not correlate more than that, no "
            "detail is added.",
            minimum=0.0, maximum=1.0,
        ),
    ),
    tags=("mtf", "glp", "cbd", "gs2-glp", "context", "regression", "multiresolution"),
)
