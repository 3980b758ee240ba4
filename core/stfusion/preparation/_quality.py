"""What the quality bands of products say of a pixel: one table of bit fields for each band.

Sources: Landsat 8-9 and 4-7 Collection 2 Level 2 Science Product Guides (QA_PIXEL); Sentinel-2 Level 2A products (scene
classification); HLS Product User Guide, version 2.0 (Fmask); MODIS Surface Reflectance User's Guide, Collection 6.1
(state QA), which VNP09A1 and VNP09H1 follow; VIIRS Surface Reflectance User's Guide (QF1, QF2); MCD43 User Guide
(mandatory quality).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from stfusion.preparation.import_products import CODES

Codes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Field:
    """Bits of a quality band, from ``first`` on (0 is the lowest), and the values of theirs that mean a kind."""

    kind: str
    first: int
    bits: int = 1
    values: tuple[int, ...] = (1,)

    def holds(self, band: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Where a quality band says so."""
        part = band >> self.first & (1 << self.bits) - 1
        return np.isin(part, self.values) if len(self.values) > 1 else part == self.values[0]


Fields = tuple[Field, ...]

#: Landsat Collection 2. The sensors before Landsat 8 have no cirrus, and zeros there.
LANDSAT_QA_PIXEL: Fields = (
    Field("fill", 0),
    Field("adjacent", 1),
    Field("cirrus", 2),
    Field("cloud", 3),
    Field("shadow", 4),
    Field("snow", 5),
    Field("water", 7),
    Field("probable", 8, 2, (2,)),
    Field("cloud", 8, 2, (3,)),
    Field("shadow", 10, 2, (3,)),
    Field("snow", 12, 2, (3,)),
    Field("cirrus", 14, 2, (3,)),
)

#: Sentinel-2 Level 2A: one class for a pixel. Class 2, dark or in the shadow of terrain, is no shadow of a cloud.
SENTINEL2_SCL: Fields = (
    Field("fill", 0, 8, (0,)),
    Field("poor", 0, 8, (1,)),
    Field("shadow", 0, 8, (3,)),
    Field("water", 0, 8, (6,)),
    Field("probable", 0, 8, (8,)),
    Field("cloud", 0, 8, (9,)),
    Field("cirrus", 0, 8, (10,)),
    Field("snow", 0, 8, (11,)),
)

#: Harmonized Landsat Sentinel 2.0. Bit 0, once cirrus, is not used; bits 6 and 7 are the aerosol.
HLS_FMASK: Fields = (
    Field("fill", 0, 8, (255,)),
    Field("cloud", 1),
    Field("adjacent", 2),
    Field("shadow", 3),
    Field("snow", 4),
    Field("water", 5),
)

#: State of MOD09 and MYD09, and of VNP09A1 and VNP09H1. Water is ocean and inland water, neither shores nor what is
#: wet at times; cirrus is average or high.
MODIS_STATE: Fields = (
    Field("fill", 0, 16, (65535,)),
    Field("cloud", 0, 2, (1,)),
    Field("probable", 0, 2, (2,)),
    Field("shadow", 2),
    Field("water", 3, 3, (0, 3, 5, 6, 7)),
    Field("cirrus", 8, 2, (2, 3)),
    Field("cloud", 10),
    Field("snow", 12),
    Field("adjacent", 13),
    Field("snow", 15),
)

#: Daily VIIRS reflectance (VNP09GA): cloud in its first band of quality flags.
VIIRS_QF1: Fields = (Field("cloud", 2, 2, (3,)), Field("probable", 2, 2, (2,)))
#: The same: land or water, shadow, snow, and thin cirrus by reflection and by emission in the second one.
VIIRS_QF2: Fields = (
    Field("water", 0, 3, (2, 3)),
    Field("shadow", 3),
    Field("snow", 5),
    Field("cirrus", 6),
    Field("cirrus", 7),
)

#: Nadir reflectance of MCD43 and VNP43, for each band: 1 is what only the size of a former spectrum was fitted to.
MANDATORY_QUALITY: Fields = (Field("fill", 0, 8, (255,)), Field("poor", 0, 8, (1,)))


def codes(read: Sequence[tuple[npt.NDArray[Any], Fields]], wanted: Collection[str]) -> Codes:
    """The code of every pixel (rows, columns): 0 where nothing that is wanted holds, else that of the first kind.

    Parameters
    ----------
    read
        Quality bands (rows, columns), NaN where a band does not cover the pixel, and what their bits mean.
    wanted
        The kinds that are masked; fill always is.
    """
    found = np.zeros(read[0][0].shape, np.uint8)
    bands = [(np.nan_to_num(band).astype(np.int64), fields) for band, fields in read]
    for kind in reversed(CODES):
        if kind == "fill" or kind in wanted:
            for band, fields in bands:
                for field in fields:
                    if field.kind == kind:
                        found[field.holds(band)] = CODES[kind]
    for band, _ in read:
        found[np.isnan(band)] = CODES["fill"]
    return found
