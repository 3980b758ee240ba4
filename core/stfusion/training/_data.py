"""The data that a network learns from: opened, planned, split and drawn from.

Every sample is made of its seed, epoch and index alone, whatever was drawn before: a resumed training sees what one
that was never interrupted would have seen, and several processes share the samples of an epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np

from stfusion.errors import UserError
from stfusion.job import Input
from stfusion.networks._network import Form
from stfusion.networks._normalisation import Floats, Normalisation, from_samples
from stfusion.raster.stack import dated
from stfusion.training._data_set import load_data_set
from stfusion.training._degradation import RANGES
from stfusion.training._landscapes import COUNT, MOST_BANDS, LandscapePlace
from stfusion.training._places import Dates, OpenImages, Place, PlaceFiles, RasterPlace, refuse_repeated
from stfusion.training._plan import days_of, plan, pretended
from stfusion.training._samples import Maker, Sample, Spot, ratios_of
from stfusion.training._split import Region, split
from stfusion.training._wanted import Wanted

#: How often a patch is drawn again where too much of it is invalid, and how often before there is none at all.
_TRIES, _FIRST_TRIES = 32, 256
#: Images that the stored normalisation is estimated from, at most.
_IMAGES = 64


class TrainingData:
    """Samples to learn from and samples that are held out.

    Parameters
    ----------
    wanted
        What the training wants.
    places
        Where samples are from; they are split here.
    say
        Receives sentences on what is done.
    stored
        The normalisation of a network that was trained before; none: that of these images.

    Attributes
    ----------
    bands
        Number of bands of a sample: 1 band by band, else that of the images.
    ratio
        Least and largest ratio of the coarse images, real or simulated.
    normalisation
        What a checkpoint stores; of the kind "scene" it has no values, since every sample has its own.
    validation
        The spots that are held out, in a fixed order, without those of which too much is invalid.

    Raises
    ------
    UserError
        The places cannot be learnt from, or no patch is valid.
    """

    pixels = ("coarse", "fine")
    grid: Literal["gis", "toolbox"] = "gis"

    def __init__(
        self, wanted: Wanted, places: Sequence[Place], say: Callable[[str], None], stored: Normalisation | None = None
    ) -> None:
        self.wanted = wanted
        self.places = _usable(wanted, places, say)
        self.bands = 1 if wanted.per_band else _common_bands(self.places)
        self.regions = split(self.places, wanted.share, wanted.patch, RANGES.ratio[1], wanted.seed, say)
        self._spots = {region: self._dates_of(region) for region in self.regions}
        self._training = [region for region in self.regions if region.use == "training"]
        self._imagined = [region for region in self._training if region.place.imagined]
        self._given = [region for region in self._training if not region.place.imagined]
        if stored and len(stored.scale) != self.bands:
            raise UserError(
                f"The images have {self.bands} band(s) and the network was trained for {len(stored.scale)}; choose "
                "these with 'Bands of the fine images' and 'Bands of the coarse images'."
            )
        self.normalisation = stored or self._estimate()
        shared = None if self.normalisation.kind == "scene" else self.normalisation
        self._maker = Maker(wanted, shared)
        # What is held out is judged with the coarse images that are there.
        self._judge = Maker(replace(wanted, simulated=0.0), shared)
        self._first = self._first_sample()
        self.validation = self._held_out()

    def draw(self, epoch: int, index: int) -> Sample:
        """A training sample: always the same one for an epoch and an index."""
        return self._draw(self._generator(0, epoch, index), _TRIES) or self._first

    def held(self, number: int) -> Sample:
        """A validation sample by its place in the list: always the same one, and not varied."""
        sample = self._hold(number, self.validation[number])
        if sample is None:
            raise UserError(f"The images of {self.validation[number].region.place.name} have changed while they were "
                            "learnt from; train again.")
        return sample

    @property
    def ratio(self) -> tuple[float, float]:
        """Least and largest ratio of the coarse images, real or simulated."""
        ratios = [ratios_of(region.place, self.wanted) for region in self.regions]
        return min(low for low, _ in ratios), max(high for _, high in ratios)

    @cached_property
    def patches(self) -> int:
        """Number of different patches to learn from, side by side, of all dates and bands: a large epoch."""
        return sum(self._count(region) for region in self._training)

    @property
    def words(self) -> str:
        """The places in words."""
        kinds = {True: "real", False: "simulated"}
        return ", ".join(f"{place.name} ({kinds[place.real]} coarse images)" for place in self.places)

    def formed(self, form: Form) -> Form:
        """A form with the number of bands of the data."""
        return replace(form, bands=self.bands)

    def describe(self) -> dict[str, Any]:
        """The data in plain values, for the model card."""
        return {
            "places": [self._describe(place) for place in self.places],
            "training_patches": self.patches,
            "validation_samples": len(self.validation),
            "ratio": list(self.ratio),
            "simulated_coarse_images": asdict(RANGES),
            "wanted": asdict(self.wanted),
        }

    def _describe(self, place: Place) -> dict[str, Any]:
        regions = [region for region in self.regions if region.place is place]
        return {
            "name": place.name,
            "size": list(place.shape),
            "bands": place.bands,
            "dates": [str(day) for day in (place.coarse_dates or place.fine_dates)],
            "coarse": "real" if place.real else "simulated",
            "ratio": list(ratios_of(place, self.wanted)),
            "samples_of_dates": len(self._spots[regions[0]]),
            "use": {
                region.use: [region.inner.top, region.inner.bottom, region.inner.left, region.inner.right]
                for region in regions
            },
        }

    def _generator(self, *key: int) -> np.random.Generator:
        return np.random.Generator(np.random.Philox(np.random.SeedSequence(self.wanted.seed, spawn_key=key)))

    def _dates_of(self, region: Region) -> list[Dates]:
        """The samples of dates of a region; those of a single date where there are no others."""
        wanted = self.wanted
        found = plan(region.place, region.groups, wanted.pairs, wanted.needs_coarse, wanted.days)
        # Where dates are held out, nothing is made up of them.
        return found if found or region.by_date else pretended(region.place, region.groups, wanted.pairs)

    def _count(self, region: Region) -> int:
        rows, columns = region.inner.shape
        bands = region.place.bands if self.wanted.per_band else 1
        return max(1, rows * columns // self.wanted.patch**2) * len(self._spots[region]) * bands

    @cached_property
    def _chances(self) -> Floats:
        """How often every region to learn from is drawn: by the root of its patches, so that small places count too."""
        weights: Floats = np.array([self._count(region) ** 0.5 for region in self._given])
        weights /= weights.sum()
        return weights

    def _draw(self, rng: np.random.Generator, tries: int) -> Sample | None:
        for _ in range(tries):
            sample = self._maker.make(self._draw_spot(rng), rng, self.wanted.varied)
            if sample is not None:
                return sample
        return None

    def _draw_spot(self, rng: np.random.Generator) -> Spot:
        imagined = rng.random() < self.wanted.landscapes if self._imagined and self._given else not self._given
        if imagined:
            region = self._imagined[int(rng.integers(len(self._imagined)))]
        else:
            region = self._given[int(rng.choice(len(self._given), p=self._chances))]
        choices = self._spots[region]
        if rng.random() < self.wanted.changed:
            choices = pretended(region.place, region.groups, self.wanted.pairs)
        dates = choices[int(rng.integers(len(choices)))]
        band = int(rng.integers(region.place.bands)) if self.wanted.per_band else None
        return Spot(region, dates, region.draw(self.wanted.patch, rng), band)

    def _first_sample(self) -> Sample:
        """A valid sample, which stands in where none is found later."""
        sample = self._draw(self._generator(1), _FIRST_TRIES)
        if sample is None:
            raise UserError(
                f"No valid patch was found: in every patch of {self.wanted.patch} pixels that was looked at more than "
                "20 % of the pixels are invalid in one of the images; check nodata values and masks, or take smaller "
                "patches."
            )
        return sample

    def _held_out(self) -> list[Spot]:
        """The valid patches side by side of what is held out, of all dates and bands; some of them where many."""
        spots = [
            Spot(region, dates, box, band)
            for region in self.regions
            if region.use == "validation"
            for box in region.lattice(self.wanted.patch)
            for dates in self._spots[region]
            for band in (range(region.place.bands) if self.wanted.per_band else (None,))
        ]
        order = self._generator(2).permutation(len(spots))
        kept: list[Spot] = []
        for number in order:
            if len(kept) == self.wanted.held_out:
                break
            if self._hold(len(kept), spots[number]) is not None:
                kept.append(spots[number])
        if spots and not kept:
            raise UserError(
                f"No valid patch of {self.wanted.patch} pixels is in what is held out for validation; check nodata "
                "values and masks, or hold something else out."
            )
        return kept

    def _hold(self, number: int, spot: Spot) -> Sample | None:
        return self._judge.make(spot, self._generator(3, number), vary=False)

    def _estimate(self) -> Normalisation:
        """The normalisation of all fine images to learn from; band by band every scene has its own."""
        if self.wanted.per_band or not self._given:
            return Normalisation("scene")
        images = [(region, day) for region in self._given for day in sorted(days_of(region.place, region.groups))]
        some = images[:: -(-len(images) // _IMAGES)]
        samples = [region.place.sample("fine", day, None, region.inner) for region, day in some]
        try:
            return from_samples(samples, self.wanted.symmetric, "stored")
        except ValueError as error:
            raise UserError(
                "The fine images have a band without any valid pixel where they were looked at; check their nodata "
                "values and masks, or leave the band out."
            ) from error


def open_training_data(
    wanted: Wanted,
    fine: Input | None = None,
    coarse: Input | None = None,
    data_set: str | None = None,
    say: Callable[[str], None] = lambda sentence: None,
    warn: Callable[[str], None] = lambda sentence: None,
    memory_bytes: int = 2**28,
    stored: Normalisation | None = None,
) -> TrainingData:
    """Open the data to learn from: dated layers, a data set file, simulated landscapes, or several of these.

    Parameters
    ----------
    wanted
        What the training wants of them.
    fine, coarse
        Layers (files or folders; ``more`` has further ones) whose dates are in their tags or names; coarse images are
        simulated where none are given.
    data_set
        Path of a data set file.
    say, warn
        Receive sentences on what is done, and on what may spoil the result.
    memory_bytes
        What open images may keep.
    stored
        The normalisation of a network that was trained before; none: that of these images.

    Raises
    ------
    UserError
        The data cannot be learnt from; the sentence says why.
    """
    files: list[PlaceFiles] = load_data_set(data_set) if data_set else []
    if coarse and not fine:
        raise UserError("Coarse layers are given without fine ones; add the fine layers of the same dates.")
    if fine:
        files.append(PlaceFiles("the scene", dated("fine", fine), dated("coarse", coarse) if coarse else {}))
    if not files and not wanted.landscapes:
        raise UserError("There is nothing to learn from; give fine layers, a data set file or simulated landscapes.")
    refuse_repeated(files)
    images = OpenImages(memory_bytes, sum(len(one.coarse) for one in files))
    places: list[Place] = []
    for one in files:
        place = RasterPlace(one, images)
        sentence = place.scale_warning()
        if sentence:
            warn(sentence)
        places.append(place)
    return TrainingData(wanted, [*places, *_landscapes(wanted, places)], say, stored)


def _landscapes(wanted: Wanted, places: Sequence[Place]) -> Iterable[Place]:
    if not wanted.landscapes:
        return []
    bands = MOST_BANDS if wanted.per_band or not places else places[0].bands
    if bands > MOST_BANDS:
        raise UserError(
            f"Simulated landscapes have {MOST_BANDS} bands and the images {bands}; choose as many, train band by band, "
            "or leave the landscapes out."
        )
    found = [LandscapePlace(number, bands, wanted.seed) for number in range(COUNT)]
    if places:
        # What is held out is real.
        for landscape in found:
            landscape.split = "training"
    return found


def _usable(wanted: Wanted, places: Sequence[Place], say: Callable[[str], None]) -> list[Place]:
    """The places with enough dates; the others are left out with a sentence."""
    usable, faults = [], []
    for place in places:
        if plan(place, place.groups, wanted.pairs, wanted.needs_coarse, wanted.days) or wanted.changed:
            usable.append(place)
        else:
            faults.append(_too_few(wanted, place))
    if not any(not place.imagined for place in usable) and faults:
        raise UserError(faults[0][0].upper() + faults[0][1:])
    for fault in faults:
        say(f"Left out: {fault}")
    return usable


def _too_few(wanted: Wanted, place: Place) -> str:
    days = place.coarse_dates if place.real else place.fine_dates
    with_coarse = " with a fine and a coarse image" if place.real else ""
    listed = ", ".join(map(str, days))
    if place.groups is not None:
        return (
            f"{place.name} has no group of dates with {wanted.pairs} reference(s) on the sides of its target that is "
            "wanted; give other groups, or train a network that needs fewer."
        )
    if len(days) <= wanted.pairs:
        return (
            f"{place.name} has {len(days)} date(s){with_coarse} ({listed}) and the network learns from at least "
            f"{wanted.pairs + 1}; add images of other dates, or let changes be made up."
        )
    return (
        f"{place.name} has no dates at most {wanted.days} days apart ({listed}); allow more days between a pair and "
        "the target date."
    )


def _common_bands(places: Sequence[Place]) -> int:
    """The number of bands, which has to be the same everywhere."""
    first = places[0]
    for place in places:
        if place.bands != first.bands:
            raise UserError(
                f"{first.name} has {first.bands} band(s) and {place.name} has {place.bands}; choose the bands that "
                "belong together, or train band by band."
            )
    return first.bands
