"""Q2n: the quality index of images with any number of bands, whose pixels are taken for hypercomplex numbers.

Alparone, Baronti, Garzelli and Nencini (2004, doi:10.1109/LGRS.2004.836784) for four bands; Garzelli and Nencini (2009,
doi:10.1109/LGRS.2009.2022650) for any number. Blocks do not overlap; bands are filled up with zeros to a power of two.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stfusion.assessment._windows import dot
from stfusion.fusion._compile import compiled

Floats = NDArray[np.float64]
Image = NDArray[Any]

BLOCK = 32
#: A variance below this share of the mean square is what rounding leaves of zero.
_ROUNDING = 1e-12


def conjugate(number: Floats) -> Floats:
    """The conjugate of hypercomplex numbers (components, ...)."""
    signs = np.full(len(number), -1.0)
    signs[0] = 1.0
    conjugated: Floats = number * signs.reshape(-1, *[1] * (number.ndim - 1))
    return conjugated


def product(left: Floats, right: Floats) -> Floats:
    """The product of hypercomplex numbers (components, ...), in the recursion of the research toolboxes.

    (a, b)(c, d) = (a c - conj(d) b, conj(a) conj(d) + c conj(b)). It differs from the one of Cayley and Dickson in the
    signs of components, and not in its modulus.
    """
    half = len(left) // 2
    if half == 0:
        return left * right
    a, b, c, d = left[:half], left[half:], right[:half], right[half:]
    if half == 1:
        return np.concatenate([a * c - b * d, a * d + b * c])
    first = product(a, c) - product(conjugate(d), b)
    second = product(conjugate(a), conjugate(d)) + product(c, conjugate(b))
    return np.concatenate([first, second])


@cache
def _table(components: int) -> Floats:
    """The product of the unit a with the conjugate of the unit b: (components, a, b)."""
    units = np.eye(components)
    left = np.broadcast_to(units[:, :, None], (components,) * 3)
    right = np.broadcast_to(conjugate(units)[:, None, :], (components,) * 3)
    return product(left, right)


@dataclass(frozen=True)
class Blocks:
    """Statistics of blocks: means (blocks, bands), and means of the products of what is left (blocks, bands, bands)."""

    mean: Floats
    products: Floats

    def __len__(self) -> int:
        return len(self.mean)


def moments(
    first: Image, second: Image, valid: NDArray[np.bool_], size: int = BLOCK, whole_numbers: bool = False,
    within: bool = True,
) -> Blocks:
    """The statistics of blocks of two images (bands, rows, columns), the bands of one after those of the other.

    ``valid`` tells of every block (rows, columns) whether it counts; ``whole_numbers`` rounds values and makes negative
    ones 0, which is what research toolboxes compute Q2n of. Without ``within``, which only the index of Wang and Bovik
    needs, products of different bands of one image are left 0.
    """
    bands = len(first) + len(second)
    mine = np.arange(bands) < len(first)
    wanted = within | (mine[:, None] != mine) | np.eye(bands, dtype=bool)
    places = np.argwhere(valid) * size
    mean, products = np.empty((len(places), bands)), np.zeros((len(places), bands, bands))
    _moments(first, second, places, size, whole_numbers, wanted, mean, products)
    return Blocks(mean, products)


@compiled
def _load(image: Image, top: int, left: int, size: int, whole_numbers: bool, sums: Floats, line: Floats) -> float:
    """A block of a band less its mean, which is returned."""
    sums[:] = 0.0
    for i in range(size):
        row, into = image[top + i, left : left + size], line[i * size : (i + 1) * size]
        for j in range(size):
            into[j] = np.float64(row[j])
        if whole_numbers:
            for j in range(size):
                into[j] = max(math.floor(into[j] + 0.5), 0)
        for j in range(size):
            sums[j] += into[j]
    mean: float = sums.sum() / line.size
    for k in range(line.size):
        line[k] -= mean
    return mean


@compiled
def _moments(
    first: Image, second: Image, places: NDArray[np.int64], size: int, whole_numbers: bool, wanted: NDArray[np.bool_],
    mean: Floats, products: Floats,
) -> None:
    bands, n = len(wanted), size * size
    values, sums = np.empty((bands, n)), np.empty(size)
    for block in range(len(places)):
        top, left = places[block]
        for band in range(len(first)):
            mean[block, band] = _load(first[band], top, left, size, whole_numbers, sums, values[band])
        for band in range(len(first), bands):
            image = second[band - len(first)]
            mean[block, band] = _load(image, top, left, size, whole_numbers, sums, values[band])
        for band in range(bands):
            for other in range(band + 1):
                if wanted[band, other]:
                    products[block, band, other] = dot(values[band], values[other]) / n
                    products[block, other, band] = products[block, band, other]


def q2n(blocks: Blocks, pixels: int = BLOCK * BLOCK) -> tuple[Floats, int]:
    """The index of every block, and in how many blocks a band of the reference is constant.

    The first half of the bands is the reference, the second half the fused image. A band is normalised by its mean and
    standard deviation in the reference; a constant one, which has none, by its mean, so that the index tells of a
    difference in level there.
    """
    bands = blocks.mean.shape[1] // 2
    mean, other = blocks.mean[:, :bands], blocks.mean[:, bands:]
    products = blocks.products * (pixels / (pixels - 1))
    variances = np.diagonal(products, axis1=1, axis2=2)
    flat = variances[:, :bands] <= _ROUNDING * mean**2
    scale = np.where(flat, np.where(mean == 0, 1.0, np.abs(mean)), np.sqrt(np.where(flat, 1.0, variances[:, :bands])))
    level = 1.0 + (other - mean) / scale
    components = 1 << (bands - 1).bit_length()
    covariance = np.zeros((len(mean), components, components))
    cross = products[:, :bands, bands:] / (scale[:, :, None] * scale[:, None, :])
    covariance[:, :bands, :bands] = np.where(flat[:, :, None], 0.0, cross)
    spread = np.where(flat, 0.0, 1.0).sum(axis=1) + (variances[:, bands:] / scale**2).sum(axis=1)
    # Bands that were filled up are 1 in both images.
    m_r, m_f = np.float64(components), (level**2).sum(axis=1) + components - bands
    bias = 2 * np.sqrt(m_r * m_f) / (m_r + m_f)
    vector = np.einsum("cab,kab->kc", _table(components), covariance)
    some = spread > _ROUNDING
    index = np.where(some, 2 * np.linalg.norm(vector, axis=1) / np.where(some, spread, 1.0), 1.0) * bias
    return index, int(np.count_nonzero(flat.any(axis=1)))


def quality(blocks: Blocks, pairs: NDArray[np.intp]) -> Floats:
    """Wang and Bovik's index of pairs of bands (pairs, 2) in every block: (blocks, pairs)."""
    mean = blocks.mean
    variance = np.diagonal(blocks.products, axis1=1, axis2=2)
    variance = np.where(variance > _ROUNDING * mean**2, variance, 0.0)
    a, b = pairs.T
    spread, power = variance[:, a] + variance[:, b], mean[:, a] ** 2 + mean[:, b] ** 2
    covariance = blocks.products[:, a, b]
    structure = np.divide(2 * covariance, spread, out=np.ones_like(spread), where=spread > 0)
    index: Floats = structure * np.divide(2 * mean[:, a] * mean[:, b], power, out=np.ones_like(power), where=power > 0)
    return index
