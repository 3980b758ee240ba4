"""The plan of a job: made from its images and options, in words, and as a table."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from stfusion import registry
from stfusion.assessment._html import listed, table, terms, write_page
from stfusion.declaration import Method
from stfusion.errors import UserError
from stfusion.run import Context
from stfusion.series import _planner as planner
from stfusion.series._planner import Choice, Pair, Rules
from stfusion.series._stacks import Stacks, open_stacks

#: The columns of the table.
_COLUMNS = (
    "date", "action", "pairs", "fine1", "coarse1", "days1", "quality1", "fine2", "coarse2", "days2", "quality2",
    "coarse_valid", "fine_valid", "note",
)
#: What is done, as it is counted.
_WORDS = {"fused": "fuse", "kept": "keep", "skipped": "skip"}
#: A valid share above that of any image.
_NONE = 2.0


@dataclass(frozen=True)
class Plan:
    """What is done for every date, and the images that it is done with."""

    method: Method
    stacks: Stacks
    rules: Rules
    pairs: list[Pair]
    choices: list[Choice]
    remarks: list[str]

    def of(self, action: str) -> list[Choice]:
        """The dates for which one thing is done."""
        return [choice for choice in self.choices if choice.action == action]

    @property
    def counts(self) -> dict[str, int]:
        """Numbers of the dates that are fused, kept and skipped."""
        return {word: len(self.of(action)) for word, action in _WORDS.items()}

    @property
    def summary(self) -> str:
        """The plan in a sentence."""
        days = f"{self.choices[0].day} to {self.choices[-1].day}"
        counts = ", ".join(f"{count} {word}" for word, count in self.counts.items())
        return f"{len(self.choices)} date(s), {days}: {counts}"

    def rows(self) -> list[dict[str, Any]]:
        """The table, a row for each date."""
        return [_row(choice, self.stacks.valid) for choice in self.choices]


def make_plan(context: Context) -> Plan:
    """The plan of the job.

    Raises
    ------
    UserError
        The images or the options cannot be used, or no pair is found.
    """
    options = context.options
    method = registry.get("fuse", str(options["method"]))
    rules = _rules(method, options)
    start, end, listed_days = asked_days(options)
    stacks = open_stacks(context)
    valid = stacks.valid
    days = planner.targets(
        valid["coarse"], start, end, int(options["step"]), listed_days,
        planner.alone(valid["fine"], valid["coarse"], rules),
    )
    pairs = stacks.pairs(rules)
    if not pairs:
        raise UserError(_no_pair(stacks, rules))
    return Plan(
        method, stacks, rules, pairs, planner.plan(days, pairs, valid["fine"], valid["coarse"], rules),
        [*stacks.remarks, *_unused(valid, pairs, rules)],
    )


def asked_days(options: Mapping[str, Any]) -> tuple[date | None, date | None, list[date]]:
    """The first and the last date to predict, where given, and the list of dates.

    Raises
    ------
    UserError
        A date cannot be read, the range ends before it begins, or there are both a range and a list.
    """
    start, end = (_day(title, str(options[name])) for title, name in (("First date", "start"), ("Last date", "end")))
    listed_days = [day for text in str(options["dates"]).split(",") if (day := _day("Dates", text))]
    if start and end and start > end:
        raise UserError(f"The series begins on {start}, after its end on {end}; change 'First date' or 'Last date'.")
    if listed_days and (start or end or options["step"]):
        raise UserError(
            f"'Dates' lists {len(listed_days)} date(s), and 'First date', 'Last date' or 'Step' is given as well; give "
            "the list or the range."
        )
    return start, end, listed_days


def _day(title: str, text: str) -> date | None:
    try:
        return date.fromisoformat(text.strip()) if text.strip() else None
    except ValueError as error:
        raise UserError(f"'{title}' has '{text.strip()}'; write dates as YYYY-MM-DD.") from error


def _rules(method: Method, options: Mapping[str, Any]) -> Rules:
    roles = {role.id: role for role in method.roles}
    least, most = (2 if "fine2" in roles and roles["fine2"].required else 1), (2 if "fine2" in roles else 1)
    wanted = int(options["pairs"])
    if wanted and not least <= wanted <= most:
        takes = f"{least}" if least == most else f"{least} or {most}"
        raise UserError(f"'Pairs' (pairs) is {wanted} and {method.title} takes {takes}; choose 0 or another method.")
    return Rules(
        least=max(least, 1), most=wanted or most,
        least_valid=float(options["least_valid"]),
        keep_valid=float(options["keep_valid"]) if options["existing"] == "keep" else _NONE,
        reach=int(options["reach"]), apart=int(options["apart"]), coarse_of_pairs="coarse" in roles,
    )


def _no_pair(stacks: Stacks, rules: Rules) -> str:
    """Why there is no pair at all."""
    fine, coarse = stacks.valid["fine"], stacks.valid["coarse"]
    spans = {name: f"{min(days)} to {max(days)}" for name, days in (("fine", fine), ("coarse", coarse))}
    if not any(share >= rules.least_valid for share in fine.values()):
        return (
            f"No fine image is valid for {rules.least_valid:.0%} (the best one for {max(fine.values()):.0%}); lower "
            "'Least valid share', or check the nodata values and masks."
        )
    gap, day, other = min((abs((a - b).days), a, b) for a in fine for b in coarse)
    return (
        f"No fine image ({spans['fine']}) has a coarse image ({spans['coarse']}) within {rules.apart} day(s) that is "
        f"valid for {rules.least_valid:.0%}; the nearest are of {day} and {other}, {gap} day(s) apart: raise 'Most "
        "days within a pair', or add images."
    )


def _unused(valid: Mapping[str, Mapping[date, float]], pairs: list[Pair], rules: Rules) -> list[str]:
    """Fine images that are in no pair, and why."""
    paired = {pair.fine for pair in pairs}
    found = []
    for day, share in sorted(valid["fine"].items()):
        if share < rules.least_valid:
            found.append(f"The fine image of {day} is not used: {share:.0%} of it is valid.")
        elif day not in paired:
            found.append(
                f"The fine image of {day} is in no pair: no coarse image within {rules.apart} day(s) is valid for "
                f"{rules.least_valid:.0%}."
            )
    return found


def _row(choice: Choice, valid: Mapping[str, Mapping[date, float]]) -> dict[str, Any]:
    found: dict[str, Any] = dict.fromkeys(_COLUMNS)
    found |= {"date": choice.day.isoformat(), "action": choice.action, "pairs": len(choice.pairs), "note": choice.note}
    for sensor in ("coarse", "fine"):
        share = valid[sensor].get(choice.day)
        found[f"{sensor}_valid"] = None if share is None else round(share, 4)
    for number, pair in enumerate(choice.pairs, 1):
        found |= {
            f"fine{number}": pair.fine.isoformat(), f"coarse{number}": pair.coarse and pair.coarse.isoformat(),
            f"days{number}": pair.days(choice.day), f"quality{number}": round(pair.quality, 4),
        }
    return found


def write_plan(plan: Plan, folder: Path) -> None:
    """Write plan.csv, plan.json and plan.html into a folder."""
    rows = plan.rows()
    with (folder / "plan.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, _COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    plain = {"method": plan.method.id, "summary": plan.summary, "remarks": plan.remarks, "dates": rows}
    (folder / "plan.json").write_text(json.dumps(plain, indent=2) + "\n", encoding="utf-8")
    write_page("Plan of a time series", page_parts(plan), folder / "plan.html")


def page_parts(plan: Plan) -> list[str]:
    """The plan as parts of a page."""
    valid = plan.stacks.valid
    return [
        f"<p>{plan.summary}.</p>",
        terms({
            "Method": plan.method.title,
            **{f"{sensor.capitalize()} images": f"{len(days)}, {min(days)} to {max(days)}"
               for sensor, days in valid.items()},
        }),
        listed(plan.remarks),
        table(
            ("Date", "Done", "Why", "Pair", "Days", "Quality", "Second pair", "Days", "Quality", "Coarse valid"),
            (_cells(row) for row in plan.rows()), words=4,
        ),
        '<p class="note">Days are those from the date to the fine image, and from that to its coarse image. The '
        "quality is the product of the valid shares of both and of their correlation; the pair with the fewest days "
        "for its quality is taken.</p>",
    ]


def _cells(row: Mapping[str, Any]) -> list[str]:
    shown = [str(row["date"]), str(row["action"]), str(row["note"])]
    for number in (1, 2):
        fine, coarse = row[f"fine{number}"], row[f"coarse{number}"]
        days = "" if fine is None else fine if coarse in (None, fine) else f"{fine} with {coarse}"
        shown += [days, *("" if row[f"{name}{number}"] is None else f"{row[f'{name}{number}']:g}"
                          for name in ("days", "quality"))]
    return [*shown, "" if row["coarse_valid"] is None else f"{row['coarse_valid']:.0%}"]


def announce(context: Context, plan: Plan) -> None:
    """Say the plan: a line for each date, and what is amiss."""
    for remark in plan.remarks:
        context.reporter.warning(remark)
    for choice in plan.choices:
        pairs = " and ".join(
            f"{pair.fine}" + ("" if pair.coarse in (None, pair.fine) else f" with {pair.coarse}")
            for pair in choice.pairs
        )
        words = ": ".join(part for part in (f"{choice.day} {choice.action}", pairs) if part)
        context.reporter.log(words + (f" ({choice.note})" if choice.note else ""))
    context.reporter.log(plan.summary + ".")
