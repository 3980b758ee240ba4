"""The images of a time series: found, checked against each other, and how much of each can be used."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

from stfusion.errors import UserError
from stfusion.job import Input
from stfusion.raster.source import AlignedSource, Array, Source, align
from stfusion.raster.stack import dated, listed, of_masks
from stfusion.run import Context
from stfusion.series._planner import Pair, Rules, partners

#: Rows and columns that an image is thinned to at most, to see how much of it is valid.
_SIDE = 256
#: A correlation needs so many pixels, and is taken for at least this, so that a quality is above 0.
_FEWEST, _LEAST_R = 10, 0.05


@dataclass(frozen=True)
class Stacks:
    """The images of a series by sensor ("fine", "coarse") and date, their valid shares (0..1), and what is amiss.

    ``reference`` is the first fine image, which has the grid of all; ``remarks`` are sentences.
    """

    images: Mapping[str, Mapping[date, Input]]
    valid: Mapping[str, Mapping[date, float]]
    reference: Source
    remarks: tuple[str, ...] = ()

    def pairs(self, rules: Rules) -> list[Pair]:
        """The pairs; their quality is the product of the valid shares and of how well their images correlate."""
        fine, coarse = self.valid["fine"], self.valid["coarse"]
        return [
            Pair(day, other, fine[day] * (1.0 if other is None else coarse[other] * self._agreement(day, other)))
            for day, other in partners(fine, coarse, rules).items()
        ]

    def _agreement(self, day: date, other: date) -> float:
        """Mean correlation of the bands of a fine and a coarse image."""
        one, two = (
            _aligned(sensor, self.images[sensor][day], self.reference).thinned(_SIDE)
            for sensor, day in (("fine", day), ("coarse", other))
        )
        both = ~np.isnan(one[0]) & ~np.isnan(two[0])
        if np.count_nonzero(both) < _FEWEST:
            return _LEAST_R
        found = [_correlation(a[both], b[both]) for a, b in zip(one, two, strict=True)]
        return max(_LEAST_R, float(np.mean(found)))


def _correlation(one: Array, two: Array) -> float:
    """Pearson's r, 0 where one of the images is constant."""
    a, b = (values - values.mean(dtype=np.float64) for values in (one, two))
    norm = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / norm if norm > 0 else 0.0


def open_stacks(context: Context) -> Stacks:
    """Find, open and check the images of the job; only headers and thinned images are read.

    Raises
    ------
    UserError
        A layer has no date or one that another layer has, images differ in their bands or their grid, or do not
        overlap.
    """
    inputs, pattern = context.job.inputs, str(context.options["pattern"])
    table = inputs["date_table"].path if "date_table" in inputs else None
    images: dict[str, dict[date, Input]] = {}
    remarks: list[str] = []
    for sensor in ("fine", "coarse"):
        masks = inputs.get(f"{sensor}_masks")
        images[sensor] = dated(sensor, inputs[sensor], masks, pattern, table)
        if "checked" in inputs:
            remarks += _leave_out(sensor, images[sensor], bad_dates(Path(inputs["checked"].path))[sensor])
        if masks is not None:
            remarks += of_masks(sensor, images[sensor], dated(f"{sensor} mask", masks, None, pattern, table))
    reference = Source("Fine image", next(iter(images["fine"].values())))
    valid = {sensor: _valid(context, sensor, images[sensor], reference) for sensor in images}
    return Stacks(images, valid, reference, tuple(remarks))


def bad_dates(folder: Path) -> dict[str, dict[date, str]]:
    """The dates that a check of pairs has marked as bad, by sensor, and the reasons.

    Raises
    ------
    UserError
        The folder has no check.
    """
    path = folder / "results.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["bad"]
        return {
            sensor: {date.fromisoformat(day): str(why) for day, why in found[sensor].items()}
            for sensor in ("fine", "coarse")
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"'{path}' is no check of pairs ({error}); give the folder that 'Check pairs' has written."
        ) from error


def _leave_out(sensor: str, images: dict[date, Input], bad: Mapping[date, str]) -> list[str]:
    """Take the bad images of a sensor away; a sentence for each."""
    days = [day for day in sorted(bad) if day in images]
    if len(days) == len(images):
        raise UserError(
            f"The check marks all {sensor} images as bad ({listed(days)}); leave out the check, or add images."
        )
    for day in days:
        del images[day]
    return [f"The {sensor} image of {day} is bad and is left out: {bad[day]}." for day in days]


def _valid(
    context: Context, sensor: str, images: Mapping[date, Input], reference: Source
) -> dict[date, float]:
    """The valid share (0..1) of every image on the fine grid."""
    found: dict[date, float] = {}
    for day, image in images.items():
        context.stop.check()
        aligned = _aligned(sensor, image, reference)
        aligned.source.check_end()
        found[day] = float(np.mean(~np.isnan(aligned.thinned(_SIDE)[0])))
    return found


def _aligned(sensor: str, image: Input, reference: Source) -> AlignedSource:
    """An image on the fine grid; one that does not go with the first fine image is refused."""
    source = Source(f"{sensor.capitalize()} image", image)
    if len(source.bands) != len(reference.bands):
        raise UserError(
            f"{reference} has {len(reference.bands)} band(s) and {source} has {len(source.bands)}; choose the bands "
            "that belong together with 'Bands of the fine images' and 'Bands of the coarse images'."
        )
    if sensor == "fine" and source.grid != reference.grid:
        raise UserError(
            f"{reference} and {source} have different grids ({reference.shape[1]} x {reference.shape[0]} pixels, "
            f"{reference.crs_name}, and {source.shape[1]} x {source.shape[0]} pixels, {source.crs_name}); bring the "
            "fine images to one grid with 'Align images' ('common' for 'Grid'), or leave one out."
        )
    return align(source, reference, "nearest")
