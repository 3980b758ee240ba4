"""Samples: what a network learns from at once, the images of some dates in a patch of a place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from stfusion.networks._batch import FusionBatch
from stfusion.networks._normalisation import Normalisation, from_ranges
from stfusion.raster.grids import Box
from stfusion.raster.resolution import read_beyond
from stfusion.raster.source import Array
from stfusion.training._change import changed
from stfusion.training._degradation import RANGES, draw_sensor
from stfusion.training._places import Dates, Place
from stfusion.training._split import Region
from stfusion.training._wanted import Wanted

#: Turns an image.
Orient = Callable[[npt.NDArray[Any]], npt.NDArray[Any]]
#: Largest share of a patch that may be invalid.
MOST_INVALID = 0.2
#: Radiometry that is varied for all images of a sample together: the logarithm of the gain, and the offset as a share
#: of the range.
_GAIN, _OFFSET = 0.25, 0.1


@dataclass(frozen=True)
class Spot:
    """Where and when a sample is: the part of a place, the dates, the patch and the band (None: all of them)."""

    region: Region
    dates: Dates
    box: Box
    band: int | None


@dataclass(frozen=True)
class Sample:
    """Normalised images (bands, rows, columns) without NaN, and where all of them are valid (rows, columns).

    ``fine`` and ``coarse`` have an image for every pair (``coarse`` is empty for a network that needs none), all on
    the fine grid. ``normalisation`` gives physical values where nothing was varied, as in validation.
    """

    spot: Spot
    normalisation: Normalisation
    fine: tuple[Array, ...]
    coarse: tuple[Array, ...]
    target: Array
    truth: Array
    valid: npt.NDArray[np.bool_]

    #: Of a sharpening, which this is not.
    ratio: ClassVar[None] = None

    @staticmethod
    def batch(samples: Sequence[Sample]) -> FusionBatch:
        """Samples as a batch of tensors on the processor."""
        first = samples[0]
        return FusionBatch(
            fine=tuple(stacked([sample.fine[pair] for sample in samples]) for pair in range(len(first.fine))),
            coarse=tuple(stacked([sample.coarse[pair] for sample in samples]) for pair in range(len(first.coarse))),
            target=stacked([sample.target for sample in samples]),
            truth=stacked([sample.truth for sample in samples]),
            valid=stacked([sample.valid[None] for sample in samples]),
        )

    def pictures(self, prediction: Array) -> dict[str, Array]:
        """What a report shows, by title."""
        return {
            "Fine image of the pair": self.fine[0], "Coarse image of the target date": self.target,
            "Prediction": prediction, "True image": self.truth,
        }


def stacked(images: Sequence[npt.NDArray[Any]]) -> Tensor:
    """Images of one shape as a tensor."""
    return torch.from_numpy(np.stack(images))


class Maker:
    """Makes samples as a training wants them; ``stored`` is the normalisation of all of them, if they share one."""

    def __init__(self, wanted: Wanted, stored: Normalisation | None) -> None:
        self._wanted = wanted
        self._stored = stored
        self._unit = 2.0 if wanted.symmetric else 1.0

    def make(self, spot: Spot, rng: np.random.Generator, vary: bool) -> Sample | None:
        """The sample of a spot, ``vary`` with its radiometry and direction varied; None where too much is invalid."""
        normalisation = self._normalisation(spot)
        images = self._images(spot, normalisation, rng) if normalisation else None
        if normalisation is None or images is None:
            return None
        fine, coarse = images
        valid = np.isfinite(np.concatenate([*fine, *coarse])).all(axis=0)
        if np.count_nonzero(~valid) > MOST_INVALID * valid.size:
            return None
        turn = self._variation(rng) if vary else _as_it_is
        *fine, truth = [turn(_filled(image)) for image in fine]
        *coarse, target = [turn(_filled(image)) for image in coarse]
        if vary:
            orient = orientation(rng)
            fine, coarse = list(map(orient, fine)), list(map(orient, coarse))
            truth, target, valid = orient(truth), orient(target), orient(valid)
        return Sample(spot, normalisation, tuple(fine), tuple(coarse), target, truth, valid)

    def _normalisation(self, spot: Spot) -> Normalisation | None:
        """The stored one, or that of the scene, which knows all images but the truth; None where one is invalid."""
        place, dates, band = spot.region.place, spot.dates, spot.band
        if self._stored is not None and not place.imagined:
            return self._stored
        ranges = [place.value_range("fine", day, band) for day in dates.references]
        ranges += [place.value_range("coarse", day, band) for day in (*dates.references, dates.target)]
        if np.isnan(ranges).any():
            return None
        return from_ranges(ranges, self._wanted.symmetric, "scene")

    def _images(
        self, spot: Spot, normalisation: Normalisation, rng: np.random.Generator
    ) -> tuple[list[Array], list[Array]] | None:
        """The fine and the coarse images of the pairs and then of the target, normalised, NaN where invalid.

        None where too much of the fine images is invalid.
        """
        place, dates = spot.region.place, spot.dates
        simulated = not place.real or bool(rng.random() < self._wanted.simulated)
        sensor = None
        if simulated or dates.pretended:
            sensor = draw_sensor(rng, ratios_of(place, self._wanted), len(normalisation.scale))
        margin = sensor.margin if sensor else 0
        days = (*dates.references, dates.target)
        read = {day: normalisation.apply(_read_fine(spot, day, margin)) for day in sorted(set(days))}
        inner = (slice(None), slice(margin, margin + spot.box.shape[0]), slice(margin, margin + spot.box.shape[1]))
        if any(np.isnan(image[inner]).mean() > MOST_INVALID for image in read.values()):
            return None
        wide = [read[day] for day in days]
        if dates.pretended:
            wide = [wide[0], *(changed(wide[0], rng, self._unit) for _ in wide[1:])]
            wide = [wide[index] for index in rng.permutation(len(wide))]
        fine = [image[inner] for image in wide]
        seen = [*range(len(days))] if self._wanted.needs_coarse else [len(days) - 1]
        if simulated and sensor:
            return fine, [sensor.expose(wide[index], margin, rng, self._unit) for index in seen]
        coarse = {day: place.read("coarse", day, spot.box, spot.band) for day in {days[index] for index in seen}}
        images = [normalisation.apply(coarse[days[index]]) for index in seen]
        if sensor:
            # The real image has the bias of the real sensor; what is added has only that of a date of its own.
            plain, base = replace(sensor, gain=(1.0,), offset=(0.0,)), read[dates.target]
            images = [
                image if wide[index] is base else image + plain.expose(wide[index] - base, margin, rng, self._unit)
                for image, index in zip(images, seen, strict=True)
            ]
        return fine, images

    def _variation(self, rng: np.random.Generator) -> Callable[[Array], Array]:
        """A gain and an offset about the middle of the range, the same for all images; the sign too where wanted."""
        middle = 0.0 if self._wanted.symmetric else 0.5
        gain = float(np.exp(rng.uniform(-_GAIN, _GAIN)))
        if self._wanted.mirrored and rng.random() < 0.5:
            gain = -gain
        offset = middle + self._unit * rng.uniform(-_OFFSET, _OFFSET)
        return lambda image: (gain * (image - middle) + offset).astype(np.float32)


def ratios_of(place: Place, wanted: Wanted) -> tuple[float, float]:
    """Least and largest ratio of the coarse images that are simulated of a place, small enough for its size."""
    low, high = place.ratio or wanted.ratio or RANGES.ratio
    high = max(1.0, min(high, min(place.shape) / 4))
    return min(low, high), high


def _read_fine(spot: Spot, day: date, margin: int) -> Array:
    """A fine image in a patch with a margin; beyond its region, the outermost pixels of that are repeated."""
    outer, box = spot.region.outer, spot.box
    place, band = spot.region.place, spot.band

    def read(inside: Box) -> Array:
        return place.read("fine", day, inside.moved(outer.top, outer.left), band)

    wide = Box(box.top - margin, box.bottom + margin, box.left - margin, box.right + margin)
    return read_beyond(read, wide.moved(-outer.top, -outer.left), outer.shape)


def _filled(image: Array) -> Array:
    """An image whose invalid pixels have the median of their band."""
    gaps = np.isnan(image)
    if not gaps.any():
        return image
    return np.where(gaps, np.nanmedian(image, axis=(1, 2), keepdims=True), image)


def _as_it_is(image: Array) -> Array:
    return image


def orientation(rng: np.random.Generator) -> Orient:
    """One of the eight ways that a square lies."""
    turns, flip = int(rng.integers(4)), bool(rng.integers(2))

    def orient(image: npt.NDArray[Any]) -> npt.NDArray[Any]:
        turned = np.rot90(image, turns, axes=(-2, -1))
        return np.ascontiguousarray(turned[..., ::-1] if flip else turned)

    return orient
