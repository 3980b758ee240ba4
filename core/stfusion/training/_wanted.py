"""What a training wants of its data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Wanted:
    """The samples that a network is to learn from.

    Parameters
    ----------
    patch
        Side of a patch in fine pixels.
    pairs, needs_coarse, symmetric
        As the network has them (see ``stfusion.networks._network``).
    per_band
        Every sample is a single band, for a network that is run band by band. Images are then normalised by their own
        scene, else by what is stored of all training images.
    share
        Share (0..1) of the places, or of each place, that is held out for validation; 0: nothing is.
    held_out
        Largest number of validation samples.
    days
        Largest number of days between a pair and the target date; 0: however many.
    ratio
        Least and largest ratio of simulated coarse images where the data set file has none; None: the usual ones.
    simulated
        Share (0..1) of samples of places with real coarse images that get simulated ones nevertheless.
    changed
        Share (0..1) of samples whose change is made up from a single date; a place of one date has no others.
    landscapes
        Share (0..1) of samples from simulated landscapes.
    varied
        Whether radiometry and direction of the training samples are varied.
    mirrored
        Whether half of the varied samples are negatives.
    seed
        Of everything that is drawn.
    """

    patch: int
    pairs: int = 1
    needs_coarse: bool = True
    symmetric: bool = False
    per_band: bool = False
    share: float = 0.2
    held_out: int = 64
    days: int = 0
    ratio: tuple[float, float] | None = None
    simulated: float = 0.0
    changed: float = 0.0
    landscapes: float = 0.0
    varied: bool = True
    mirrored: bool = False
    seed: int = 0
