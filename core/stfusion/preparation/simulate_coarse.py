"""Simulate the coarse image that a sensor with larger pixels would have taken."""

from __future__ import annotations

from stfusion.declaration import Method, Option, Output, Role
from stfusion.preparation._shared import GROUP
from stfusion.raster.mtf import GAINS_OPTION, SENSOR_OPTION

#: The point spreads of a coarse sensor.
SPREADS = ("box", "blurred_box", "gaussian")

METHOD = Method(
    id="simulate_coarse",
    operation="prepare",
    title="Simulate a coarse image",
    group=GROUP,
    summary="Makes of a fine image the coarse image that a sensor with larger pixels would have taken.",
    description=(
        "The fine image is seen through the point spread of a coarse sensor, on pixels larger by the ratio, displaced "
        "by a part of a pixel and with noise where wanted. So a method can be tested where no coarse image exists, and "
        "what misregistration, point spread and noise cost it can be measured one by one. The noise of a pixel depends "
        "on the seed and its place alone. The result has the data type, the nodata value, the band names and the date "
        "of the fine image."
    ),
    paper="",
    doi="",
    roles=(Role("fine", "Fine image", "fine", "", "Image with small pixels, any number of bands."),),
    options=(
        Option(
            "ratio", "integer", "Ratio", 16, "Fine pixels along the side of a coarse pixel.", 2, 256, advanced=False
        ),
        Option(
            "spread", "choice", "Point spread", "box",
            "'box': the mean of the fine pixels; 'blurred_box': their mean after a Gaussian blur; 'gaussian': a "
            "Gaussian by its width or by the gain of the sensor's modulation transfer function.",
            choices=SPREADS, advanced=False,
        ),
        Option(
            "fwhm", "number", "Width of the Gaussian", 0.0,
            "Full width at half maximum in coarse pixels. 0: one coarse pixel for 'blurred_box', and for 'gaussian' "
            "what the gains of the bands ask for.",
            0.0, 3.0,
        ),
        Option(
            "noise", "number", "Noise", 0.0,
            "Standard deviation of the noise that is added, in the unit of the values (stored value x scale + offset).",
            0.0,
            advanced=False,
        ),
        Option(
            "shift_rows", "number", "Displacement down", 0.0,
            "Coarse pixels by which the image lies too far down, such as 0.25; negative: up.", -4.0, 4.0,
            advanced=False,
        ),
        Option(
            "shift_columns", "number", "Displacement to the right", 0.0,
            "Coarse pixels by which the image lies too far to the right; negative: to the left.", -4.0, 4.0,
            advanced=False,
        ),
        SENSOR_OPTION,
        GAINS_OPTION,
    ),
    outputs=(
        Output(
            "output", "raster_out", "Coarse image",
            "Image with pixels larger by the ratio; rows and columns that fill no pixel are left out.",
        ),
    ),
    run="stfusion.preparation._simulate_coarse:run",
    tags=("simulation", "degrade", "downscale", "point spread function", "mtf", "misregistration", "noise"),
)
