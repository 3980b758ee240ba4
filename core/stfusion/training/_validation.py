"""Validation: a network's predictions of samples that it does not learn from, beside the truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor

from stfusion.assessment._measure import Facts, Terms, conclude, measure
from stfusion.networks._batch import Batch
from stfusion.networks._network import Network, Sampling
from stfusion.networks._normalisation import Normalisation
from stfusion.raster.source import Array

_TERMS = Terms(metrics=("rmse", "ssim"))
#: What is measured of every sample, in the order of the figures; the last two of samples that have a ratio.
FIGURES = ("RMSE", "RMSE normalised", "SSIM", "SAM", "ERGAS")


class Held(Protocol):
    """A sample that is held out: a true image, normalised (bands, rows, columns) and without NaN.

    ``valid`` says where it is valid, ``ratio`` is that of a sharpening.
    """

    @property
    def normalisation(self) -> Normalisation: ...
    @property
    def truth(self) -> Array: ...
    @property
    def valid(self) -> NDArray[np.bool_]: ...
    @property
    def ratio(self) -> float | None: ...


class Shown(Held, Protocol):
    """A sample that a report can show."""

    def pictures(self, prediction: Array) -> dict[str, Array]: ...


@dataclass(frozen=True)
class Scores:
    """Means over the samples by :data:`FIGURES`, and the predicted images (bands, rows, columns) of some samples."""

    means: dict[str, float]
    predictions: dict[int, Array]


@dataclass(frozen=True)
class Validation:
    """How a network is validated.

    Attributes
    ----------
    count
        Number of the samples of all processes.
    read
        Gives the samples of this process with the batches that they make up: those whose number is that of the
        process plus a multiple of the number of processes, in their order.
    seed
        Of the noise of a diffusion model.
    shown
        Numbers of the samples whose predictions are kept, of the first process.
    """

    count: int
    read: Callable[[], Iterator[tuple[Sequence[Held], Batch]]]
    seed: int = 0
    shown: Sequence[int] = ()

    def scores(self, network: Network, fabric: Fabric, seen: Callable[[int], None]) -> Scores:
        """Predict every sample and measure the predictions; several processes share the work."""
        sums, predictions = np.zeros(2 * len(FIGURES)), {}
        number = fabric.global_rank
        for samples, batch in self.read():
            numbers = [number + place * fabric.world_size for place in range(len(samples))]
            for index, sample, prediction in zip(
                numbers, samples, self._predict(network, batch, numbers, fabric), strict=True
            ):
                sums += summed(figures(prediction, sample))
                if index in self.shown:
                    predictions[index] = prediction
            number += len(samples) * fabric.world_size
            seen(len(samples))
        return Scores(means(_together(sums, fabric)), predictions)

    def _predict(self, network: Network, batch: Batch, numbers: Sequence[int], fabric: Fabric) -> Array:
        """The predictions (items, bands, rows, columns) of the samples of some numbers, normalised."""
        shape = batch.shape[1:]

        def noise(step: int) -> Tensor:
            fields = [np.random.default_rng((self.seed, number, step)) for number in numbers]
            drawn = np.stack([rng.standard_normal(shape, np.float32) for rng in fields])
            return torch.from_numpy(drawn).to(fabric.device)

        sampling = Sampling(noise, network.sampling_steps) if network.stochastic else None
        with fabric.autocast():
            predicted = network.predict(batch.map(fabric.to_device), sampling)
        array: Array = predicted.float().cpu().numpy()
        return array

    def loss(self, network: Network, part: str, fabric: Fabric, seen: Callable[[int], None]) -> float:
        """The mean of the loss of a part over all samples, for a network that cannot predict yet."""
        sums = np.zeros(2)
        for samples, batch in self.read():
            torch.manual_seed(int(sums[1]) * fabric.world_size + fabric.global_rank)
            with fabric.autocast():
                losses: dict[str, Tensor] = network(part, batch.map(fabric.to_device))
            sums += np.array([sum(float(loss) for loss in losses.values()), 1.0]) * len(samples)
            seen(len(samples))
        total, count = _together(sums, fabric)
        return float(total / count)


def _together(sums: NDArray[np.float64], fabric: Fabric) -> NDArray[np.float64]:
    """The sums of all processes."""
    if fabric.world_size == 1:
        return sums
    total = fabric.all_reduce(torch.from_numpy(sums).to(fabric.device), reduce_op="sum")
    array: NDArray[np.float64] = total.cpu().numpy()  # type: ignore[union-attr]
    return array


@runtime_checkable
class Judge(Protocol):
    """A sample that has figures of its own, since its truth is not known."""

    def figures(self, prediction: Array) -> NDArray[np.float64]: ...


def figures(prediction: Array, sample: Held) -> NDArray[np.float64]:
    """The figures of a prediction (bands, rows, columns), each the mean over the bands.

    RMSE is in the unit of the data. SSIM is that of the engine's assessments; its data range is that of the true band
    in the sample. SAM (degrees) and ERGAS are of values in the unit of the data, and known for a sharpening alone. What
    is unknown, since nothing is valid or the truth is constant, is NaN; a prediction that is not finite has an infinite
    error.
    """
    if isinstance(sample, Judge):
        return sample.figures(prediction)
    valid = sample.valid
    if not valid.any():
        return np.full(len(FIGURES), np.nan)
    if not np.isfinite(prediction[:, valid]).all():
        return np.array([np.inf, np.inf, np.nan, np.nan, np.nan if sample.ratio is None else np.inf])
    facts = Facts.of(sample.truth, valid)
    sums = measure(prediction, sample.truth, valid, (valid.shape[0], valid.shape[1]), facts, _TERMS)
    found = conclude(sums, facts, valid.size, _TERMS)
    rmse = np.array(found["rmse"].bands)
    errors = (rmse * sample.normalisation.scale).mean(), rmse.mean()
    return np.array([*errors, np.mean(found["ssim"].bands), *_of_sharpening(prediction, sample)])


def _of_sharpening(prediction: Array, sample: Held) -> tuple[float, float]:
    """The mean spectral angle (degrees) and ERGAS of values in the unit of the data; NaN for what has none."""
    if sample.ratio is None:
        return np.nan, np.nan
    undo, valid = sample.normalisation.undo, sample.valid
    images = [undo(image)[:, valid].astype(np.float64) for image in (prediction, sample.truth)]
    found, true = images
    means_of_bands = true.mean(axis=1)
    relative = np.sqrt(((found - true) ** 2).mean(axis=1)) / np.where(means_of_bands == 0, np.nan, means_of_bands)
    ergas = 100 / sample.ratio * float(np.sqrt((relative**2).mean()))
    if len(true) == 1:
        return np.nan, ergas
    sizes = np.linalg.norm(found, axis=0) * np.linalg.norm(true, axis=0)
    cosines = (found * true).sum(axis=0)[sizes > 0] / sizes[sizes > 0]
    return float(np.degrees(np.arccos(np.clip(cosines, -1, 1))).mean()) if cosines.size else np.nan, ergas


def summed(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The figures with 0 for those that are unknown, and then 1 for those that are known."""
    unknown = np.isnan(values)
    return np.concatenate([np.where(unknown, 0, values), (~unknown).astype(np.float64)])


def means(sums: NDArray[np.float64]) -> dict[str, float]:
    """The means of figures by name, of the sum of what :func:`summed` gives of them."""
    with np.errstate(invalid="ignore"):
        found = sums[: len(FIGURES)] / sums[len(FIGURES) :]
    return dict(zip(FIGURES, found.tolist(), strict=True))
