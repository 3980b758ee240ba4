"""Declaration of MTF-GLP with full-scale regression."""

from __future__ import annotations

from stfusion.pansharpening._shared import GAIN_WINDOW, declare
from stfusion.raster.mtf import GAINS_OPTION, SENSOR_OPTION

METHOD = declare(
    "mtf_glp_fs",
    "MTF-GLP-FS (the default)",
    "Adds the detail that the sensor of the bands could not see, as much as every band goes with it at full scale.",
    "The panchromatic image is blurred to what the sensor of the bands would have seen, by its modulation transfer "
    "function. What that takes away is the detail, and every band gets it times a gain, estimated over the whole scene "
    "from the images at full resolution. It keeps colours, needs no weights, and hardly depends on haze or on what "
    "the panchromatic band sees. Best or nearly so among methods without training: start with it.",
    "Vivone, G., Restaino, R., Chanussot, J. (2018). Full scale regression-based injection coefficients for "
    "panchromatic sharpening. IEEE Transactions on Image Processing 27(7), 3418-3431.",
    "10.1109/TIP.2018.2819501",
    options=(SENSOR_OPTION, GAINS_OPTION, GAIN_WINDOW),
    tags=("mtf", "glp", "laplacian pyramid", "multiresolution", "regression", "default"),
)
