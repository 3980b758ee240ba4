"""Declaration of the simple mean."""

from __future__ import annotations

from stfusion.pansharpening._shared import declare

METHOD = declare(
    "simple_mean",
    "Simple mean",
    "Takes the mean of every band and the panchromatic image.",
    "The plainest way to sharpen: every band is the mean of itself, brought to the panchromatic image's pixels, and of "
    "the panchromatic image. Colours become pale and detail is halved; it is here for comparison, and because other "
    "programs offer it.",
    tags=("average", "baseline"),
)
