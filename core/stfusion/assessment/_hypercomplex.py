"""Q2n: the quality index of images with any number of bands, whose pixels are taken for hypercomplex numbers.

Alparone, Baronti, Garzelli and Nencini (2004, doi:10.1109/LGRS.2004.836784) for four bands; Garzelli and Nencini (2009,
doi:10.1109/LGRS.2009.2022650) for any number. Blocks do not overlap; bands are filled up with zeros to a power of two.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

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


def blocks_of(image: NDArray[np.float32], size: int = BLOCK) -> Floats:
    """The blocks of an image (bands, rows, columns), both multiples of the block: (blocks, bands, pixels)."""
    bands, rows, columns = image.shape
    parts = image.reshape(bands, rows // size, size, columns // size, size).transpose(1, 3, 0, 2, 4)
    return parts.reshape(-1, bands, size * size).astype(np.float64)


def q2n(reference: Floats, fused: Floats) -> tuple[Floats, int]:
    """The index of every block (blocks, bands, pixels), and in how many blocks a band of the reference is constant.

    A band is normalised by its mean and standard deviation in the reference; a constant one, which has none, by its
    mean, so that the index tells of a difference in level there.
    """
    n = reference.shape[2]
    mean, square = reference.mean(axis=2), (reference**2).mean(axis=2)
    r = reference - mean[..., None]
    f = fused - fused.mean(axis=2)[..., None]
    variance = (r**2).sum(axis=2) / (n - 1)
    flat = variance <= _ROUNDING * square
    scale = np.where(flat, np.where(mean == 0, 1.0, np.abs(mean)), np.sqrt(np.where(flat, 1.0, variance)))
    r /= scale[..., None]
    r[flat] = 0.0
    f /= scale[..., None]
    level = 1.0 + (fused.mean(axis=2) - mean) / scale
    components = 1 << (reference.shape[1] - 1).bit_length()
    covariance = np.zeros((len(r), components, components))
    covariance[:, : r.shape[1], : r.shape[1]] = r @ f.transpose(0, 2, 1) / (n - 1)
    spread = ((r**2).sum(axis=(1, 2)) + (f**2).sum(axis=(1, 2))) / (n - 1)
    # Bands that were filled up are 1 in both images.
    m_r, m_f = np.float64(components), (level**2).sum(axis=1) + components - r.shape[1]
    bias = 2 * np.sqrt(m_r * m_f) / (m_r + m_f)
    vector = np.einsum("cab,kab->kc", _table(components), covariance)
    some = spread > 0
    index = np.where(some, 2 * np.linalg.norm(vector, axis=1) / np.where(some, spread, 1.0), 1.0) * bias
    return index, int(np.count_nonzero(flat.any(axis=1)))


def quality(blocks: Floats, pairs: NDArray[np.intp]) -> Floats:
    """Wang and Bovik's index of pairs of bands (pairs, 2) in every block (blocks, bands, pixels): (blocks, pairs)."""
    mean, square = blocks.mean(axis=2), (blocks**2).mean(axis=2)
    centred = blocks - mean[..., None]
    covariance = centred @ centred.transpose(0, 2, 1) / blocks.shape[2]
    a, b = pairs.T
    variance = np.diagonal(covariance, axis1=1, axis2=2)
    variance = np.where(variance > _ROUNDING * square, variance, 0.0)
    spread, power = variance[:, a] + variance[:, b], mean[:, a] ** 2 + mean[:, b] ** 2
    structure = np.divide(2 * covariance[:, a, b], spread, out=np.ones_like(spread), where=spread > 0)
    index: Floats = structure * np.divide(2 * mean[:, a] * mean[:, b], power, out=np.ones_like(power), where=power > 0)
    return index
