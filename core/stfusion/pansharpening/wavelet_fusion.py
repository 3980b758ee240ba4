"""Declaration of wavelet fusion."""

from __future__ import annotations

from stfusion.declaration import Option
from stfusion.pansharpening._shared import declare

METHOD = declare(
    "wavelet_fusion",
    "Wavelet fusion",
    "Gives every band the details of the panchromatic image's decimated wavelet transform.",
    "Both images are divided into an approximation with pixels about as large as the multispectral ones, and details. "
    "Every band keeps its approximation and gets the details of the panchromatic image, scaled to its standard "
    "deviation. The textbook form, whose decimation leaves steps along edges; the à trous transform has none.",
    "Yocky, D. A. (1995). Image merging and data fusion by means of the discrete two-dimensional wavelet transform. "
    "Journal of the Optical Society of America A 12(9), 1834-1841.",
    "10.1364/JOSAA.12.001834",
    options=(
        Option(
            "wavelet", "choice", "Wavelet", "haar",
            "Haar's, or Daubechies' with two to four vanishing moments, which are smoother and reach farther.",
            choices=("haar", "db2", "db3", "db4"), advanced=False,
        ),
        Option(
            "details", "choice", "Details", "replace",
            "'replace': those of the panchromatic image in place of those of the band; 'add': both.",
            choices=("replace", "add"), advanced=False,
        ),
    ),
    tags=("wavelet", "haar", "daubechies", "dwt", "multiresolution"),
)
