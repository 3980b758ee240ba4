"""Declaration of generalised intensity-hue-saturation."""

from __future__ import annotations

from stfusion.declaration import Option
from stfusion.pansharpening._shared import WEIGHTING, WEIGHTS, declare
from stfusion.raster.mtf import SENSOR_OPTION

METHOD = declare(
    "gihs",
    "Generalised IHS",
    "Adds the difference between the panchromatic image and the weighted sum of the bands to every band.",
    "The intensity of the image, a weighted sum of any number of bands, gives way to the panchromatic image: its "
    "difference from the intensity is added to every band. Also known as fast IHS. Sums of the bands come out right, "
    "yet saturation changes where the panchromatic image differs much from the intensity.",
    "Tu, T.-M., Su, S.-C., Shyu, H.-C., Huang, P. S. (2001). A new look at IHS-like image fusion methods. Information "
    "Fusion 2, 177-186.",
    "10.1016/S1566-2535(01)00036-7",
    options=(
        WEIGHTS,
        WEIGHTING,
        SENSOR_OPTION,
        Option(
            "match", "boolean", "Match the panchromatic image", False,
            "Give the panchromatic image the mean and the standard deviation of the intensity first: for images whose "
            "values are in different units.",
        ),
    ),
    tags=("ihs", "fast ihs", "intensity", "hue", "saturation", "component substitution"),
)
