"""What the metrics sum up over the pixels and windows of one band, block by block of a part of the image.

Symbols: x the predicted and y the true image, both less ``shift``.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from stfusion.assessment._filters import (
    COLUMNS,
    RIGHT,
    ROUNDING,
    ROWS,
    SIZE,
    SSIM_WINDOW,
    STRIDE,
    N,
    S,
    add_squares,
    laplace,
    multiply,
    pattern,
    roberts,
    smooth,
    sobel,
    total,
)
from stfusion.fusion._compile import compiled

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

EDGE_WINDOW, TEXTURE_WINDOW = 2, 3
#: What is summed up of every band, in the order of the columns of the totals.
TOTALS = (
    "p", "t", "pp", "tt", "pt", "square", "absolute",
    "ssim", "uiqi", "variance", "edge", "lbp", "lbp_bits",
    "sobel_pp", "sobel_tt", "sobel_pt", "laplace_p", "laplace_t", "laplace_pp", "laplace_tt", "laplace_pt",
)
(
    _P, _T, _PP, _TT, _PT, _SQUARE, _ABSOLUTE,
    _SSIM, _UIQI, _VARIANCE, _EDGE, _LBP, _BITS,
    _SOBEL_PP, _SOBEL_TT, _SOBEL_PT, _LAP_P, _LAP_T, _LAP_PP, _LAP_TT, _LAP_PT,
) = range(len(TOTALS))


@compiled
def whole(valid: Mask, size: int, rows: int, columns: int) -> Mask:
    """Windows that hold valid pixels only, by their first pixel, of the first ``rows`` and ``columns``.

    A window that the image ends in is none.
    """
    height, width = valid.shape
    found = np.zeros((rows, columns), np.bool_)
    below = np.zeros(columns, np.int32)
    for i in range(min(height, rows + size - 1) - 1, -1, -1):
        run = 0
        for j in range(width - 1, -1, -1):
            run = run + 1 if valid[i, j] else 0
            if j < columns:
                below[j] = below[j] + 1 if run >= size else 0
                if i < rows:
                    found[i, j] = below[j] >= size
    return found


@compiled
def dot(a: Floats, b: Floats) -> float:
    """Sum of products, as eight sums beside one another: the next sum would have to wait for the last one."""
    s0, s1, s2, s3, s4, s5, s6, s7 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    o = np.uint64(0)
    for _ in range(a.size // 8):
        s0 += a[o] * b[o]
        s1 += a[o + RIGHT[1]] * b[o + RIGHT[1]]
        s2 += a[o + RIGHT[2]] * b[o + RIGHT[2]]
        s3 += a[o + RIGHT[3]] * b[o + RIGHT[3]]
        s4 += a[o + RIGHT[4]] * b[o + RIGHT[4]]
        s5 += a[o + RIGHT[5]] * b[o + RIGHT[5]]
        s6 += a[o + RIGHT[6]] * b[o + RIGHT[6]]
        s7 += a[o + RIGHT[7]] * b[o + RIGHT[7]]
        o += RIGHT[8]
    for _ in range(a.size % 8):
        s0 += a[o] * b[o]
        o += RIGHT[1]
    return ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7))


@compiled
def ranges(image: NDArray[np.float32], valid: Mask, low: Floats, high: Floats, total: Floats) -> None:
    """The least and the largest valid value and the sum of every band of an image (bands, rows, columns)."""
    columns = image.shape[2]
    for band in range(len(image)):
        # A value for every column: they do not wait for each other.
        least, most, sums = np.full(columns, math.inf), np.full(columns, -math.inf), np.zeros(columns)
        for i in range(image.shape[1]):
            row, keep = image[band, i], valid[i]
            for j in range(columns):
                value = np.float64(row[j])
                lower, upper = value if keep[j] else math.inf, value if keep[j] else -math.inf
                least[j] = lower if lower < least[j] else least[j]
                most[j] = upper if upper > most[j] else most[j]
                sums[j] += value if keep[j] else 0.0
        low[band], high[band], total[band] = math.inf, -math.inf, sums.sum()
        for j in range(columns):
            low[band], high[band] = min(low[band], least[j]), max(high[band], most[j])


@compiled
def _load(
    image: NDArray[np.float32], valid: Mask, top: int, left: int, rows: int, columns: int, shift: float, out: Floats
) -> None:
    """A block of an image less its shift; 0 where it is invalid, which only windows that do not count reach."""
    for i in range(min(rows, image.shape[0] - top)):
        row, keep = image[top + i, left : left + columns], valid[top + i, left : left + columns]
        line = out[i * STRIDE : (i + 1) * STRIDE]
        for j in range(row.size):
            line[j] = np.float64(row[j]) - shift if keep[j] else 0.0


@compiled
def _load_mask(mask: Mask, top: int, left: int, rows: int, columns: int, out: Floats) -> None:
    for i in range(rows):
        row, line = mask[top + i, left : left + columns], out[i * STRIDE : (i + 1) * STRIDE]
        for j in range(columns):
            line[j] = 1.0 if row[j] else 0.0


@compiled
def _collect(
    a: Floats, b: Floats, rows: int, columns: int, zone: NDArray[np.int32], totals: Floats, which: int
) -> None:
    """Add the products of two arrays to the totals of their zones; all is of one zone when ``zone`` is empty."""
    if zone.size:
        for i in range(rows):
            for j in range(columns):
                o = np.uint64(i) * S + np.uint64(j)
                totals[zone[i, j], which] += a[o] * b[o]
        return
    # A sum for every column: they are added beside one another, and do not wait for each other.
    sums = np.zeros(columns)
    for i in range(rows):
        for j in range(columns):
            o = np.uint64(i) * S + np.uint64(j)
            sums[j] += a[o] * b[o]
    totals[0, which] += sums.sum()


@compiled
def _extremes(
    x: Floats, valid: Floats, rows: int, columns: int, zone: NDArray[np.int32], low: Floats, high: Floats
) -> None:
    """Widen the range (zones) of the valid values."""
    if zone.size:
        for i in range(rows):
            for j in range(columns):
                o = np.uint64(i) * S + np.uint64(j)
                if valid[o] > 0.0:
                    k = zone[i, j]
                    low[k], high[k] = min(low[k], x[o]), max(high[k], x[o])
        return
    least, most = np.full(columns, math.inf), np.full(columns, -math.inf)
    for i in range(rows):
        for j in range(columns):
            o = np.uint64(i) * S + np.uint64(j)
            lower, upper = x[o] if valid[o] > 0.0 else math.inf, x[o] if valid[o] > 0.0 else -math.inf
            least[j] = lower if lower < least[j] else least[j]
            most[j] = upper if upper > most[j] else most[j]
    for j in range(columns):
        low[0], high[0] = min(low[0], least[j]), max(high[0], most[j])


@compiled
def _similarity(m: Floats, rows: int, columns: int, shift: float, data_range: float, out: Floats) -> None:
    """Structural similarity from the means of x, y, xx + yy and xy."""
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    for i in range(rows):
        for j in range(columns):
            o = np.uint64(i) * S + np.uint64(j)
            x, y = m[o], m[N + o]
            u, v = x + shift, y + shift
            spread = m[np.uint64(2) * N + o] - x * x - y * y
            covariance = m[np.uint64(3) * N + o] - x * y
            out[o] = (2 * u * v + c1) * (2 * covariance + c2) / ((u * u + v * v + c1) * (spread + c2))


@compiled
def _quality(m: Floats, size: int, rows: int, columns: int, shift: float, out: Floats, variance: Floats) -> None:
    """Universal quality index and difference of variances from the sums of x, y, xx, yy and xy in windows.

    Of two constant windows the index is the term of the means alone, and 1 where both are 0.
    """
    share = 1.0 / (size * size)
    for i in range(rows):
        for j in range(columns):
            o = np.uint64(i) * S + np.uint64(j)
            x, y = m[o] * share, m[N + o] * share
            square, other = m[np.uint64(2) * N + o] * share, m[np.uint64(3) * N + o] * share
            xx, yy = square - x * x, other - y * y
            xx = xx if xx > ROUNDING * square else 0.0
            yy = yy if yy > ROUNDING * other else 0.0
            u, v = x + shift, y + shift
            spread, power = xx + yy, u * u + v * v
            covariance = m[np.uint64(4) * N + o] * share - x * y
            a, b = 2.0 * covariance if spread > 0 else 1.0, 2.0 * u * v if power > 0 else 1.0
            s, w = spread if spread > 0 else 1.0, power if power > 0 else 1.0
            out[o] = a * b / (s * w)
            variance[o] = (xx - yy) / s


@compiled
def _pixels(
    x: Floats, y: Floats, keep: Floats, rows: int, columns: int, zone: NDArray[np.int32], w: Floats, totals: Floats
) -> None:
    """Sums over pixels."""
    _collect(x, keep, rows, columns, zone, totals, _P)
    _collect(y, keep, rows, columns, zone, totals, _T)
    _collect(x, x, rows, columns, zone, totals, _PP)
    _collect(y, y, rows, columns, zone, totals, _TT)
    _collect(x, y, rows, columns, zone, totals, _PT)
    for i in range(rows):
        for j in range(columns):
            o = np.uint64(i) * S + np.uint64(j)
            w[o] = x[o] - y[o]
    _collect(w, w, rows, columns, zone, totals, _SQUARE)
    for i in range(rows):
        for j in range(columns):
            o = np.uint64(i) * S + np.uint64(j)
            w[o] = abs(w[o])
    _collect(w, keep, rows, columns, zone, totals, _ABSOLUTE)


@compiled
def _textures(
    x: Floats, y: Floats, keep: Floats, rows: int, columns: int, zone: NDArray[np.int32], u: Floats, v: Floats,
    totals: Floats,
) -> None:
    """Sums over windows of 3 x 3 pixels."""
    pattern(x, y, rows, columns, u, v)
    _collect(u, keep, rows, columns, zone, totals, _LBP)
    _collect(v, keep, rows, columns, zone, totals, _BITS)
    sobel(x, keep, rows, columns, u)
    sobel(y, keep, rows, columns, v)
    _collect(u, u, rows, columns, zone, totals, _SOBEL_PP)
    _collect(v, v, rows, columns, zone, totals, _SOBEL_TT)
    _collect(u, v, rows, columns, zone, totals, _SOBEL_PT)
    laplace(x, keep, rows, columns, u)
    laplace(y, keep, rows, columns, v)
    _collect(u, keep, rows, columns, zone, totals, _LAP_P)
    _collect(v, keep, rows, columns, zone, totals, _LAP_T)
    _collect(u, u, rows, columns, zone, totals, _LAP_PP)
    _collect(v, v, rows, columns, zone, totals, _LAP_TT)
    _collect(u, v, rows, columns, zone, totals, _LAP_PT)


@compiled
def band_sums(
    p: NDArray[np.float32],
    t: NDArray[np.float32],
    valid: Mask,
    similar: Mask,
    quality: Mask,
    edge: Mask,
    texture: Mask,
    zones: NDArray[np.int32],
    window: int,
    shift: float,
    data_range: float,
    more: bool,
    totals: Floats,
    low: Floats,
    high: Floats,
) -> None:
    """Add the sums of a part of a band to ``totals`` (zones, TOTALS), ``low`` and ``high`` (2 images, zones).

    ``p``, ``t`` and ``valid`` are the part with the pixels beside and below it that its windows reach; the masks say
    which windows count, by their first pixel in the part itself; ``window`` is that of the quality index. ``zones``
    has the zone of every pixel of the part with what its windows reach, and is empty when there is one zone; a window
    is of the zone of its centre. What only ``more`` metrics need is left out without it.
    """
    height, width = similar.shape
    x, y, w = np.zeros(SIZE), np.zeros(SIZE), np.zeros(SIZE)
    u, v, keep = np.zeros(SIZE), np.zeros(SIZE), np.zeros(SIZE)
    m = np.zeros(5 * SIZE)
    reach = max(window, SSIM_WINDOW) - 1
    for top in range(0, height, ROWS):
        for left in range(0, width, COLUMNS):
            rows, columns = min(ROWS, height - top), min(COLUMNS, width - left)
            _load(p, valid, top, left, rows + reach, columns + reach, shift, x)
            _load(t, valid, top, left, rows + reach, columns + reach, shift, y)

            zone = zones[top:, left:]
            _load_mask(valid, top, left, rows, columns, keep)
            _pixels(x, y, keep, rows, columns, zone, w, totals)
            _extremes(x, keep, rows, columns, zone, low[0], high[0])
            _extremes(y, keep, rows, columns, zone, low[1], high[1])

            _load_mask(edge, top, left, rows, columns, keep)
            roberts(x, y, rows, columns, u)
            _collect(u, keep, rows, columns, zones[top + 1 :, left + 1 :], totals, _EDGE)
            if more:
                _load_mask(texture, top, left, rows, columns, keep)
                _textures(x, y, keep, rows, columns, zones[top + 1 :, left + 1 :], u, v, totals)

            tall, wide = rows + window - 1, columns + window - 1
            total(x, window, rows, columns, u, v, m)
            total(y, window, rows, columns, u, v, m[SIZE:])
            multiply(x, x, tall, wide, w)
            total(w, window, rows, columns, u, v, m[2 * SIZE :])
            multiply(y, y, tall, wide, w)
            total(w, window, rows, columns, u, v, m[3 * SIZE :])
            multiply(x, y, tall, wide, w)
            total(w, window, rows, columns, u, v, m[4 * SIZE :])
            _quality(m, window, rows, columns, shift, u, v)
            _load_mask(quality, top, left, rows, columns, keep)
            zone = zones[top + window // 2 :, left + window // 2 :]
            _collect(u, keep, rows, columns, zone, totals, _UIQI)
            _collect(v, keep, rows, columns, zone, totals, _VARIANCE)

            if data_range > 0:
                half = SSIM_WINDOW // 2
                multiply(x, y, rows + 10, columns + 10, w)
                smooth(w, rows, columns, u, m[3 * SIZE :])
                add_squares(x, y, rows + 10, columns + 10, w)
                smooth(w, rows, columns, u, m[2 * SIZE :])
                smooth(x, rows, columns, u, m)
                smooth(y, rows, columns, u, m[SIZE:])
                _similarity(m, rows, columns, shift, data_range, v)
                _load_mask(similar, top, left, rows, columns, keep)
                _collect(v, keep, rows, columns, zones[top + half :, left + half :], totals, _SSIM)
