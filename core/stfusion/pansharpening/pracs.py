"""Declaration of partial replacement adaptive component substitution."""

from __future__ import annotations

from stfusion.declaration import Option
from stfusion.pansharpening._shared import declare

METHOD = declare(
    "pracs",
    "Partial replacement (PRACS)",
    "Replaces every band only in part, as far as it goes with the panchromatic image, and injects detail locally.",
    "Every band has a high-resolution component of its own, mixed of the panchromatic image and the band by their "
    "correlation. What the bands do not explain of it is the detail, which is added by a global weight of the band and "
    "a local one that is small where the values do not fit the regression. Colours change less than in other methods "
    "that replace a component.",
    "Choi, J., Yu, K., Kim, Y. (2011). A new adaptive component-substitution-based satellite image fusion by using "
    "partial replacement. IEEE Transactions on Geoscience and Remote Sensing 49(1), 295-309.",
    "10.1109/TGRS.2010.2051674",
    options=(
        Option(
            "strength", "number", "Strength of the detail", 0.0,
            "Factor of all details. 0 takes 1.95 for images of 8 bits and 0.95 for all others, as the paper has it.",
            0.0, 10.0,
            advanced=False,
        ),
    ),
    tags=("pracs", "adaptive", "partial replacement", "component substitution"),
)
