"""Filters of a block of an image: sums and Gaussian means of windows, edges and textures.

Blocks are copied to arrays whose rows lie a constant distance apart, so that the compiler sees the distance between the
pixels of a window and vectorises the loops along a row. Every window is summed up in the same order wherever its block
begins: its value does not depend on the parts. The value of a window stands at its first pixel.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from stfusion.fusion._compile import compiled

Floats = NDArray[np.float64]

SSIM_WINDOW, SSIM_SIGMA = 11, 1.5
#: Largest window of the quality index.
LARGEST = 64

#: Rows and columns of a block, and the distance between its rows, which leaves room for the largest window.
ROWS, COLUMNS = 32, 256
STRIDE = COLUMNS + LARGEST
SIZE = (ROWS + LARGEST) * STRIDE
# Unsigned, since the compiler cannot vectorise what might count from the end of an array.
S, N = np.uint64(STRIDE), np.uint64(SIZE)
#: Steps to the right and, by rows, down.
RIGHT = tuple(np.uint64(step) for step in range(SSIM_WINDOW))
DOWN = tuple(np.uint64(step * STRIDE) for step in range(SSIM_WINDOW))
#: From the first pixel of a window of 3 x 3 to its centre and to the others, clockwise.
_CENTRE = np.uint64(STRIDE + 1)
_AROUND = tuple(
    np.uint64(row * STRIDE + column)
    for row, column in ((0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0))
)
#: A variance below this share of the mean square is what rounding leaves of zero.
ROUNDING = 1e-12
_OFFSETS = np.arange(SSIM_WINDOW) - SSIM_WINDOW // 2
_GAUSSIAN = np.exp(-0.5 * (_OFFSETS / SSIM_SIGMA) ** 2)
_GAUSSIAN /= _GAUSSIAN.sum()
_G0, _G1, _G2, _G3, _G4, _G5 = (float(value) for value in _GAUSSIAN[: SSIM_WINDOW // 2 + 1])


@compiled
def multiply(a: Floats, b: Floats, rows: int, columns: int, out: Floats) -> None:
    """Products of two blocks, pixel by pixel."""
    for i in range(rows):
        for j in range(columns):
            o = np.uint64(i) * S + np.uint64(j)
            out[o] = a[o] * b[o]


@compiled
def add_squares(a: Floats, b: Floats, rows: int, columns: int, out: Floats) -> None:
    """Sums of the squares of two blocks, pixel by pixel."""
    for i in range(rows):
        for j in range(columns):
            o = np.uint64(i) * S + np.uint64(j)
            out[o] = a[o] * a[o] + b[o] * b[o]


@compiled
def smooth(a: Floats, rows: int, columns: int, scratch: Floats, out: Floats) -> None:
    """Gaussian means of the windows that begin in the first ``rows`` and ``columns``."""
    for i in range(rows + 10):
        for j in range(columns):
            o = np.uint64(i) * S + np.uint64(j)
            scratch[o] = (
                _G0 * (a[o] + a[o + RIGHT[10]]) + _G1 * (a[o + RIGHT[1]] + a[o + RIGHT[9]])
                + _G2 * (a[o + RIGHT[2]] + a[o + RIGHT[8]]) + _G3 * (a[o + RIGHT[3]] + a[o + RIGHT[7]])
                + _G4 * (a[o + RIGHT[4]] + a[o + RIGHT[6]]) + _G5 * a[o + RIGHT[5]]
            )
    s = scratch
    for i in range(rows):
        for j in range(columns):
            o = np.uint64(i) * S + np.uint64(j)
            out[o] = (
                _G0 * (s[o] + s[o + DOWN[10]]) + _G1 * (s[o + DOWN[1]] + s[o + DOWN[9]])
                + _G2 * (s[o + DOWN[2]] + s[o + DOWN[8]]) + _G3 * (s[o + DOWN[3]] + s[o + DOWN[7]])
                + _G4 * (s[o + DOWN[4]] + s[o + DOWN[6]]) + _G5 * s[o + DOWN[5]]
            )


@compiled
def box(a: Floats, size: int, rows: int, columns: int, step: np.uint64, scratch: Floats, out: Floats) -> None:
    """Sums of ``size`` values that lie ``step`` apart, put together of those of 1, 2, 4 ... values."""
    have, offset, length = a, 0, 1
    while size >= length:
        if size & length:
            for i in range(rows):
                for j in range(columns):
                    o = np.uint64(i) * S + np.uint64(j)
                    part = have[o + np.uint64(offset) * step]
                    out[o] = out[o] + part if offset else part
            offset += length
        if size >= 2 * length:
            reach = size - 2 * length
            taller, wider = (reach, 0) if step == S else (0, reach)
            for i in range(rows + taller):
                for j in range(columns + wider):
                    o = np.uint64(i) * S + np.uint64(j)
                    scratch[o] = have[o] + have[o + np.uint64(length) * step]
            have = scratch
        length *= 2


@compiled
def eight(a: Floats, rows: int, columns: int, step: np.uint64, out: Floats) -> None:
    """Sums of eight values that lie ``step`` apart."""
    for i in range(rows):
        for j in range(columns):
            o = np.uint64(i) * S + np.uint64(j)
            o2, o4, o6 = o + step + step, o + RIGHT[4] * step, o + RIGHT[6] * step
            out[o] = ((a[o] + a[o + step]) + (a[o2] + a[o2 + step])) + ((a[o4] + a[o4 + step]) + (a[o6] + a[o6 + step]))


@compiled
def total(a: Floats, size: int, rows: int, columns: int, scratch: Floats, between: Floats, out: Floats) -> None:
    """Plain sums of the windows that begin in the first ``rows`` and ``columns``."""
    if size == 8:
        eight(a, rows + 7, columns, RIGHT[1], between)
        eight(between, rows, columns, S, out)
    else:
        box(a, size, rows + size - 1, columns, RIGHT[1], scratch, between)
        box(between, size, rows, columns, S, scratch, out)


@compiled
def roberts(a: Floats, b: Floats, rows: int, columns: int, out: Floats) -> None:
    """(E(a) - E(b)) / (E(a) + E(b)), E being Roberts' edge of 2 x 2 pixels; 0 where neither has one."""
    for i in range(rows):
        for j in range(columns):
            o = np.uint64(i) * S + np.uint64(j)
            e = abs(a[o] - a[o + _CENTRE]) + abs(a[o + RIGHT[1]] - a[o + S])
            f = abs(b[o] - b[o + _CENTRE]) + abs(b[o + RIGHT[1]] - b[o + S])
            out[o] = (e - f) / (e + f) if e + f > 0 else 0.0


@compiled
def pattern(a: Floats, b: Floats, rows: int, columns: int, code: Floats, bits: Floats) -> None:
    """Of the local binary patterns of 3 x 3 pixels: the relative difference of the codes, the share of equal bits."""
    for i in range(rows):
        for j in range(columns):
            o = np.uint64(i) * S + np.uint64(j)
            u, v = a[o + _CENTRE], b[o + _CENTRE]
            e, f, same = 0.0, 0.0, 0.0
            weight = 1.0
            for step in _AROUND:
                first, second = a[o + step] >= u, b[o + step] >= v
                e += weight if first else 0.0
                f += weight if second else 0.0
                same += 0.125 if first == second else 0.0
                weight *= 2.0
            code[o] = (e - f) / (e + f) if e + f > 0 else 0.0
            bits[o] = same


@compiled
def sobel(a: Floats, keep: Floats, rows: int, columns: int, out: Floats) -> None:
    """Magnitude of Sobel's gradient of 3 x 3 pixels."""
    for i in range(rows):
        for j in range(columns):
            o = np.uint64(i) * S + np.uint64(j)
            p, q, r = a[o], a[o + _AROUND[1]], a[o + _AROUND[2]]
            s, t = a[o + _AROUND[7]], a[o + _AROUND[3]]
            u, v, w = a[o + _AROUND[6]], a[o + _AROUND[5]], a[o + _AROUND[4]]
            across = (r - p) + 2 * (t - s) + (w - u)
            down = (u - p) + 2 * (v - q) + (w - r)
            out[o] = keep[o] * math.sqrt(across * across + down * down)


@compiled
def laplace(a: Floats, keep: Floats, rows: int, columns: int, out: Floats) -> None:
    """Eight times a pixel less its eight neighbours."""
    for i in range(rows):
        for j in range(columns):
            o = np.uint64(i) * S + np.uint64(j)
            around = 0.0
            for step in _AROUND:
                around += a[o + step]
            out[o] = keep[o] * (8 * a[o + _CENTRE] - around)
