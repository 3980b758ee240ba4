"""The images of a time series: found, checked against each other, and how much of each can be used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np

from stfusion.errors import UserError
from stfusion.job import Input
from stfusion.raster.source import AlignedSource, Array, Source, align
from stfusion.raster.stack import dated, of_masks
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
        if masks is not None:
            remarks += of_masks(sensor, images[sensor], dated(f"{sensor} mask", masks, None, pattern, table))
    reference = Source("Fine image", next(iter(images["fine"].values())))
    valid = {sensor: _valid(context, sensor, images[sensor], reference) for sensor in images}
    return Stacks(images, valid, reference, tuple(remarks))


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
            "fine images to one grid first, or leave one out."
        )
    return align(source, reference, "nearest")
