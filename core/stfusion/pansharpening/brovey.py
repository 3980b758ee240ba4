"""Declaration of the weighted Brovey transform."""

from __future__ import annotations

from stfusion.pansharpening._shared import WEIGHTING, WEIGHTS, declare
from stfusion.raster.mtf import SENSOR_OPTION

METHOD = declare(
    "brovey",
    "Weighted Brovey",
    "Multiplies every band by the ratio of the panchromatic image to the weighted sum of the bands.",
    "Every band is multiplied by the panchromatic image over the intensity, a weighted sum of the bands. The ratios of "
    "the bands, and with them the hue, stay as they are. It is the fastest method and the one of GDAL's own "
    "pansharpening, whose values it gives with the same weights. Where the bands do not make up what the panchromatic "
    "image sees, brightness changes; fitted weights keep that small. Weights of zero leave a band out of the "
    "intensity, such as short-wave infrared ones; it is sharpened all the same.",
    "Gillespie, A. R., Kahle, A. B., Walker, R. E. (1987). Color enhancement of highly correlated images. II. Channel "
    "ratio and chromaticity transformation techniques. Remote Sensing of Environment 22, 343-365.",
    "10.1016/0034-4257(87)90088-5",
    options=(WEIGHTS, WEIGHTING, SENSOR_OPTION),
    tags=("gdal_pansharpen", "ratio", "component substitution"),
)
