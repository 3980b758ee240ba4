"""Spectral indices as a table: every one is a ratio of two sums of bands."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

#: The bands that indices are made of.
BANDS = ("blue", "green", "red", "NIR", "SWIR 1", "SWIR 2")


@dataclass(frozen=True)
class Index:
    """An index: ``gain`` x (sum of ``top``) / (sum of ``bottom`` + ``constant``), sums of bands by their factors.

    Bands are reflectances (0..1). Those with a ``constant`` depend on the unit of the values, the others do not.
    """

    title: str
    top: Mapping[str, float]
    bottom: Mapping[str, float]
    source: str
    constant: float = 0.0
    gain: float = 1.0

    @property
    def bands(self) -> tuple[str, ...]:
        """The bands that are needed, by wavelength."""
        return tuple(band for band in BANDS if band in self.top or band in self.bottom)


def _difference(title: str, one: str, other: str, source: str) -> Index:
    """A normalised difference of two bands."""
    return Index(title, {one: 1.0, other: -1.0}, {one: 1.0, other: 1.0}, source)


_NIR_RED = {"NIR": 1.0, "red": -1.0}
INDICES = {
    "ndvi": _difference("NDVI", "NIR", "red", "Tucker (1979), 10.1016/0034-4257(79)90013-0"),
    "evi": Index(
        "EVI", _NIR_RED, {"NIR": 1.0, "red": 6.0, "blue": -7.5}, "Huete et al. (2002), 10.1016/S0034-4257(02)00096-2",
        constant=1.0, gain=2.5,
    ),
    "evi2": Index(
        "EVI2", _NIR_RED, {"NIR": 1.0, "red": 2.4}, "Jiang et al. (2008), 10.1016/j.rse.2008.06.006",
        constant=1.0, gain=2.5,
    ),
    "savi": Index(
        "SAVI", _NIR_RED, {"NIR": 1.0, "red": 1.0}, "Huete (1988), 10.1016/0034-4257(88)90106-X",
        constant=0.5, gain=1.5,
    ),
    "ndwi": _difference("NDWI", "green", "NIR", "McFeeters (1996), 10.1080/01431169608948714"),
    "mndwi": _difference("MNDWI", "green", "SWIR 1", "Xu (2006), 10.1080/01431160600589179"),
    "ndmi": _difference("NDMI", "NIR", "SWIR 1", "Gao (1996), 10.1016/S0034-4257(96)00067-3"),
    "nbr": _difference("NBR", "NIR", "SWIR 2", "García and Caselles (1991), 10.1080/10106049109354290"),
    "ndsi": _difference("NDSI", "green", "SWIR 1", "Hall et al. (1995), 10.1016/0034-4257(95)00137-P"),
}

#: Orders of bands: the name of every band, None for one that no index needs.
ORDERS: Mapping[str, tuple[str | None, ...]] = {
    "red_nir": ("red", "NIR"),
    "green_red_nir": ("green", "red", "NIR"),
    "blue_green_red_nir": BANDS[:4],
    "blue_to_swir": BANDS,
    "landsat_8": (None, *BANDS),
    "sentinel_2": ("blue", "green", "red", None, None, None, "NIR", None, "SWIR 1", "SWIR 2"),
    "sentinel_2_l2a": (None, "blue", "green", "red", None, None, None, "NIR", None, None, "SWIR 1", "SWIR 2"),
    "modis": ("red", "NIR", "blue", "green", None, "SWIR 1", "SWIR 2"),
}
#: Where bands are found by their own names.
BY_NAME = "names"


def _plain(name: str) -> str:
    """A name without capitals, spaces and signs."""
    return re.sub(r"[\W_]", "", name).lower()


_PLAIN = {_plain(band): band for band in BANDS}


def band_of(name: str) -> str | None:
    """The band that a name stands for, whatever its capitals, spaces and signs, such as "swir_1"; None for another."""
    return _PLAIN.get(_plain(name))


def numbers_by_order(order: str) -> dict[str, int]:
    """The number of every band in one of the :data:`ORDERS`, from 1."""
    return {band: number for number, band in enumerate(ORDERS[order], 1) if band is not None}


def numbers_by_name(names: Sequence[str | None]) -> dict[str, int]:
    """The number of every band whose name stands among these, from 1; the first of two of one name."""
    found: dict[str, int] = {}
    for number, name in enumerate(names, 1):
        band = band_of(name or "")
        if band is not None:
            found.setdefault(band, number)
    return found
