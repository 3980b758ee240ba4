"""Which dates of a place make a sample: the pairs to start from, and the date to predict."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from itertools import product

from stfusion.training._places import Place


@dataclass(frozen=True)
class Dates:
    """The dates of the pairs and of the target.

    Where all are the same, earlier or later images are made up from those of the one date.
    """

    references: tuple[date, ...]
    target: date

    @property
    def pretended(self) -> bool:
        """Whether the change between the dates has to be made up."""
        return self.references[0] == self.target


def plan(place: Place, pairs: int, needs_coarse: bool, days: int) -> list[Dates]:
    """Every sample of dates at most so many ``days`` apart (0: however many), in their order.

    For one pair, every other date with a fine image; for two, one before and one after the target. Dates of pairs need
    a coarse image where the network does.
    """
    targets = place.coarse_dates if place.real else place.fine_dates
    references = targets if needs_coarse else place.fine_dates
    return [Dates(found, target) for target in targets for found in _references(references, target, pairs, days)]


def pretended(place: Place, pairs: int) -> list[Dates]:
    """Samples of a single date each, whose change is made up."""
    return [Dates((day,) * pairs, day) for day in (place.coarse_dates if place.real else place.fine_dates)]


def _references(days: tuple[date, ...], target: date, pairs: int, most: int) -> Iterator[tuple[date, ...]]:
    near = [day for day in days if day != target and (most == 0 or abs((day - target).days) <= most)]
    if pairs == 1:
        return ((day,) for day in near)
    return product([day for day in near if day < target], [day for day in near if day > target])
