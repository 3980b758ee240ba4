"""What the declarations of pansharpening have in common: inputs, options and outputs."""

from __future__ import annotations

from dataclasses import replace

from stfusion.declaration import Method, Option, Output, Role
from stfusion.raster.mtf import PANCHROMATIC

GROUP = "Pansharpening"

ROLES = (
    Role(
        "multispectral", "Multispectral image", "image", "",
        "Image with larger pixels, any number of bands. It may have another extent, corner or coordinate system than "
        "the panchromatic one: the two are brought together by where they lie. Its pixels are at least 1.5 times as "
        "wide; where the ratio is no whole number it is resampled, and the run says so.",
    ),
    Role(
        "pan", "Panchromatic image", "pan", "",
        "Image of the same place with smaller pixels, one band. Its grid is the grid of the result.",
    ),
)

#: The same where the image with smaller pixels may have several bands.
GUIDED = (
    replace(ROLES[0], title="Multispectral or hyperspectral image"),
    replace(
        ROLES[1], title="Panchromatic or multispectral image",
        help="Image of the same place with smaller pixels: a panchromatic band, or a few bands to sharpen a "
        "hyperspectral image with. Its grid is the grid of the result.",
    ),
)

OUTPUT = Output(
    "output", "raster_out", "Pansharpened image",
    "GeoTIFF with the pixels of the panchromatic image and the bands of the multispectral one.",
)

ALIGNMENT = (
    Option(
        "resampling", "choice", "Resampling of the multispectral image", "cubic",
        "How the multispectral image is brought to the pixels of the panchromatic one.",
        choices=("nearest", "bilinear", "cubic", "lanczos"),
    ),
    Option(
        "extent", "choice", "Extent", "panchromatic",
        "'panchromatic': all pixels of the panchromatic image, without data where the multispectral one has none; "
        "'intersection': the rows and columns that lie in both.",
        choices=("panchromatic", "intersection"),
    ),
    Option(
        "grid", "choice", "Grid", "gis",
        "'gis': pixels lie where the files say; 'toolbox': the multispectral image is moved by half a panchromatic "
        "pixel where the ratio is even, as research toolboxes have it. Only for comparisons with published numbers.",
        choices=("gis", "toolbox"),
    ),
    Option(
        "output_type", "choice", "Data type of the result", "multispectral",
        "'multispectral': data type, scale, offset and nodata value of the multispectral image; 'float32': real "
        "numbers.",
        choices=("multispectral", "float32"),
    ),
    Option(
        "layout", "choice", "Layout of the file", "cog",
        "'cog': Cloud Optimized GeoTIFF, compressed and with overviews; 'tiled': GeoTIFF in tiles without either, "
        "which is larger, slower to look at, and written in a fraction of the time.",
        choices=("cog", "tiled"),
    ),
)

PAN_GAIN = Option(
    "pan_gain", "number", "Gain of the panchromatic band", 0.0,
    "Response of the panchromatic sensor at the Nyquist frequency of the multispectral pixels. 0 takes that of the "
    f"sensor, or {PANCHROMATIC}.",
    0.0, 0.99,
)

WEIGHTS = Option(
    "weights", "text", "Weights of the bands", "",
    "Weight of every band in the intensity, separated by commas: how much of the panchromatic image it makes up. As "
    "'Weighting' has them when empty.",
    advanced=False,
)
WEIGHTING = Option(
    "weighting", "choice", "Weighting", "fitted",
    "'fitted': the weights, none negative, with which the bands come closest to the panchromatic image at their "
    "resolution; 'equal': the same for every band; 'sensor': the share of the panchromatic band's wavelengths that "
    "each band of the sensor has.",
    choices=("fitted", "equal", "sensor"),
    advanced=False,
)
WINDOW = Option(
    "window", "integer", "Window (panchromatic pixels)", 0,
    "Side of the window of the mean, odd; 0: twice the ratio of the pixel sizes and one more, 9 at a ratio of 4. A "
    "smaller one adds less.",
    minimum=0, maximum=201, odd=True,
)
GAIN_WINDOW = Option(
    "window", "integer", "Window of the gains (panchromatic pixels)", 0,
    "Side of the window around every pixel by which its gain is found, odd, and drawn to that of the scene where the "
    "window tells little; 0: one gain for the whole scene, as published. 31 follows kinds of ground on which a band "
    "and the panchromatic image differ.",
    minimum=0, maximum=201, odd=True, advanced=False,
)


def declare(
    identity: str,
    title: str,
    summary: str,
    description: str,
    paper: str = "",
    doi: str = "",
    options: tuple[Option, ...] = (),
    tags: tuple[str, ...] = (),
    several: bool = False,
) -> Method:
    """The declaration of a pansharpening method that works on any two images; it runs ``_<id>.run``.

    One that takes ``several`` bands in place of the panchromatic one sharpens hyperspectral images too.
    """
    return Method(
        id=identity,
        operation="pansharpen",
        title=title,
        group=GROUP,
        summary=summary,
        description=description,
        paper=paper,
        doi=doi,
        roles=GUIDED if several else ROLES,
        options=(*options, *ALIGNMENT),
        outputs=(OUTPUT,),
        run=f"stfusion.pansharpening._{identity}:run",
        tags=("pansharpening", "pan-sharpening", "panchromatic", "sharpen", *tags),
    )
