"""Declaration of the additive wavelet luminance proportional method."""

from __future__ import annotations

from stfusion.pansharpening._shared import declare

METHOD = declare(
    "awlp",
    "Additive wavelet luminance proportional (AWLP)",
    "Adds to every band the panchromatic image's wavelet planes, in proportion to the band's share of the brightness.",
    "What the à trous transform takes away from the panchromatic image is the detail, and every band gets it times its "
    "own value over the mean of the bands: the ratios between the bands stay those of the multispectral image. Among "
    "the best of the methods that need no statistics of the scene; the two images have to have the same unit.",
    "Otazu, X., Gonzalez-Audicana, M., Fors, O., Nunez, J. (2005). Introduction of sensor spectral response into image "
    "fusion methods. Application to wavelet-based methods. IEEE Transactions on Geoscience and Remote Sensing 43(10), "
    "2376-2385.",
    "10.1109/TGRS.2005.856106",
    tags=("wavelet", "awlp", "a trous", "proportional", "multiresolution"),
)
