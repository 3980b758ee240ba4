"""Bring the values of images into line: units, bands, extent, and the radiometry of another sensor."""

from __future__ import annotations

from stfusion.declaration import Method, Option, Output, Result, Role
from stfusion.preparation._shared import GROUP, MASKS, NAME_OPTION

#: What the values are adjusted by.
WAYS = ("no", "stretch", "histogram", "ols", "rma", "robust")
#: How values are stored.
TYPES = ("float32", "int16", "stored")

METHOD = Method(
    id="harmonise",
    operation="prepare",
    title="Harmonise images",
    group=GROUP,
    summary="Brings the units, the bands, the extent and the radiometry of images into line with those of others.",
    description=(
        "In this order: the chosen bands are taken, values are converted to another unit, adjusted to those of "
        "reference images (or stretched to a range), and the images are cropped to the extent that all have in "
        "common. One adjustment is found for all images of a stack, so that changes between the dates stay what they "
        "are. Masked pixels become nodata. Statistics are taken from a regular sample or from windows read one after "
        "the other; nothing needs a whole image in memory."
    ),
    paper="",
    doi="",
    roles=(
        Role(
            "images", "Images", "image", "",
            "Images to harmonise, each layer being an image of its own; a folder stands for the raster files in it.",
            several=True,
        ),
        Role(
            "reference", "Reference images", "reference", "",
            "Images of the sensor whose values are wanted, with the same bands in the same order. For regressions an "
            "image goes with the reference that is nearest to it in time.",
            required=False, several=True,
        ),
        *MASKS,
    ),
    options=(
        Option(
            "adjust", "choice", "Adjust the values", "no",
            "'stretch': linearly, so that two percentiles become those of the reference, or the range below; "
            "'histogram': so that all percentiles become those of the reference; 'ols', 'rma', 'robust': by a "
            "regression of the reference on the image, band by band, at the resolution of the coarser one (ordinary "
            "least squares, reduced major axis, or least squares with Huber's weights).",
            choices=WAYS, advanced=False,
        ),
        Option(
            "scale", "number", "Scale", 1.0,
            "Conversion of units before all else: value x scale + offset, such as 0.0001 for reflectance x 10 000.",
            advanced=False,
        ),
        Option(
            "offset", "number", "Offset", 0.0,
            "Conversion of units before all else: value x scale + offset, such as -273.15 from kelvin to degrees "
            "Celsius.",
            advanced=False,
        ),
        Option(
            "crop", "boolean", "Crop to the common extent", False,
            "Keep the pixels that lie inside all images, the references included.", advanced=False,
        ),
        Option(
            "together", "boolean", "One adjustment for all", True,
            "Find one adjustment for all images of the stack. Otherwise each image gets its own, which takes away "
            "differences between the dates.",
        ),
        Option("low", "number", "Lower percentile", 2.0, "Of 'stretch': the value that goes to the lower end.", 0, 100),
        Option(
            "high", "number", "Upper percentile", 98.0, "Of 'stretch': the value that goes to the upper end.", 0, 100
        ),
        Option("from_value", "number", "Lower end", 0.0, "Of 'stretch' without a reference: what the range begins at."),
        Option("to_value", "number", "Upper end", 1.0, "Of 'stretch' without a reference: what the range ends at."),
        Option(
            "days", "integer", "Days between image and reference", 16,
            "Of regressions: images whose nearest reference is further away in time take no part in them.", 0, 366,
        ),
        Option(
            "type", "choice", "Data type", "float32",
            "'int16': whole numbers with a scale of 0.0001 in the header, for reflectance and indices; 'stored': as "
            "the image is stored, for values that stay in its range.",
            choices=TYPES,
        ),
        NAME_OPTION,
    ),
    outputs=(
        Output(
            "output", "folder_out", "Folder of the harmonised images",
            "Folder that receives an image for each one given, with its date in its name, and the table "
            "harmonisation.csv of adjustments.",
            images=True,
        ),
    ),
    results=(Result("images_written", "number", "Images written"),),
    run="stfusion.preparation._harmonise:run",
    tags=(
        "radiometry", "normalisation", "histogram matching", "linear stretch", "cross calibration", "band pass",
        "regression", "units", "reflectance", "celsius", "crop", "band order",
    ),
)
