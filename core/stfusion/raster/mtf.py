"""What is known of sensors: gains of their modulation transfer functions, and the bands that their pan bands see.

Nothing here imports numpy, so that declarations can offer the sensors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from stfusion.declaration import Option
from stfusion.errors import UserError

#: The gain of most multispectral and panchromatic bands, where no better one is known.
MULTISPECTRAL, PANCHROMATIC = 0.3, 0.15
OTHER = "other"


class Sensor(NamedTuple):
    """Gains at the Nyquist frequency, and limits of the bands in nanometres, in the order of the wavelengths.

    A single gain is that of every band.
    """

    gains: tuple[float, ...]
    pan_gain: float
    bands: tuple[tuple[int, int], ...] = ()
    pan: tuple[int, int] = (0, 0)

    @property
    def weights(self) -> tuple[float, ...]:
        """The share of what the panchromatic band sees that every band has: their common wavelengths, sum 1."""
        shared = [max(0, min(high, self.pan[1]) - max(low, self.pan[0])) for low, high in self.bands]
        return tuple(part / sum(shared) for part in shared)


_UNKNOWN = (MULTISPECTRAL,)
_DIGITAL_GLOBE_8 = (
    (400, 450), (450, 510), (510, 580), (585, 625), (630, 690), (705, 745), (770, 895), (860, 1040),
)
_DIGITAL_GLOBE_4 = ((450, 510), (510, 580), (655, 690), (780, 920))
_LANDSAT_8 = ((452, 512), (533, 590), (636, 673), (851, 879), (1566, 1651), (2107, 2294))
SENSORS: Mapping[str, Sensor] = {
    "Landsat 7": Sensor(
        _UNKNOWN, PANCHROMATIC,
        ((450, 515), (525, 605), (630, 690), (775, 900), (1550, 1750), (2090, 2350)), (520, 900),
    ),
    "Landsat 8": Sensor(_UNKNOWN, PANCHROMATIC, _LANDSAT_8, (503, 676)),
    "Landsat 9": Sensor(_UNKNOWN, PANCHROMATIC, _LANDSAT_8, (503, 676)),
    "QuickBird": Sensor(
        (0.34, 0.32, 0.30, 0.22), 0.15, ((450, 520), (520, 600), (630, 690), (760, 900)), (450, 900)
    ),
    "IKONOS": Sensor((0.26, 0.28, 0.29, 0.28), 0.17, ((445, 516), (506, 595), (632, 698), (757, 853)), (526, 929)),
    "GeoEye-1": Sensor((0.23,) * 4, 0.16, _DIGITAL_GLOBE_4, (450, 800)),
    "WorldView-2": Sensor((0.35,) * 7 + (0.27,), 0.11, _DIGITAL_GLOBE_8, (450, 800)),
    "WorldView-3": Sensor(
        (0.325, 0.355, 0.360, 0.350, 0.365, 0.360, 0.335, 0.315), 0.14, _DIGITAL_GLOBE_8, (450, 800)
    ),
    "WorldView-4": Sensor((0.23,) * 4, 0.16, _DIGITAL_GLOBE_4, (450, 800)),
    "Pleiades": Sensor(_UNKNOWN, PANCHROMATIC, ((430, 550), (500, 620), (590, 710), (740, 940)), (470, 830)),
    "SPOT 6/7": Sensor(_UNKNOWN, PANCHROMATIC, ((455, 525), (530, 590), (625, 695), (760, 890)), (455, 745)),
    "Gaofen-2": Sensor(_UNKNOWN, PANCHROMATIC, ((450, 520), (520, 590), (630, 690), (770, 890)), (450, 900)),
    "PRISMA": Sensor(_UNKNOWN, 0.2),
}
SENSOR_OPTION = Option(
    "sensor", "choice", "Sensor", OTHER,
    "Sensor of the coarse or multispectral image, whose bands are all there in the order of their wavelengths (those "
    "of Landsat from blue to the second short-wave infrared): its gains at the Nyquist frequency (modulation transfer "
    f"function), {MULTISPECTRAL} for every band where no others are known. '{OTHER}' is an unknown sensor: "
    f"{MULTISPECTRAL}.",
    choices=(OTHER, *SENSORS), advanced=False,
)
GAINS_OPTION = Option(
    "gains", "text", "Gains of the bands", "",
    "Response of the coarse or multispectral sensor at the Nyquist frequency of its pixels, between 0 and 1: a number "
    "for all bands, or one for each, separated by commas. Those of the sensor when empty.",
)


def gains_of(sensor: str, text: str, bands: int) -> tuple[float, ...]:
    """The gains of so many bands: those that a text gives, else those of the sensor.

    Raises
    ------
    UserError
        The text holds something else, or the number of gains is not that of the bands.
    """
    if text.strip():
        found = tuple(_gain(part) for part in text.split(","))
        found = found * bands if len(found) == 1 else found
        whose = f"'{GAINS_OPTION.title}' has"
    else:
        found = SENSORS[sensor].gains if sensor in SENSORS else _UNKNOWN
        found = found * bands if len(found) == 1 else found
        whose = f"{sensor} has the gains of"
    if len(found) != bands:
        raise UserError(
            f"{whose} {len(found)} band(s) and the image has {bands}; write one number, or one for each band, in "
            f"'{GAINS_OPTION.title}'."
        )
    return found


def pan_gain_of(sensor: str) -> float:
    """The gain of a sensor's panchromatic band, the usual one where it is not known."""
    return SENSORS[sensor].pan_gain if sensor in SENSORS else PANCHROMATIC


def _gain(text: str) -> float:
    try:
        gain = float(text)
    except ValueError:
        gain = 0.0
    if not 0.01 <= gain <= 0.99:
        raise UserError(f"'{GAINS_OPTION.title}' has '{text.strip()}'; write numbers from 0.01 to 0.99, such as 0.3.")
    return gain
