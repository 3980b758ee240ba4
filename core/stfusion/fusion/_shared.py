"""What the declarations of spatiotemporal fusion have in common: input roles, outputs and alignment options."""

from __future__ import annotations

from dataclasses import replace

from stfusion.declaration import Option, Output, Role

GROUP = "Spatiotemporal fusion"

FIRST_PAIR = (
    Role(
        "fine",
        "Fine image of the pair",
        "fine",
        "pair",
        "Fine image (such as Landsat or Sentinel-2) of the reference date. Its grid is the grid of the result.",
    ),
    Role(
        "coarse",
        "Coarse image of the pair",
        "coarse",
        "pair",
        "Coarse image (such as MODIS or VIIRS) of the same date as the fine image. It may lie on its own grid, in "
        "another coordinate system and with another extent: it is resampled to the fine grid on the fly.",
    ),
)

TARGET = Role(
    "target",
    "Coarse image of the target date",
    "coarse",
    "target",
    "Coarse image of the date to predict, of the same sensor as the coarse image of the pair.",
)

SECOND_PAIR = (
    Role(
        "fine2",
        "Fine image of the second pair",
        "fine",
        "pair2",
        "Fine image of a second reference date, best on the other side of the target date. Where one pair has a gap, "
        "the other serves the pixel.",
    ),
    Role(
        "coarse2",
        "Coarse image of the second pair",
        "coarse",
        "pair2",
        "Coarse image of the same date as the fine image of the second pair.",
    ),
)

SECOND_PAIR_OPTIONAL = tuple(replace(role, required=False) for role in SECOND_PAIR)

CLASS_MAP = Role(
    "class_map",
    "Class map",
    "classes",
    "class_map",
    "Land cover or any other classes, one whole number a class, for pixels of the fine image; resampled to its grid by "
    "nearest neighbour. Without it the fine image is classified by k-means.",
    required=False,
)

PREDICTION = Output(
    "output",
    "raster_out",
    "Fused image",
    "Cloud Optimized GeoTIFF on the grid of the fine image, with its data type, scale, offset and nodata value.",
)

RESAMPLING = Option(
    "resampling",
    "choice",
    "Resampling of the coarse images",
    "cubic",
    "How coarse images are brought onto the fine grid.",
    choices=("nearest", "bilinear", "cubic", "cubic_spline", "lanczos", "average"),
)

UNIT = Option(
    "unit",
    "number",
    "Value of reflectance 1",
    0.0,
    "Value, after the file's scale and offset, that stands for reflectance 1: 1 for reflectance 0..1, 10000 for "
    "0..10000. Options in reflectance are multiplied by it. 0 finds it from the data and says which it took; for "
    "temperature in kelvin, 100 makes an uncertainty of 0.005 stand for half a kelvin.",
    minimum=0.0,
)

RATIO = Option(
    "ratio",
    "integer",
    "Ratio of coarse to fine pixel size",
    0,
    "Fine pixels along a coarse pixel. 0 takes it from the files; needed when the coarse images were already resampled "
    "to the fine grid.",
    minimum=0,
    maximum=200,
)

MOVING_WINDOW = Option(
    "window",
    "integer",
    "Window (fine pixels)",
    0,
    "Side of the moving window in fine pixels, odd. 0 takes three coarse pixels, or 51 where the coarse images lie on "
    "the fine grid already.",
    minimum=0,
    maximum=501,
    odd=True,
    advanced=False,
)

CLASSES = Option(
    "classes",
    "integer",
    "Number of classes",
    6,
    "Classes that k-means divides the fine image into; not used with a class map.",
    minimum=1,
    maximum=100,
    advanced=False,
)

SIMILAR_PIXELS = (
    Option(
        "window",
        "integer",
        "Window (fine pixels)",
        0,
        "Side of the window in which similar pixels are searched, in fine pixels; an even number is made odd by one "
        "more. 0 takes the width of a coarse pixel; a wider window smooths more.",
        minimum=0,
        maximum=501,
        advanced=False,
    ),
    Option(
        "neighbours",
        "integer",
        "Number of similar pixels",
        0,
        "Number of most similar pixels that are averaged. 0 takes as many as there are fine pixels along a coarse "
        "pixel; 1 averages nothing.",
        minimum=0,
        maximum=1000,
        advanced=False,
    ),
)

DICTIONARY = (
    Option(
        "patch",
        "integer",
        "Patch (fine pixels)",
        0,
        "Side of the square patches that the atoms of the dictionaries are made of. 0 takes the width of a coarse "
        "pixel, at least 7 and at most 33; the paper's is 7.",
        minimum=0,
        maximum=33,
        advanced=False,
    ),
    Option(
        "stride",
        "integer",
        "Stride of the patches (fine pixels)",
        0,
        "Distance from one patch to the next; where patches overlap, their predictions are averaged. Smaller strides "
        "are smoother and cost more. 0 takes half of a patch.",
        minimum=0,
        maximum=33,
    ),
    Option(
        "atoms",
        "integer",
        "Atoms",
        256,
        "Patterns in a dictionary; fewer than there are patches to train with.",
        minimum=1,
        maximum=4096,
        advanced=False,
    ),
    Option(
        "patches",
        "integer",
        "Patches for training",
        2000,
        "Patches that the dictionaries are trained with, at random places of the whole scene; those with more than "
        "15 % invalid values are left out. More patches make the detail more trustworthy.",
        minimum=5,
        maximum=100_000,
    ),
    Option(
        "sparsity",
        "integer",
        "Atoms of a code",
        3,
        "Largest number of atoms that one patch is written with.",
        minimum=1,
        maximum=32,
    ),
    Option(
        "iterations",
        "integer",
        "Iterations of the training",
        10,
        "Rounds of K-SVD: code all patches, then renew all atoms. 0 takes patches of the scene for atoms as they are.",
        minimum=0,
        maximum=200,
    ),
    Option(
        "measured_gain",
        "boolean",
        "Only as much detail as is confirmed",
        True,
        "Multiply the learned detail by the share (0 to 1, by band) that patches left out of training confirm. "
        "Without, all of it is used, as in the paper.",
    ),
)
