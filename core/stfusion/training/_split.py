"""What is learnt from and what is held out: whole places, or a strip of every place, apart from each other; or dates.

Nothing that a training patch is made of may be in a validation patch, nor lie under a coarse pixel of one. Where dates
are held out instead, their images are in no training patch of the same ground.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from odc.geo.geom import Geometry

from stfusion.errors import UserError
from stfusion.raster.grids import Box
from stfusion.raster.stack import listed
from stfusion.training._places import Groups, Place, Split
from stfusion.training._plan import days_of

#: Coarse pixels between what is learnt and what is held out. Cubic convolution takes two pixels on either side of a
#: place, so that those under a training patch end half a pixel further. Simulated coarse images are made of the
#: region's own pixels alone and need no more than a pixel.
APART, APART_SIMULATED = 2.5, 1.0
#: Places that have no more than this share of their ground in common merely touch.
_TOUCHING = 1e-3


@dataclass(frozen=True)
class Region:
    """A part of a place: patches lie in ``inner``, pixels around them are read as far as ``outer`` reaches.

    ``by_date`` says that it is all of a place of which some dates are held out.
    """

    place: Place
    use: Split
    inner: Box
    outer: Box
    by_date: bool = False

    @property
    def groups(self) -> Groups:
        """The samples of dates that it may have."""
        return self.place.held_out if self.by_date else self.place.groups

    def lattice(self, side: int) -> Iterator[Box]:
        """The patches side by side that fit, from the first pixel on."""
        for top in range(self.inner.top, self.inner.bottom - side + 1, side):
            for left in range(self.inner.left, self.inner.right - side + 1, side):
                yield Box(top, top + side, left, left + side)

    def draw(self, side: int, rng: np.random.Generator) -> Box:
        """A patch anywhere."""
        rows, columns = self.inner.shape
        top = self.inner.top + int(rng.integers(rows - side + 1))
        left = self.inner.left + int(rng.integers(columns - side + 1))
        return Box(top, top + side, left, left + side)


def split(
    places: Sequence[Place], share: float, side: int, largest_ratio: float, seed: int, say: Callable[[str], None]
) -> list[Region]:
    """The regions to learn from and to hold out, with a sentence on how.

    Places with a split keep it; where one of them or a date is held out, nothing else is. Of others whole places are,
    drawn at random, where the share (0..1) makes up one; else the last strip of each along its longer side, at least a
    patch of ``side`` pixels wide, with a gap of :data:`APART` coarse pixels (``largest_ratio`` where it is not known).

    Raises
    ------
    UserError
        Nothing is left to learn from, no place is large enough to hold anything out, or what is held out lies in
        another place.
    """
    small = [place for place in places if min(place.shape) < side]
    for place in small:
        rows, columns = place.shape
        say(f"Left out: {place.name} ({columns} x {rows} pixels), which is smaller than a patch of {side} pixels.")
    places = [place for place in places if place not in small]
    if not places:
        raise UserError(f"No place is as large as a patch of {side} pixels; take smaller patches.")
    free = [place for place in places if place.split is None]
    uses: dict[Place, Split] = {place: place.split or "training" for place in places}
    dated = [replace(_whole(place, "validation"), by_date=True) for place in places if place.held_out]
    if "validation" in uses.values() or dated:
        free = []
    # The only place without a split is cut, however large the share.
    count = min(round(share * len(free)), max(len(free) - 1, 0))
    for index in np.random.default_rng([seed, len(free)]).permutation(len(free))[:count]:
        uses[free[index]] = "validation"
    stripped = free if share and not count else []
    regions = [region for place in places for region in (
        _strip(place, share, side, largest_ratio) if place in stripped else [_whole(place, uses[place])]
    )]
    _say([*regions, *dated], stripped, side, say)
    _refuse_overlap(regions)
    _refuse_dates(regions, dated)
    if not any(region.use == "training" for region in regions):
        raise UserError("All places are held out for validation; give at least one of them the split 'training'.")
    return [*regions, *dated]


def _whole(place: Place, use: Split) -> Region:
    rows, columns = place.shape
    return Region(place, use, Box(0, rows, 0, columns), Box(0, rows, 0, columns))


def _strip(place: Place, share: float, side: int, largest_ratio: float) -> list[Region]:
    """The two parts of a place; all of it for training where both do not fit."""
    rows, columns = place.shape
    length = max(rows, columns)
    ratio = place.ratio[1] if place.ratio else min(largest_ratio, min(rows, columns) / 4)
    gap = math.ceil(ratio * (APART if place.real else APART_SIMULATED))
    held = max(round(share * length), side)
    learnt = length - held - gap
    if learnt < side:
        return [_whole(place, "training")]
    lengthwise = columns >= rows

    def part(first: int, last: int) -> Box:
        return Box(0, rows, first, last) if lengthwise else Box(first, last, 0, columns)

    return [
        Region(place, "training", part(0, learnt), part(0, learnt + gap)),
        Region(place, "validation", part(length - held, length), part(learnt, length)),
    ]


def _say(regions: Sequence[Region], stripped: Sequence[Place], side: int, say: Callable[[str], None]) -> None:
    """Say what is held out, and refuse where nothing can be though it is wanted."""
    held = [region for region in regions if region.use == "validation"]
    if stripped and not held:
        rows, columns = max((place.shape for place in stripped), key=max)
        raise UserError(
            f"The largest place has {columns} x {rows} pixels, too few to learn from one part and to hold out another "
            f"with patches of {side} pixels; take smaller patches, or hold nothing out."
        )
    if not stripped:
        names = listed(region.place.name for region in held if not region.by_date)
        days = sorted({group.target for region in held if region.by_date for group in region.groups or ()})
        what = [names] if names else []
        what += [f"the targets of {listed(days)}"] if days else []
        say(f"Held out for validation: {' and '.join(what)}." if what else "Nothing is held out for validation.")
        return
    for region in held:
        rows, columns = region.inner.shape
        count, where = (columns, "columns") if region.inner.left else (rows, "rows")
        gap = max(outer - inner for inner, outer in zip(region.inner.shape, region.outer.shape, strict=True))
        say(
            f"Held out for validation: the last {count} {where} of {region.place.name}, after a gap of {gap} pixels "
            "that is not learnt from."
        )
    whole = [place.name for place in stripped if place not in [region.place for region in held]]
    if whole:
        say(f"Too small to hold a part of them out, and learnt from as a whole: {', '.join(whole)}.")


def _refuse_dates(regions: Sequence[Region], dated: Sequence[Region]) -> None:
    """Refuse dates that are held out on ground where they are learnt from."""
    days = {region: days_of(region.place, region.groups) for region in regions if region.use == "training"}
    for held in dated:
        targets = {group.target for group in held.groups or ()}
        for other, learnt in days.items():
            if targets & learnt and (held.place is other.place or _share_ground(_ground(held), _ground(other))):
                raise UserError(
                    f"{min(targets & learnt)} is held out in {held.place.name} and learnt from in {other.place.name}, "
                    "on the same ground; leave it out of the groups of dates to learn from."
                )


def _share_ground(one: Geometry | None, two: Geometry | None) -> bool:
    """Whether two grounds do more than touch, as far as they are known."""
    if one is None or two is None or not one.intersects(two):
        return False
    return bool((one & two).area > _TOUCHING * min(one.area, two.area))


def _refuse_overlap(regions: Sequence[Region]) -> None:
    """Refuse places that are held out and have ground in common with others, as far as it is known where they are."""
    grounds = {region: _ground(region) for region in regions}
    for held in regions:
        for other in regions:
            if held.use in (other.use, "training") or held.place is other.place:
                continue
            if _share_ground(grounds[held], grounds[other]):
                raise UserError(
                    f"{held.place.name} is held out and has ground in common with {other.place.name}, which is learnt "
                    "from; give both the same split in a data set file, or leave one out."
                )


def _ground(region: Region) -> Geometry | None:
    """The ground of a region in degrees; None where it is not known."""
    grid = region.place.grid
    if grid is None or grid.crs is None:
        return None
    box = region.inner
    return grid[box.top : box.bottom, box.left : box.right].geographic_extent
