"""ESTARFM's moving window on a CUDA card: a thread for each pixel, which lists its similar pixels and shares the rest.

Real guides throughout. Neighbouring threads have their memory side by side, since they read and write together.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import cuda

from stfusion.fusion._cuda import BLOCK, blocks, room, send
from stfusion.fusion._estarfm_pixel import (
    KINDS,
    Candidates,
    Counts,
    Pixel,
    Rules,
    pixel_sizes,
    predict_centre,
    weight_of,
)
from stfusion.fusion._estarfm_tables import NO_VALUE, Codes, Floats, Images, Mask, Sizes, Tables, fill_cell, plain_codes
from stfusion.raster.source import Array


def predict(
    images: Images,
    valid: Mask,
    corner: tuple[int, int],
    middle: Floats,
    size: Sizes,
    rules: Rules,
    wanted: Mask,
    origin: tuple[int, int],
    values: Array,
    counts: Counts,
) -> None:
    """Predict the wanted pixels of a strip.

    For the parameters see :func:`stfusion.fusion._estarfm_tables.tabulate`, whose tables get the sizes given, and
    :func:`stfusion.fusion._estarfm_kernels.predict_rows`; ``corner`` is where the tables begin in the images.
    """
    rows, columns = wanted.shape
    cells, plane = size.rows * size.columns, (2 * size.bands, size.rows, size.columns)
    shapes = plane, (cells,), (cells, size.moments), (cells, size.changes)
    tables: Any = Tables(*(cuda.device_array(shape, np.float32) for shape in shapes))
    both = [cuda.device_array(plane, np.float64) for _ in range(2)]
    _tabulate[blocks(size.columns, size.rows), BLOCK](send(images), send(valid), *corner, send(middle), tables, *both)
    down = cuda.device_array((size.changes, rows, size.columns), np.float64)
    _sum_down[blocks(size.columns, rows), BLOCK](tables.changes, rules.distance.shape[0], down)
    sent, results = (send(wanted), send(plain_codes(size.bands)), send(rules)), send(values)
    tallies = send(np.zeros((len(KINDS), rows, columns), np.int32))
    numbers, area = pixel_sizes(tables), rules.distance.size
    strip = room(8 * (sum(numbers) + area) * columns, rows)
    found = Candidates(
        cuda.device_array((area, strip, columns), np.int32),
        cuda.device_array((area, strip, columns), np.float32),
        send(np.ones(area, np.float32)),
    )
    memory = Pixel(*(cuda.device_array((n, strip, columns), np.float64) for n in numbers))
    for begin in range(0, rows, strip):
        end = min(begin + strip, rows)
        _predict[blocks(columns, end - begin), BLOCK](
            tables, down, *sent, *origin, begin, end, found, memory, results, tallies
        )
    results.copy_to_host(values)
    counts += tallies.copy_to_host().sum(axis=(1, 2))


@cuda.jit
def _tabulate(
    images: Images,
    valid: Mask,
    top: int,
    left: int,
    middle: Floats,
    tables: Tables,
    fine: Floats,
    coarse: Floats,
) -> None:
    """A thread for each cell; ``top`` and ``left`` say where the tables begin in the images."""
    column, row = cuda.grid(2)
    guides, changes = tables.guides, tables.changes
    if row >= guides.shape[1] or column >= guides.shape[2]:
        return
    y, x, cell = top + row, left + column, row * guides.shape[2] + column
    for number in range(changes.shape[1]):
        changes[cell, number] = 0
    inside = 0 <= y < valid.shape[0] and 0 <= x < valid.shape[1] and valid[y, x]
    if inside:
        fill_cell(images, y, x, middle, cell, tables, fine[:, row, column], coarse[:, row, column])
    for guide in range(guides.shape[0]):
        guides[guide, row, column] = fine[guide, row, column] if inside else NO_VALUE


@cuda.jit
def _sum_down(changes: Array, window: int, down: Floats) -> None:
    """Sums of the changes (numbers, rows, columns) over as many rows as a window has, which begin at each row."""
    column, row = cuda.grid(2)
    if row >= down.shape[1] or column >= down.shape[2]:
        return
    for number in range(down.shape[0]):
        total = 0.0
        for dy in range(window):
            total += changes[(row + dy) * down.shape[2] + column, number]
        down[number, row, column] = total


@cuda.jit
def _predict(
    tables: Tables,
    down: Floats,
    wanted: Mask,
    codes: Codes,
    rules: Rules,
    top: int,
    left: int,
    begin: int,
    end: int,
    found: Candidates,
    memory: Pixel,
    values: Array,
    counts: npt.NDArray[np.int32],
) -> None:
    """A thread for each pixel of the rows from ``begin`` to ``end``; ``top`` and ``left`` as in ``origin``."""
    column, local = cuda.grid(2)
    row = begin + local
    if row >= end or column >= wanted.shape[1] or not wanted[row, column]:
        return
    here = Candidates(found.cells[:, local, column], found.weights[:, local, column], found.ones)
    pixel = Pixel(
        memory.fine[:, local, column],
        memory.bias[:, local, column],
        memory.coarse[:, local, column],
        memory.moments[:, local, column],
        memory.changes[:, local, column],
        memory.means[:, local, column],
    )
    for number in range(pixel.means.size):
        total = 0.0
        for dx in range(rules.distance.shape[0]):
            total += down[number, row, column + dx]
        pixel.means[number] = total
    limits = rules.limits[(top + row) // rules.side, (left + column) // rules.side]
    count = _list(tables, rules, limits, row, column, here)
    predict_centre(tables, codes, rules, row, column, count, here, pixel, values[row, column], counts[:, row, column])


@cuda.jit(device=True)
def _list(tables: Tables, rules: Rules, limits: Floats, row: int, column: int, found: Candidates) -> int:
    """List the similar pixels of a window with their weights (if unbiased, their distances alone), and count them."""
    window, stride = rules.distance.shape[0], tables.guides.shape[2]
    count = 0
    for dy in range(window):
        for dx in range(window):
            if _is_similar(tables.guides, limits, row + window // 2, column + window // 2, row + dy, column + dx):
                cell, distance = (row + dy) * stride + column + dx, rules.distance[dy, dx]
                found.cells[count] = cell
                found.weights[count] = distance if rules.unbiased else weight_of(tables.unlikeness[cell], distance)
                count += 1
    return count


@cuda.jit(device=True)
def _is_similar(guides: Array, limits: Floats, y: int, x: int, i: int, j: int) -> bool:
    """Whether the guides of a pixel (i, j) differ from those of the centre (y, x) by no more than the limits."""
    for guide in range(limits.size):
        if abs(np.float64(guides[guide, i, j]) - np.float64(guides[guide, y, x])) > limits[guide]:
            return False
    return True
