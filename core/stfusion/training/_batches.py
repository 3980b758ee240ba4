"""Batches of samples for the trainer, loaded ahead of time in the background."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Literal, Protocol, TypeVar

from stfusion.networks._batch import Batch
from stfusion.networks._network import Form
from stfusion.networks._normalisation import Normalisation
from stfusion.training._validation import Shown

Result = TypeVar("Result")


class Data(Protocol):
    """What a network learns from: samples by epoch and index, and samples that are held out, in their order.

    ``ratio`` has the least and the largest ratio of the pixel sizes that ``pixels`` names, ``patches`` is the number of
    different patches to learn from, ``grid`` where interpolated images lie, ``words`` say what the data are.
    """

    normalisation: Normalisation
    pixels: tuple[str, str]
    grid: Literal["gis", "toolbox"]

    @property
    def ratio(self) -> tuple[float, float]: ...
    @property
    def patches(self) -> int: ...
    @property
    def validation(self) -> Sequence[Any]: ...
    @property
    def words(self) -> str: ...

    def formed(self, form: Form) -> Form:
        """A form with what the data decide of it."""
        ...

    def draw(self, epoch: int, index: int) -> Shown:
        """A training sample: always the same one for an epoch and an index."""
        ...

    def held(self, number: int) -> Shown:
        """A validation sample by its number: always the same one, and not varied."""
        ...

    def describe(self) -> Mapping[str, Any]:
        """The data in plain values, for the model card; "places" are mappings with a name."""
        ...


def collate(samples: Sequence[Any]) -> Batch:
    """Samples of one kind as a batch of tensors on the processor."""
    batch: Batch = samples[0].batch(samples)
    return batch


def batch(data: Data, epoch: int, step: int, size: int, rank: int = 0, world: int = 1) -> Batch:
    """The batch of a step: ``size`` samples of one of ``world`` processes, which share the samples of the step."""
    first = step * size * world + rank
    return collate([data.draw(epoch, first + number * world) for number in range(size)])


def batches(
    data: Data, epoch: int, steps: range, size: int, rank: int = 0, world: int = 1, threads: int = 2
) -> Iterator[Batch]:
    """The batches of some steps of an epoch in their order, loaded ahead by as many threads."""
    return _ahead(lambda step: batch(data, epoch, step, size, rank, world), steps, threads)


def validation_batches(
    data: Data, size: int, rank: int = 0, world: int = 1, threads: int = 2
) -> Iterator[tuple[list[Shown], Batch]]:
    """All validation samples of a process with the batches they make up, in their order; the last may be smaller."""
    numbers = range(rank, len(data.validation), world)
    parts = [numbers[first : first + size] for first in range(0, len(numbers), size)]

    def load(part: range) -> tuple[list[Shown], Batch]:
        samples = [data.held(number) for number in part]
        return samples, collate(samples)

    return _ahead(load, parts, threads)


def _ahead(load: Callable[..., Result], items: Sequence[object], threads: int) -> Iterator[Result]:
    """What is loaded for each item, in their order; one more than there are threads waits."""
    if threads == 0:
        yield from map(load, items)
        return
    pending: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                pending.append(pool.submit(load, item))
                if len(pending) > threads:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
