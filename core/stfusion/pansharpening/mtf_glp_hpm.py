"""Declaration of MTF-GLP-HPM."""

from __future__ import annotations

from stfusion.declaration import Option
from stfusion.pansharpening._shared import declare
from stfusion.raster.mtf import GAINS_OPTION, SENSOR_OPTION

METHOD = declare(
    "mtf_glp_hpm",
    "MTF-GLP-HPM",
    "Multiplies every band by the panchromatic image over what the sensor of the band would have seen of it.",
    "High-pass modulation: the panchromatic image, scaled to every band, over what the band's sensor would have seen "
    "of it by its modulation transfer function, is a ratio, and the band is multiplied by it. Contrasts follow the "
    "brightness of the place, as shadows and illumination do.",
    "Vivone, G., Restaino, R., Dalla Mura, M., Licciardi, G., Chanussot, J. (2014). Contrast and error-based fusion "
    "schemes for multispectral image pansharpening. IEEE Geoscience and Remote Sensing Letters 11(5), 930-934.",
    "10.1109/LGRS.2013.2281996",
    options=(
        SENSOR_OPTION,
        GAINS_OPTION,
        Option(
            "matching", "choice", "Scaling of the panchromatic image", "deviation",
            "'deviation': to the mean and the standard deviation of every band; 'regression': by the regression of the "
            "band on it at the resolution of the bands, which keeps bands that have little in common with it "
            "(MTF-GLP-HPM-R).",
            choices=("deviation", "regression"), advanced=False,
        ),
    ),
    tags=("mtf", "glp", "hpm", "high-pass modulation", "ratio", "multiresolution"),
)
