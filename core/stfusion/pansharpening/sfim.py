"""Declaration of smoothing filter-based intensity modulation."""

from __future__ import annotations

from stfusion.pansharpening._shared import WINDOW, declare

METHOD = declare(
    "sfim",
    "Smoothing filter-based intensity modulation (SFIM)",
    "Multiplies every band by the panchromatic image over its mean in a window.",
    "The panchromatic image over its mean in a square window tells how much brighter or darker a pixel is than its "
    "surroundings, whatever the unit, and every band is multiplied by that. The ratios between the bands stay those of "
    "the multispectral image. Very quick, and good where the two images are well registered.",
    "Liu, J. G. (2000). Smoothing Filter-based Intensity Modulation: a spectral preserve image fusion technique for "
    "improving spatial details. International Journal of Remote Sensing 21(18), 3461-3472.",
    "10.1080/014311600750037499",
    options=(WINDOW,),
    tags=("sfim", "ratio", "modulation", "box filter", "multiresolution"),
)
