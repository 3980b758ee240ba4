"""Declaration of the à trous wavelet transform."""

from __future__ import annotations

from stfusion.pansharpening._shared import declare

METHOD = declare(
    "atwt",
    "À trous wavelet transform (ATWT)",
    "Adds to every band the panchromatic image's wavelet planes, scaled to the band's contrast.",
    "The panchromatic image, scaled to the standard deviation of every band, loses what a B3 spline with ever wider "
    "gaps leaves of it; these wavelet planes are the detail that the band gets. Nothing is decimated, so that no "
    "edges show steps.",
    "Nunez, J., Otazu, X., Fors, O., Prades, A., Pala, V., Arbiol, R. (1999). Multiresolution-based image fusion with "
    "additive wavelet decomposition. IEEE Transactions on Geoscience and Remote Sensing 37(3), 1204-1211.",
    "10.1109/36.763274",
    tags=("wavelet", "a trous", "atwt", "b3 spline", "multiresolution"),
)
