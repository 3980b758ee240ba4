"""Sensors' modulation transfer functions: their gains at the Nyquist frequency, known ones and those of a user.

Nothing here imports numpy, so that declarations can offer the sensors.
"""

from __future__ import annotations

from collections.abc import Mapping

from stfusion.declaration import Option
from stfusion.errors import UserError

#: The gain of most multispectral and panchromatic bands, where no better one is known.
MULTISPECTRAL, PANCHROMATIC = 0.3, 0.15
OTHER = "other"
#: Gains of the multispectral bands, in the order of their wavelengths, and of the panchromatic one.
SENSORS: Mapping[str, tuple[tuple[float, ...], float]] = {
    "QuickBird": ((0.34, 0.32, 0.30, 0.22), 0.15),
    "IKONOS": ((0.26, 0.28, 0.29, 0.28), 0.17),
    "GeoEye-1": ((0.23,) * 4, 0.16),
    "WorldView-2": ((0.35,) * 7 + (0.27,), 0.11),
    "WorldView-3": ((0.325, 0.355, 0.360, 0.350, 0.365, 0.360, 0.335, 0.315), 0.14),
    "WorldView-4": ((0.23,) * 4, 0.16),
}
SENSOR_OPTION = Option(
    "sensor", "choice", "Sensor", OTHER,
    f"Sensor of the coarse or multispectral image, whose bands are all there in the order of their wavelengths: its "
    f"gains at the Nyquist frequency (modulation transfer function) are known. '{OTHER}': {MULTISPECTRAL} for every "
    "band.",
    choices=(OTHER, *SENSORS),
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
        found = SENSORS[sensor][0] if sensor in SENSORS else (MULTISPECTRAL,) * bands
        whose = f"{sensor} has the gains of"
    if len(found) != bands:
        raise UserError(
            f"{whose} {len(found)} band(s) and the image has {bands}; write one number, or one for each band, in "
            f"'{GAINS_OPTION.title}'."
        )
    return found


def _gain(text: str) -> float:
    try:
        gain = float(text)
    except ValueError:
        gain = 0.0
    if not 0.01 <= gain <= 0.99:
        raise UserError(f"'{GAINS_OPTION.title}' has '{text.strip()}'; write numbers from 0.01 to 0.99, such as 0.3.")
    return gain
