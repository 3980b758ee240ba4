"""Declaration of the Brovey transform with haze correction."""

from __future__ import annotations

from stfusion.pansharpening._shared import declare

METHOD = declare(
    "bt_h",
    "Brovey with haze correction (BT-H)",
    "Multiplies what every band has above its haze by the ratio of the panchromatic image to the intensity.",
    "Haze is light that carries no detail: the least value of a band stands for it and is left out of the ratio. The "
    "intensity is the weighted sum of the bands that comes closest to the blurred panchromatic image, which is given "
    "the same mean and standard deviation. Hue above the haze stays as it is. One of the best methods for its time, "
    "best with few clouds and real shadows in the scene, whose values are near the haze.",
    "Lolli, S., Alparone, L., Garzelli, A., Vivone, G. (2017). Haze correction for contrast-based multispectral "
    "pansharpening. IEEE Geoscience and Remote Sensing Letters 14(12), 2255-2259.",
    "10.1109/LGRS.2017.2761021",
    tags=("brovey", "haze", "path radiance", "component substitution"),
)
