"""Declaration of band-dependent spatial detail with physical constraints."""

from __future__ import annotations

from stfusion.pansharpening._shared import PAN_GAIN, declare
from stfusion.raster.mtf import GAINS_OPTION, SENSOR_OPTION

METHOD = declare(
    "bdsd_pc",
    "Band-dependent detail, constrained (BDSD-PC)",
    "Learns for every band which mixture of the bands and the panchromatic image is the detail that it lacks.",
    "At the resolution of the bands, the detail that each of them would lose to its sensor once more is explained by "
    "all blurred bands and the panchromatic image (least squares); the same mixture of the images at full resolution "
    "is the detail that it lacks now. The constraints say that detail comes from the panchromatic image and that bands "
    "are only taken away, so that the mixture stays sensible where the equations hardly tell.",
    "Vivone, G. (2019). Robust band-dependent spatial-detail approaches for panchromatic sharpening. IEEE Transactions "
    "on Geoscience and Remote Sensing 57(9), 6421-6433.",
    "10.1109/TGRS.2019.2906073",
    options=(SENSOR_OPTION, GAINS_OPTION, PAN_GAIN),
    tags=("bdsd", "band-dependent spatial detail", "constrained", "component substitution"),
)
