"""Declaration of MTF-GLP."""

from __future__ import annotations

from stfusion.pansharpening._shared import declare
from stfusion.raster.mtf import GAINS_OPTION, SENSOR_OPTION

METHOD = declare(
    "mtf_glp",
    "MTF-GLP",
    "Adds the detail that the sensor of the bands could not see, scaled to every band's contrast.",
    "The panchromatic image, scaled to the mean and standard deviation of every band, is blurred to what the sensor of "
    "the bands would have seen, by its modulation transfer function, taken to its pixels and back: a generalised "
    "Laplacian pyramid. What that takes away is the detail, and every band gets it.",
    "Aiazzi, B., Alparone, L., Baronti, S., Garzelli, A., Selva, M. (2006). MTF-tailored multiscale fusion of "
    "high-resolution MS and Pan imagery. Photogrammetric Engineering and Remote Sensing 72(5), 591-596.",
    "10.14358/PERS.72.5.591",
    options=(SENSOR_OPTION, GAINS_OPTION),
    tags=("mtf", "glp", "laplacian pyramid", "multiresolution"),
)
