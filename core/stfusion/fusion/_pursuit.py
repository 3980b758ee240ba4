"""Sparse codes over a dictionary, compiled by numba: orthogonal matching pursuit and the update of K-SVD.

All sums run in float64 and in a fixed order; the inner loops run over the atoms, side by side in memory, so that the
compiler turns them into vector instructions without reordering any sum.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from numba import njit

if TYPE_CHECKING:
    from stfusion.fusion._dictionary import Dictionary

Doubles = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]

#: Correlation with what is left of a signal, relative to the signal, below which no further atom is chosen.
_RESOLVED = 1e-6
#: Square of the part of an atom outside the span of the chosen ones, below which it adds nothing.
_DEPENDENT = 1e-10


@njit(nogil=True, cache=True, error_model="numpy")
def _solve(factor: Doubles, right: Doubles, chosen: Indices, size: int, values: Doubles) -> None:
    """Solve L Lt values = right[chosen] for the lower triangular factor L (size, size)."""
    for i in range(size):
        rest = right[chosen[i]]
        for j in range(i):
            rest -= factor[i, j] * values[j]
        values[i] = rest / factor[i, i]
    for i in range(size - 1, -1, -1):
        rest = values[i]
        for j in range(i + 1, size):
            rest -= factor[j, i] * values[j]
        values[i] = rest / factor[i, i]


@njit(nogil=True, cache=True, error_model="numpy")
def pursue(
    products: Doubles, norm: float, gram: Doubles, factor: Doubles, left: Doubles, chosen: Indices, values: Doubles
) -> int:
    """Orthogonal matching pursuit of one signal from its products with the atoms; returns the number of atoms chosen.

    The products of the atoms with what is left of the signal follow from the Gram matrix, and the coefficients from a
    Cholesky factor that grows with every atom (batch OMP: Rubinstein, Zibulevsky and Elad 2008).

    Parameters
    ----------
    products
        (atoms): scalar products of the atoms with the signal.
    norm
        Norm of the signal.
    gram
        (atoms, atoms): scalar products of the atoms.
    factor, left
        Room for the Cholesky factor (sparsity, sparsity) and for the products with what is left (atoms).
    chosen, values
        (sparsity), changed: the chosen atoms and their coefficients.

    """
    left[:] = products
    size = 0
    while size < chosen.size:
        best, largest = -1, _RESOLVED * norm
        for atom in range(left.size):
            if abs(left[atom]) > largest:
                best, largest = atom, abs(left[atom])
        if best < 0:
            break
        rest = gram[best, best]
        for i in range(size):
            part = gram[best, chosen[i]]
            for j in range(i):
                part -= factor[i, j] * factor[size, j]
            factor[size, i] = part / factor[i, i]
            rest -= factor[size, i] ** 2
        if rest <= _DEPENDENT:
            break
        factor[size, size] = np.sqrt(rest)
        chosen[size] = best
        size += 1
        _solve(factor, products, chosen, size, values)
        left[:] = products
        for i in range(size):
            for atom in range(left.size):
                left[atom] -= values[i] * gram[chosen[i], atom]
    return size


@njit(nogil=True, cache=True, error_model="numpy")
def _multiply(signal: Doubles, columns: Doubles, products: Doubles) -> None:
    """The products (atoms) of a signal (values) with the atoms, the columns of (values, atoms)."""
    products[:] = 0
    whole = signal.size - signal.size % 4
    for i in range(0, whole, 4):
        a, b, c, d = signal[i], signal[i + 1], signal[i + 2], signal[i + 3]
        for atom in range(products.size):
            products[atom] += (a * columns[i, atom] + b * columns[i + 1, atom]) + (
                c * columns[i + 2, atom] + d * columns[i + 3, atom]
            )
    for i in range(whole, signal.size):
        for atom in range(products.size):
            products[atom] += signal[i] * columns[i, atom]


@njit(nogil=True, cache=True, error_model="numpy")
def encode(signals: Doubles, atoms: Doubles, gram: Doubles, sparsity: int) -> tuple[Indices, Doubles]:
    """Codes of signals (signals, values) over atoms (atoms, values) of norm 1.

    Returns the chosen atoms (signals, sparsity), -1 in unused places, and their coefficients.
    """
    chosen = np.full((signals.shape[0], sparsity), -1, np.intp)
    values = np.zeros((signals.shape[0], sparsity))
    columns = np.ascontiguousarray(atoms.T)
    products, left = np.empty(atoms.shape[0]), np.empty(atoms.shape[0])
    factor = np.zeros((sparsity, sparsity))
    for s in range(signals.shape[0]):
        _multiply(signals[s], columns, products)
        pursue(products, np.sqrt((signals[s] ** 2).sum()), gram, factor, left, chosen[s], values[s])
    return chosen, values


@njit(nogil=True, cache=True, error_model="numpy")
def update(signals: Doubles, atoms: Doubles, chosen: Indices, values: Doubles) -> None:
    """Renew every atom (atoms, values) in turn from the signals that use it, and their coefficients with it, in place.

    The atom becomes the mean, weighted by the coefficients, of what the other atoms leave of its signals. An atom that
    no signal uses becomes the signal that is represented worst.
    """
    errors = signals.copy()
    for s in range(signals.shape[0]):
        for k in range(chosen.shape[1]):
            if chosen[s, k] >= 0:
                errors[s] -= values[s, k] * atoms[chosen[s, k]]
    uses = np.argsort(chosen.ravel(), kind="mergesort")
    sorted_atoms = chosen.ravel()[uses]
    unused = np.zeros(atoms.shape[0], np.bool_)
    for atom in range(atoms.shape[0]):
        users = uses[np.searchsorted(sorted_atoms, atom) : np.searchsorted(sorted_atoms, atom + 1)]
        mean = np.zeros(atoms.shape[1])
        for use in users:
            s, k = use // chosen.shape[1], use % chosen.shape[1]
            errors[s] += values[s, k] * atoms[atom]
            mean += values[s, k] * errors[s]
        norm = np.sqrt((mean**2).sum())
        unused[atom] = norm == 0
        if norm > 0:
            atoms[atom] = mean / norm
        for use in users:
            s, k = use // chosen.shape[1], use % chosen.shape[1]
            values[s, k] = (errors[s] * atoms[atom]).sum()
            errors[s] -= values[s, k] * atoms[atom]
    misses = (errors**2).sum(axis=1)
    for idle in np.flatnonzero(unused):
        worst = np.argmax(misses)
        if misses[worst] > 0:
            atoms[idle] = signals[worst] / np.sqrt((signals[worst] ** 2).sum())
            misses[worst] = 0


@njit(nogil=True, cache=True, error_model="numpy")
def patch_detail(
    planes: npt.NDArray[np.float32], y: int, x: int, side: int, dictionary: Dictionary, detail: Doubles
) -> None:
    """The detail (side x side) that a dictionary adds to the patch at (y, x) of planes (planes, rows, columns).

    Invalid values (NaN) are the mean of the patch.
    """
    signal = np.empty(planes.shape[0] * side * side)
    for plane in range(planes.shape[0]):
        total, count = 0.0, 0
        for i in range(side):
            for j in range(side):
                if not np.isnan(planes[plane, y + i, x + j]):
                    total += planes[plane, y + i, x + j]
                    count += 1
        mean = total / max(count, 1)
        for i in range(side):
            for j in range(side):
                value = planes[plane, y + i, x + j] - (mean if dictionary.centred else 0.0)
                filler = 0.0 if dictionary.centred else mean
                signal[(plane * side + i) * side + j] = (filler if np.isnan(value) else value) * dictionary.scale[plane]
    products, left = np.empty(dictionary.gram.shape[0]), np.empty(dictionary.gram.shape[0])
    factor = np.zeros((dictionary.sparsity, dictionary.sparsity))
    chosen, values = np.empty(dictionary.sparsity, np.intp), np.empty(dictionary.sparsity)
    _multiply(signal, dictionary.atoms, products)
    size = pursue(products, np.sqrt((signal**2).sum()), dictionary.gram, factor, left, chosen, values)
    detail[:] = 0
    for i in range(size):
        detail += values[i] * dictionary.detail[chosen[i]]
