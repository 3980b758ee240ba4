"""Which dates of a place make a sample: the pairs to start from, and the date to predict."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from itertools import product

from stfusion.training._places import Dates, Groups, Place


def plan(place: Place, groups: Groups, pairs: int, needs_coarse: bool, days: int) -> list[Dates]:
    """Every sample of dates at most so many ``days`` apart (0: however many), in their order.

    For one pair, every other date with a fine image; for two, one before and one after the target. Dates of pairs need
    a coarse image where the network does. Where there are ``groups``, no others are made: for one pair, of each of
    their references.
    """
    targets = place.coarse_dates if place.real else place.fine_dates
    references = targets if needs_coarse else place.fine_dates
    found = [Dates(near, target) for target in targets for near in _references(references, target, pairs, days)]
    if groups is None:
        return found
    listed = {
        Dates(near, group.target) for group in groups
        for near in ([(day,) for day in group.references] if pairs == 1 else [group.references])
    }
    return [dates for dates in found if dates in listed]


def pretended(place: Place, groups: Groups, pairs: int) -> list[Dates]:
    """Samples of a single date each, whose change is made up; of the dates of the groups, where there are some."""
    known = days_of(place, groups)
    return [Dates((day,) * pairs, day) for day in (place.coarse_dates if place.real else place.fine_dates)
            if day in known]


def days_of(place: Place, groups: Groups) -> set[date]:
    """The dates of some groups of a place, or all that it has."""
    return set(place.fine_dates) if groups is None else {day for group in groups for day in group.days}


def _references(days: tuple[date, ...], target: date, pairs: int, most: int) -> Iterator[tuple[date, ...]]:
    near = [day for day in days if day != target and (most == 0 or abs((day - target).days) <= most)]
    if pairs == 1:
        return ((day,) for day in near)
    return product([day for day in near if day < target], [day for day in near if day > target])
