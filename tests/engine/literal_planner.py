"""The plan of a time series, word for word from what the options say, without regard to speed."""

from __future__ import annotations

from datetime import date

from stfusion.series._planner import Pair, Rules


def literal_partner(day: date, coarse: dict[date, float], rules: Rules) -> date | None:
    """The coarse image of a fine one: look day by day, further and further away, and at the better of two."""
    for days in range(rules.apart + 1):
        near = [other for other in sorted(coarse) if abs((other - day).days) == days]
        good = [other for other in near if coarse[other] >= rules.least_valid]
        if len(good) == 2 and coarse[good[1]] > coarse[good[0]]:
            return good[1]
        if good:
            return good[0]
    return None


def literal_choice(
    day: date, pairs: list[Pair], fine: dict[date, float], coarse: dict[date, float], rules: Rules
) -> tuple[str, list[Pair]]:
    """What is done for a date, and the pairs it is done from, the best one first."""
    if day in fine and fine[day] >= rules.keep_valid:
        return "keep", []
    if day not in coarse or coarse[day] < rules.least_valid:
        return "skip", []
    before, after = [], []
    for pair in pairs:
        away = (pair.fine - day).days
        if away == 0 or (rules.reach and abs(away) > rules.reach):
            continue
        within = 0 if pair.coarse is None else abs((pair.fine - pair.coarse).days)
        (before if away < 0 else after).append(((abs(away) + within) / pair.quality, pair.fine, pair))
    before.sort(key=lambda item: item[:2])
    after.sort(key=lambda item: item[:2])
    every = sorted([*before, *after], key=lambda item: item[:2])
    if rules.most == 1 or not every:
        taken = every[:1]
    elif before and after:
        taken = sorted([before[0], after[0]], key=lambda item: item[:2])
    else:
        taken = every[: rules.least]
    return ("fuse" if len(taken) >= rules.least else "skip"), [item[2] for item in taken if len(taken) >= rules.least]
