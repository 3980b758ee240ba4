"""Wald's protocol: a multispectral image and its panchromatic one at a coarser resolution, where the truth is known."""

from __future__ import annotations

from stfusion.declaration import Method, Option, Output, Result, Role
from stfusion.raster.mtf import GAINS_OPTION, PANCHROMATIC, SENSOR_OPTION

#: The ways to take an image to coarser pixels.
FILTERS = ("mtf", "bicubic", "box")

METHOD = Method(
    id="wald_protocol",
    operation="prepare",
    title="Wald's protocol: reduce the resolution",
    group="Data preparation",
    summary="Reduces a multispectral and a panchromatic image by their ratio, so that the first one is the reference.",
    description=(
        "There is no true image to compare a pansharpened one with. Wald's protocol therefore takes both images to a "
        "coarser resolution, as their sensors would see it with pixels larger by the ratio of the two: the reduced "
        "panchromatic image has the pixels of the original multispectral one. Fuse the two reduced images, and compare "
        "the result with the original multispectral image: give it to 'Assess fused image' as the reference. Without "
        "a panchromatic image, the multispectral one alone is reduced. The reduced images have the data type, the "
        "nodata value and the band names of the images that they come from."
    ),
    paper=(
        "Wald, L., Ranchin, T., & Mangolini, M. (1997). Fusion of satellite images of different spatial resolutions: "
        "Assessing the quality of resulting images. Photogrammetric Engineering and Remote Sensing, 63(6), 691-699."
    ),
    doi="",
    roles=(
        Role("multispectral", "Multispectral image", "image", "", "Image with larger pixels, any number of bands."),
        Role(
            "pan", "Panchromatic image", "pan", "",
            "Image with smaller pixels of the same place, one band. Where its pixels do not divide those of the "
            "multispectral image, it is resampled to ones that do (cubic).",
            required=False,
        ),
    ),
    options=(
        Option(
            "ratio", "integer", "Ratio", 0,
            "Pixels along a pixel of the reduced image: 2, 3, 4 and so on. 0 takes it from the two images.", 0, 64,
            advanced=False,
        ),
        Option(
            "filter", "choice", "Filter of the multispectral image", "mtf",
            "'mtf': a Gaussian that has the gains of the sensor's modulation transfer function; 'bicubic': cubic "
            "convolution, stretched by the ratio; 'box': the mean of the pixels.",
            choices=FILTERS, advanced=False,
        ),
        Option(
            "pan_filter", "choice", "Filter of the panchromatic image", "mtf",
            "As that of the multispectral image; research toolboxes take 'bicubic'.", choices=FILTERS,
        ),
        SENSOR_OPTION,
        GAINS_OPTION,
        Option(
            "pan_gain", "number", "Gain of the panchromatic band", 0.0,
            "Response of the panchromatic sensor at the Nyquist frequency of the reduced pixels. 0 takes that of the "
            f"sensor, or {PANCHROMATIC}.",
            0.0, 0.99,
        ),
    ),
    outputs=(
        Output(
            "output", "raster_out", "Reduced multispectral image",
            "Multispectral image with pixels larger by the ratio; rows and columns that fill no pixel are left out.",
        ),
        Output(
            "reduced_pan", "raster_out", "Reduced panchromatic image",
            "Panchromatic image on the grid of the multispectral one.", required=False,
        ),
    ),
    results=(Result("ratio_used", "number", "Ratio"),),
    run="stfusion.preparation._wald:run",
    tags=("pansharpening", "reduced resolution", "degrade", "downscale", "mtf", "validation", "simulation"),
)
