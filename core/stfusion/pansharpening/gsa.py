"""Declaration of Gram-Schmidt adaptive."""

from __future__ import annotations

from stfusion.pansharpening._shared import declare

METHOD = declare(
    "gsa",
    "Gram-Schmidt adaptive (GSA)",
    "Replaces the intensity that best explains the panchromatic image, and adds to every band what it shares with it.",
    "The intensity is the weighted sum of the bands, and a constant, that comes closest to the panchromatic image at "
    "the resolution of the bands. Its difference from the panchromatic image is the detail, of which every band gets "
    "as much as it varies with the intensity. No weights have to be known, and bands that the panchromatic one does "
    "not see, such as short-wave infrared, do no harm. Among the best of the methods that replace a component; sharp, "
    "and sensitive to images that are displaced.",
    "Aiazzi, B., Baronti, S., Selva, M. (2007). Improving component substitution pansharpening through multivariate "
    "regression of MS + Pan data. IEEE Transactions on Geoscience and Remote Sensing 45(10), 3230-3239.",
    "10.1109/TGRS.2007.901007",
    tags=("gram-schmidt", "gsa", "adaptive", "regression", "component substitution"),
)
