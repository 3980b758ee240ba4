"""Declaration of hypersharpening."""

from __future__ import annotations

from stfusion.declaration import Option
from stfusion.pansharpening._shared import declare
from stfusion.raster.mtf import GAINS_OPTION, SENSOR_OPTION

METHOD = declare(
    "hypersharpening",
    "Hypersharpening",
    "Sharpens a hyperspectral image by a multispectral one: every band has a panchromatic image of its own.",
    "For every band, the bands of the sharper image are combined by the weights with which they come closest to it at "
    "its resolution. What the sensor of the band could not see of that combination is its detail, which is added as "
    "much as the band goes with it. With a single panchromatic band it is MTF-GLP-FS. It needs no training.",
    "Selva, M., Aiazzi, B., Butera, F., Chiarantini, L., Baronti, S. (2015). Hyper-sharpening: a first approach on "
    "SIM-GA data. IEEE Journal of Selected Topics in Applied Earth Observations and Remote Sensing 8(6), 3008-3024.",
    "10.1109/JSTARS.2015.2440092",
    options=(
        SENSOR_OPTION,
        GAINS_OPTION,
        Option(
            "injection", "choice", "How details are added", "full-scale",
            "'full-scale': times the gain of every band, estimated over the whole scene at full resolution (as "
            "MTF-GLP-FS); 'plain': as they are (as MTF-GLP); 'ratio': the band is multiplied by what the combination "
            "is over what its sensor would have seen of it (as MTF-GLP-HPM).",
            choices=("full-scale", "plain", "ratio"), advanced=False,
        ),
    ),
    tags=("hyperspectral", "mhif", "mtf", "glp", "regression"),
    several=True,
)
