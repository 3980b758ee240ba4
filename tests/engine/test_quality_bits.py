"""Quality bands: patterns of bits written by hand from the documentation of every product."""

from __future__ import annotations

import numpy as np
import pytest

from stfusion.preparation import _quality as quality
from stfusion.preparation.import_products import CODES

ALL = tuple(CODES)
WORDS = {code: kind for kind, code in CODES.items()} | {0: "clear"}


def kinds(value: int, fields: quality.Fields) -> set[str]:
    """All kinds that hold for a value of a quality band."""
    band = np.array([[float(value)]])
    return {kind for kind in ALL if any(f.kind == kind and f.holds(band.astype(np.int64))[0, 0] for f in fields)}


# Values of the table of QA_PIXEL in the product guides, and what they say there.
@pytest.mark.parametrize(
    ("value", "said"),
    [
        (1, {"fill"}),
        (21824, set()),  # clear, all confidences low
        (5440, set()),  # the same of Landsat 4 to 7, without cirrus
        (21826, {"adjacent"}),  # dilated cloud over land
        (21888, {"water"}),  # clear over water
        (21952, {"water"}),  # the same with the bit of clear
        (21890, {"adjacent", "water"}),  # dilated cloud over water
        (22080, {"probable"}),  # cloud of middle confidence
        (22144, {"probable", "water"}),  # the same over water
        (22280, {"cloud"}),  # cloud of high confidence
        (23888, {"shadow"}),  # shadow of high confidence
        (23952, {"shadow", "water"}),
        (24088, {"cloud", "probable", "shadow"}),  # the bit of cloud, with middle confidence
        (24344, {"cloud", "shadow"}),
        (30048, {"snow"}),  # snow of high confidence
        (54596, {"cirrus"}),  # cirrus of high confidence
        (54852, {"cirrus", "probable"}),
        (55052, {"cirrus", "cloud"}),
        (0b0000_0000_0000_1000, {"cloud"}),
        (0b1100_0000_0000_0000, {"cirrus"}),
        (0b1000_0000_0000_0000, set()),  # cirrus of middle confidence
    ],
)
def test_landsat_qa_pixel(value, said):
    assert kinds(value, quality.LANDSAT_QA_PIXEL) == said


@pytest.mark.parametrize(
    ("value", "said"),
    enumerate([
        {"fill"}, {"poor"}, set(), {"shadow"}, set(), set(), {"water"}, set(), {"probable"}, {"cloud"}, {"cirrus"},
        {"snow"},
    ]),
)
def test_sentinel2_scene_classes(value, said):
    assert kinds(value, quality.SENTINEL2_SCL) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0b0000_0000, set()),
        (0b0000_0001, set()),  # not used in version 2.0
        (0b0000_0010, {"cloud"}),
        (0b0000_0100, {"adjacent"}),
        (0b0000_1000, {"shadow"}),
        (0b0001_0000, {"snow"}),
        (0b0010_0000, {"water"}),
        (0b1100_0000, set()),  # much aerosol
        (0b1010_0110, {"cloud", "adjacent", "water"}),
    ],
)
def test_hls_fmask(value, said):
    assert kinds(value, quality.HLS_FMASK) == said
    assert "fill" in kinds(255, quality.HLS_FMASK)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0b0000_0000_0000_1000, set()),  # land
        (0b0000_0000_0000_1001, {"cloud"}),
        (0b0000_0000_0000_1010, {"probable"}),  # mixed
        (0b0000_0000_0000_1011, set()),  # not set, taken for clear
        (0b0000_0000_0000_1100, {"shadow"}),
        (0b0000_0000_0000_0000, {"water"}),  # shallow ocean
        (0b0000_0000_0001_0000, set()),  # shores
        (0b0000_0000_0001_1000, {"water"}),  # shallow inland water
        (0b0000_0000_0010_0000, set()),  # wet at times
        (0b0000_0000_0010_1000, {"water"}),  # deep inland water
        (0b0000_0000_0011_0000, {"water"}),  # moderate ocean
        (0b0000_0000_0011_1000, {"water"}),  # deep ocean
        (0b0000_0000_1100_1000, set()),  # much aerosol
        (0b0000_0001_0000_1000, set()),  # small cirrus
        (0b0000_0010_0000_1000, {"cirrus"}),
        (0b0000_0011_0000_1000, {"cirrus"}),
        (0b0000_0100_0000_1000, {"cloud"}),  # internal algorithm
        (0b0000_1000_0000_1000, set()),  # fire
        (0b0001_0000_0000_1000, {"snow"}),  # MOD35
        (0b0010_0000_0000_1000, {"adjacent"}),
        (0b0100_0000_0000_1000, set()),  # salt pan
        (0b1000_0000_0000_1000, {"snow"}),  # internal algorithm
    ],
)
def test_modis_state(value, said):
    assert kinds(value, quality.MODIS_STATE) == said
    assert "fill" in kinds(65535, quality.MODIS_STATE)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0b0000_0011, set()),  # a mask of high quality, and clear
        (0b0000_0100, set()),  # probably clear
        (0b0000_1000, {"probable"}),
        (0b0000_1100, {"cloud"}),
        (0b1111_0000, set()),  # night, low sun, glint
    ],
)
def test_viirs_first_flags(value, said):
    assert kinds(value, quality.VIIRS_QF1) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0b0000_0000, set()),  # desert
        (0b0000_0001, set()),  # other land
        (0b0000_0010, {"water"}),  # inland
        (0b0000_0011, {"water"}),  # sea
        (0b0000_0101, set()),  # coast
        (0b0000_1001, {"shadow"}),
        (0b0001_0001, set()),  # heavy aerosol
        (0b0010_0001, {"snow"}),
        (0b0100_0001, {"cirrus"}),
        (0b1000_0001, {"cirrus"}),
    ],
)
def test_viirs_second_flags(value, said):
    assert kinds(value, quality.VIIRS_QF2) == said


@pytest.mark.parametrize(("value", "said"), [(0, set()), (1, {"poor"}), (255, {"fill"})])
def test_mandatory_quality(value, said):
    assert kinds(value, quality.MANDATORY_QUALITY) == said


def test_the_first_kind_that_is_wanted_counts_and_fill_always_does():
    band = np.array([[24344.0, 21824.0, 1.0, np.nan]])
    read = [(band, quality.LANDSAT_QA_PIXEL)]
    assert [WORDS[code] for code in quality.codes(read, ALL)[0]] == ["cloud", "clear", "fill", "fill"]
    assert [WORDS[code] for code in quality.codes(read, ("shadow",))[0]] == ["shadow", "clear", "fill", "fill"]
    assert [WORDS[code] for code in quality.codes(read, ())[0]] == ["clear", "clear", "fill", "fill"]


def test_bands_of_flags_add_up():
    first, second = np.array([[12.0, 0.0, 0.0]]), np.array([[0.0, 9.0, np.nan]])
    found = quality.codes([(first, quality.VIIRS_QF1), (second, quality.VIIRS_QF2)], ALL)
    assert [WORDS[code] for code in found[0]] == ["cloud", "shadow", "fill"]
