"""A network at work on a scene: batches of patches on a device, samples of a diffusion model, and the memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from stfusion.errors import OutOfMemory
from stfusion.networks._batch import Batch
from stfusion.networks._inputs import Inputs, Reader
from stfusion.networks._lattice import Strip, rows_of_patches
from stfusion.networks._network import Layout, Network, Sampler, Sampling
from stfusion.protocol import in_words
from stfusion.raster.grids import Box
from stfusion.raster.noise import field
from stfusion.raster.source import Array
from stfusion.run import Context

#: Half precision may differ by this share of the range of the prediction.
_HALF_TOLERANCE = 1e-2
#: Patches and bands that a graphics card is given at once, at first; a processor gains nothing from more than one.
_CARD_BATCH = 16
#: A run that takes longer, in seconds, is announced.
_LONG = 30.0


class TooLarge(Exception):
    """A single patch does not fit into the memory of the device."""


class Meter:
    """Counts how often the network was asked, tells the progress, and says early how long the run will take."""

    def __init__(self, context: Context, total: int, begin: float, end: float) -> None:
        self._context, self._total = context, total
        self._begin, self._end = begin, end
        self._done, self._told = 0, False
        self._started = time.monotonic()

    def advance(self, count: int = 1) -> None:
        """Count; raises ``Cancelled`` when the run is to stop."""
        self._context.stop.check()
        self._done += count
        share = min(1.0, self._done / self._total)
        self._context.reporter.progress(self._begin + share * (self._end - self._begin))
        spent = time.monotonic() - self._started
        # The first call warms up; the second one or a share of the run tells the speed.
        if not self._told and (self._done >= 2 * count or share > 0.02):
            self._told = True
            whole = spent / share
            if whole > _LONG:
                self._context.reporter.log(f"This takes about {in_words(whole)}.")


@dataclass(frozen=True)
class Drawing:
    """How often and how a diffusion model is sampled; other networks give one sample."""

    seed: int = 0
    samples: int = 1
    steps: int = 10
    sampler: Sampler = "ddim"
    eta: float = 0.0

    def sampling(self, noise: Callable[[int], Tensor]) -> Sampling:
        """How one sample is drawn from some noise."""
        return Sampling(noise, self.steps, self.sampler, self.eta)


class Predictor:
    """A network on a device; it finds the size of a batch, and whether half precision is close enough, by trying."""

    def __init__(
        self, network: Network, device: torch.device, advance: Callable[[int], None], batch: int = 0
    ) -> None:
        self._layout = torch.channels_last if network.channels_last else torch.contiguous_format
        self.network = network.eval()
        self.network.to(device=device, memory_format=self._layout)  # type: ignore[call-overload]
        self.device = device
        self.batch = batch or (_CARD_BATCH if device.type == "cuda" else 1)
        self.notes: list[str] = []
        self._advance = advance
        self._half: bool | None = None if device.type == "cuda" else False

    def patches(self, bands: int) -> int:
        """How many patches of an image with so many bands make up a batch."""
        return max(1, self.batch // (bands if self.network.form.bands == 1 else 1))

    def sampling(self, drawing: Drawing, sample: int, boxes: Sequence[Box], bands: int) -> Sampling | None:
        """How a diffusion model draws a sample of some patches; none for other networks."""
        if not self.network.stochastic:
            return None
        shown = self.network.form.bands

        # The bands of a patch are predicted one after the other, mostly from the same field.
        @lru_cache(maxsize=1)
        def noise(step: int) -> Tensor:
            fields = np.stack([field(drawing.seed, sample, step, bands, box) for box in boxes])
            return torch.from_numpy(fields.reshape(-1, shown, *fields.shape[2:]))

        return drawing.sampling(noise)

    def run(self, batch: Batch, sampling: Sampling | None) -> Tensor:
        """The prediction (n, bands, rows, columns) of a batch, on the processor.

        Raises
        ------
        TooLarge
            The memory of the device does not hold a single item.
        """
        count = len(batch)
        while True:
            try:
                parts = [self._part(batch, sampling, first) for first in range(0, count, self.batch)]
                return torch.cat(parts)
            except (torch.OutOfMemoryError, RuntimeError) as error:
                if not _lacks_memory(error):
                    raise
                torch.cuda.empty_cache()
                if self.batch == 1:
                    raise TooLarge from error
                self.batch = -(-min(self.batch, count) // 2)
                self.notes.append(f"The memory of {self.device} did not hold the batch; it was halved to {self.batch}.")

    def _part(self, batch: Batch, sampling: Sampling | None, first: int) -> Tensor:
        part = slice(first, first + self.batch)
        images = batch.map(lambda image: image[part].to(self.device, memory_format=self._layout))
        count = len(images)
        if sampling is not None:
            noise = sampling.noise
            sampling = replace(
                sampling, noise=lambda step: noise(step)[part].to(self.device), on_step=lambda: self._advance(count)
            )
        if self._half is None:
            self._half = self._half_is_close(images, sampling)
        predicted = self._call(images, sampling, self._half).float().cpu()
        if sampling is None:
            self._advance(count)
        return predicted

    @torch.inference_mode()
    def _call(self, batch: Batch, sampling: Sampling | None, half: bool) -> Tensor:
        with self._precision(half):
            return self.network.whole(batch, sampling)

    def _precision(self, half: bool) -> AbstractContextManager[None]:
        return torch.autocast(self.device.type, torch.float16) if half else nullcontext()

    def _half_is_close(self, batch: Batch, sampling: Sampling | None) -> bool:
        """Whether half precision gives nearly what single precision gives, tried on a batch."""
        quiet = None if sampling is None else replace(sampling, on_step=None)
        whole, half = (self._call(batch, quiet, use).float() for use in (False, True))
        error = float((whole - half).abs().max() / (whole.max() - whole.min()).clamp_min(1e-12))
        close = error <= _HALF_TOLERANCE
        self.notes.append(
            f"Half precision differs by {error:.1e} of the range and is {'used' if close else 'not used'}."
        )
        return close


def _lacks_memory(error: RuntimeError) -> bool:
    """Whether an error of torch says that memory is short; the processor's has no class of its own."""
    return isinstance(error, torch.OutOfMemoryError) or "not enough memory" in str(error)


def layout_that_fits(context: Context, network: Network, budget: int, smaller: int = 0) -> Layout:
    """The layout of a network, its patches halved until one fits into the memory, and ``smaller`` times more.

    Raises
    ------
    OutOfMemory
        Not even the smallest patch fits.
    """
    whole = network.laid_out()
    layout, halved = whole, 0
    while halved < smaller or layout.patch**2 * network.pixel_bytes > budget:
        side = layout.patch // 2 // layout.multiple * layout.multiple
        least = 2 * (layout.margin + layout.ramp) + layout.multiple
        if side < least or not network.takes(side):
            needed = layout.patch**2 * network.pixel_bytes
            raise OutOfMemory(
                f"A patch of {layout.patch} pixels needs {needed / 2**20:.0f} MB and {budget / 2**20:.0f} MB are left; "
                "raise the memory limit, or choose a smaller network."
            )
        layout, halved = replace(layout, patch=side), halved + 1
    if halved:
        context.reporter.warning(
            f"The patches are {layout.patch} instead of {whole.patch} pixels wide, since memory is short; "
            + ("the result is the same." if layout.ramp == 0 else "the result may differ a little.")
        )
    return layout


def mosaic(
    predictor: Predictor, reader: Reader, layout: Layout, drawing: Drawing, window: Box | None = None
) -> Iterator[tuple[Box, Array, Array | None]]:
    """The fused image from the top down: where rows lie, and their values (bands, rows, columns), NaN where unknown.

    With several samples the values are the mean, and the third part is the standard deviation; both in the unit of
    the images. Where a ``window`` is given, only what lies in it is known to be right.

    Raises
    ------
    TooLarge
        The memory of the device does not hold a single patch.
    """
    lines = list(rows_of_patches(reader.shape, layout))
    moments = 2 if drawing.samples > 1 else 1
    strip = Strip(moments * reader.bands + 1, reader.shape, layout)
    with ThreadPoolExecutor(1) as pool:
        for number, line in enumerate(lines):
            needed = line if window is None else [box for box in line if min(box.common(window).shape) > 0]
            for inputs in _read_ahead(pool, reader, needed, predictor.patches(reader.bands)):
                for one, values in zip(inputs, _moments(predictor, inputs, reader.bands, drawing), strict=True):
                    strip.add(one.box, np.concatenate([values, one.known[None]]))
            bottom = reader.shape[0] if number + 1 == len(lines) else lines[number + 1][0].top + layout.margin
            box, image = strip.flush(bottom)
            image[:-1, ~(image[-1] > 0.5)] = np.nan
            spread = reader.undo_spread(image[reader.bands : -1]) if moments > 1 else None
            yield box, reader.undo(image[: reader.bands]), spread


def _read_ahead(
    pool: ThreadPoolExecutor, reader: Reader, line: Sequence[Box], count: int
) -> Iterator[list[Inputs]]:
    """The patches of a line that have pixels to predict, some at a time, the next ones being read meanwhile."""

    def read(boxes: Sequence[Box]) -> list[Inputs]:
        return [inputs for inputs in map(reader.read, boxes) if inputs is not None]

    groups = [line[first : first + count] for first in range(0, len(line), count)] or [[]]
    ahead = pool.submit(read, groups[0])
    for group in [*groups[1:], []]:
        inputs, ahead = ahead.result(), pool.submit(read, group)
        if inputs:
            yield inputs


def _moments(predictor: Predictor, inputs: Sequence[Inputs], bands: int, drawing: Drawing) -> Array:
    """Mean, and of several samples the standard deviation, of predictions: (n, bands or twice them, rows, columns)."""
    single = predictor.network.form.bands == 1
    items = [(one, band) for one in inputs for band in (range(bands) if single else (None,))]
    batch = inputs[0].batch(items)
    drawn = []
    for sample in range(drawing.samples):
        sampling = predictor.sampling(drawing, sample, [one.box for one in inputs], bands)
        drawn.append(predictor.run(batch, sampling).numpy().reshape(len(inputs), bands, *batch.shape[2:]))
    mean: Array = np.mean(drawn, axis=0)
    return mean if drawing.samples == 1 else np.concatenate([mean, np.std(drawn, axis=0, ddof=1)], axis=1)
