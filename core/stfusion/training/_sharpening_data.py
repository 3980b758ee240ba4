"""The data that a network of sharpening learns from: samples of scenes, of data sets and of landscapes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from stfusion.errors import UserError
from stfusion.networks._batch import SharpeningBatch
from stfusion.networks._network import Form, SharpeningNetwork
from stfusion.networks._normalisation import Normalisation, from_samples
from stfusion.raster.grids import Box
from stfusion.raster.source import Array
from stfusion.training._samples import MOST_INVALID, Orient, orientation, stacked
from stfusion.training._sharpening_sources import Grid, Images, Part, SharpeningSource

#: How often a patch is drawn again where too much of it is invalid, and how often before there is none at all.
_TRIES, _FIRST_TRIES = 32, 256
#: The logarithm of the gain that all images of a sample are multiplied by.
_GAIN = 0.25


@dataclass(frozen=True)
class WantedSharpening:
    """The samples that a network is to learn from.

    ``patch`` is the side of a patch in panchromatic pixels, ``per_band`` says whether every sample is a single band,
    ``share`` (0..1) is held out, ``held_out`` the largest number of validation samples; ``varied`` says whether the
    direction and the brightness of samples are varied.
    """

    patch: int
    per_band: bool = False
    share: float = 0.2
    held_out: int = 64
    varied: bool = True
    seed: int = 0


@dataclass(frozen=True)
class SharpeningSample:
    """Normalised images (bands, rows, columns) without NaN, and where all of them are valid (rows, columns)."""

    normalisation: Normalisation
    pan_normalisation: Normalisation
    grid: Grid
    ratio: int
    pan: Array
    expanded: Array
    multispectral: Array
    truth: Array
    valid: npt.NDArray[np.bool_]

    @staticmethod
    def batch(samples: Sequence[SharpeningSample]) -> SharpeningBatch:
        """Samples as a batch of tensors on the processor."""
        return SharpeningBatch(
            stacked([sample.pan for sample in samples]),
            stacked([sample.expanded for sample in samples]),
            stacked([sample.multispectral for sample in samples]),
            truth=stacked([sample.truth for sample in samples]),
            valid=stacked([sample.valid[None] for sample in samples]),
        )

    def pictures(self, prediction: Array) -> dict[str, Array]:
        """What a report shows, by title."""
        pan = np.broadcast_to(self.pan[:1], self.truth.shape)
        return {
            "Panchromatic image": pan, "Multispectral image, interpolated": self.expanded, "Prediction": prediction,
            "True image": self.truth,
        }


class SharpeningData:
    """Samples to learn from and samples that are held out; ``say`` receives sentences on what is done.

    Raises
    ------
    UserError
        The sources do not go together, or no patch is valid.
    """

    pixels = ("multispectral", "panchromatic")

    def __init__(
        self, wanted: WantedSharpening, kind: type[SharpeningNetwork], sources: Sequence[SharpeningSource],
        say: Callable[[str], None],
    ) -> None:
        self.wanted, self._kind = wanted, kind
        first = sources[0]
        for source in sources:
            _refuse_unlike(first, source, wanted.per_band)
        self.ratio_of_pixels, self.grid, self._pan_bands = first.ratio, first.grid, first.pan_bands
        if first.pan_bands > 1 and not kind.several:
            raise UserError(
                f"{first.name} has {first.pan_bands} bands in place of the panchromatic one and a network '{kind.id}' "
                "takes one; choose it with 'Bands of the panchromatic image', or another network."
            )
        if wanted.patch % first.ratio:
            raise UserError(
                f"'Patch' (patch) is {wanted.patch} and a multispectral pixel is {first.ratio} panchromatic ones wide; "
                f"take {max(1, round(wanted.patch / first.ratio)) * first.ratio}."
            )
        self.bands = 1 if wanted.per_band else first.bands
        parts = [part for source in sources for part in source.parts(wanted.share, wanted.patch)]
        self._training = [part for part in parts if part.use == "training"]
        held = [part for part in parts if part.use == "validation"]
        if not self._training or not held:
            raise UserError(
                f"The images are too small to learn from one part and to hold out another with patches of "
                f"{wanted.patch} pixels of the multispectral image (the largest has {first.shape[1]} x "
                f"{first.shape[0]}); take smaller patches, or give more."
            )
        for part in held:
            size = f"{part.box.shape[1]} x {part.box.shape[0]} pixels of "
            say(f"Held out for validation: {size}{len(part.items)} image(s) of {part.source.name}.")
        self.normalisation = Normalisation("scene")
        self._scalings = self._estimate()
        weights = np.array([part.count(wanted.patch) ** 0.5 for part in self._training])
        self._chances = weights / weights.sum()
        self._first = self._first_sample()
        self.validation = self._hold(held)

    @property
    def ratio(self) -> tuple[float, float]:
        """The ratio, twice: all samples have the same."""
        return float(self.ratio_of_pixels), float(self.ratio_of_pixels)

    @property
    def patches(self) -> int:
        """Number of different patches to learn from, side by side."""
        bands = self._training[0].source.bands if self.wanted.per_band else 1
        return bands * sum(part.count(self.wanted.patch) for part in self._training)

    @property
    def words(self) -> str:
        """The sources in words."""
        return ", ".join(f"{part.source.name} ({part.source.kind})" for part in self._training)

    def formed(self, form: Form) -> Form:
        """A form with the bands of the data, and the ratio where the network has to know it."""
        needed = self._kind.needs_multispectral
        return replace(
            form, bands=self.bands, ratio=self.ratio_of_pixels if needed else 0, pan_bands=self._pan_bands
        )

    def describe(self) -> dict[str, Any]:
        """The data in plain values, for the model card."""
        return {
            "places": [
                {"name": part.source.name, "kind": part.source.kind, "size": list(part.source.shape),
                 "images": part.source.count, "bands": part.source.bands}
                for part in self._training
            ],
            "training_patches": self.patches,
            "validation_samples": len(self.validation),
            "ratio": list(self.ratio),
            "wanted": asdict(self.wanted),
        }

    def draw(self, epoch: int, index: int) -> SharpeningSample:
        """A training sample: always the same one for an epoch and an index."""
        return self._draw(self._generator(0, epoch, index), _TRIES) or self._first

    def held(self, number: int) -> SharpeningSample:
        """A validation sample by its number: always the same one, and not varied."""
        part, item, box, band = self.validation[number]
        sample = self._make(part, item, box, band)
        if sample is None:
            raise UserError(f"The images of {part.source.name} have changed while they were learnt from; train again.")
        return sample

    def _generator(self, *key: int) -> np.random.Generator:
        return np.random.Generator(np.random.Philox(np.random.SeedSequence(self.wanted.seed, spawn_key=key)))

    def _estimate(self) -> dict[SharpeningSource, tuple[Normalisation, Normalisation]]:
        """The normalisation of the bands and of the panchromatic image of every source: its own, or that of all."""
        symmetric = self._kind.symmetric
        found = {part.source: part.source.sample(part) for part in self._training}
        try:
            if self.wanted.per_band:
                return {source: (from_samples([truth], symmetric), from_samples([pan], symmetric))
                        for source, (truth, pan) in found.items()}
            own, sharp = (from_samples([values[k] for values in found.values()], symmetric, "stored") for k in (0, 1))
        except ValueError as error:
            raise UserError("An image has a band without any valid pixel; check nodata values and masks.") from error
        self.normalisation = Normalisation("stored", own.offset + sharp.offset, own.scale + sharp.scale)
        return dict.fromkeys(found, (own, sharp))

    def _draw(self, rng: np.random.Generator, tries: int) -> SharpeningSample | None:
        for _ in range(tries):
            part = self._training[int(rng.choice(len(self._training), p=self._chances))]
            item, box = part.draw(self.wanted.patch, rng)
            band = int(rng.integers(part.source.bands)) if self.wanted.per_band else None
            sample = self._make(part, item, box, band, rng if self.wanted.varied else None)
            if sample is not None:
                return sample
        return None

    def _first_sample(self) -> SharpeningSample:
        sample = self._draw(self._generator(1), _FIRST_TRIES)
        if sample is None:
            raise UserError(
                f"No valid patch was found: in every patch of {self.wanted.patch} pixels that was looked at more than "
                "20 % of the pixels are invalid; check nodata values and masks, or take smaller patches."
            )
        return sample

    def _hold(self, held: Sequence[Part]) -> list[tuple[Part, int, Box, int | None]]:
        """The valid patches that are held out, in an order by chance; some of them where many."""
        spots: list[tuple[Part, int, Box, int | None]] = [
            (part, item, box, band) for part in held for item, box in part.lattice(self.wanted.patch)
            for band in (range(part.source.bands) if self.wanted.per_band else (None,))
        ]
        kept: list[tuple[Part, int, Box, int | None]] = []
        for number in self._generator(2).permutation(len(spots)):
            if len(kept) == self.wanted.held_out:
                break
            if self._make(*spots[number]) is not None:
                kept.append(spots[number])
        if not kept:
            raise UserError(
                f"No valid patch of {self.wanted.patch} pixels is in what is held out for validation; check nodata "
                "values and masks."
            )
        return kept

    def _make(
        self, part: Part, item: int, box: Box, band: int | None, rng: np.random.Generator | None = None
    ) -> SharpeningSample | None:
        """A sample, varied by a generator; None where too much is invalid."""
        scaling, pan_scaling = self._scalings[part.source]
        found = normalised(part.source.read(item, box), scaling, pan_scaling)
        if found is None:
            return None
        images, valid = found
        chosen = slice(None) if band is None else slice(band, band + 1)
        parts: list[Array] = [images.pan, images.expanded[chosen], images.multispectral[chosen], images.truth[chosen]]
        if rng is not None:
            turn = self._turn(rng)
            gain = np.float32(np.exp(rng.uniform(-_GAIN, _GAIN)))
            parts, valid = [turn(image) * gain for image in parts], turn(valid)
        pan, expanded, multispectral, truth = parts
        own = scaling if band is None else scaling.band(band)
        return SharpeningSample(
            own, pan_scaling, self.grid, self.ratio_of_pixels, pan, expanded, multispectral, truth, valid
        )

    def _turn(self, rng: np.random.Generator) -> Orient:
        """One of the eight ways that a square lies; one alone where the images are displaced in a direction."""
        return orientation(rng) if self.grid == "gis" else _as_it_is


def normalised(
    images: Images, scaling: Normalisation, pan_scaling: Normalisation
) -> tuple[Images, npt.NDArray[np.bool_]] | None:
    """Images normalised and without NaN, and where all were valid (rows, columns); None where too much was not."""
    valid = np.isfinite(np.concatenate([images.truth, images.pan])).all(axis=0)
    if np.count_nonzero(~valid) > MOST_INVALID * valid.size:
        return None
    truth, expanded = scaling.apply(images.truth), scaling.apply(images.expanded)
    pan = pan_scaling.apply(images.pan)
    if not valid.all():
        truth = np.where(valid, truth, expanded)
        pan = np.where(valid, pan, np.median(pan[:, valid], axis=1)[:, None, None])
    return Images(truth, pan, scaling.apply(images.multispectral), expanded), valid


def _as_it_is(image: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return image


def _refuse_unlike(first: SharpeningSource, other: SharpeningSource, per_band: bool) -> None:
    """Refuse sources that no network can learn from together."""
    if other.bands != first.bands and not per_band:
        raise UserError(
            f"{first.name} has {first.bands} band(s) and {other.name} has {other.bands}; choose the bands that belong "
            "together, or train band by band."
        )
    if other.pan_bands != first.pan_bands:
        raise UserError(
            f"{first.name} has {first.pan_bands} panchromatic band(s) and {other.name} has {other.pan_bands}; choose "
            "data that go together."
        )
    if other.ratio != first.ratio:
        raise UserError(
            f"{first.name} has the ratio {first.ratio} and {other.name} has {other.ratio}; train on one of them at a "
            "time."
        )
    if other.grid != first.grid:
        words: dict[Literal["gis", "toolbox"], str] = {"gis": "where it lies", "toolbox": "half a pixel away"}
        raise UserError(
            f"{first.name} has its multispectral image interpolated {words[first.grid]} and {other.name} "
            f"{words[other.grid]}; train on one of them at a time."
        )
