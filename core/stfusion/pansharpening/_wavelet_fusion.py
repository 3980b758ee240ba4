"""Wavelet fusion: the bands keep their approximation and get the details of P, times g_k = std(E_k) / std(P).

The decimated orthonormal transform is a projection A onto its approximations, so that replacing details is
F_k = A(E_k) + g_k (P - A(P)), and adding them F_k = E_k + g_k (P - A(P)); rows and columns are projected one after the
other. The transform begins where a multispectral pixel does.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import comb
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from stfusion.fusion._fuse import Tally
from stfusion.pansharpening._axis import Axis
from stfusion.pansharpening._filtered import add_detail, deviation_gains
from stfusion.pansharpening._multiresolution import plain_moments
from stfusion.pansharpening._scene import Patch, Scene
from stfusion.pansharpening._sharpen import sharpen
from stfusion.raster.interpolation import Taps, enlarged, shrunk
from stfusion.raster.source import Array
from stfusion.run import Context

Floats = npt.NDArray[np.float64]

#: Wavelets by name, with the number of their vanishing moments.
_MOMENTS = {"haar": 1, "db2": 2, "db3": 3, "db4": 4}


def daubechies(moments: int) -> Floats:
    """The orthonormal low-pass with so many vanishing moments, of least delay (Daubechies 1988)."""
    halves = np.roots([comb(moments - 1 + k, k) for k in reversed(range(moments))])
    pairs = [np.roots([1, 4 * y - 2, 1]) for y in halves]
    inside = [pair[np.argmin(np.abs(pair))] for pair in pairs]
    weights = np.poly([-1.0] * moments + inside).real.astype(np.float64)
    scaled: Floats = weights * np.sqrt(2) / weights.sum()
    return scaled


def scaling(low: Floats, levels: int) -> Floats:
    """What an approximation after so many levels is made of: the weights of the pixels from its first one on."""
    weights = np.ones(1)
    for level in range(levels):
        apart = np.zeros((len(low) - 1) * 2**level + 1)
        apart[:: 2**level] = low
        weights = np.convolve(weights, apart)
    return weights


class WaveletDetail:
    """The bands with the panchromatic image's details in place of theirs, or beside them."""

    notes: ClassVar[Mapping[str, str]] = MappingProxyType({})

    def __init__(self, scene: Scene, weights: Floats, gains: Floats, replace: bool) -> None:
        self._weights = weights
        self._gains = gains.astype(np.float32)
        self._replace = replace
        self._step = 2**scene.levels
        self._phases = tuple(_phase(axis) for axis in (scene.rows, scene.columns))
        self._reach = len(weights) - 1 + self._step
        self.margin = self._reach if replace else 0

    def sharpen(self, patch: Patch, tally: Tally) -> Array:
        low = self._project(patch, patch.pan_around(self._reach - self.margin)[None])[0]
        bands = self._project(patch, patch.expanded) if self._replace else patch.expanded
        values: Array = add_detail(bands, patch.inner(patch.pan), low, self._gains)
        return values

    def _project(self, patch: Patch, values: Array) -> Array:
        """What approximations are made of what is read around a patch, on the pixels of the patch."""
        box = patch.box
        ends = (box.top, box.bottom), (box.left, box.right)
        taps = [self._taps(*end, phase) for end, phase in zip(ends, self._phases, strict=True)]
        (down, up), (across, back) = taps
        return enlarged(shrunk(values, down, across), up, back)

    def _taps(self, begin: int, end: int, phase: int) -> tuple[Taps, Taps]:
        """From the pixels around a window to approximations, and from these to the pixels of the window."""
        step, size = self._step, len(self._weights)
        count = -(-size // step)
        pixels = np.arange(begin, end) - phase
        last = pixels // step
        starts = np.arange(last[0] - count + 1, last[-1] + 1)
        weights = np.broadcast_to(self._weights, (len(starts), size)).astype(np.float32)
        there = Taps(starts * step + phase - (begin - self._reach), weights)
        first = last - count + 1
        places = pixels[:, None] - (first[:, None] + np.arange(count)) * step
        back = np.where(places < size, self._weights[np.minimum(places, size - 1)], 0.0)
        return there, Taps(first - starts[0], back.astype(np.float32))


def _phase(axis: Axis) -> int:
    """A pixel of the result at which a multispectral one begins."""
    return round(-axis.offset * axis.ratio)


def run(context: Context) -> dict[str, Any]:
    """Sharpen by wavelet fusion."""
    return sharpen(context, _prepare)


def _prepare(scene: Scene, context: Context) -> WaveletDetail:
    weights = scaling(daubechies(_MOMENTS[str(context.options["wavelet"])]), scene.levels)
    gains = deviation_gains(plain_moments(scene, context), scene.bands)
    return WaveletDetail(scene, weights, gains, context.options["details"] == "replace")
