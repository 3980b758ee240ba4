"""The images of a role, opened one by one: a stack whose dates may be unknown, with the masks of their dates."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import PurePath

from affine import Affine
from odc.geo.geobox import GeoBox

from stfusion.errors import UserError
from stfusion.job import Input
from stfusion.raster.source import Source
from stfusion.raster.stack import dated, files_of, name_of, of_masks
from stfusion.run import Context

#: A date in a name, with the signs before it, the letter that usual products have there, and all that follows.
_FROM_DATE = re.compile(
    r"[-_. ]*(?:(?<![A-Za-z])A)?(?<!\d)(?:19|20)\d\d[-_.]?(?:[01]\d[-_.]?[0-3]\d|[0-3]\d\d|\d\d?-\d\d?)(?!\d).*$"
)


def opened(context: Context, role: str, masks: str) -> list[Source]:
    """The images of a role in the order of their dates, those without one first; masks of their dates are theirs.

    Raises
    ------
    UserError
        A file cannot be read, a mask has no date, or two masks have the same.
    """
    given, title = context.job.inputs[role], _title(context, role)
    by_day = dated("mask", context.job.inputs[masks]) if masks in context.job.inputs else {}
    paths = files_of(title.lower(), given)
    day = given.date if len(paths) == 1 else None
    images = [Source(title, replace(given, path=path, more=None, date=day)) for path in paths]
    for index, image in enumerate(images):
        if image.date in by_day:
            mask = by_day[image.date]
            own = replace(given, path=image.path, more=None, date=day, mask=mask.path, clear=mask.clear)
            images[index] = Source(title, own)
    for image in images:
        image.check_end()
    _warn(context, title, images, by_day)
    return sorted(images, key=lambda image: str(image.date or ""))


def _warn(context: Context, title: str, images: Sequence[Source], masks: Mapping[date, Input]) -> None:
    """Say which images cannot stand in a stack, and which masks do not fit."""
    days = Counter(image.date for image in images)
    bare = days.pop(None, 0)
    if bare and days:
        name = next(image for image in images if image.date is None)
        context.reporter.warning(
            f"{bare} of {len(images)} files have no date in their tags or names, such as {name}: a series takes none "
            "of them; write the date into the name, such as 20010711."
        )
    twice = next((day for day, count in days.items() if count > 1), None)
    if twice:
        files = _listed(image for image in images if image.date == twice)
        context.reporter.warning(
            f"{title} {files} are of one date, {twice}: a series takes one image for a date; leave the others out."
        )
    if masks:
        named = {image.date: Input(image.path) for image in images if image.date}
        for remark in of_masks(title.lower().removesuffix("image").strip(), named, masks):
            context.reporter.warning(remark)


def _title(context: Context, role: str) -> str:
    """What one of the images of a role is called."""
    title = next(each.title for each in context.method.roles if each.id == role)
    return title.removesuffix("s")


def spread(image: Source, grid: GeoBox) -> GeoBox:
    """The grid of an image whose pixels cover all of another grid."""
    sizes = [theirs / own for theirs, own in zip(grid.shape, image.shape, strict=True)]
    return GeoBox(image.shape, grid.affine * Affine.scale(sizes[1], sizes[0]), grid.crs)


def nearest(day: date | None, images: Sequence[Source]) -> Source:
    """The image that is nearest in time; the first one where dates are unknown."""
    known = [(abs((day - other.date).days), index) for index, other in enumerate(images) if day and other.date]
    return images[min(known)[1]] if known else images[0]


def names_for(images: Sequence[Source], name: str) -> list[str]:
    """The names of the files that are written for images: a name, or that of their own, and the date where known.

    Raises
    ------
    UserError
        Two images would have the same name.
    """
    names = [_name(image, name) for image in images]
    twice = [each for each, count in Counter(names).items() if count > 1]
    if twice:
        files = _listed(image for image, own in zip(images, names, strict=True) if own == twice[0])
        raise UserError(f"{files} would all be written as '{twice[0]}'; leave all but one of them out.")
    return names


def _name(image: Source, name: str) -> str:
    if image.date is None:
        return f"{name or PurePath(image.path).stem}.tif"
    return name_of(name or stem_of(image.path), image.date)


def stem_of(path: str) -> str:
    """The beginning of a file's name, before its date."""
    return _FROM_DATE.sub("", PurePath(path).stem) or "image"


def _listed(images: Iterable[Source]) -> str:
    return " and ".join(f"'{PurePath(image.path).name}'" for image in images)
