"""Declaration of ratio component substitution."""

from __future__ import annotations

from stfusion.declaration import Option
from stfusion.pansharpening._shared import declare

METHOD = declare(
    "rcs",
    "Ratio component substitution (RCS)",
    "Multiplies every band by the panchromatic image over its local mean, as Orfeo ToolBox does.",
    "The simple ratio of Orfeo ToolBox: every band times the panchromatic image over its mean in a square window. The "
    "ratios between the bands stay those of the multispectral image. It is SFIM with a window of its own, here with "
    "the values of Orfeo ToolBox.",
    options=(
        Option(
            "radius", "integer", "Radius of the window (panchromatic pixels)", 9,
            "Pixels on either side of the centre of the window: 9 is a window of 19 x 19 pixels, the default of Orfeo "
            "ToolBox's present source. Its packaged version 8.1 has no such setting and uses 3.",
            minimum=1, maximum=100, advanced=False,
        ),
    ),
    tags=("rcs", "ratio", "otb", "orfeo toolbox", "box filter"),
)
