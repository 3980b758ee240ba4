"""A random sample of the valid pixels of an image, drawn in one pass."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stfusion.classification._image import Floats, Image
from stfusion.fusion._compile import compiled
from stfusion.raster.grids import Box
from stfusion.raster.tiles import Tile, run_tiles
from stfusion.run import Context

Priorities = npt.NDArray[np.uint64]

_EVERYTHING = np.uint64(2**64 - 1)
_STEP, _FIRST, _SECOND = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_ONE, _30, _27, _31 = np.uint64(1), np.uint64(30), np.uint64(27), np.uint64(31)


@dataclass(frozen=True)
class Sample:
    """Pixels (pixels, bands) in the image's unit, in random order, and how many valid ones the image has."""

    pixels: Floats
    valid: int


@compiled
def _pick(
    valid: npt.NDArray[np.bool_], top: int, left: int, width: int, seed: np.uint64, threshold: np.uint64
) -> tuple[npt.NDArray[np.int64], Priorities]:
    """Places (in the window's own order) and priorities of the valid pixels with a priority up to the threshold.

    A priority is the SplitMix64 hash (Steele, Lea and Flood 2014, doi:10.1145/2660193.2660195) of the place in an
    image of ``width`` columns: it hangs neither on the window nor on other pixels, and no two are equal.
    """
    rows, columns = valid.shape
    places = np.empty(rows * columns, np.int64)
    priorities = np.empty(rows * columns, np.uint64)
    found = 0
    for row in range(rows):
        state = seed + np.uint64((top + row) * width + left) * _STEP
        for column in range(columns):
            state += _STEP
            mixed = (state ^ (state >> _30)) * _FIRST
            mixed = (mixed ^ (mixed >> _27)) * _SECOND
            mixed ^= mixed >> _31
            # Written in any case and overwritten by the next: no branch to be foretold.
            places[found] = row * columns + column
            priorities[found] = mixed
            found += int(valid[row, column] and mixed <= threshold)
    return places[:found].copy(), priorities[:found].copy()


class _Draw:
    """The pixels with the lowest priorities of those seen so far."""

    def __init__(self, image: Image, limit: int, seed: int) -> None:
        self._image = image
        self._limit = limit
        self._seed = np.random.SeedSequence(seed).generate_state(1, np.uint64)[0]
        self._threshold = _EVERYTHING
        self._priorities: list[Priorities] = []
        self._pixels: list[Floats] = []
        self._kept = 0
        self.valid = 0

    def look(self, tile: Tile) -> tuple[int, Priorities, Floats]:
        """How many pixels of a part are valid, and the priorities and values of those that may be drawn."""
        box = tile.inner
        values, valid = self._image.read(box)
        # Another thread may lower the threshold meanwhile; that saves work and changes no result.
        places, priorities = _pick(valid, box.top, box.left, self._image.shape[1], self._seed, self._threshold)
        picked = values.reshape(len(values), -1)[:, places].T
        tile.advance(1.0)
        return int(np.count_nonzero(valid)), priorities, picked * self._image.scales + self._image.offsets

    def add(self, _: Box, seen: tuple[int, Priorities, Floats]) -> None:
        """Take what was seen of a part, and forget what will not be drawn whenever that is as much as the sample."""
        self.valid += seen[0]
        self._priorities.append(seen[1])
        self._pixels.append(seen[2])
        self._kept += len(seen[1])
        if self._kept > 2 * self._limit:
            self._forget()

    def _forget(self) -> None:
        priorities, pixels = np.concatenate(self._priorities), np.concatenate(self._pixels)
        if len(priorities) > self._limit:
            lowest = np.argpartition(priorities, self._limit - 1)[: self._limit]
            priorities, pixels = priorities[lowest], pixels[lowest]
            self._threshold = priorities.max()
        self._priorities, self._pixels, self._kept = [priorities], [pixels], len(priorities)

    def sample(self) -> Floats:
        """The pixels drawn, in the order of their priorities."""
        self._forget()
        return self._pixels[0][np.argsort(self._priorities[0])]


def draw(context: Context, image: Image, limit: int, span: tuple[float, float]) -> Sample:
    """``limit`` of the valid pixels, every set of so many equally likely; all of them where there are no more.

    Which ones hangs on the job's seed and on where pixels are valid, not on the threads nor on how the file is stored.
    ``span`` is the progress, in per cent, at the begin and the end.
    """
    drawn = _Draw(image, limit, context.job.seed)
    run_tiles(context, image.shape, image.part, 0, drawn.look, drawn.add, span)
    return Sample(drawn.sample(), drawn.valid)
