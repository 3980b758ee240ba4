"""Spectral index: vegetation, water, snow and burn indices of an image or of a whole stack."""

from __future__ import annotations

from stfusion.declaration import Method, Option, Output, Result, Role
from stfusion.preparation._shared import NAME_OPTION
from stfusion.series._indices import BY_NAME, INDICES, ORDERS
from stfusion.series._shared import GROUP

METHOD = Method(
    id="spectral_index",
    operation="series",
    title="Spectral index",
    group=GROUP,
    summary="Makes NDVI, EVI or another index of vegetation, water, snow or burns of an image or a whole stack.",
    description=(
        "Every image becomes an image of one band with the index. Bands are found by their names, by the order of a "
        "sensor, or by numbers of your own. A pixel has no index where a band that it needs is invalid, or where the "
        "denominator is not positive, as over deep shadow; such pixels are counted. Given fine and coarse images, the "
        "indices can be fused (index, then blend); given fused images, it makes the index of them (blend, then index)."
    ),
    paper="",
    doi="",
    roles=(
        Role(
            "images", "Images", "image", "",
            "Images of reflectance, each layer being an image of its own; a folder stands for the raster files in it.",
            several=True,
        ),
        Role(
            "masks", "Masks of the images", "mask", "",
            "Masks of the same dates as the images; pixels that are not clear are left out.",
            required=False, several=True,
        ),
    ),
    options=(
        Option(
            "index", "choice", "Index", "ndvi", "Which index; the page has their formulas and sources.",
            choices=tuple(INDICES), advanced=False, positional=True,
        ),
        Option(
            "order", "choice", "Order of the bands", BY_NAME,
            "'names': bands are found by their names (blue, green, red, NIR, SWIR 1, SWIR 2), as 'Import products' and "
            "'Simulate a scene' write them. Else the order in which they stand: that of the words; 'blue_to_swir' is "
            "blue, green, red, NIR, SWIR 1, SWIR 2 (Landsat 4 to 7 without the thermal band); 'landsat_8' begins with "
            "the coastal band; 'sentinel_2' are B2 to B8, B8A, B11, B12; 'sentinel_2_l2a' all twelve; 'modis' bands 1 "
            "to 7.",
            choices=(BY_NAME, *ORDERS), advanced=False,
        ),
        Option(
            "numbers", "text", "Numbers of bands", "",
            "Numbers of your own, such as red=3, nir=4, for bands that lie elsewhere than the order says.",
            advanced=False,
        ),
        Option(
            "unit", "number", "Value of reflectance 1", 0.0,
            "Value, after the file's scale and offset, that stands for reflectance 1: 1 for reflectance 0..1, 10000 "
            "for 0..10000. 0 finds it from the first image and says which it took. EVI, EVI2 and SAVI depend on it.",
            minimum=0.0,
        ),
        NAME_OPTION,
    ),
    outputs=(
        Output(
            "output", "folder_out", "Folder of the index", "Folder that receives an image for each one given.",
            images=True,
        ),
    ),
    results=(
        Result("images", "number", "Images"),
        Result("undefined", "number", "Pixels whose denominator is not positive"),
    ),
    run="stfusion.series._spectral_index:run",
    tags=(
        "ndvi", "evi", "evi2", "savi", "ndwi", "mndwi", "ndmi", "nbr", "ndsi", "vegetation", "water", "snow", "burn",
        "index",
    ),
)
