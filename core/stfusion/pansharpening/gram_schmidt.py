"""Declaration of Gram-Schmidt sharpening."""

from __future__ import annotations

from stfusion.pansharpening._shared import declare

METHOD = declare(
    "gram_schmidt",
    "Gram-Schmidt",
    "Replaces the mean of the bands by the panchromatic image, and adds to every band what it shares with it.",
    "The mean of the bands stands for a panchromatic image of their resolution. The true one, matched to its mean and "
    "standard deviation, takes its place, and every band gets the difference times its regression on the mean. This is "
    "the method of common commercial programs in its plain form. GSA finds the weights of the bands by itself and is "
    "better nearly everywhere.",
    "Laben, C. A., Brower, B. V. (2000). Process for enhancing the spatial resolution of multispectral imagery using "
    "pan-sharpening. US Patent 6,011,875 (expired).",
    tags=("gram-schmidt", "gs", "component substitution"),
)
