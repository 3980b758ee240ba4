"""Declaration of local mean and variance matching."""

from __future__ import annotations

from stfusion.declaration import Option
from stfusion.pansharpening._shared import declare

METHOD = declare(
    "lmvm",
    "Local mean and variance matching (LMVM)",
    "Gives the panchromatic image the mean and the standard deviation that every band has around a pixel.",
    "In a window around every pixel the panchromatic image is shifted and stretched until its mean and standard "
    "deviation are those of the band there. Colours of areas stay, even where the two images were taken at different "
    "times; small objects that the bands do not show get little contrast. As Orfeo ToolBox does it.",
    "de Bethune, S., Muller, F., Donnay, J.-P. (1998). Fusion of multispectral and panchromatic images by local mean "
    "and variance matching filtering techniques. Proceedings of the International Conference Fusion of Earth Data, "
    "31-36.",
    options=(
        Option(
            "radius", "integer", "Radius of the window (panchromatic pixels)", 3,
            "Pixels on either side of the centre of the window: 3 is a window of 7 x 7 pixels, as in Orfeo ToolBox. A "
            "larger one gives more contrast and keeps local colours less.",
            minimum=1, maximum=100, advanced=False,
        ),
    ),
    tags=("lmvm", "local statistics", "variance matching", "otb", "orfeo toolbox"),
)
