"""The check of pairs at work: windows of every date are read once, at the coarse resolution, and then compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox

from stfusion.errors import UserError
from stfusion.folder import whole_folder
from stfusion.preparation._pair_figures import Pair, Standing, figures, judge, standings
from stfusion.preparation._shift import STEPS, Part, displacement
from stfusion.preparation._stack import spread
from stfusion.preparation._windows import Windows, comparable
from stfusion.raster.grids import pixel_ratio
from stfusion.raster.source import Array, Source, align
from stfusion.raster.stack import opened
from stfusion.raster.tiles import bounded_gdal
from stfusion.raster.views import relocated
from stfusion.run import Context

#: Share of the working memory for GDAL's cache.
_GDAL_SHARE = 0.2


@dataclass
class Stacks:
    """The images of both sensors by date, and the grid on which they are compared."""

    fine: Mapping[date, Source]
    coarse: Mapping[date, Source]
    grid: GeoBox

    @property
    def ratio(self) -> float:
        """Fine pixels along a pixel of the comparison."""
        return float(np.mean(pixel_ratio(self.grid, next(iter(self.fine.values())).grid)))


@dataclass
class Found:
    """What the check found: pairs, how dates stand to those before and after them, and what is bad, by date."""

    stacks: Stacks
    pairs: list[Pair]
    standings: dict[str, dict[date, Standing]]
    valid: dict[str, dict[date, float]]
    bad: dict[str, dict[date, str]] = field(default_factory=lambda: {"fine": {}, "coarse": {}})
    unjudged: dict[str, dict[date, str]] = field(default_factory=lambda: {"fine": {}, "coarse": {}})


def run(context: Context) -> dict[str, Any]:
    """Check the stacks of the job; the results are the report's folder and file, and how many dates are bad.

    Raises
    ------
    UserError
        Dates cannot be read, or images do not go together.
    """
    from stfusion.preparation._pairs_report import write_results

    folder = context.job.outputs["output"]
    with bounded_gdal(context, _GDAL_SHARE), whole_folder(folder, context.stop) as part:
        stacks = _open(context)
        found = _check(context, stacks)
        for sensor, bad in found.bad.items():
            for day, reason in bad.items():
                context.reporter.log(f"The {sensor} image of {day} is marked as bad: {reason}.")
            for day, reason in found.unjudged[sensor].items():
                context.reporter.log(f"The {sensor} image of {day} is not judged: {reason}.")
        write_results(context, found, part)
    counts = {f"bad_{sensor}": len(bad) for sensor, bad in found.bad.items()}
    return {"output": folder, "report": str(Path(folder) / "report.html"), **counts}


def _open(context: Context) -> Stacks:
    fine, coarse = (opened(context, sensor) for sensor in ("fine", "coarse"))
    first = next(iter(fine.values()))
    if context.options["same_extent"]:
        coarse = {day: relocated(image, spread(image, first.grid)) for day, image in coarse.items()}
    for image in (*fine.values(), *coarse.values()):
        align(image, first, "nearest")  # refuses what does not go together
        if len(image.bands) != len(first.bands):
            raise UserError(
                f"{first} has {len(first.bands)} band(s) and {image} has {len(image.bands)}; choose the bands that "
                "belong together with 'Bands of the fine images' and 'Bands of the coarse images'."
            )
    return Stacks(fine, coarse, comparable(list(coarse.values()), first))


def _check(context: Context, stacks: Stacks) -> Found:
    """Read every date once for its neighbours, and compare every fine date with its coarse one."""
    context.reporter.stage("Reading dates", 1, 2)
    read, total = 0, len(stacks.fine) + len(stacks.coarse)
    seen: dict[str, dict[date, Array]] = {"fine": {}, "coarse": {}}
    coarse = next(iter(stacks.coarse.values()))
    for sensor, images in (("fine", stacks.fine), ("coarse", stacks.coarse)):
        for day, image in images.items():
            context.stop.check()
            fine = image if sensor == "fine" else next(iter(stacks.fine.values()))
            windows = Windows.of(coarse if sensor == "fine" else image, fine, stacks.grid, 1.0)
            seen[sensor][day] = windows.pixels(sensor)
            read += 1
            context.reporter.progress(50 * read / total)
    valid = {
        sensor: {day: float((~np.isnan(values[0])).mean()) for day, values in images.items()}
        for sensor, images in seen.items()
    }
    found = Found(stacks, [], {sensor: standings(images) for sensor, images in seen.items()}, valid)
    context.reporter.stage("Comparing pairs", 2, 2)
    _pair_up(context, found)
    _judge_alone(context, found)
    return found


def _pair_up(context: Context, found: Found) -> None:
    """Compare every fine date with the nearest coarse one; again with the next one where that one is bad."""
    options = context.options
    least, enough = float(options["least_correlation"]), float(options["least_valid"])
    open_days = list(found.stacks.fine)
    while open_days:
        chosen = {day: _nearest(day, found, int(options["days"])) for day in open_days}
        pairs = []
        for number, (day, partner) in enumerate(chosen.items(), 1):
            context.stop.check()
            if partner is not None:
                pairs.append(_compare(found.stacks, day, partner, float(options["largest_shift"])))
            context.reporter.progress(50 + 50 * number / len(chosen))
        again = {pair.fine for pair in pairs}
        found.pairs = [pair for pair in found.pairs if pair.fine not in again] + pairs
        for pair in found.pairs:
            pair.faults.clear()
        judge(found.pairs, found.standings["fine"], found.standings["coarse"], least, enough)
        for pair in found.pairs:
            for fault in pair.faults:
                if fault.fine:
                    found.bad["fine"][pair.fine] = _with(fault.text, pair.coarse)
                if fault.coarse:
                    found.bad["coarse"][pair.coarse] = _with(fault.text, pair.fine)
        # A fine date that is not to blame is compared with the next coarse date.
        open_days = [pair.fine for pair in pairs if pair.faults and pair.fine not in found.bad["fine"]]
    told = {pair.fine for pair in found.pairs if pair.coarse not in found.bad["coarse"]}
    for day in found.stacks.fine:
        if day not in told and day not in found.bad["fine"]:
            found.unjudged["fine"][day] = f"no good coarse image lies within {options['days']} days"
    found.pairs.sort(key=lambda pair: pair.fine)


def _with(text: str, day: date) -> str:
    return f"{text} ({day})"


def _nearest(day: date, found: Found, most: int) -> date | None:
    """The coarse date nearest to a fine one, at most so many days away, that is not bad."""
    near = [(abs((day - other).days), other) for other in found.stacks.coarse if other not in found.bad["coarse"]]
    days, other = min(near, default=(most + 1, day))
    return other if days <= most else None


def _compare(stacks: Stacks, fine: date, coarse: date, largest: float) -> Pair:
    """The figures of a fine and a coarse image."""
    windows = Windows.of(stacks.coarse[coarse], stacks.fine[fine], stacks.grid, largest)
    parts = list(windows.parts())
    shift = displacement(parts, windows.reach)
    bands = len(stacks.fine[fine].bands)
    steps = (round(shift.rows * STEPS), round(shift.columns * STEPS)) if shift.sure else (0, 0)
    own, there, moved = (
        _by_band(parts, bands, [values(part) for part in parts])
        for values in (
            lambda part: part.image,
            lambda part: _places(part, windows.reach, (0, 0)),
            lambda part: _places(part, windows.reach, steps),
        )
    )
    shares = [float((~np.isnan(values[0])).mean()) for values in (there, own)]
    both = float((~np.isnan(own[0]) & ~np.isnan(there[0])).mean())
    found = [figures(*band) for band in zip(own, there, moved, strict=True)]
    return Pair(fine, coarse, (shares[0], shares[1], both), shift, stacks.ratio, found)


def _places(part: Part, reach: int, steps: tuple[int, int]) -> Array:
    """The reference where the pixels of a window lie, moved by steps down and to the right."""
    top, left = reach + steps[0], reach + steps[1]
    rows, columns = part.image.shape
    return part.reference[top : top + STEPS * rows : STEPS, left : left + STEPS * columns : STEPS][:rows, :columns]


def _by_band(parts: Sequence[Part], bands: int, values: Sequence[Array]) -> Array:
    """Values of parts (windows by windows, and in them bands) as (bands, pixels)."""
    return np.stack([np.concatenate([each.ravel() for each in values[band::bands]]) for band in range(bands)])


def _judge_alone(context: Context, found: Found) -> None:
    """Judge the dates that no pair tells of by those before and after them."""
    least = float(context.options["least_correlation"])
    good = [pair for pair in found.pairs if not pair.faults]
    told = {"fine": {pair.fine for pair in good}, "coarse": {pair.coarse for pair in good}}
    for sensor, days in found.standings.items():
        for day, standing in days.items():
            if day in told[sensor] or day in found.bad[sensor]:
                continue
            fault = standing.fault(least)
            share = found.valid[sensor][day]
            if share < float(context.options["least_valid"]):
                fault = f"only {share:.1%} of the pixels are valid"
            if fault:
                found.bad[sensor][day] = fault
                found.unjudged[sensor].pop(day, None)
            elif np.isnan(standing.support):
                alone = "there is neither a partner nor a neighbour in time to compare it with"
                found.unjudged[sensor].setdefault(day, alone)
