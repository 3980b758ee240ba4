"""Acquisition dates: from the user, from a file's tags or from its name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from pathlib import PurePath

_TAGS = (
    "ACQUISITION_DATE", "ACQUISITIONDATETIME", "ACQUISITION_DATETIME", "DATE_ACQUIRED", "SENSING_TIME",
    "RANGEBEGINNINGDATE", "TIFFTAG_DATETIME",
)
_YEAR_MONTH_DAY = re.compile(r"(?<!\d)((?:19|20)\d\d)[-_.]?(0[1-9]|1[0-2])[-_.]?(0[1-9]|[12]\d|3[01])(?!\d)")
#: Without zeros before small numbers, which hyphens alone make sure of.
_SHORT = re.compile(r"(?<!\d)((?:19|20)\d\d)-(\d{1,2})-(\d{1,2})(?!\d)")
_YEAR_DAY = re.compile(r"(?<!\d)((?:19|20)\d\d)[-_.]?([0-3]\d\d)(?!\d)")
#: Where the names of usual products, which often have the date of processing too, have the acquisition date: Landsat
#: (Collections 1 and 2, and before), MODIS and VIIRS, Harmonized Landsat Sentinel, Sentinel-2.
_PRODUCTS = (
    re.compile(r"L[4-7]\d?\d{6}_\d{3}(\d{8})(?!\d)"),
    re.compile(r"L[COTEM]\d\d_\w{4}_\d{6}_(\d{8})_"),
    re.compile(r"L[COTEM]\d\d{6}(\d{7})[A-Z]{3}\d\d"),
    re.compile(r"[._]A(\d{7})(?!\d)"),
    re.compile(r"\.(\d{7})T\d{6}(?!\d)"),
    re.compile(r"_(\d{8})T\d{6}(?!\d)"),
)


def find_date(path: str, tags: Mapping[str, str]) -> date | None:
    """The acquisition date of a file from its tags, else from its name (``20010711``, ``2001-07-11``, ``A2001192``)."""
    return _from_tags(tags) or from_name(PurePath(path).name)


def from_name(name: str) -> date | None:
    """The date written in a file name as year, month and day or as year and day of the year; None if there is none.

    In names of usual products it is the date of acquisition, and else the first date.
    """
    for product in _PRODUCTS:
        match = product.search(name)
        if match:
            name = match[1]
            break
    for match in (*_YEAR_MONTH_DAY.finditer(name), *_SHORT.finditer(name)):
        try:
            return date(*map(int, match.groups()))
        except ValueError:
            continue
    for match in _YEAR_DAY.finditer(name):
        year, day = map(int, match.groups())
        found = date(year, 1, 1) + timedelta(days=day - 1)
        if day >= 1 and found.year == year:
            return found
    return None


def _from_tags(tags: Mapping[str, str]) -> date | None:
    upper = {key.upper(): value for key, value in tags.items()}
    for key in _TAGS:
        text = upper.get(key, "")
        for form, length in (("%Y:%m:%d", 10), ("%Y-%m-%d", 10), ("%Y%m%d", 8)):
            try:
                return datetime.strptime(text[:length], form).date()
            except ValueError:
                continue
    return None
