"""What the metrics sum up over the pixels and windows of one band, block by block of a part of the image.

Blocks are copied to arrays whose rows lie a constant distance apart, so that the compiler sees the distance between the
pixels of a window and vectorises the loops along a row. Every window is summed up in the same order wherever its block
begins: its value does not depend on the parts. Symbols: x the predicted and y the true image, both less ``shift``.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from stfusion.fusion._compile import compiled

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

SSIM_WINDOW, SSIM_SIGMA = 11, 1.5
EDGE_WINDOW, TEXTURE_WINDOW = 2, 3
#: Largest window of the quality index.
LARGEST = 64

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

#: Rows and columns of a block, and the distance between its rows, which leaves room for the largest window.
_ROWS, _COLUMNS = 32, 256
_STRIDE = _COLUMNS + LARGEST
_SIZE = (_ROWS + LARGEST) * _STRIDE
# Unsigned, since the compiler cannot vectorise what might count from the end of an array.
_S, _N = np.uint64(_STRIDE), np.uint64(_SIZE)
#: Steps to the right and, by rows, down.
_RIGHT = tuple(np.uint64(step) for step in range(SSIM_WINDOW))
_DOWN = tuple(np.uint64(step * _STRIDE) for step in range(SSIM_WINDOW))
#: From the first pixel of a window of 3 x 3 to its centre and to the others, clockwise.
_CENTRE = np.uint64(_STRIDE + 1)
_AROUND = tuple(
    np.uint64(row * _STRIDE + column)
    for row, column in ((0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0))
)
#: A variance below this share of the mean square is what rounding leaves of zero.
_ROUNDING = 1e-12
_OFFSETS = np.arange(SSIM_WINDOW) - SSIM_WINDOW // 2
_GAUSSIAN = np.exp(-0.5 * (_OFFSETS / SSIM_SIGMA) ** 2)
_GAUSSIAN /= _GAUSSIAN.sum()
_G0, _G1, _G2, _G3, _G4, _G5 = (float(value) for value in _GAUSSIAN[: SSIM_WINDOW // 2 + 1])


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
        s1 += a[o + _RIGHT[1]] * b[o + _RIGHT[1]]
        s2 += a[o + _RIGHT[2]] * b[o + _RIGHT[2]]
        s3 += a[o + _RIGHT[3]] * b[o + _RIGHT[3]]
        s4 += a[o + _RIGHT[4]] * b[o + _RIGHT[4]]
        s5 += a[o + _RIGHT[5]] * b[o + _RIGHT[5]]
        s6 += a[o + _RIGHT[6]] * b[o + _RIGHT[6]]
        s7 += a[o + _RIGHT[7]] * b[o + _RIGHT[7]]
        o += _RIGHT[8]
    for _ in range(a.size % 8):
        s0 += a[o] * b[o]
        o += _RIGHT[1]
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
        line = out[i * _STRIDE : (i + 1) * _STRIDE]
        for j in range(row.size):
            line[j] = np.float64(row[j]) - shift if keep[j] else 0.0


@compiled
def _load_mask(mask: Mask, top: int, left: int, rows: int, columns: int, out: Floats) -> None:
    for i in range(rows):
        row, line = mask[top + i, left : left + columns], out[i * _STRIDE : (i + 1) * _STRIDE]
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
                o = np.uint64(i) * _S + np.uint64(j)
                totals[zone[i, j], which] += a[o] * b[o]
        return
    # A sum for every column: they are added beside one another, and do not wait for each other.
    sums = np.zeros(columns)
    for i in range(rows):
        for j in range(columns):
            o = np.uint64(i) * _S + np.uint64(j)
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
                o = np.uint64(i) * _S + np.uint64(j)
                if valid[o] > 0.0:
                    k = zone[i, j]
                    low[k], high[k] = min(low[k], x[o]), max(high[k], x[o])
        return
    least, most = np.full(columns, math.inf), np.full(columns, -math.inf)
    for i in range(rows):
        for j in range(columns):
            o = np.uint64(i) * _S + np.uint64(j)
            lower, upper = x[o] if valid[o] > 0.0 else math.inf, x[o] if valid[o] > 0.0 else -math.inf
            least[j] = lower if lower < least[j] else least[j]
            most[j] = upper if upper > most[j] else most[j]
    for j in range(columns):
        low[0], high[0] = min(low[0], least[j]), max(high[0], most[j])


@compiled
def _multiply(a: Floats, b: Floats, rows: int, columns: int, out: Floats) -> None:
    for i in range(rows):
        for j in range(columns):
            o = np.uint64(i) * _S + np.uint64(j)
            out[o] = a[o] * b[o]


@compiled
def _add_squares(a: Floats, b: Floats, rows: int, columns: int, out: Floats) -> None:
    for i in range(rows):
        for j in range(columns):
            o = np.uint64(i) * _S + np.uint64(j)
            out[o] = a[o] * a[o] + b[o] * b[o]


@compiled
def _smooth(a: Floats, rows: int, columns: int, scratch: Floats, out: Floats) -> None:
    """Gaussian means of the windows that begin in the first ``rows`` and ``columns``."""
    for i in range(rows + 10):
        for j in range(columns):
            o = np.uint64(i) * _S + np.uint64(j)
            scratch[o] = (
                _G0 * (a[o] + a[o + _RIGHT[10]]) + _G1 * (a[o + _RIGHT[1]] + a[o + _RIGHT[9]])
                + _G2 * (a[o + _RIGHT[2]] + a[o + _RIGHT[8]]) + _G3 * (a[o + _RIGHT[3]] + a[o + _RIGHT[7]])
                + _G4 * (a[o + _RIGHT[4]] + a[o + _RIGHT[6]]) + _G5 * a[o + _RIGHT[5]]
            )
    s = scratch
    for i in range(rows):
        for j in range(columns):
            o = np.uint64(i) * _S + np.uint64(j)
            out[o] = (
                _G0 * (s[o] + s[o + _DOWN[10]]) + _G1 * (s[o + _DOWN[1]] + s[o + _DOWN[9]])
                + _G2 * (s[o + _DOWN[2]] + s[o + _DOWN[8]]) + _G3 * (s[o + _DOWN[3]] + s[o + _DOWN[7]])
                + _G4 * (s[o + _DOWN[4]] + s[o + _DOWN[6]]) + _G5 * s[o + _DOWN[5]]
            )


@compiled
def _box(a: Floats, size: int, rows: int, columns: int, step: np.uint64, scratch: Floats, out: Floats) -> None:
    """Sums of ``size`` values that lie ``step`` apart, put together of those of 1, 2, 4 ... values."""
    have, offset, length = a, 0, 1
    while size >= length:
        if size & length:
            for i in range(rows):
                for j in range(columns):
                    o = np.uint64(i) * _S + np.uint64(j)
                    part = have[o + np.uint64(offset) * step]
                    out[o] = out[o] + part if offset else part
            offset += length
        if size >= 2 * length:
            reach = size - 2 * length
            taller, wider = (reach, 0) if step == _S else (0, reach)
            for i in range(rows + taller):
                for j in range(columns + wider):
                    o = np.uint64(i) * _S + np.uint64(j)
                    scratch[o] = have[o] + have[o + np.uint64(length) * step]
            have = scratch
        length *= 2


@compiled
def _eight(a: Floats, rows: int, columns: int, step: np.uint64, out: Floats) -> None:
    """Sums of eight values that lie ``step`` apart."""
    for i in range(rows):
        for j in range(columns):
            o = np.uint64(i) * _S + np.uint64(j)
            o2, o4, o6 = o + step + step, o + _RIGHT[4] * step, o + _RIGHT[6] * step
            out[o] = ((a[o] + a[o + step]) + (a[o2] + a[o2 + step])) + ((a[o4] + a[o4 + step]) + (a[o6] + a[o6 + step]))


@compiled
def _total(a: Floats, size: int, rows: int, columns: int, scratch: Floats, between: Floats, out: Floats) -> None:
    """Plain sums of the windows that begin in the first ``rows`` and ``columns``."""
    if size == 8:
        _eight(a, rows + 7, columns, _RIGHT[1], between)
        _eight(between, rows, columns, _S, out)
    else:
        _box(a, size, rows + size - 1, columns, _RIGHT[1], scratch, between)
        _box(between, size, rows, columns, _S, scratch, out)


@compiled
def _similarity(m: Floats, rows: int, columns: int, shift: float, data_range: float, out: Floats) -> None:
    """Structural similarity from the means of x, y, xx + yy and xy."""
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    for i in range(rows):
        for j in range(columns):
            o = np.uint64(i) * _S + np.uint64(j)
            x, y = m[o], m[_N + o]
            u, v = x + shift, y + shift
            spread = m[np.uint64(2) * _N + o] - x * x - y * y
            covariance = m[np.uint64(3) * _N + o] - x * y
            out[o] = (2 * u * v + c1) * (2 * covariance + c2) / ((u * u + v * v + c1) * (spread + c2))


@compiled
def _quality(m: Floats, size: int, rows: int, columns: int, shift: float, out: Floats, variance: Floats) -> None:
    """Universal quality index and difference of variances from the sums of x, y, xx, yy and xy in windows.

    Of two constant windows the index is the term of the means alone, and 1 where both are 0.
    """
    share = 1.0 / (size * size)
    for i in range(rows):
        for j in range(columns):
            o = np.uint64(i) * _S + np.uint64(j)
            x, y = m[o] * share, m[_N + o] * share
            square, other = m[np.uint64(2) * _N + o] * share, m[np.uint64(3) * _N + o] * share
            xx, yy = square - x * x, other - y * y
            xx = xx if xx > _ROUNDING * square else 0.0
            yy = yy if yy > _ROUNDING * other else 0.0
            u, v = x + shift, y + shift
            spread, power = xx + yy, u * u + v * v
            covariance = m[np.uint64(4) * _N + o] * share - x * y
            a, b = 2.0 * covariance if spread > 0 else 1.0, 2.0 * u * v if power > 0 else 1.0
            s, w = spread if spread > 0 else 1.0, power if power > 0 else 1.0
            out[o] = a * b / (s * w)
            variance[o] = (xx - yy) / s


@compiled
def _roberts(a: Floats, b: Floats, rows: int, columns: int, out: Floats) -> None:
    """(E(a) - E(b)) / (E(a) + E(b)), E being Roberts' edge of 2 x 2 pixels; 0 where neither has one."""
    for i in range(rows):
        for j in range(columns):
            o = np.uint64(i) * _S + np.uint64(j)
            e = abs(a[o] - a[o + _CENTRE]) + abs(a[o + _RIGHT[1]] - a[o + _S])
            f = abs(b[o] - b[o + _CENTRE]) + abs(b[o + _RIGHT[1]] - b[o + _S])
            out[o] = (e - f) / (e + f) if e + f > 0 else 0.0


@compiled
def _pattern(a: Floats, b: Floats, rows: int, columns: int, code: Floats, bits: Floats) -> None:
    """Of the local binary patterns of 3 x 3 pixels: the relative difference of the codes, the share of equal bits."""
    for i in range(rows):
        for j in range(columns):
            o = np.uint64(i) * _S + np.uint64(j)
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
def _sobel(a: Floats, keep: Floats, rows: int, columns: int, out: Floats) -> None:
    """Magnitude of Sobel's gradient of 3 x 3 pixels."""
    for i in range(rows):
        for j in range(columns):
            o = np.uint64(i) * _S + np.uint64(j)
            p, q, r = a[o], a[o + _AROUND[1]], a[o + _AROUND[2]]
            s, t = a[o + _AROUND[7]], a[o + _AROUND[3]]
            u, v, w = a[o + _AROUND[6]], a[o + _AROUND[5]], a[o + _AROUND[4]]
            across = (r - p) + 2 * (t - s) + (w - u)
            down = (u - p) + 2 * (v - q) + (w - r)
            out[o] = keep[o] * math.sqrt(across * across + down * down)


@compiled
def _laplace(a: Floats, keep: Floats, rows: int, columns: int, out: Floats) -> None:
    """Eight times a pixel less its eight neighbours."""
    for i in range(rows):
        for j in range(columns):
            o = np.uint64(i) * _S + np.uint64(j)
            around = 0.0
            for step in _AROUND:
                around += a[o + step]
            out[o] = keep[o] * (8 * a[o + _CENTRE] - around)


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
            o = np.uint64(i) * _S + np.uint64(j)
            w[o] = x[o] - y[o]
    _collect(w, w, rows, columns, zone, totals, _SQUARE)
    for i in range(rows):
        for j in range(columns):
            o = np.uint64(i) * _S + np.uint64(j)
            w[o] = abs(w[o])
    _collect(w, keep, rows, columns, zone, totals, _ABSOLUTE)


@compiled
def _textures(
    x: Floats, y: Floats, keep: Floats, rows: int, columns: int, zone: NDArray[np.int32], u: Floats, v: Floats,
    totals: Floats,
) -> None:
    """Sums over windows of 3 x 3 pixels."""
    _pattern(x, y, rows, columns, u, v)
    _collect(u, keep, rows, columns, zone, totals, _LBP)
    _collect(v, keep, rows, columns, zone, totals, _BITS)
    _sobel(x, keep, rows, columns, u)
    _sobel(y, keep, rows, columns, v)
    _collect(u, u, rows, columns, zone, totals, _SOBEL_PP)
    _collect(v, v, rows, columns, zone, totals, _SOBEL_TT)
    _collect(u, v, rows, columns, zone, totals, _SOBEL_PT)
    _laplace(x, keep, rows, columns, u)
    _laplace(y, keep, rows, columns, v)
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
    x, y, w = np.zeros(_SIZE), np.zeros(_SIZE), np.zeros(_SIZE)
    u, v, keep = np.zeros(_SIZE), np.zeros(_SIZE), np.zeros(_SIZE)
    m = np.zeros(5 * _SIZE)
    reach = max(window, SSIM_WINDOW) - 1
    for top in range(0, height, _ROWS):
        for left in range(0, width, _COLUMNS):
            rows, columns = min(_ROWS, height - top), min(_COLUMNS, width - left)
            _load(p, valid, top, left, rows + reach, columns + reach, shift, x)
            _load(t, valid, top, left, rows + reach, columns + reach, shift, y)

            zone = zones[top:, left:]
            _load_mask(valid, top, left, rows, columns, keep)
            _pixels(x, y, keep, rows, columns, zone, w, totals)
            _extremes(x, keep, rows, columns, zone, low[0], high[0])
            _extremes(y, keep, rows, columns, zone, low[1], high[1])

            _load_mask(edge, top, left, rows, columns, keep)
            _roberts(x, y, rows, columns, u)
            _collect(u, keep, rows, columns, zones[top + 1 :, left + 1 :], totals, _EDGE)
            if more:
                _load_mask(texture, top, left, rows, columns, keep)
                _textures(x, y, keep, rows, columns, zones[top + 1 :, left + 1 :], u, v, totals)

            tall, wide = rows + window - 1, columns + window - 1
            _total(x, window, rows, columns, u, v, m)
            _total(y, window, rows, columns, u, v, m[_SIZE:])
            _multiply(x, x, tall, wide, w)
            _total(w, window, rows, columns, u, v, m[2 * _SIZE :])
            _multiply(y, y, tall, wide, w)
            _total(w, window, rows, columns, u, v, m[3 * _SIZE :])
            _multiply(x, y, tall, wide, w)
            _total(w, window, rows, columns, u, v, m[4 * _SIZE :])
            _quality(m, window, rows, columns, shift, u, v)
            _load_mask(quality, top, left, rows, columns, keep)
            zone = zones[top + window // 2 :, left + window // 2 :]
            _collect(u, keep, rows, columns, zone, totals, _UIQI)
            _collect(v, keep, rows, columns, zone, totals, _VARIANCE)

            if data_range > 0:
                half = SSIM_WINDOW // 2
                _multiply(x, y, rows + 10, columns + 10, w)
                _smooth(w, rows, columns, u, m[3 * _SIZE :])
                _add_squares(x, y, rows + 10, columns + 10, w)
                _smooth(w, rows, columns, u, m[2 * _SIZE :])
                _smooth(x, rows, columns, u, m)
                _smooth(y, rows, columns, u, m[_SIZE:])
                _similarity(m, rows, columns, shift, data_range, v)
                _load_mask(similar, top, left, rows, columns, keep)
                _collect(v, keep, rows, columns, zones[top + half :, left + half :], totals, _SSIM)
