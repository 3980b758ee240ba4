"""Coupled dictionaries of image patches: drawn, trained by K-SVD, and coded by orthogonal matching pursuit.

A dictionary pairs what the coarse sensor shows in a patch with the fine detail that goes with it. Training takes a
bounded number of patches from fixed absolute positions of the scene; codes and sums are computed in a fixed order in
float64, so that the same pixel gives the same bits whatever the tile it is computed in.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stfusion.errors import OutOfMemory, UserError
from stfusion.fusion._pursuit import encode, update
from stfusion.fusion._scene import Scene
from stfusion.raster.grids import Box, pixel_ratio
from stfusion.raster.source import Array
from stfusion.raster.tiles import STRIP, working_bytes
from stfusion.run import Context, Stop

Doubles = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]

#: Limits of a patch that follows the coarse pixels; the smaller one is the paper's.
_SMALLEST, _LARGEST = 7, 33
#: Side of the parts in which the whole scene is read for training, and strides along a strip that is predicted at once.
PART = 256
_STRIDES = 16
#: Progress, in per cent, at the begin and the end of that reading, and at the end of the training.
SURVEYED, _TRAINED = (0.0, 2.0), 5.0
#: Bytes that the training of a band takes for each of its values at most, and share of the memory for training.
_TRAINING_BYTES, _MEMORY_SHARE = 32, 0.6
#: Largest share of invalid values in a patch that is used for training.
_INVALID = 0.15
#: Positions drawn for every patch that is needed: some lie on invalid pixels.
_SPARE = 2
#: Of so many patches, one is left out of training and measures how far the detail is to be trusted.
_HELD_OUT = 5
#: Damping of the least squares for the fine half, relative to the mean energy of an atom's coefficients: rare atoms,
#: which know little, say little.
_DAMPING = 0.3
#: Norm of a coarse half, of a joint atom of norm 1, below which no coarse patch can choose the atom.
_BLIND = 1e-9


class Dictionary(NamedTuple):
    """A coupled dictionary; a tuple, so that compiled code can take it.

    ``atoms`` (values of a signal, atoms) has columns of norm 1, and ``gram`` (atoms, atoms) their scalar products.
    ``detail`` (atoms, side x side) is the fine detail that goes with every atom, in the unit of the image. ``scale``
    (planes) makes a signal of the values of a patch; ``centred`` says that the patch's mean is taken off before.
    ``sparsity`` is the largest number of atoms of a code.
    """

    atoms: Doubles
    gram: Doubles
    detail: Doubles
    scale: Doubles
    centred: bool
    sparsity: int


@dataclass(frozen=True)
class Training:
    """The options of the dictionary methods; ``side`` and ``stride`` of the patches in fine pixels.

    Raises
    ------
    UserError
        The patch is larger than the image, or the stride larger than the patch.
    OutOfMemory
        The patches for training do not fit.
    """

    side: int
    stride: int
    atoms: int
    patches: int
    sparsity: int
    iterations: int
    measured: bool
    seed: int
    at_once: int = 1

    @property
    def strip(self) -> int:
        """Rows that are predicted at once: few for the memory, many for the patches across their edges."""
        return max(STRIP, _STRIDES * self.stride)

    @classmethod
    def of(cls, scene: Scene, context: Context, planes: int) -> Training:
        """The options of a job, completed from the size of the scene's pixels.

        ``planes`` are the images that the coarse half of a patch is made of.
        """
        options = context.options
        side = int(options["patch"]) or _coarse_width(scene)
        stride = int(options["stride"]) or max(1, side // 2)
        rows, columns = scene.shape
        if side > min(rows, columns):
            raise UserError(
                f"The patch of {side} pixels is larger than {scene.reference} ({columns} x {rows} pixels); "
                f"take a patch of at most {min(rows, columns)}."
            )
        if stride > side:
            raise UserError(f"The stride of {stride} pixels is larger than the patch of {side}; take at most {side}.")
        atoms, patches, sparsity, rounds = (int(options[n]) for n in ("atoms", "patches", "sparsity", "iterations"))
        values = -(-patches * _HELD_OUT // (_HELD_OUT - 1)) * side**2 * (planes + 1)
        at_once = min(context.threads, _bands_at_once(values, scene.bands, context))
        measured = bool(options["measured_gain"])
        return cls(side, stride, atoms, patches, sparsity, rounds, measured, context.job.seed, at_once)


def _bands_at_once(values: int, bands: int, context: Context) -> int:
    """The number of bands, with so many values of patches each, that can be trained at once in the memory.

    Raises
    ------
    OutOfMemory
        There is none.
    """
    stored, trained = values * bands * 4, values * _TRAINING_BYTES
    limit = int(_MEMORY_SHARE * working_bytes(context))
    if stored + trained > limit:
        raise OutOfMemory(
            f"The patches for training need {(stored + trained) / 2**20:.0f} MB and {limit / 2**20:.0f} MB are left "
            "for them; lower 'Patches for training' or 'Patch', or raise the memory limit."
        )
    return (limit - stored) // trained


def _coarse_width(scene: Scene) -> int:
    """Width of a coarse pixel in fine pixels, within the limits of a patch; the smallest where it is not known."""
    grids = scene.target.source.grid, scene.reference.grid
    width = 1.0 if scene.target.same_grid else float(np.mean(pixel_ratio(*grids)))
    return min(max(round(width), _SMALLEST), _LARGEST)


def lattice(size: int, side: int, stride: int, low: int, high: int) -> Indices:
    """First pixels of the patches along an axis of ``size`` pixels that touch the pixels ``low`` to ``high``.

    Patches begin at the multiples of the stride, and a last one ends at the last pixel.
    """
    begins = np.unique(np.append(np.arange(0, size - side + 1, stride), size - side))
    touching: Indices = begins[(begins < high) & (begins + side > low)].astype(np.intp)
    return touching


class PatchSample:
    """Patches at random absolute positions of a scene, gathered while threads read the scene part by part."""

    def __init__(self, shape: tuple[int, int], training: Training) -> None:
        self._training = training
        self._needed = -(-training.patches * _HELD_OUT // (_HELD_OUT - 1))
        across = shape[1] - training.side + 1
        places = (shape[0] - training.side + 1) * across
        drawn = np.random.default_rng(training.seed).choice(places, min(_SPARE * self._needed, places), replace=False)
        self._rows, self._columns = np.divmod(drawn, across)
        self._found: dict[int, tuple[Array, Array]] = {}
        self._lock = threading.Lock()

    def add(self, part: Box, outer: Box, low: Array, high: Array) -> None:
        """Take the patches that begin in ``part`` from images of ``outer``, which has to hold them whole.

        ``low`` is (bands, planes, rows, columns) and ``high`` (bands, rows, columns), NaN where invalid.
        """
        side = self._training.side
        found: dict[int, tuple[Array, Array]] = {}
        inside = (self._rows >= part.top) & (self._rows < part.bottom)
        inside &= (self._columns >= part.left) & (self._columns < part.right)
        for place in np.flatnonzero(inside):
            y, x = int(self._rows[place]) - outer.top, int(self._columns[place]) - outer.left
            coarse, fine = low[..., y : y + side, x : x + side], high[..., y : y + side, x : x + side]
            if np.isnan(coarse).mean() <= _INVALID and np.isnan(fine).mean() <= _INVALID:
                found[int(place)] = (coarse.copy(), fine.copy())
        with self._lock:
            self._found |= found
            for spare in sorted(self._found)[self._needed :]:
                del self._found[spare]

    def of_band(self, band: int) -> tuple[Array, Array]:
        """The patches of a band in the order of drawing: low (patches, planes, values) and high (patches, values).

        Invalid values are the mean of their patch.

        Raises
        ------
        UserError
            There are fewer patches than atoms.
        """
        chosen = sorted(self._found)
        side, atoms = self._training.side, self._training.atoms
        if len(chosen) < atoms:
            raise UserError(
                f"The images have {len(chosen)} patches of {side} x {side} pixels with at least {1 - _INVALID:.0%} "
                f"valid values (of {len(self._rows)} drawn) and {atoms} atoms are asked for; lower 'Atoms'."
            )
        low = np.stack([self._found[place][0][band] for place in chosen])
        high = np.stack([self._found[place][1][band] for place in chosen])
        return _filled(low.reshape(len(chosen), -1, side**2)), _filled(high.reshape(len(chosen), side**2))


def _filled(patches: Array) -> Array:
    """Patches (..., values), changed: invalid values become the mean of their patch."""
    invalid = np.isnan(patches)
    if invalid.any():
        valid = np.maximum((~invalid).sum(axis=-1, keepdims=True), 1)
        means = np.nansum(patches, axis=-1, keepdims=True, dtype=np.float64) / valid
        np.copyto(patches, means, where=invalid, casting="same_kind")
    return patches


def learn_bands(
    sample: PatchSample, bands: int, training: Training, context: Context, *, joint: bool, refit: bool
) -> list[Dictionary]:
    """Train the dictionary of every band (see :func:`learn`), and say what it is worth."""

    def work(band: int) -> tuple[Dictionary, float]:
        context.stop.check()
        return learn(*sample.of_band(band), training, context.stop, joint=joint, refit=refit)

    learned = []
    with ThreadPoolExecutor(training.at_once) as pool:
        for trained in pool.map(work, range(bands)):
            learned.append(trained)
            context.reporter.progress(SURVEYED[1] + (_TRAINED - SURVEYED[1]) * len(learned) / bands)
    shares = ", ".join(f"{gain:.0%}" for _, gain in learned)
    use = "as much is used" if training.measured else "all of it is used"
    context.reporter.log(f"Patches left out of training confirm {shares} (by band) of the learned detail; {use}.")
    for band, (dictionary, _) in enumerate(learned, 1):
        if len(dictionary.gram) < training.atoms:
            context.reporter.warning(
                f"Band {band} has patches for {len(dictionary.gram)} of {training.atoms} atoms: in the others, the "
                "coarse images show nothing that differs within a patch."
            )
    return [dictionary for dictionary, _ in learned]


def learn(
    low: Array, residual: Array, training: Training, stop: Stop, *, joint: bool, refit: bool
) -> tuple[Dictionary, float]:
    """Train a coupled dictionary, and measure the share of its detail that is to be trusted.

    Parameters
    ----------
    low
        (patches, planes, values): what the coarse sensor shows; with ``joint`` one plane, whose mean is taken off.
    residual
        (patches, values): what the fine image has and the coarse one does not.
    training, stop
        Options, and the wish to stop, at which this ends with ``Cancelled``.
    joint
        Train both halves together on [low, low + residual], each divided by its standard deviation; else the coarse
        half alone.
    refit
        Fit the detail of the atoms by least squares to the residual of the patches, given the codes that their low
        halves alone lead to; else it is the fine half less the coarse half (needs ``joint``).

    Returns
    -------
    The dictionary, its detail multiplied by the gain if that is to be measured, and the gain: the least-squares factor,
    within 0..1, between the detail predicted for patches left out of training and their true residual. Where all low
    signals are constant, the dictionary has no atom and the gain is 0.

    """
    out = np.arange(len(low)) % _HELD_OUT == _HELD_OUT - 1
    if joint:
        low = low - low.mean(axis=2, keepdims=True, dtype=np.float64)
    deviations = low[~out].std(axis=(0, 2), dtype=np.float64)
    scale = _reciprocal(deviations)
    whole = low[~out, 0] + residual[~out] if joint else np.empty((np.count_nonzero(~out), 0))
    deviation = whole.std() if joint else 0.0
    signals = (low * scale[:, None]).reshape(len(low), -1)
    del low
    atoms = _ksvd(np.hstack([signals[~out], whole * _reciprocal(deviation)]), training, stop)
    norms = np.linalg.norm(atoms[:, : signals.shape[1]], axis=1)
    atoms = atoms[norms > _BLIND] / norms[norms > _BLIND, None]
    coarse, fine = np.ascontiguousarray(atoms[:, : signals.shape[1]]), atoms[:, signals.shape[1] :]
    gram = coarse @ coarse.T
    codes = _codes(signals, coarse, gram, training.sparsity)
    detail = _fit(codes[~out], residual[~out]) if refit else fine * deviation - coarse * deviations[0]
    gain = _gain(codes[out] @ detail, residual[out])
    if training.measured:
        detail = detail * gain
    return Dictionary(np.ascontiguousarray(coarse.T), gram, detail, scale, joint, training.sparsity), gain


def _reciprocal(values: npt.ArrayLike) -> Doubles:
    """1 / values, 0 where they are 0."""
    values = np.asarray(values, np.float64)
    reciprocal: Doubles = np.divide(1.0, values, out=np.zeros_like(values), where=values > 0)
    return reciprocal


def _ksvd(signals: Doubles, training: Training, stop: Stop) -> Doubles:
    """Atoms (atoms, values) of norm 1 that code the signals (signals, values) sparsely.

    K-SVD (Aharon, Elad and Bruckstein 2006) with the approximate update of Rubinstein, Zibulevsky and Elad (2008): one
    step of the power iteration for each atom instead of a singular value decomposition.
    """
    norms = np.linalg.norm(signals, axis=1)
    signals, norms = signals[norms > 0], norms[norms > 0]
    first = np.random.default_rng(training.seed).permutation(len(signals))[: training.atoms]
    atoms: Doubles = signals[first] / norms[first, None]
    for _ in range(training.iterations):
        stop.check()
        chosen, values = encode(signals, atoms, atoms @ atoms.T, training.sparsity)
        update(signals, atoms, chosen, values)
    return atoms


def _codes(signals: Doubles, atoms: Doubles, gram: Doubles, sparsity: int) -> Doubles:
    """The codes of signals as a full matrix (signals, atoms)."""
    chosen, values = encode(signals, atoms, gram, sparsity)
    codes = np.zeros((len(signals), len(atoms)))
    signal, place = np.nonzero(chosen >= 0)
    codes[signal, chosen[signal, place]] = values[signal, place]
    return codes


def _fit(codes: Doubles, residual: Doubles) -> Doubles:
    """The detail (atoms, values) of which the codes (patches, atoms) best make the residual (patches, values)."""
    energy = codes.T @ codes
    if not energy.any():
        return np.zeros((codes.shape[1], residual.shape[1]))
    damping = _DAMPING * np.trace(energy) / len(energy)
    fitted: Doubles = np.linalg.solve(energy + damping * np.eye(len(energy)), codes.T @ residual)
    return fitted


def _gain(predicted: Doubles, true: Doubles) -> float:
    """The factor within 0..1 that brings what was predicted nearest to the truth."""
    energy = float((predicted**2).sum())
    return min(max(float((predicted * true).sum()) / energy, 0.0), 1.0) if energy > 0 else 0.0
