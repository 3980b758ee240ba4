"""Batches of samples for the trainer, loaded ahead of time in the background."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import torch

from stfusion.networks._batch import FusionBatch
from stfusion.raster.source import Array
from stfusion.training._data import TrainingData
from stfusion.training._samples import Sample

Result = TypeVar("Result")


def collate(samples: Sequence[Sample]) -> FusionBatch:
    """Samples as a batch of tensors on the processor."""

    def stacked(images: Sequence[Array]) -> torch.Tensor:
        return torch.from_numpy(np.stack(images))

    first = samples[0]
    return FusionBatch(
        fine=tuple(stacked([sample.fine[pair] for sample in samples]) for pair in range(len(first.fine))),
        coarse=tuple(stacked([sample.coarse[pair] for sample in samples]) for pair in range(len(first.coarse))),
        target=stacked([sample.target for sample in samples]),
        truth=stacked([sample.truth for sample in samples]),
        valid=torch.from_numpy(np.stack([sample.valid for sample in samples])[:, None]),
    )


def batch(data: TrainingData, epoch: int, step: int, size: int, rank: int = 0, world: int = 1) -> FusionBatch:
    """The batch of a step: ``size`` samples of one of ``world`` processes, which share the samples of the step."""
    first = step * size * world + rank
    return collate([data.draw(epoch, first + number * world) for number in range(size)])


def batches(
    data: TrainingData, epoch: int, steps: range, size: int, rank: int = 0, world: int = 1, threads: int = 2
) -> Iterator[FusionBatch]:
    """The batches of some steps of an epoch in their order, loaded ahead by as many threads."""
    return _ahead(lambda step: batch(data, epoch, step, size, rank, world), steps, threads)


def validation_batches(
    data: TrainingData, size: int, rank: int = 0, world: int = 1, threads: int = 2
) -> Iterator[tuple[list[Sample], FusionBatch]]:
    """All validation samples of a process with the batches they make up, in their order; the last may be smaller."""
    numbers = range(rank, len(data.validation), world)
    parts = [numbers[first : first + size] for first in range(0, len(numbers), size)]

    def load(part: range) -> tuple[list[Sample], FusionBatch]:
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
