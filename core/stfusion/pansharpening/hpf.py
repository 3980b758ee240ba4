"""Declaration of high-pass filtering."""

from __future__ import annotations

from stfusion.declaration import Option
from stfusion.pansharpening._shared import WINDOW, declare

METHOD = declare(
    "hpf",
    "High-pass filtering (HPF)",
    "Adds to every band what the panchromatic image has beyond its mean in a window.",
    "The mean of the panchromatic image in a square window stands for what the bands show already; the rest is the "
    "detail, and every band gets it as it is, or as much of it as the band varies more or less than the panchromatic "
    "image. Very quick, and colours of large areas stay.",
    "Chavez, P. S., Sides, S. C., Anderson, J. A. (1991). Comparison of three different methods to merge "
    "multiresolution and multispectral data: Landsat TM and SPOT panchromatic. Photogrammetric Engineering and Remote "
    "Sensing 57(3), 295-303.",
    options=(
        WINDOW,
        Option(
            "gain", "choice", "Gain of the detail", "one",
            "'one': every band gets the detail as it is; 'deviation': times the standard deviation of the band over "
            "that of the panchromatic image, where the two have other units or contrasts.",
            choices=("one", "deviation"),
            advanced=False,
        ),
    ),
    tags=("high-pass", "hpf", "box filter", "multiresolution"),
)
