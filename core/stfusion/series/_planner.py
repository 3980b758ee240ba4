"""Which dates of a time series are fused, and from which pairs of fine and coarse images.

The further a pair is from the date and the worse its images are, the less it is wanted: its cost is the number of days
from the date to its fine image, and from that to its coarse image, divided by its quality (:attr:`Pair.quality`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from stfusion.errors import UserError

Action = Literal["fuse", "keep", "skip"]


@dataclass(frozen=True)
class Rules:
    """What a plan has to keep to.

    ``least`` and ``most`` are the pairs that the method needs and can use (1 or 2). ``least_valid`` is the valid share
    (0..1) that a fine or coarse image needs, ``keep_valid`` that of a fine image that is kept instead of fused (more
    than 1: none is). ``reach`` bounds the days from a date to a fine image (0: no bound), ``apart`` those between the
    fine and the coarse image of a pair. Without ``coarse_of_pairs`` a pair is a fine image alone.
    """

    least: int = 1
    most: int = 1
    least_valid: float = 0.5
    keep_valid: float = 0.95
    reach: int = 0
    apart: int = 0
    coarse_of_pairs: bool = True


@dataclass(frozen=True)
class Pair:
    """A fine image and the coarse image that goes with it, by their dates, and how good they are (0..1)."""

    fine: date
    coarse: date | None
    quality: float

    def days(self, day: date) -> int:
        """Days from a date to the fine image, and from that to the coarse image."""
        apart = 0 if self.coarse is None else abs((self.coarse - self.fine).days)
        return abs((self.fine - day).days) + apart

    def cost(self, day: date) -> float:
        """How little it is wanted for a date."""
        return self.days(day) / self.quality


@dataclass(frozen=True)
class Choice:
    """What is done for a date, from which pairs (the best one first), and why it is skipped or what is amiss."""

    day: date
    action: Action
    pairs: tuple[Pair, ...] = ()
    note: str = ""


def targets(
    days: Iterable[date], start: date | None = None, end: date | None = None, step: int = 0,
    listed: Sequence[date] = (), others: Iterable[date] = (),
) -> list[date]:
    """The dates to predict.

    Parameters
    ----------
    days
        Dates of the coarse images.
    start, end
        First and last date; those of the coarse images when not given.
    step
        Days from one date to the next; 0 takes every coarse image.
    listed
        The dates themselves, instead of all these.
    others
        Dates of the range that are taken beside every coarse image (see :func:`alone`).

    Raises
    ------
    UserError
        The range has no coarse image.
    """
    if listed:
        return sorted(set(listed))
    known = sorted(days)
    first, last = start or known[0], end or known[-1]
    inside = [day for day in known if first <= day <= last]
    if not inside:
        asked = " ".join(f"{word} {day}" for word, day in (("from", start), ("to", end)) if day)
        raise UserError(
            f"No coarse image is of the dates {asked}: they are of {known[0]} to {known[-1]}; change 'First date' and "
            "'Last date', or add coarse images."
        )
    if not step:
        return sorted({*inside, *(day for day in others if first <= day <= last)})
    return [first + timedelta(days=n) for n in range(0, (last - first).days + 1, step)]


def partners(fine: Mapping[date, float], coarse: Mapping[date, float], rules: Rules) -> dict[date, date | None]:
    """The coarse image that goes with each fine image that is valid enough, by their dates.

    It is the nearest one that is valid enough; of two as near, that which is more valid, or else the earlier one. A
    fine image that has none is left out. ``fine`` and ``coarse`` are valid shares (0..1).
    """
    good = [day for day, share in fine.items() if share >= rules.least_valid]
    if not rules.coarse_of_pairs:
        return dict.fromkeys(sorted(good))
    found: dict[date, date | None] = {}
    for day in sorted(good):
        near = [
            other for other, share in coarse.items()
            if share >= rules.least_valid and abs((other - day).days) <= rules.apart
        ]
        if near:
            _, _, found[day] = min((abs((other - day).days), -coarse[other], other) for other in near)
    return found


def alone(fine: Mapping[date, float], coarse: Mapping[date, float], rules: Rules) -> list[date]:
    """The dates of fine images that are kept and that no valid coarse image stands for.

    ``fine`` and ``coarse`` are valid shares (0..1).
    """
    good = [day for day, share in coarse.items() if share >= rules.least_valid]
    return [
        day for day, share in fine.items()
        if share >= rules.keep_valid and not any(abs((other - day).days) <= rules.apart for other in good)
    ]


def plan(
    days: Sequence[date], pairs: Sequence[Pair], fine: Mapping[date, float], coarse: Mapping[date, float], rules: Rules
) -> list[Choice]:
    """What is done for every date; ``fine`` and ``coarse`` are the valid shares (0..1) of the images."""
    return [_choose(day, pairs, fine, coarse, rules) for day in days]


def _choose(
    day: date, pairs: Sequence[Pair], fine: Mapping[date, float], coarse: Mapping[date, float], rules: Rules
) -> Choice:
    if fine.get(day, -1.0) >= rules.keep_valid:
        return Choice(day, "keep")
    if day not in coarse:
        return Choice(day, "skip", note="there is no coarse image of this date")
    if coarse[day] < rules.least_valid:
        return Choice(
            day, "skip", note=f"its coarse image is valid for {coarse[day]:.0%} and {rules.least_valid:.0%} are wanted"
        )
    return choose_pairs(day, [pair for pair in pairs if pair.fine != day], rules)


def choose_pairs(day: date, others: Sequence[Pair], rules: Rules) -> Choice:
    """From which pairs, all of other dates, a date is fused, or why it is not.

    The best one of each side, or of either where one is enough; at the ends the best ones of one side.
    """
    near = [pair for pair in others if not rules.reach or abs((pair.fine - day).days) <= rules.reach]
    ranked = sorted(near, key=lambda pair: (pair.cost(day), pair.fine))
    sides = [[p for p in ranked if p.fine < day], [p for p in ranked if p.fine > day]]
    if len(ranked) < rules.least:
        within = f" within {rules.reach} days" if rules.reach else ""
        lack = "there is no pair" if not ranked else f"there is one pair where the method needs {rules.least}"
        return Choice(day, "skip", note=f"{lack}{within}")
    if rules.most == 1:
        return Choice(day, "fuse", (ranked[0],))
    if all(sides):
        chosen = sorted((side[0] for side in sides), key=lambda pair: (pair.cost(day), pair.fine))
        return Choice(day, "fuse", tuple(chosen))
    side = "before" if not sides[0] else "after"
    return Choice(day, "fuse", tuple(ranked[: rules.least]), f"there is no pair {side} it")
