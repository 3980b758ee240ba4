"""Noise as a function of the seed and the absolute position of a pixel: patches meet without seams."""

from __future__ import annotations

import numpy as np

from stfusion.raster.grids import Box
from stfusion.raster.source import Array

#: Side of the blocks that noise is drawn in, and what is added to their numbers, since patches begin before the image.
_BLOCK, _BEFORE = 64, 2**20


def field(seed: int, sample: int, step: int, bands: int, box: Box) -> Array:
    """Standard normal noise (bands, rows, columns) of a window, which may reach beyond the image.

    Every value depends on the seed, the number of the sample, the step and its own place only.
    """
    values = np.empty((bands, *box.shape), np.float32)
    for row in range(box.top // _BLOCK, -(-box.bottom // _BLOCK)):
        for column in range(box.left // _BLOCK, -(-box.right // _BLOCK)):
            block = Box(row * _BLOCK, (row + 1) * _BLOCK, column * _BLOCK, (column + 1) * _BLOCK)
            part = Box(
                max(box.top, block.top), min(box.bottom, block.bottom),
                max(box.left, block.left), min(box.right, block.right),
            )
            # The counter of a block is its own: its low words count the numbers that are drawn.
            bits = np.random.Philox(key=[seed, (sample << 32) | step], counter=[0, 0, row + _BEFORE, column + _BEFORE])
            drawn = np.random.Generator(bits).standard_normal((bands, _BLOCK, _BLOCK), np.float32)
            values[(slice(None), *part.within(box))] = drawn[(slice(None), *part.within(block))]
    return values
